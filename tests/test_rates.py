"""Count rates against the real response files folded plainly, and `icmass rate` as called."""

import json

import numpy as np
import pytest
from astropy.io import fits

from conftest import RunCli
from icmass.errors import InputError
from icmass.observe.rates import count_rates, energy_flux, photon_flux
from icmass.plasma.absorption import transmission
from icmass.plasma.emissivity import load_plasma_table
from icmass.telescope.instrument import load_instrument
from icmass.telescope.ogip import read_matrix

BANDS = [(0.5, 1.2), (1.2, 2.0), (2.0, 7.0)]
ARF_NAME = "erosita/onaxis_tm0_arf_filter_2023-01-17.fits.gz"
RMF_NAME = "erosita/onaxis_tm0_rmf_2023-01-17.fits.gz"
KT_KEV = [0.7, 1.0, 2.0, 4.0, 7.0, 12.0]
OTHERS = [(0.1, 0.07), (1.0, 0.07), (0.3, 0.2), (0.1, 0.47), (1.0, 0.47)]


@pytest.fixture(scope="module")
def folded(data_dir):
    """A function that folds by matrix product: ARF bins, RMF matrix, sums of channels."""
    area = fits.getdata(data_dir / ARF_NAME, 1)["SPECRESP"].astype(float)
    edges, channels, matrix = read_matrix(data_dir / RMF_NAME)

    def rates(kt, abundance, redshift, nh):
        fine, flux = photon_flux(kt, abundance, redshift)
        total = np.concatenate([[0], np.cumsum(flux)])
        photons = np.diff(np.interp(edges, fine, total))
        middle = 0.5 * (edges[1:] + edges[:-1])
        cumulated = np.cumsum((photons * transmission(middle, nh) * area) @ matrix)
        at = np.interp(np.ravel(BANDS), channels, np.concatenate([[0], cumulated]))
        return np.diff(at.reshape(-1, 2))[:, 0]

    return rates


@pytest.mark.parametrize("kt", KT_KEV)
def test_the_built_in_instrument_agrees_with_the_real_files(folded, kt):
    instrument = load_instrument(vignetting="onaxis")
    deviation = []
    for abundance, redshift in OTHERS:
        ours = count_rates(kt, abundance, redshift, 3.0, instrument, BANDS).counts
        expected = folded(kt, abundance, redshift, 3.0)
        deviation.append(np.array(list(ours.values())) / expected - 1)
        no_absorption = folded(kt, abundance, redshift, 0.0)
        assert no_absorption[0] > 1.05 * expected[0], "the test could not see the absorption"
    worst = np.abs(deviation).max(axis=0)
    print(f"kT {kt} keV: worst deviation from ARF and RMF {np.round(100 * worst, 2)} %")
    assert worst.max() < 0.01


@pytest.mark.parametrize("kt", [0.7, 12.0])
def test_the_real_files_given_by_the_user_agree_with_themselves(folded, data_dir, kt):
    files = {"arf": data_dir / ARF_NAME, "rmf": data_dir / RMF_NAME}
    instrument = load_instrument(vignetting="onaxis", **files)
    for abundance, redshift in OTHERS:
        ours = count_rates(kt, abundance, redshift, 3.0, instrument, BANDS).counts
        np.testing.assert_allclose(
            list(ours.values()), folded(kt, abundance, redshift, 3.0), rtol=0.01
        )


def test_photons_drawn_one_by_one_fall_into_bands_at_the_rate():
    """A Monte Carlo of absorption, area and redistribution, of its own, meets the integral."""
    rng = np.random.default_rng(40)
    instrument, n = load_instrument(), 400_000
    edges, flux = photon_flux(3.0, 0.3, 0.2)
    low, high = instrument.energy_range_kev
    flux = np.where((edges[:-1] > low) & (edges[1:] < high), flux, 0)
    chosen = rng.choice(flux.size, n, p=flux / flux.sum())
    energy = edges[chosen] + rng.random(n) * np.diff(edges)[chosen]
    survives = transmission(energy, 3.0) * instrument.area_cm2(energy) / 3000
    energy = energy[rng.random(n) < survives]
    pi = instrument.redistribution.sample(energy, rng)
    expected = count_rates(3.0, 0.3, 0.2, 3.0, instrument, BANDS).counts
    for band, rate in expected.items():
        seen = np.sum((pi >= band[0]) & (pi < band[1]))
        wanted = rate * n / (3000 * flux.sum())
        assert abs(seen - wanted) < 4 * np.sqrt(wanted) + 1e-3 * wanted


def test_energy_conversion_of_a_power_law():
    """eFEDS calibration: 1.07e12 counts/s per erg/s/cm^2, 0.2-2.3 keV, index 2, N_H 3e20."""
    instrument = load_instrument(vignetting="onaxis")
    edges = np.arange(0.2, 11.9, 0.002)
    energy = 0.5 * (edges[1:] + edges[:-1])
    photons = 0.002 * energy**-2 * transmission(energy, 3.0)
    seen = instrument.redistribution.band_probability(energy, 0.2, 2.3)
    counts = np.sum(photons * instrument.area_cm2(energy) * seen)
    assert counts / energy_flux(edges, photons, 0.2, 2.3) == pytest.approx(1.07e12, rel=0.02)


def test_energy_flux_takes_part_of_the_bins_that_the_band_cuts():
    """Three photons per keV: 3 (hi^2 - lo^2) / 2 keV."""
    edges = np.array([0.1, 0.7, 1.5, 3.0])
    found = energy_flux(edges, 3 * np.diff(edges), 0.4, 2.0)
    assert found == pytest.approx(3 * (2.0**2 - 0.4**2) / 2 * 1.602176634e-9, rel=1e-9, abs=0)


