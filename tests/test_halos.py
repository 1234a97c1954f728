"""Halos, their histories and their selection: against Tinker, Fakhouri et al. and the paper."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr
from pydantic import ValidationError
from scipy.integrate import quad, solve_ivp
from scipy.spatial import KDTree
from scipy.stats import spearmanr

from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.survey.folds import octant_folds, split
from icmass.universe.halos import LATENTS, SHAPES, SNAPSHOTS, Halo, HaloConfig
from icmass.universe.histories import Box, grow_box
from icmass.universe.population import HaloPopulation

COSMO = Cosmology()
NAMES = (*LATENTS, *SHAPES)
N_BOXES = 6


def draw_halos(n: int, seed: int = 0, **options: object) -> list[Halo]:
    population = HaloPopulation(HaloConfig(**options), COSMO, seed)
    return [population.draw(i, np.random.default_rng([seed, 7, i])) for i in range(n)]


def number_above(log_mass: float, redshift: float) -> float:
    """Return Tinker's number of halos [comoving (Mpc/h)^-3], integrated here."""
    from colossus.lss import mass_function

    def density(ln_m: float) -> float:
        options = {"mdef": "500c", "model": "tinker08", "q_in": "M", "q_out": "dndlnM"}
        return float(mass_function.massFunction(np.exp(ln_m), redshift, **options))

    with COSMO.colossus():
        return quad(density, log_mass * np.log(10), np.log(10**15.9), epsrel=1e-4)[0]


@pytest.fixture(scope="module")
def boxes() -> list[Box]:
    """All halos above 10^13.5 Msun/h of some boxes."""
    config = HaloConfig(selection="mass_function")
    return [grow_box(config, COSMO, np.random.default_rng([1, i])) for i in range(N_BOXES)]


def histories(boxes: list[Box]) -> tuple[np.ndarray, np.ndarray]:
    """Return masses (halo, snapshot) and latents (halo, snapshot, latent); NaN where not seen."""
    masses, latents = [], []
    for box in boxes:
        shape = box.halo.max() + 1, len(SNAPSHOTS)
        mass, latent = np.full(shape, np.nan), np.full((*shape, len(NAMES)), np.nan)
        mass[box.halo, box.snapshot] = box.m500c
        latent[box.halo, box.snapshot] = box.latents
        masses.append(mass)
        latents.append(latent)
    return np.concatenate(masses), np.concatenate(latents)


def test_cosmology_agrees_with_astropy():
    astropy = COSMO.astropy
    for z in (0.066, 0.2, 0.47):
        assert COSMO.efunc(z) == pytest.approx(astropy.efunc(z), rel=1e-10)
        kpc = astropy.kpc_comoving_per_arcmin(z).to_value()
        assert COSMO.arcmin_per_mpc_h(z) == pytest.approx(1e3 / kpc / COSMO.h, rel=1e-9)


def test_r500c_is_magneticums():
    # halo 5 of the 30x30 deg light-cone: M500 4.84124e14 Msun/h, R500 1048.91 comoving kpc/h
    assert COSMO.r500c(4.84124e14, 0.165672) == pytest.approx(1.04891, rel=0.006)


def test_mass_function_of_colossus_is_restored():
    from colossus.cosmology import cosmology

    before = cosmology.setCosmology("planck18", persistence="")
    draw_halos(2)
    assert cosmology.getCurrent() is before


@pytest.mark.parametrize("snapshot", range(len(SNAPSHOTS)))
def test_growth_leaves_the_mass_function(boxes, snapshot: int):
    """Every snapshot has Tinker's halos; their number is Poisson from box to box."""
    for log_mass in (13.5, 14.0):
        found = sum(
            (box.m500c[box.snapshot == snapshot] > 10**log_mass).sum().item() for box in boxes
        )
        expected = N_BOXES * 352**3 * number_above(log_mass, SNAPSHOTS[snapshot])
        assert abs(found - expected) < 4 * np.sqrt(expected) + 0.005 * expected


def test_mass_function_at_one_mass(boxes):
    # n(> 1e14 Msun/h) of 500c masses at z = 0.07 in WMAP7: about 1e-5 (Mpc/h)^-3
    n = np.mean([((box.snapshot == 0) & (box.m500c > 1e14)).sum() for box in boxes])
    assert 0.5e-5 < n / 352**3 < 1.6e-5


