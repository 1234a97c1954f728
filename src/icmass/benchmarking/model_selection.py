"""Which estimators a benchmark compares, and on how many folds each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from icmass.errors import InputError
from icmass.estimators.registry import make_estimator


def canonical_names(models: Sequence[str], field: str = "models") -> list[str]:
    """Return the canonical names, each once; an unknown one is an error."""
    names = []
    for name in models:
        try:
            names.append(make_estimator(name).name)
        except InputError as error:
            raise InputError(error.problem, field=f"{field}, {name!r}", hint=error.hint) from None
    return list(dict.fromkeys(names))


def checked_limit(limit: Mapping[str, int], models: list[str], folds: int) -> dict[str, int]:
    """Return the fold limits by canonical name; one that makes no sense is an error."""
    checked = {}
    for name, k in limit.items():
        (canonical,) = canonical_names([name], "fold_limit")
        if canonical not in models:
            raise InputError(
                f"{name!r} is not among the models",
                field="fold_limit",
                hint=f"give one of {', '.join(models)}",
            )
        if not 1 <= k <= folds:
            raise InputError(
                f"{k}", field=f"fold_limit, {name!r}", hint=f"give a number from 1 to {folds}"
            )
        checked[canonical] = k
    return checked
