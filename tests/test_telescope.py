"""Area, redistribution, PSF and background: against the real files, and against bad files."""

import gzip
import json
from importlib import resources

import numpy as np
import pytest
from astropy.io import fits
from scipy import stats

from icmass.errors import InputError
from icmass.telescope.instrument import load_instrument
from icmass.telescope.ogip import read_arf, read_matrix, read_rmf
from icmass.telescope.psf import KingPSF
from icmass.telescope.response import redistribution_from_matrix

ARF_NAME = "erosita/onaxis_tm0_arf_filter_2023-01-17.fits.gz"
RMF_NAME = "erosita/onaxis_tm0_rmf_2023-01-17.fits.gz"
EDGES_KEV = np.linspace(0.3, 8.0, 41)
CHANNELS_KEV = np.linspace(0.2, 9.0, 101)


def two_peaks(n_channels=100):
    """A matrix with a main peak and an escape peak in each row, zero between them."""
    energy = 0.5 * (EDGES_KEV[1:] + EDGES_KEV[:-1])
    centre = 0.5 * (CHANNELS_KEV[1:] + CHANNELS_KEV[:-1])
    rows = []
    for e in energy:
        main = np.where(abs(centre - e) < 0.35, np.exp(-0.5 * ((centre - e) / 0.12) ** 2), 0)
        low = e - 1.74
        escape = np.where(abs(centre - low) < 0.2, 0.05, 0)
        rows.append(main + escape)
    matrix = np.array(rows)
    return (matrix / matrix.sum(1, keepdims=True)).astype(np.float32)


def groups_of(row):
    filled = np.concatenate([[False], row > 0, [False]]).astype(int)
    starts, ends = np.flatnonzero(np.diff(filled) == 1), np.flatnonzero(np.diff(filled) == -1)
    return starts, ends - starts


def write_rmf(path, matrix, *, first=1, layout="variable", tlmin=True, name="MATRIX", bad_row=None):
    """Write a matrix as OGIP wants it: variable-length, fixed-length or scalar columns."""
    groups = [groups_of(row) for row in matrix]
    if layout == "scalar":
        groups = [(s[:1], np.array([s[-1] + n[-1] - s[0]])) for s, n in groups]
    values = [
        np.concatenate([row[s : s + n] for s, n in zip(*group, strict=True)])
        for row, group in zip(matrix, groups, strict=True)
    ]
    starts, counts = [s + first for s, _ in groups], [n for _, n in groups]
    if bad_row is not None:
        starts[bad_row] = starts[bad_row] + 1000
    width, size = max(len(s) for s in starts), max(len(v) for v in values)

    def fixed(rows, length):
        return np.array([np.pad(r, (0, length - len(r))) for r in rows])

    if layout == "variable":
        formats = ("PI()", "PI()", "PE()")
        columns = [np.array([*c, np.zeros(0)], dtype=object)[:-1] for c in (starts, counts, values)]
    else:
        formats = ("I" if width == 1 else f"{width}I",) * 2 + (f"{size}E",)
        columns = [fixed(starts, width), fixed(counts, width), fixed(values, size)]
        columns = [c[:, 0] if layout == "scalar" and i < 2 else c for i, c in enumerate(columns)]
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column("N_GRP", "I", array=[len(s) for s in starts]),
            fits.Column("ENERG_LO", "E", unit="keV", array=EDGES_KEV[:-1]),
            fits.Column("ENERG_HI", "E", unit="keV", array=EDGES_KEV[1:]),
            fits.Column("F_CHAN", formats[0], array=columns[0]),
            fits.Column("N_CHAN", formats[1], array=columns[1]),
            fits.Column("MATRIX", formats[2], array=columns[2]),
        ],
        name=name,
    )
    if tlmin:
        table.header["TLMIN4"] = first
    bounds = fits.BinTableHDU.from_columns(
        [
            fits.Column("CHANNEL", "J", array=np.arange(len(CHANNELS_KEV) - 1) + first),
            fits.Column("E_MIN", "E", unit="keV", array=CHANNELS_KEV[:-1]),
            fits.Column("E_MAX", "E", unit="keV", array=CHANNELS_KEV[1:]),
        ],
        name="EBOUNDS",
    )
    fits.HDUList([fits.PrimaryHDU(), table, bounds]).writeto(path)
    return path


