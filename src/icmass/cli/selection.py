"""`icmass selection`: the selection function of a preset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icmass.cli.options import Quiet
from icmass.cli.progress import progress
from icmass.errors import InputError
from icmass.files import as_paths

if TYPE_CHECKING:
    from icmass.survey.selection_function import SelectionFunction

_USUAL_NH = 3.0  # 1e20 cm^-2, where the masses are told


def selection(
    preset: Annotated[str, typer.Argument(help="A preset that detects: erass1 to erass8.")],
    out: Annotated[
        Path, typer.Option(metavar="TABLE", help="The table to write: .ecsv, .fits or .vot.")
    ],
    halos: Annotated[
        int, typer.Option(help="Simulated halos at every mass and redshift, 60 or more.")
    ] = 400,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the halos.")] = 1,
    m500c: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Masses M500c of the grid [Msun/h].")
    ] = None,
    redshift: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Redshifts of the grid.")
    ] = None,
    exposure: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Exposures of the grid [s], without vignetting."),
    ] = None,
    nh: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Column densities of the grid [1e20 cm^-2]."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML file with physical and observing parameters.")
    ] = None,
    assign: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value, e.g. detection.extent_likelihood=6."),
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(help="Physics variant on top of the preset; several are mixed in turn."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes on this machine.")] = 1,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a table of that name.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    quiet: Quiet = False,
) -> None:
    """Tabulate p(detected | M500c, z, exposure, N_H, concentration) of a mock survey.

    Each node of the grid holds the mean probability of many halos with the gas of the mock, in bins
    of their concentration, and its error. The table depends on the configuration, the grid, the
    number of halos and the seed alone. In Python, `SelectionFunction.read(TABLE)` makes it a
    function.
    """
    from dataclasses import replace

    from icmass.survey.presets import resolve_config
    from icmass.survey.selection_grid import SelectionGrid, tabulate_selection
    from icmass.survey.writers.tables import check_table_path

    check_table_path(out, overwrite=overwrite, inputs=as_paths(config))
    resolved = resolve_config(preset, config, tuple(assign or ()), tuple(variant or ()))
    given = {"m500c": m500c, "redshift": redshift, "exposure": exposure, "nh": nh}
    nodes = {name: _numbers(text, name) for name, text in given.items() if text is not None}
    grid = replace(SelectionGrid.of(resolved), **nodes)
    with progress("redshifts", quiet=quiet or as_json) as report:
        function = tabulate_selection(
            resolved, seed=seed, n_halos=halos, grid=grid, workers=workers, progress=report
        )
    function.write(out, overwrite=overwrite)
    found = _document(function, out)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
    else:
        _print(found)


def _numbers(text: str, name: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"{text!r} is no list of numbers", field=name, hint="write 1,2,5"
        ) from None


def _document(function: SelectionFunction, out: Path) -> dict[str, Any]:
    import numpy as np

    h = function.cosmology.h
    exposure = float(function.exposure[0])
    nh = float(function.nh[np.abs(function.nh - _USUAL_NH).argmin()])
    half = function.mass_at(0.5, function.redshift, exposure, nh)
    rows = [
        {
            "redshift": float(z),
            "m500c_1e14_msun_h": None if np.isnan(mass) else float(mass) / 1e14,
            "m500c_1e14_msun": None if np.isnan(mass) else float(mass) / h / 1e14,
        }
        for z, mass in zip(function.redshift, half, strict=True)
    ]
    return {
        "table": str(out),
        "rows": int(function.probability.size),
        "preset": function.meta["preset"],
        "seed": function.meta["seed"],
        "halos": int(function.n_halos.sum()),
        "m500c_msun_h": function.m500c.tolist(),
        "redshift": function.redshift.tolist(),
        "exposure_s": function.exposure.tolist(),
        "nh_1e20": function.nh.tolist(),
        "detection": json.loads(function.meta["detect"]),
        "largest_error": float(function.marginal[1].max()),
        "half_detected": {"exposure_s": exposure, "nh_1e20": nh, "rows": rows},
    }


def _print(found: dict[str, Any]) -> None:
    from rich.console import Console

    from icmass.run.table import Column, Row, Table

    console = Console()
    half = found["half_detected"]
    console.print(
        f"[bold]Half of the halos are detected[/bold]: preset {found['preset']}, "
        f"{half['exposure_s']:.0f} s, N_H {half['nh_1e20']:.3g}e20 cm^-2"
    )
    columns = ("redshift", Column("M500c", "1e14 Msun/h"), Column("M500c", "1e14 Msun"))
    rows: list[Row] = []
    for row in half["rows"]:
        masses = (row["m500c_1e14_msun_h"], row["m500c_1e14_msun"])
        cells = ("beyond the grid" if mass is None else f"{mass:.3g}" for mass in masses)
        rows.append([f"{row['redshift']:.3f}", *cells])
    console.print(Table(columns, rows).to_rich())
    console.print(
        f"{found['halos']} halos at every mass and redshift, error of the mean at most "
        f"{found['largest_error']:.3f}"
    )
    console.print(f"{found['table']}: {found['rows']} rows", soft_wrap=True)
