"""Gzipped files: expanded once, member by member, refused when they are damaged."""

from __future__ import annotations

import gzip
import io
import itertools
import pickle
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from event_files import BANDS, HERE, draw, read_one, write
from icmass.errors import InputError
from icmass.io import gunzip
from icmass.io.events import scan_event_file
from icmass.io.gunzip import Expansion, Gunzip
from icmass.sky.map_grid import MapGrid
from icmass.survey.observed.events import open_events

TEXT = np.random.default_rng(0).integers(0, 9, 300_000).astype("u1").tobytes()


@pytest.mark.parametrize("step", [1000, 65_536, 10**6])
@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("padding", [0, 700_000])
def test_what_is_read_is_what_was_compressed(step: int, parts: int, padding: int) -> None:
    cuts = np.linspace(0, len(TEXT), parts + 1).astype(int)
    stored = b"".join(gzip.compress(TEXT[a:b]) for a, b in itertools.pairwise(cuts))
    stream = Gunzip(io.BytesIO(stored + bytes(padding)))
    for _ in range(2):
        found = b"".join(iter(lambda: stream.read(step), b""))
        assert found == TEXT and stream.read(10) == b""
        stream.rewind()


def test_damage_is_noticed() -> None:
    stored = gzip.compress(TEXT)
    for bad in (stored[:-3], stored[:1000], stored + b"more", stored[:-8] + bytes(8)):
        with pytest.raises((EOFError, zlib.error)):
            stream = Gunzip(io.BytesIO(bad))
            while stream.read(10**6):
                pass


def test_gzipped_events_are_expanded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = write(tmp_path / "e.fits", draw(20_000))
    packed = tmp_path / "e.fits.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    expected = read_one(open_events([plain], MapGrid(BANDS, 32)))
    expanded: list[int] = []
    whole = Gunzip.read

    def counting(self: Gunzip, n: int) -> bytes:
        found = whole(self, n)
        expanded.append(len(found))
        return found

    monkeypatch.setattr(Gunzip, "read", counting)
    source = open_events([packed], MapGrid(BANDS, 32))
    assert sum(expanded) == plain.stat().st_size == source.files[0].expansion.size
    for _ in range(2):
        found = read_one(source)
        np.testing.assert_array_equal(found["maps"], expected["maps"])
    assert sum(expanded) == plain.stat().st_size
    again: Any = pickle.loads(pickle.dumps(source.files[0]))  # of our own making
    assert not again.expansion
    monkeypatch.setattr(gunzip, "MAX_KEPT_BYTES", Expansion._kept + 1000)
    source = open_events([packed], MapGrid(BANDS, 32))
    assert not source.files[0].expansion
    [(_, found)] = source.read([HERE])
    np.testing.assert_array_equal(found["maps"], expected["maps"])


def test_the_room_is_given_back(tmp_path: Path) -> None:
    packed = tmp_path / "e.fits.gz"
    packed.write_bytes(gzip.compress(write(tmp_path / "e.fits", draw(2000)).read_bytes()))
    before = Expansion._kept
    file = scan_event_file(packed)
    assert Expansion._kept == before + file.expansion.size > before
    del file
    assert Expansion._kept == before
    packed.write_bytes(packed.read_bytes()[:-2000])
    with pytest.raises(InputError, match="damaged or truncated gzip file"):
        scan_event_file(packed)
    assert Expansion._kept == before
