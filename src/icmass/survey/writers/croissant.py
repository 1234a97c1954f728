"""A survey described in Croissant, the JSON-LD vocabulary of data sets for machine learning.

The form is Croissant 1.0 of MLCommons (http://mlcommons.org/croissant/1.0; Akhtar et al. 2024,
arXiv:2403.19546). The store stays as it is: a ``FileObject`` whose sha256 is that of the list of
its files' sha256, as ``find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum`` prints it in
the store. Each of its variables is a ``Field`` with its unit (schema.org's ``unitText``), those of
one first dimension a ``RecordSet``; short lists of words, as the bands, stand in the file itself.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from icmass.errors import InputError
from icmass.survey.catalog import half_width_mpc_h, open_survey, survey_cosmology
from icmass.survey.writers.files import new_file

CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
MOCK_LICENSE = "CC-BY-4.0"
"""Licence of a mock survey if none is given; whose photons real data are decides on theirs."""
CREATOR = "The icmass developers"
CITE_AS = (
    "@software{icmass, author = {{The icmass developers}}, "
    "title = {icmass: galaxy cluster masses from X-ray photons}}\n"
    "@article{Ho2023, author = {Ho, Matthew and Soltis, John and Farahi, Arya and Nagai, Daisuke "
    "and Evrard, August and Ntampaka, Michelle}, title = {Benchmarks and explanations for deep "
    "learning estimates of X-ray galaxy cluster masses}, journal = {Monthly Notices of the Royal "
    "Astronomical Society}, volume = {524}, number = {3}, pages = {3289}, year = {2023}, "
    "doi = {10.1093/mnras/stad2005}}"
)
RECORD_SETS = {
    "cluster": "clusters",
    "galaxy": "galaxies",
    "cluster_edge": "cluster_edges",
    "universes": "universes",
    "twin_row": "twins",
    "band": "bands",
    "component": "components",
    "axis": "axes",
    "parameter": "parameters",
    "twin_column": "twin_columns",
}
"""What the records along a dimension are called; along another, as the dimension."""

_MAX_INLINE = 1000
_PIECE = 2**20
_SPDX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")
_TYPES = {"f": "sc:Float", "i": "sc:Integer", "u": "sc:Integer", "b": "sc:Boolean"}
_CONTEXT_TERMS = (
    *("citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty"),
    *("fileObject", "fileSet", "format", "includes", "isLiveDataset", "jsonPath", "key", "md5"),
    *("parentField", "path", "recordSet", "references", "regex", "repeated", "replace"),
    *("samplingRate", "separator", "source", "subField", "transform"),
)
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{key: f"cr:{key}" for key in _CONTEXT_TERMS},
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}


@dataclass(frozen=True)
class Publication:
    """What a data set's own data do not say of it.

    Attributes
    ----------
    license : str or None
        An identifier of SPDX or a URL; None: `MOCK_LICENSE`, for mocks alone.
    creator : str or None
        Who made it; None: `CREATOR`.
    url : str or None
        Its page; None: the store itself, relative to the description.
    """

    license: str | None = None
    creator: str | None = None
    url: str | None = None

    def license_url(self, *, observed: bool) -> str:
        """Return the licence's URL.

        Raises
        ------
        InputError
            If real data have none, or it is neither an identifier nor a URL.
        """
        if self.license is None and observed:
            raise InputError(
                "is missing: photons of real clusters are published under their owner's terms",
                field="--license",
                hint="give an SPDX identifier, as CC-BY-4.0, or a URL",
            )
        given = MOCK_LICENSE if self.license is None else self.license
        if re.match(r"https?://\S+$", given):
            return given
        if not _SPDX.fullmatch(given):
            raise InputError(
                f"is {given!r}",
                field="--license",
                hint="give an SPDX identifier, as CC-BY-4.0, or a URL",
            )
        return f"https://spdx.org/licenses/{given}"


def write_croissant(
    store: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    publication: Publication | None = None,
    overwrite: bool = False,
) -> Path:
    """Describe a survey on disk in a file of Croissant 1.0; every file of the store is read once.

    Parameters
    ----------
    store : path
        The survey, ``X.zarr``.
    path : path
        The file to write, ``.json`` or ``.jsonld``; it names the store relative to itself.
    publication : Publication, optional
        Licence, creator and URL.
    overwrite : bool
        Replace a file of that name.

    Returns
    -------
    path
        The file.

    Raises
    ------
    InputError
        If the store is no survey, or the path or the licence cannot be used.
    """
    store, path = Path(store), Path(path)
    if path.suffix.lower() not in (".json", ".jsonld"):
        said = path.suffix or "no suffix"
        raise InputError(
            f"{said} is no JSON", file=path, field="--out", hint="end it in .json or .jsonld"
        )
    if path.resolve().is_relative_to(store.resolve()):
        raise InputError(
            "lies in the store that it describes",
            file=path,
            field="--out",
            hint="put it beside the store",
        )
    with new_file(path, overwrite=overwrite) as draft:
        described = describe(store, path.parent, publication or Publication())
        text = json.dumps(described, indent=1, ensure_ascii=False)
        draft.write_text(text + "\n", encoding="utf-8")
    return path


def describe(store: Path, folder: Path, publication: Publication) -> dict[str, Any]:
    """Return the description of a survey, to lie in a folder.

    Parameters
    ----------
    store : path
        The survey.
    folder : path
        Where the description will lie.
    publication : Publication
        Licence, creator and URL.
    """
    survey = open_survey(store)
    license_url = publication.license_url(observed="observed" in survey.attrs)
    relative = Path(os.path.relpath(store.resolve(), folder.resolve())).as_posix()
    made = datetime.datetime.fromtimestamp(_metadata_file(store).stat().st_mtime, datetime.UTC)
    described = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": store.resolve().stem,
        "description": _about(survey),
        "conformsTo": CONFORMS_TO,
        "license": license_url,
        "url": publication.url or relative,
        "version": _semantic(str(survey.attrs.get("version", ""))),
        "dateCreated": made.date().isoformat(),
        "datePublished": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "creator": {"@type": "sc:Organization", "name": publication.creator or CREATOR},
        "citeAs": CITE_AS,
        "keywords": ["galaxy clusters", "X-ray astronomy", "eROSITA", "deep learning"],
        "isLiveDataset": False,
        "distribution": _distribution(store, relative),
        "recordSet": _record_sets(survey),
    }
    return {key: value for key, value in described.items() if value is not None}


def store_digest(store: Path) -> tuple[str, int, dict[str, str]]:
    """Return the sha256 of a store, its size [byte] and the sha256 of each of its files.

    The store's is that of the lines ``<sha256>  ./<path>`` of its files in the order of their
    paths' bytes, as sha256sum prints them.
    """
    files = sorted(
        (file.relative_to(store).as_posix() for file in store.rglob("*") if file.is_file()),
        key=os.fsencode,
    )
    size, digests = 0, {}
    for name in files:
        digest = hashlib.sha256()
        with (store / name).open("rb") as stream:
            while piece := stream.read(_PIECE):
                digest.update(piece)
                size += len(piece)
        digests[name] = digest.hexdigest()
    lines = "".join(f"{digest}  ./{name}\n" for name, digest in digests.items())
    return hashlib.sha256(lines.encode()).hexdigest(), size, digests


def _metadata_file(store: Path) -> Path:
    """Return the file that says which arrays a store has: of Zarr 3, or of 2."""
    names = ("zarr.json", ".zmetadata", ".zgroup")
    return next((store / name for name in names if (store / name).is_file()), store)


def _semantic(version: str) -> str | None:
    """Return the version of the package in the form of Semantic Versioning, 0.2.0-dev0."""
    found = re.fullmatch(r"(\d+\.\d+\.\d+)(?:\.?([a-z]+\d*))?", version)
    if found is None:
        return None
    return found[1] + (f"-{found[2]}" if found[2] else "")


def _about(survey: xr.Dataset) -> str:
    """Return what a survey is, in three sentences."""
    attrs, cosmology = survey.attrs, survey_cosmology(survey)
    observed = "observed" in attrs
    seed = "" if observed or "seed" not in attrs else f", seed {attrs['seed']}"
    bands = ", ".join(map(str, survey["band"].values))
    truths = ", their masses M500c, proxies and latent physics" if "m500c" in survey else ""
    half_width = half_width_mpc_h(survey)
    return (
        f"{'Real' if observed else 'Simulated'} galaxy clusters in X-rays:"
        f" {survey.sizes['cluster']} clusters, preset {attrs.get('preset', 'unknown')}{seed}, by"
        f" icmass {attrs.get('version', 'of an unknown version')}. Maps of photon counts in the"
        f" bands {bands} keV, {survey.sizes['y']} x {survey.sizes['x']} pixels within"
        f" +-{half_width:g} comoving Mpc/h{truths}; flat Lambda-CDM, h = {cosmology.h:g},"
        f" Omega_m = {cosmology.om0:g}. It is a Zarr store: icmass.open_survey or xarray.open_zarr"
        " read it; a field's column is the variable of that name in it."
    )


def _distribution(store: Path, relative: str) -> list[dict[str, Any]]:
    """Return the files: the store, its metadata, its chunks."""
    whole, size, digests = store_digest(store)
    metadata = _metadata_file(store).name
    chunks = "**/c/**" if metadata == "zarr.json" else "**/[0-9]*"
    parts: list[dict[str, Any]] = [
        {
            "@type": "cr:FileObject",
            "@id": "store",
            "name": store.resolve().name,
            "description": "The Zarr store, a folder. Its sha256 is that of what `find . -type f |"
            " LC_ALL=C sort | xargs sha256sum` prints in it.",
            "contentUrl": relative,
            "contentSize": f"{size} B",
            "encodingFormat": "application/vnd.zarr",
            "sha256": whole,
        },
        {
            "@type": "cr:FileSet",
            "@id": "chunks",
            "name": "chunks",
            "description": "The compressed chunks of the store's arrays.",
            "containedIn": {"@id": "store"},
            "encodingFormat": "application/octet-stream",
            "includes": chunks,
        },
    ]
    if metadata in digests:
        parts.insert(
            1,
            {
                "@type": "cr:FileObject",
                "@id": "metadata",
                "name": metadata,
                "description": "Names, shapes, units and meaning of all arrays; the attributes of"
                " the survey.",
                "containedIn": {"@id": "store"},
                "contentUrl": metadata,
                "encodingFormat": "application/json",
                "sha256": digests[metadata],
            },
        )
    return parts


def _record_sets(survey: xr.Dataset) -> list[dict[str, Any]]:
    """Return the variables of a survey, those with the same first dimension together."""
    groups: dict[str, list[str]] = {}
    for name in sorted(map(str, survey.variables), key=lambda name: (name in survey.coords, name)):
        dims = survey[name].dims
        groups.setdefault(str(dims[0]) if dims else "survey", []).append(name)
    made = []
    for dim in sorted(groups, key=lambda dim: (dim != "cluster", dim in survey.coords, dim)):
        called, names = RECORD_SETS.get(dim, dim), groups[dim]
        size = survey.sizes.get(dim, 1)
        record_set: dict[str, Any] = {
            "@type": "cr:RecordSet",
            "@id": called,
            "name": called,
            "description": f"{size} records along the dimension {dim}.",
            "field": [_field(survey[name], called) for name in names],
        }
        if size <= _MAX_INLINE and all(_is_text(survey[name]) for name in names):
            for field in record_set["field"]:
                del field["source"]
            if dim in names:
                record_set["key"] = {"@id": f"{called}/{dim}"}
            words = {name: [str(value) for value in survey[name].values] for name in names}
            record_set["data"] = [
                {f"{called}/{name}": words[name][i] for name in names} for i in range(size)
            ]
        made.append(record_set)
    return made


def _is_text(variable: xr.DataArray) -> bool:
    return variable.dtype.kind not in _TYPES and variable.ndim == 1


def _field(variable: xr.DataArray, record_set: str) -> dict[str, Any]:
    """Return a variable as a field: its meaning, unit, type and shape."""
    name, attrs = str(variable.name), variable.attrs
    units = str(attrs.get("units", ""))
    shape = ", ".join(f"{dim} {size}" for dim, size in variable.sizes.items())
    kind = variable.dtype.kind
    dtype = variable.dtype.name if kind in _TYPES else "text"
    meaning = str(attrs.get("long_name", name))
    unit = f" [{units}]" if units not in ("", "1") else ""
    field: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"{record_set}/{name}",
        "name": name,
        "description": f"{meaning}{unit}; {dtype} ({shape})",
        "dataType": _TYPES.get(kind, "sc:Text"),
        "source": {"fileObject": {"@id": "store"}, "extract": {"column": name}},
    }
    if units:
        field["unitText"] = units
    if variable.ndim > 1:
        field["repeated"] = True
    return field
