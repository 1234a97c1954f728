"""`icmass predict --catalogue`: masses of the rows of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from icmass.cli import options
from icmass.cli.predict_table import check_outputs, interval, print_doubts, write_outputs
from icmass.errors import InputError

MAX_ROWS = 20


def predict_rows(
    catalogue: Path,
    columns: str | None,
    inputs: list[Path],
    *,
    model_name: str | None,
    nh: float | None,
    prior: str,
    samples: int | None,
    seed: int,
    out: Path | None,
    overwrite: bool,
    likelihood: Path | None,
    as_json: bool,
) -> None:
    """Predict the rows of a catalogue, print the masses and write them."""
    from icmass.inference.catalogue import CATALOGUE_MODEL, predict_catalogue
    from icmass.inference.predict import load_model

    if len(inputs) > 1:
        hint = "give one MODEL_OR_RUN at most before --catalogue"
        raise InputError("does not go with --catalogue", field="inputs", hint=hint)
    how: dict[str, Any] = {"overwrite": overwrite, "as_json": as_json, "of_catalogue": True}
    check_outputs(samples, out, likelihood, [catalogue], **how)
    masses = predict_catalogue(
        catalogue,
        model=load_model(inputs[0] if inputs else CATALOGUE_MODEL, name=model_name, device="cpu"),
        columns=columns,
        nh=nh,
        prior=prior,
        samples=samples,
        seed=seed,
        notes=options.say,
    )
    write_outputs(masses, out, likelihood, overwrite=overwrite)
    if as_json:
        typer.echo(masses.to_json())
    else:
        _print(masses.document)


def _print(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape

    from icmass.run.table import Column, Table

    console, about = Console(), found["catalogue"]
    console.print(
        f"[bold]{escape(found['model']['name'])}[/bold], trained on {found['model']['n_train']} "
        f"mock rows: {about['with_mass']} of {about['extended']} extended sources have a mass",
        soft_wrap=True,
    )
    read = ", ".join(f"{what} = {name}" for what, name in about["columns"].items())
    for line in (f"Columns: {read}", f"Prior of the mass: {found['prior']['is']}"):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    masses = (Column("M500c", "1e14 Msun/h"), Column("M500c", "1e14 Msun"))
    shown = [_short(row) for row in found["clusters"][:MAX_ROWS]]
    console.print(Table(["cluster", "z", *masses], shown).to_rich())
    if (more := len(found["clusters"]) - MAX_ROWS) > 0:
        console.print(f"... and {more} more: --out or --json has all")
    print_doubts(console, found)


def _short(row: dict[str, Any]) -> tuple[str, ...]:
    def told(mass: dict[str, float] | None, h_is_out: bool) -> str:
        if mass is not None:
            return interval(mass)
        return "" if h_is_out else f"below {row['m500c_below_1e14_msun_h']:.2f}"

    return (
        f"{row['id']}{' (flagged)' if row['flagged'] else ''}",
        f"{row['redshift']:.3f}",
        told(row["m500c_1e14_msun_h"], False),
        told(row["m500c_1e14_msun"], True),
    )
