"""A survey written cluster by cluster, as readers make it: whole, under its name, or not."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import xarray as xr
from zarr.codecs import BloscCodec

from icmass import __version__
from icmass.errors import InputError
from icmass.survey.blank import blank_survey
from icmass.survey.catalog import FORMAT, is_ragged, variable_of
from icmass.survey.whole import WHOLE, every_chunk
from icmass.survey.writers.files import check_folder, check_replaced

_CHUNK = 32


class SurveyWriter:
    """Writes clusters to a store that gets its name when it is whole; use it in a ``with``.

    Parameters
    ----------
    out : path
        The store; must end in ``.zarr``.
    names : sequence of str
        Variables of each cluster; of the galaxies, those of one cluster are given to `add` as
        arrays, ``galaxy_offset`` follows from them.
    n_pixels, half_width, bands, components
        Geometry of the maps, as in `icmass.survey.catalog.blank_survey`.
    attrs : mapping
        Provenance: ``preset``, ``cosmology`` (a JSON text), ``seed`` and what else there is;
        ``version`` and ``format`` are set here.
    overwrite : bool
        Replace a store of that name.
    draft : path, optional
        Where the store grows, ``X.zarr.partial`` by default; what is there is deleted.
    """

    def __init__(
        self,
        out: Path,
        *,
        names: Sequence[str],
        n_pixels: int,
        half_width: float,
        bands: Sequence[tuple[float, float]],
        attrs: Mapping[str, Any],
        components: Sequence[str],
        overwrite: bool = False,
        draft: Path | None = None,
    ) -> None:
        self.out = check_new_store(out, overwrite=overwrite)
        self.attrs = {"format": FORMAT, WHOLE: 1, "version": __version__, **attrs}
        self.n_clusters = 0
        self._partial = draft or self.out.with_name(self.out.name + ".partial")
        self._names = [name for name in names if not is_ragged(name)]
        self._ragged: dict[str, list[np.ndarray]] = {
            name: [] for name in names if is_ragged(name) and name != "galaxy_offset"
        }
        self._geometry: dict[str, Any] = {
            "n_pixels": n_pixels,
            "half_width": half_width,
            "bands": list(bands),
            "components": tuple(components),
        }
        self._waiting: list[Mapping[str, Any]] = []

    def __enter__(self) -> Self:
        if self._partial.exists():
            shutil.rmtree(self._partial)
        self._partial.parent.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None and (self.n_clusters or self._waiting):
            self._flush()
            with every_chunk():
                self._finish()
        shutil.rmtree(self._partial, ignore_errors=True)

    def add(self, values: Mapping[str, Any]) -> None:
        """Add a cluster: a value for each of the names."""
        for name in self._ragged:
            self._ragged[name].append(np.asarray(values[name]))
        self._waiting.append({name: values[name] for name in self._names})
        if len(self._waiting) == _CHUNK:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        chunk = blank_survey(
            self._names, n_clusters=len(self._waiting), attrs=self.attrs, **self._geometry
        )
        for i, values in enumerate(self._waiting):
            for name, value in values.items():
                chunk[name][i] = value
        with every_chunk():
            self._write(chunk)
        self.n_clusters += len(self._waiting)
        self._waiting = []

    def _write(self, chunk: xr.Dataset) -> None:
        if self.n_clusters:
            chunk.to_zarr(self._partial, append_dim="cluster", consolidated=False)
        else:
            codec = BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle")
            encoding: dict[str, dict[str, Any]] = {}
            for name in self._names:
                shape = chunk[name].shape[1:]
                encoding[name] = {"chunks": (_CHUNK if shape[1:] else 4096, *shape)}
                encoding[name] |= {"compressors": [codec]} if shape[1:] else {}
            chunk.to_zarr(self._partial, mode="w", encoding=encoding, consolidated=False)

    def _finish(self) -> None:
        data = {}
        if self._ragged:
            numbers = [len(part) for part in next(iter(self._ragged.values()))]
            data["galaxy_offset"] = np.concatenate([[0], np.cumsum(numbers)])
            data |= {name: np.concatenate(parts) for name, parts in self._ragged.items()}
        variables = {}
        for name, values in data.items():
            variable = variable_of(name)
            about = {"units": variable.units, "long_name": variable.long_name}
            variables[name] = (variable.dims, values.astype(variable.dtype), about)
        with warnings.catch_warnings():  # consolidated metadata are an extension of Zarr 3
            warnings.simplefilter("ignore")
            xr.Dataset(variables, attrs=self.attrs).to_zarr(
                self._partial, mode="a", consolidated=True
            )
        if self.out.exists():
            shutil.rmtree(self.out)
        self._partial.rename(self.out)


def check_new_store(out: Path, *, overwrite: bool = False, inputs: Sequence[Path] = ()) -> Path:
    """Return the path of a store to write, or refuse it; `inputs` are files read for it."""
    out = Path(out)
    if out.suffix != ".zarr":
        raise InputError("must end in .zarr", file=out, field="--out")
    check_replaced(out, overwrite=overwrite, inputs=inputs)
    check_folder(out.parent)
    for path in (out, out.with_name(out.name + ".partial")):
        if path.exists() and not path.is_dir():
            raise InputError("is a file, not a store", file=path, hint="choose another name")
    return out
