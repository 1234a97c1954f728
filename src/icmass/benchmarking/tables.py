"""The table of a benchmark: for the terminal, in Markdown and in LaTeX."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from icmass.benchmarking.run_folder import RunFolder
from icmass.proxies.published import SOURCE

if TYPE_CHECKING:
    from rich.table import Table

GROUPS = ("ideal proxies", "observed proxies", "combinations", "map features", "networks")
NOTES = (
    "Published, paper's method, cross-validated: the scatter sigma of ln M500c in per cent.",
    "Paper's method: of proxies sigma(ln s|M)/slope, in-sample, mean over the snapshots; of "
    "networks std(ln M_pred - ln M_true).",
    "Cross-validated: std(ln M_pred - ln M_true) of clusters that the fit did not see, the same "
    "for every row; errors are bootstrap over halos.",
    "68, 95: per cent of true masses inside the central interval that should hold as many. "
    "CRPS: continuous ranked probability score of ln M500c, times 100; smaller is better.",
    f"Published: {SOURCE}. Its N_phot,500c is beside N_phot_2r500 (its radius comes out at 2 "
    "R500c); icm networks are beside the published networks of the same bands.",
    "N_phot: all photons of the map. N_phot_r500, N_phot_2r500: photons within the true R500c or "
    "2 R500c in projection; where the survey has background, net of the local one outside 2 R500c, "
    "for otherwise the background in an aperture that knows R500c would tell of the mass.",
)

_BY_KIND = {"network": "networks", "features": "map features"}


def group_of(row: dict[str, Any]) -> str:
    """Return the group of the table in which an estimator of ``results.json`` stands."""
    if (group := _BY_KIND.get(row["kind"])) is not None:
        return group
    if "+" in row["name"]:
        return "combinations"
    return f"{row['kind']} proxies"


def percent(value: float | None, error: float | None = None, pm: str = "±") -> str:
    """Return a fraction in per cent with its error; a dash where there is none.

    >>> percent(0.1784, 0.0031)
    '17.8 ± 0.3'
    """
    if value is None:
        return "–"
    text = f"{100 * value:.1f}"
    return text if error is None else f"{text} {pm} {100 * error:.1f}"


def limited(results: dict[str, Any]) -> list[str]:
    """Return a note for each estimator fitted on fewer folds: ``paper-1band: 2 of 8 folds``."""
    folds = results["folds"]
    fitted = {row["name"]: row.get("folds_fitted", folds) for row in results["estimators"]}
    return [f"{name}: {k} of {folds} folds" for name, k in fitted.items() if k < folds]


def _limit_note(results: dict[str, Any]) -> str:
    """Return the sentence on fewer folds, empty where there is nothing to say."""
    found = limited(results)
    return f"Scored on fewer clusters: {'; '.join(found)}." if found else ""


def _cells(row: dict[str, Any], pm: str = "±") -> list[str]:
    return [
        row["name"],
        percent(row.get("sigma_published")),
        percent(row["sigma_paper"], row.get("sigma_paper_error"), pm),
        percent(row["sigma_lnm"], row["sigma_lnm_error"], pm),
        percent(row["bias_lnm"], row.get("bias_lnm_error"), pm),
        f"{100 * row['coverage68']:.0f}",
        f"{100 * row['coverage95']:.0f}",
        f"{100 * row['crps']:.1f}",
        f"{row['n_parameters']}",
        f"{row['train_seconds']:.1f}",
    ]


HEADINGS = (
    "estimator",
    "published",
    "paper's method",
    "cross-validated",
    "bias",
    "68",
    "95",
    "CRPS",
    "parameters",
    "fit [s]",
)


def _grouped(results: dict[str, Any]) -> Iterable[tuple[str, list[dict[str, Any]]]]:
    for group in GROUPS:
        rows = [row for row in results["estimators"] if group_of(row) == group]
        if rows:
            yield group, rows


def _title(results: dict[str, Any]) -> str:
    survey = results["survey"]
    return (
        f"Scatter of ln M500c in per cent: {survey['n_clusters']} clusters, preset "
        f"{survey['preset']}, {results['folds']} folds"
    )


def rich_table(results: dict[str, Any]) -> Table:
    """Return the table for a terminal."""
    from rich.markup import escape
    from rich.table import Table

    note = _limit_note(results) or None
    table = Table(
        title=escape(_title(results)), title_justify="left", caption=note, caption_justify="left"
    )
    for i, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="right" if i else "left", no_wrap=True)
    for group, rows in _grouped(results):
        table.add_section()
        table.add_row(f"[bold]{escape(group)}[/bold]")
        for row in rows:
            table.add_row(*map(escape, _cells(row)))
    return table


def _notes(results: dict[str, Any]) -> list[str]:
    return [note for note in (*NOTES, _limit_note(results)) if note]


def markdown(results: dict[str, Any]) -> str:
    """Return the table in Markdown, with its notes."""
    lines = [f"# {_title(results)}", "", _markdown_row(HEADINGS)]
    lines += ["|---|" + "---:|" * (len(HEADINGS) - 1)]
    for group, rows in _grouped(results):
        lines += [_markdown_row([f"**{group}**"] + [""] * (len(HEADINGS) - 1))]
        lines += [_markdown_row(_cells(row)) for row in rows]
    lines += ["", *(f"- {note}" for note in _notes(results))]
    lines += [f"- {name} failed: {why}" for name, why in results["failed"].items()]
    return "\n".join(lines) + "\n"


def _markdown_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def latex(results: dict[str, Any]) -> str:
    """Return the table in LaTeX: an environment ``table``, without any package."""
    head = " & ".join(map(_tex, HEADINGS))
    lines = [
        r"\begin{table}",
        rf"\caption{{{_tex(_title(results))}. {' '.join(map(_tex, _notes(results)))}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(HEADINGS) - 1)}}}",
        r"\hline",
        rf"{head} \\",
    ]
    for group, rows in _grouped(results):
        lines += [r"\hline", rf"\multicolumn{{{len(HEADINGS)}}}{{l}}{{\textit{{{group}}}}} \\"]
        lines += [" & ".join(map(_tex, _cells(row))) + r" \\" for row in rows]
    lines += [r"\hline", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


_TEX = {
    "\\": r"\textbackslash{}",
    "_": r"\_",
    "%": r"\%",
    "&": r"\&",
    "#": r"\#",
    "$": r"\$",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "–": "--",
    "|": r"$|$",
    "<": "$<$",
    ">": "$>$",
}


def _tex(text: str) -> str:
    if text.startswith("-") and text[1:2].isdigit():
        text, sign = text[1:], "$-$"
    else:
        sign = ""
    return sign + "".join(_TEX.get(letter, letter) for letter in text)


def write_tables(results: dict[str, Any], folder: RunFolder) -> None:
    """Write ``tables/results.md`` and ``tables/results.tex`` into a run."""
    folder.write_text("tables/results.md", markdown(results))
    folder.write_text("tables/results.tex", latex(results))
