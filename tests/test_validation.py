"""The validation: deviations, rows against values worked out apart, the command and its page."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb

from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.proxies.published import CORRELATION, SIGMA_LNM
from icmass.proxies.summary import published_scatter
from icmass.report.gallery import choose_clusters, draw_component_gallery
from icmass.report.validation import check_table, missed_rows, render, write_validation
from icmass.report.validation_gas import draw_morphology
from icmass.report.validation_images import draw_images
from icmass.survey.config import SurveyConfig
from icmass.survey.simulate import Simulator
from icmass.universe.gas import make_gas, r500c_cm
from icmass.validation import gas_profiles as profiles
from icmass.validation import image_maps, response
from icmass.validation.catalogue import catalogue_findings
from icmass.validation.check import GROUPS, Check, Findings, Target, Verdict
from icmass.validation.count_rates import efeds_rates, gas_rates
from icmass.validation.field import MEASURED_COUNTS, moretti_counts_above
from icmass.validation.formatting import tolerance_text, value_text
from icmass.validation.image_maps import ImageSample
from icmass.validation.photons import measured_background, photon_findings
from icmass.validation.profiles import EDGES, stack_profiles
from icmass.validation.proxies import proxy_findings
from icmass.validation.relations import relation_findings
from icmass.validation.validate import validate
from test_images_against import published_sample


@pytest.fixture(scope="module")
def mock(toy_survey: xr.Dataset) -> xr.Dataset:
    """The toy survey as large as a validation needs: every cluster twice, halos apart."""
    twice = xr.concat([toy_survey, toy_survey], "cluster", data_vars="minimal")
    twice = twice.assign(halo_id=("cluster", np.arange(twice.sizes["cluster"])))
    twice.attrs = {**toy_survey.attrs, "preset": "phox"}
    return twice


@pytest.fixture(scope="module")
def validated(mock: xr.Dataset) -> Findings:
    return validate(mock)


def names(found: Findings) -> dict[str, Check]:
    return {check.name: check for check in found.checks}


positive = st.floats(0.01, 100)


@given(target=positive, tolerance=st.floats(1.01, 5), value=positive)
def test_a_factor_is_symmetric_and_one_at_its_edge(target, tolerance, value):
    aim = Target(target, tolerance, "factor", "")
    assert aim.deviation(target * tolerance) == pytest.approx(1)
    assert aim.deviation(target / tolerance) == pytest.approx(-1)
    mirrored = target**2 / value
    assert aim.deviation(mirrored) == pytest.approx(-aim.deviation(value), abs=1e-9)


@given(target=st.floats(-50, -0.01), tolerance=st.floats(0.01, 2), steps=st.floats(-3, 3))
def test_relative_and_absolute_deviations_of_negative_targets(target, tolerance, steps):
    relative, absolute = (Target(target, tolerance, kind, "") for kind in ("relative", "absolute"))
    value = target + steps * tolerance * abs(target)
    assert relative.deviation(value) == pytest.approx(steps, abs=1e-6)
    assert absolute.deviation(target + steps * tolerance) == pytest.approx(steps, abs=1e-6)


def test_a_row_holds_up_to_its_tolerance_and_not_beyond():
    aim = Target(0.1175, 0.15, "relative", "")
    inside, outside = (Check("ideal", "a", 0.1175 * f, aim, 9) for f in (1.149, 1.151))
    assert inside.ok and not outside.ok
    unknown = Check("ideal", "a", float("nan"), aim, 9)
    assert not unknown.ok and unknown.document()["value"] is None
    verdict = Verdict.of([inside, outside])
    assert (verdict.n_ok, verdict.n, verdict.share) == (1, 2, 0.5)
    assert verdict.worst_deviation == pytest.approx(1.0067, abs=1e-3)
    assert Verdict.of([unknown, inside, outside]).worst_deviation == verdict.worst_deviation


def test_scatter_and_correlation_are_those_put_in(mock):
    """The toy's residuals: T 0.07 / 0.64, M_gas 0.10 / 1.14, independent of each other."""
    found = names(proxy_findings(mock, np.random.default_rng(0), 20))
    assert found["scatter T"].value == pytest.approx(0.07 / 0.64, rel=0.15)
    assert found["scatter M_gas"].value == pytest.approx(0.10 / 1.14, rel=0.15)
    assert abs(found["correlation T with M_gas"].value) < 0.25
    assert not found["correlation T with M_gas"].ok, "published: -0.55"
    assert found["correlation N_phot with N_phot_2r500"].value > 0.5
    again, _ = published_scatter(mock, ["L_X"], np.random.default_rng(0))
    assert found["scatter L_X"].value == pytest.approx(again)
    assert all(0 < check.error < 0.2 for check in found.values())


