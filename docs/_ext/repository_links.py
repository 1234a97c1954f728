"""Pages of the site that are files of the repository, and links between the two.

`CONTRIBUTING.md` and `CHANGELOG.md` lie above the folder of the docs, where a git host expects
them. Their pages here hold a line with a link; at the build that line becomes the file's text.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

PAGES = {"contributing": "CONTRIBUTING.md", "changelog": "CHANGELOG.md"}
"""File of the repository whose text a page has, by the page's name."""
_LINK = re.compile(r"(!?\[[^\]]*\]\()([^)#\s]+)((?:#[^)\s]*)?\))")
_FENCE = re.compile(r"^(`{3,}|~{3,}).*?^\1", re.M | re.S)


def moved(text: str, source: str, page: str) -> str:
    """Return Markdown text of one file as it has to be in another one.

    Parameters
    ----------
    text : str
        Markdown.
    source, page : str
        Where it stands and where it is to stand, relative to the repository.
    """
    pages = {file: f"docs/{name}.md" for name, file in PAGES.items()}

    def relative(match: re.Match[str]) -> str:
        start, target, end = match.groups()
        if re.match(r"[a-z]+:", target):
            return match.group()
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        path = pages.get(path, path)
        # Markdown that is no page of the site is a file to download
        scheme = "path:" if path.endswith(".md") and not path.startswith("docs/") else ""
        return f"{start}{scheme}{posixpath.relpath(path, posixpath.dirname(page))}{end}"

    parts, at = [], 0
    for fence in _FENCE.finditer(text):
        parts += [_LINK.sub(relative, text[at : fence.start()]), fence.group()]
        at = fence.end()
    return "".join([*parts, _LINK.sub(relative, text[at:])])


def _read(app: Sphinx, docname: str, content: list[str]) -> None:
    root = Path(app.srcdir).parent
    page = f"docs/{docname}.md"
    source = PAGES.get(docname)
    if source is not None:
        app.env.note_dependency(str(root / source))
        content[0] = moved((root / source).read_text(encoding="utf-8"), source, page)
    else:
        content[0] = moved(content[0], page, page)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