def write_arf(path, area=1000.0, *, column="SPECRESP", edges=EDGES_KEV, unit="keV"):
    low, high = edges[:-1], edges[1:]
    fits.BinTableHDU.from_columns(
        [
            fits.Column("ENERG_LO", "E", unit=unit, array=low),
            fits.Column("ENERG_HI", "E", unit=unit, array=high),
            fits.Column(column, "E", unit="cm**2", array=np.full(low.size, area)),
        ],
        name="SPECRESP",
    ).writeto(path)
    return path


class TestOgip:
    @pytest.mark.parametrize("layout", ["variable", "fixed", "scalar"])
    @pytest.mark.parametrize("first", [0, 1, 20])
    def test_a_matrix_comes_back_as_written(self, tmp_path, layout, first):
        matrix = two_peaks()
        assert max(len(groups_of(row)[0]) for row in matrix) == 2
        path = write_rmf(tmp_path / "x.rmf", matrix, first=first, layout=layout)
        edges, channels, read = read_matrix(path)
        np.testing.assert_array_equal(read, matrix)
        np.testing.assert_allclose(edges, EDGES_KEV, rtol=1e-6)
        np.testing.assert_allclose(channels, CHANNELS_KEV, rtol=1e-6)

    def test_the_first_channel_is_1_without_tlmin(self, tmp_path):
        matrix = two_peaks()
        path = write_rmf(tmp_path / "x.rmf", matrix, tlmin=False, name="SPECRESP MATRIX")
        np.testing.assert_array_equal(read_matrix(path)[2], matrix)

    def test_channels_that_do_not_fit_are_refused(self, tmp_path):
        path = write_rmf(tmp_path / "x.rmf", two_peaks(), bad_row=3)
        with pytest.raises(InputError, match=r"x\.rmf: F_CHAN: row 4.*TLMIN"):
            read_rmf(path)

    def test_a_matrix_with_the_area_in_it_is_refused(self, tmp_path):
        path = write_rmf(tmp_path / "x.rmf", 500 * two_peaks())
        with pytest.raises(InputError, match="HDUCLAS3"):
            read_rmf(path)

    def test_nan_in_the_matrix_is_refused(self, tmp_path):
        matrix = two_peaks()
        matrix[5, np.argmax(matrix[5])] = np.nan
        path = write_rmf(tmp_path / "x.rmf", np.where(np.isnan(matrix), 9e9, matrix))
        with fits.open(path, mode="update") as hdus:
            values = hdus["MATRIX"].data["MATRIX"][5]
            values[np.argmax(values)] = np.nan
        with pytest.raises(InputError, match="MATRIX"):
            read_rmf(path)

    def test_an_area_comes_back_and_may_be_in_eV(self, tmp_path):
        path = write_arf(tmp_path / "x.arf", 123.0, edges=1000 * EDGES_KEV, unit="eV")
        area = read_arf(path)
        np.testing.assert_allclose(area([0.3001, 1.0, 7.999]), 123.0)
        np.testing.assert_array_equal(area([0.2, 8.1]), 0.0)

    @pytest.mark.parametrize("value", [np.nan, -1.0, 0.0])
    def test_a_bad_area_is_refused(self, tmp_path, value):
        with pytest.raises(InputError, match=r"x\.arf: SPECRESP"):
            read_arf(write_arf(tmp_path / "x.arf", value))

    def test_an_arf_without_specresp_names_file_and_field(self, tmp_path):
        path = write_arf(tmp_path / "x.arf", column="AREA")
        with pytest.raises(InputError, match=r"x\.arf: SPECRESP: no such column") as caught:
            load_instrument(arf=path)
        assert caught.value.file == path and caught.value.field == "SPECRESP"

    def test_a_file_without_the_table_is_refused(self, tmp_path):
        path = write_arf(tmp_path / "x.arf")
        with pytest.raises(InputError, match="EBOUNDS"):
            read_rmf(path)

    def test_a_wrong_unit_is_refused(self, tmp_path):
        with pytest.raises(InputError, match="ENERG_LO"):
            read_arf(write_arf(tmp_path / "x.arf", unit="s"))

    def test_energies_that_do_not_increase_are_refused(self, tmp_path):
        with pytest.raises(InputError, match="ENERG_LO"):
            read_arf(write_arf(tmp_path / "x.arf", edges=EDGES_KEV[::-1]))

    def test_a_missing_file_is_refused(self, tmp_path):
        with pytest.raises(InputError, match=r"none\.arf: no such file"):
            load_instrument(arf=tmp_path / "none.arf")

    @pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
    @pytest.mark.parametrize("packed", [False, True])
    def test_a_truncated_file_is_refused(self, tmp_path, part, packed):
        whole = write_rmf(tmp_path / "whole.rmf", two_peaks()).read_bytes()
        cut = tmp_path / ("x.rmf.gz" if packed else "x.rmf")
        whole = gzip.compress(whole) if packed else whole
        cut.write_bytes(whole[: int(part * len(whole))])
        with pytest.raises(InputError, match=r"x\.rmf"):
            read_rmf(cut)

    def test_something_else_is_refused(self, tmp_path):
        path = tmp_path / "x.arf"
        path.write_text("not a response\n" * 400)
        with pytest.raises(InputError, match="not a readable FITS file"):
            read_arf(path)

    def test_energies_without_overlap_are_refused(self, tmp_path):
        path = write_arf(tmp_path / "x.arf", edges=np.linspace(20.0, 80.0, 61))
        with pytest.raises(InputError, match="no overlap"):
            load_instrument(arf=path)


