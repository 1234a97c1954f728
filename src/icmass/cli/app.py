"""The `icmass` command: sub-commands, and how errors reach the user."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

import typer

from icmass import __version__
from icmass.cli.benchmark import benchmark
from icmass.cli.calibrate import calibrate
from icmass.cli.config import config
from icmass.cli.demo import demo
from icmass.cli.explain import explain
from icmass.cli.export import export
from icmass.cli.info import info
from icmass.cli.ingest import app as ingest
from icmass.cli.interruption import STATUS, Interrupted, terminated_as_interrupted
from icmass.cli.options import SeveralValues
from icmass.cli.predict import predict
from icmass.cli.rate import rate
from icmass.cli.report import report
from icmass.cli.selection import selection
from icmass.cli.simulate import simulate
from icmass.cli.train import train
from icmass.cli.transfer import transfer
from icmass.cli.validate import validate
from icmass.errors import InputError

UsageError: Any = typer.BadParameter.__base__
"""Of the library that reads options, which typer brings with it or takes from click."""

app = typer.Typer(
    name="icmass",
    help="Galaxy cluster masses from X-ray photons.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"icmass {__version__}")
        raise typer.Exit


@app.callback()
def icmass(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    """Galaxy cluster masses from X-ray photons."""
    if debug:
        os.environ["ICMASS_DEBUG"] = "1"


def escape_help(command: Any) -> None:
    """Have the help of a command, and of those below it, printed as it is written.

    Rich would take ``[keV]`` for markup.
    """
    from rich.markup import escape

    if getattr(command, "rich_markup_mode", None) != "rich":
        return
    for of in (command, *command.params):
        if getattr(of, "help", None):
            of.help = escape(of.help)
    for sub_command in getattr(command, "commands", {}).values():
        escape_help(sub_command)


def main() -> None:
    """Run the command line; bad input ends with one line on standard error and status 2.

    Ctrl-C and SIGTERM end with one line that says how to go on, and status 130.
    """
    command = typer.main.get_command(app)
    escape_help(command)
    try:
        with terminated_as_interrupted():
            status = command(prog_name="icmass", standalone_mode=False)
    except UsageError as error:
        if type(error).__name__ != "NoArgsIsHelpError":  # whose help is printed
            print(f"icmass: {_wrong_use(error)}", file=sys.stderr)
        sys.exit(2)
    except (InputError, OSError, MemoryError, Interrupted, KeyboardInterrupt) as error:
        if os.environ.get("ICMASS_DEBUG"):
            raise
        is_interrupted = isinstance(error, Interrupted | KeyboardInterrupt)
        print(f"icmass: {_one_line(error)}", file=sys.stderr)
        sys.exit(STATUS if is_interrupted else 2)
    if status == STATUS:  # typer turns Ctrl-C into this, without a word
        print(f"icmass: {Interrupted()}", file=sys.stderr)
    sys.exit(status if isinstance(status, int) else 0)


def _wrong_use(error: Any) -> str:
    """Return what to say of options that cannot be read."""
    said = " ".join(error.format_message().split()).removesuffix(".")
    of = "icmass" if error.ctx is None else error.ctx.command_path
    return f"{said[0].lower()}{said[1:]}; see `{of} --help`"


def _one_line(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return str(Interrupted())
    if isinstance(error, MemoryError):
        return "out of memory; use fewer workers or clusters"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"{error.filename or 'output'}: the disk is full; free some space, then --resume"
    if isinstance(error, OSError):
        return f"{error.filename or 'file'}: {error.strerror or error}"
    return error.command_line if isinstance(error, InputError) else str(error)


app.command()(demo)
app.command()(simulate)
app.add_typer(ingest, name="ingest")
app.command()(config)
app.command()(info)
app.command()(validate)
app.command()(benchmark)
app.command()(train)
app.command(cls=SeveralValues)(transfer)
app.command()(explain)
app.command()(report)
app.command(cls=SeveralValues)(predict)
app.command()(calibrate)
app.command(cls=SeveralValues)(export)
app.command()(rate)
app.command()(selection)
