"""Make the sources those of a release, or of the development after it.

    python tools/release.py 0.2.0 [--date 2026-12-01] [--dry-run]
    python tools/release.py 0.3.0.dev0

A release's number goes into the package, `CITATION.cff` (with the date) and `codemeta.json`;
`towncrier` makes the fragments of `changelog.d` a section of `CHANGELOG.md` and deletes them; what
stands under `[Unreleased]`, from before there were fragments, joins that section. A number with
`.dev0` goes into the package alone. Nothing is committed: `git diff` shows what has changed, and
what is left to do is printed. With `--dry-run` the new section is printed and nothing is changed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEADINGS = ("Changed", "Fixed", "Added", "Removed")
RELEASE = re.compile(r"(\d+)\.(\d+)\.(\d+)")
VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(\.dev\d+)?")
_PACKAGE = re.compile(r'^__version__ = "([^"]+)"$', re.M)
_PARTS = ("CHANGELOG.md", "CITATION.cff", "codemeta.json", "changelog.d", "pyproject.toml")


class CannotRelease(Exception):
    """Why the sources cannot be made a release."""


def numbers(version: str) -> tuple[int, int, int, bool]:
    """Return a version so that the larger is the later: a development is before its release."""
    found = VERSION.fullmatch(version)
    if found is None:
        raise CannotRelease(f"{version} is no version; give 0.2.0, or 0.3.0.dev0")
    return int(found[1]), int(found[2]), int(found[3]), found[4] is None


def package_file(root: Path) -> Path:
    """Return the file that has the version."""
    return root / "src" / "icmass" / "__init__.py"


def current_version(root: Path) -> str:
    """Return the version of the sources."""
    found = _PACKAGE.search(package_file(root).read_text(encoding="utf-8"))
    if found is None:
        raise CannotRelease(f"{package_file(root)} has no __version__")
    return found[1]


def set_package(root: Path, version: str) -> None:
    """Write the version into the package."""
    file = package_file(root)
    text = file.read_text(encoding="utf-8")
    file.write_text(_PACKAGE.sub(f'__version__ = "{version}"', text), encoding="utf-8")


def set_citation(root: Path, version: str, date: str) -> None:
    """Write version and date into the files for those who cite."""
    file = root / "CITATION.cff"
    text = re.sub(r"^date-released:.*\n", "", file.read_text(encoding="utf-8"), flags=re.M)
    lines = f"version: {version}\ndate-released: {date}"
    text, n = re.subn(r"^version: .*$", lines, text, flags=re.M)
    if n != 1:
        raise CannotRelease(f"CITATION.cff has {n} lines 'version:', not one")
    file.write_text(text, encoding="utf-8")
    file = root / "codemeta.json"
    text = file.read_text(encoding="utf-8")
    for key, value in {"version": version, "dateModified": date}.items():
        line = f'  "{key}": {json.dumps(value)},\n'
        text, n = re.subn(rf'^  "{key}": .*\n', line, text, flags=re.M)
        if not n:  # after the name
            text = re.sub(r'^(  "name": .*\n)', rf"\g<1>{line}", text, count=1, flags=re.M)
    json.loads(text)
    file.write_text(text, encoding="utf-8")


def name_fragments(folder: Path) -> list[str]:
    """Give fragments that are of no issue the name that says so, ``+word``; return their names.

    Raises
    ------
    CannotRelease
        If a file is no fragment: towncrier would leave it, and its news, behind.
    """
    kinds = "|".join(kind.lower() for kind in HEADINGS)
    form = re.compile(rf"(\+?[\w-]+)\.({kinds})(\.\d+)?\.md")
    named = []
    for file in sorted(folder.iterdir()):
        if file.name in ("README.md", ".gitignore", ".gitkeep"):
            continue
        found = form.fullmatch(file.name)
        if found is None:
            raise CannotRelease(f"{file.name} is no fragment; name it ISSUE.KIND.md, +WORD.KIND.md")
        if not file.read_text(encoding="utf-8").strip():
            raise CannotRelease(f"{file.name} is empty")
        name = file.name
        if not found[1].startswith("+") and not found[1].isdigit():
            name = f"+{file.name}"
            file.rename(folder / name)
        named.append(name)
    if not named:
        raise CannotRelease(f"{folder} has no fragments: nothing has changed")
    return named


def sections(body: str) -> dict[str, str]:
    """Return the text under each heading ``### ...`` of a version's section."""
    parts = re.split(r"^### (\w+)\n", body, flags=re.M)
    if parts[0].strip():
        raise CannotRelease(f"text before the first heading: {parts[0].strip()[:60]!r}")
    found: dict[str, str] = {}
    for heading, text in zip(parts[1::2], parts[2::2], strict=True):
        if heading not in HEADINGS or heading in found:
            raise CannotRelease(f"heading '### {heading}' is unknown, or there twice")
        found[heading] = text.strip("\n")
    return found