def channel_counts(sample, channels_kev):
    return np.histogram(sample, channels_kev)[0]


def chi2_probability(observed, expected):
    """Return the probability of a larger chi-square, neighbours merged to 25 counts or more."""
    group = np.floor(np.cumsum(expected) / 25).astype(int)
    group = np.minimum(group, group[-1] - 1)
    o, e = np.bincount(group, observed), np.bincount(group, expected)
    o, e = o[e > 0], e[e > 0]
    return stats.chi2.sf(((o - e) ** 2 / e).sum(), o.size - 1)


class TestRedistribution:
    def test_samples_follow_the_real_matrix(self, data_dir):
        edges, channels, matrix = read_matrix(data_dir / RMF_NAME)
        rmf = redistribution_from_matrix(edges, channels, matrix)
        rng = np.random.default_rng(20)
        n = 40_000
        for energy in (0.352, 1.0, 1.95, 4.0):
            row = np.searchsorted(edges, energy) - 1
            drawn = channel_counts(rmf.sample(np.full(n, energy), rng), channels)
            assert drawn.sum() == n
            assert chi2_probability(drawn, n * matrix[row]) > 1e-4
            wrong = np.searchsorted(edges, 1.01 * energy) - 1
            assert chi2_probability(drawn, n * matrix[wrong]) < 1e-4, "no power"

    def test_the_built_in_one_has_the_width_of_the_real_one(self, data_dir):
        real, ours = read_rmf(data_dir / RMF_NAME), load_instrument().redistribution
        rng = np.random.default_rng(21)
        for energy in (0.4, 0.8, 1.49, 2.5, 4.0, 6.4):
            drawn = [r.sample(np.full(100_000, energy), rng) for r in (real, ours)]
            (low, middle, high), ours_at = (np.quantile(d, [0.16, 0.5, 0.84]) for d in drawn)
            assert ours_at[1] == pytest.approx(middle, abs=0.008)
            assert ours_at[2] - ours_at[0] == pytest.approx(high - low, rel=0.05)

    def test_band_probability_is_what_samples_do(self):
        rmf = load_instrument().redistribution
        rng = np.random.default_rng(22)
        n = 200_000
        for energy, band in [
            (0.55, (0.5, 1.2)),
            (1.2, (1.2, 2.0)),
            (2.1, (1.2, 2.0)),
            (6.0, (2, 7)),
        ]:
            pi = rmf.sample(np.full(n, energy), rng)
            p = float(rmf.band_probability(energy, *band))
            seen = np.mean((pi >= band[0]) & (pi < band[1]))
            assert abs(seen - p) < 4.5 * np.sqrt(p * (1 - p) / n) + 1e-4

    def test_bands_add_up_to_one(self):
        rmf = load_instrument().redistribution
        energy = np.linspace(0.2, 11.5, 50)
        parts = [rmf.band_probability(energy, *b) for b in [(0.0, 1.0), (1.0, 2.0), (2.0, 13.0)]]
        np.testing.assert_allclose(sum(parts), 1.0, atol=1e-6)

    def test_lost_photons_are_nan(self):
        rmf = redistribution_from_matrix(EDGES_KEV, CHANNELS_KEV, 0.8 * two_peaks())
        pi = rmf.sample(np.full(20_000, 2.0), np.random.default_rng(23))
        assert np.isnan(pi).mean() == pytest.approx(0.2, abs=4 * np.sqrt(0.16 / 20_000))
        assert rmf.band_probability(2.0, 0.0, 10.0) == pytest.approx(0.8, rel=1e-5)

    def test_zeros_between_the_peaks_stay_almost_empty(self):
        matrix = two_peaks()
        rmf = redistribution_from_matrix(EDGES_KEV, CHANNELS_KEV, matrix)
        pi = rmf.sample(np.full(50_000, 5.0), np.random.default_rng(24))
        assert np.mean((pi > 3.7) & (pi < 4.4)) < 2e-3

    def test_the_seed_decides(self):
        rmf, energy = load_instrument().redistribution, np.linspace(0.3, 5, 100)
        first, second, other = (rmf.sample(energy, np.random.default_rng(s)) for s in (1, 1, 2))
        np.testing.assert_array_equal(first, second)
        assert (first != other).any()

    def test_no_photons_no_energies(self):
        rng = np.random.default_rng(0)
        assert load_instrument().redistribution.sample(np.zeros(0), rng).shape == (0,)

    def test_a_photon_a_few_eV_outside_is_taken(self):
        rmf = redistribution_from_matrix(EDGES_KEV, CHANNELS_KEV, two_peaks())
        pi = rmf.sample(np.array([0.295, 8.005]), np.random.default_rng(25))
        assert np.isfinite(pi).all()

    @pytest.mark.parametrize("energy", [0.01, 50.0, np.nan])
    def test_a_photon_outside_is_refused(self, energy):
        with pytest.raises(InputError, match="energy_kev"):
            load_instrument().redistribution.sample(np.array([energy]), np.random.default_rng(0))


