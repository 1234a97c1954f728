"""The docs without building them: links lead somewhere, names are documented, tutorials compile."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
import typer
from astropy.coordinates import SkyCoord

import icmass
from icmass.cli.app import app
from icmass.missions.erosita.reading import tile_centre

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
OWN_PAGES = ("index.md", "contributing.md", "changelog.md", "tutorials/*.md", "reference/*.md")
PAGES = sorted(
    [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))]
    + [page for page in DOCS.rglob("*.md") if "_build" not in page.parts]
)
TUTORIALS = sorted(set((DOCS / "tutorials").glob("*.md")) - {DOCS / "tutorials" / "index.md"})
FENCE = re.compile(r"^(?P<mark>`{3,})(?P<kind>[^\n]*)\n(?P<body>.*?)^(?P=mark)[ ]*$", re.M | re.S)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def links(text: str) -> list[str]:
    """Return the relative targets of links and images of Markdown text, code left out."""
    prose = re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))
    return [target for target in LINK.findall(prose) if not re.match(r"[a-z]+:", target)]


@cache
def anchors(page: Path) -> frozenset[str]:
    """Return the anchors of a page's headings, as git hosts and the site make them."""
    headings = re.findall(r"^#+ +(.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.M)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return frozenset(heading.strip().replace(" ", "-") for heading in plain)


def broken(page: Path, text: str) -> list[str]:
    """Return the links of a page's text that lead nowhere."""
    found = []
    for target in links(text):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            found.append(target)
    return found


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_and_images_lead_to_what_is_there(page: Path):
    assert broken(page, page.read_text(encoding="utf-8")) == []


def test_a_link_that_leads_nowhere_is_seen():
    text = "[a](physics.md) ![b](images/none.png) [c](physics.md#nowhere) `[d](none.md)`"
    assert broken(DOCS / "index.md", text) == ["images/none.png", "physics.md#nowhere"]


def test_every_public_name_is_in_the_reference():
    stub = (ROOT / "src" / "icmass" / "__init__.pyi").read_text(encoding="utf-8")
    public = set(re.findall(r"^from \S+ import \w+ as (\w+)$", stub, re.M))
    assert {"simulate", "predict", "Masses"} <= public == set(icmass.__all__) - {"__version__"}
    page = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\.\. auto(?:function|class|exception):: icmass\.(\w+)$", page, re.M)
    assert sorted(documented) == sorted(public)


def test_lines_are_no_longer_than_can_be_read():
    """In pages of the site's own; code, tables, links and pictures may be longer."""
    pages = [page for pattern in OWN_PAGES for page in DOCS.glob(pattern)]
    assert len(pages) > 10
    long = {
        f"{name_of(page)}: {line}"
        for page in pages
        for line in FENCE.sub("", page.read_text(encoding="utf-8")).splitlines()
        if len(line) > 120 and not line.startswith(("|", "![")) and "](" not in line
    }
    assert long == set()


@pytest.mark.parametrize("page", TUTORIALS, ids=name_of)
def test_the_cells_of_a_tutorial_compile(page: Path):
    text = page.read_text(encoding="utf-8")
    assert text.startswith("---\nfile_format: mystnb\n")
    cells = [m for m in FENCE.finditer(text) if m["kind"].startswith("{code-cell}")]
    assert len(cells) >= 3
    used = set()
    for cell in cells:
        tree = ast.parse(cell["body"], filename=name_of(page))
        assert not (long := [line for line in cell["body"].splitlines() if len(line) > 100]), long
        used |= {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "icmass"
        }
    assert used and used <= set(icmass.__all__)


def test_every_page_is_in_a_table_of_contents():
    contents = {
        file.resolve()
        for page in DOCS.rglob("*.md")
        for block in FENCE.finditer(page.read_text(encoding="utf-8"))
        if block["kind"] == "{toctree}"
        for name in block["body"].split("\n\n", 1)[1].split()
        for file in page.parent.glob(f"{name}.md")
    }
    pages = {page for page in PAGES if DOCS in page.parents} - {DOCS / "index.md"}
    assert {name_of(page) for page in pages - contents} == set()


def extension(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Load an extension of the site, with a stand-in for Sphinx where it is not installed."""
    for module in ("sphinx", "sphinx.application", "sphinx.util"):
        stand_in = ModuleType(module)
        stand_in.__dict__.update(Sphinx=object, logging=None)
        monkeypatch.setitem(sys.modules, module, stand_in)
    spec = importlib.util.spec_from_file_location(name, DOCS / "_ext" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_the_page_of_commands_has_every_command_and_option(monkeypatch: pytest.MonkeyPatch):
    text = extension("command_pages", monkeypatch).commands_markdown()
    assert "[" not in re.sub(r"```.*?```|`[^`]*`|\\\[", "", text, flags=re.S)
    group = typer.main.get_command(app)
    assert {"predict", "ingest"} <= set(group.commands)
    for name, command in group.commands.items():
        assert f"\n## icmass {name}\n" in text
        section = text.split(f"\n## icmass {name}\n")[1].split("\n## ")[0]
        options = [o for p in command.params for o in p.opts if o.startswith("--") and not p.hidden]
        assert [option for option in options if option not in section] == []


def test_links_move_with_the_text_and_code_stays(monkeypatch: pytest.MonkeyPatch):
    moved = extension("repository_links", monkeypatch).moved
    text = "[a](docs/physics.md#x) [b](CITATION.cff) [c](https://x.org)\n```\n[d](docs/x.md)\n```\n"
    assert moved(text, "CONTRIBUTING.md", "docs/contributing.md") == (
        "[a](physics.md#x) [b](../CITATION.cff) [c](https://x.org)\n```\n[d](docs/x.md)\n```\n"
    )
    into = "[a](../../CONTRIBUTING.md#tests) [b](../../benchmarks/README.md) [c](#here)"
    page = "docs/tutorials/extend.md"
    assert moved(into, page, page) == (
        "[a](../contributing.md#tests) [b](path:../../benchmarks/README.md) [c](#here)"
    )


def test_what_a_page_loads_from_elsewhere_is_seen(monkeypatch: pytest.MonkeyPatch):
    remote_loads = extension("offline", monkeypatch).remote_loads
    page = '<link rel="canonical" href="https://a.org"><a href="https://b.org">b</a>'
    assert remote_loads(page + '<img src="x.png"><script src="_static/x.js"></script>') == []
    bad = '<script src="https://c.org/x.js"></script><link rel="stylesheet" href="//d.org/y.css">'
    assert remote_loads(bad) == ["https://c.org/x.js", "//d.org/y.css"]


def test_tables_are_what_the_results_say() -> None:
    script = ROOT / "tools" / "make_tables.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", [*DOCS.rglob("*.md"), ROOT / "README.md"], ids=lambda p: p.name)
def test_prose_has_lines_of_at_most_120_characters(page: Path) -> None:
    if "_build" in page.parts:
        pytest.skip("is built")
    in_code, long = False, []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        in_code ^= line.lstrip().startswith("```")
        if len(line) > 120 and not in_code and not line.startswith("|") and "](" not in line:
            long.append(number)
    assert not long


def test_tiles_of_examples_hold_the_position_of_the_command() -> None:
    """The first command that a user copies can work with the real files of those names."""
    number, tile = r"(-?\d+(?:\.\d+)?)", re.compile(r"\bem\d\d_\d{6}_\w+\.fits")
    place = re.compile(rf"--ra[ =]{number} --dec[ =]{number}")
    seen = 0
    for page in PAGES:
        for block in FENCE.finditer(page.read_text(encoding="utf-8")):
            command = re.sub(r"\\\n\s*", "", block["body"])
            for line in command.splitlines():
                files, at = tile.findall(line), place.search(line)
                if not files or at is None:
                    continue
                for file in files:
                    ra, dec = tile_centre(file) or (0.0, 0.0)
                    centre = SkyCoord(ra, dec, unit="deg")
                    east, north = centre.spherical_offsets_to(
                        SkyCoord(float(at[1]), float(at[2]), unit="deg")
                    )
                    assert max(abs(east.deg), abs(north.deg)) < 1.8, (name_of(page), file)
                    seen += 1
    assert seen >= 4
