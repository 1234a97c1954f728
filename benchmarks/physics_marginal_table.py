"""The results of `physics_marginal.py` as Markdown tables, and the bars that they are held to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Row = dict[str, Any]
TESTS = ("as-trained", "tng", "flamingo", "strong-feedback", "efeds", "xxl", "more-agn",
         "kept-aside")  # fmt: skip
COVERAGE_UNSEEN, COVERAGE_LEFT_OUT = (0.58, 0.78), (0.60, 0.78)
SCALARS = ("N_phot on default", "N_phot_r500 on default", "N_phot_2r500 on default",
           "N_gal on default")  # fmt: skip
PRIORS = ("prior", "prior-3000", "trees-prior", "trees-prior-3000", "prior-richness")
ABLATION = ("default", "mixed", "prior", "prior-3000", "erosita-v1", *SCALARS[1::2])
ABLATION_OF_TREES = ("trees-default", "trees-mixed", "trees-prior", "trees-prior-3000")


def by_fit(document: dict[str, Any]) -> dict[str, dict[str, Row]]:
    """Return the rows by the name of the fit and of the test."""
    found: dict[str, dict[str, Row]] = {}
    for row in document["rows"]:
        found.setdefault(row["train"], {})[row["test"]] = row
    return found


def bars(document: dict[str, Any]) -> list[Row]:
    """Return each bar with what was found: ``bar``, ``fit``, ``test``, ``found`` and ``holds``.

    Of a root mean square ``found`` is the ratio to the scalar's.
    """
    rows, held = by_fit(document), []

    def add(bar: str, fit: str, test: str, found: float, holds: bool) -> None:
        held.append({"bar": bar, "fit": fit, "test": test, "found": found, "holds": holds})

    def covers(fit: str, test: str, between: tuple[float, float]) -> None:
        value = rows[fit][test]["coverage68"]
        lo, hi = (round(100 * limit) for limit in between)
        add(f"68 per cent intervals hold {lo} to {hi}", fit, test, value,
            between[0] <= value <= between[1])  # fmt: skip

    def no_worse(fit: str, test: str, scalars: Iterable[str], called: str) -> None:
        others = [rows[name][test]["rms_lnm"] for name in scalars if name in rows]
        if others:
            ratio = rows[fit][test]["rms_lnm"] / min(others)
            add(f"rms no worse than that of {called}", fit, test, ratio, ratio <= 1)

    for fit in PRIORS:
        for test in TESTS[1:] if fit in rows else ():
            covers(fit, test, COVERAGE_UNSEEN)
            no_worse(fit, test, ["N_phot_r500 on default"], "N_phot_r500")
    for one in document["fits"]:
        left_out = one["fit"]["left_out"]
        if left_out is not None:
            covers(one["fit"]["name"], left_out, COVERAGE_LEFT_OUT)
            no_worse(one["fit"]["name"], left_out, SCALARS, "the best scalar")
    return held


def markdown(document: dict[str, Any]) -> str:
    """Return all tables; in per cent of ln M."""
    rows = by_fit(document)
    fits = {one["fit"]["name"]: one for one in document["fits"]}
    sets = ([name for name in names if name in rows] for names in (ABLATION, ABLATION_OF_TREES))
    parts = [_side_by_side(rows, names) for names in sets if names]
    left_out = [name for name, one in fits.items() if one["fit"]["left_out"] is not None]
    if left_out:
        parts.append(_left_out(rows, fits, left_out))
    if "prior-richness" in rows:
        names = ["prior", "prior-richness", "N_gal on prior", "N_gal on default"]
        parts.append(_side_by_side(rows, [name for name in names if name in rows]))
    adapted = [name for name, one in fits.items() if one["fit"]["part"] == "adaptation"]
    if adapted:
        parts.append(
            _side_by_side(rows, adapted, ("as-trained", "strong-feedback", "xxl", "efeds"))
        )
    parts += [_full(document["rows"]), _bars(bars(document))]
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *lines])


def _cell(row: Row | None) -> str:
    if row is None:
        return "-"
    rms, bias, covered = (100 * row[key] for key in ("rms_lnm", "bias_lnm", "coverage68"))
    return f"{rms:.1f} ± {100 * row['rms_lnm_error']:.1f} ({bias:+.0f}, {covered:.0f})"


def _side_by_side(
    rows: dict[str, dict[str, Row]], names: Sequence[str], tests: Sequence[str] = TESTS
) -> str:
    """Return rms ± error (bias, within 68) of some fits, a column each."""
    lines = [[test, *(_cell(rows[name].get(test)) for name in names)] for test in tests]
    return _table(["rms (bias, within 68)", *names], lines)


def _left_out(
    rows: dict[str, dict[str, Row]], fits: dict[str, dict[str, Any]], names: Sequence[str]
) -> str:
    lines = []
    for name in names:
        test = fits[name]["fit"]["left_out"]
        scalars = {s: rows[s][test]["rms_lnm"] for s in SCALARS if s in rows}
        best = min(scalars, key=scalars.__getitem__) if scalars else None
        lines.append(
            [
                test,
                fits[name]["fit"]["model"],
                str(fits[name]["universes_left_out"]),
                str(fits[name]["n_train"]),
                _cell(rows[name][test]),
                _cell(
                    rows.get("trees-prior-3000" if "trees" in name else "prior-3000", {}).get(test)
                ),
                "-" if best is None else f"{best.split()[0]}: {_cell(rows[best][test])}",
            ]
        )
    head = ["left out and tested", "estimator", "universes dropped", "clusters left", "without it"]
    return _table([*head, "whole prior", "best scalar"], lines)


def _full(rows: Iterable[Row]) -> str:
    head = ["fit", "test", "rms", "bias", "scatter", "within 68", "CRPS", "flagged"]
    lines = []
    for row in rows:
        pairs = [
            f"{100 * row[key]:.1f} ± {100 * row[f'{key}_error']:.1f}"
            for key in ("rms_lnm", "bias_lnm", "sigma_lnm", "coverage68")
        ]
        flagged = "-" if row["flagged"] is None else f"{100 * row['flagged']:.0f}"
        lines.append([row["train"], row["test"], *pairs, f"{100 * row['crps']:.1f}", flagged])
    return _table(head, lines)


def _bars(held: Iterable[Row]) -> str:
    lines = [
        [
            one["bar"],
            one["fit"],
            one["test"],
            f"{one['found']:.2f}",
            "yes" if one["holds"] else "no",
        ]
        for one in held
    ]
    return _table(["bar", "fit", "test", "found", "holds"], lines)
