"""Tables of lensing masses as people have them, and M200c to M500c."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import Table
from scipy.optimize import brentq

from icmass.calibration.lensing_table import read_lensing_table
from icmass.calibration.mass_definition import m500c_of_m200c
from icmass.cosmology import Cosmology
from icmass.errors import InputError

COSMOLOGY = Cosmology()
H = COSMOLOGY.h


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "wl.csv"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("m500c_msun_h", "2e14", 2e14),
        ("m500c_msun", "2e14", 2e14 * H),
        ("M500c_1e14_msun", "2", 2e14 * H),
        ("log10_m500c_msun_h", "14.5", 10**14.5),
        ("log10_m500c_msun", "14.5", 10**14.5 * H),
    ],
)
def test_masses_in_any_unit(tmp_path: Path, column: str, value: str, expected: float) -> None:
    file = write(tmp_path, f"cluster,redshift,{column},ln_error\nA,0.3,{value},0.3\n")
    found = read_lensing_table(file, COSMOLOGY)
    assert np.exp(found.ln_mass) == pytest.approx(expected, rel=1e-9)
    assert found.ln_error[0] == 0.3 and found.cluster == ("A",) and found.redshift[0] == 0.3


@pytest.mark.parametrize("suffix", ["fits", "ecsv", "vot"])
def test_tables_with_units_of_every_kind(tmp_path: Path, suffix: str) -> None:
    table = Table(
        {
            "name": ["A1", "B2"],
            "z": [0.2, 0.4],
            "M500c": [3.0, 4.0] * u.Unit("1e14 solMass"),
            "M500c_err_up": [1.0, 1.0] * u.Unit("1e14 solMass"),
            "M500c_err_down": [0.8, 2.0] * u.Unit("1e14 solMass"),
        }
    )
    file = tmp_path / f"wl.{suffix}"
    table.write(file, format="votable" if suffix == "vot" else None)
    found = read_lensing_table(file, Cosmology(h=0.7))
    assert np.exp(found.ln_mass) == pytest.approx([2.1e14, 2.8e14], rel=1e-6)
    assert found.ln_error == pytest.approx([np.log(4 / 2.2) / 2, np.log(5 / 2) / 2], rel=1e-6)
    assert "h = 0.7" in found.about


@pytest.mark.parametrize(
    ("column", "unit", "message"),
    [
        ("m500c_msun_h", "1e14 Msun", "has unit '1e14 Msun', its name says Msun/h; give the unit"),
        ("m500c_msun", "1e14 Msun/h", "has unit '1e14 Msun/h', its name says Msun; give the unit"),
        ("log10_m500c_msun_h", "dex(Msun)", r"has unit 'dex\(Msun\)', its name says Msun/h"),
        ("m500c_msun_h", "1e14 Msun/h", None),
        ("m500c_msun_h", "1e14", "has unit '1e14'; give Msun/h"),
        ("m500c", "1e14 Msun/h", None),
        ("m500c_1e14_msun_h", "Msun/h", None),
    ],
)
def test_the_unit_of_a_name_and_the_columns_agree(
    tmp_path: Path, column: str, unit: str, message: str | None
) -> None:
    table = Table({"cluster": ["A"], "z": [0.3], column: [2.0], "ln_error": [0.3]})
    file = tmp_path / "wl.fits"
    table.write(file)
    with fits.open(file, mode="update") as hdus:
        hdus[1].header["TUNIT3"] = unit
    if message is None:
        assert np.exp(read_lensing_table(file, COSMOLOGY).ln_mass) == pytest.approx(2e14)
        return
    with pytest.raises(InputError, match=f"wl.fits: column {column.upper()}: {message}"):
        read_lensing_table(file, COSMOLOGY)


def test_errors_may_have_a_unit_of_their_own(tmp_path: Path) -> None:
    table = Table({"cluster": ["A"], "z": [0.3], "m500c_msun_h": [2e14], "err": [1 / H]})
    table["err"].unit = "1e14 Msun"
    table.write(tmp_path / "wl.ecsv")
    error = read_lensing_table(tmp_path / "wl.ecsv", COSMOLOGY).ln_error
    assert error == pytest.approx(np.log(3) / 2)
    table.rename_column("err", "m500c_msun_h_err")
    table.write(tmp_path / "wl.ecsv", overwrite=True)
    with pytest.raises(InputError, match=r"m500c_msun_h_err: has unit .*solMass', its name says"):
        read_lensing_table(tmp_path / "wl.ecsv", COSMOLOGY)


def test_errors_of_logarithms_and_symmetric_ones(tmp_path: Path) -> None:
    file = write(tmp_path, "id,z,log10_m500c_msun_h,err_up,err_down\n7,0.3,14.5,0.2,0.1\n")
    found = read_lensing_table(file, COSMOLOGY)
    assert found.ln_error[0] == pytest.approx(0.15 * np.log(10))
    file = write(tmp_path, "id,z,m500c_1e14_msun_h,m500c_1e14_msun_h_err\n7,0.3,2,0.5\n")
    assert read_lensing_table(file, COSMOLOGY).ln_error[0] == pytest.approx(np.log(2.5 / 1.5) / 2)


def nfw_m500c(m200c: float, c200c: float) -> float:
    """Return M500c of an NFW halo, from the condition on its mean density alone."""

    def within(x: float) -> float:
        return np.log(1 + x) - x / (1 + x)

    def excess(x: float) -> float:
        return within(x) / x**3 / (within(c200c) / c200c**3) - 500 / 200

    x500 = brentq(excess, 0.1 * c200c, c200c)
    return m200c * within(x500) / within(c200c)


@pytest.mark.parametrize("name", ["m500c_msun_h", "ln_error", "m500c_err_up", "M500C_ERR"])
def test_columns_of_several_values_are_refused(name: str) -> None:
    table = Table({"cluster": [1, 2], "redshift": [0.2, 0.4], "m500c_msun_h": [3e14, 4e14]})
    table[name] = np.ones((2, 2))
    with pytest.raises(InputError, match=f"column {name}: is no column of one value a row; give"):
        read_lensing_table(table, COSMOLOGY)


@pytest.mark.parametrize("relation", ["diemer19", "duffy08"])
def test_m200c_becomes_m500c(relation: str) -> None:
    from colossus.halo import concentration

    m200c, z = np.array([1e14, 5e14]), np.array([0.1, 0.5])
    found = m500c_of_m200c(m200c, z, COSMOLOGY, relation)
    with COSMOLOGY.colossus():
        c200c = [
            float(concentration.concentration(m, "200c", float(q), model=relation))
            for m, q in zip(m200c, z, strict=True)
        ]
    by_hand = [nfw_m500c(m, c) for m, c in zip(m200c, c200c, strict=True)]
    assert found == pytest.approx(by_hand, rel=1e-4)
    if relation == "duffy08":  # their table 1, all halos, 200 times critical
        published = 5.71 * (m200c / 2e12) ** -0.084 * (1 + z) ** -0.47
        assert c200c == pytest.approx(published, rel=0.01)
    assert ((found / m200c > 0.6) & (found / m200c < 0.75)).all()


def test_m200c_in_a_table(tmp_path: Path) -> None:
    file = write(tmp_path, "cluster,redshift,m200c_msun,ln_error\n3,0.3,5e14,0.3\n")
    found = read_lensing_table(file, COSMOLOGY)
    wanted = m500c_of_m200c(np.array([5e14 * H]), np.array([0.3]), COSMOLOGY)
    assert np.exp(found.ln_mass) == pytest.approx(wanted, rel=1e-9)
    assert "Diemer & Joyce 2019" in found.about


HEAD = "cluster,redshift,m500c_msun_h,ln_error\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "cluster,redshift,ln_error\nA,0.3,0.3\n",
            r"no column of a mass; give one of m500c_msun_h",
        ),
        ("redshift,m500c_msun_h,ln_error\n0.3,1e14,0.3\n", r"has no column CLUSTER"),
        ("cluster,m500c_msun_h,ln_error\nA,1e14,0.3\n", r"has no column BEST_Z or REDSHIFT"),
        ("cluster,redshift,m500c_msun_h\nA,0.3,1e14\n", r"no column of errors; give ln_error"),
        ("cluster,redshift,m500c,ln_error\nA,0.3,1e14,0.3\n", r"column m500c: has no unit"),
        (
            HEAD + "A,0.3,1e14,0.3\nB,0.3,-1e14,0.3\n",
            r"row 2, m500c_msun_h: is -1e\+14; give 1e\+11",
        ),
        (HEAD + "A,0.3,2,0.3\n", r"row 1, m500c_msun_h: is 2; give 1e\+11 .*m500c_1e14_msun_h"),
        (
            "cluster,z,m200c_1e14_msun,ln_error\nA,0.3,1e14,0.3\n",
            r"row 1, m200c_1e14_msun: is 1e\+14, that is 7.04e\+27 Msun/h; give 1e\+11",
        ),
        ("cluster,z,m500c_msun,ln_error\nA,0.3,-1,0.3\n", r"row 1, m500c_msun: is -1; give 1e"),
        (HEAD + "A,0.3,1e14,0.3\nB,-1,1e14,0.3\n", r"row 2, redshift: is -1; give a redshift"),
        (HEAD + "A,0.3,1e14,\nB,0.3,1e14,0.3\n", r"row 1, error of ln M: is nan; give an error"),
        (HEAD + "A,0.3,1e14,30\n", r"row 1, error of ln M: is 30"),
        (HEAD + ",0.3,1e14,0.3\nB,0.3,1e14,0.3\n", r"row 1: has no cluster; name it"),
        (HEAD + "A,0.3,,0.3\n", r"column m500c_msun_h: holds no mass"),
        (
            "cluster,z,m500c_msun_h,err_up,err_down\nA,0.3,1e14,5e13,1.2e14\n",
            r"row 1, err_down: is 1.2e\+14; give errors below the mass itself",
        ),
    ],
)
def test_bad_tables_are_one_line(tmp_path: Path, text: str, message: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(InputError, match=message) as raised:
        read_lensing_table(file, COSMOLOGY)
    assert str(file) in raised.value.command_line and "\n" not in raised.value.command_line


def test_rows_without_a_mass_are_left_out(tmp_path: Path) -> None:
    file = write(tmp_path, HEAD + "A,0.3,,\nB,0.2,1e14,0.3\n")
    found = read_lensing_table(file, COSMOLOGY)
    assert found.cluster == ("B",) and found.row.tolist() == [2]


def test_clusters_are_matched_by_name_or_index(tmp_path: Path) -> None:
    file = write(tmp_path, HEAD + "Abell  7,0.3,1e14,0.3\n2,0.1,1e14,0.3\n")
    found = read_lensing_table(file, COSMOLOGY)
    z = np.array([0.3, 0.2, 0.1])
    assert found.match(["abell 7", "x", "y"], z).tolist() == [0, 2]
    with pytest.raises(InputError, match="row 1: cluster Abell 7 is not in the survey; it has"):
        found.match([], z)
    with pytest.raises(InputError, match=r"row 1: cluster Abell 7 has redshift 0.3, in the survey"):
        found.match(["abell 7", "x", "y"], z + 0.2)
    with pytest.raises(InputError, match=r"row 2: cluster 2 is in row 1 already"):
        found.match(["x", "y", "abell 7"], np.full(3, 0.2), tolerance=1)
