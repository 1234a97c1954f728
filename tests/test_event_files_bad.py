"""Event files that cannot be used: one line with file, field and mend, exit 2, nothing written."""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from event_files import BANDS, DEC, RA, REDSHIFT, Change, draw, good, recard, write
from icmass.errors import InputError
from icmass.io import fits_images, fits_stream
from icmass.io.cluster_table import read_cluster_table
from icmass.io.events import scan_event_file
from icmass.io.fits_images import read_plane
from icmass.io.fits_stream import FitsStream
from icmass.io.target import Target
from icmass.sky.map_grid import MapGrid
from icmass.survey.observed.events import open_events

GRID = MapGrid(BANDS, 16)


def edited(**keys: Any) -> Change:
    """Change keywords of the events."""

    def change(path: Path) -> None:
        with fits.open(path, mode="update") as hdus:
            hdus["EVENTS"].header.update(keys)

    return change


def columns(change: Callable[[dict[str, np.ndarray]], None], **how: Any) -> Change:
    def write_again(path: Path) -> None:
        events = good(200)
        change(events)
        write(path, events, **how)

    return write_again


def cut(share: float) -> Change:
    return lambda path: path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def without(name: str) -> Change:
    def change(path: Path) -> None:
        with fits.open(path) as hdus:
            table = hdus["EVENTS"]
            kept = fits.BinTableHDU.from_columns(
                [c for c in table.columns if c.name != name], name="EVENTS"
            )
            fits.HDUList([hdus[0].copy(), kept]).writeto(path, overwrite=True)

    return change


def all_nan(events: dict[str, np.ndarray]) -> None:
    events["RA"][:] = np.nan


def all_flagged(events: dict[str, np.ndarray]) -> None:
    events["FLAG"][:] = 0x80000000


def far(events: dict[str, np.ndarray]) -> None:
    events["RA"] += 40


