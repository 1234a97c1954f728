"""The explorer of a transfer run: surveys of several physics, and every model on each of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from icmass.benchmarking.transfer import Transfer
from icmass.benchmarking.transfer_predictions import transfer_predictions
from icmass.benchmarking.transfer_row import TransferRow
from icmass.errors import InputError
from icmass.estimators.posterior import Prediction
from icmass.inference.quality_flags import central_photons, photon_reasons
from icmass.report.explorer.contents import Contents, Estimates, Part, survey_properties
from icmass.report.explorer.of_run import can_be_shown, estimates_of
from icmass.report.explorer.section import Explorer, make_explorer
from icmass.run.predictions import Predictions
from icmass.survey.catalog import open_survey


def transfer_explorer(transfer: Transfer) -> Explorer | None:
    """Return the explorer of a transfer's page; None where predictions or surveys are gone."""
    try:
        contents = transfer_contents(transfer)
        return None if contents is None else make_explorer(contents)
    except InputError:
        return None


def transfer_contents(transfer: Transfer) -> Contents | None:
    """Return what the explorer of a transfer run shows: the clusters that any model predicted."""
    held = _read(transfer)
    parts = []
    for test in dict.fromkeys(row.test for row, _ in held):
        store = transfer.document["stores"][test]
        index = np.unique(np.concatenate([p.cluster for row, p in held if row.test == test]))
        parts.append(Part(test, open_survey(store), index))
    if not parts:
        return None
    first = dict(zip([part.label for part in parts], _firsts(parts), strict=True))
    shown = {part.label: part.index for part in parts}
    joined: dict[str, list[Estimates]] = {}
    for row, predictions in held:
        found = estimates_of(_name(row), predictions)
        rows = np.searchsorted(shown[row.test], found.rows) + first[row.test]
        joined.setdefault(found.name, []).append(Estimates(found.name, rows, found.prediction))
    reasons = []
    for part in parts:
        reasons += [photon_reasons(each) for each in central_photons(part.survey, part.index)]
    return Contents(
        parts,
        survey_properties(parts),
        [_join(name, found) for name, found in joined.items()],
        reasons,
        first=_best(transfer.rows),
    )


def _read(transfer: Transfer) -> list[tuple[TransferRow, Predictions]]:
    """Return the predictions of each row that are still there, of surveys that are."""
    found = []
    stores = transfer.document.get("stores", {})
    for row in transfer.rows:
        file = transfer_predictions(transfer.path, row.model, row.train, row.test)
        if row.test not in stores or not Path(stores[row.test]).exists() or not file.is_file():
            continue
        held = Predictions.read(file).finite()
        if len(held.mean) and can_be_shown(held):
            found.append((row, held))
    return found


def _firsts(parts: list[Part]) -> np.ndarray:
    return np.cumsum([0, *(len(part.index) for part in parts)])[:-1]


def _name(row: TransferRow) -> str:
    return f"{row.model} ({row.train})"


def _best(rows: list[TransferRow]) -> str:
    """Return the model with the smallest error, over all surveys."""
    errors: dict[str, list[float]] = {}
    for row in rows:
        errors.setdefault(_name(row), []).append(row.rms_lnm)
    return min(errors, key=lambda name: float(np.mean(errors[name])))


def _join(name: str, found: list[Estimates]) -> Estimates:
    """Return estimates of the clusters of several surveys as one, rows in ascending order."""
    rows = np.concatenate([each.rows for each in found])
    predictions = [each.prediction for each in found]
    density = None
    if any(each.density is not None for each in predictions):
        density = np.concatenate([each.tabulated() for each in predictions])
    scores = None
    if any(each.out_of_domain is not None for each in predictions):
        scores = np.concatenate(
            [
                np.full(len(each), np.nan) if each.out_of_domain is None else each.out_of_domain
                for each in predictions
            ]
        )
    whole = Prediction(
        np.concatenate([each.mean for each in predictions]),
        np.concatenate([each.std for each in predictions]),
        density,
        scores,
    )
    order = np.argsort(rows)
    return Estimates(name, rows[order], whole.take(order))
