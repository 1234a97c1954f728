"""`icmass validate`: a mock survey against published and measured values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from icmass.run.table import Cell
    from icmass.validation.check import Check
    from icmass.validation.validate import Validation


def validate(
    survey: Annotated[Path, typer.Argument(help="A simulated survey, X.zarr.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for validation.json, figures and the page validation.html."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap errors.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Compare a mock with the published catalogue: each figure, its target, whether it holds.

    A missed target is shown, not an error: the exit status is 0 whenever all was computed.
    """
    import icmass

    opened = icmass.open_survey(survey)
    found = icmass.validate(opened, seed=seed)
    document = json.dumps(found.document(), indent=1)
    page = None
    if out is not None:
        from icmass.report.validation import write_validation

        page = write_validation(opened, found, out, path=survey)
    if as_json:
        typer.echo(document)
        return
    _print(found)
    if page is not None:
        typer.echo(page)


def _print(found: Validation) -> None:
    from rich.console import Console
    from rich.markup import escape

    from icmass.run.table import Column, Table
    from icmass.validation.check import GROUPS

    console = Console()
    told, verdict = found.survey, found.verdict
    console.print(
        f"[bold]{verdict.n_ok} of {verdict.n} rows hold[/bold]: "
        f"preset {escape(str(told['preset']))}, {told['n_clusters']} clusters, "
        f"seed {told['seed']}; "
        f"worst {verdict.worst}, {verdict.worst_deviation:+.1f} tolerances"
    )
    groups = [
        (title, [_cells(check) for check in found.checks if check.group == key])
        for key, title in GROUPS.items()
    ]
    table = Table(
        ["row", "value", "target", "tolerance", "off by", "n", Column("unit", numeric=False)],
        groups=[(title, rows) for title, rows in groups if rows],
    )
    console.print(table.to_rich())
    console.print("off by: deviation in units of the tolerance; MISS beyond 1")
    for reason, names in found.absent.items():
        console.print(f"Left out, {reason}: {'; '.join(names)}", markup=False, soft_wrap=True)


def _cells(check: Check) -> tuple[str | Cell, ...]:
    from icmass.run.table import Cell
    from icmass.validation.formatting import tolerance_text, value_text

    return (
        f"  {check.name}",
        value_text(check),
        f"{check.target.value:.4g}",
        tolerance_text(check.target),
        Cell(f"{check.deviation:+.2f}" + ("" if check.ok else " MISS"), strong=not check.ok),
        f"{check.n}",
        check.unit,
    )
