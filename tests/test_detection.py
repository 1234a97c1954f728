"""Detection of clusters: limits, closed forms, fits to pixels, published surface densities."""

from itertools import pairwise

import numpy as np
import pytest
from colossus.cosmology import cosmology
from colossus.lss import mass_function
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.optimize import minimize_scalar
from scipy.stats import norm, poisson

from icmass.errors import InputError
from icmass.observe.detection import (
    DetectionConfig,
    detection_probability,
    expected_likelihoods,
)

CLUSTER = {
    "source_counts": 60.0,
    "background_counts": 30.0,
    "flux": 2e-13,
    "r500c_arcsec": 240.0,
    "core_arcsec": 45.0,
}
KINDS = ["likelihood", "counts", "flux"]
counts = st.floats(0.1, 3000)


def probability(kind="likelihood", config=None, **changes):
    return detection_probability(config or DetectionConfig(kind=kind), **{**CLUSTER, **changes})


@pytest.mark.parametrize("kind", KINDS)
@given(st.floats(1, 50), st.floats(1.05, 5))
def test_more_flux_or_exposure_never_hurts(kind, scale, more):
    def found(flux, exposure):
        return probability(
            kind,
            source_counts=4 * scale * flux * exposure,
            background_counts=10 * exposure,
            flux=2e-14 * scale * flux,
        )

    assert 0 <= found(1, 1) <= found(more, 1) <= 1
    assert found(1, 1) <= found(1, more) + 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_not_found_and_the_bright_always(kind):
    assert probability(kind, source_counts=0, flux=0) < 1e-6
    assert probability(kind, source_counts=5000, flux=1e-11) > 1 - 1e-6


def test_background_hides_faint_clusters():
    found = probability(background_counts=np.array([3.0, 30.0, 300.0]))
    assert (np.diff(found) < 0).all()


def test_counts_are_drawn_from_poisson():
    config = DetectionConfig(kind="counts", min_counts=30)
    for background in (10, 200):
        found = probability(config=config, source_counts=35.0, background_counts=background)
        exact = poisson.sf(30 + background - 1, 35 + background)
        assert found == pytest.approx(exact, rel=1e-9)
        # half at the limit, but for the law's skewness and the half count of whole numbers
        half = probability(config=config, source_counts=30.0, background_counts=background)
        assert half == pytest.approx(0.5, abs=0.04)


def test_flux_limit_is_sharp():
    config = DetectionConfig(kind="flux", min_flux=1e-13)
    assert probability(config=config, flux=np.array([0.99e-13, 1e-13, 1e-12])).tolist() == [0, 1, 1]


@pytest.mark.parametrize("kind", ["counts", "flux"])
def test_without_a_least_core_even_points_are_kept(kind):
    config = DetectionConfig(kind=kind, min_core_arcsec=0)
    assert probability(config=config, source_counts=200, core_arcsec=0.0) == pytest.approx(1)


@pytest.mark.parametrize("kind", ["counts", "flux"])
def test_compact_clusters_pass_for_points(kind):
    config = DetectionConfig(kind=kind, min_core_arcsec=20)
    found = probability(config=config, source_counts=200, core_arcsec=np.array([19.0, 21.0]))
    assert found[0] == 0
    assert found[1] == pytest.approx(1)


def test_a_point_source_has_no_extent_however_bright():
    bright = probability(source_counts=1000, core_arcsec=np.array([0.0, 0.5, 30.0]))
    assert bright[0] < 1e-3
    assert bright[0] < bright[1] < bright[2]
    assert bright[2] > 0.999


def images(source, background, core, *, radius=60.0, psf=8.5):
    """Cluster and point source in pixels of 4 arcsec, by plain sampling of the profiles."""
    axis = np.arange(-radius + 0.5, radius, 1.0)
    r = np.hypot(axis[:, None], axis[None, :])
    inside = (r < radius)[None]

    def law(a):
        return (1 + (r / a) ** 2) ** -1.5 / (2 * np.pi * a**2)

    total = source / (1 - core / np.hypot(core, 240.0))
    sky = np.full(r.shape, background / (np.pi * 240.0**2))
    return [image[inside[0]] for image in (total * law(core + psf), law(psf), sky)]


@pytest.mark.parametrize(("source", "core"), [(60, 45), (15, 20), (400, 90)])
def test_likelihoods_agree_with_a_fit_to_pixels(source, core):
    cluster, point, sky = images(source, 30.0, core)
    truth = cluster + sky

    def cash(model):
        return np.sum(truth * np.log(model) - model)

    detected = cash(truth) - cash(sky)
    best = minimize_scalar(
        lambda n: -cash(n * point + sky), bounds=(0, 3 * source), options={"xatol": 1e-6}
    )
    extended = cash(truth) + best.fun
    ours = expected_likelihoods(
        *(np.array([v], float) for v in (source, 30.0, 240.0, core)), fit_radius=60, psf_core=8.5
    )
    assert ours[0] == pytest.approx(detected, rel=0.01)
    assert ours[1] == pytest.approx(extended, rel=0.03)


def test_blurring_adds_the_scales():
    """The profile and the point-spread function are bivariate Cauchy laws, drawn as such."""
    rng = np.random.default_rng(2)
    n = 200_000
    drawn = sum(a * rng.normal(size=(n, 2)) / np.abs(rng.normal(size=(n, 1))) for a in (45.0, 8.5))
    r = np.hypot(*drawn.T)
    for radius in (10.0, 60.0, 200.0):
        share = 1 - 53.5 / np.hypot(53.5, radius)
        assert np.mean(r < radius) == pytest.approx(share, abs=4 * np.sqrt(share / n))


