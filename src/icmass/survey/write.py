"""Writing a simulated survey: chunk by chunk, on any number of workers, resumable.

The store grows under the name ``X.zarr.partial`` and gets its own name when it is whole. A chunk is
done when its file in ``parts/`` exists: that file holds all of the chunk but its images.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import BloscCodec

from icmass import __version__
from icmass.arguments import whole_number
from icmass.errors import InputError
from icmass.files import whole_file, write_text
from icmass.survey.blank import blank_survey
from icmass.survey.catalog import is_ragged, variable_of
from icmass.survey.config import SurveyConfig
from icmass.survey.physics_prior import NAMES, PARAMETERS
from icmass.survey.simulate import Simulator, simulator
from icmass.survey.store import check_new_store
from icmass.survey.tasks import Tasks
from icmass.survey.twins import ROWS, rows_of, rows_variable
from icmass.survey.universes import Universes
from icmass.survey.whole import WHOLE, every_chunk
from icmass.universe.twin_rows import TwinRows

_RAGGED_CHUNK = 2**18  # entries per chunk of a ragged variable
_GATHERED_BYTES = 2**28  # of parts that are gathered in memory

Progress = Callable[[int, int], None]


def simulate_survey(
    config: SurveyConfig,
    *,
    n_clusters: int,
    seed: int,
    out: Path,
    workers: int = 1,
    scheduler: str | None = None,
    chunk: int = 32,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    rows: TwinRows | None = None,
    about_rows: dict[str, Any] | None = None,
) -> Path:
    """Simulate a survey to a Zarr store.

    Parameters
    ----------
    config : SurveyConfig
    n_clusters, seed : int
        Size of the survey, and the seed on which alone (with `config`) its content depends.
    out : path
        The store; must end in ``.zarr``.
    workers : int
        Local processes.
    scheduler : str, optional
        Address of a Dask scheduler to use instead; its workers must see `out`.
    chunk : int
        Clusters per chunk of the store, written by one worker.
    resume : bool
        Go on with an unfinished store of the same configuration, size, seed and chunk; a finished
        one of the same configuration, size and seed is left as it is.
    overwrite : bool
        Replace a finished store.
    progress : callable, optional
        Called with the number of clusters done and in all.
    rows : TwinRows, optional
        The halos to make, if the configuration has ``twins``; the first `n_clusters` are made.
    about_rows : dict, optional
        Attributes of the variable that keeps them.
    """
    check_new_store(out, overwrite=overwrite or resume)
    n_clusters, workers = whole_number(n_clusters, "--n", 1), whole_number(workers, "--workers", 1)
    seed, chunk = whole_number(seed, "--seed"), whole_number(chunk, "--chunk", 1)
    finished = out.exists() and not overwrite
    if config.physics is not None and config.physics.universes > n_clusters:
        raise InputError(
            f"{config.physics.universes} universes cannot share {n_clusters} clusters",
            field="--universes",
            hint="give at most as many as clusters",
        )
    partial = out.with_name(out.name + ".partial")
    plan = {
        "config": config.model_dump_json(),
        "seed": seed,
        "n_clusters": n_clusters,
        "chunk": chunk,
        "version": __version__,
        "rows": _digest(rows),
    }
    if finished:
        _check_finished(out, plan)
        return out
    table = None if rows is None else rows_variable(rows, about_rows or {})
    _start(partial, plan, resume, table)
    todo = [s for s in range(0, n_clusters, chunk) if not _part(partial, s).exists()]
    done = n_clusters - sum(min(chunk, n_clusters - s) for s in todo)
    where = str(partial.resolve())
    if progress and todo:
        progress(done, n_clusters)
    with Tasks(min(workers, max(len(todo), 1)), scheduler) as work:
        for result in work.run(_attempt, todo, where, plan):
            done += _counted(result, partial)
            if progress:
                progress(done, n_clusters)
    _finish(partial, plan)
    if out.exists():
        shutil.rmtree(out)
    partial.rename(out)
    return out


def _part(partial: Path, start: int) -> Path:
    return partial / "parts" / f"{start:09d}.npz"


def _start(partial: Path, plan: dict[str, Any], resume: bool, rows: xr.DataArray | None) -> None:
    """Make the empty store, or check that the unfinished one is of the same plan."""
    note = partial / "parts" / "plan.json"
    if partial.exists():
        if not resume:
            raise InputError(
                "is unfinished",
                file=partial,
                hint="go on with --resume, or delete it",
            )
        try:
            stored_plan = json.loads(note.read_text())
        except (OSError, ValueError):
            stored_plan = None
        if stored_plan is not None:
            for key, value in plan.items():
                if stored_plan.get(key) != value:
                    raise InputError(
                        f"was begun with another {key}",
                        file=partial,
                        hint="resume with the same options, or delete it",
                    )
            return
        shutil.rmtree(partial)
    twins = {} if rows is None else {ROWS: rows}
    make = Simulator(
        SurveyConfig.model_validate_json(plan["config"]), plan["seed"], rows_of(xr.Dataset(twins))
    )
    partial.parent.mkdir(parents=True, exist_ok=True)
    template, encoding = _template(plan, make.variables)
    with every_chunk():
        template.assign(twins).to_zarr(partial, encoding=encoding, consolidated=False)
        group = zarr.open_group(partial, mode="r+")
        for name in encoding:
            array: Any = group[name]
            array.resize((plan["n_clusters"], *array.shape[1:]))
    note.parent.mkdir()
    write_text(note, json.dumps(plan))


def _check_finished(out: Path, plan: dict[str, Any]) -> None:
    """Refuse to go on with a finished store that other options made."""
    hint = "resume with the same options, choose another name or --overwrite"
    try:
        group = zarr.open_group(out, mode="r")
        made = {
            "config": SurveyConfig.model_validate_json(str(group.attrs["config"])),
            "seed": group.attrs["seed"],
            "n_clusters": group["m500c"].shape[0],  # type: ignore[union-attr]
            "rows": _digest(_stored_rows(group) if ROWS in group else None),
        }
    except (OSError, ValueError, KeyError) as error:
        what = f"is no survey to go on with ({type(error).__name__})"
        raise InputError(what, file=out, hint=hint) from None
    asked = {**plan, "config": SurveyConfig.model_validate_json(plan["config"])}
    for key, value in made.items():
        if asked[key] != value:
            raise InputError(f"is finished and of another {key}", file=out, hint=hint)


def _digest(rows: TwinRows | None) -> str | None:
    """Return what tells a table of halos from others."""
    return None if rows is None else hashlib.sha256(rows.content).hexdigest()


def _template(plan: dict[str, Any], variables: list[str]) -> tuple[xr.Dataset, dict[str, Any]]:
    """Return the survey as it will be, but of no clusters, and the encoding of what they have."""
    config = SurveyConfig.model_validate_json(plan["config"])
    names = [name for name in variables if not is_ragged(name)]
    template = blank_survey(
        names,
        n_clusters=0,
        n_pixels=config.observe.n_pixels,
        half_width=config.observe.half_width_mpc_h,
        bands=list(config.observe.bands),
        attrs={
            WHOLE: 1,
            "preset": config.preset,
            "cosmology": config.cosmology.model_dump_json(),
            "config": plan["config"],
            "seed": plan["seed"],
            "version": plan["version"],
        },
    )
    n, chunk = plan["n_clusters"], plan["chunk"]
    encoding: dict[str, dict[str, Any]] = {}
    for name in names:
        encoding[name] = {"chunks": (chunk if _is_image(name) else n, *template[name].shape[1:])}
        if _is_image(name):
            codec = BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle")
            encoding[name]["compressors"] = [codec]
    return template.assign(_physics(config, plan["seed"])), encoding


def _physics(config: SurveyConfig, seed: int) -> dict[str, xr.DataArray]:
    """Return the parameters of the universes, if there are any."""
    if config.physics is None:
        return {}
    variable = variable_of("physics")
    coords = {
        "parameter": np.array(NAMES, dtype=object),
        "parameter_unit": ("parameter", np.array([p.unit for p in PARAMETERS], dtype=object)),
    }
    attrs = {"units": variable.units, "long_name": variable.long_name}
    table = Universes(config, seed).table()
    return {"physics": xr.DataArray(table, coords, variable.dims, attrs=attrs)}


def _is_image(name: str) -> bool:
    return "x" in variable_of(name).dims


def write_chunk(partial: str, plan: dict[str, Any], start: int) -> int:
    """Simulate one chunk and write it; its part file comes last. Return the clusters made."""
    make = simulator(plan["config"], plan["seed"], _rows(partial, plan))
    stop = min(start + plan["chunk"], plan["n_clusters"])
    clusters = [make.cluster(i) for i in range(start, stop)]
    columns = {}
    with every_chunk():
        group = zarr.open_group(partial, mode="r+")
        for name in make.variables:
            if is_ragged(name):
                columns[name] = np.concatenate(
                    [np.atleast_1d(cluster[name]) for cluster in clusters]
                )
            elif _is_image(name):
                array = group[name]
                array[start:stop] = np.stack([cluster[name] for cluster in clusters])  # type: ignore[index]
            else:
                columns[name] = np.stack([cluster[name] for cluster in clusters])
    path = _part(Path(partial), start)
    with whole_file(path, durable=True) as draft, draft.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **columns)
    return stop - start


def _rows(partial: str, plan: dict[str, Any]) -> TwinRows | None:
    """Return the table that an unfinished store keeps, if it is of twins."""
    if plan.get("rows") is None:
        return None
    return _stored_rows(zarr.open_group(partial, mode="r"))


def _stored_rows(group: zarr.Group) -> TwinRows:
    return TwinRows.from_table(np.asarray(group[ROWS][:]))  # type: ignore[index]


def _attempt(partial: str, plan: dict[str, Any], start: int) -> int | Exception:
    """Write a chunk; give an error back instead of raising it, so that Dask does not report it."""
    try:
        return write_chunk(partial, plan, start)
    except (InputError, OSError, MemoryError) as error:
        return error


def _counted(result: int | Exception, partial: Path) -> int:
    if isinstance(result, OSError):
        raise OSError(result.errno, result.strerror, result.filename or str(partial))
    if isinstance(result, Exception):
        raise result
    return result


def _finish(partial: Path, plan: dict[str, Any]) -> None:
    """Gather what the parts hold into the store."""
    with every_chunk():
        _gather(partial, plan)
    shutil.rmtree(partial / "parts")
    with warnings.catch_warnings():  # consolidated metadata are an extension of Zarr 3
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(str(partial))


def _gather(partial: Path, plan: dict[str, Any]) -> None:
    n_clusters, chunk = plan["n_clusters"], plan["chunk"]
    files = [_part(partial, start) for start in range(0, n_clusters, chunk)]
    group = zarr.open_group(str(partial), mode="r+")
    with np.load(files[0], allow_pickle=False) as arrays:
        names = list(arrays.files)
    offset = np.zeros(n_clusters + 1, int)
    if "galaxy_offset" in names:
        np.cumsum(np.concatenate([_galaxy_numbers(file) for file in files]), out=offset[1:])
        _ragged(group, "galaxy_offset", len(offset))[:] = offset
        for name in names:
            if variable_of(name).dims == ("galaxy",):
                _ragged(group, name, int(offset[-1]))
    first = 0
    for some in _batches(files):  # each file is opened once for all its variables
        parts = [_columns(file) for file in some]
        end = min(first + chunk * len(some), n_clusters)
        for name in names:
            if not is_ragged(name):
                rows = slice(first, end)
            elif variable_of(name).dims == ("galaxy",):
                rows = slice(offset[first], offset[end])
            else:
                continue
            group[name][rows] = np.concatenate([part[name] for part in parts])  # type: ignore[index]
        first = end


def _batches(files: Sequence[Path]) -> Iterator[list[Path]]:
    """Yield files, in their order, so many at a time as are gathered in memory."""
    batch: list[Path] = []
    size = 0
    for file in files:
        batch.append(file)
        size += file.stat().st_size
        if size >= _GATHERED_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _columns(file: Path) -> dict[str, np.ndarray]:
    with np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


def _galaxy_numbers(file: Path) -> np.ndarray:
    with np.load(file, allow_pickle=False) as arrays:
        return np.asarray(arrays["galaxy_offset"])


def _ragged(group: zarr.Group, name: str, size: int) -> zarr.Array:
    variable = variable_of(name)
    return group.create_array(
        name,
        shape=(size,),
        chunks=(max(min(size, _RAGGED_CHUNK), 1),),
        dtype=variable.dtype,
        dimension_names=variable.dims,
        attributes={"units": variable.units, "long_name": variable.long_name},
        overwrite=True,
    )
