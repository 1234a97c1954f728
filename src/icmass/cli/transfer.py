"""`icmass transfer`: trained on some gas physics, tested on other."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from icmass.cli.interruption import resumable
from icmass.cli.options import Quiet
from icmass.cli.progress import progress

if TYPE_CHECKING:
    from icmass.benchmarking.transfer_row import TransferRow


def transfer(
    test: Annotated[
        list[Path], typer.Option("--test", help="Surveys to score on.", metavar="B.zarr...")
    ],
    models: Annotated[
        str,
        typer.Option(
            metavar="M1,M2,...",
            help="Estimators to fit on each --train; saved and bundled models and families come as "
            "they are.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for models, transfer.json and the page.")],
    train: Annotated[
        list[Path] | None,
        typer.Option("--train", help="Surveys to fit on, each by itself.", metavar="A.zarr..."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of fits and bootstrap errors.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    max_epochs: Annotated[
        int | None, typer.Option(min=1, help="Train networks for at most this many epochs.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a killed run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    quiet: Quiet = False,
) -> None:
    """Train estimators on some surveys, test them on others: scatter, bias and coverage of masses.

    Halos that a test survey shares with the training survey are held out of the fit.
    """
    import json

    import icmass
    from icmass.run.layout import RunLayout

    kept = RunLayout(out).config
    with resumable(kept), progress("fits and scores", quiet=quiet or as_json) as report:
        at = (0, 0)

        def count(done: int, total: int) -> None:
            nonlocal at
            at = (done, total)
            report(done, total)

        done = icmass.transfer(
            train or (),
            test,
            [name.strip() for name in models.split(",") if name.strip()],
            out=out,
            seed=seed,
            device=device,
            max_epochs=max_epochs,
            resume=resume,
            progress=count,
            watch=lambda said: report(*at, said),
            command=shlex.join(["icmass", *sys.argv[1:]]),
        )
    if as_json:
        typer.echo(json.dumps(done.document, indent=1))
    else:
        _print(done.rows)
        typer.echo(out / "transfer.html")
    for name, why in done.document["refused"].items():
        typer.echo(f"icmass: {name}: {why}", err=True)
    for name, why in done.failed.items():
        typer.echo(f"icmass: {name} failed: {why}", err=True)
    if done.failed:
        raise typer.Exit(2)


def _print(rows: list[TransferRow]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        "model", "trained on", "tested on", "n", "rms", "bias", "scatter", "68", "flagged"
    )
    before = None
    for row in rows:
        if before not in (None, (row.model, row.train)):
            table.add_section()
        before = (row.model, row.train)
        table.add_row(
            escape(row.model),
            escape(row.train),
            escape(row.test),
            f"{row.n}",
            f"{100 * row.rms_lnm:.1f}±{100 * row.rms_lnm_error:.1f}",
            f"{100 * row.bias_lnm:+.1f}±{100 * row.bias_lnm_error:.1f}",
            f"{100 * row.sigma_lnm:.1f}±{100 * row.sigma_lnm_error:.1f}",
            f"{100 * row.coverage68:.0f}",
            "–" if row.flagged is None else f"{100 * row.flagged:.0f}",
        )
    console = Console()
    console.print(table)
    console.print(
        "ln M500c predicted - true, per cent; 68: of true masses in the 68 per cent range"
    )
