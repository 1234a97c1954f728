"""Point spread functions: the King profile, tables of it, and files of both."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from scipy import stats
from scipy.integrate import quad
from scipy.optimize import brentq

from icmass.errors import InputError
from icmass.telescope.instrument import load_instrument
from icmass.telescope.psf import PSF, KingPSF, TabulatedPSF
from icmass.telescope.psf_file import read_psf

PN = load_instrument("xmm_pn").psf
RADII = np.concatenate([[0], np.geomspace(0.25, 300, 400)])
ENERGIES = np.array([0.5, 1.5, 4.0, 8.0])


def table_of(psf: PSF, energies: np.ndarray = ENERGIES) -> TabulatedPSF:
    return TabulatedPSF(energies, RADII, psf.encircled_energy(RADII, energies[:, None]))


@pytest.mark.parametrize("psf", [load_instrument().psf, PN, table_of(PN)])
def test_every_kind_keeps_the_protocol(psf: PSF):
    assert isinstance(psf, PSF)
    energy = np.random.default_rng(1).uniform(0.3, 9, 2000)
    dx, dy = psf.sample(energy, np.random.default_rng(2))
    assert dx.shape == dy.shape == energy.shape
    assert np.hypot(dx, dy).max() <= psf.max_radius_arcsec * (1 + 1e-12)
    assert psf.encircled_energy(1e5, energy) == pytest.approx(1.0)
    inside = psf.encircled_energy(psf.half_energy_width(energy) / 2, energy)
    np.testing.assert_allclose(inside, 0.5, atol=1e-6)
    assert psf.encircled_energy(np.ones((3, 1)), np.ones(5)).shape == (3, 5)
    assert np.shape(psf.half_energy_width(1.0)) == ()


def test_a_survey_of_erosita_draws_the_positions_that_it_always_did():
    """The formula and the use of random numbers as in version 0.1, to the last bit."""
    psf = load_instrument().psf
    energy = np.random.default_rng(3).uniform(0.2, 9, 20_000)
    rng, twin = np.random.default_rng(4), np.random.default_rng(4)
    dx, dy = psf.sample(energy, rng)
    core = np.interp(energy, [1.0, 7.0], [8.5, 12.1])
    whole = 1 - (1 + (np.asarray(900.0) / core) ** 2) ** (1 - 1.5)
    inside = twin.random(core.shape) * whole
    radius = core * np.sqrt((1 - inside) ** (1 / (1 - 1.5)) - 1)
    angle = 2 * np.pi * twin.random(core.shape)
    assert np.array_equal(dx, radius * np.cos(angle))
    assert np.array_equal(dy, radius * np.sin(angle))
    assert rng.random() == twin.random()


class TestKingProfile:
    @pytest.mark.parametrize("energy", [0.5, 1.5, 6.0])
    def test_encircled_energy_is_the_integral_of_the_brightness(self, energy: float):
        """Core and slope of XMM-CCF-REL-116, integrated numerically."""
        core, slope = 6.636 - 0.305 * energy, 1.525 - 0.015 * energy

        def ring(r: float) -> float:
            return 2 * np.pi * r * (1 + (r / core) ** 2) ** -slope

        whole = quad(ring, 0, 300, limit=200)[0]
        for radius in (2.0, 8.0, 15.0, 60.0, 200.0):
            expected = quad(ring, 0, radius, limit=200)[0] / whole
            assert PN.encircled_energy(radius, energy) == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize("energy", [0.5, 6.0])
    def test_samples_follow_it_where_the_slope_depends_on_energy(self, energy: float):
        dx, dy = PN.sample(np.full(40_000, energy), np.random.default_rng(5))
        radius = np.hypot(dx, dy)
        assert stats.kstest(radius, lambda r: PN.encircled_energy(r, energy)).pvalue > 1e-4
        other = 6.0 if energy < 1 else 0.5
        assert stats.kstest(radius, lambda r: PN.encircled_energy(r, other)).pvalue < 1e-4

    def test_the_pn_encircles_what_the_aperture_of_an_arfgen_file_does(self):
        """Area in 40 arcsec over the area on axis in `make_xmm_pn_table.py`: 0.862 in 1-4.5 keV."""
        energies = np.array([1.0, 1.5, 3.0, 4.0])
        assert PN.encircled_energy(40.0, energies) == pytest.approx(0.862, abs=0.015)

    def test_the_pn_agrees_with_published_fractions(self):
        """SAS task eupper: 0.71, 0.88, 0.93, 0.95 in 15 to 60 arcsec, itself to 5 per cent.

        The King profile has more in its wings, 0.03 to 0.08.
        """
        published = np.array([0.71, 0.88, 0.93, 0.95])
        ours = PN.encircled_energy(np.array([15.0, 30.0, 45.0, 60.0]), 1.5)
        np.testing.assert_allclose(ours, published, atol=0.08)
        assert (ours < published).all()

    def test_the_half_energy_width_of_the_pn(self):
        """That of the integral, and a third above the 15 arcsec of the mirror module.

        15 arcsec at 1.5 keV is what the mirrors have by themselves (Aschenbach et al. 2000,
        astro-ph/0007256); the calibration's profile has the detector's pixels of 4.1 arcsec in its
        core and wings to 5 arcmin. Its full width at half maximum is 9.5 arcsec.
        """
        core, slope = 6.636 - 0.305 * 1.5, 1.525 - 0.015 * 1.5

        def inside(radius: float) -> float:
            return quad(lambda r: r * (1 + (r / core) ** 2) ** -slope, 0, radius, limit=200)[0]

        half = brentq(lambda r: inside(r) / inside(300.0) - 0.5, 1, 100)
        found = float(PN.half_energy_width(1.5))
        assert found == pytest.approx(2 * half, rel=1e-4)
        assert 15 < found < 1.45 * 15
        peak = 2 * core * np.sqrt(2 ** (1 / slope) - 1)
        bright = PN.encircled_energy(np.array([0.01, peak / 2, peak / 2 + 0.01]), 1.5)
        ring = (bright[2] - bright[1]) / ((peak / 2 + 0.01) ** 2 - (peak / 2) ** 2)
        assert ring == pytest.approx(0.5 * bright[0] / 0.01**2, rel=0.01)
        assert peak == pytest.approx(9.5, abs=0.1)

    def test_a_slope_of_1_at_any_energy_is_refused(self):
        two = np.array([1.0, 2.0])
        with pytest.raises(InputError, match="slope above 1"):
            KingPSF(two, two, np.array([1.5, 1.0]), 100.0)


class TestTable:
    def test_it_is_the_profile_that_it_is_made_of(self):
        table = table_of(PN)
        radius = np.array([1.0, 3.3, 9.0, 33.0, 120.0])
        for energy in ENERGIES:
            of_table = table.encircled_energy(radius, energy)
            np.testing.assert_allclose(of_table, PN.encircled_energy(radius, energy), atol=1e-3)
        np.testing.assert_allclose(
            table.half_energy_width(ENERGIES), PN.half_energy_width(ENERGIES), rtol=2e-3
        )

    def test_samples_follow_it(self):
        table = table_of(PN)
        dx, dy = table.sample(np.full(40_000, 1.5), np.random.default_rng(6))
        radius = np.hypot(dx, dy)
        assert stats.kstest(radius, lambda r: PN.encircled_energy(r, 1.5)).pvalue > 1e-4
        assert stats.kstest(radius, lambda r: PN.encircled_energy(1.05 * r, 1.5)).pvalue < 1e-4
        angle = (np.arctan2(dy, dx) + np.pi) / (2 * np.pi)
        assert stats.kstest(angle, "uniform").pvalue > 1e-4

    def test_between_energies_it_is_their_mean(self):
        """A disc of 10 and one of 20 arcsec, three quarters of the way: closed form."""
        radius = np.array([0.0, 10.0, 20.0])
        discs = TabulatedPSF(np.array([1.0, 5.0]), radius, np.array([[0, 1, 1], [0, 0.25, 1.0]]))
        assert discs.encircled_energy(10.0, 4.0) == pytest.approx(0.25 + 0.75 * 0.25)
        assert discs.encircled_energy(5.0, 1.0) == pytest.approx(0.25)
        assert discs.encircled_energy(10.0, 0.1) == pytest.approx(1.0)
        assert discs.encircled_energy(10.0, 50.0) == pytest.approx(0.25)
        assert float(discs.half_energy_width(5.0)) == pytest.approx(2 * 20 / np.sqrt(2))
        dx, dy = discs.sample(np.full(20_000, 4.0), np.random.default_rng(7))
        seen = np.mean(np.hypot(dx, dy) <= 10)
        assert seen == pytest.approx(0.4375, abs=4 * np.sqrt(0.25 / 20_000))

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"energy_kev": np.array([2.0, 1.0])}, "energy_kev"),
            ({"radius_arcsec": np.array([1.0, 2.0, 3.0])}, "radius_arcsec"),
            ({"encircled": np.array([[0, 1.0]])}, "encircled"),
            ({"encircled": np.array([[0, 0.5, 0.4], [0, 0.5, 1]])}, "encircled"),
            ({"encircled": np.array([[0, 0.5, np.nan], [0, 0.5, 1]])}, "encircled"),
        ],
    )
    def test_a_fault_is_refused(self, change: dict[str, np.ndarray], field: str):
        good = {
            "energy_kev": np.array([1.0, 2.0]),
            "radius_arcsec": np.array([0.0, 1.0, 2.0]),
            "encircled": np.array([[0, 0.5, 1.0], [0, 0.5, 1.0]]),
        }
        TabulatedPSF(**good)
        with pytest.raises(InputError, match=rf"psf\.{field}"):
            TabulatedPSF(**(good | change))


def write_table(path: Path, psf: PSF) -> Path:
    """Write encircled energies in arcmin and eV, without the radius 0."""
    radius = np.tile(RADII[1:] / 60, (len(ENERGIES), 1))
    inside = psf.encircled_energy(RADII[1:], ENERGIES[:, None])
    n = RADII.size - 1
    fits.BinTableHDU.from_columns(
        [
            fits.Column("ENERGY", "D", unit="eV", array=1000 * ENERGIES),
            fits.Column("RADIUS", f"{n}D", unit="arcmin", array=radius),
            fits.Column("EEF", f"{n}D", array=inside),
        ]
    ).writeto(path)
    return path


def write_images(path: Path, energies: tuple[float, ...] = (4.0, 1.5), **cards: object) -> Path:
    """Write the profile of the pn in pixels of 1 arcsec, brightness at their centres."""
    y, x = np.indices((601, 601)) - 300.0
    hdus: list[fits.PrimaryHDU | fits.ImageHDU] = [fits.PrimaryHDU()]
    for energy in energies:
        core, slope = 6.636 - 0.305 * energy, 1.525 - 0.015 * energy
        hdu = fits.ImageHDU((1 + (x**2 + y**2) / core**2) ** -slope)
        hdu.header.update(ENERGY=energy, CDELT1=-1 / 3600, CRPIX1=301, CRPIX2=301)
        hdu.header.update(cards)
        hdus.append(hdu)
    fits.HDUList(hdus).writeto(path)
    return path


def facts_with(psf: dict[str, object], path: Path) -> str:
    text = (resources.files("icmass.telescope") / "data/xmm_pn.json").read_text()
    path.write_text(json.dumps(json.loads(text) | {"psf": psf}))
    return str(path)


class TestFiles:
    def test_an_instrument_may_hold_a_table(self, tmp_path: Path):
        inside = PN.encircled_energy(RADII, ENERGIES[:, None])
        psf = {"kind": "table", "energy_kev": ENERGIES.tolist(), "radius_arcsec": RADII.tolist()}
        name = facts_with({**psf, "encircled": inside.tolist()}, tmp_path / "x.json")
        found = load_instrument(name).psf
        assert isinstance(found, TabulatedPSF)
        assert found.encircled_energy(15.0, 1.5) == pytest.approx(
            float(PN.encircled_energy(15.0, 1.5)), abs=1e-3
        )

    def test_an_instrument_may_name_a_file_beside_it(self, tmp_path: Path):
        write_table(tmp_path / "psf.fits", PN)
        name = facts_with({"kind": "file", "file": "psf.fits"}, tmp_path / "x.json")
        found = load_instrument(name).psf
        assert isinstance(found, TabulatedPSF)
        np.testing.assert_allclose(found.energy_kev, ENERGIES)
        np.testing.assert_allclose(
            found.half_energy_width(ENERGIES), PN.half_energy_width(ENERGIES), rtol=2e-3
        )

    def test_images_give_the_profile_that_they_show(self, tmp_path: Path):
        found = read_psf(write_images(tmp_path / "psf.fits"))
        np.testing.assert_allclose(found.energy_kev, [1.5, 4.0])
        assert found.max_radius_arcsec == pytest.approx(300.0)
        radius = np.array([4.0, 8.0, 15.0, 60.0, 200.0])
        for energy in (1.5, 4.0):
            of_image = found.encircled_energy(radius, energy)
            np.testing.assert_allclose(of_image, PN.encircled_energy(radius, energy), atol=0.006)

    def test_units_of_images_are_read(self, tmp_path: Path):
        cards = {"ENERGYU": "eV", "CUNIT1": "arcmin", "CDELT1": 0.1}
        found = read_psf(write_images(tmp_path / "psf.fits", (1500.0, 4000.0), **cards))
        np.testing.assert_allclose(found.energy_kev, [1.5, 4.0])
        assert found.max_radius_arcsec == pytest.approx(1800.0)

    @pytest.mark.parametrize(
        ("cards", "field"),
        [
            ({"CUNIT1": "keV"}, "CUNIT1"),
            ({"ENERGYU": "m"}, "ENERGYU"),
            ({"CRPIX1": -5}, "CRPIX1"),
        ],
    )
    def test_an_image_with_a_fault_names_file_and_field(
        self, tmp_path: Path, cards: dict[str, object], field: str
    ):
        path = write_images(tmp_path / "bad.fits", (1.5,), **cards)
        with pytest.raises(InputError, match=rf"bad\.fits: {field}"):
            read_psf(path)

    def test_a_file_of_neither_is_refused(self, tmp_path: Path):
        fits.PrimaryHDU().writeto(tmp_path / "empty.fits")
        with pytest.raises(InputError, match=r"empty\.fits: EEF"):
            read_psf(tmp_path / "empty.fits")
        with pytest.raises(InputError, match=r"none\.fits: .*no such file"):
            read_psf(tmp_path / "none.fits")
        (tmp_path / "text.fits").write_text("no FITS\n")
        with pytest.raises(InputError, match=r"text\.fits: not a readable FITS file"):
            read_psf(tmp_path / "text.fits")

    @pytest.mark.parametrize(
        ("psf", "said"),
        [
            ({"kind": "gauss"}, r"x\.json: psf: kind must be"),
            ({"kind": "table", "energy_kev": [1, 2]}, r"x\.json: psf\.radius_arcsec"),
            ({"kind": "file", "file": "none.fits"}, r"none\.fits"),
        ],
    )
    def test_an_instrument_with_a_fault_is_refused(
        self, tmp_path: Path, psf: dict[str, object], said: str
    ):
        with pytest.raises(InputError, match=said):
            load_instrument(facts_with(psf, tmp_path / "x.json"))

    def test_rows_of_unequal_length_are_refused(self, tmp_path: Path):
        psf = {"kind": "table", "energy_kev": [1, 2], "radius_arcsec": [0, 1, 2]}
        rows = [[0, 0.5, 1], [0, 1]]
        with pytest.raises(InputError, match=r"psf\.encircled"):
            load_instrument(facts_with({**psf, "encircled": rows}, tmp_path / "x.json"))