class TestArea:
    def test_facts_on_axis_and_survey(self):
        """Real on-axis ARF and eFEDS survey average, read at eight energies [cm^2]."""
        energy = np.array([0.5, 1.0, 1.5, 2.0, 2.3, 3.0, 5.0, 7.0])
        onaxis = [1089, 2188, 2504, 1987, 555, 684, 432, 203]
        survey = [592, 1219, 1353, 1008, 266, 276, 139, 48]
        ours = load_instrument(vignetting="onaxis").area_cm2(energy)
        np.testing.assert_allclose(ours, onaxis, rtol=0.02, atol=0)
        np.testing.assert_allclose(load_instrument().area_cm2(energy), survey, rtol=0.03, atol=0)

    def test_the_rounded_table_is_the_real_area(self, data_dir):
        arf = fits.getdata(data_dir / ARF_NAME, 1)
        energy = 0.5 * (arf["ENERG_LO"] + arf["ENERG_HI"])
        use = (energy > 0.25) & (energy < 9)
        ours = load_instrument(vignetting="onaxis").area_cm2(energy[use])
        deviation = np.abs(ours / arf["SPECRESP"][use] - 1)
        assert deviation.max() < 0.03
        assert deviation.mean() < 0.005

    def test_no_area_outside(self):
        np.testing.assert_array_equal(load_instrument().area_cm2([0.05, 14.0]), 0.0)


