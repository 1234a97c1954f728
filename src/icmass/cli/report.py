"""`icmass report`: one page from what is in a run."""

from __future__ import annotations

from pathlib import Path

import typer


def report(
    run: Path = typer.Argument(help="Folder that `icmass benchmark` wrote.", metavar="RUN"),
) -> None:
    """Write one HTML page, with its figures, from what is in RUN."""
    from icmass.report.page import write_report

    typer.echo(write_report(run))