def test_the_flux_band_must_lie_within_the_table_too():
    """At redshift 7 its 15 keV are seen as 1.9 keV: below 2 keV, above the counts' band."""
    with pytest.raises(InputError, match="2 keV is 16 keV at redshift 7"):
        count_rates(3.0, 0.3, 7.0, 3.0, load_instrument(), ((0.5, 1.0),))


def test_the_norm_is_xspecs():
    """The flux of a known emission measure, by the luminosity over 4 pi D_L^2."""
    redshift, distance_cm, measure = 0.2, 1e27, 1e66
    norm = 1e-14 / (4 * np.pi * (distance_cm * (1 + redshift)) ** 2) * measure
    edges, flux = photon_flux(5.0, 0.3, redshift)
    luminosity = measure * load_plasma_table().cooling_function(5.0, 0.3, 0.6, 2.4)
    luminosity_distance = distance_cm * (1 + redshift) ** 2
    expected = luminosity / (4 * np.pi * luminosity_distance**2)
    assert norm * energy_flux(edges, flux, 0.5, 2.0) == pytest.approx(expected, rel=1e-6)


def test_absorption_lowers_rates_and_only_the_absorbed_flux():
    instrument = load_instrument()
    thin, thick = (count_rates(3.0, 0.3, 0.1, nh, instrument, BANDS) for nh in (0.0, 10.0))
    assert all(thick.counts[b] < thin.counts[b] for b in BANDS)
    assert thick.flux_soft == thin.flux_soft == thin.flux_soft_absorbed
    assert thick.flux_soft_absorbed < 0.9 * thick.flux_soft


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("kt", (0.01, 0.3, 0.1, 3.0)),
        ("kt", (np.nan, 0.3, 0.1, 3.0)),
        ("abundance", (3.0, -1.0, 0.1, 3.0)),
        ("redshift", (3.0, 0.3, -0.1, 3.0)),
        ("redshift", (3.0, 0.3, np.nan, 3.0)),
        ("redshift", (3.0, 0.3, 2.0, 3.0)),
        ("nh", (3.0, 0.3, 0.1, -3.0)),
    ],
)
def test_bad_values_name_their_field(field, values):
    with pytest.raises(InputError, match=field):
        count_rates(*values, load_instrument(), BANDS)


CALL = ["rate", "--kt", "5", "--abundance", "0.3", "--redshift", "0.1", "--nh", "3"]


def test_rate_prints_one_json_document(run_cli: RunCli):
    result = run_cli(*CALL, "--json")
    assert result.returncode == 0
    found = json.loads(result.stdout)
    assert list(found["bands"]) == ["0.5-1.2", "1.2-2.0", "2.0-7.0", "0.5-2.0", "0.2-2.3"]
    instrument = load_instrument(vignetting="onaxis")
    expected = count_rates(5.0, 0.3, 0.1, 3.0, instrument, BANDS)
    for (low, high), rate in expected.counts.items():
        assert found["bands"][f"{low}-{high}"] == pytest.approx(rate)
    assert found["flux_0.5_2"] == pytest.approx(expected.flux_soft)
    assert found["lambda_bol"] == pytest.approx(expected.lambda_bol)
    parts = found["bands"]["0.5-1.2"] + found["bands"]["1.2-2.0"]
    assert parts == pytest.approx(found["bands"]["0.5-2.0"], rel=1e-6)


def test_the_survey_average_is_lower_by_the_vignetting(run_cli: RunCli):
    onaxis, survey = (
        json.loads(run_cli(*CALL, "--json", *more).stdout)["bands"]
        for more in ([], ["--survey-average"])
    )
    assert 0.53 < survey["0.5-1.2"] / onaxis["0.5-1.2"] < 0.56
    assert 0.35 < survey["2.0-7.0"] / onaxis["2.0-7.0"] < 0.47


def test_rate_prints_a_table_with_units(run_cli: RunCli):
    result = run_cli(*CALL)
    assert result.returncode == 0
    for word in ("counts/s", "erg/s/cm^2", "erg cm^3/s", "0.2-2.3", "on axis"):
        assert word in result.stdout


@pytest.mark.parametrize("nh", ["3e20", "-1", "nan"])
def test_column_densities_that_cannot_be(nh: str, run_cli: RunCli):
    done = run_cli("rate", "--kt", 5, "--redshift", 0.3, f"--nh={nh}")
    assert done.returncode == 2 and "--nh: is" in done.stderr and "give 1e20 cm^-2" in done.stderr


def test_an_arf_without_specresp_is_one_line_and_status_2(tmp_path, run_cli: RunCli):
    path = tmp_path / "bad.arf"
    columns = [fits.Column(n, "E", array=[1.0, 2.0]) for n in ("ENERG_LO", "ENERG_HI", "AREA")]
    fits.BinTableHDU.from_columns(columns, name="SPECRESP").writeto(path)
    result = run_cli(*CALL, "--arf", path)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "bad.arf: SPECRESP" in result.stderr and "Traceback" not in result.stderr


def test_an_arf_has_no_survey_average(tmp_path, run_cli: RunCli):
    arf = tmp_path / "x.arf"
    result = run_cli(*CALL, "--arf", arf, "--survey-average")
    assert result.returncode == 2
    assert result.stderr.startswith("icmass: --survey-average: ")
