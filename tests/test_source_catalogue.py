"""Catalogues of sources and clusters as they are published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from icmass.errors import InputError
from icmass.io.source_catalogue import parse_column_map, read_source_catalogue
from icmass.missions.erosita.catalogues import CATALOGUES, FLUX_TO_COUNTS


def _main() -> Table:
    """Return two extended sources with the columns of eRASS:3 Main, one without redshift."""
    table = Table()
    table["IAUNAME"] = ["3eRASS J094452.8-711152", "3eRASS J000000.0+000000"]
    table["RA"], table["DEC"] = [146.22, 0.0], [-71.198, 0.0]
    table["EXT"], table["EXT_LIKE"], table["DET_LIKE_0"] = [20.0, 31.0], [12.0, 4.0], [90.0, 12.0]
    table["ML_CTS_1"], table["ML_RATE_1"], table["ML_EXP_1"] = [170.8, 24.0], [0.1708, 0.02], 1000.0
    for band, share in enumerate((0.06, 0.4, 0.5, 0.05, 0.0, 0.0, 0.0, 0.0, 0.0), start=1):
        table[f"ML_RATE_P{band}"] = share * np.array([0.1708, 0.02])
    table["ML_RATE_1"].unit, table["EXT"].unit, table["ML_EXP_1"].unit = "ct/s", "arcsec", "s"
    table["Z_LS10"] = [0.3, np.nan]
    return table


def test_main_of_the_data_releases(tmp_path: Path) -> None:
    _main().write(tmp_path / "eRASS3_Main.fits")
    rows = read_source_catalogue(tmp_path / "eRASS3_Main.fits", CATALOGUES, {"redshift": "Z_LS10"})
    assert rows.names[0] == "3eRASS J094452.8-711152"
    assert rows.columns["rate"] == pytest.approx([0.1708, 0.02])
    assert rows.columns["rate_p3"] == pytest.approx([0.0854, 0.01])
    assert rows.columns["exposure"] == pytest.approx([1000, 1000])
    assert rows.columns["redshift"][0] == 0.3 and np.isnan(rows.columns["redshift"][1])
    assert rows.used["extent"] == "EXT" and "rate_300kpc" not in rows.columns


def test_clusters_of_erass1_in_other_units(tmp_path: Path) -> None:
    """Names of Bulbul et al. (2024); of rates in counts a kilosecond and an extent in arcmin."""
    table = Table({"DETUID": ["a", "b"], "BEST_Z": [0.2, -1.0], "EXP": [150.0, 140.0]})
    table["CR500"], table["CR300kpc"] = [200.0, -1.0], [150.0, 30.0]
    table["CR500"].unit = table["CR300kpc"].unit = "ct / ks"
    table["EXT_LIKE"], table["M500"] = [20.0, 4.0], [13.0, -1.0]
    table.write(tmp_path / "erass1cl.fits")
    rows = read_source_catalogue(tmp_path / "erass1cl.fits", CATALOGUES)
    assert rows.columns["rate_r500c"][0] == pytest.approx(0.2)
    assert rows.columns["rate_300kpc"] == pytest.approx([0.15, 0.03])
    assert np.isnan(rows.columns["rate_r500c"][1]) and np.isnan(rows.columns["redshift"][1])


def test_a_column_name_twice(tmp_path: Path) -> None:
    """As in eRASSc3_Main_GDR3: the other columns are where they are."""
    file = tmp_path / "twice.fits"
    table = _main()
    table["SEPARATION"], table["SEPARATION_2"] = [1.0, 2.0], [3.0, 4.0]
    table["AFTER"] = [0.25, 0.35]
    table.write(file)
    content = file.read_bytes().replace(b"'SEPARATION_2'", b"'SEPARATION'  ")
    file.write_bytes(content)
    with fits.open(file) as held:
        assert list(held[1].header["TTYPE*"].values()).count("SEPARATION") == 2
    rows = read_source_catalogue(file, CATALOGUES, {"redshift": "AFTER"})
    assert rows.columns["redshift"] == pytest.approx([0.25, 0.35])


def test_counts_and_fluxes_stand_in(tmp_path: Path) -> None:
    table = Table({"z": [0.2, 0.3], "ML_CTS": [100.0, 50.0], "ML_RATE": [0.1, 0.2]})
    table["F_300kpc"] = [1e-13, -1.0]
    table.write(tmp_path / "a.csv")
    rows = read_source_catalogue(tmp_path / "a.csv", CATALOGUES)
    assert rows.columns["exposure"] == pytest.approx([1000, 250])
    assert rows.columns["rate_300kpc"][0] == pytest.approx(1e-13 * FLUX_TO_COUNTS)
    assert np.isnan(rows.columns["rate_300kpc"][1]) and "counts" not in rows.columns


def test_the_conversion_of_fluxes_is_that_of_a_plasma() -> None:
    import icmass

    for kt, redshift in ((1.0, 0.1), (3.0, 0.3), (8.0, 0.5)):
        unit = icmass.rate(kt, redshift, nh=3.0)
        ratio = unit.counts[0.2, 2.3] / unit.flux_soft
        assert ratio == pytest.approx(FLUX_TO_COUNTS, rel=0.04)


def test_efeds_as_published(data_dir: Path) -> None:
    """542 clusters, whose fluxes have the conversion of 0.2-2.3 keV."""
    folder = data_dir / "erosita"
    for name in ("efeds_clusters_mcmf.csv.gz", "efeds_clusters_liu.csv.gz"):
        if not (folder / name).is_file():
            pytest.skip(f"{name} is absent")
    klein = read_source_catalogue(folder / "efeds_clusters_mcmf.csv.gz", CATALOGUES)
    liu = read_source_catalogue(folder / "efeds_clusters_liu.csv.gz", CATALOGUES)
    assert len(klein) == len(liu) == 542
    assert klein.columns["extent"].min() >= 8 and klein.columns["extent"].max() <= 60
    assert not np.isnan(klein.columns["rate"]).any()
    assert np.isnan(liu.columns["rate_300kpc"]).sum() == 48
    flux = read_source_catalogue(
        folder / "efeds_clusters_mcmf.csv.gz", CATALOGUES, {"rate_300kpc": "ML_FLUX"}
    )
    ratio = klein.columns["rate"] / flux.columns["rate_300kpc"]
    assert np.median(ratio) == pytest.approx(CATALOGUES.fluxes["rate"].counts_per_flux, rel=0.02)


@pytest.mark.parametrize(
    ("table", "columns", "said"),
    [
        ({"z": [0.2], "x": [1.0]}, None, "no count rate"),
        ({"ML_RATE_1": [0.2]}, None, "Z"),
        ({"z": [0.2], "ML_RATE_1": [0.1], "ML_RATE_2": [0.1]}, None, "Main catalogue"),
        ({"z": [0.2], "ML_RATE_1": [0.1]}, {"rate": "CR"}, "no column CR"),
    ],
)
def test_tables_that_cannot_be_used(
    tmp_path: Path, table: dict[str, list[float]], columns: dict[str, str] | None, said: str
) -> None:
    Table(table).write(tmp_path / "a.csv")
    with pytest.raises(InputError, match=said) as caught:
        read_source_catalogue(tmp_path / "a.csv", CATALOGUES, columns)
    assert "a.csv" in str(caught.value)


def test_a_unit_of_another_kind_is_refused(tmp_path: Path) -> None:
    table = _main()
    table["ML_RATE_1"].unit = "erg / s"
    table.write(tmp_path / "a.fits")
    with pytest.raises(InputError, match="ML_RATE_1"):
        read_source_catalogue(tmp_path / "a.fits", CATALOGUES, {"redshift": "Z_LS10"})


def test_the_map_of_columns() -> None:
    assert parse_column_map("rate=CR500, redshift = Z") == {"rate": "CR500", "redshift": "Z"}
    assert parse_column_map(None) == {}
    for text in ("mass=M500", "rate", "rate="):
        with pytest.raises(InputError, match="columns"):
            parse_column_map(text)
    with pytest.raises(InputError, match="columns: names rate twice; name one"):
        parse_column_map("rate=RATE, rate =Z")
