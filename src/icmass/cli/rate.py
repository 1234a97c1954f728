"""`icmass rate`: count rates and conversion factors of a hot plasma."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from icmass.plasma.absorption import DEFAULT_NH_1E20

if TYPE_CHECKING:
    from icmass.observe.rates import Rates
    from icmass.sky.bands import Band


def rate(
    kt: Annotated[float, typer.Option(help="Temperature [keV], 0.087-34.")],
    redshift: Annotated[float, typer.Option(help="Redshift.")],
    abundance: Annotated[
        float, typer.Option(help="Metal abundance [solar, Anders & Grevesse 1989].")
    ] = 0.3,
    nh: Annotated[
        float, typer.Option(help="Galactic column density [1e20 cm^-2].")
    ] = DEFAULT_NH_1E20,
    arf: Annotated[
        Path | None, typer.Option(help="OGIP ARF in place of the built-in area.")
    ] = None,
    rmf: Annotated[
        Path | None, typer.Option(help="OGIP RMF in place of the built-in redistribution.")
    ] = None,
    survey_average: Annotated[
        bool, typer.Option("--survey-average", help="Area averaged over the field of view.")
    ] = False,
    instrument: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE", help="Telescope: erosita, xmm_pn, or a JSON file of one."
        ),
    ] = "erosita",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show count rates per unit XSPEC apec norm, and the fluxes; of eROSITA (seven telescopes)."""
    import icmass

    rates = icmass.rate(
        kt,
        redshift,
        abundance=abundance,
        nh=nh,
        arf=arf,
        rmf=rmf,
        survey_average=survey_average,
        instrument=instrument,
    )
    if as_json:
        typer.echo(json.dumps(_document(rates), indent=1))
        return
    area = "user's ARF" if arf else ("survey average" if survey_average else "on axis")
    area += "" if instrument == "erosita" else f", {Path(instrument).stem}"
    _print(rates, f"apec kT {kt:g} keV, Z {abundance:g}, z {redshift:g}, N_H {nh:g}e20; {area}")


def _document(rates: Rates) -> dict[str, object]:
    return {
        "bands": {_name(band): value for band, value in rates.counts.items()},
        "flux_0.5_2": rates.flux_soft,
        "flux_0.5_2_absorbed": rates.flux_soft_absorbed,
        "lambda_bol": rates.lambda_bol,
    }


def _name(band: Band) -> str:
    return f"{band[0]}-{band[1]}"


def _print(rates: Rates, title: str) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table as RichTable

    from icmass.run.table import Column, Table

    console = Console()
    console.print(f"[bold]{escape(title)}[/bold]")
    console.print("per unit norm 1e-14 / (4 pi [D_A (1+z)]^2) * int n_e n_H dV", markup=False)
    columns = (
        Column("PI band", "keV", numeric=False),
        Column("rate", "counts/s"),
        Column("flux per rate", "erg/cm^2/count"),
    )
    rows = [
        [_name(band), f"{value:.5g}", f"{rates.flux_soft / value:.4g}" if value > 0 else "-"]
        for band, value in rates.counts.items()
    ]
    console.print(Table(columns, rows).to_rich())
    facts = RichTable.grid(padding=(0, 1))
    facts.add_row("flux 0.5-2 keV, observer's frame", f"{rates.flux_soft:.4g}", "erg/s/cm^2")
    facts.add_row("... absorbed", f"{rates.flux_soft_absorbed:.4g}", "erg/s/cm^2")
    facts.add_row("cooling function, 0.01-99 keV", f"{rates.lambda_bol:.4g}", "erg cm^3/s")
    console.print(facts)
    console.print("Flux per rate: unabsorbed 0.5-2 keV flux over the rate of the band.")
