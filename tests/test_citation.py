"""What is said of the package for those who cite it: the same in every file, references whole."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import icmass

ROOT = Path(__file__).parents[1]
DOI = re.compile(r"10\.\d{4,9}/[-._;()/:A-Za-z0-9]+")


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads(text("pyproject.toml"))["project"]


@pytest.fixture(scope="module")
def citation() -> dict[str, Any]:
    return yaml.safe_load(text("CITATION.cff"))


@pytest.fixture(scope="module")
def codemeta() -> dict[str, Any]:
    return json.loads(text("codemeta.json"))


@pytest.fixture(scope="module")
def paper() -> tuple[dict[str, Any], str]:
    """Front matter and body."""
    _, front, body = text("paper/paper.md").split("---\n", 2)
    return yaml.safe_load(front), body


@pytest.fixture(scope="module")
def references() -> dict[str, str]:
    """The entries of the bibliography by key."""
    entries = re.split(r"^@\w+\{", text("paper/paper.bib"), flags=re.M)[1:]
    return {entry.partition(",")[0].strip(): entry for entry in entries}


def test_name_license_and_authors_agree(project, citation, codemeta, paper):
    assert project["name"] == codemeta["name"] == citation["title"].partition(":")[0]
    assert paper[0]["title"] == citation["title"]
    assert project["license"] == citation["license"] == codemeta["license"].rsplit("/", 1)[1]
    assert "BSD 3-Clause" in text("LICENSE")
    authors = [author["name"] for author in project["authors"]]
    assert authors == [author["name"] for author in citation["authors"]]
    assert authors == [author["name"] for author in codemeta["author"]]
    assert authors == [author["name"] for author in paper[0]["authors"]]


def test_keywords_and_python_agree(project, citation, codemeta):
    assert citation["keywords"] == codemeta["keywords"]
    words = {word.lower() for word in project["keywords"]}
    assert {word.lower() for word in citation["keywords"]} - words <= {"x-ray astronomy"}
    assert (
        codemeta["runtimePlatform"] == f"Python {project['requires-python'].replace('>=', '>= ')}"
    )


def test_the_cited_version_is_this_one_or_one_before(citation):
    """A version in the making is not cited yet; a release is cited as itself."""
    number, _, development = icmass.__version__.partition(".dev")
    cited, this = ([int(n) for n in v.split(".")] for v in (str(citation["version"]), number))
    assert cited < this if development else cited == this


def test_the_paper_that_is_reproduced_is_one(citation, codemeta, references):
    [article] = citation["references"]
    assert codemeta["referencePublication"] == f"https://doi.org/{article['doi']}"
    assert article["doi"] in references["Ho2023"]


def test_the_paper_has_the_sections_of_the_journal(paper):
    sections = re.findall(r"^# (.*)$", paper[1], flags=re.M)
    assert sections == [
        "Summary",
        "Statement of need",
        "State of the field",
        "Software design",
        *sections[4:-2],
        "AI usage disclosure",
        "References",
    ]
    bodies = re.split(r"^# .*$", paper[1], flags=re.M)[1:]
    for name, body in zip(sections[:-1], bodies, strict=False):
        assert len(body.split()) >= 20, f"{name} is a stub"


def test_every_reference_is_cited_and_every_citation_is_there(paper, references):
    cited = set(re.findall(r"(?<![\w.])@([\w:-]+)", paper[1]))
    assert cited == set(references)


def test_every_reference_says_where_it_is(references):
    for key, entry in references.items():
        if (doi := re.search(r"\bdoi\s*=\s*\{([^}]*)\}", entry)) is not None:
            assert DOI.fullmatch(doi[1]), f"{key}: {doi[1]}"
        else:
            assert re.search(r"https://\S+|ascl:\d{4}\.\d{3}", entry), f"{key}: where is it?"
        assert re.search(r"\btitle\s*=", entry) and re.search(r"\byear\s*=\s*\{\d{4}\}", entry), key
