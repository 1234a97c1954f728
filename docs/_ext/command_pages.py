"""The reference of the commands, made from the commands themselves: what ``--help`` has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer
from sphinx.application import Sphinx

PAGE = "reference/commands"


def escaped(text: str) -> str:
    """Return plain text as Markdown that shows it, on one line; options become code."""
    parts = " ".join(text.split()).split("`")
    if len(parts) % 2 == 0:  # a backtick by itself
        parts = ["\\`".join(parts)]
    for i in range(0, len(parts), 2):
        plain = re.sub(r"([\\*_{}\[\]<>|~$])", r"\\\1", parts[i])
        parts[i] = re.sub(r"(?<![\w-])--[a-z][a-z-]*", r"`\g<0>`", plain)
    return "`".join(parts)


def _option(record: tuple[str, str]) -> str:
    names, text = record
    code = names.replace("|", r"\|")
    return f"| `{code}` | {escaped(text)} |"


def describe(command: Any, context: Any) -> Iterator[str]:
    """Yield the lines of Markdown on a command and those below it.

    Parameters
    ----------
    command, context : Command, Context
        Of click.
    """
    name = context.command_path
    yield f"## {name}\n"
    usage = " ".join(command.collect_usage_pieces(context))
    for paragraph in re.split(r"\n\s*\n", (command.help or "").strip()):
        yield escaped(paragraph) + "\n"
    yield f"```text\n{name} {usage}\n```\n"
    records = [param.get_help_record(context) for param in command.get_params(context)]
    rows = [_option(record) for record in records if record and not record[0].startswith("--help")]
    if rows:
        yield "\n".join(["| option | meaning |", "|---|---|", *rows]) + "\n"
    for child_name, child in getattr(command, "commands", {}).items():
        child_context = type(context)(child, info_name=child_name, parent=context)
        yield from describe(child, child_context)


def commands_markdown() -> str:
    """Return the text of the page on all commands."""
    from icmass.cli.app import app

    command = typer.main.get_command(app)
    context = command.make_context("icmass", [], resilient_parsing=True)
    return "\n".join(describe(command, context))


def _read(app: Sphinx, docname: str, content: list[str]) -> None:
    if docname == PAGE:
        content[0] += "\n" + commands_markdown()


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
