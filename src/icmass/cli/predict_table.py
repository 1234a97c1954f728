"""Predicted masses as they are printed: one cluster in full, many as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from icmass.cli.options import refuse
from icmass.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from icmass.inference.catalogue_masses import CatalogueMasses
    from icmass.inference.masses import Masses

MAX_ROWS = 20


def print_prediction(found: dict[str, Any]) -> None:
    """Print a predicted mass, or a table of them, with what it assumes."""
    from rich.console import Console
    from rich.markup import escape

    from icmass.run.table import Column, Table

    console = Console()
    model, rows = found["model"], found["clusters"]
    console.print(
        f"[bold]{escape(model['name'])}[/bold], {model['members']} fold models, trained on "
        f"{model['n_train']} mock clusters (preset {escape(str(model['preset']))})",
        soft_wrap=True,
    )
    if "family" in model:
        line = f"{model['member']} of the family {model['family']}: {model['chosen_because']}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if not rows:
        return
    line = f"Prior of the mass: {found['prior']['is']}"
    console.print(line, highlight=False, markup=False, soft_wrap=True)
    if len(rows) == 1:
        table = Table([Column("", numeric=False)] * 2, list(_one(rows[0])))
    else:
        masses = (Column("M500c", "1e14 Msun/h"), Column("M500c", "1e14 Msun"))
        shown = [_short(row) for row in rows[:MAX_ROWS]]
        table = Table(["cluster", "z", *masses, "photons"], shown)
    console.print(table.to_rich())
    if len(rows) > MAX_ROWS:
        console.print(f"... and {len(rows) - MAX_ROWS} more: choose with --index, or --json")
    print_doubts(console, found)


def print_doubts(console: Console, found: dict[str, Any]) -> None:
    """Print what of a document of masses to doubt, and what it takes for granted."""
    from rich.markup import escape

    for line in found["warnings"]:
        console.print(f"[bold yellow]Mind:[/] {escape(line)}", highlight=False, soft_wrap=True)
    console.print("It assumes:")
    for line in found["assumptions"]:
        console.print(f" - {line}", highlight=False, markup=False, soft_wrap=True)


def check_outputs(
    samples: int | None,
    out: Path | None,
    likelihood: Path | None,
    inputs: Sequence[Path],
    *,
    overwrite: bool,
    as_json: bool,
    of_catalogue: bool = False,
) -> None:
    """Refuse what cannot be written before anything is read."""
    if not as_json:
        refuse({"--samples": samples}, "only --json prints samples")
    if out is not None:
        from icmass.inference.catalogue_masses import check_out
        from icmass.survey.writers.tables import check_table_path

        check = check_out if of_catalogue else check_table_path
        check(out, overwrite=overwrite, inputs=inputs)
    if likelihood is not None:
        from icmass.calibration.likelihood_table import check_likelihood_path

        check_likelihood_path(likelihood, overwrite=overwrite, inputs=inputs)
        if out is not None and out.resolve() == likelihood.resolve():
            hint = "give each a name of its own"
            raise InputError("is one file", file=out, field="--out, --likelihood", hint=hint)


def write_outputs(
    masses: Masses | CatalogueMasses,
    out: Path | None,
    likelihood: Path | None,
    *,
    overwrite: bool,
) -> None:
    """Write the files of masses that are asked for."""
    if out is not None:
        masses.write(out, overwrite=overwrite)
    if likelihood is not None:
        masses.write_likelihood(likelihood, overwrite=overwrite)


def interval(mass: dict[str, float] | None) -> str:
    """Return a mass with its 68 per cent interval in words."""
    if mass is None:
        return "none"
    return f"{mass['median']:.2f} ({mass['p16']:.2f} to {mass['p84']:.2f})"


def _one(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the lines of the table of one cluster."""
    from icmass.inference.quality_flags import score_text

    if "id" in row:
        yield "cluster", row["id"]
    if "ra" in row:
        yield "position", f"RA {row['ra']:.4f} Dec {row['dec']:+.4f} deg"
    yield "redshift", f"{row['redshift']:.4g}"
    yield from _mass(row)
    if row["out_of_domain"] is not None:
        score = score_text(row["out_of_domain"])
        flag = "flagged" if row["flagged"] else "like the training set"
        yield "out of domain", f"{score}, {flag} (flagged above 1)"
    for i, reason in enumerate(row.get("reasons", [])):
        yield "" if i else "flagged, because", reason
    if "m500c" in row:
        yield "true M500c", f"{row['m500c'] / 1e14:.2f} 1e14 Msun/h"
    yield from _sight(row)


def _mass(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    wide = row["m500c_1e14_msun_h"]
    if wide is None:
        yield "M500c", "none: too few photons"
        yield "97.5 per cent below", f"{row['m500c_below_1e14_msun_h']:.2f} 1e14 Msun/h"
        return
    yield "M500c, 16-84 per cent", f"{interval(wide)} 1e14 Msun/h"
    yield "", f"{interval(row['m500c_1e14_msun'])} 1e14 Msun"
    yield (
        "2.5-97.5 per cent, mean",
        (f"{wide['p2.5']:.2f} to {wide['p97.5']:.2f}, mean {wide['mean']:.2f} 1e14 Msun/h"),
    )
    yield (
        "error of ln M",
        f"{row['ln_m500c_std']:.2f} (model {row['ln_m500c_std_within']:.2f}, "
        f"between fold models {row['ln_m500c_std_between']:.2f})",
    )
    if row.get("ln_m500c_std_physics"):
        yield (
            "error of the scale, apart",
            f"{row['ln_m500c_std_physics']:.2f} in ln M, of gas physics",
        )
    yield (
        "R500c",
        f"{row['r500c_mpc_h_comoving']:.2f} comoving Mpc/h, {row['r500c_arcmin']:.2f} arcmin",
    )


def _sight(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    photons = f"{row['photons']:,} in the map, {row['photons_0.5_mpc_h']:,} within 0.5 Mpc/h"
    yield "photons, all sources", photons
    yield "excess of the centre", f"{row['excess_sigma']:.1f} sigma"
    yield "exposure, at most", f"{row['exposure_s']:,.0f} s"
    if "visible_fraction" in row:
        yield "exposure within 0.5 Mpc/h", f"{row['exposure_aperture_s']:,.0f} s"
        yield (
            "visible",
            f"{row['visible_fraction']:.1%} within 0.5 Mpc/h, "
            f"{row['visible_fraction_map']:.1%} of the map",
        )
    if "nh" in row:
        yield "Galactic N_H", f"{row['nh']:g}e20 cm^-2"


def _short(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{row.get('id', row['cluster'])}{' (flagged)' if row['flagged'] else ''}",
        f"{row['redshift']:.3f}",
        interval(row["m500c_1e14_msun_h"]),
        interval(row["m500c_1e14_msun"]),
        f"{row['photons']:,}",
    )