class TestPSF:
    def test_the_half_energy_width_is_the_measured_one(self):
        """Measured on AGN in eFEDS: 29.5 +- 1.4 arcsec."""
        assert abs(load_instrument().psf.half_energy_width(1.0) - 29.5) < 1.4

    def test_it_grows_with_energy(self):
        width = load_instrument().psf.half_energy_width(np.array([0.5, 1.0, 2.0, 5.0, 7.0]))
        assert (np.diff(width) >= 0).all()
        assert width[-1] / width[1] == pytest.approx(40 / 28, rel=0.02)

    @pytest.mark.parametrize("energy", [1.0, 5.0])
    def test_samples_follow_the_encircled_energy(self, energy):
        psf = load_instrument().psf
        dx, dy = psf.sample(np.full(50_000, energy), np.random.default_rng(30))
        radius = np.hypot(dx, dy)
        result = stats.kstest(radius, lambda r: psf.encircled_energy(r, energy))
        assert result.pvalue > 1e-4
        wrong = stats.kstest(radius, lambda r: psf.encircled_energy(1.05 * r, energy))
        assert wrong.pvalue < 1e-4
        half = 2 * np.median(radius)
        assert half == pytest.approx(float(psf.half_energy_width(energy)), rel=0.03)
        for angle in (np.arctan2(dy, dx), np.arctan2(dx, dy)):
            assert stats.kstest((angle + np.pi) / (2 * np.pi), "uniform").pvalue > 1e-4

    def test_the_profile_is_the_stated_one(self):
        """Within a few rc, surface brightness falls as (1 + (r/rc)^2)^-1.5."""
        psf, r = load_instrument().psf, np.array([0.0, 8.5, 17.0, 42.5])
        step = 0.01
        ring = psf.encircled_energy(r + step, 1.0) - psf.encircled_energy(r, 1.0)
        brightness = ring / (np.pi * ((r + step) ** 2 - r**2))
        expected = (1 + (r / 8.5) ** 2) ** -1.5
        np.testing.assert_allclose(brightness / brightness[0], expected, rtol=2e-3)

    def test_wings_end(self):
        psf = load_instrument().psf
        dx, dy = psf.sample(np.full(200_000, 1.0), np.random.default_rng(31))
        assert np.hypot(dx, dy).max() <= psf.max_radius_arcsec
        assert psf.encircled_energy(1e4, 1.0) == pytest.approx(1.0)

    def test_bad_parameters_are_refused(self):
        one = np.array([1.0])
        with pytest.raises(InputError):
            KingPSF(one, -one, 1.5, 100.0)
        with pytest.raises(InputError):
            KingPSF(one, one, 1.0, 100.0)
        with pytest.raises(InputError):
            KingPSF(one, 200 * one, 1.5, 100.0)


MEASURED = {
    (0.3, 0.6): (8.2, 2.1),
    (0.6, 1.1): (6.3, 2.6),
    (1.1, 1.6): (3.2, 2.7),
    (1.6, 2.2): (1.8, 2.8),
    (2.2, 3.5): (0.6, 5.7),
    (3.5, 5.0): (0.5, 6.4),
    (5.0, 7.0): (0.1, 8.5),
}
INTERPOLATED = {(0.5, 1.2): (16.4, 0.15), (1.2, 2.0): (7.6, 0.05), (2.0, 7.0): (22.9, 0.05)}