BAD: dict[str, tuple[Change, str]] = {
    "empty": (lambda p: p.write_bytes(b""), "e.fits: is empty; give a FITS file"),
    "text": (lambda p: p.write_text("<html>404</html>"), "e.fits: is no FITS file; give"),
    "header cut": (lambda p: p.write_bytes(p.read_bytes()[:1500]), "ends within a header"),
    "truncated": (cut(0.25), "extension EVENTS: ends after .* truncated; get the file again"),
    "an image": (
        lambda p: fits.writeto(p, np.zeros((9, 9)), overwrite=True),
        "is an image of 9x9 pixels, not a list of events; images go with --images",
    ),
    "no events": (
        columns(lambda e: e.update({k: v[:0] for k, v in e.items()})),
        "holds no event; leave it out",
    ),
    "no GTI": (columns(all, gtis={}), r"e.fits: has no GTI extension; give --expmap MAP or --exp"),
    "GTIs of 0 s": (
        columns(all, gtis={m: [] for m in range(1, 8)}),
        "e.fits: GTI extensions: add up to 0 s; give --expmap MAP or --exposure SECONDS",
    ),
    "GTI backwards": (columns(all, gtis={1: [(9, 3)]}), "GTI1: .* end before .*; correct START"),
    "GTI of NaN": (columns(all, gtis={1: [(np.nan, 3)]}), "extension GTI1: has intervals that are"),
    "FK4": (edited(RADESYS="FK4", EQUINOX=1950.0), "keyword RADESYS: is FK4; give .* ICRS"),
    "B1950": (edited(EQUINOX=1950.0), "keyword EQUINOX: is 1950; give positions in ICRS"),
    "scan": (edited(OBS_MODE="SURVEY"), "keyword OBS_MODE: is SURVEY: .* give --expmap MAP"),
    "no seconds": (edited(EXPOSURE=0.0), r"keyword EXPOSURE: is 0 s; give --exposure SECONDS or"),
    "bad seconds": (edited(EXPOSURE=-3), "keyword EXPOSURE: is -3 s; give --exposure SECONDS"),
    "huge seconds": (recard(b"OBS_MODE=", b"EXPOSURE= 1E999"), "keyword EXPOSURE: is inf s"),
    "elsewhere": (columns(far), "e.fits: EVENTS: no photon within .* check the position"),
    "all NaN": (columns(all_nan), "EVENTS: none of its 200 events is used: 200 not finite"),
    "all flagged": (columns(all_flagged), "200 flagged; check the cuts"),
    "no DEC": (without("DEC"), r"extension EVENTS: has no column DEC in deg or degree; it has"),
    "no PI": (without("PI"), "has no column PI in ev or kev; it has TIME"),
    "PI in channels": (edited(TUNIT9="chan"), "no column PI in ev or kev: PI is in 'chan'; give"),
    "RA of text": (recard(b"TFORM3  =", b"TFORM3  = '8A'"), "column RA holds no numbers"),
    "RA of arrays": (recard(b"TFORM3  =", b"TFORM3  = '2E'"), "column RA holds no plain numbers"),
    "bad TFORM": (recard(b"TFORM3  =", b"TFORM3  = 'ZZ'"), "TFORM3: 'ZZ' makes no sense"),
    "other TFORM": (recard(b"TFORM3  =", b"TFORM3  = '1E'"), "NAXIS1: .* makes no sense"),
    "NaN TSCAL": (recard(b"TTYPE3", b"TSCAL3  = 'NaN'"), "TSCAL3: 'NaN' makes no sense"),
    "huge TSCAL": (recard(b"TTYPE2 ", b"TSCAL3  = " + b"9" * 60), "column|NAXIS1|none of its"),
    "negative rows": (recard(b"NAXIS2  =", b"NAXIS2  = -5"), "NAXIS2: -5 makes no sense"),
    "many rows": (recard(b"NAXIS2  =", b"NAXIS2  = 999999999999"), "EVENTS: ends after .*trunc"),
    "more rows": (recard(b"NAXIS2  =", b"NAXIS2  = " + b"9" * 40), "NAXIS2: 9+ makes no"),
    "wide rows": (recard(b"NAXIS1  =", b"NAXIS1  = 4000000000"), "truncated|makes no sense"),
    "no END": (
        lambda p: p.write_bytes(p.read_bytes()[:2880] + b"XTENSION= 'BINTABLE'".ljust(80) * 80_000),
        "has a header without END",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(BAD))
@pytest.mark.parametrize("zipped", [False, True])
def test_one_line_exit_2_and_nothing_written(
    tmp_path: Path, run_cli: Any, name: str, zipped: bool
) -> None:
    change, message = BAD[name]
    file = write(tmp_path / "e.fits", good(200))
    change(file)
    if zipped:
        file.write_bytes(gzip.compress(file.read_bytes()))
    out = tmp_path / "out" / "X.zarr"
    place = ["--ra", RA, "--dec", DEC, "--redshift", REDSHIFT]
    done = run_cli("ingest", "esass", file, *place, "--pixels", 16, "--out", out)
    lines = done.stderr.splitlines()
    assert done.returncode == 2 and done.stdout == ""
    assert len(lines) == 1 and lines[0].startswith("icmass: "), done.stderr
    assert "e.fits" in lines[0]
    if not (zipped and "truncated" in message):  # then the end of the stream is met elsewhere
        assert re.search(message, lines[0])
    assert not list(tmp_path.glob("out/*"))


def test_maps_without_a_size(tmp_path: Path) -> None:
    file = write(tmp_path / "e.fits", good(20))
    for half_width in (np.nan, 0.0, 1e3):
        with pytest.raises(InputError, match=r"half_width: is .*; give 0.1 to 20"):
            open_events([file], MapGrid(BANDS, 16, half_width))


def test_a_missing_file_and_a_folder(tmp_path: Path, run_cli: Any) -> None:
    place = ["--ra", RA, "--dec", DEC, "--redshift", REDSHIFT, "--out", tmp_path / "X.zarr"]
    no_file = "no such file; give the path of a FITS file"
    folder = "is a folder; give the files in it"
    for file, said in ((tmp_path / "none.fits", no_file), (tmp_path, folder)):
        done = run_cli("ingest", "esass", file, *place)
        assert done.returncode == 2 and said in done.stderr
        assert len(done.stderr.splitlines()) == 1


# ---------------------------------------------------------------- gzip


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.95])
def test_a_truncated_gzip_file(tmp_path: Path, share: float) -> None:
    whole = gzip.compress(write(tmp_path / "a.fits", draw(5000)).read_bytes())
    file = tmp_path / "b.fits.gz"
    file.write_bytes(whole[: max(int(len(whole) * share), 3)])
    with pytest.raises(InputError, match=r"damaged or truncated gzip|truncated|is empty") as caught:
        open_events([file], GRID)
    assert "b.fits.gz" in str(caught.value)


