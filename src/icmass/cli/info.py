"""`icmass info`: what is in a survey."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def info(
    survey: Annotated[Path, typer.Argument(help="A survey, X.zarr.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show what is in a survey: size, provenance, and the range of each quantity."""
    from icmass.survey.catalog import open_survey
    from icmass.survey.summary import summarize

    found = summarize(open_survey(survey))
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    from rich.console import Console
    from rich.markup import escape

    from icmass.run.table import Column, Row, Table

    h = found["cosmology"].get("h")
    console = Console()
    console.print(
        f"[bold]{escape(str(survey))}[/bold]: {found['n_clusters']} clusters, preset "
        f"{escape(str(found['preset']))}, seed {found['seed']}, "
        f"icmass {escape(str(found['version']))}"
    )
    console.print(
        f"maps {found['n_pixels']} x {found['n_pixels']} over "
        f"+-{found['half_width_mpc_h']:g} comoving Mpc/h, bands [keV] {', '.join(found['bands'])}, "
        f"components {', '.join(found['components'])}",
        markup=False,
    )
    numbers, unit = ("min", "median", "max"), Column("unit", numeric=False)
    rows: list[Row] = []
    for name, row in found["ranges"].items():
        rows.append([name, *(f"{row[key]:.4g}" for key in numbers), row["units"]])
        if name == "m500c" and h:
            rows.append(["", *(f"{row[key] / h:.4g}" for key in numbers), "Msun"])
    console.print(Table(["quantity", *numbers, unit], rows).to_rich())
    if universes := found.get("universes"):
        fewest, most = universes["clusters"]
        console.print(f"{universes['number']} universes, {fewest} to {most} clusters in each")
        rows = [
            [name, *(f"{row[key]:.4g}" for key in numbers), row["units"]]
            for name, row in universes["parameters"].items()
        ]
        console.print(Table(["physics", *numbers, unit], rows).to_rich())
