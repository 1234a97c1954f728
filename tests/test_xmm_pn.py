"""EPIC-pn against published conversion factors and rates, and a mock survey with it."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import icmass
from conftest import RunCli
from icmass.errors import InputError
from icmass.observe.rates import count_rates
from icmass.plasma.absorption import transmission
from icmass.plasma.emissivity import ERG_PER_KEV
from icmass.survey.simulate import simulator_of
from icmass.telescope.instrument import load_instrument

ON_AXIS = load_instrument("xmm_pn", vignetting="onaxis")
FIELD = load_instrument("xmm_pn")

MATEOS = {(0.5, 1.0): 7.995, (1.0, 2.0): 5.779, (2.0, 4.5): 1.927, (4.5, 12.0): 0.554}
"""Counts per flux as it arrives [1e11 cm^2/erg], medium filter, of a power law of index 1.7 and N_H
3e20 cm^-2 (Mateos et al. 2009, A&A 496, 879, table 1)."""

OTHER_SPECTRA = {
    (1.4, 31.6): {(0.5, 2.0): 6.1556, (2.0, 10.0): 1.1236},
    (2.0, 1.0): {(0.5, 2.0): 6.8177, (2.0, 10.0): 1.3467},
    (2.2, 10.0): {(0.5, 2.0): 6.7410, (2.0, 10.0): 1.4095},
}
"""The same of package ecfxa 1.0 for index and N_H [1e20 cm^-2] other than what the table is scaled
to, and bands that it is not scaled to."""


def conversion(index: float, nh_1e20: float, low: float, high: float) -> float:
    """Return counts per flux of an absorbed power law in a band [1e11 cm^2/erg]."""
    energy = np.arange(0.151, 12.0, 0.002)
    photons = 0.002 * energy**-index * transmission(energy, nh_1e20)
    seen = ON_AXIS.redistribution.band_probability(energy, low, high)
    inside = (energy > low) & (energy < high)
    flux = (photons * energy)[inside].sum() * ERG_PER_KEV
    return float(np.sum(photons * ON_AXIS.area_cm2(energy) * seen) / flux / 1e11)


class TestArea:
    @pytest.mark.parametrize("band", MATEOS)
    def test_a_power_law_has_the_rate_of_the_xmm_catalogue(self, band: tuple[float, float]):
        """Within what the calibration changed since 2009: 1 per cent, 3 above 4.5 keV."""
        tolerance = 0.04 if band[0] > 4 else 0.015
        assert conversion(1.7, 3.0, *band) == pytest.approx(MATEOS[band], rel=tolerance)

    @pytest.mark.parametrize("spectrum", OTHER_SPECTRA)
    def test_other_spectra_have_the_rates_of_the_current_calibration(
        self, spectrum: tuple[float, float]
    ):
        for band, expected in OTHER_SPECTRA[spectrum].items():
            assert conversion(*spectrum, *band) == pytest.approx(expected, rel=0.015)

    def test_a_plasma_has_the_rate_of_its_flux(self):
        """0.5-2 keV: 6.58 to 6.78 for indices 1.4 to 2 (ecfxa), which a hot plasma lies between."""
        for kt in (3.0, 5.0, 8.0):
            rates = icmass.rate(kt, 0.1, nh=3.16, instrument="xmm_pn")
            per_flux = rates.counts[0.5, 2.0] / rates.flux_soft_absorbed / 1e11
            assert 0.985 * 6.58 < per_flux < 1.015 * 6.78

    def test_it_collects_what_eROSITA_collects_scaled_by_their_areas(self):
        """On axis pn has 0.63 of seven modules at 1 keV, and 2.2 times theirs at 5 keV."""
        erosita = load_instrument(vignetting="onaxis")
        assert 0.5 < ON_AXIS.area_cm2(1.0) / erosita.area_cm2(1.0) < 0.65
        assert 2.0 < ON_AXIS.area_cm2(5.0) / erosita.area_cm2(5.0) < 2.4

    def test_the_mean_of_the_field_is_that_of_a_real_field(self):
        """0.559 at 1 keV: the vignetting over the mask of observation 0827340901, gaps left out."""
        ratio = FIELD.area_cm2([1.0, 8.0]) / ON_AXIS.area_cm2([1.0, 8.0])
        assert ratio[0] == pytest.approx(0.559, rel=0.04)
        assert ratio[1] == pytest.approx(0.414, rel=0.04)


class TestRedistribution:
    @pytest.mark.parametrize("energy", [1.5, 3.0, 5.9, 8.0])
    def test_the_width_is_above_the_fano_limit(self, energy: float):
        """Silicon: 3.65 eV a pair, Fano factor 0.115 (Lechner et al. 1996).

        Readout noise and charge transfer losses come to it, of single and double events no more
        than as much again.
        """
        pi = ON_AXIS.redistribution.sample(np.full(100_000, energy), np.random.default_rng(8))
        low, high = np.quantile(pi, [0.5, 0.84])
        fwhm = 2.355 * 1000 * (high - low) / 0.994  # 84 per cent are below 0.994 sigma
        fano = 2.355 * np.sqrt(0.115 * 3.65 * 1000 * energy)
        assert fano < fwhm < 2.0 * fano

    def test_a_silicon_photon_may_leave_an_escape_peak(self):
        """A photon of 3 keV loses 1.74 keV now and then."""
        seen = ON_AXIS.redistribution.band_probability(3.0, 1.15, 1.4)
        beside = ON_AXIS.redistribution.band_probability(3.0, 1.5, 1.75)
        assert 0.002 < seen < 0.02 and beside < seen


class TestBackground:
    def test_particles_lie_between_the_two_stacks(self):
        """2-7 keV: 24.0 (SIXTE) and 17.5 (xmm_simulator) 1e-4 counts/s/arcmin^2."""
        for instrument in (ON_AXIS, FIELD):
            _, particles = instrument.background.rate(2.0, 7.0)
            assert 17.5e-4 < particles < 24.0e-4

    def test_the_hard_sky_is_the_cosmic_background(self):
        """De Luca & Molendi 2004: 11.6 E^-1.41 photons/s/cm^2/sr/keV, 18 per cent resolved."""
        energy = np.arange(0.151, 11.8, 0.002)
        photons = 0.82 * 11.6 * energy**-1.41 * (np.pi / 180 / 60) ** 2
        photons *= transmission(energy, 3.0) * FIELD.area_cm2(energy)
        seen = FIELD.redistribution.band_probability(energy, 2.0, 7.0)
        sky, _ = FIELD.background.rate(2.0, 7.0)
        assert sky == pytest.approx(0.002 * np.sum(photons * seen), rel=0.1)

    def test_lines_of_the_camera_stand_out(self):
        """Copper K alpha at 8.05 keV, aluminium K alpha at 1.49 keV."""
        rate = partial(_particles_per_kev, FIELD.background)
        assert rate(7.95, 8.15) > 4 * rate(9.5, 10.0)
        assert rate(1.45, 1.55) > 2 * rate(1.7, 1.9)


def _particles_per_kev(background: object, low: float, high: float) -> float:
    return background.rate(low, high)[1] / (high - low)  # type: ignore[attr-defined]


def test_the_table_is_what_its_script_makes(tmp_path: Path):
    root = Path(__file__).parents[1]
    made = tmp_path / "xmm_pn.json"
    script = [sys.executable, str(root / "tools" / "make_xmm_pn_table.py"), str(made)]
    subprocess.run(script, check=True, cwd=tmp_path)
    held = json.loads((root / "src/icmass/telescope/data/xmm_pn.json").read_text())
    new = json.loads(made.read_text())
    assert new["sources"] == held["sources"] and new["psf"] == held["psf"]
    for part in ("area", "vignetting", "redistribution", "background"):
        for name, values in held[part].items():
            np.testing.assert_allclose(new[part][name], values, rtol=1e-3, atol=2e-3)


class TestCommands:
    CALL = ("rate", "--kt", 5, "--redshift", 0.1, "--json")

    def test_rate_takes_an_instrument(self, run_cli: RunCli, tmp_path: Path):
        built_in = run_cli(*self.CALL, "--instrument", "xmm_pn")
        assert built_in.returncode == 0, built_in.stderr
        found = json.loads(built_in.stdout)["bands"]["0.5-2.0"]
        expected = count_rates(5.0, 0.3, 0.1, 3.0, ON_AXIS, [(0.5, 2.0)]).counts[0.5, 2.0]
        assert found == pytest.approx(expected)
        data = Path(__file__).parents[1] / "src/icmass/telescope/data/xmm_pn.json"
        copy = tmp_path / "mine.json"
        copy.write_text(data.read_text())
        assert run_cli(*self.CALL, "--instrument", copy).stdout == built_in.stdout
        assert "xmm_pn" in run_cli(*self.CALL[:-1], "--instrument", "xmm_pn").stdout

    @pytest.mark.parametrize("command", ["rate", "simulate"])
    def test_an_unknown_instrument_is_one_line(self, run_cli: RunCli, tmp_path: Path, command: str):
        calls = {
            "rate": self.CALL,
            "simulate": ("simulate", "--n", 1, "--preset", "demo", "--out", tmp_path / "x.zarr"),
        }
        result = run_cli(*calls[command], "--instrument", "chandra")
        assert result.returncode == 2 and result.stdout == ""
        assert result.stderr.count("\n") == 1 and "xmm_pn" in result.stderr
        assert not list(tmp_path.iterdir())


EXPOSURE = 20_000.0


@pytest.fixture(scope="module")
def mock(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    out = tmp_path_factory.mktemp("pn") / "pn.zarr"
    keys = (f"observe.exposure_s={EXPOSURE}", "observe.vignetting=onaxis")
    return icmass.simulate("demo", n=2, seed=3, out=out, instrument="xmm_pn", assignments=keys)


class TestMock:
    def test_the_option_is_the_parameter(self, mock: xr.Dataset):
        keys = [f"observe.exposure_s={EXPOSURE}", "observe.vignetting=onaxis"]
        keys.append("observe.instrument=xmm_pn")
        other = icmass.simulate("demo", n=1, seed=3, assignments=keys)
        assert other.attrs["config"] == mock.attrs["config"]
        assert np.array_equal(other.maps[0], mock.maps[0])

    def test_the_field_of_view_is_seen_and_no_more(self, mock: xr.Dataset):
        """Within a pixel's breadth of a disc of 14 arcmin; nothing falls outside."""
        observatory = simulator_of(mock).observatory
        for i in range(2):
            one = mock.isel(cluster=i)
            arcmin = float(observatory.cosmology.arcmin_per_mpc_h(float(one.redshift)))
            pixel = float(one.x[1] - one.x[0]) * arcmin
            whole = (pixel * one.sizes["x"]) ** 2
            seen = float((one.coverage > 0).sum()) * pixel**2
            expected = min(np.pi * 14**2, whole)
            assert seen == pytest.approx(expected, abs=0.5 * 2 * np.pi * 14 * pixel)
            assert int(one.maps.where(one.coverage == 0, 0).sum()) == 0
            assert one.coverage[32, 32] > 0.99

    def test_the_exposure_falls_as_the_vignetting(self, mock: xr.Dataset):
        """0.5-2 keV: 0.914 at 3, 0.756 at 6, 0.435 at 12 arcmin; with a mean area it is flat."""
        one = mock.isel(cluster=0)
        observatory = simulator_of(mock).observatory
        arcmin = float(observatory.cosmology.arcmin_per_mpc_h(float(one.redshift)))
        theta = np.hypot(one.x, one.y).values * arcmin
        for at, factor in ((3.0, 0.914), (6.0, 0.756), (12.0, 0.435)):
            near = abs(theta - at) < 1
            expected = factor * np.ones(near.sum())
            np.testing.assert_allclose(one.coverage.values[near].mean(), expected.mean(), rtol=0.03)
        flat = icmass.simulate("demo", n=1, seed=3, instrument="xmm_pn")
        assert set(np.unique(flat.coverage)) == {0, 1}

    def test_the_background_is_as_expected(self, mock: xr.Dataset):
        """Poisson, and 8 per cent from pointing to pointing; particles are not vignetted."""
        observatory = simulator_of(mock).observatory
        bands = observatory.grid.bands
        sky, particles = np.transpose([ON_AXIS.background.rate(*band) for band in bands])
        sky = sky - observatory.unresolved_rates(observatory.config.nh_1e20)
        for i in range(2):
            one = mock.isel(cluster=i)
            arcmin = float(observatory.cosmology.arcmin_per_mpc_h(float(one.redshift)))
            pixel = float(one.x[1] - one.x[0]) * arcmin
            expected = sky * float(one.coverage.sum()) + particles * float((one.coverage > 0).sum())
            expected *= pixel**2 * EXPOSURE
            found = one.maps.sel(component="background").sum(("y", "x")).values
            assert expected.min() > 3000
            np.testing.assert_allclose(found, expected, rtol=4 * 0.08)
            theta = np.hypot(one.x, one.y).values * arcmin
            hard = one.maps.sel(component="background").values[-1]
            ring, core = (theta > 9) & (theta < 13), theta < 4
            profile = ON_AXIS.field_of_view.vignetting(theta)
            per_pixel = [
                float((sky[-1] * profile[part] + particles[-1]).mean()) for part in (ring, core)
            ]
            contrast = hard[ring].mean() / hard[core].mean()
            assert contrast == pytest.approx(per_pixel[0] / per_pixel[1], rel=0.12)
            assert contrast > 0.75  # the vignetting alone would give half

    @pytest.mark.parametrize("cluster", [0, 1])
    def test_the_gas_gives_the_counts_of_its_emission(self, mock: xr.Dataset, cluster: int):
        """Each band of the map against count rates per emission measure, shell by shell.

        The share of all photons that is seen, weighted with the vignetting where it falls, is that
        of ideal ones, without point spread function and redistribution. Its spectrum is taken to be
        that of all the gas: 4 per cent is for the cooler gas beyond and for the phases of the gas.
        """
        simulator = simulator_of(mock)
        observatory, cosmology = simulator.observatory, simulator.config.cosmology
        scene, ideal = simulator.gas_photons(cluster, EXPOSURE)
        redshift, gas = scene.halo.redshift, scene.atmosphere
        distance = float(cosmology.comoving_distance(redshift)) / cosmology.h * 3.0857e24
        norm = 1e-14 * gas.emission_measure / (4 * np.pi * distance**2)
        bands = [*observatory.grid.bands, (0.06, min(12.4, 14.99 / (1 + redshift)))]
        grid = np.geomspace(0.1, 15, 60)
        kt = np.clip(gas.kt_kev, 0.1, 15)

        def rates(abundance: float) -> np.ndarray:
            nh = observatory.config.nh_1e20
            made = [count_rates(t, abundance, redshift, nh, ON_AXIS, bands).counts for t in grid]
            return np.array([np.interp(kt, grid, [m[band] for m in made]) for band in bands])

        plain = rates(0.0)
        expected = EXPOSURE * ((plain + gas.abundance * (rates(1.0) - plain)) @ norm)
        arcmin = float(cosmology.arcmin_per_mpc_h(redshift))
        half = observatory.grid.half_width
        inside = np.maximum(abs(ideal.x), abs(ideal.y)) < half
        seen = ON_AXIS.field_of_view.vignetting(np.hypot(ideal.x, ideal.y) * arcmin)
        expected = expected[:3] * seen[inside].sum() / expected[3]
        found = mock.maps[cluster].sel(component="icm").sum(("y", "x")).values
        assert expected.sum() > 5000
        np.testing.assert_array_less(abs(found - expected), 0.04 * expected + 4 * np.sqrt(expected))


def test_eROSITA_sees_the_whole_map():
    assert load_instrument().field_of_view is None
    survey = icmass.simulate("demo", n=1, seed=3)
    assert "coverage" not in survey


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ({"radius_arcmin": -1, "theta_arcmin": [0], "factor": [1]}, "radius_arcmin"),
        ({"radius_arcmin": 9, "theta_arcmin": [1, 2], "factor": [1, 1]}, "theta_arcmin"),
        ({"radius_arcmin": 9, "theta_arcmin": [0, 2], "factor": [1, 1.5]}, "factor"),
        ({"radius_arcmin": 9, "theta_arcmin": [0, 2], "factor": [1]}, "factor"),
        ({"radius_arcmin": 9, "theta_arcmin": [0, 2]}, "factor"),
    ],
)
def test_a_fault_of_the_field_is_refused(tmp_path: Path, part: dict[str, object], field: str):
    data = Path(__file__).parents[1] / "src/icmass/telescope/data/xmm_pn.json"
    facts = json.loads(data.read_text()) | {"field_of_view": part}
    (tmp_path / "x.json").write_text(json.dumps(facts))
    with pytest.raises(InputError, match=rf"field_of_view\.{field}"):
        load_instrument(str(tmp_path / "x.json"))
