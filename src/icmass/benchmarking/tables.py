"""The table of a benchmark: for the terminal, in Markdown and in LaTeX."""

from __future__ import annotations

from icmass.proxies.published import SOURCE
from icmass.run.folder import RunFolder
from icmass.run.results import GROUPS, Results, Score, grouped
from icmass.run.table import MISSING, Cell, Table

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


def percent(value: float | None, error: float | None = None) -> Cell:
    """Return a fraction in per cent with its error; a dash where there is none.

    >>> str(percent(0.1784, 0.0031))
    '17.8 ± 0.3'
    """
    if value is None:
        return Cell(MISSING)
    return Cell(f"{100 * value:.1f}", "" if error is None else f"{100 * error:.1f}")


def results_table(results: Results, *, brief: bool = False) -> Table:
    """Return the table of a benchmark; `brief`: with the note of fewer folds alone."""
    survey = results.survey
    return Table(
        columns=HEADINGS,
        groups=[
            (GROUPS[group], [_cells(score) for score in scores])
            for group, scores in grouped(results.estimators)
        ],
        title=(
            f"Scatter of ln M500c in per cent: {survey.n_clusters} clusters, preset "
            f"{survey.preset}, {results.folds} folds"
        ),
        notes=[*(() if brief else NOTES), *_limit_notes(results)],
    )


def _limit_notes(results: Results) -> list[str]:
    limited = results.limited()
    return [f"Scored on fewer clusters: {'; '.join(limited)}."] if limited else []


def _cells(score: Score) -> list[str | Cell]:
    return [
        score.name,
        percent(score.sigma_published),
        percent(score.sigma_paper, score.sigma_paper_error),
        percent(score.sigma_lnm, score.sigma_lnm_error),
        percent(score.bias_lnm, score.bias_lnm_error),
        _fixed(score.coverage68, 0, 100),
        _fixed(score.coverage95, 0, 100),
        _fixed(score.crps, 1, 100),
        _fixed(score.n_parameters, 0),
        _fixed(score.train_seconds, 1),
    ]


def _fixed(value: float | None, digits: int, factor: float = 1) -> str:
    return MISSING if value is None else f"{factor * value:.{digits}f}"


def markdown(results: Results) -> str:
    """Return the table in Markdown, with its notes."""
    table = results_table(results)
    lines = [f"# {table.title}", "", table.to_markdown(), *(f"- {note}" for note in table.notes)]
    lines += [f"- {name} failed: {why}" for name, why in results.failed.items()]
    return "\n".join(lines) + "\n"


def write_tables(results: Results, folder: RunFolder) -> None:
    """Write ``tables/results.md`` and ``tables/results.tex`` into a run."""
    folder.write_text(folder.layout.table("md"), markdown(results))
    folder.write_text(folder.layout.table("tex"), results_table(results).to_latex())