def test_a_gzipped_file_whose_content_is_cut(tmp_path: Path) -> None:
    content = write(tmp_path / "a.fits", draw(5000)).read_bytes()
    file = tmp_path / "b.fits.gz"
    file.write_bytes(gzip.compress(content[:-40_000] if len(content) > 60_000 else content))
    with pytest.raises(InputError, match=r"b.fits.gz: .*truncated"):
        scan_event_file(file)


def test_a_damaged_gzip_stream(tmp_path: Path) -> None:
    whole = bytearray(gzip.compress(write(tmp_path / "a.fits", draw(5000)).read_bytes()))
    whole[len(whole) // 2] ^= 0xFF
    file = tmp_path / "b.fits.gz"
    file.write_bytes(whole)
    source = None
    with pytest.raises(InputError, match="damaged or truncated gzip file"):
        source = open_events([file], GRID)
        list(source.read([Target("", RA, DEC, REDSHIFT)]))


def bomb(path: Path, header: bytes, n_bytes: int) -> Path:
    """Write a gzip file of a header and zeros, without ever holding them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = bytes(2**20)
    crc, size = zlib.crc32(header), len(header)
    with path.open("wb") as file:
        file.write(b"\x1f\x8b\x08" + bytes(6) + b"\xff" + packer.compress(header))
        for _ in range(n_bytes // 2**20):
            file.write(packer.compress(piece))
            crc, size = zlib.crc32(piece, crc), size + len(piece)
        file.write(packer.flush() + struct.pack("<II", crc, size & 0xFFFFFFFF))
    return path


def events_header(path: Path, n: int) -> bytes:
    content = write(path, good(10)).read_bytes()
    card = b"NAXIS2  = "
    at = content.index(card + b" " * 18 + b"10")
    content = content[:at] + (card + b"%20d" % n) + content[at + 30 :]
    return content[: content.index(b"END" + b" " * 77, 2880) // 2880 * 2880 + 2880]


def image_header(n: int) -> bytes:
    header = fits.Header(
        [("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", n), ("NAXIS2", n)]
    )
    return header.tostring().encode("ascii")


def test_a_gzip_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_cli: Any) -> None:
    monkeypatch.setattr(fits_stream, "MAX_EXPANDED", (2**24, 200))
    file = bomb(tmp_path / "e.fits.gz", events_header(tmp_path / "a.fits", 10**9), 2**26)
    assert file.stat().st_size < 2**17
    place = ["--ra", RA, "--dec", DEC, "--redshift", REDSHIFT, "--out", tmp_path / "X.zarr"]
    done = run_cli("ingest", "esass", file, *place)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "e.fits.gz: expands to more than" in done.stderr and "gunzip" in done.stderr
    assert not (tmp_path / "X.zarr").exists() and not (tmp_path / "X.zarr.partial").exists()


def test_a_bomb_of_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fits_images, "MAX_EXPANDED", (2**20, 200))
    file = bomb(tmp_path / "i.fits.gz", image_header(4096), 2**24)
    with pytest.raises(
        InputError, match=r"i.fits.gz: .*an image of 16,777,216 pixels in a file of"
    ):
        read_plane(file)
    large = tmp_path / "large.fits"
    large.write_bytes(image_header(20_000))
    with large.open("ab") as sparse:
        sparse.truncate(2880 + 20_000**2 + (-(20_000**2)) % 2880)
    with pytest.raises(InputError, match="an image of 400,000,000 pixels"):
        read_plane(large)


def test_a_bomb_of_rows_and_of_hdus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fits_stream, "MAX_TABLE_BYTES", 2**20)
    table = fits.BinTableHDU.from_columns(
        [fits.Column(name, "D", array=[1.0]) for name in ("RA", "DEC", "Z")]
        + [fits.Column("ID", "4000A", array=["x"])]
    )
    table.header["NAXIS2"] = 3000
    header = fits.PrimaryHDU().header.tostring() + table.header.tostring()
    file = bomb(tmp_path / "t.fits.gz", header.encode("ascii"), 2**24)
    with pytest.raises(InputError, match="is a table of 3000 rows and 11 MiB, more than"):
        read_cluster_table(file)
    monkeypatch.setattr(fits_stream, "MAX_HDUS", 50)
    many = tmp_path / "m.fits"
    empty = fits.ImageHDU().header.tostring().encode("ascii")
    many.write_bytes(fits.PrimaryHDU().header.tostring().encode("ascii") + empty * 60)
    with pytest.raises(InputError, match=r"m.fits: has more than 50 HDUs"):
        scan_event_file(many)


@pytest.mark.slow
def test_three_megabytes_that_are_three_gigabytes(tmp_path: Path) -> None:
    import resource
    import time

    file = bomb(tmp_path / "e.fits.gz", events_header(tmp_path / "a.fits", 10**10), 3 * 2**30)
    assert file.stat().st_size < 4e6
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.monotonic()
    with pytest.raises(InputError, match=r"expands to more than 2 GiB and 200 times its size"):
        list(open_events([file], GRID).read([Target("", RA, DEC, REDSHIFT)]))
    assert time.monotonic() - start < 60
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


# ---------------------------------------------------------------- any damage


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write(tmp_path_factory.mktemp("small") / "a.fits", draw(30)).read_bytes()


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_damage_is_read_or_refused(small: bytes, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(small)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        kind = data.draw(st.sampled_from(["flip", "cut", "put", "take", "card"]))
        if kind == "flip":
            content[at] ^= data.draw(st.integers(1, 255))
        elif kind == "cut":
            content = content[: max(at, 1)]
        elif kind == "put":
            content[at:at] = data.draw(st.binary(max_size=200))
        elif kind == "take" and len(content) > 300:
            del content[at : at + data.draw(st.integers(1, 200))]
        elif kind == "card":
            at = at // 80 * 80
            value = data.draw(st.one_of(st.integers(), st.floats(), st.text("ABX'", max_size=9)))
            content[at + 10 : at + 30] = str(value).encode()[:20].ljust(20)
        content = content or bytearray(b"x")
    file = tmp_path / "x.fits"
    file.write_bytes(content)
    try:
        source = open_events([file], GRID, seconds=10.0)
        assert len(list(source.read([Target("", RA, DEC, REDSHIFT)]))) == 1
    except InputError as error:
        assert "x.fits" in str(error) and len(str(error).splitlines()) == 1


def test_a_header_card_that_is_no_card(tmp_path: Path) -> None:
    file = write(tmp_path / "a.fits", good(10))
    recard(b"OBS_MODE=", b"OBS_MODE= 'x ' 'y' = = \xff")(file)
    with pytest.raises(InputError, match="has a damaged header"), FitsStream(file) as stream:
        list(stream.hdus())