def test_rows_without_a_variable_are_listed_and_photon_rows_are_of_phox_alone(mock):
    found = proxy_findings(mock, np.random.default_rng(0), 2)
    absent = found.absent["not in this survey"]
    assert "scatter M_star (needs M_star)" in absent
    wanted = sum(not name.startswith(("paper-", "icm-")) for name in SIGMA_LNM) + len(CORRELATION)
    assert len(found.checks) + len(absent) == wanted
    other = proxy_findings(mock.assign_attrs(preset="erosita"), np.random.default_rng(0), 2)
    assert not any("N_phot" in check.name for check in other.checks)
    assert sum(map(len, other.absent.values())) + len(other.checks) == wanted


def test_other_populations_are_not_compared(mock):
    rng = np.random.default_rng(0)
    cone = mock.assign_attrs(config=json.dumps({"halos": {"redshift_range": [0.05, 0.8]}}))
    assert catalogue_findings(cone, rng).checks == []
    assert len(catalogue_findings(mock, rng).checks) == 2
    detected = mock.assign_attrs(config=json.dumps({"detection": {}}))
    for findings in (proxy_findings, relation_findings):
        assert findings(detected, rng, 2).checks == [] != findings(mock, rng, 2).checks
    efeds = names(relation_findings(mock.assign_attrs(preset="efeds"), rng, 2))
    assert efeds["slope of L_X_soft"].target.value == 1.55
    assert efeds["T E^-2/3 at 2e14 Msun/h"].target.value == 2.7


def test_galaxy_rows_come_with_their_variables(mock):
    rng = np.random.default_rng(3)
    mu = np.log(mock["m500c"] / 2e14)
    held = mock.assign(
        M_star=np.exp(29 + mu + 0.1 * rng.normal(size=mu.size)),
        sigma_v_true=600 * np.exp(mu / 3 + 0.1 * rng.normal(size=mu.size)),
        N_gal=150 * np.exp(0.7 * mu + 0.2 * rng.normal(size=mu.size)),
        sigma_v=600 * np.exp(mu / 3 + 0.2 * rng.normal(size=mu.size)),
    )
    found = proxy_findings(held, np.random.default_rng(0), 2)
    assert found.absent == {}
    rows = names(found)
    assert rows["scatter sigma_v_true"].value == pytest.approx(0.3, rel=0.15)
    assert rows["scatter N_gal"].group == "observed"
    assert rows["scatter M_gas+M_star"].group == "combination"
    assert rows["scatter M_gas+M_star"].value < rows["scatter M_gas"].value


def test_relations_with_mass_are_those_put_in(mock):
    """T = 3.24 (M/2e14)^0.64 and M_gas = 2e13 (M/2e14)^1.14 without evolution."""
    cosmology = Cosmology.model_validate_json(mock.attrs["cosmology"])
    evolving = mock.assign(T=mock["T"] * cosmology.efunc(mock["redshift"]) ** (2 / 3))
    found = names(relation_findings(evolving, np.random.default_rng(0), 20))
    norm = found["T E^-2/3 at 2e14 Msun/h"]
    assert norm.value == pytest.approx(3.24, rel=0.02) and norm.ok
    assert found["slope of T"].value == pytest.approx(0.64, abs=0.03)
    assert found["f_gas at 2e14 Msun/h"].value == pytest.approx(0.1, rel=0.03)
    assert found["slope of f_gas"].value == pytest.approx(0.14, abs=0.04)
    hot = names(relation_findings(evolving.assign(T=1.2 * evolving["T"]), np.random.default_rng(0)))
    assert not hot["T E^-2/3 at 2e14 Msun/h"].ok


def test_photons_of_the_median_cluster_and_count_slope(mock):
    """The toy draws 2000 (M/2e14)^1.3 (0.2/z)^2 photons of gas, here in half of 2 ks."""
    config = {"observe": {"vignetting": "onaxis", "background": False}}
    seen = mock.assign_attrs(config=json.dumps(config)).assign(exposure=mock["exposure"] / 2)
    found = names(photon_findings(seen, np.random.default_rng(0), 10))
    expected = 2 * 2000 * (10**13.94 / 2e14) ** 1.3 * (0.2 / 0.21) ** 2
    row = found["gas photons of the median cluster"]
    assert row.value == pytest.approx(expected, rel=0.15)
    z, counts = mock["redshift"].values, mock["n_phot"].values + 1
    slope = np.polyfit(z, np.log10(counts), 1)[0]
    assert found["redshift slope of log10 N_tot"].value == pytest.approx(slope)


