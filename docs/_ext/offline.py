"""A site that loads nothing from elsewhere: the build fails where a page would."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import logging

_LOADS = {
    "audio": "src",
    "embed": "src",
    "iframe": "src",
    "img": "src",
    "link": "href",
    "script": "src",
    "source": "src",
    "video": "src",
}
"""Attribute that makes a browser load something, by tag."""


class _Loads(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.remote: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts = dict(attrs)
        address = facts.get(_LOADS.get(tag, "")) or ""
        if tag == "link" and facts.get("rel") == "canonical":
            return
        if address.startswith(("http:", "https:", "//")):
            self.remote.append(address)


def remote_loads(page: str) -> list[str]:
    """Return the addresses elsewhere that a browser would load for a page of HTML."""
    parser = _Loads()
    parser.feed(page)
    return parser.remote


def _check(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    log = logging.getLogger(__name__)
    out = Path(app.outdir)
    for file in sorted(out.rglob("*.html")):
        for address in remote_loads(file.read_text(encoding="utf-8")):
            log.warning("%s loads %s", file.relative_to(out), address)
    for file in sorted(out.rglob("*.css")):
        text = file.read_text(encoding="utf-8")
        if "url(http" in text.replace('"', "").replace("'", "") or "@import" in text:
            log.warning("%s loads a file from elsewhere", file.relative_to(out))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("build-finished", _check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
