"""Options that several commands share, and how they are read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from typer.core import TyperCommand

from icmass.errors import InputError
from icmass.plasma.absorption import DEFAULT_NH_1E20

if TYPE_CHECKING:
    pass

SEVERAL = (
    "--images",
    "--expmap",
    "--index",
    "--background",
    "--expmap-novig",
    "--train",
    "--test",
)
Option = typer.Option
STANDARD_FLAG = "0xE000F000"
"""Of eROSITA, for the help text alone: missions say their own."""

Ra = Annotated[str | None, Option(metavar="DEG", help="Right ascension, degrees, or as 10h00m24s.")]
Dec = Annotated[str | None, Option(metavar="DEG", help="Declination, degrees, or as -02d30m00s.")]
Redshift = Annotated[float | None, Option(help="Redshift of the cluster.")]
TableFile = Annotated[
    Path | None,
    Option(
        metavar="TABLE",
        help="Many clusters: FITS, ECSV, CSV or VOTable with RA, Dec and z, and where there are, "
        "id and nh, in any unit; without one in degrees and 1e20 cm^-2.",
    ),
]
Nh = Annotated[
    float | None,
    Option(
        help=f"Galactic column density, 1e20 cm^-2; default {DEFAULT_NH_1E20:g}, or what a mock "
        "says."
    ),
]
Exposure = Annotated[
    float | None,
    Option(
        metavar="S",
        help="Exposure in place of maps: seconds of all modules at the survey-average area.",
    ),
]
ExpmapKind = Annotated[
    str | None,
    Option(
        metavar="KIND",
        help="What exposure maps hold that do not state it (AREATYPE): vignetted (default with "
        "event files), unvignetted, or survey: seconds at the survey-average area (default with "
        "images).",
    ),
]
Novig = Annotated[
    list[Path] | None,
    Option(
        "--expmap-novig",
        metavar="MAP...",
        help="Unvignetted exposure maps, for the particle background.",
    ),
]
Background = Annotated[
    list[Path] | None,
    Option(metavar="MAP...", help="Background maps, counts a pixel, one for each band."),
]
Mask = Annotated[Path | None, Option(help="Mask image, 1 = use.")]
Regions = Annotated[
    Path | None, Option(metavar="REG", help="DS9 regions to leave out, in sky coordinates.")
]
SkipBadRegions = Annotated[
    bool,
    Option("--skip-bad-regions", help="Go on without lines of --regions that cannot be used."),
]
Sources = Annotated[
    Path | None,
    Option(metavar="CATALOGUE", help="eSASS source catalogue: its point sources are left out."),
]
MinVisible = Annotated[float, Option(help="Least visible fraction within 0.5 comoving Mpc/h.")]
Instrument = Annotated[
    str | None,
    Option(
        metavar="NAME",
        help="Telescope that the files are of: erosita, xmm_pn, or a JSON file of one; default: "
        "erosita, or what the model was trained for.",
    ),
]
Flag = Annotated[
    str | None,
    Option(
        metavar="HEX",
        help="Events with any of these bits of FLAG are left out; default: the mission's, of "
        f"eROSITA {STANDARD_FLAG}.",
    ),
]
Pattern = Annotated[
    int | None,
    Option(
        help="Patterns to use, bit k - 1 for those of k pixels, as in evtool; default: the "
        "mission's, of eROSITA 15, all valid ones."
    ),
]
Modules = Annotated[
    str | None, Option(help="Telescope modules or chips to use, e.g. 1,2,3,4,6; default: all.")
]
LightLeakOption = Annotated[
    str,
    Option(
        "--light-leak",
        metavar="exclude|soft|keep",
        help="TM5 and TM7 where a band begins below 0.8 keV: not used, not in those bands, used.",
    ),
]
Gti = Annotated[bool, Option("--gti/--no-gti", help="Leave out events outside the GTIs.")]
Workers = Annotated[int, Option(min=1, help="Processes on this machine.")]
Scheduler = Annotated[str | None, Option(help="Address of a Dask scheduler, instead of --workers.")]
Resume = Annotated[bool, Option("--resume", help="Go on with a killed run.")]
Quiet = Annotated[bool, Option("--quiet", help="Show no progress.")]


class SeveralValues(TyperCommand):
    """A command some of whose options take all the values up to the next option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Write ``--images a b`` as ``--images a --images b``, then parse as usual."""
        return super().parse_args(ctx, repeat_options(args))


def repeat_options(args: list[str]) -> list[str]:
    """Return arguments with the option repeated before each value of `SEVERAL`.

    Examples
    --------
    >>> repeat_options(["run", "--images", "a", "b", "--json"])
    ['run', '--images', 'a', '--images', 'b', '--json']
    """
    out: list[str] = []
    option, has_value = "", False
    for i, arg in enumerate(args):
        if arg == "--":
            return out + args[i:]
        name, _, value = arg.partition("=")
        if name in SEVERAL:
            option, has_value = name, bool(value)
            out += [name, value] if value else [name]
        elif arg.startswith("-"):
            option = ""
            out.append(arg)
        else:
            out += [option, arg] if option and has_value else [arg]
            has_value = True
    return out


def refuse(options: Mapping[str, object], why: str) -> None:
    """Refuse options that are given though they mean nothing here."""
    if given := [name for name, value in options.items() if value not in (None, [])]:
        raise InputError(why, field=", ".join(given), hint="leave it out")


def parse_indices(texts: Sequence[str]) -> np.ndarray:
    """Return the clusters of all the values of ``--index``."""
    from icmass.survey.chosen import parse_index

    return parse_index(",".join(texts))


def say(line: str) -> None:
    """Say something on standard error."""
    typer.echo(f"icmass: {line}", err=True)


EVENT_OPTIONS = (
    "exposure",
    "expmap",
    "expmap_kind",
    "novig",
    "background",
    "mask",
    "regions",
    "skip_bad_regions",
    "sources",
    "min_visible",
    "flag",
    "pattern",
    "modules",
    "light_leak",
    "gti",
    "instrument",
)
"""Parameters of a command that say how event files are read."""


def event_options(given: dict[str, Any]) -> dict[str, Any]:
    """Return what of a command's parameters says how event files are read."""
    return {name: given[name] for name in EVENT_OPTIONS}


def parse_count(text: str, least: int, field: str = "--n") -> int:
    """Return a whole number of things, which may be written as ``1e6``.

    Raises
    ------
    InputError
        If it is none, or less than `least`.

    Examples
    --------
    >>> parse_count("2.5e3", 20)
    2500
    """
    plain = re.fullmatch(r"\d+|\d+(\.\d+)?[eE]\+?\d{1,2}", text.strip())
    number = Decimal(text.strip()) if plain else Decimal(-1)
    if number != number.to_integral_value() or number < least:
        hint = f"give a whole number, {least} or more, such as 5000 or 1e6"
        raise InputError(repr(text), field=field, hint=hint)
    return int(number)
