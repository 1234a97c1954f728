"""Images and tables whose headers would have a library die, hang, fetch or fill the memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from event_files import BANDS, DEC, RA, REDSHIFT, recard
from icmass.errors import InputError
from icmass.io import text_table
from icmass.io.cluster_table import read_cluster_table
from icmass.io.fits_images import read_plane
from icmass.sky.map_grid import MapGrid, cluster_frame

GRID = MapGrid(BANDS, 16)


@pytest.mark.parametrize(
    "card",
    ["WCSAXES = 65536", "WCSAXES = -1", "A_ORDER = 100000", "CTYPE1  = 'RA---TAB'", "CDELT1  = 0.0",
     "CUNIT1  = 'm'", "CRVAL1  = 'x'", "CTYPE1  = 'FREQ'", "CTYPE2  = 'RA---TAN'"],
)  # fmt: skip
def test_hostile_coordinates_of_images(tmp_path: Path, card: str) -> None:
    header = cluster_frame(RA, DEC, redshift=REDSHIFT, grid=GRID).to_header()
    file = tmp_path / "i.fits"
    fits.writeto(file, np.ones((16, 16), "f4"), header)
    read_plane(file)
    content = file.read_bytes()
    key = card.split("=")[0].encode().ljust(8)
    at = content.find(key) if key in content else content.index(b"LATPOLE ")
    file.write_bytes(content[:at] + card.encode().ljust(80) + content[at + 80 :])
    with pytest.raises(InputError, match=r"i.fits: WCS: (unusable|is not celestial)"):
        read_plane(file)


@pytest.mark.parametrize(
    "card",
    ["ZVAL2   = -32", "ZVAL2   = 64", "ZVAL1   = -1", "ZVAL1   = 999999999", "ZTILE1  = 0",
     "ZTILE2  = -7", "ZTILE1  = 'x'", "ZBITPIX = 31"],
)  # fmt: skip
def test_hostile_parameters_of_compression(tmp_path: Path, card: str) -> None:
    """RICE makes room for BYTEPIX (ZVAL2) times the pixels before it looks at anything."""
    header = cluster_frame(RA, DEC, redshift=REDSHIFT, grid=GRID).to_header()
    file = tmp_path / "i.fits"
    fits.CompImageHDU(np.ones((16, 16), "i4"), header).writeto(file)
    read_plane(file)
    recard(card[:9].encode(), card.encode())(file)
    with pytest.raises(InputError, match=rf"i.fits: .*{card[:8].strip()}: .* makes no sense"):
        read_plane(file)


def test_a_header_that_says_two_things_is_taken_at_its_first(tmp_path: Path) -> None:
    """astropy takes the last NAXIS, and makes a list of so many axes."""
    header = cluster_frame(RA, DEC, redshift=REDSHIFT, grid=GRID).to_header()
    for image in (fits.PrimaryHDU, fits.CompImageHDU):
        file = tmp_path / "i.fits"
        hdu = image(np.arange(256, dtype="i4").reshape(16, 16), header)
        fits.HDUList([hdu] if image is fits.PrimaryHDU else [fits.PrimaryHDU(), hdu]).writeto(
            file, overwrite=True
        )
        recard(
            b"DATE-OBS" if b"DATE-OBS" in file.read_bytes() else b"MJDREF  ",
            b"NAXIS   = 9999999999",
        )(file)
        np.testing.assert_array_equal(read_plane(file).values.ravel(), np.arange(256))


def test_an_ascii_table_is_no_image(tmp_path: Path) -> None:
    column = fits.Column("A", "I10", array=np.arange(9), ascii=True)
    file = tmp_path / "t.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.TableHDU.from_columns([column])]).writeto(file)
    with pytest.raises(InputError, match=r"t.fits: has no two-dimensional image"):
        read_plane(file)


def test_scaled_and_blank_pixels(tmp_path: Path) -> None:
    file = tmp_path / "i.fits"
    hdu = fits.PrimaryHDU(
        np.array([[1, 2], [-9, 4]], "i2"),
        cluster_frame(RA, DEC, redshift=REDSHIFT, grid=GRID).to_header(),
    )
    hdu.writeto(file)
    recard(b"MJDREF  ", b"BLANK   = -9")(file)
    np.testing.assert_array_equal(read_plane(file).values, [[1, 2], [np.nan, 4]])
    recard(b"LATPOLE ", b"BSCALE  = 0.5")(file)
    np.testing.assert_array_equal(read_plane(file).values, [[0.5, 1], [np.nan, 2]])
    recard(b"BSCALE  ", b"BSCALE  = 'x'")(file)
    with pytest.raises(InputError, match=r"BSCALE: .*'x' makes no sense"):
        read_plane(file)


def test_votables_do_not_fetch_and_do_not_fill_the_memory(tmp_path: Path) -> None:
    start = '<?xml version="1.0"?><VOTABLE version="1.3"><RESOURCE><TABLE{rows}>'
    fields = '<FIELD name="RA" datatype="double"/><FIELD name="DEC" datatype="double"/>'
    end = "</TABLE></RESOURCE></VOTABLE>"
    link = '<DATA><BINARY><STREAM href="file:///etc/hostname"/></BINARY></DATA>'
    file = tmp_path / "t.vot"
    file.write_text(start.format(rows="") + fields + link + end)
    with pytest.raises(InputError, match=r"t.vot: has its data in another file"):
        read_cluster_table(file)
    rows = "<DATA><TABLEDATA><TR><TD>1</TD><TD>2</TD></TR></TABLEDATA></DATA>"
    file.write_text(start.format(rows=' nrows="99999999999"') + fields + rows + end)
    with pytest.raises(InputError, match=r"t.vot: nrows: has more than 1000000 rows"):
        read_cluster_table(file)


def test_a_text_table_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_table, "MAX_TEXT_BYTES", 2**20)
    file = tmp_path / "t.csv"
    file.write_text("ra,dec,z\n" + "1,2,0.1\n" * 2**18)
    with pytest.raises(InputError, match=r"t.csv: is larger than 1 MiB"):
        read_cluster_table(file)
