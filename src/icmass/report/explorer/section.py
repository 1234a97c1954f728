"""The explorer as a part of a page: its section, and the elements that its script reads."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib.resources import files
from string import Template

from icmass.report import markup
from icmass.report.explorer.contents import Contents
from icmass.report.explorer.pack import Blocks, pack

HEADING = "Look around"
_SCRIPTS = ("axes", "data", "scatter", "maps", "panel", "app")


@dataclass(frozen=True)
class Explorer:
    """A page's explorer.

    Attributes
    ----------
    style : str
        What the page's style sheet needs besides.
    section : str
        Its place on the page, HTML.
    tail : str
        What stands at the page's end, HTML: data as text, and the script.
    script_hash : str
        The script's ``'sha256-...'`` for the page's content security policy: nothing else runs.
    """

    style: str
    section: str
    tail: str
    script_hash: str


def make_explorer(contents: Contents) -> Explorer:
    """Return the explorer of `contents`: no server, no network, nothing evaluated."""
    blocks = pack(contents)
    text = Template(_asset("explorer.html")).substitute(note=_note(contents, blocks))
    script = f'"use strict";\n{{\n{_script()}}}\n'
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    tail = [
        f'<script type="text/plain" id="explorer-{name}">{held}</script>'
        for name, held in blocks.texts.items()
    ]
    tail.append(f"<script>{script}</script>")
    return Explorer(
        _asset("explorer.css"),
        markup.section(HEADING, text),
        "\n".join(tail),
        f"'sha256-{digest}'",
    )


def _asset(name: str) -> str:
    return files("icmass.report.explorer").joinpath("assets", name).read_text(encoding="utf-8")


def _script() -> str:
    return "\n".join(_asset(f"{name}.js") for name in _SCRIPTS)


def _note(contents: Contents, blocks: Blocks) -> str:
    truth = contents.ln_m_true is not None
    said = f"{len(contents):,} clusters. " if len(contents) > 1 else ""
    said += "Masses are M500c in Msun/h; those in Msun are beside them. "
    if truth:
        said += "Residual: ln predicted minus ln true, predicted being the posterior's mean. "
    if blocks.factor > 1:
        said += f"To keep the page small, maps are binned {blocks.factor} × {blocks.factor}. "
    if blocks.stride > 1:
        said += f"The maps of one cluster in {blocks.stride} are here. "
    return said.strip()