def test_halos_grow_as_in_simulations(boxes):
    """Fakhouri, Ma & Boylan-Kolchin 2010, MNRAS 406, 2267, equation 2: the mean of dM/dt.

    Theirs is of virial masses, which grow by the fall of the reference density too, and of a mean
    above the median; so growth in ln M500c may be from half of it to all of it by a quarter more.
    """
    mass, _ = histories(boxes)
    massive = mass[mass[:, 0] > 1e14]  # complete at the start: nearly all were above 10^13.5
    assert np.isnan(massive[:, -1]).mean() < 0.02
    growth = np.log(massive[:, 0] / massive[:, -1])
    h = COSMO.h

    def slope(z: float, ln_m: np.ndarray) -> np.ndarray:
        m12 = np.exp(ln_m) / h * 1.75 / 1e12  # virial over 500c mass: Diemer & Joyce 2019
        rate = 46.1 * m12**1.1 * (1 + 1.11 * z) * COSMO.efunc(z) / 1e12  # 1/yr over M12
        years = 9.778e9 / h / ((1 + z) * COSMO.efunc(z))  # dt/dz
        return -rate / m12 * years

    start = np.log(np.median(massive[:, 0]))
    past = solve_ivp(slope, (SNAPSHOTS[0], SNAPSHOTS[-1]), [start], rtol=1e-6).y[0, -1]
    assert 0.5 < np.nanmedian(growth) / (start - past) < 1.25
    assert 0.18 < np.nanstd(growth) < 0.3


def test_recent_growth_shows_in_the_accretion(boxes):
    mass, latents = histories(boxes)
    ln_m = np.log(mass)
    both = np.isfinite(ln_m[:, 0] + ln_m[:, 3]) & (mass[:, 0] > 1e14)
    growth = (ln_m[:, 0] - ln_m[:, 3])[both]
    assert np.corrcoef(growth, latents[both, 0, 0])[0, 1] > 0.4


def test_latents_are_standard_at_any_mass_and_time(boxes):
    log_mass = np.log10(np.concatenate([box.m500c for box in boxes]))
    snapshot = np.concatenate([box.snapshot for box in boxes])
    latents = np.concatenate([box.latents for box in boxes])
    for which in (0, 5, 10):
        for lo, hi in ((13.5, 13.7), (13.7, 14.0), (14.0, 15.1)):
            some = latents[(snapshot == which) & (log_mass >= lo) & (log_mass < hi)]
            n = len(some)
            assert np.abs(some.mean(0)).max() < 4.5 / np.sqrt(n)
            assert np.abs(some.var(0) - 1).max() < 4.5 * np.sqrt(2 / n)


@pytest.mark.parametrize("redshift_range", [None, (0.05, 0.6)])
def test_latents_have_the_stated_correlation(redshift_range):
    """One value of each halo: those of a halo in several snapshots are not independent."""
    halos = draw_halos(5000, redshift_range=redshift_range)
    halos = list({h.halo_id: h for h in halos}.values())
    found = np.corrcoef(np.array([[h.latents[k] for k in NAMES] for h in halos]).T)
    expected = np.eye(len(NAMES))
    expected[: len(LATENTS), : len(LATENTS)] = HaloConfig().correlation
    assert np.abs(found - expected).max() < 4.5 / np.sqrt(len(halos))


def _rank_correlation(slow: np.ndarray | float) -> np.ndarray:
    """Return the rank correlation of normal variables of a correlation."""
    return 6 / np.pi * np.arcsin(np.asarray(slow) / 2)


def _autocorrelation(latents: np.ndarray, a: int, b: int) -> tuple[np.ndarray, int]:
    """Return the rank correlation of each latent between two snapshots, and of how many halos."""
    both = np.isfinite(latents[:, a, 0] + latents[:, b, 0])
    pairs = latents[both, a].T, latents[both, b].T
    return np.array([spearmanr(x, y).statistic for x, y in zip(*pairs, strict=True)]), both.sum()


