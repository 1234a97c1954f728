"""The benchmark's table on the page of a run."""

from __future__ import annotations

from collections.abc import Sequence

from icmass.report.narrative import Published
from icmass.report.style import group_heading, symbol_html
from icmass.run.results import Score, grouped
from icmass.run.table import MISSING, Cell, Column, Row, Table

_COLUMNS = (
    Column("Estimator", numeric=False),
    Column("σ paper", "per cent", html="σ<sub>paper</sub>"),
    Column("σ lnM", "per cent", html="σ<sub>lnM</sub>"),
    Column("Published", "per cent"),
    Column("Bias", "per cent"),
    Column("68 %", "coverage"),
    Column("95 %", "coverage"),
    Column("CRPS", "of ln M, × 100"),
    Column("Parameters", "fitted"),
    Column("Training", "seconds"),
)


def score_table(scores: Sequence[Score], published: Published) -> Table:
    """Return the benchmark's table, grouped; the smallest `sigma_lnm` of a group is bold."""
    groups: list[tuple[str, list[Row]]] = []
    for group, rows in grouped(scores):
        least = min((s.sigma_lnm for s in rows if s.sigma_lnm is not None), default=None)
        cells = [_row(score, published(score.name), score.sigma_lnm == least) for score in rows]
        groups.append((group_heading(group), cells))
    return Table(_COLUMNS, groups=groups, title="benchmark table")


def _row(score: Score, reference: float | None, is_best: bool) -> Row:
    return [
        Cell(score.name, html=symbol_html(score.name)),
        _percent(score.sigma_paper, score.sigma_paper_error),
        _percent(score.sigma_lnm, score.sigma_lnm_error, strong=is_best),
        _percent(reference, digits=2),
        _percent(score.bias_lnm, score.bias_lnm_error, sign="+"),
        _percent(score.coverage68),
        _percent(score.coverage95),
        _percent(score.crps),
        _number(score.n_parameters),
        _number(score.train_seconds),
    ]


def _percent(
    value: float | None,
    error: float | None = None,
    *,
    sign: str = "",
    digits: int = 1,
    strong: bool = False,
) -> Cell:
    if value is None:
        return Cell(MISSING)
    rounded = round(100 * value, digits) or 0.0  # no minus before a zero
    text = f"{rounded:{sign if rounded else ''}.{digits}f}"
    return Cell(text, "" if error is None else f"{100 * error:.1f}", strong)


def _number(value: float | None) -> str:
    if value is None:
        return MISSING
    return f"{value:,.2g}" if 0 < value < 10 and value != int(value) else f"{value:,.0f}"