def test_background_is_counts_per_time_and_solid_angle(mock):
    """Poisson 0.5 per pixel of 4.6/32 Mpc/h; a survey without AGN has no faint ones to add."""
    config = {"observe": {"background": True, "agn": False}}
    found = names(
        photon_findings(mock.assign_attrs(config=json.dumps(config)), np.random.default_rng(0), 10)
    )
    scale = Cosmology().arcmin_per_mpc_h(mock["redshift"].values)
    expected = 0.5 * 32**2 * len(scale) / (2000 * np.sum((4.6 * scale) ** 2))
    for band in ("0.5-1.2", "1.2-2", "2-7"):
        row = found[f"background {band} keV"]
        assert row.value == pytest.approx(1e4 * expected, rel=0.01)
    agn = names(
        photon_findings(
            mock.assign_attrs(config=json.dumps({"observe": {"background": True}})),
            np.random.default_rng(0),
            2,
        )
    )
    extra = agn["background 0.5-1.2 keV"].value - found["background 0.5-1.2 keV"].value
    assert 0.2 < extra < 3, "field AGN of 2e-15 to 6.5e-15 erg/s/cm^2 give about 1e-4 counts/s"


def test_measured_background_adds_the_bands_that_were_measured():
    assert measured_background((0.5, 1.2)) == pytest.approx(16.4e-4)
    assert measured_background((1.1, 2.2)) == pytest.approx((5.8 + 4.6) * 1e-4)
    assert measured_background((2.2, 7.0)) == pytest.approx((6.4 + 6.9 + 8.6) * 1e-4)
    assert measured_background((0.7, 3.0)) is None


def test_reference_rates_hold_and_an_instrument_off_by_5_per_cent_would_not(mock, monkeypatch):
    found = response.response_findings(mock)
    assert len(found.checks) == 3 and all(check.ok for check in found.checks)
    assert max(abs(check.value - 1) for check in found.checks) < 0.01
    off = {band: tuple(1.05 * np.array(v)) for band, v in response.REFERENCE.items()}
    monkeypatch.setattr(response, "REFERENCE", off)
    assert not any(check.ok for check in response.response_findings(mock).checks)


def test_profiles_of_a_beta_model(mock):
    """Counts go as (1 + (r / 0.2 R500c)^2)^-1.5; innermost annulus apart: pixels are coarse."""
    stack = stack_profiles(mock)[-1]
    radius = np.linspace(0, 2, 4001)
    shape = (1 + (radius / 0.2) ** 2) ** -1.5
    inside = radius < 1
    mean = np.average(shape[inside], weights=radius[inside])
    for i in range(3, len(EDGES) - 2):
        ring = (radius >= EDGES[i]) & (radius < EDGES[i + 1])
        expected = np.average(shape[ring], weights=radius[ring]) / mean
        assert stack.quantiles[1, i] == pytest.approx(expected, rel=0.25)
    assert (np.diff(stack.quantiles, axis=0) >= 0).all()


def test_count_rates(mock):
    rates = gas_rates(mock)
    assert rates.band == (0.5, 2.0)
    gas = mock["maps"].sel(component="icm").isel(band=slice(0, 2)).sum(("band", "y", "x")).values
    assert (rates.rate <= gas / 2000).all() and rates.rate.sum() > 0.5 * gas.sum() / 2000
    observe = {"observe": {"vignetting": "onaxis"}}
    survey = mock.assign_attrs(config=json.dumps(observe))
    near, far = (efeds_rates(survey, np.array([2e14]), z)[0] for z in (0.1, 0.2))
    flux = 0.43e44 / (4 * np.pi * (456 / 0.98 * 3.0857e24) ** 2)  # D_L of z 0.1 in this cosmology
    assert near == pytest.approx(flux * 1.1e12, rel=0.25), "1.07e12 counts/s per erg/s/cm^2"
    assert 3.5 < near / far < 5


@pytest.fixture(scope="module")
def small() -> xr.Dataset:
    """Masses and redshifts of 30 clusters of the default configuration."""
    simulator = Simulator(SurveyConfig(), 5)
    halos = [simulator.scene(i).halo for i in range(30)]
    columns = {name: [getattr(h, name) for h in halos] for name in ("m500c", "redshift", "r500c")}
    variables = {name: ("cluster", np.array(values)) for name, values in columns.items()}
    return xr.Dataset(variables, attrs={"seed": 5, "config": SurveyConfig().model_dump_json()})


