"""Tables in memory: what astropy, pandas and NumPy hold is read as a file of it would be."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import Angle, SkyCoord
from astropy.io import fits
from astropy.table import Column, MaskedColumn, QTable, Table
from astropy.utils.masked import Masked

from icmass.errors import InputError
from icmass.io.cluster_table import read_cluster_table
from icmass.io.memory_table import as_table, is_table, label_of, table_facts, table_files
from icmass.io.sky_table import column_of, find_column, read_columns
from icmass.io.target import Target
from icmass.io.targets import read_targets

NAMES, RA, DEC, Z, NH = ["A1", "A2"], [150.1, 10.0], [2.21, -5.5], [0.3, 0.5], [2.5, 4.5]
EXPECTED = [Target(*row) for row in zip(NAMES, RA, DEC, Z, NH, strict=True)]
COLUMNS: dict[str, Any] = {"NAME": NAMES, "RA": RA, "DEC": DEC, "Z": Z, "NH": NH}
DTYPE = [("NAME", "S4"), ("RA", ">f8"), ("DEC", "f8"), ("Z", "f8"), ("NH", "f8")]


def _structured() -> np.ndarray:
    return np.array(list(zip(NAMES, RA, DEC, Z, NH, strict=True)), DTYPE)


def _with_units() -> QTable:
    table = QTable({"NAME": NAMES, "RA": Angle(RA, "deg").to("hourangle")})
    table["DEC"] = (DEC * u.deg).to(u.rad)
    table["Z"], table["NH"] = Z, np.array(NH) / 100 * u.Unit("1e22 cm-2")
    return table


def _frame() -> Any:
    return pytest.importorskip("pandas").DataFrame(COLUMNS)


def _fits_record() -> Any:
    columns = _with_units()
    columns["RA"], columns["NH"] = columns["RA"].to(u.rad), columns["NH"].to(u.cm**-2)
    return fits.table_to_hdu(columns).data


@pytest.mark.parametrize(
    "table",
    [
        lambda: Table(COLUMNS),
        lambda: Table(COLUMNS, masked=True),
        lambda: Table({**COLUMNS, "NAME": Column(NAMES, dtype="S2")}),
        _with_units,
        _structured,
        lambda: np.ma.array(_structured()),
        lambda: _structured().view(np.recarray),
        lambda: _structured()[::-1][::-1],
        _fits_record,
        _frame,
        lambda: _frame().convert_dtypes(),
        lambda: _frame().astype({"NAME": "category"}),
        lambda: _frame().set_index("NAME"),
        lambda: _frame().set_index(["NAME", "Z"]),
        lambda: _frame().set_axis([7, 7]),
        lambda: _frame().astype(object),
        lambda: _frame().to_records(),
    ],
)
def test_a_table_in_memory_is_read_as_its_file_would_be(table: Callable[[], Any]) -> None:
    found = read_cluster_table(table())
    assert [t.name for t in found] == NAMES and all(t.nh_is_known for t in found)
    for name in ("ra", "dec", "redshift", "nh"):
        wanted = [getattr(target, name) for target in EXPECTED]
        assert [getattr(t, name) for t in found] == pytest.approx(wanted, rel=1e-12), name


def test_rows_of_a_fits_record_keep_units_and_gaps() -> None:
    hdu = fits.BinTableHDU.from_columns(
        [
            fits.Column("RA", "D", unit="rad", array=np.radians([*RA, 1.0])),
            fits.Column("DEC", "D", array=[*DEC, 1.0]),
            fits.Column("Z", "D", array=[*Z, 0.1]),
            fits.Column("NH", "J", null=-9, array=[3, -9, -9]),
            fits.Column("ID", "J", array=[5, 6, 7]),
        ]
    )
    found = read_cluster_table(hdu.data[[True, True, False]], nh=7.0)
    assert [(t.name, t.nh, t.nh_is_known) for t in found] == [("5", 3, True), ("6", 7, False)]
    assert [t.ra for t in found] == pytest.approx(RA)


def test_masked_cells_are_gaps() -> None:
    quantity = Masked(np.array(Z) * u.one, mask=[False, True])
    for column in (np.ma.array(Z, mask=[0, 1]), MaskedColumn(Z, mask=[0, 1]), quantity):
        table = QTable({"RA": RA, "DEC": DEC, "Z": column})
        table["ID"] = np.ma.array(["a", "b"], mask=[1, 0])
        first, second = read_cluster_table(table)
        assert first.redshift == 0.3 and np.isnan(second.redshift)
        assert (first.name, second.name) == ("row 0", "b")
    rows = np.ma.array(_structured(), mask=[(0, 0, 0, 0, 1), (1, 0, 0, 0, 0)])
    first, second = read_cluster_table(rows, nh=7.0)
    assert (first.nh, first.nh_is_known, second.name) == (7.0, False, "row 1")


def test_gaps_of_pandas() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({**COLUMNS, "NAME": ["A1", None]})
    frame["Z"] = pd.array([0.3, None], dtype="Float64")
    frame["NH"] = pd.array([3, None], dtype="Int64")
    first, second = read_cluster_table(frame, nh=7.0)
    assert (first.redshift, first.nh, first.nh_is_known) == (0.3, 3, True)
    assert np.isnan(second.redshift) and (second.nh, second.nh_is_known) == (7, False)
    assert (first.name, second.name) == ("A1", "row 1")


@pytest.mark.parametrize(
    ("cells", "labels", "numbers"),
    [
        (["a", None, b"b"], ["a", "", "b"], None),
        ([1, None, 2**62 + 1], ["1", "", str(2**62 + 1)], [1, np.nan, 2.0**62]),
        ([1, 2.5, None], ["1", "2.5", ""], [1, 2.5, np.nan]),
        ([Decimal("0.5"), np.nan, np.float32(2)], ["0.5", "", "2"], [0.5, np.nan, 2]),
        ([True, np.False_, np.ma.masked], ["1", "0", ""], [1, 0, np.nan]),
        (["x", 3, np.nan], ["x", "3", ""], [np.nan, 3, np.nan]),
        ([None, None, None], ["", "", ""], [np.nan] * 3),
        ([[1, 2], [3], None], None, None),
        ([1 + 2j, 3, 4], None, None),
    ],
)
def test_columns_of_any_object(
    cells: list[Any], labels: list[str] | None, numbers: list[float] | None
) -> None:
    values = np.empty(3, dtype=object)
    values[:] = cells
    columns = read_columns(Table({"x": Column(values, dtype=object)}))
    if labels is None:
        assert not columns and columns.others == ["x"]
        return
    found = column_of(columns, ["x"], "t")
    assert found.labels() == labels
    if numbers is not None:
        np.testing.assert_array_equal(found.plain_numbers(), numbers)


def test_nothing_of_the_users_is_changed() -> None:
    table = Table({**COLUMNS, "RA": Column(RA, unit="deg")}, masked=True)
    table["Z"].mask = [False, True]
    before = table.copy()
    read_cluster_table(table)
    assert (table == before).all() and table["Z"].mask.tolist() == [False, True]
    assert table.dtype == before.dtype and table["RA"].unit == u.deg


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (Table({"RA": RA, "DEC": DEC}), "has no column BEST_Z or REDSHIFT; it has RA, DEC"),
        (Table({"x": RA, **COLUMNS}, units={"DEC": "s"}), "column DEC: has unit 's'; give deg"),
        (Table({**COLUMNS, "NH": [0.03] * 2}), "column NH: 0.03 in '1e20 cm-2' is no Galactic N_H"),
        (Table({**COLUMNS, "Z": ["x", "y"]}), "column Z: holds no numbers"),
        (Table({**COLUMNS, "Z": np.ones((2, 3))}), "column Z: is no column of one value a row"),
        (Table(COLUMNS)[:0], "table: has no row"),
        (_structured()[:, None], "is an array of shape (2, 1); give one dimension, a cluster a"),
        (_structured()[:1].reshape(()), "is an array of shape (); give one dimension"),
        (QTable({"sky": SkyCoord(RA, DEC, unit="deg"), "z": Z}), "has no column RA or RA_CORR; it"),
    ],
)
def test_tables_that_cannot_be_used(table: Any, said: str) -> None:
    with pytest.raises(InputError, match=f"^the table: {re.escape(said)}"):
        read_cluster_table(table)


def test_too_many_rows_are_refused() -> None:
    with pytest.raises(InputError, match=r"^the table: has 3 rows, more than 2$"):
        read_columns(Table({"x": [1, 2, 3]}), max_rows=2)


def test_what_is_taken_and_left_open_is_told() -> None:
    said: list[str] = []
    table = Table({"RA": RA, "DEC": DEC, "Z": Z, "BEST_Z": Z})
    read_targets(table, None, None, None, None, notes=said.append)
    assert said == [
        "the table: redshift is column BEST_Z, not Z",
        "the table: has no N_H of all clusters: 3e20 cm^-2 is taken",
    ]


def test_files_and_tables_in_memory_are_told_apart(tmp_path: Path) -> None:
    file, table = tmp_path / "t.csv", Table(COLUMNS)
    assert (label_of(str(file)), label_of(table)) == (file, "the table")
    assert (table_files(file), table_files(table), table_files(None)) == ([file], [], [])
    assert table_facts(file) == {"file": "t.csv"}
    assert table_facts(table) == {"in_memory": "Table", "rows": 2}
    assert as_table([str(file)], "--table") == file and as_table(table, "--table") is table
    with pytest.raises(InputError, match=r"^table: has 2 files; give one"):
        as_table(["a.csv", "b.csv"], "--table")


@pytest.mark.parametrize(
    "given", [3, None, COLUMNS, [3], np.ones((2, 3)), Table(COLUMNS)[0], _structured()[0], u.deg]
)
def test_what_is_neither_a_path_nor_a_table_is_refused(given: Any) -> None:
    kind, want = type(given).__name__, "an astropy Table, a pandas DataFrame or a structured NumPy"
    assert not is_table(given)
    with pytest.raises(InputError, match=f"^wl: is of type {kind}, no table; give a .*{want}"):
        as_table(given, "--wl")


def test_pandas_is_not_imported_for_other_tables() -> None:
    code = (
        "import sys, numpy as np\n"
        "from icmass.io.memory_table import as_table\n"
        "light = 'astropy' not in sys.modules\n"
        "from astropy.table import Table\n"
        "from icmass.io.cluster_table import read_cluster_table as read\n"
        "table = Table({'ra': [1.0], 'dec': [2.0], 'z': [0.3]})\n"
        "assert read(as_table(table, '--table')) == read(table.as_array())\n"
        "print(light, 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


# ---------------------------------------------------------------- several values a row


@pytest.mark.parametrize("suffix", ["fits", "ecsv", "vot", None])
@pytest.mark.parametrize(("name", "values"), [("NH", np.ones((2, 2))), ("ID", np.ones((2, 3)))])
def test_optional_columns_of_several_values_are_refused(
    tmp_path: Path, suffix: str | None, name: str, values: np.ndarray
) -> None:
    table = Table({"RA": RA, "DEC": DEC, "Z": Z, name: values})
    given: Any = table if suffix is None else tmp_path / f"t.{suffix}"
    if suffix is not None:
        table.write(given, format="votable" if suffix == "vot" else None)
    with pytest.raises(InputError, match=f"column {name}: is no column of one value a row; give"):
        read_cluster_table(given)
    other = {"NH": "N_H", "ID": "NAME"}[name]
    table[other] = [3, 4]
    if suffix is not None:
        table.write(given, format="votable" if suffix == "vot" else None, overwrite=True)
    found = read_cluster_table(given)
    assert [(t.name, t.nh)[name == "NH"] for t in found] == ([3, 4] if name == "NH" else ["3", "4"])


def test_columns_of_several_values_that_nobody_looks_for_are_passed_over(tmp_path: Path) -> None:
    table = Table({**COLUMNS, "spectrum": np.ones((2, 4))})
    table.write(tmp_path / "t.fits")
    for given in (table, tmp_path / "t.fits"):
        assert [t.name for t in read_cluster_table(given)] == NAMES
        columns = read_columns(given)
        assert [name.lower() for name in columns.others] == ["spectrum"]
        assert find_column(columns, ["absent"]) is None
