"""``explain/NAME-maps.npz``: what the pixels of each explained cluster add to its mass."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from icmass.errors import InputError
from icmass.files import whole_file

SIDE = 64
"""Pixels along a side that maps are added up to, at most."""
_HINT = "run `icmass explain` again"


@dataclass(frozen=True)
class AttributionMaps:
    """Integrated gradients of the posterior mean of ln M500c, all bands added.

    Attributes
    ----------
    cluster : ndarray of int, shape (n,)
        Index into the survey, in ascending order.
    maps : ndarray of float16, shape (n, y, x)
        What each pixel adds to ln M500c over the expected background [ln M per pixel].
    """

    cluster: np.ndarray
    maps: np.ndarray

    @classmethod
    def of(cls, cluster: np.ndarray, values: np.ndarray) -> Self:
        """Return the maps of attributions (n, channel, y, x): added over channels and pixels."""
        n, _, side, _ = values.shape
        factor = next((k for k in range(1, side + 1) if side % k == 0 and side // k <= SIDE), 1)
        small = side // factor
        maps = values.sum(1).reshape(n, small, factor, small, factor).sum((2, 4))
        order = np.argsort(cluster, kind="stable")
        return cls(np.asarray(cluster)[order], maps[order].astype("f2"))

    @classmethod
    def join(cls, parts: list[Self]) -> Self:
        """Return the maps of several parts, clusters in ascending order."""
        cluster = np.concatenate([part.cluster for part in parts])
        order = np.argsort(cluster, kind="stable")
        return cls(cluster[order], np.concatenate([part.maps for part in parts])[order])

    def write(self, file: Path) -> None:
        """Write the file whole or not at all."""
        with whole_file(file) as draft, draft.open("wb") as stream:
            np.savez_compressed(stream, cluster=self.cluster, maps=self.maps)

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read what `write` wrote.

        Raises
        ------
        InputError
            If there is no such file, or it is damaged.
        """
        try:
            with np.load(file, allow_pickle=False) as stored:
                cluster, maps = np.asarray(stored["cluster"]), np.asarray(stored["maps"])
        except Exception as error:  # a damaged archive raises many kinds
            what = f"is not readable ({type(error).__name__})"
            raise InputError(what, file=file, hint=_HINT) from None
        square = maps.ndim == 3 and maps.shape[1] == maps.shape[2]
        if cluster.dtype.kind not in "iu" or maps.dtype.kind != "f" or not square:
            raise InputError("holds no maps", file=file, hint=_HINT)
        if cluster.shape != maps.shape[:1] or (np.diff(cluster) <= 0).any():
            raise InputError("does not say of which clusters", file=file, hint=_HINT)
        if (len(cluster) and cluster[0] < 0) or not np.isfinite(maps).all():
            raise InputError("holds what is no number", file=file, hint=_HINT)
        return cls(cluster, maps)
