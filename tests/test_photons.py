"""Photons and maps against expectations computed by another route."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from halos import make_halo
from icmass.cosmology import Cosmology
from icmass.observe.photons import Photons, agn_photons, gas_photons
from icmass.observe.rates import count_rates
from icmass.observe.spectra import FoldedSpectra
from icmass.plasma.absorption import transmission
from icmass.plasma.emissivity import load_plasma_table
from icmass.survey.config import ObserveConfig, SurveyConfig
from icmass.survey.observatory import Observatory
from icmass.telescope.instrument import load_instrument
from icmass.universe.agn import AgnConfig, Sources, draw_agn, unresolved_field_flux
from icmass.universe.atmosphere import Atmosphere
from icmass.universe.fluctuations import BrightnessField, FluctuationConfig, draw_brightness_field

COSMO = Cosmology()
BANDS = ((0.5, 1.2), (1.2, 2.0), (2.0, 7.0))


@pytest.fixture(scope="module")
def folder() -> FoldedSpectra:
    return FoldedSpectra(load_plasma_table(), load_instrument(), 3.0, 100.0)


def sphere(
    *,
    kt: float = 3.0,
    abundance: float = 0.3,
    emission: np.ndarray,
    edges: np.ndarray,
    axes: np.ndarray | None = None,
    centre: tuple[float, float] = (0.0, 0.0),
) -> Atmosphere:
    """Return one isothermal body of shells, edges and axes in comoving Mpc/h."""
    n = len(emission)
    return Atmosphere(
        emission_measure=emission,
        kt_kev=np.full(n, kt),
        abundance=np.full(n, abundance),
        cubes=np.stack([edges[:-1], edges[1:]], axis=1) ** 3,
        body=np.zeros(n, np.int64),
        axes=np.eye(3)[None, :2] if axes is None else axes[None, :2],
        centre=np.tile(centre, (n, 1)),
        in_r500=np.ones(n, bool),
    )


def emission_of(norm: float, redshift: float) -> float:
    """Return the emission measure [cm^-3] of an XSPEC apec normalisation."""
    distance_cm = COSMO.astropy.comoving_distance(redshift).to_value("cm")
    return norm * 1e14 * 4 * np.pi * distance_cm**2


@pytest.mark.parametrize(("kt", "abundance", "redshift"), [(1.1, 0.3, 0.07), (6.0, 0.5, 0.45)])
def test_gas_photons_have_the_rate_and_colour_of_the_spectrum(folder, kt, abundance, redshift):
    """Counts per band against `count_rates`, which folds the spectrum without drawing photons."""
    exposure, norm = 1e5, 1e-3
    rng = np.random.default_rng(5)
    emission = np.full(20, emission_of(norm, redshift) / 20)
    gas = sphere(kt=kt, abundance=abundance, emission=emission, edges=np.linspace(0, 1, 21))
    photons = gas_photons(gas, redshift, folder, COSMO, exposure, rng)
    seen = photons.detected(folder.instrument, 60.0, rng)
    expected = count_rates(kt, abundance, redshift, 3.0, folder.instrument, BANDS)
    for band in BANDS:
        rate = expected.counts[band] * norm * exposure
        found = ((seen.energy >= band[0]) & (seen.energy < band[1])).sum()
        assert abs(found - rate) < 4 * np.sqrt(rate) + 0.005 * rate, band


def test_emissivity_of_a_band_is_that_of_the_photons_drawn(folder):
    """A temperature of the table, at z = 0.45: photons in bands of true energies, one by one."""
    row, redshift, exposure, norm = 20, 0.45, 1e5, 1e-3
    gas = sphere(
        kt=float(folder.table.kt_kev[row]),
        emission=np.array([emission_of(norm, redshift)]),
        edges=np.array([0.0, 1.0]),
    )
    photons = gas_photons(gas, redshift, folder, COSMO, exposure, np.random.default_rng(20))
    for band in BANDS:
        hhe, metals = folder.band_emissivity(redshift, band)
        per_norm = 1e14 / (1 + redshift)
        expected = (hhe[row] + 0.3 * metals[row]) * per_norm * norm * exposure
        found = ((photons.energy >= band[0]) & (photons.energy < band[1])).sum()
        assert abs(found - expected) < 4 * np.sqrt(expected) + 0.002 * expected, band


def test_gas_photons_lie_where_the_emission_is(folder):
    """An ellipsoid of even shells off the centre: its mean and mean square by hand."""
    rng = np.random.default_rng(6)
    edges = np.geomspace(0.02, 1.5, 31)
    gas = sphere(
        emission=np.full(30, emission_of(1e-4, 0.2)),
        edges=edges,
        axes=np.diag([1.3, 1.0, 1 / 1.3]),
        centre=(0.4, -0.2),
    )
    photons = gas_photons(gas, 0.2, folder, COSMO, 5e3, rng)
    radius_sq = np.mean(0.6 * np.diff(edges**5) / np.diff(edges**3))
    n = len(photons)
    for values, axis, centre in ((photons.x, 1.3, 0.4), (photons.y, 1.0, -0.2)):
        expected = axis * np.sqrt(radius_sq / 3)
        assert values.std() == pytest.approx(expected, rel=5 / np.sqrt(n))
        assert abs(values.mean() - centre) < 5 * expected / np.sqrt(n)


def test_a_rotated_ellipsoid_is_seen_along_its_axes(folder):
    """Covariance on the sky: that of the projected ellipsoid, A A^T."""
    rng = np.random.default_rng(11)
    rotation, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    axes = rotation * np.array([1.4, 1.0, 0.7])
    emission = np.array([emission_of(3e-3, 0.2)])
    gas = sphere(emission=emission, edges=np.array([0.0, 1.0]), axes=axes)
    photons = gas_photons(gas, 0.2, folder, COSMO, 5e3, rng)
    expected = (axes @ axes.T)[:2, :2] / 5
    assert np.cov(photons.x, photons.y) == pytest.approx(expected, abs=5 / np.sqrt(len(photons)))


def test_a_beta_model_has_its_profile_and_counts(folder):
    """n^2 ~ (1 + r^2/rc^2)^(-3 beta) with beta = 2/3: projected, S ~ (1 + R^2/rc^2)^(-3/2).

    Without an outer edge the counts within R are 1 - (1 + R^2/rc^2)^(-1/2) of all.
    """
    core, redshift, exposure, norm = 0.15, 0.2, 2e4, 1e-2
    edges = np.concatenate([[0.0], np.geomspace(0.002, 60, 600)])
    x = edges / core
    within = np.arctan(x) - x / (1 + x**2)  # integral of r^2 n^2, up to a factor
    share = np.diff(within) / (np.pi / 2)
    emission = emission_of(norm, redshift) * share
    rng = np.random.default_rng(12)
    photons = gas_photons(
        sphere(emission=emission, edges=edges), redshift, folder, COSMO, exposure, rng
    )
    rates = count_rates(3.0, 0.3, redshift, 3.0, folder.instrument, BANDS).counts
    # the true energies of the photons, not yet blurred, are compared over all bands together
    total = sum(rates.values()) * norm * exposure
    seen = ((photons.energy >= 0.5) & (photons.energy < 7.0)).sum()
    assert abs(seen - total) < 4 * np.sqrt(total) + 0.015 * total
    radius = np.hypot(photons.x, photons.y)
    n = len(photons)
    for r in (0.05, 0.15, 0.3, 0.6, 1.5):
        expected = 1 - (1 + (r / core) ** 2) ** -0.5
        tolerance = 4 * np.sqrt(expected * (1 - expected) / n) + 0.002
        assert (radius < r).mean() == pytest.approx(expected, abs=tolerance), r


def test_photons_follow_the_fluctuations_and_keep_their_number(folder):
    """Even light over a field of four parts: counts in each as its factor, and 1 outside."""
    rng = np.random.default_rng(13)
    factor = np.array([[0.5, 1.5], [0.8, 1.2]])  # mean 1; rows are y
    field = BrightnessField(factor, 0.1)
    # seen near its centre, a large even sphere is even over the field
    gas = sphere(emission=np.array([emission_of(0.4, 0.2)]), edges=np.array([0.0, 1.0]))
    with_field, without = (
        gas_photons(gas, 0.2, folder, COSMO, 3e3, rng, each) for each in (field, None)
    )
    n = len(without)
    assert abs(len(with_field) - n) < 4 * np.sqrt(2 * n)
    edges = np.array([-0.1, 0.0, 0.1])
    found, *_ = np.histogram2d(with_field.y, with_field.x, bins=[edges, edges])
    # a sphere's column is sqrt(1 - R^2): counts in a quarter of the field, by the mean of R^2
    quarter = n * 0.1**2 * np.sqrt(1 - 0.1**2 * 2 / 3) / (2 * np.pi / 3)
    expected = factor * quarter
    assert (np.abs(found - expected) < 4 * np.sqrt(expected) + 4 * expected / np.sqrt(n)).all()
    outside = np.maximum(np.abs(with_field.x), np.abs(with_field.y)) > 0.1
    still = np.maximum(np.abs(without.x), np.abs(without.y)) > 0.1
    assert abs(int(outside.sum()) - int(still.sum())) < 4 * np.sqrt(2 * still.sum())
    assert with_field.energy.mean() == pytest.approx(
        without.energy.mean(), abs=5 * without.energy.std() * np.sqrt(2 / n)
    )


def test_drawn_fluctuations_are_seen_in_the_photons(folder):
    """Counts over smooth counts follow the factor: slope 1."""
    rng = np.random.default_rng(14)
    field = draw_brightness_field(
        FluctuationConfig(amplitude=0.2),
        disturbance=0.0,
        r500c=0.9,
        kpc_per_mpc_h=1000 / COSMO.h / 1.2,
        half_width=1.0,
        rng=rng,
    )
    assert field is not None
    gas = sphere(emission=np.array([emission_of(0.4, 0.2)]), edges=np.array([0.0, 2.0]))
    photons = gas_photons(gas, 0.2, folder, COSMO, 5e3, rng, field)
    edges = np.linspace(-1, 1, 17)
    found, *_ = np.histogram2d(photons.y, photons.x, bins=[edges, edges])
    y, x = np.meshgrid((edges[1:] + edges[:-1]) / 2, (edges[1:] + edges[:-1]) / 2, indexing="ij")
    smooth = np.sqrt(4 - x**2 - y**2)
    smooth *= len(photons) * (2 / 16) ** 2 / (2 * np.pi / 3 * 2**3)
    factor = field.factor.reshape(16, 4, 16, 4).mean((1, 3))
    slope, offset = np.polyfit(factor.ravel() - 1, (found / smooth).ravel() - 1, 1)
    assert slope == pytest.approx(1, abs=0.1)
    assert offset == pytest.approx(0, abs=0.03)


def test_psf_widens_a_point_to_its_half_energy_width(folder):
    rng = np.random.default_rng(7)
    n = 40000
    point = Photons(np.full(n, 1.0), np.zeros(n), np.zeros(n))
    seen = point.detected(folder.instrument, 100.0, rng, redistribution=False)
    radius = np.hypot(seen.x, seen.y) * 100
    width = folder.instrument.psf.half_energy_width(1.0)
    inside = (radius < width / 2).mean()
    assert abs(inside - 0.5) < 5 * 0.5 / np.sqrt(n)
    assert width == pytest.approx(29.5, abs=3)
    still = point.detected(folder.instrument, 100.0, rng, psf=False, redistribution=False)
    assert not still.x.any() and (still.energy == 1.0).all()


def test_agn_counts_follow_their_flux_and_index(folder):
    """0.5-2 keV counts of a power law against a direct integral over flux and area."""
    rng = np.random.default_rng(8)
    n, flux = 300, 1e-13
    index = np.full(n, 1.9)
    sources = Sources(np.zeros(n), np.zeros(n), np.full(n, flux), index, np.zeros(n, bool))
    photons = agn_photons(sources, folder, 2000.0, rng)
    energy = np.linspace(0.5, 2, 4000)
    shape = energy**-1.9
    per_erg = flux / np.trapezoid(shape * energy, energy) / 1.602177e-9
    area = folder.instrument.area_cm2(energy) * transmission(energy, 3.0)
    expected = n * 2000 * per_erg * np.trapezoid(shape * area, energy)
    found = ((photons.energy > 0.5) & (photons.energy < 2)).sum()
    assert abs(found - expected) < 4 * np.sqrt(expected) + 0.005 * expected


def test_photons_of_sources_come_from_where_these_are(folder):
    x, y = np.array([0.5, -1.0]), np.array([-0.2, 0.7])
    fluxes, index = np.array([3e-13, 1e-13]), np.full(2, 1.9)
    photons = agn_photons(
        Sources(x, y, fluxes, index, np.zeros(2, bool)), folder, 2e4, np.random.default_rng(15)
    )
    first = photons.x == 0.5
    assert (photons.y == np.where(first, -0.2, 0.7)).all()
    assert abs(first.mean() - 0.75) < 4 * np.sqrt(0.75 * 0.25 / len(photons))


def test_absorbed_agn_are_absorbed(folder):
    """Counts of true energy in narrow bands: less by exp(-N_H sigma) of 1e22 cm^-2."""
    n, rng = 400, np.random.default_rng(16)
    given = (*np.zeros((2, n)), np.full(n, 3e-13), np.full(n, 1.9))
    free, absorbed = (
        agn_photons(Sources(*given, np.full(n, which)), folder, 2000.0, rng).energy
        for which in (False, True)
    )
    for lo, hi in ((0.95, 1.05), (1.5, 1.6), (2.5, 3.0)):
        before, after = (((e >= lo) & (e < hi)).sum() for e in (free, absorbed))
        expected = before * transmission(np.array([(lo + hi) / 2]), 100.0)[0]
        assert abs(after - expected) < 5 * np.sqrt(2 * expected) + 0.01 * expected


def test_agn_have_the_spectrum_of_the_nearest_index():
    index = np.array([0.5, 0.94, 0.96, 1.93, 1.96, 2.9, 9.0])
    unabsorbed = np.array([0, 0, 1, 10, 11, 20, 20])
    for absorbed in (False, True):
        found = FoldedSpectra.agn_row(index, np.full(7, absorbed))
        np.testing.assert_array_equal(found, unabsorbed + 21 * absorbed)


def test_energies_are_even_within_a_bin(folder):
    n = 200
    sources = Sources(*np.zeros((2, n)), np.full(n, 3e-13), np.full(n, 1.9), np.zeros(n, bool))
    energy = agn_photons(sources, folder, 2000.0, np.random.default_rng(17)).energy
    within = (energy - folder.edges[0]) / 0.005 % 1
    assert stats.kstest(within, "uniform").pvalue > 1e-3


def test_photons_of_a_source_are_poisson(folder):
    sources = Sources(*np.zeros((2, 1)), np.array([2e-13]), np.array([1.9]), np.zeros(1, bool))
    rng = np.random.default_rng(9)
    n = np.array([len(agn_photons(sources, folder, 2000.0, rng)) for _ in range(400)])
    p = stats.chi2.cdf(399 * n.var(ddof=1) / n.mean(), 399)
    assert 1e-4 < p < 1 - 1e-4


def test_rate_of_faint_field_agn(folder):
    """Their rate, by hand from the number counts, is what background and sources share."""
    config = AgnConfig(satellites=0, central_duty_cycle=0, field_flux_max=6.5e-15)
    rng = np.random.default_rng(10)
    halo = make_halo(redshift=0.07)
    side = 4.6 * float(COSMO.arcmin_per_mpc_h(0.07))
    found = np.zeros(3)
    for _ in range(60):
        photons = agn_photons(draw_agn(halo, config, COSMO, 2.3, rng), folder, 2000.0, rng)
        seen = photons.detected(folder.instrument, 1.0, rng, psf=False)
        found += [((seen.energy >= lo) & (seen.energy < hi)).sum() for lo, hi in BANDS]
    per_flux = folder.agn_band_rates(1.9, 0.2, BANDS)
    rates = per_flux * unresolved_field_flux(config) / 3600
    expected = rates * 60 * 2000 * side**2
    assert (np.abs(found - expected) < 5 * np.sqrt(expected * 3) + 0.01 * expected).all()
    # by hand: 151 deg^-2 per 1e-14, slope 1.58, from 2e-15 to 6.5e-15
    by_hand = 151 * 1e-14 * (0.65**0.42 - 0.2**0.42) / 0.42
    assert unresolved_field_flux(config) == pytest.approx(by_hand, rel=1e-3, abs=0)
    # the default reaches 1.1e-14, beyond the break with slope 2.5; brighter ones are masked
    wider = 151 * 1e-14 * ((1 - 0.2**0.42) / 0.42 + (1 - 1.1**-0.5) / 0.5)
    assert unresolved_field_flux(AgnConfig()) == pytest.approx(wider, rel=3e-3, abs=0)
    few = AgnConfig(field_flux_max=4e-15)
    assert unresolved_field_flux(few) == pytest.approx(
        151 * 1e-14 * (0.4**0.42 - 0.2**0.42) / 0.42, rel=1e-3, abs=0
    )
    assert unresolved_field_flux(AgnConfig(field_flux_unresolved=1e-15)) == 0


def observe_nothing(config: SurveyConfig, n: int, seed: int) -> np.ndarray:
    """Return the counts of n maps without a cluster, of each component and band."""
    observatory, halo = Observatory(config), make_halo(redshift=0.07)
    rng = np.random.default_rng(seed)
    nothing = sphere(emission=np.array([1.0]), edges=np.array([0.0, 0.1]))
    found = np.zeros((3, 3))
    for _ in range(n):
        maps, _ = observatory.observe(
            SimpleNamespace(halo=halo, atmosphere=nothing),  # type: ignore[arg-type]
            draw_agn(halo, config.agn, COSMO, 2.3, rng),
            None,
            exposure=2000.0,
            nh_1e20=3.0,
            of_exposure=rng,
            of_photons=rng,
            of_background=rng,
        )
        found += maps.sum((2, 3), dtype=float)
    return found


def test_faint_field_agn_are_not_counted_twice():
    """What is drawn as sources is taken from the background that was measured with them in it."""
    agn = AgnConfig(satellites=0, central_duty_cycle=0, field_flux_max=6.5e-15)
    area = (4.6 * float(COSMO.arcmin_per_mpc_h(0.07))) ** 2
    background = load_instrument().background
    measured = np.array([sum(background.rate(*band)) for band in BANDS]) * 2000 * area
    config = SurveyConfig(agn=agn, observe=ObserveConfig(n_pixels=32, bands=BANDS))
    gas, sources, sky = observe_nothing(config, 40, 3) / 40
    assert gas.sum() == 0 and (sources[:2] > 0.04 * measured[:2]).all()
    np.testing.assert_allclose(sources + sky, measured, rtol=0.01)
    alone = SurveyConfig(agn=agn, observe=ObserveConfig(n_pixels=32, bands=BANDS, agn=False))
    _, sources, sky = observe_nothing(alone, 20, 4) / 20
    assert sources.sum() == 0
    np.testing.assert_allclose(sky, measured, rtol=0.01)


def test_foldings_of_the_last_redshifts_are_kept_and_no_cycle_holds_the_rest() -> None:
    folder = FoldedSpectra(load_plasma_table(), load_instrument(), 3.0, 100.0, kept=2)
    first, second = folder.plasma(0.1), folder.plasma(0.2)
    assert folder.plasma(0.1) is first  # now the last one used
    folder.plasma(0.3)
    assert folder.plasma(0.1) is first and folder.plasma(0.2) is not second
    np.testing.assert_array_equal(folder.plasma(0.2).hhe, second.hhe)
    held = weakref.ref(folder)
    gc.disable()
    try:
        del folder
        assert held() is None
    finally:
        gc.enable()
