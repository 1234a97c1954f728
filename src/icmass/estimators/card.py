"""Model cards: a saved estimator's README.md, with the metadata that model hubs read.

The metadata are YAML between lines of three dashes, in the form of the Hugging Face Hub (its
documentation, "Model Cards" and "modelcard.md"; after Mitchell et al. 2019, "Model Cards for Model
Reporting"): license, library_name, tags, datasets, metrics and, where the model has been scored,
``model-index`` with the results. A data set is a mock survey by its preset, as ``icmass-erosita``:
`icmass simulate --preset` makes it, no hub holds it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from icmass.errors import InputError
from icmass.files import write_text

FENCE = "---\n"
UNKNOWN_LICENSE = "unknown"
"""Of a model that is not ours: who publishes it decides."""
BUNDLED_LICENSE = "bsd-3-clause"
METRICS = {
    "sigma_lnm": "scatter of ln M500c, predicted - true",
    "bias_lnm": "mean of ln M500c, predicted - true",
    "coverage68": "share of true masses within the 68 per cent interval",
    "coverage95": "share of true masses within the 95 per cent interval",
    "crps": "continuous ranked probability score of ln M500c",
}
"""Scores of ``results.json`` that a card has, and what they are called."""
_TAGS = ("astronomy", "x-ray", "galaxy-clusters", "mass-estimation", "icmass")
_TABULAR = "tabular-regression"


def card_metadata(
    config: Mapping[str, Any],
    *,
    name: str | None = None,
    scores: Mapping[str, Any] | None = None,
    license: str = UNKNOWN_LICENSE,
) -> dict[str, Any]:
    """Return what a hub is told of a saved estimator.

    Parameters
    ----------
    config : mapping
        Its ``config.json``.
    name : str, optional
        What the model is called; default: as its estimator.
    scores : mapping, optional
        Its entry of ``estimators`` in ``results.json``: of clusters that training never saw.
    license : str
        Licence, in the Hub's spelling.
    """
    preset = str(config.get("survey", {}).get("preset") or "unknown")
    dataset = "icmass-" + re.sub(r"[^a-z0-9_.-]+", "-", preset.partition("(")[0].strip().lower())
    is_network = config.get("estimator") == "network"
    metadata: dict[str, Any] = {
        "license": license,
        "library_name": "icmass",
        "tags": [*_TAGS, str(config.get("name", "unknown"))],
        "datasets": [dataset],
        "metrics": list(METRICS),
    }
    if not is_network:
        metadata["pipeline_tag"] = _TABULAR
    if scores is not None:
        result = {
            "task": {
                "type": "other" if is_network else _TABULAR,
                "name": "ln M500c of galaxy clusters from "
                + ("maps of X-ray photons" if is_network else "what is measured of them"),
            },
            "dataset": {
                "type": dataset,
                "name": f"{scores['n']} mock clusters held out, preset {preset}",
            },
            "metrics": [
                {"type": key, "name": called, "value": round(float(scores[key]), 5)}
                for key, called in METRICS.items()
                if scores.get(key) is not None
            ],
        }
        called = str(name or config.get("name", "unknown"))
        metadata["model-index"] = [{"name": called, "results": [result]}]
    return metadata


def with_metadata(text: str, metadata: Mapping[str, Any]) -> str:
    """Return a card with these metadata, in place of those that it has."""
    import yaml

    front = yaml.safe_dump(dict(metadata), sort_keys=False, allow_unicode=True, width=100)
    return f"{FENCE}{front}{FENCE}\n{card_body(text)}"


def card_body(text: str) -> str:
    """Return a card without its metadata."""
    if not text.startswith(FENCE):
        return text
    _, end, body = text[len(FENCE) :].partition(f"\n{FENCE}")
    return body.lstrip("\n") if end else text


def read_metadata(text: str) -> dict[str, Any]:
    """Return the metadata of a card, none if it has none."""
    import yaml

    if card_body(text) == text:
        return {}
    front = yaml.safe_load(text[len(FENCE) :].partition(f"\n{FENCE}")[0])
    return front if isinstance(front, dict) else {}


def describe_model(
    directory: Path, *, name: str | None = None, license: str | None = None
) -> dict[str, Any]:
    """Write the metadata of a saved estimator anew, with the scores that lie beside it.

    Parameters
    ----------
    directory : path
        The folder of ``config.json``, ``README.md`` and, where it was scored, ``results.json``.
    name : str, optional
        What the model is called; default: as its estimator.
    license : str, optional
        Licence, in the Hub's spelling; default: as the card has it.

    Returns
    -------
    dict
        The metadata.

    Raises
    ------
    InputError
        If there is no saved estimator with a card.
    """
    file = Path(directory) / "README.md"
    try:
        config = json.loads((file.parent / "config.json").read_text(encoding="utf-8"))
        text = file.read_text(encoding="utf-8")
        results = file.parent / "results.json"
        scored = json.loads(results.read_text(encoding="utf-8")) if results.is_file() else {}
        scores = next(iter(scored.get("estimators", [])), None)
        kept = license or str(read_metadata(text).get("license", UNKNOWN_LICENSE))
        metadata = card_metadata(config, name=name, scores=scores, license=kept)
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        said = f"has no model card or no scores that can be read ({type(error).__name__})"
        hint = "give the folder of a saved estimator"
        raise InputError(said, file=directory, hint=hint) from None
    write_text(file, with_metadata(text, metadata))
    return metadata


def add_scores(directory: Path) -> None:
    """Put the scores that lie beside a saved estimator into its card, if that has metadata.

    Cards of other packages' estimators, which may have another form, stay as they are.
    """
    file = Path(directory) / "README.md"
    if file.is_file() and read_metadata(file.read_text(encoding="utf-8")):
        describe_model(directory)
