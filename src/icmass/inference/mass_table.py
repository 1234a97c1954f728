"""Predicted masses as a table for other programs, with units, UCDs and where they come from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from icmass import __version__
from icmass.cosmology import Cosmology
from icmass.survey.writers.tables import column, cosmology_meta, mass_columns, radius_columns

if TYPE_CHECKING:
    from astropy.table import Column, Table

MASSES = {
    "median": ("median", "stat.median"),
    "mean": ("mean", "stat.mean"),
    "p16": ("16th percentile", "stat.percentile"),
    "p84": ("84th percentile", "stat.percentile"),
    "p2.5": ("2.5th percentile", "stat.percentile"),
    "p97.5": ("97.5th percentile", "stat.percentile"),
}
"""What is told of each posterior of the mass, in words and as UCD."""

_KEYS: dict[str, tuple[str, str, str | None, str]] = {
    "cluster": ("cluster", "index in the input", None, "meta.id"),
    "ra": ("ra", "right ascension, ICRS", "deg", "pos.eq.ra;meta.main"),
    "dec": ("dec", "declination, ICRS", "deg", "pos.eq.dec;meta.main"),
    "redshift": ("redshift", "redshift of the cluster", None, "src.redshift"),
    "exposure_s": (
        "exposure",
        "largest exposure of the map at the survey-average effective area",
        "s",
        "time.duration;obs.exposure",
    ),
    "exposure_aperture_s": (
        "exposure_aperture",
        "mean exposure of what is seen within 0.5 comoving Mpc/h",
        "s",
        "time.duration;obs.exposure",
    ),
    "visible_fraction": (
        "visible_fraction",
        "visible fraction of the area within 0.5 comoving Mpc/h",
        None,
        "stat.filling",
    ),
    "ln_m500c": (
        "ln_m500c",
        "mean of ln(M500c / (Msun/h)) of the posterior",
        None,
        "phys.mass;stat.mean",
    ),
    "ln_m500c_std": (
        "ln_m500c_std",
        "standard deviation of ln M500c: the models' own and between them",
        None,
        "stat.stdev;phys.mass",
    ),
    "photons": ("photons", "photons of the map, all sources", "count", "phot.count;em.X-ray"),
    "photons_0.5_mpc_h": (
        "photons_0_5_mpc_h",
        "photons within 0.5 comoving Mpc/h, all sources",
        "count",
        "phot.count;em.X-ray",
    ),
    "count_rate": (
        "count_rate",
        "catalogue's count rate in 0.2-2.3 keV, on axis",
        "ct s-1",
        "phot.count;em.X-ray.soft",
    ),
    "vignetted_exposure_s": (
        "vignetted_exposure",
        "catalogue's exposure with vignetting, relative to the axis",
        "s",
        "time.duration;obs.exposure",
    ),
    "extent_arcsec": (
        "extent",
        "catalogue's core radius",
        "arcsec",
        "phys.angSize;src",
    ),
    "excess_sigma": (
        "excess_sigma",
        "excess of the central photons over the background, in standard deviations",
        None,
        "stat.snr",
    ),
    "out_of_domain": (
        "out_of_domain",
        "how unlike the training clusters: flagged above 1",
        None,
        "stat.value",
    ),
    "flagged": (
        "flagged",
        "whether there are reasons not to trust the mass",
        None,
        "meta.code.qual",
    ),
}

_OTHER_MASSES = (
    (
        "m500c_below_1e14_msun_h",
        1e14,
        "m500c_below",
        "upper limit of M500c, 97.5 per cent, where there are too few photons for a mass",
        "phys.mass;stat.max",
    ),
    ("m500c", 1.0, "m500c_true", "true M500c of the mock", "phys.mass;meta.modelled"),
)


def mass_table(found: dict[str, Any]) -> Table:
    """Return the masses that `icmass predict` found as a table.

    Parameters
    ----------
    found : dict
        The document of ``icmass predict --json``: ``model``, ``cosmology``, ``prior``, ``clusters``
        and, if there are any, ``assumptions``, ``warnings`` and ``failed``. Of rows without a mass
        the mass is NaN. A row is called by its ``id`` or ``name``, else by its ``cluster``.

    Returns
    -------
    astropy.table.Table
        A row for each cluster; M500c in Msun/h (``m500c_msun_h_median``, ``_mean``, ``_p16``,
        ``_p84``, ``_p2_5``, ``_p97_5``) and in Msun (``m500c_msun_median`` ...); R500c of the
        median mass in comoving Mpc/h, physical Mpc and arcmin. ``meta``: the model and the SHA-256
        of its weights, prior, cosmology, version, date, assumptions.
    """
    from astropy.table import Table

    rows = found["clusters"]
    cosmology = Cosmology.model_validate(found["cosmology"])
    columns = [_identity(rows)]
    for key, (name, about, unit, ucd) in _KEYS.items():
        if any(row.get(key) is not None for row in rows):
            values = [row.get(key) for row in rows]
            columns.append(column(name, values, about, unit=unit, ucd=ucd))
    if any(row.get("nh") is not None for row in rows):
        nh = _numbers(rows, "nh") * 1e20
        about = "Galactic column density"
        columns.append(column("nh", nh, about, unit="cm-2", ucd="phys.columnDensity"))
    columns += _masses(rows, cosmology) + _radii(rows, cosmology)
    for key, factor, name, about, ucd in _OTHER_MASSES:
        if any(row.get(key) is not None for row in rows):
            mass = factor * _numbers(rows, key)
            columns += mass_columns(name, mass, about, cosmology, ucd=ucd)
    if any("reasons" in row for row in rows):
        texts = ["; ".join(row.get("reasons") or []) for row in rows]
        columns.append(column("reasons", texts, "what makes the mass doubtful", ucd="meta.note"))
    return Table(columns, meta=_provenance(found, cosmology))


def _identity(rows: Sequence[dict[str, Any]]) -> Column:
    keys = ("id", "name", "cluster")
    names = [str(next(row[key] for key in keys if row.get(key) is not None)) for row in rows]
    return column("id", names, "name of the cluster", ucd="meta.id;meta.main")


def _numbers(rows: Sequence[dict[str, Any]], *path: str) -> np.ndarray:
    """Return a number of each row, NaN where it has none, float64 (n,)."""
    values = []
    for row in rows:
        value: Any = row
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        values.append(np.nan if value is None else float(value))
    return np.array(values)


def _masses(rows: Sequence[dict[str, Any]], cosmology: Cosmology) -> list[Column]:
    with_h: list[Column] = []
    plain: list[Column] = []
    for key, (words, ucd) in MASSES.items():
        mass = 1e14 * _numbers(rows, "m500c_1e14_msun_h", key)
        name, about = "_" + key.replace(".", "_"), f"M500c, {words} of the posterior"
        pair = mass_columns("m500c", mass, about, cosmology, ucd=f"phys.mass;{ucd}")
        for of, into in zip(pair, (with_h, plain), strict=True):
            of.name += name
            into.append(of)
    return with_h + plain


def _radii(rows: Sequence[dict[str, Any]], cosmology: Cosmology) -> list[Column]:
    return radius_columns(
        _numbers(rows, "r500c_mpc_h_comoving"), _numbers(rows, "redshift"), cosmology
    )


def _provenance(found: dict[str, Any], cosmology: Cosmology) -> dict[str, Any]:
    model, prior = found["model"], found.get("prior") or {}
    folder = Path(model["folder"]) if model.get("folder") else None
    meta = {
        "creator": f"icmass {__version__}",
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "model": model.get("name"),
        "folder": folder.name if folder else None,
        "sha256": weights_sha256(folder) if folder else None,
        "members": model.get("members"),
        "scatter": model.get("sigma_lnm"),
        "preset": model.get("preset"),
        "n_train": model.get("n_train"),
        "prior": prior.get("kind"),
        "prior_is": prior.get("is"),
        **cosmology_meta(cosmology),
        "assumes": list(found.get("assumptions") or []),
        "mind": list(found.get("warnings") or []),
        "failed": [f"{of['id']}: {of['why']}" for of in found.get("failed") or []],
    }
    return {key: value for key, value in meta.items() if value not in (None, [])}


def weights_sha256(folder: Path) -> str | None:
    """Return the SHA-256 of a model's weights, all its ``*.safetensors`` in order of their paths.

    None if there are none, as of relations without weights.
    """
    files = sorted(folder.rglob("*.safetensors"), key=lambda file: file.relative_to(folder).parts)
    if not files:
        return None
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while part := stream.read(2**20):
                digest.update(part)
    return digest.hexdigest()