def test_half_is_found_where_the_expectation_meets_the_limit():
    config = DetectionConfig(detection_likelihood=0.1, extent_likelihood=8, information=1)
    source = np.linspace(5, 200, 4000)
    _, extended = expected_likelihoods(
        source,
        np.full(4000, 30.0),
        np.full(4000, 240.0),
        np.full(4000, 45.0),
        fit_radius=60,
        psf_core=8.5,
    )
    # -ln p = 8 is a chi^2 of 12.9 of one degree of freedom, twice the gain (tables)
    expected = np.interp(12.93 / 2, extended, source)
    found = np.interp(0.5, probability(config=config, source_counts=source), source)
    assert found == pytest.approx(expected, rel=0.02)


def test_both_likelihoods_must_pass_with_the_share_of_a_real_source_finder():
    """P = product over both of P(N(0, 1) > root of chi^2 at -ln p - root of twice the share)."""
    config = DetectionConfig(information=0.4, detection_likelihood=8.0, extent_likelihood=2.0)
    expected = 1.0
    gains = expected_likelihoods(
        *(np.array([v]) for v in (25.0, 30.0, 240.0, 45.0)), fit_radius=60.0, psf_core=8.5
    )
    for gain, limit in zip(gains, (8.0, 2.0), strict=True):
        threshold = norm.isf(np.exp(-limit) / 2)
        chance = norm.sf(threshold)
        passes = norm.sf(threshold - np.sqrt(2 * 0.4 * gain[0]))
        assert 0.1 < passes < 0.95
        expected *= (passes - chance) / (1 - chance)
    assert probability(config=config, source_counts=25.0) == pytest.approx(expected, rel=1e-9)


def test_surface_density_of_clusters_is_the_published_one(monkeypatch):
    """Tinker halos in eRASS1's cosmology with eFEDS luminosities, seen by eRASS1 and eFEDS."""
    monkeypatch.setattr(cosmology, "current_cosmo", None)  # colossus keeps it for the process
    erass1 = [203.0, 207.0, 220.0, 235.0, 260.0, 320.0, 500.0]
    primary = sky_density(DetectionConfig(), erass1)
    strict = sky_density(DetectionConfig(extent_likelihood=6), erass1, low_z=0.1, high_z=0.8)
    efeds = sky_density(DetectionConfig(extent_likelihood=6), [2400.0])
    print(f"clusters per deg^2: {primary:.2f}, {strict:.2f}, {efeds:.2f}")
    assert primary == pytest.approx(0.80, rel=0.25)
    assert strict == pytest.approx(0.39, rel=0.25)
    assert efeds == pytest.approx(3.1, rel=0.25)


def sky_density(config, exposures, low_z=0.02, high_z=1.3):
    """Clusters per deg^2; 0.2-2.3 keV: 7.0e11 counts/s per erg/s/cm^2, sky 32e-4 /s/arcmin^2."""
    own = {"flat": True, "H0": 70.0, "Om0": 0.29, "Ob0": 0.046, "sigma8": 0.88, "ns": 0.96}
    cosmo = cosmology.setCosmology("ghirardini24", **own)
    mass = np.geomspace(1e13, 3e15, 50)
    scatter, weight = np.polynomial.hermite_e.hermegauss(7)
    z_edges = np.geomspace(low_z, high_z, 41)
    total = 0.0
    for lo, hi in pairwise(z_edges):
        z = (lo + hi) / 2
        number = mass_function.massFunction(
            mass, z, q_in="M", q_out="dndlnM", mdef="500c", model="tinker08"
        ) * np.gradient(np.log(mass))
        distance = [cosmo.comovingDistance(0.0, v) for v in (lo, z, hi)]
        number *= (distance[2] ** 3 - distance[0] ** 3) / 3 * np.radians(1) ** 2
        rho = 2.77536627e11 * cosmo.Ez(z) ** 2
        r500c = np.cbrt(mass / (4 / 3 * np.pi * 500 * rho)) * (1 + z) / distance[1]
        r500c = np.degrees(r500c)[:, None, None] * 3600
        light = 0.43e44 * cosmo.Ez(z) ** 2 * (mass / 2e14) ** 1.55
        light = light[:, None, None] * np.exp(0.37 * scatter)[:, None]
        flux = light / (4 * np.pi * (distance[1] * (1 + z) / cosmo.h * 3.0857e24) ** 2)
        time = np.array(exposures)
        found = detection_probability(
            config,
            source_counts=7.0e11 * flux * time,
            background_counts=32e-4 * time * np.pi * (r500c / 60) ** 2,
            flux=flux,
            r500c_arcsec=r500c,
            core_arcsec=0.2 * r500c,
        ).mean(-1)
        total += number @ (found @ weight) / weight.sum()
    return total


def test_arguments_broadcast_and_a_number_gives_a_number():
    assert probability().shape == ()
    assert probability(source_counts=np.ones((3, 1)), core_arcsec=np.ones(4)).shape == (3, 4)
    many = probability(source_counts=np.array([20.0, 60.0]))
    assert many[1] == pytest.approx(float(probability()), rel=1e-6)


@given(counts, counts, st.floats(5, 2000), st.floats(0, 300))
def test_always_a_probability(source, background, r500c, core):
    found = probability(
        source_counts=source, background_counts=background, r500c_arcsec=r500c, core_arcsec=core
    )
    assert 0 <= found <= 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("source_counts", -1),
        ("background_counts", 0),
        ("r500c_arcsec", 0),
        ("core_arcsec", np.nan),
        ("flux", np.inf),
    ],
)
def test_bad_numbers_are_refused(field, value):
    with pytest.raises(InputError, match=field):
        probability(**{field: value})


def test_unknown_settings_are_refused():
    for wrong in ({"kind": "magic"}, {"information": 0}, {"snr": 5}):
        with pytest.raises(ValidationError):
            DetectionConfig(**wrong)
