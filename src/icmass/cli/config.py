"""`icmass config`: every parameter of a survey."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def config(
    list_variants: Annotated[
        bool, typer.Option("--variants", help="List the physics variants instead.")
    ] = False,
    preset: Annotated[str, typer.Option(help="Preset to start from.")] = "erosita",
    variant: Annotated[
        list[str] | None, typer.Option(help="Physics variant; several are mixed in turn.")
    ] = None,
    physics: Annotated[
        str | None, typer.Option(metavar="prior", help="prior: with the ranges of its prior.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--config", help="YAML file with physical parameters.")
    ] = None,
    assign: Annotated[list[str] | None, typer.Option("--set", help="key=value.")] = None,
) -> None:
    """Print every parameter with meaning, unit, source and value, as a file that --config takes."""
    from icmass.survey.parameters import as_yaml
    from icmass.survey.presets import resolve_config
    from icmass.survey.variants import list_variants as variants_as_text

    if list_variants:
        typer.echo(variants_as_text())
        return
    resolved = resolve_config(
        preset, file, tuple(assign or ()), tuple(variant or ()), physics=physics
    )
    typer.echo(as_yaml(resolved), nl=False)
