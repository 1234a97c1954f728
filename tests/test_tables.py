"""Tables as people keep them: any unit, spreadsheets' CSV, sexagesimal, gaps and sentinels."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.table import Table

from icmass.errors import InputError
from icmass.io.cluster_table import read_cluster_table
from icmass.io.masks import read_masks
from icmass.io.photon_tables import CLUSTER_COLUMNS, JoinedTable
from icmass.io.target import Target, check_target
from icmass.io.targets import read_targets
from icmass.io.units import converted, parse_unit
from icmass.plasma.absorption import DEFAULT_NH_1E20

KINDS = ("fits", "ecsv", "vot")
RA, DEC, Z = [150.1, 10.0], [2.21, -5.5], [0.3, 0.5]


def write(table: Table, file: Path) -> Path:
    formats = {".vot": "votable", ".csv": "ascii.csv"}
    table.write(file, format=formats.get(file.suffix))
    return file


def text(tmp_path: Path, content: str | bytes, name: str = "t.csv") -> Path:
    file = tmp_path / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def places(targets: list[Target]) -> np.ndarray:
    return np.array([(t.ra, t.dec, t.redshift) for t in targets])


EXPECTED = np.transpose([RA, DEC, Z])

# ---------------------------------------------------------------- units


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("unit", [u.rad, u.arcmin, u.deg])
def test_angles_in_any_unit_are_degrees(tmp_path: Path, kind: str, unit: u.Unit) -> None:
    angles = [(np.array(values) * u.deg).to_value(unit) for values in (RA, DEC)]
    table = Table({"RA": angles[0], "DEC": angles[1], "Z": Z}, units={"RA": unit, "DEC": unit})
    found = read_cluster_table(write(table, tmp_path / f"t.{kind}"))
    np.testing.assert_allclose(places(found), EXPECTED, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_hours_of_right_ascension(tmp_path: Path, kind: str) -> None:
    table = Table({"RA": np.array(RA) / 15, "DEC": DEC, "Z": Z}, units={"RA": "h", "DEC": "deg"})
    np.testing.assert_allclose(
        places(read_cluster_table(write(table, tmp_path / f"t.{kind}"))), EXPECTED
    )


@pytest.mark.parametrize(
    ("kind", "unit", "value"),
    [
        (kind, *case)
        for kind in KINDS
        for case in (("1e22 cm-2", 0.0345), ("cm-2", 3.45e20), ("dex(cm-2)", 20.5378))
        if (kind, case[0]) != ("vot", "dex(cm-2)")
    ],
)
def test_column_densities_in_any_unit(tmp_path: Path, kind: str, unit: str, value: float) -> None:
    table = Table({"RA": RA, "DEC": DEC, "Z": Z, "NH": [value, value]})
    file = tmp_path / f"t.{kind}"
    if kind == "fits":
        from astropy.io import fits

        hdu = fits.table_to_hdu(table)
        hdu.header["TUNIT4"] = unit
        hdu.writeto(file)
    else:
        table["NH"].unit = unit
        write(table, file)
    assert [t.nh for t in read_cluster_table(file)] == pytest.approx([3.45, 3.45], rel=1e-4)


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("nh", "3e20,4.5e20", [3, 4.5]),
        ("nh", "3,4.5", [3, 4.5]),
        ("nh_1e22", "0.03,0.045", [3, 4.5]),
        ("NH22", "0.03,0.045", [3, 4.5]),
        ("log_nh", "20.4771,20.6532", [3, 4.5]),
        ("N_H", "3e20,-1", [3, 7]),
        ("nh", "3,-99", [3, 7]),
        ("nh", "0,", [7, 7]),
    ],
)
def test_column_densities_without_a_unit(
    tmp_path: Path, name: str, values: str, expected: list[float]
) -> None:
    rows = "".join(f"1,2,0.3,{value}\n" for value in values.split(","))
    found = read_cluster_table(text(tmp_path, f"ra,dec,z,{name}\n{rows}"), nh=7.0)
    assert [t.nh for t in found] == pytest.approx(expected, rel=1e-3)
    assert [t.nh_is_known for t in found] == [nh != 7 for nh in expected]


@pytest.mark.parametrize(
    ("name", "cells", "message"),
    [
        ("nh", ("0.03", "0.02"), "column nh: 0.025 in '1e20 cm-2' is no Galactic N_H"),
        ("nh", ("20.5", "20.9", "21.2"), "20.5 to 21.2 without a unit may be log10"),
        ("nh_1e22", ("3e20", "4e20"), "column nh_1e22: 3.5e.20 in '1e22 cm-2' is no Galactic"),
    ],
)
def test_column_densities_that_cannot_be(
    tmp_path: Path, name: str, cells: tuple[str, ...], message: str
) -> None:
    rows = "".join(f"1,2,0.3,{cell}\n" for cell in cells)
    with pytest.raises(InputError, match=message):
        read_cluster_table(text(tmp_path, f"ra,dec,z,{name}\n{rows}"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("column", "unit", "hint"),
    [("RA", "s", "give deg"), ("Z", "km / s", "give a redshift, without a unit")],
)
def test_units_of_another_kind_are_refused_by_name(
    tmp_path: Path, kind: str, column: str, unit: str, hint: str
) -> None:
    table = Table({"RA": RA, "DEC": DEC, "Z": Z}, units={column: unit})
    with pytest.raises(InputError, match=rf"t.{kind}: column {column}: has unit '.*'; {hint}"):
        read_cluster_table(write(table, tmp_path / f"t.{kind}"))


@pytest.mark.parametrize("unit", ["1E-320", "1E-310 rad**-2"])
def test_units_whose_scale_is_no_number_are_refused_by_name(unit: str) -> None:
    with pytest.raises(InputError, match=r"t: column DEC: has unit '1E.*'; give deg"):
        converted(np.ones(2), unit, "deg", file="t", field="column DEC")


def test_unknown_units_are_refused_by_name(tmp_path: Path) -> None:
    from astropy.io import fits

    hdu = fits.table_to_hdu(Table({"RA": RA, "DEC": DEC, "Z": Z}))
    hdu.header["TUNIT1"] = "furlong"
    hdu.writeto(tmp_path / "t.fits")
    with pytest.raises(InputError, match=r"t.fits: column RA: has unit 'furlong'; give deg"):
        read_cluster_table(tmp_path / "t.fits")


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("10^{22} cm^{-2}", "1e22 cm-2"),
        ("10+20/cm2", "1e20 cm-2"),
        ("1e20 atoms cm-2", "1e20 cm-2"),
        ("10**22 cm**-2", "1e22 cm-2"),
        ("degrees", "deg"),
        ("DEG", "deg"),
        ("Radians", "rad"),
        ("[cm-2]", "dex(cm-2)"),
        ("log10(cm-2)", "dex(cm-2)"),
        ("---", ""),
    ],
)
def test_spellings_of_units(written: str, same: str) -> None:
    assert parse_unit(written) == parse_unit(same)


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("Msun", 0.7),
        ("1e14 Msun", 0.7e14),
        ("1e14 Msun/h", 1e14),
        ("solMass / littleh", 1.0),
        ("Msun h-1", 1.0),
    ],
)
def test_masses_with_and_without_h(unit: str, factor: float) -> None:
    found = converted(np.array([2.0]), unit, "Msun/h", file="t", field="m", h=0.7)
    assert found == pytest.approx([2 * factor])


def test_tables_of_photon_lists_have_units_too(tmp_path: Path) -> None:
    table = Table({"cluster_id": [1], "M500": [2e14], "R500": [1.0], "L_X": [3e37], "nh": [0.03]})
    units = {"M500": "solMass", "R500": "Mpc", "L_X": "W", "nh": "1e22 / cm2"}
    for name, unit in units.items():
        table[name].unit = unit
    file = write(table, tmp_path / "t.ecsv")
    row = JoinedTable(file, CLUSTER_COLUMNS, h=0.7).row(0)
    assert row == pytest.approx({"m500c": 1.4e14, "r500c": 0.7, "L_X": 3.0, "nh": 3.0})
    lengths = write(Table({"x_mpc": [100.0], "y_kpc_h": [5e4], "z": [3e4]}), tmp_path / "l.csv")
    row = JoinedTable(lengths, CLUSTER_COLUMNS, h=0.7).row(0)
    assert row == pytest.approx({"x": 70.0, "y": 50.0, "z": 30.0})
    with pytest.raises(InputError, match="column M500: has unit 'solMass'; give Msun/h"):
        JoinedTable(file, CLUSTER_COLUMNS)


# ---------------------------------------------------------------- CSV of spreadsheets


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfRA,DEC,Z\n150.1,2.21,0.3\n10,-5.5,0.5\n",
        "RA,DEC,Z\r\n150.1,2.21,0.3\r\n10,-5.5,0.5\r\n".encode("utf-16"),
        b"sep=;\r\nRA;DEC;Z;Notiz\r\n150,1;2,21;0,3;h\xfcbsch\r\n10;-5,5;0,5;\r\n",
        b"\xef\xbb\xbfRA;DEC;Z\n150,1;2,21;0,3\n10;-5,5;0,5\n",
        b"RA\tDEC\tZ\n150.1\t2.21\t0.3\n10\t-5.5\t0.5\n",
        b"# made by hand\n# ra,dec,z\n150.1,2.21,0.3\n10,-5.5,0.5\n",
        b"# a remark, with commas, two\nra,dec,z\n150.1,2.21,0.3\n\n10,-5.5,0.5\n",
        b'"RA","DEC","Z","name"\n"150.1","2.21","0.3","a;b;c;d"\n"10","-5.5","0.5",""\n',
        b"RA [deg],DE-C,z\n150.1,2.21,0.3\n10,-5.5,0.5\n".replace(b"RA [deg]", b"ra_deg"),
    ],
)
def test_csv_of_spreadsheets(tmp_path: Path, content: bytes) -> None:
    np.testing.assert_allclose(places(read_cluster_table(text(tmp_path, content))), EXPECTED)
    packed = text(tmp_path, gzip.compress(content), "t.csv.gz")
    np.testing.assert_allclose(places(read_cluster_table(packed)), EXPECTED)


@pytest.mark.parametrize(
    ("ra", "dec"),
    [
        ("10:00:24.0", "+02:12:36.0"),
        ("10 00 24", "02 12 36"),
        ("10h00m24s", "+2d12m36s"),
        ("150d06m00s", "+02d12m36.00s"),
        ("150.1", "2.21"),
        ("10:00:24", "−00:30:00"),
    ],
)
def test_sexagesimal_positions(tmp_path: Path, ra: str, dec: str) -> None:
    content = f"name,ra,dec,z\na,{ra},{dec},0.3\nb,,,0.3\n"
    first, second = read_cluster_table(text(tmp_path, content))
    south = dec.startswith("−")
    assert (first.ra, first.dec) == pytest.approx((150.1, -0.5 if south else 2.21))
    assert np.isnan(second.ra)


@pytest.mark.filterwarnings("ignore:.*did not parse as fits unit")
def test_sexagesimal_columns_of_vizier(tmp_path: Path) -> None:
    table = Table({"RAJ2000": ["10 00 24.0"], "DEJ2000": ["-02 12 36"], "z": [0.3]})
    table["RAJ2000"].unit, table["DEJ2000"].unit = '"h:m:s"', '"d:m:s"'
    for kind in KINDS:
        [found] = read_cluster_table(write(table, tmp_path / f"t.{kind}"))
        assert (found.ra, found.dec) == pytest.approx((150.1, -2.21))
    degrees = Table({"RA": ["10:30:00"], "DEC": ["-02:12:36"], "z": [0.3]}, units={"RA": "deg"})
    [found] = read_cluster_table(write(degrees, tmp_path / "d.fits"))
    assert found.ra == pytest.approx(10.5)


@pytest.mark.parametrize(
    ("header", "cell", "expected"),
    [
        ("id", "7", "7"),
        ("Cluster ID", "A 85", "A 85"),
        ("source_id", "12.0", "12"),
        ("SRC_NAME", "x", "x"),
        ("IAUNAME", "J1", "J1"),
        ("objid", "9007199254740993", "9007199254740993"),
        ("whatever", "x", "0"),
        ("id", "", "row 0"),
    ],
)
def test_names_of_clusters(tmp_path: Path, header: str, cell: str, expected: str) -> None:
    file = text(tmp_path, f"{header},ra,dec,z\n{cell},1,2,0.3\n")
    assert [t.name for t in read_cluster_table(file)] == [expected]


# ---------------------------------------------------------------- gaps


@pytest.mark.parametrize("cell", ["", "-1", "-99", "0", "nan", "--", "N/A", "?", "-1.0"])
def test_a_cluster_without_a_redshift_says_so(tmp_path: Path, cell: str) -> None:
    file = text(tmp_path, f"id,ra,dec,z\na,1,2,0.3\nb,1,2,{cell}\n")
    first, second = read_cluster_table(file)
    assert check_target(first).redshift == 0.3
    with pytest.raises(InputError, match="has no redshift"):
        check_target(second)


@pytest.mark.parametrize("kind", KINDS)
def test_masked_redshifts(tmp_path: Path, kind: str) -> None:
    table = Table({"RA": RA, "DEC": DEC}, masked=True)
    table["Z"] = np.ma.array(Z, mask=[False, True])
    first, second = read_cluster_table(write(table, tmp_path / f"t.{kind}"))
    assert first.redshift == 0.3
    with pytest.raises(InputError, match="has no redshift"):
        check_target(second)


def test_clusters_without_a_column_density_are_told(tmp_path: Path) -> None:
    file = text(tmp_path, "ra,dec,z,nh\n1,2,0.3,4\n1,2,0.3,-1\n")
    said: list[str] = []
    targets = read_targets(file, None, None, None, None, notes=said.append)
    assert [t.nh for t in targets] == [4.0, DEFAULT_NH_1E20]
    assert said == [f"{file}: has no N_H of 1 of 2 clusters: 3e20 cm^-2 is taken"]


def test_sources_have_the_columns_that_tables_have(tmp_path: Path) -> None:
    for ra, dec in (("RA_CORR", "DEC_CORR"), ("RAJ2000", "DEJ2000"), ("ra", "dec")):
        table = Table({ra: np.radians([150.1]), dec: np.radians([2.21])})
        table[ra].unit = table[dec].unit = "rad"
        masks = read_masks(sources=write(table, tmp_path / f"{ra}.fits"))
        assert masks.sources is not None
        assert (masks.sources.ra[0], masks.sources.dec[0]) == pytest.approx((150.1, 2.21))
    table["EXT"] = [[1.0, 2.0]]
    with pytest.raises(InputError, match="column EXT: is no column of one value a row"):
        read_masks(sources=write(table, tmp_path / "ext.fits"))


def test_compressed_files_are_named(tmp_path: Path) -> None:
    import bz2
    import lzma

    for name, content, what in (
        ("t.fits.bz2", bz2.compress(b"SIMPLE"), "bzip2"),
        ("t.fits.xz", lzma.compress(b"SIMPLE"), "xz"),
        ("t.csv", bz2.compress(b"ra,dec,z\n1,2,0.3\n"), "bzip2"),
    ):
        with pytest.raises(InputError, match=f"{name}: is compressed by {what}; expand it"):
            read_cluster_table(text(tmp_path, content, name))


@pytest.mark.parametrize(("name", "n"), [("efeds_clusters_liu", 542), ("efeds_clusters_mcmf", 542)])
def test_the_catalogues_of_efeds(data_dir: Path, name: str, n: int) -> None:
    found = read_cluster_table(data_dir / "erosita" / f"{name}.csv.gz")
    assert len(found) == n and all(t.name.startswith("eFEDS J") for t in found)
    assert all(0.001 < t.redshift < 1.5 and 120 < t.ra < 150 for t in found)
