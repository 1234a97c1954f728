"""Tables of halos: units and names, what cannot be used, ids and histories."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.io.halo_columns import KINDS, find_quantity
from icmass.io.sky_table import read_columns
from icmass.survey.catalogue_table import HaloTable, read_halo_table, with_table
from icmass.survey.presets import resolve_config
from icmass.universe.twins import TwinConfig

H = Cosmology().h


def read(tmp_path: Path, content: str, name: str = "halos.csv", box: float = 352.0) -> HaloTable:
    file = tmp_path / name
    file.write_text(content)
    return read_halo_table(file, TwinConfig(), Cosmology(), box)


def noted(table: HaloTable, words: str) -> bool:
    return any(words in note for note in table.notes)


@pytest.mark.parametrize(
    ("header", "cell", "value"),
    [
        ("m500c_msun_h", "2e14", 2e14),
        ("M500c_Msun", "2e14", 2e14 * H),
        ("m500_1e14_msun_h", "2", 2e14),
        ("log10_m500c_msun_h", "14", 1e14),
        ("logM500c_Msun", "14", 1e14 * H),
        ("M500crit_10^14_Msun", "3", 3e14 * H),
    ],
)
def test_masses_by_name(tmp_path: Path, header: str, cell: str, value: float) -> None:
    table = read(tmp_path, f"{header},z\n{cell},0.2\n")
    assert table.rows["m500c"][0] == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("kind", ["fits", "ecsv", "vot"])
@pytest.mark.parametrize(
    ("name", "unit", "cell", "value"),
    [
        ("M500c", "solMass", 2e14, 2e14 * H),
        ("M500c", "1e14 solMass", 2.0, 2e14 * H),
        ("log10_M500c", "solMass", 14.3, 10**14.3 * H),
    ],
)
def test_masses_by_unit(
    tmp_path: Path, kind: str, name: str, unit: str, cell: float, value: float
) -> None:
    table = Table({name: [cell], "redshift": [0.3]})
    table[name].unit = unit
    file = tmp_path / f"t.{kind}"
    table.write(file, format="votable" if kind == "vot" else None)
    found = read_halo_table(file, TwinConfig(), Cosmology(), 352.0)
    assert found.rows["m500c"][0] == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize(
    ("header", "cell", "quantity", "value"),
    [
        ("f_gas", "0.08", "M_gas", 8e12),
        ("mgas500_msun", "1e13", "M_gas", 1e13 * H),
        ("star_fraction", "0.03", "M_star", 3e12),
        ("T500c_keV", "2.5", "T", 2.5),
        ("log10_T_keV", "0.5", "T", 10**0.5),
        ("L_X_1e44", "0.7", "L_X", 0.7),
        ("log10_lx_erg_s", "44", "L_X", 1.0),
        ("Lbol", "3e43", "L_X", 0.3),
        ("lx_soft_1e44", "0.2", "L_X_soft", 0.2),
        ("L_X_0.5-2keV_erg_s", "2e43", "L_X_soft", 0.2),
        ("core_share", "0.4", "core_share", 0.4),
        ("centroid_shift", "0.02", "w", 0.02),
        ("n_sat", "30", "n_sat", 30),
    ],
)
def test_optional_quantities(
    tmp_path: Path, header: str, cell: str, quantity: str, value: float
) -> None:
    table = read(tmp_path, f"m500c_msun_h,redshift,{header}\n1e14,0.2,{cell}\n")
    assert table.rows[quantity][0] == pytest.approx(value, rel=1e-9)


def test_z_is_a_redshift_or_a_place(tmp_path: Path) -> None:
    table = read(tmp_path, "m500c_msun_h,z\n1e14,0.2\n")
    assert table.rows["redshift"][0] == 0.2
    header = "m500c_msun_h,redshift,x_kpc_h,y_kpc_h,z_kpc_h\n"
    table = read(tmp_path, header + "1e14,0.2,1000,2000,-3000\n")
    assert [table.rows[name][0] for name in "xyz"] == [1, 2, 349]


def test_shares_come_of_light_without_the_core(tmp_path: Path) -> None:
    text = "m500c_msun_h,z,l_x_1e44,l_x_excised_1e44\n1e14,0.2,1.0,0.7\n1e14,0.2,1,1.2\n"
    table = read(tmp_path, text)
    np.testing.assert_allclose(table.rows["core_share"], [0.3, np.nan])
    np.testing.assert_allclose(table.rows["L_X_ce"], [0.7, np.nan])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("z,mass\n0.2,1e14\n", "has no column M500c"),
        ("m500c_msun_h\n1e14\n", "has no column REDSHIFT"),
        ("m500c,z\n1e14,0.2\n", "column m500c: has no unit"),
        ("m500c_msun_h,z,m_gas\n1e14,0.2,1e13\n", "column m_gas: has no unit"),
        ("m500c_msun_h,z,l_x\n1e14,0.2,1.5\n", "column l_x: has no unit"),
        ("m500c_msun_h,z\n2,0.2\n", "has no usable row: row 1 has M500c 2 Msun/h"),
        ("m500c_msun_h,z\nnan,0.2\n", "has no usable row: row 1 has M500c nan"),
        ("m500c_msun_h,z,x_mpc_h,y_mpc_h,z_mpc_h\n1e14,0.2,9,9,400\n", "the box has 352"),
        ("m500c_msun_h,z\n", "has no rows"),
    ],
)
def test_what_cannot_be_used_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=r"halos\.csv") as caught:
        read(tmp_path, text)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_unknown_units_are_refused_by_name(tmp_path: Path) -> None:
    table = Table({"M500c": [1e14], "z": [0.2]})
    table["M500c"].unit = "kpc"
    table.write(tmp_path / "t.ecsv")
    with pytest.raises(InputError, match="column M500c: has unit 'kpc'"):
        read_halo_table(tmp_path / "t.ecsv", TwinConfig(), Cosmology(), 352.0)


def test_rows_that_cannot_be_made_are_listed_and_counted(tmp_path: Path) -> None:
    good = "\n".join("1e14,0.2,3" for _ in range(3))
    bad = "\n1e17,0.2,3\n1e14,-0.1,3\n,0.2,3\n1e14,0.2,-5\n"
    table = read(tmp_path, "m500c_msun_h,redshift,t_kev\n" + good + bad)
    np.testing.assert_array_equal(table.rows["row"], [1, 2, 3, 7])
    assert noted(table, "3 rows left out: row 4 has M500c 1e+17 Msun/h")
    assert noted(table, "row 5 has redshift -0.1") and noted(table, "row 6 has M500c nan")
    assert noted(table, "1 values cannot be and are drawn instead: row 7 has t_kev -5")
    assert np.isnan(table.rows["T"][3])


def test_columns_that_are_not_used_are_told(tmp_path: Path) -> None:
    table = read(tmp_path, "m500c_msun_h,z,colour\n1e14,0.2,7\n")
    assert noted(table, "not used: colour") and noted(table, "m500c of m500c_msun_h [Msun/h]")


def test_columns_of_several_values_are_refused_or_told(tmp_path: Path) -> None:
    table = Table({"m500c_msun_h": [1e14], "z": [0.2], "spectrum": [[1.0, 2.0]]})
    table.write(tmp_path / "halos.fits")
    found = read_halo_table(tmp_path / "halos.fits", TwinConfig(), Cosmology(), 352.0)
    assert noted(found, "not used: SPECTRUM")
    table["t_kev"] = [[1.0, 2.0]]
    table.write(tmp_path / "halos.ecsv")
    with pytest.raises(
        InputError, match=r"halos.ecsv: column t_kev: is no column of one value a r"
    ):
        read_halo_table(tmp_path / "halos.ecsv", TwinConfig(), Cosmology(), 352.0)


def test_snapshots_or_a_light_cone(tmp_path: Path) -> None:
    rows = "".join(f"1e14,{z}\n" for z in [0.1, 0.2, 0.3] * 3)
    table = read(tmp_path, "m500c_msun_h,redshift\n" + rows)
    np.testing.assert_array_equal(table.rows["snapshot"], [0, 1, 2] * 3)
    config = with_table(resolve_config("erass1", twins=True), table)
    assert config.halos.redshifts == (0.1, 0.2, 0.3) and config.halos.redshift_range is None
    rows = "".join(f"1e14,{z:.3f}\n" for z in np.linspace(0.1, 0.5, 9))
    cone = read(tmp_path, "m500c_msun_h,redshift\n" + rows)
    assert (cone.rows["snapshot"] == -1).all()
    assert with_table(resolve_config("phox", twins=True), cone).halos.redshift_range == (0.1, 0.5)


def test_a_box_of_the_table(tmp_path: Path) -> None:
    header = "m500c_msun_h,redshift,x_mpc_h,y_mpc_h,z_mpc_h,box_size_mpc_h\n"
    table = read(tmp_path, header + "1e14,0.2,400,2,3,500\n")
    assert table.box_mpc_h == 500
    assert with_table(resolve_config("phox", twins=True), table).halos.box_mpc_h == 500


HEADER = "halo_id,m500c_msun_h,redshift,x_mpc_h,y_mpc_h,z_mpc_h\n"


def test_histories_by_id(tmp_path: Path) -> None:
    text = "".join(f"{i},1e14,{z},{10 * i},5,5\n" for z in (0.1, 0.2) for i in (7, 8, 9))
    table = read(tmp_path, HEADER + text)
    np.testing.assert_array_equal(table.rows["history"], [0, 1, 2, 0, 1, 2])
    np.testing.assert_array_equal(table.rows["halo_id"], [7, 8, 9, 7, 8, 9])
    assert noted(table, "3 halos by their ids")


@pytest.mark.parametrize(
    ("ids", "words"),
    [((1, 2, 3, 3, 2, 1), "ids are of halos"), ((1, 2, 3, 4, 5, 6), "no id is there twice"),
     ((1, 1, 2, 1, 1, 2), "twice at one redshift")],
)  # fmt: skip
def test_ids_that_are_not_of_histories(tmp_path: Path, ids: tuple[int, ...], words: str) -> None:
    places = [10, 60, 110] * 2
    text = "".join(
        f"{i},1e14,{z},{x},5,5\n"
        for i, z, x in zip(ids, [0.1] * 3 + [0.2] * 3, places, strict=True)
    )
    table = read(tmp_path, HEADER + text)
    np.testing.assert_array_equal(table.rows["history"], [0, 1, 2, 0, 1, 2])
    assert noted(table, words) and noted(table, "matched between snapshots")


def test_without_ids_and_places_every_row_is_a_halo(tmp_path: Path) -> None:
    table = read(tmp_path, "m500c_msun_h,z\n" + "1e14,0.1\n1e14,0.2\n" * 3)
    np.testing.assert_array_equal(table.rows["history"], np.arange(6))
    assert noted(table, "every row is a halo of its own")


def test_the_catalogue_of_box2(data_dir: Path) -> None:
    file = data_dir / "magneticum" / "box2_3292.csv.gz"
    if not file.is_file():
        pytest.skip(f"absent: {file}")
    table = read_halo_table(file, TwinConfig(), Cosmology(), 352.0)
    assert len(table.rows) == 3292 and table.redshifts[0] == pytest.approx(0.1)
    for name in ("M_gas", "T", "M_star", "L_X", "core_share", "w"):
        assert np.isfinite(table.rows[name]).sum() > 3280
    assert noted(table, "no id is there twice: 13") and not noted(table, "left out")
    # histories: most halos are there in most of the six snapshots, and drift by little
    sizes = np.bincount(table.rows["history"].astype(int))
    assert 1200 < len(sizes) < 1500 and sizes.max() == 6
    fractions = np.log(table.rows["M_gas"] / table.rows["m500c"])
    order = np.lexsort((table.rows["redshift"], table.rows["history"]))
    same = np.diff(table.rows["history"][order]) == 0
    pairs = np.stack([fractions[order][:-1][same], fractions[order][1:][same]])
    assert np.corrcoef(pairs)[0, 1] > 0.8
    with gzip.open(file, "rt") as stream:
        assert stream.readline().startswith("id,uid")


def test_every_quantity_has_a_column_that_is_found(tmp_path: Path) -> None:
    for kind in KINDS.values():
        end = next((end for end in kind.units if end), "")
        file = tmp_path / "t.csv"
        file.write_text(f"{kind.names[0]}_{end}\n1\n")
        assert find_quantity(read_columns(file), kind) is not None