def test_electron_densities_hold_the_hot_gas():
    """Electrons within R500c times the mass that goes with each are hot_fraction of the gas."""
    config = SurveyConfig()
    halo = Simulator(config, 2).scene(0).halo
    gas = make_gas(halo, config.gas, config.cosmology)
    assert gas.shape["ln_clumping"] != 0
    cm = float(r500c_cm(halo.r500c, halo.redshift, config.cosmology.h))
    density = profiles.electron_density(gas, cm, 1.2)[gas.inside_r500]
    volume = 4 * np.pi / 3 * np.diff(gas.edges**3)[gas.inside_r500] * cm**3
    grams = density @ volume * 1.17 * 1.6726e-24  # about 10 atoms of helium to 100 of hydrogen
    expected = config.gas.hot_fraction * gas.m_gas / config.cosmology.h * 1.9884e33
    assert grams == pytest.approx(expected, rel=0.02)


def test_kt500_is_that_of_an_isothermal_sphere():
    """mu m_p G M / (2 R500c) in cgs, with mu 0.6."""
    cosmology, mass, z = Cosmology(), 3e14, 0.3
    cm = float(r500c_cm(cosmology.r500c(mass, z), z, cosmology.h))
    erg = 0.6 * 1.6726e-24 * 6.6743e-8 * mass / cosmology.h * 1.9884e33 / (2 * cm)
    found = profiles.t500_kev(mass, cosmology.efunc(z))
    assert found == pytest.approx(erg / 1.60218e-9, rel=0.015)


def test_published_profiles_agree_with_each_other():
    at, _, level, error = profiles.TRANSITION
    assert profiles.xcop_density(np.array([at]))[0] == pytest.approx(level, abs=error)
    x = np.geomspace(1e-3, 1, 1000)
    gas = np.trapezoid(1.17 * 1.6726e-24 * profiles.xcop_density(x) * 3 * x**2, x)
    assert 0.13 < gas / (500 * 9.204e-30) < 0.156, "gas fraction: below that of all baryons"
    outside = np.geomspace(0.2, 1, 9)
    sz = profiles.sz_density(outside, 0.7 * 6e14, 0.0, Cosmology(h=0.7), 1.17)
    np.testing.assert_allclose(sz, profiles.xcop_density(outside), rtol=0.2)
    assert profiles.xcop_temperature(np.array([1e-6])) == pytest.approx(1.21 * 0.5, rel=1e-3)
    bend = profiles.xcop_temperature(np.array([0.2, 1.0]))
    assert bend == pytest.approx([0.99, 0.64], abs=0.02)


def test_mass_groups():
    low, high = profiles.mass_groups(np.geomspace(3e13, 9e14, 400))
    assert len(low) == len(high) == len(set(low)) == profiles.N_OF_GROUP
    mass = np.geomspace(3e13, 9e14, 400)
    assert mass[low].max() < 1e14 and mass[high].min() > 3e14
    low, high = profiles.mass_groups(np.linspace(1.1e14, 2.9e14, 100)[::-1])
    assert set(low) == set(range(90, 100)) and set(high) == set(range(10))


def test_gas_profiles_are_of_the_clusters_of_the_survey(small):
    groups, clusters = profiles.gas_profiles(small, SurveyConfig())
    mass = small["m500c"].values
    assert groups.n == max((mass < 1e14).sum(), 3)
    assert clusters.log10_m500c[1] == np.log10(mass.max())
    for group in (groups, clusters):
        assert (np.diff(group.density, axis=0) >= 0).all()
        assert (np.diff(group.density[1]) < 0).all(), "densities fall outwards"
        at = np.searchsorted(group.radius, 0.19)
        assert 3e-4 < group.density[1, at] < 4e-3
        assert 0.7 < group.temperature[1, at] < 1.3
    with pytest.raises(InputError, match="configuration and seed"):
        profiles.gas_profiles(small.assign_attrs(seed=6), SurveyConfig())


def test_images_are_made_once_and_drawn(mock, monkeypatch):
    calls = []

    def made(*args: object) -> ImageSample:
        calls.append(args)
        return published_sample()

    monkeypatch.setattr(image_maps, "image_sample", made)
    config = json.loads(SurveyConfig().model_dump_json())
    found = validate(mock.assign_attrs(config=json.dumps(config), seed=1))
    assert len(calls) == 1 and "images" not in found.document()
    curve = draw_morphology(found.images.morphology).axes[0].lines[0]
    assert np.interp(10**-1.5, *curve.get_data()) == pytest.approx(0.5, abs=0.02)
    axes = draw_images(found.images).axes
    assert len(axes) == 6
    mine, published = axes[0].lines[:2]
    middle = np.median(published.get_xdata())
    assert np.interp(middle, *mine.get_data()) == pytest.approx(0.5, abs=0.02)
    assert len(calls) == 1
    groups = {check.group for check in found.checks}
    assert "images" in groups
    assert "morphology" not in groups, "Magneticum's gas is not that of observed clusters"
    other = validate(mock.assign_attrs(config=json.dumps(config), seed=1, preset="efeds"))
    groups = {check.group for check in other.checks}
    assert "morphology" in groups and "images" not in groups


