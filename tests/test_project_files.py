"""Versions that stand in two files are the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"^([\w-]+)==(\S+)$", re.M)


def pins(file: str) -> dict[str, str]:
    found = PIN.findall((ROOT / file).read_text(encoding="utf-8"))
    return {name.lower().replace("_", "-"): version for name, version in found}


def release(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, zeros at its end left out: 2.2.0 is 2.2."""
    numbers = [int(part) for part in version.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def test_the_oldest_versions_are_the_lower_bounds():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    bounds = dict(text.split(">=") for text in needed)
    oldest = pins("constraints-oldest.txt")
    assert {n: release(v) for n, v in oldest.items()} == {n: release(v) for n, v in bounds.items()}


def test_hooks_have_the_tested_ruff():
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    rev = {
        repo["repo"].rsplit("/", 1)[-1]: repo.get("rev") for repo in yaml.safe_load(text)["repos"]
    }
    assert rev["ruff-pre-commit"] == f"v{pins('constraints.txt')['ruff']}"