@pytest.mark.parametrize(("a", "b", "gyr"), [(0, 1, 0.42), (0, 5, 2.05), (4, 10, 2.4)])
def test_each_latent_forgets_in_its_time(boxes, a: int, b: int, gyr: float):
    """A walk forgets as exp(-t / memory); what is new at every snapshot is lost at once.

    The accretion is left out: halos that are seen twice are chosen by their growth.
    """
    _, latents = histories(boxes)
    age = COSMO.astropy.age(np.array(SNAPSHOTS)).to_value("Gyr")
    between = float(age[a] - age[b])
    assert between == pytest.approx(gyr, abs=0.15)
    config = HaloConfig()
    kept = np.array(
        [
            (1 - config.instant_share.get(name, 0.0)) * np.exp(-between / config.memory_gyr[name])
            for name in NAMES
        ]
    )
    found, n = _autocorrelation(latents, a, b)
    assert np.abs(found - _rank_correlation(kept))[1:].max() < 4.5 / np.sqrt(n)


def test_latents_are_remembered_as_in_magneticum(boxes):
    """Rank correlations 0.4 and 2.05 Gyr later of 3,292 clusters (Green et al. 2019, own matching).

    What is seen of a core or of a disturbance is noisier than the latent: that may remember more.
    """
    _, latents = histories(boxes)
    for snapshot, column in ((1, 0), (5, 1)):
        found, _ = _autocorrelation(latents, 0, snapshot)
        for name, published, more in (
            ("gas_mass", (0.92, 0.75), 0.05),
            ("temperature", (0.72, 0.55), 0.05),
            ("core_share", (0.51, 0.10), 0.08),
            ("disturbance", (0.41, 0.06), 0.15),
        ):
            value = found[NAMES.index(name)]
            assert published[column] - 0.05 < value < published[column] + more, name


def test_memory_named_alone_leaves_the_others():
    config = HaloConfig(memory_gyr={"gas_mass": 5.0}, instant_share={"gas_mass": 0.1})
    assert config.memory_gyr["gas_mass"] == 5.0
    assert config.memory_gyr["temperature"] == HaloConfig().memory_gyr["temperature"]
    assert config.instant_shares[LATENTS.index("gas_mass")] == 0.1
    assert config.instant_share["core_share"] == HaloConfig().instant_share["core_share"]
    assert HaloConfig.model_validate_json(config.model_dump_json()) == config


def test_correlated_latents_cannot_forget_at_rates_that_differ_much():
    """By hand: r of two walks at rates a and b needs r^2 (a + b)^2 <= 4 a b.

    With r = 0.6 that is a ratio of rates of 9.
    """
    matrix = np.eye(len(LATENTS))
    pair = LATENTS.index("core_share"), LATENTS.index("disturbance")
    matrix[pair] = matrix[pair[::-1]] = 0.6
    options = {
        "correlation": tuple(map(tuple, matrix)),
        "instant_share": {"core_share": 0.0, "disturbance": 0.0},
    }
    HaloConfig(**options, memory_gyr={"core_share": 1.0, "disturbance": 8.9})
    with pytest.raises(ValidationError, match="memories that differ so much"):
        HaloConfig(**options, memory_gyr={"core_share": 1.0, "disturbance": 9.1})


def test_a_halo_keeps_its_place_and_axes_and_grows():
    by_halo: dict[int, list[Halo]] = {}
    for halo in draw_halos(3000):
        by_halo.setdefault(halo.halo_id, []).append(halo)
    several = [sorted(h, key=lambda x: -x.redshift) for h in by_halo.values() if len(h) > 1]
    assert len(several) > 500
    growth = []
    for selves in several:
        first, last = selves[0], selves[-1]
        assert len({h.snapshot for h in selves}) == len(selves)
        assert all(h.redshift == SNAPSHOTS[h.snapshot] for h in selves)
        for other in selves[1:]:
            np.testing.assert_array_equal(first.position, other.position)
            np.testing.assert_array_equal(first.orientation, other.orientation)
        growth.append(np.log(last.m500c / first.m500c))
    assert np.median(growth) > 0.05 and np.mean(np.array(growth) > 0) > 0.6
    axes = np.array([h.orientation for h in draw_halos(50)])
    np.testing.assert_allclose(axes @ axes.transpose(0, 2, 1), np.tile(np.eye(3), (50, 1, 1)),
                               atol=1e-12)  # fmt: skip


