"""Every tutorial as a file to download: as Markdown, and as a Jupyter notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
from myst_nb.core.read import read_myst_markdown_notebook
from myst_parser.config.main import MdParserConfig
from sphinx.application import Sphinx

FOLDER = "tutorials"


def is_notebook(text: str) -> bool:
    """Return whether Markdown text is a notebook: it says so at its head."""
    return text.startswith("---") and "mystnb" in text.split("---")[1]


def _write(app: Sphinx) -> None:
    folder = Path(app.outdir) / "notebooks"
    folder.mkdir(parents=True, exist_ok=True)
    for page in sorted((Path(app.srcdir) / FOLDER).glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if is_notebook(text):
            notebook = read_myst_markdown_notebook(text, MdParserConfig(), add_source_map=False)
            nbformat.write(notebook, folder / f"{page.stem}.ipynb")
            (folder / page.name).write_text(text, encoding="utf-8")


def _add_links(app: Sphinx, docname: str, content: list[str]) -> None:
    """Say below the title where the files are."""
    if not docname.startswith(f"{FOLDER}/") or not is_notebook(content[0]):
        return
    stem = f"../notebooks/{docname.split('/')[-1]}"
    links = (
        f'<p class="downloads">Download: <a href="{stem}.ipynb" download>notebook</a>, '
        f'<a href="{stem}.md" download>Markdown</a></p>'
    )
    head, title, body = content[0].partition("\n# ")
    name, end, rest = body.partition("\n")
    content[0] = f"{head}{title}{name}{end}\n{links}\n{rest}"


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", _write)
    app.connect("source-read", _add_links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