def fold_unreleased(changelog: str, version: str) -> str:
    """Return a changelog in which what is ``[Unreleased]`` has joined the section of a version.

    What is of the version itself comes first under each heading.
    """
    pieces = re.split(r"^(## \[.*\n)", changelog, flags=re.M)
    head, pairs = pieces[0], list(zip(pieces[1::2], pieces[2::2], strict=True))
    new = [i for i, (title, _) in enumerate(pairs) if title.startswith(f"## [{version}]")]
    old = [i for i, (title, _) in enumerate(pairs) if title.startswith("## [Unreleased]")]
    if len(new) != 1:
        raise CannotRelease(f"CHANGELOG.md has {len(new)} sections of {version}, not one")
    if not old:
        return changelog
    ours, before = sections(pairs[new[0]][1]), sections(pairs[old[0]][1])
    merged = []
    for heading in HEADINGS:
        texts = [part[heading] for part in (ours, before) if part.get(heading)]
        if texts:
            merged.append(f"### {heading}\n\n" + "\n".join(text.strip() for text in texts) + "\n")
    pairs[new[0]] = (pairs[new[0]][0], "\n" + "\n".join(merged) + "\n")
    kept = [title + body for i, (title, body) in enumerate(pairs) if i not in old]
    return (head + "".join(kept)).rstrip("\n") + "\n"


def make_changelog(root: Path, version: str, date: str) -> None:
    """Make the fragments a section of the changelog, and fold into it what is unreleased."""
    name_fragments(root / "changelog.d")
    towncrier = shutil.which("towncrier", path=str(Path(sys.executable).parent))
    towncrier = towncrier or shutil.which("towncrier")
    if towncrier is None:
        raise CannotRelease("towncrier is not installed; `make release` has it")
    command = [towncrier, "build", "--yes", "--version", version, "--date", date]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotRelease(f"towncrier: {' '.join(done.stderr.split())[-300:]}")
    file = root / "CHANGELOG.md"
    text = fold_unreleased(file.read_text(encoding="utf-8"), version)
    file.write_text(text, encoding="utf-8")


def check(root: Path, version: str, *, clean: bool) -> None:
    """Raise if the sources are not ready: of a later version, or with changes of their own."""
    if numbers(version) <= numbers(current_version(root)):
        raise CannotRelease(f"{version} is not after {current_version(root)}")
    if f"## [{version}]" in (root / "CHANGELOG.md").read_text(encoding="utf-8"):
        raise CannotRelease(f"CHANGELOG.md has a section of {version}")
    if clean:
        command = ["git", "status", "--porcelain", "--untracked-files=no"]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
        if done.stdout:
            raise CannotRelease("there are changes that are not committed; commit them first")


def prepare(root: Path, version: str, date: str) -> str:
    """Make the sources those of a release; return its section of the changelog."""
    make_changelog(root, version, date)
    set_package(root, version)
    set_citation(root, version, date)
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.search(rf"^## \[{re.escape(version)}\].*?(?=^## \[|\Z)", text, re.M | re.S)
    assert found is not None
    return found[0]


def dry_run(root: Path, version: str, date: str) -> str:
    """Return what the section would be; work on a copy."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch)
        for part in _PARTS:
            put = shutil.copytree if (root / part).is_dir() else shutil.copy
            put(root / part, copy / part)
        package_file(copy).parent.mkdir(parents=True)
        shutil.copy(package_file(root), package_file(copy))
        subprocess.run(["git", "init", "--quiet"], cwd=copy, check=True)
        subprocess.run(["git", "add", "--all"], cwd=copy, check=True)
        return prepare(copy, version, date)


def main() -> int:
    """Do what is asked; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("version")
    parser.add_argument("--date", type=datetime.date.fromisoformat, help="default: today, UTC")
    parser.add_argument("--dry-run", action="store_true")
    options = parser.parse_args()
    version = options.version
    date = (options.date or datetime.datetime.now(datetime.UTC).date()).isoformat()
    try:
        check(ROOT, version, clean=not options.dry_run)
        if not RELEASE.fullmatch(version):
            set_package(ROOT, version)
            print(f'git commit -am "The next version is {version.partition(".dev")[0]}"')
        elif options.dry_run:
            print(dry_run(ROOT, version, date))
        else:
            prepare(ROOT, version, date)
            print(
                f"The sources are {version}. Look at `git diff`, then:\n"
                "make test && make check-release\n"
                f'git commit -am "Version {version}" && git tag v{version}'
            )
    except CannotRelease as error:
        print(f"release: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
