"""The transfer matrix as figures, and as one self-contained page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from icmass import __version__
from icmass.benchmarking.transfer import Transfer
from icmass.benchmarking.transfer_row import TransferRow
from icmass.report import markup
from icmass.report.explorer.of_transfer import transfer_explorer
from icmass.report.figures import Plate
from icmass.report.page import fill_template, write_page
from icmass.report.style import house_style, new_figure, save, symbol
from icmass.run.table import Table

PAGE = "transfer.html"
FOLDER = "figures"
_CELL = (0.62, 0.34)  # inches a column and a row
_LABELS = 1.9  # inches for the names of the rows
_BELOW = 1.0  # inches for the names of the columns


def write_transfer(transfer: Transfer) -> Path:
    """Draw the matrices of a transfer run and write ``transfer.html`` into its folder."""
    plates = []
    for stem, title, caption, value, text, limits, colours in _matrices():
        if transfer.rows:
            with house_style():
                figure = draw_matrix(transfer.rows, value, text, limits=limits, colours=colours)
            saved = save(figure, transfer.path / FOLDER, stem)
            plates.append(Plate("transfer", title, caption, saved))
    return write_page(transfer.path / PAGE, render(transfer, plates))


Value = Callable[[TransferRow], float | None]
Text = Callable[[TransferRow], str]
Matrix = tuple[str, str, str, Value, Text, tuple[float, float], str]


def _matrices() -> list[Matrix]:
    about = (
        "Rows: model and the survey that it was fitted on. Columns: survey that it is tested on."
    )
    return [
        (
            "bias",
            "Mass scale",
            f"Mean of ln M500c predicted - true, per cent. {about}",
            lambda row: row.bias_lnm,
            lambda row: _signed(100 * row.bias_lnm),
            (-0.4, 0.4),
            "RdBu_r",
        ),
        (
            "rms",
            "Error of a mass",
            f"Root mean square of ln M500c predicted - true, per cent. {about}",
            lambda row: row.rms_lnm,
            lambda row: f"{100 * row.rms_lnm:.0f}",
            (0.0, 0.6),
            "YlOrRd",
        ),
        (
            "coverage",
            "What the intervals hold",
            f"Per cent of true masses within the central 68 per cent intervals. {about}",
            lambda row: row.coverage68,
            lambda row: f"{100 * row.coverage68:.0f}",
            (0.36, 1.0),
            "PuOr",
        ),
        (
            "flagged",
            "What the models themselves flag",
            "Per cent of clusters that a model calls out of its training's range; blank: it has no "
            f"detector. {about}",
            lambda row: row.flagged,
            lambda row: "" if row.flagged is None else f"{100 * row.flagged:.0f}",
            (0.0, 0.5),
            "Blues",
        ),
    ]


def draw_matrix(
    rows: Sequence[TransferRow],
    value: Value,
    text: Text,
    *,
    limits: tuple[float, float],
    colours: str,
) -> Figure:
    """Draw one number of every model on every survey.

    Parameters
    ----------
    rows : sequence of TransferRow
    value, text : callable
        Number of a row, None where there is none, and how it is printed.
    limits : (float, float)
        Ends of the colour scale.
    colours : str
        Name of the colour map.
    """
    fitted = list(dict.fromkeys((row.model, row.train) for row in rows))
    tests = list(dict.fromkeys(row.test for row in rows))
    grid = np.full((len(fitted), len(tests)), np.nan)
    texts = {}
    for row in rows:
        at = fitted.index((row.model, row.train)), tests.index(row.test)
        number = value(row)
        grid[at] = np.nan if number is None else number
        texts[at] = text(row)
    width, height = _LABELS + _CELL[0] * len(tests), _BELOW + _CELL[1] * len(fitted)
    figure = new_figure(height, max(width, 3.2))
    axes = figure.subplots()
    image = axes.imshow(grid, cmap=colours, vmin=limits[0], vmax=limits[1], aspect="auto")
    for (i, j), label in texts.items():
        red, green, blue, _ = image.to_rgba(np.nan_to_num(grid[i, j]))
        dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
        axes.text(j, i, label, ha="center", va="center", color="white" if dark else "black")
    axes.set_xticks(range(len(tests)), tests, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(fitted)), [f"{symbol(m)}  ({t})" for m, t in fitted])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for i in range(1, len(fitted)):
        if fitted[i][1] != fitted[i - 1][1]:
            axes.axhline(i - 0.5, color="white", lw=3)
    return figure


_HEAD = (
    "Model",
    "Fitted on",
    "Tested on",
    "n",
    "RMS",
    "Bias",
    "Scatter",
    "68 %",
    "CRPS",
    "Flagged",
)


def render(transfer: Transfer, plates: list[Plate]) -> str:
    """Return the page's HTML."""
    rows = [_cells(row) for row in transfer.rows]
    notes = [f"{name} failed: {why}" for name, why in transfer.failed.items()]
    refused = sum(row.n_refused for row in transfer.rows)
    document = transfer.document
    return fill_template(
        kicker="icmass transfer",
        title="What other gas physics does to the masses",
        lead=lead(transfer.rows),
        explorer=transfer_explorer(transfer),
        sections=[
            markup.section("The matrix", markup.bullets(notes), markup.plates(plates, "one")),
            markup.section(
                "Every row",
                Table(_HEAD, rows).to_html(plain=True),
                markup.paragraph(
                    "ln M500c predicted - true, per cent, with bootstrap errors over halos. Where "
                    "a test survey has the halos of the training survey, an eighth of the halos is "
                    "held out of the fit and tested alone (n is smaller there). "
                    f"{refused} clusters at redshifts without training were left out.",
                    "note",
                ),
            ),
            markup.section(
                "How to make it again",
                markup.code_block(str(document.get("command") or "icmass.transfer(...)")),
                markup.facts([("Page written by", f"icmass {__version__}")]),
            ),
        ],
    )


def lead(rows: Sequence[TransferRow]) -> str:
    """Return the finding in a sentence or two of plain text."""
    if not rows:
        return "No model could be scored."
    worst = max(rows, key=lambda row: abs(row.bias_lnm))
    low = min(rows, key=lambda row: row.coverage68)
    return (
        f"The mass scale moves by up to {100 * abs(worst.bias_lnm):.0f} per cent ({worst.model} on "
        f"{worst.test}); there the model flags {_share(worst.flagged)} of the clusters. The 68 per "
        f"cent intervals hold as few as {100 * low.coverage68:.0f} per cent of the true masses "
        f"({low.model} on {low.test})."
    )


def _signed(value: float) -> str:
    """Return a whole number with its sign, zero without."""
    rounded = round(value)
    return f"{rounded:+d}".replace("-", "−") if rounded else "0"


def _share(value: float | None) -> str:
    return "none" if not value else f"{100 * value:.0f} per cent"


def _cells(row: TransferRow) -> tuple[str, ...]:
    return (
        row.model,
        row.train,
        row.test,
        f"{row.n:,}",
        f"{100 * row.rms_lnm:.1f} ± {100 * row.rms_lnm_error:.1f}",
        f"{100 * row.bias_lnm:+.1f} ± {100 * row.bias_lnm_error:.1f}".replace("-", "−"),
        f"{100 * row.sigma_lnm:.1f} ± {100 * row.sigma_lnm_error:.1f}",
        f"{100 * row.coverage68:.0f} ± {100 * row.coverage68_error:.0f}",
        f"{100 * row.crps:.1f}",
        "–" if row.flagged is None else f"{100 * row.flagged:.0f}",
    )
