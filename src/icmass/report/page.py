"""One self-contained HTML page from what is in a run."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from icmass import __version__
from icmass.errors import InputError
from icmass.files import write_text
from icmass.proxies.published import published_sigma
from icmass.report import markup
from icmass.report.explained import causal_section, explained_section
from icmass.report.explorer.of_run import run_explorer
from icmass.report.explorer.section import Explorer
from icmass.report.figures import Plate, make_figures
from icmass.report.narrative import calibration_words, headline
from icmass.report.provenance import commands, made_on, resolved_configuration, survey_facts
from icmass.report.score_table import score_table
from icmass.report.source import Run, read_run
from icmass.run.layout import RunLayout


def write_report(run: Path, *, keep_figures: bool = False) -> Path:
    """Draw the figures of a run and write its page.

    Parameters
    ----------
    run : path
        A folder that `icmass benchmark` wrote.
    keep_figures : bool
        Whether those stay that the page was made with before, if the scores have not changed.

    Returns
    -------
    path
        ``RUN/report.html``: one file, no network, no script but that of its explorer.

    Raises
    ------
    InputError
        If the folder is no run, or cannot be written to.
    """
    read = read_run(Path(run))
    text = render(read, make_figures(read, keep=keep_figures))
    return write_page(RunLayout(read.path).page, text)


def write_page(page: Path, text: str) -> Path:
    """Write a page whole or not at all; return its path."""
    try:
        write_text(page, text)
    except OSError as error:
        raise InputError(
            f"cannot be written ({error.strerror or error})", file=page, hint="free some space"
        ) from None
    return page


def fill_template(
    *, kicker: str, title: str, lead: str, sections: list[str], explorer: Explorer | None = None
) -> str:
    """Return a page's HTML: `kicker`, `title` and `lead` plain text, `sections` HTML.

    The policy of a page's content lets no script run but the `explorer`'s, which stands first.
    """
    held = files("icmass.report")
    css = held.joinpath("style.css").read_text(encoding="utf-8")
    tail, scripts = "", "'none'"
    if explorer is not None:
        css, tail, scripts = css + explorer.style, explorer.tail, explorer.script_hash
        sections = [explorer.section, *sections]
    return Template(held.joinpath("template.html").read_text(encoding="utf-8")).substitute(
        kicker=escape(kicker),
        title=escape(title),
        css=css,
        scripts=scripts,
        lead=markup.paragraph(lead, "lead"),
        sections="\n".join(sections),
        tail=tail,
    )


def render(run: Run, plates: list[Plate]) -> str:
    """Return the page's HTML, its explorer first."""
    said = headline(run.results, published_sigma)
    sections = [
        _result_section(run, plates, said[1:]),
        _survey_section(run, plates),
        _predicted_section(run, plates),
        markup.section(
            "How far the proxies agree with one another",
            markup.paragraph(
                "Proxies whose residuals at fixed mass are correlated carry the same errors and "
                "gain little from being combined; opposite signs cancel."
            ),
            _plates(plates, "correlation", "one"),
        ),
        explained_section(run.path),
        causal_section(run.path),
        _definitions_section(),
        _provenance_section(run),
    ]
    return fill_template(
        kicker="icmass benchmark report",
        title=_title(run),
        lead=said[0],
        sections=sections,
        explorer=run_explorer(run),
    )


def _title(run: Run) -> str:
    n = max((s.n or 0) for s in run.results.estimators)
    clusters = f"{n:,} simulated clusters" if n else "simulated clusters"
    return f"Masses of {clusters} from their X-ray photons"


def _plates(plates: list[Plate], key: str, layout: str) -> str:
    return markup.plates([p for p in plates if p.key == key], layout)


def _result_section(run: Run, plates: list[Plate], said: list[str]) -> str:
    few = run.results.limited()
    return markup.section(
        "How well each estimator does",
        markup.bullets(said),
        score_table(run.results.estimators, published_sigma).to_html(),
        *(markup.absent(f"{name} failed: {why}") for name, why in run.results.failed.items()),
        markup.paragraph(
            "Bold: the smallest σ lnM of each group. Published: Ho et al. (2023), "
            "doi 10.1093/mnras/stad2005, to be compared with σ paper.",
            "note",
        ),
        markup.paragraph(f"Scored on fewer clusters: {'; '.join(few)}.", "note") if few else "",
        _plates(plates, "bars", "one"),
    )


def _survey_section(run: Run, plates: list[Plate]) -> str:
    return markup.section(
        "What was simulated",
        markup.absent(f"The survey could not be opened: {run.missing['survey']}.")
        if run.survey is None
        else "",
        markup.facts(survey_facts(run)),
        _plates(plates, "gallery", "two"),
        _plates(plates, "overview", "one"),
    )


def _predicted_section(run: Run, plates: list[Plate]) -> str:
    return markup.section(
        "Predicted against true mass",
        markup.paragraph(
            "Each point is a cluster, predicted by the model that was not trained on its fold. "
            "Dashed: equality. Solid line and band: median and 16th to 84th percentile in bins of "
            "true mass. Beneath: the residual, ln predicted minus ln true. Masses are M500c in "
            "Msun/h. A band that tilts at the ends is the price of a limited range: the expected "
            "mass of a cluster is drawn towards the middle of the training set."
        ),
        _plates(plates, "predicted", "many"),
        markup.paragraph("Can the stated errors be believed?", "lead"),
        markup.bullets(calibration_words(run.results)),
        _plates(plates, "calibration", "two"),
    )


def _definitions_section() -> str:
    return markup.section(
        "How the scores are defined",
        markup.facts(
            [
                (
                    "σ lnM",
                    "The common score: standard deviation of ln M predicted − ln M true over all "
                    "clusters, each predicted by the fold that did not see it. Its error is from "
                    "bootstrap resampling.",
                ),
                (
                    "σ paper",
                    "The score that Ho et al. (2023) give each kind. Proxies: residual scatter of "
                    "ln proxy at fixed mass over the slope, per snapshot, in sample (for a set, "
                    "1/√(αᵀC⁻¹α)), mean over snapshots. Networks: standard deviation of "
                    "log10 M predicted − log10 M true, times ln 10, cross-validated.",
                ),
                ("Bias", "Mean of ln M predicted − ln M true."),
                (
                    "Coverage",
                    "Per cent of the clusters whose true mass lies in the central 68 or 95 "
                    "per cent interval of the prediction.",
                ),
                (
                    "PIT, TARP",
                    "PIT: the posterior probability of less than the true mass; evenly spread if "
                    "posteriors are calibrated. TARP (Lemos et al. 2023): the probability of "
                    "masses nearer to a random point than the truth is; evenly spread too.",
                ),
                (
                    "Ideal, observed",
                    "Ideal proxies are true quantities of the simulated gas, without noise; "
                    "observed proxies are counted on the maps that the networks see, those within "
                    "R500c or 2 R500c inside the true radius and net of the local background.",
                ),
            ],
            "terms",
        ),
    )


def _provenance_section(run: Run) -> str:
    configuration = resolved_configuration(run)
    return markup.section(
        "How to make it again",
        markup.code_block(commands(run)),
        markup.facts([*made_on(run), ("Page written by", f"icmass {__version__}")]),
        markup.absent(f"{run.missing['config']}.") if "config" in run.missing else "",
        ""
        if configuration is None
        else markup.folded(
            "Configuration of the survey (as a file, `icmass simulate --config` takes it)",
            configuration,
        ),
    )
