"""Blocks of training clusters as the trainer wants them, kept on disk from the first epoch on.

To read a block of a survey is to decompress all its pixels and components and to add most of them
up; what is left is a third as large. It is written compressed to a temporary folder, that of
``TMPDIR``, and later epochs read it from there in a third of the time. The folder goes with the
process; where the disk has no room, blocks are read from the survey anew.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from dataclasses import fields
from pathlib import Path

from numcodecs import Blosc
from safetensors.torch import load, save

from icmass.training.sample import Sample

SHARE_OF_DISK = 0.5
"""Of what is free when the first block is kept, how much blocks may take."""


class KeptBlocks:
    """Samples by number, in a folder that is made with the first of them.

    Parameters
    ----------
    room : int, optional
        Bytes that they may take (default: half of what is free).
    """

    def __init__(self, room: int | None = None) -> None:
        self._room = room
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._lock = threading.Lock()
        self._codec = Blosc("zstd", clevel=1, shuffle=Blosc.BITSHUFFLE)
        self._kept: set[int] = set()

    def __len__(self) -> int:
        return len(self._kept)

    def read(self, number: int) -> Sample | None:
        """Return a block, or None if it is not kept."""
        if number not in self._kept:
            return None
        tensors = load(bytes(self._codec.decode(self._file(number).read_bytes())))
        held = {field.name: tensors.get(field.name) for field in fields(Sample)}
        return Sample(**held)  # type: ignore[arg-type]

    def keep(self, number: int, sample: Sample) -> None:
        """Keep a block, if there is room."""
        held = {field.name: getattr(sample, field.name) for field in fields(Sample)}
        tensors = {name: t.contiguous() for name, t in held.items() if t is not None}
        packed = self._codec.encode(save(tensors))
        with self._lock:
            file = self._file(number)
            if self._room is None:
                self._room = int(SHARE_OF_DISK * shutil.disk_usage(file.parent).free)
            if len(packed) > self._room:
                return
            self._room -= len(packed)
        try:
            file.write_bytes(packed)
        except OSError:  # the disk is full: what is not kept is read anew
            file.unlink(missing_ok=True)
            self._room = 0
        else:
            self._kept.add(number)

    def _file(self, number: int) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="icmass-blocks-")
        return Path(self._folder.name) / f"{number}.blosc"