def test_catalogue_is_the_papers():
    halos = draw_halos(3285)
    log_m = np.log10([h.m500c for h in halos])
    z = np.array([h.redshift for h in halos])
    assert np.median(log_m) == pytest.approx(13.94, abs=0.04)
    assert np.median(z) == pytest.approx(0.21, abs=0.04)
    assert set(np.round(z, 6)) == set(SNAPSHOTS)
    flat = np.histogram(log_m, bins=np.arange(13.5, 14.3, 0.105))[0]
    assert flat.std() < 3 * np.sqrt(flat.mean())
    assert flat.mean() == pytest.approx(350, rel=0.1)
    assert 3 <= (log_m > 14.8).sum() <= 60
    position = np.array([h.position for h in halos])
    assert position.min() >= 0 and position.max() <= 352
    # halos, not their selves, are spread at random
    places = np.unique(position, axis=0)
    octant = (places > 176) @ [1, 2, 4]
    assert np.bincount(octant).min() > len(places) / 8 - 5 * np.sqrt(len(places) / 8)


def test_a_box_holds_as_many_as_the_papers():
    sizes = [len(grow_box(HaloConfig(), COSMO, np.random.default_rng(i))) for i in range(4)]
    assert np.mean(sizes) == pytest.approx(3285, rel=0.1)


def test_plain_mass_function_falls():
    log_m = np.log10([h.m500c for h in draw_halos(2000, selection="mass_function")])
    low = (log_m < 13.7).sum()
    assert low > 5 * ((log_m > 14.1) & (log_m < 14.3)).sum()


def test_a_survey_is_the_beginning_of_a_larger_one():
    """Whatever was drawn before, also beyond the end of the first box."""
    rng = np.random.default_rng(0)
    forwards, other = HaloPopulation(HaloConfig(), COSMO, 5), HaloPopulation(HaloConfig(), COSMO, 6)
    backwards = HaloPopulation(HaloConfig(), COSMO, 5)
    first = [forwards.draw(i, rng) for i in range(4000)]
    ids = np.array([h.halo_id for h in first])
    boxes = ids // 10_000_000
    assert (np.diff(boxes) >= 0).all() and set(boxes) == {0, 1}
    assert 2800 < (boxes == 0).sum() < 3500
    for i in (3999, 3300, 2700, 0):
        again = backwards.draw(i, rng)
        assert (again.halo_id, again.m500c) == (first[i].halo_id, first[i].m500c)
        assert again.latents == first[i].latents
        np.testing.assert_array_equal(again.orientation, first[i].orientation)
    theirs = [other.draw(i, rng).m500c for i in range(500)]
    assert not np.intersect1d(theirs, [h.m500c for h in first]).size
    # the halos of the second box are others, in other places
    places = np.array([h.position for h in first])
    assert not np.intersect1d(places[boxes == 0][:, 0], places[boxes == 1][:, 0]).size


def test_halos_of_a_light_cone_are_seen_once():
    halos = draw_halos(2000, redshift_range=(0.05, 0.6))
    z = np.array([h.redshift for h in halos])
    assert z.min() >= 0.05 and z.max() <= 0.6
    assert len(np.unique(z)) == len({h.halo_id for h in halos}) == 2000
    assert {h.snapshot for h in halos} == {-1}


@pytest.mark.parametrize("selection", ["paper", "mass_function"])
def test_redshifts_are_even(selection: str):
    z = [h.redshift for h in draw_halos(4000, redshift_range=(0.05, 0.6), selection=selection)]
    found = np.histogram(z, bins=5, range=(0.05, 0.6))[0]
    assert np.abs(found - 800).max() < 4 * np.sqrt(800 * 0.8)


