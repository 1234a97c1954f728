"""Masses from rows of a catalogue of sources or clusters: no photons, no maps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.estimators.estimator import is_trained_redshift
from icmass.estimators.prior import Prior, as_prior
from icmass.inference.bundled import family_members, model_folder
from icmass.inference.catalogue_masses import CatalogueMasses
from icmass.inference.catalogue_text import assumptions, row_facts, warnings
from icmass.inference.ensemble import Ensemble, load_ensemble
from icmass.inference.family import ModelFamily
from icmass.inference.given import check_draws
from icmass.inference.mixture import Mixture
from icmass.io.memory_table import Tabular, as_table, label_of, table_facts, table_files
from icmass.io.source_catalogue import SourceRows, parse_column_map, read_source_catalogue
from icmass.io.targets import Notes
from icmass.missions.registry import get_mission
from icmass.plasma.absorption import check_nh
from icmass.survey.catalog import survey_cosmology
from icmass.survey.catalogue_rows import CATALOGUE, blank_rows

CATALOGUE_MODEL = "catalogue-v1"
"""The bundled model for catalogues."""
_RATES = ("rate", "rate_r500c", "rate_300kpc")
_AT_ONCE = 8192  # rows whose posteriors are made at a time


def predict_catalogue(
    catalogue: Tabular,
    *,
    model: Ensemble | ModelFamily | str | Path | None = None,
    columns: str | Mapping[str, str] | None = None,
    nh: float | None = None,
    prior: Prior | str = "training",
    samples: int | None = None,
    seed: int = 0,
    notes: Notes | None = None,
) -> CatalogueMasses:
    """Predict M500c of the extended sources of a catalogue.

    Parameters
    ----------
    catalogue : path or TableLike
        FITS, ECSV, CSV or VOTable, or an astropy Table, a pandas DataFrame or a structured NumPy
        array, with a count rate and a redshift for each source; its other columns are used as far
        as it has them. What they are called by eROSITA is known.
    model : Ensemble, str or path, optional
        Default: ``"catalogue-v1"``, bundled.
    columns : str or mapping, optional
        Names of columns by what they are, ``rate=CR500,redshift=Z``.
    nh : float, optional
        Galactic column density of rows whose table has none [1e20 cm^-2]; default: unknown.
    prior : Prior or str
        See `icmass.predict`.
    samples : int, optional
        Draws of ln M500c a row that go into the document.
    seed : int
        Of those draws.
    notes : callable, optional
        Called with a line on what rows have no mass, and why.

    Raises
    ------
    InputError
        If the table cannot be read, or no row has a mass.
    """
    parsed = as_prior(prior)
    check_draws(samples, seed)
    catalogue = as_table(catalogue, "--catalogue")
    ensemble = _load(model)
    mission = get_mission()
    if mission.catalogues is None:
        raise InputError(f"no catalogues of {mission.title} are known", field="--catalogue")
    source = read_source_catalogue(catalogue, mission.catalogues, parse_column_map(columns))
    table, n_points = _extended(source, label_of(catalogue))
    survey = _survey(table, _training_cosmology(ensemble), nh)
    why = _reasons_without_mass(survey, ensemble)
    rows = _with_mass(table, why, n_points, label_of(catalogue), notes)
    prediction = _predict(ensemble, survey, rows, parsed)
    drawn = None if samples is None else prediction.drawn(samples, seed)
    rate_is = mission.catalogues.rate_is
    failed = {table.names[i]: InputError(text) for i, text in enumerate(why) if text}
    told = _told(table.names, why, n_points)
    document = {
        "model": ensemble.facts(),
        "catalogue": table_facts(catalogue) | _catalogue_facts(source, table, rows, rate_is),
        "clusters": row_facts(ensemble, survey, table, rows, prediction, drawn),
        "failed": [{"id": name, "why": error.command_line} for name, error in failed.items()],
        "cosmology": survey_cosmology(survey).model_dump(mode="json"),
        "prior": {"kind": parsed.kind, "is": parsed.describe(survey_cosmology(survey))},
        "assumptions": assumptions(ensemble, survey, rate_is, parsed),
        "warnings": warnings(ensemble, rows, prediction, told),
    }
    without = [_empty(i, table, text) for i, text in enumerate(why) if text]
    return CatalogueMasses(
        ensemble,
        parsed,
        survey,
        rows,
        prediction,
        failed,
        document,
        inputs=tuple(table_files(catalogue)),
        without_mass=without,
    )


def _load(model: Ensemble | ModelFamily | str | Path | None) -> Ensemble:
    if isinstance(model, Ensemble):
        return model
    name = CATALOGUE_MODEL if model is None else model
    if isinstance(name, ModelFamily) or family_members(name) is not None:
        called = name.name if isinstance(name, ModelFamily) else name
        hint = f"leave the model out: {CATALOGUE_MODEL} is for catalogues"
        raise InputError("reads maps, not catalogues", field=f"model {called}", hint=hint)
    return load_ensemble(model_folder(name), device="cpu")


def _training_cosmology(ensemble: Ensemble) -> Cosmology:
    """Return the cosmology in which a model reckons; refuse one that reads no catalogues."""
    lacking = set(ensemble.members[0].info.inputs) - set(CATALOGUE)
    if lacking:
        raise InputError(
            f"reads {', '.join(sorted(lacking))}: no catalogue has that",
            field=f"model {ensemble.name}",
            hint=f"leave the model out: {CATALOGUE_MODEL} is for catalogues",
        )
    return Cosmology.model_validate_json(ensemble.training.survey["cosmology"])


def _extended(source: SourceRows, file: str | Path) -> tuple[SourceRows, int]:
    """Return the rows that are extended sources, and how many are points."""
    none = np.full(len(source), np.nan)
    flat = source.columns.get("extent_likelihood", none) == 0
    flat |= source.columns.get("extent", none) == 0
    if flat.all():
        what = f"all {len(source)} rows are point sources (extent 0)"
        raise InputError(what, file=file, field="--catalogue", hint="give extended sources")
    kept = np.flatnonzero(~flat)
    columns = {name: values[kept] for name, values in source.columns.items()}
    names = [source.names[i] for i in kept]
    return replace(source, columns=columns, names=names), int(flat.sum())


def _survey(table: SourceRows, cosmology: Cosmology, nh: float | None) -> xr.Dataset:
    columns = {name: values for name, values in table.columns.items() if name in CATALOGUE}
    if nh is not None:
        check_nh(nh)
        given = columns.get("nh", np.full(len(table), np.nan))
        columns["nh"] = np.where(np.isfinite(given), given, nh)
    return blank_rows(columns, cosmology, table.names)


def _reasons_without_mass(survey: xr.Dataset, ensemble: Ensemble) -> list[str]:
    """Return of each row why it has no mass; empty where it has."""
    redshift = survey["redshift"].values
    low, high = ensemble.training.redshift_range
    outside = ~is_trained_redshift(redshift, (low, high))
    unrated = np.all([~np.isfinite(survey[name].values) for name in _RATES], axis=0)
    told = f"redshift outside the training range {low:.3f}-{high:.3f}"
    texts = np.where(np.isfinite(redshift), np.where(outside, told, ""), "no redshift")
    return [str(t) for t in np.where((texts == "") & unrated, "no count rate", texts)]


def _with_mass(
    table: SourceRows, why: list[str], n_points: int, file: str | Path, notes: Notes | None
) -> np.ndarray:
    """Return the rows that have a mass; say what the others lack, or refuse them all."""
    rows = np.flatnonzero([not text for text in why])
    for line in _told(table.names, why, n_points):
        if notes is not None:
            notes(line)
    if not len(rows):
        ((text, _),) = Counter(why).most_common(1)
        what = f"none of {len(why)} rows could be used: {text}"
        raise InputError(what, file=file, field="--catalogue", hint="see --columns")
    return rows


def _told(names: list[str], why: list[str], n_points: int) -> Iterator[str]:
    """Yield what is said of rows without a mass, a line a reason."""
    if n_points:
        yield f"{n_points} rows are point sources (extent 0) and left out"
    for text, number in Counter(text for text in why if text).most_common():
        first = [name for name, reason in zip(names, why, strict=True) if reason == text][:3]
        more = ", ..." if number > len(first) else ""
        yield f"{number} of {len(why)} rows have no mass: {text} ({', '.join(first)}{more})"


def _predict(ensemble: Ensemble, survey: xr.Dataset, rows: np.ndarray, prior: Prior) -> Mixture:
    """Return the posteriors of rows, made some at a time."""
    parts = [
        ensemble.predict(survey, rows[start : start + _AT_ONCE], prior)
        for start in range(0, len(rows), _AT_ONCE)
    ]

    def joined(name: str) -> Any:
        values = [getattr(part, name) for part in parts]
        return None if values[0] is None else np.concatenate(values)

    names = ("mean", "std", "density", "out_of_domain", "std_within", "std_between")
    return Mixture(**{name: joined(name) for name in names})


def _catalogue_facts(
    source: SourceRows, table: SourceRows, rows: np.ndarray, rate_is: str
) -> dict[str, Any]:
    return {
        "rows": len(source),
        "extended": len(table),
        "with_mass": len(rows),
        "columns": table.used,
        "rate_is": rate_is,
    }


def _empty(row: int, table: SourceRows, why: str) -> dict[str, Any]:
    """Return the facts of a row without a mass."""
    known = {key: table.columns[key] for key in ("ra", "dec", "redshift") if key in table.columns}
    where: dict[str, Any] = {key: float(v[row]) for key, v in known.items() if np.isfinite(v[row])}
    return {"cluster": row, "id": table.names[row], **where, "flagged": True, "reasons": [why]}