class TestBackground:
    @pytest.mark.parametrize("band", MEASURED)
    def test_measured_bands_are_met(self, band):
        rates = 1e4 * np.array(load_instrument().background.rate(*band))
        np.testing.assert_allclose(rates, MEASURED[band], atol=0.005)

    @pytest.mark.parametrize("band", INTERPOLATED)
    def test_bands_of_the_paper_are_met_within_their_errors(self, band):
        total, error = INTERPOLATED[band]
        ours = 1e4 * sum(load_instrument().background.rate(*band))
        assert ours == pytest.approx(total, rel=error)

    def test_only_the_sky_is_vignetted(self):
        survey, onaxis = (load_instrument(vignetting=v).background for v in ("survey", "onaxis"))
        for band in INTERPOLATED:
            (sky, particles), (sky_axis, particles_axis) = survey.rate(*band), onaxis.rate(*band)
            assert particles_axis == particles
            assert 1.7 < sky_axis / sky < 3.5

    def test_the_excess_variance(self):
        background = load_instrument().background
        assert 0.12 <= background.excess_fraction <= 0.14
        assert 2 <= background.cell_arcmin <= 4

    @pytest.mark.parametrize("band", [(0.1, 1.0), (2.0, 20.0), (2.0, 1.0), (np.nan, 1.0)])
    def test_a_bad_band_is_refused(self, band):
        with pytest.raises(InputError, match="band"):
            load_instrument().background.rate(*band)


def built_in_facts():
    return json.loads((resources.files("icmass.telescope") / "data/erosita.json").read_text())


class TestInstrument:
    def test_it_is_loaded_once_and_frozen(self):
        instrument = load_instrument()
        assert load_instrument() is instrument
        with pytest.raises(AttributeError):
            instrument.name = "other"

    def test_it_says_where_its_numbers_come_from(self):
        parts = {"area", "vignetting", "redistribution", "psf", "background"}
        assert parts <= set(load_instrument().sources)

    def test_user_files_replace_the_built_in_ones(self, tmp_path):
        arf = write_arf(tmp_path / "x.arf", 77.0)
        rmf = write_rmf(tmp_path / "x.rmf", two_peaks())
        instrument = load_instrument(arf=arf, rmf=rmf)
        np.testing.assert_allclose(instrument.area_cm2([1.0, 5.0]), 77.0)
        assert instrument.energy_range_kev == pytest.approx((0.3, 8.0))
        assert instrument.redistribution.band_probability(5.0, 2.9, 3.6) > 0.02

    @pytest.mark.parametrize("name", ["chandra", "none.json"])
    def test_an_unknown_instrument_is_refused(self, name):
        with pytest.raises(InputError, match="instrument"):
            load_instrument(name)

    def test_a_file_of_the_same_kind_is_an_instrument(self, tmp_path):
        facts = built_in_facts() | {"name": "half"}
        facts["area"]["onaxis_cm2"] = [a / 2 for a in facts["area"]["onaxis_cm2"]]
        path = tmp_path / "half.json"
        path.write_text(json.dumps(facts))
        half, whole = load_instrument(str(path)), load_instrument()
        assert half.area_cm2(1.0) == pytest.approx(whole.area_cm2(1.0) / 2)

    @pytest.mark.parametrize(
        ("part", "change", "said"),
        [
            ("psf", {"slope": "steep"}, r"psf\.slope"),
            ("psf", {"slope": 0.9}, "slope above 1"),
            ("area", {"onaxis_cm2": [1.0]}, "area.*onaxis_cm2 has 1 values"),
            ("area", {"energy_kev": [2.0, 1.0], "onaxis_cm2": [1.0, 1.0]}, "must increase"),
            ("redistribution", {"probability": [0.5]}, "redistribution.*1 values"),
            ("background", {"cell_arcmin": -1.0}, "background"),
            ("background", {"flux": 1.0}, r"background\.flux"),
        ],
    )
    def test_a_file_with_a_fault_is_refused(self, tmp_path, part, change, said):
        facts = built_in_facts()
        facts[part] |= change
        path = tmp_path / "bad.json"
        path.write_text(json.dumps(facts))
        with pytest.raises(InputError, match=said):
            load_instrument(str(path))

    def test_a_bad_choice_of_vignetting_is_refused(self):
        with pytest.raises(InputError, match="vignetting"):
            load_instrument(vignetting="offaxis")