def test_redshifts_follow_the_volume():
    options = {"redshift_law": "volume", "selection": "mass_function"}
    halos = draw_halos(4000, redshift_range=(0.1, 0.7), **options)
    edges = np.linspace(0.1, 0.7, 5)
    distance = COSMO.astropy.comoving_distance

    def per_redshift(z: float) -> float:
        slope = (distance(z + 1e-4) - distance(z - 1e-4)).value / 2e-4
        return number_above(13.5, z) * distance(z).value ** 2 * slope

    nodes = np.linspace(0.1, 0.7, 41)
    density = np.array([per_redshift(z) for z in nodes])
    share = [np.trapezoid(density[10 * i : 10 * i + 11], nodes[10 * i : 10 * i + 11])
             for i in range(4)]  # fmt: skip
    expected = 4000 * np.array(share) / sum(share)
    found = np.histogram([h.redshift for h in halos], bins=edges)[0]
    assert (np.abs(found - expected) < 4 * np.sqrt(expected) + 0.01 * expected).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"correlation": ((1.0, 0.0), (0.0, 1.0))},
        {"correlation": tuple(map(tuple, 2 * np.eye(len(LATENTS))))},
        {"correlation": tuple(map(tuple, np.eye(len(LATENTS)) + 1.5 * np.eye(len(LATENTS))[::-1]))},
        {"redshifts": (0.0,)},
        {"redshifts": ()},
        {"redshifts": (0.3, 0.2)},
        {"redshifts": (0.2, 0.2)},
        {"redshift_range": (0.4, 0.1)},
        {"redshift_range": (0.1, 2.5)},
        {"redshift_law": "random"},
        {"log_m500c_min": 14.5, "log_m500c_max": 14.0},
        {"selection": "none"},
        {"memory_gyr": 0},
        {"memory_gyr": {"core_share": 0.0}},
        {"memory_gyr": {"alpha": 1.0}},
        {"memory_gyr": {"core_share": 0.05}},
        {"instant_share": {"accretion": 0.1}},
        {"instant_share": {"cusp": 0.1}},
        {"instant_share": {"core_share": 1.0}},
        {"instant_share": {"core_share": -0.1}},
        {"growth_scatter": -0.1},
        {"unknown": 1},
    ],
)
def test_wrong_halo_configuration_is_refused(wrong: dict[str, object]):
    with pytest.raises(ValidationError):
        HaloConfig(**wrong)


def test_a_box_too_small_for_any_halo_is_refused():
    with pytest.raises(InputError, match="no halo fits"):
        draw_halos(1, box_mpc_h=2.0, log_m500c_min=15.0)


@pytest.fixture(scope="module")
def two_boxes() -> tuple[list[Halo], list[Halo]]:
    return draw_halos(2500, seed=1), draw_halos(2500, seed=2)


_OF_GAS = ("gas_mass", "temperature", "stellar_mass", "accretion", "galaxy_number", "disturbance")


def predictability(train: list[Halo], test: list[Halo]) -> tuple[np.ndarray, np.ndarray]:
    """Return the latent ``gas_mass``, and that of the halo with the nearest other latents.

    Those correlated with it are left out: what is left tells nothing about the gas mass of another
    halo, only which halo it is.
    """
    names = [n for n in NAMES if n not in _OF_GAS]
    known = np.array([[h.latents[n] for n in names] for h in train])
    asked = np.array([[h.latents[n] for n in names] for h in test])
    _, nearest = KDTree(known).query(asked)
    return (
        np.array([h.latents["gas_mass"] for h in test]),
        np.array([train[i].latents["gas_mass"] for i in nearest]),
    )


def cross_validated(halos: list[Halo], fold: np.ndarray) -> float:
    """Return the correlation of true and predicted latents over all folds."""
    pairs = []
    for k in range(fold.max() + 1):
        train, test = split(fold, k)
        pairs.append(predictability([halos[i] for i in train], [halos[i] for i in test]))
    true, guess = np.concatenate(pairs, axis=1)
    return float(np.corrcoef(true, guess)[0, 1])


def test_random_folds_leak_and_octant_folds_do_not(two_boxes):
    halos, others = two_boxes
    survey = xr.Dataset(
        {
            "position": (("cluster", "axis"), np.array([h.position for h in halos])),
            "halo_id": ("cluster", [h.halo_id for h in halos]),
            "redshift": ("cluster", [h.redshift for h in halos]),
        },
        attrs={"config": json.dumps({"halos": {"box_mpc_h": 352.0}})},
    )
    fold = octant_folds(survey, 8)
    by_octant = cross_validated(halos, fold)
    at_random = cross_validated(halos, np.random.default_rng(0).permutation(fold))
    independent = float(np.corrcoef(*predictability(others, halos))[0, 1])
    # a halo's selves are not independent: about two and a half clusters to a halo
    noise = 4.5 / np.sqrt(len({h.halo_id for h in halos}))
    assert at_random > by_octant + noise
    assert at_random > independent + noise
    assert abs(independent) < noise
    assert abs(by_octant) < noise