def test_published_source_counts_meet_the_measured_ones():
    for flux, number, _ in MEASURED_COUNTS:
        assert moretti_counts_above(flux) == pytest.approx(number, rel=0.45)
    assert moretti_counts_above(2e-15) == pytest.approx(6150 / (1 + 7.4**1.22), rel=1e-6)


def test_texts():
    row = Check("ideal", "a", 0.12361, Target(1, 1, "absolute", ""), 9, error=0.0035)
    assert value_text(row) == "0.1236 ± 0.0035"
    tiny = Check("ideal", "a", 1.63e-8, Target(1, 1, "absolute", ""), 9, error=5.5e-9)
    assert value_text(tiny) in ("(1.6 ± 0.5)e-8", "(1.6 ± 0.6)e-8")  # a tie in binary
    assert tolerance_text(Target(1, 1.4, "factor", "")) == "factor 1.4"


def test_too_small_or_real_surveys_are_refused(toy_survey):
    with pytest.raises(InputError, match="96 clusters are too few"):
        validate(toy_survey)
    with pytest.raises(InputError, match="variable m500c: is missing"):
        validate(toy_survey.drop_vars("m500c"))


def test_the_page_leads_with_the_verdict_and_marks_misses(validated):
    found = validated
    order = list(GROUPS)
    groups = [order.index(check.group) for check in found.checks]
    assert groups == sorted(groups)
    text = render(found, [], "x.zarr")
    assert f"{found.verdict.n_ok} of {found.verdict.n} rows" in text.split("<main>")[0]
    missed = [check for check in found.checks if not check.ok]
    assert missed and text.count('<tr class="miss">') == len(missed) == len(missed_rows(found))
    table = check_table(found.checks)
    assert table.count('<th scope="row">') == len(found.checks)
    numbers = {int(n) for n in re.findall(r"<td>\[(\d+)\]</td>", table)}
    assert numbers == set(range(1, len({c.target.source for c in found.checks}) + 1))


@pytest.mark.parametrize(
    ("component", "rgb"), [("icm", "#e69f00"), ("agn", "#56b4e9"), ("background", "#9ca3af")]
)
def test_the_component_gallery_shows_what_sent_the_photons(mock, component, rgb):
    """With photons of one component alone, every lit pixel has that component's colour."""
    maps = mock["maps"].where(mock["component"] == component, 0).astype("u2")
    if component == "agn":
        maps[:, 1, 0, 10:20, 10:20] = 5
    survey = mock.assign(maps=maps)
    image = draw_component_gallery(survey, choose_clusters(survey)).axes[3].images[0].get_array()
    lit = np.asarray(image)[np.asarray(image).max(-1) > 0.2]
    expected = np.array(to_rgb(rgb))
    assert len(lit) > 4
    np.testing.assert_allclose(
        lit / lit.max(-1, keepdims=True), expected / expected.max() * np.ones_like(lit), atol=1e-6
    )


def test_validate_prints_json_and_writes_the_page(mock, tmp_path, run_cli):
    store, out = tmp_path / "x.zarr", tmp_path / "out"
    mock.to_zarr(store)
    done = run_cli("validate", store, "--json", "--out", out)
    assert done.returncode == 0
    document = json.loads(done.stdout)
    keys = {"name", "value", "target", "tolerance", "source", "ok"}
    assert all(keys <= set(check) for check in document["checks"])
    assert document["verdict"]["n"] == len(document["checks"])
    assert json.loads((out / "validation.json").read_text()) == document
    page = (out / "validation.html").read_text()
    sources = re.findall(r'src="([^"]{5})', page)
    assert page.count("of another version") >= 2, "no gas can be made again, nor sources drawn"
    assert len(sources) >= 8 and set(sources) == {"data:"} and "<script" not in page
    table = run_cli("validate", store)
    assert table.returncode == 0 and "MISS" in table.stdout and "rows hold" in table.stdout


def test_an_unwritable_folder_is_one_line(mock, validated, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="out"):
        write_validation(mock, validated, tmp_path / "file", path=tmp_path)
