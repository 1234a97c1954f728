"""A run on disk: its typed documents, what is damaged in them, and one table in four forms."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

import icmass
from conftest import RunCli
from icmass.errors import InputError
from icmass.explanation.causal_table import causal_markdown, causal_tables
from icmass.explanation.run import keep, markdown
from icmass.inference.bundled import bundled_models
from icmass.report.explained import causal_section, explained_section
from icmass.run.causal import Causal
from icmass.run.config import RunConfig, Scaling
from icmass.run.document import Document, finite
from icmass.run.explanation import Explanation
from icmass.run.folder import RunFolder, survey_digest
from icmass.run.layout import RunLayout, finished_models, fold_folders, run_of_model
from icmass.run.predictions import Predictions
from icmass.run.results import (
    GROUPS,
    ModelResults,
    PairedScatterRatio,
    Results,
    Score,
    SurveyFacts,
    grouped,
)
from icmass.run.table import Cell, Column, Table

FIXTURE = Path(__file__).parent / "run_of_0_2.json"
"""The documents of a run that icmass 0.2.0.dev0 wrote before they were typed, by file."""


@pytest.fixture(scope="module")
def documents() -> dict[str, Any]:
    return json.loads(FIXTURE.read_text(encoding="utf-8"))


@pytest.fixture
def old_run(tmp_path: Path, documents: dict[str, Any]) -> RunFolder:
    """A run as it was written before its documents were typed."""
    for name, document in documents.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return RunFolder(tmp_path)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, toy_survey: xr.Dataset) -> icmass.Run:
    """A run of today, by the public call; its page is another test's."""
    folder = tmp_path_factory.mktemp("run")
    toy_survey.to_zarr(folder / "toy.zarr", consolidated=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("icmass.face.runs.write_report", lambda path, **_: path)
        return icmass.benchmark(
            folder / "toy.zarr", ["T", "L_X+T", "N_phot_r500"], out=folder / "run", folds=2
        )


KINDS = {
    "results.json": Results,
    "config.json": RunConfig,
    "scaling.json": Scaling,
    "causal.json": Causal,
    "explain/icm-3band.json": Explanation,
}


def unknown(document: Document, where: str = "") -> list[str]:
    """Return the keys of a document, and of the documents in it, that have no field."""
    found = [f"{where}{key}" for key in document.model_extra or {}]
    for name in type(document).model_fields:
        value = getattr(document, name)
        parts = value.values() if isinstance(value, dict) else value
        for part in parts if isinstance(parts, list) or isinstance(value, dict) else [value]:
            inner = part.values() if isinstance(part, dict) else [part]
            for each in inner:
                if isinstance(each, Document):
                    found += unknown(each, f"{where}{name}.")
    return found


# Documents


@pytest.mark.parametrize("name", list(KINDS))
def test_a_document_is_written_as_it_was(old_run: RunFolder, tmp_path: Path, name: str) -> None:
    document = KINDS[name].read(old_run.path / name, "hint")
    assert unknown(document) == []  # nothing is kept only because unknown keys are
    old_run.write(tmp_path / "again.json", document)
    assert (tmp_path / "again.json").read_text() == (old_run.path / name).read_text()


def test_a_run_of_today_is_read_and_written_alike(run: icmass.Run, tmp_path: Path) -> None:
    folder = RunFolder(run.path)
    for name, document in {
        "results.json": folder.read_results(),
        "config.json": folder.read_config(),
        "scaling.json": folder.read_scaling(),
    }.items():
        assert unknown(document) == []
        folder.write(tmp_path / name, document)
        assert (tmp_path / name).read_bytes() == (run.path / name).read_bytes()
    keys = ["survey", "folds", "estimators", "failed", "seed", "machine", "command", "versions"]
    assert list(json.loads((run.path / "results.json").read_text())) == keys


def test_the_face_shows_the_same(run: icmass.Run) -> None:
    again = icmass.Run.open(run.path)
    assert again.results == run.results == json.loads((run.path / "results.json").read_text())
    assert again.models == ["T", "T+L_X", "N_phot_r500"] and again.page is None
    assert not again.failed and again.document.estimators[0].kind == "ideal"
    assert again.survey.sizes["cluster"] == run.results["survey"]["n_clusters"]
    scores = again.scores()
    assert list(scores["sigma_lnm"]) == [row["sigma_lnm"] for row in run.results["estimators"]]


def test_keys_of_another_version_are_kept(old_run: RunFolder) -> None:
    file = old_run.layout.results
    document = json.loads(file.read_text())
    document["estimators"][0]["of_tomorrow"] = [1, {"a": None}]
    document["of_tomorrow"] = 3
    file.write_text(json.dumps(document))
    assert old_run.read_results().as_json() == document


def test_the_paired_ratio_is_beside_in_the_file(documents: dict[str, Any]) -> None:
    row = next(r for r in documents["results.json"]["estimators"] if r["name"] == "icm-3band")
    score = Score.of(row)
    assert score.paired_scatter_ratio["icm-1band"].ratio == row["beside"]["icm-1band"]["ratio"]
    made = Score(
        name="x",
        kind="network",
        paired_scatter_ratio={"y": PairedScatterRatio(ratio=0.5, error=0.1, n=9)},
    )
    assert made.as_json()["beside"] == {"y": {"ratio": 0.5, "error": 0.1, "n": 9}}
    assert "paired_scatter_ratio" not in made.as_json()


def test_what_is_not_finite_becomes_null(tmp_path: Path) -> None:
    score = Score(name="x", kind="network", crps=float("nan"), sigma_lnm=np.float64(np.inf))
    assert score.crps is None and score.sigma_lnm is None
    RunFolder(tmp_path).write(tmp_path / "x.json", Scaling(names=["T"], correlation=[[np.nan]]))
    assert json.loads((tmp_path / "x.json").read_text())["correlation"] == [[None]]


def test_groups_are_those_of_the_table(documents: dict[str, Any]) -> None:
    scores = Results.of(documents["results.json"]).estimators
    held = {group: [score.name for score in rows] for group, rows in grouped(scores)}
    assert list(held) == [group for group in GROUPS if group in held]
    assert held["combination"] == ["T+M_gas"] and held["network"] == ["icm-1band", "icm-3band"]


def test_the_scores_beside_a_bundled_model_are_read() -> None:
    file = bundled_models()["erosita-v1"] / "results.json"
    results = ModelResults.read(file, "hint")
    assert unknown(results) == [] and results.by_name["icm-3band"].n == 1920
    assert results.as_json() == json.loads(file.read_text())


# What is damaged


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        ("results.json", "{", "results.json: is not JSON"),
        ("results.json", "[1]", "results.json: document: Input should be a valid dictionary"),
        ("results.json", '{"folds": 2}', "results.json: estimators: Field required"),
        ("results.json", "[" * 100_000, "results.json: is not JSON"),
        ("config.json", '{"folds": "two"}', "config.json: folds: Input should be a valid integer"),
        ("scaling.json", '{"names": ["T", "M_gas"], "correlation": [[1]]}', "not a square"),
        ("causal.json", '{"clusters": 3}', "causal.json: seed: Field required"),
        ("explain/icm-3band.json", '{"model": 3}', "icm-3band.json: model: Input should be"),
    ],
)
def test_damage_is_one_line(old_run: RunFolder, name: str, damage: str, said: str) -> None:
    (old_run.path / name).write_text(damage)
    read = {
        "results.json": old_run.read_results,
        "config.json": old_run.read_config,
        "scaling.json": old_run.read_scaling,
        "causal.json": old_run.read_causal,
        "explain/icm-3band.json": lambda: old_run.read_explanation("icm-3band"),
    }[name]
    with pytest.raises(InputError) as raised:
        read()
    line = str(raised.value)
    assert said in line and "\n" not in line and "icmass benchmark" in line


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such run"):
        RunFolder(tmp_path / "nowhere").read_results()
    with pytest.raises(InputError, match=r"config\.json: is missing"):
        RunFolder(tmp_path).read_folded_config()


def test_a_command_says_what_is_damaged(old_run: RunFolder, run_cli: RunCli) -> None:
    old_run.layout.results.write_text(
        '{"folds": 2, "estimators": [{"name": "T", "kind": "magic"}]}'
    )
    done = run_cli("report", old_run.path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "results.json: estimators.0.kind: Input should be 'ideal'" in done.stderr
    with pytest.raises(InputError, match=r"estimators\.0\.kind"):
        icmass.Run.open(old_run.path)


def test_an_explanation_leaves_a_damaged_run_alone(
    old_run: RunFolder, documents: dict[str, Any]
) -> None:
    document = Explanation.of(documents["explain/icm-3band.json"])
    old_run.layout.results.write_text("{}")
    with pytest.raises(InputError, match=r"results\.json: folds: Field required"):
        keep(old_run.path, document)
    assert old_run.layout.results.read_text() == "{}"


def test_an_explanation_is_added_to_the_results(
    old_run: RunFolder, documents: dict[str, Any]
) -> None:
    before = json.loads(old_run.layout.results.read_text())
    document = Explanation.of(documents["explain/icm-3band.json"])
    keep(old_run.path, document.model_copy(update={"model": "again"}))
    after = json.loads(old_run.layout.results.read_text())
    assert after["explain"].pop("again") == after["explain"]["icm-3band"]
    assert after == before


# The survey of a run


def test_the_survey_must_be_the_runs(run: icmass.Run, toy_survey: xr.Dataset) -> None:
    folder = RunFolder(run.path)
    folder.check_survey(toy_survey)
    changed = toy_survey.assign(m500c=toy_survey["m500c"] * 1.001)
    assert survey_digest(changed) != folder.read_folded_config().survey_digest
    with pytest.raises(InputError, match="another survey than the run's"):
        folder.check_survey(changed)


def test_a_relative_survey_may_lie_in_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.start(RunConfig(survey="toy.zarr"), resume=False)
    assert folder.survey_path() == tmp_path / "run" / "toy.zarr"
    (tmp_path / "toy.zarr").mkdir()
    monkeypatch.chdir(tmp_path)
    assert folder.survey_path() == Path("toy.zarr")
    folder.layout.config.unlink()
    folder.write(folder.layout.results, Results(folds=2, estimators=[]))
    with pytest.raises(InputError, match="does not say where its survey is"):
        folder.survey_path()


def test_a_run_goes_on_whatever_its_store_said_of_its_chunks(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.start(RunConfig(survey_attrs={"seed": 1, "every_chunk_stored": 1}), resume=False)
    folder.start(RunConfig(survey_attrs={"seed": 1}), resume=True)
    with pytest.raises(InputError, match="survey_attrs"):
        folder.start(RunConfig(survey_attrs={"seed": 2}), resume=True)


# Layout


def test_models_are_found_when_they_are_whole(tmp_path: Path) -> None:
    run = RunLayout(tmp_path / "run")
    for k in (0, 2, 10):
        run.model("L_X", k).mkdir(parents=True)
        for name in ("config.json", "model.safetensors")[: 1 if k == 2 else 2]:
            (run.model("L_X", k) / name).write_text("")
    run.model("T", 0).mkdir(parents=True)
    folds = [run.model("L_X", k) for k in (0, 2, 10)]
    assert fold_folders(run.models / "L_X") == folds
    assert finished_models(run.models / "L_X") == [folds[0], folds[2]]
    assert finished_models(folds[0]) == [folds[0]] and finished_models(folds[1]) == []
    assert run.model_names() == ["L_X"]
    for folder in (run.models / "L_X", folds[0]):
        found = run_of_model(folder)
        assert found is not None and found.path == run.path.resolve()
    assert run_of_model(tmp_path) is None


def test_predictions_are_read_as_written(tmp_path: Path) -> None:
    n = 5
    held = Predictions(
        np.arange(n),
        np.arange(n) % 2,
        *np.arange(3.0 * n).reshape(3, n),
        np.array([1.0, np.nan]),
        7,
    )
    held.mean[3] = np.nan
    held.write(tmp_path / "deep" / "L_X.npz")
    again = Predictions.read(tmp_path / "deep" / "L_X.npz")
    for name, value in vars(held).items():
        np.testing.assert_array_equal(getattr(again, name), value)
    assert again.n_parameters == 7 and again.density is None
    assert again.folds_fitted == 1 and again.has(0) and not again.has(1)
    assert again.finite().cluster.tolist() == [0, 1, 2, 4]
    for damage, said in (
        ({"std": held.std[:3]}, "std is not of the length"),
        ({"fold": held.fold.astype(str)}, "not a number"),
        ({"out_of_domain": held.std[:3]}, "out_of_domain is not of the length"),
    ):
        parts = {key: value for key, value in vars(held).items() if value is not None}
        np.savez(tmp_path / "bad.npz", **parts | damage)
        with pytest.raises(InputError, match=rf"bad\.npz: is not readable: .*{said}"):
            Predictions.read(tmp_path / "bad.npz")
    (tmp_path / "bad.npz").write_bytes((tmp_path / "deep" / "L_X.npz").read_bytes()[:-30])
    with pytest.raises(InputError, match=r"bad\.npz: is not readable"):
        Predictions.read(tmp_path / "bad.npz")


# Tables

EVIL = r"a|b_c & 5% <i>$x$</i> *y* [bold]z[/bold] {w}^2 \ ~#"


@pytest.fixture
def table() -> Table:
    return Table(
        ["name", Column("σ", "per cent", html="<i>σ</i>"), Column("note", numeric=False)],
        groups=[
            ("plain <ones>", [["T", Cell("-1.5", "0.2"), "x"]]),
            ("others", [[Cell(EVIL, strong=True), Cell("2", html="<b>2</b>"), "–"]]),
        ],
        title="A & B",
        notes=["n_1 < 2", "second"],
    )


class Reader(HTMLParser):
    """Collects tags and the texts of cells; tags must close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.tags.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            self.cells[-1] += data


def test_in_html_every_text_is_text(table: Table) -> None:
    read = Reader(table.to_html())
    assert read.cells[:3] == ["name", "σper cent", "note"]
    assert read.cells[3:] == [
        *("plain <ones>", "", "", "T", "−1.5 ± 0.2", "x"),
        *("others", "", "", EVIL, "2", "–"),
    ]
    assert read.tags.count("i") == 1 and read.tags.count("b") == 1  # what was given as HTML
    assert read.tags.count("strong") == 1 and 'aria-label="A &amp; B"' in table.to_html()
    assert 'class="plain"' in table.to_html(plain=True)


def test_in_markdown_every_row_has_the_cells_of_the_head(table: Table) -> None:
    from markdown_it import MarkdownIt

    text = table.to_markdown()
    assert text.splitlines()[1] == "|---|---:|---|"
    rendered = Reader(MarkdownIt("commonmark", {"html": True}).enable("table").render(text))
    assert rendered.cells[:3] == ["name", "σ [per cent]", "note"]
    assert rendered.cells[3:] == [
        *("plain <ones>", "", "", "T", "-1.5 ± 0.2", "x"),
        *("others", "", "", EVIL, "2", "–"),
    ]
    assert rendered.tags.count("strong") == 3 and not {"i", "em"} & set(rendered.tags)


def test_in_latex_what_is_special_is_escaped(table: Table) -> None:
    text = table.to_latex()
    assert r"\caption{A \& B. n\_1 $<$ 2 second}" in text
    assert r"\begin{tabular}{lrl}" in text
    assert r"T & $-$1.5 $\pm$ 0.2 & x \\" in text
    assert r"\multicolumn{3}{l}{\textit{plain $<$ones$>$}} \\" in text
    assert r"$\sigma$ [per cent]" in text
    row = next(line for line in text.splitlines() if line.startswith(r"\textbf"))
    assert row.startswith(r"\textbf{a$|$b\_c \& 5\% $<$i$>$\$x\$$<$/i$>$ ")
    assert row.endswith(
        r"\{w\}\textasciicircum{}2 \textbackslash{} \textasciitilde{}\#} & 2 & -- \\"
    )
    assert text.count("{") == text.count("}")


def test_in_a_terminal_brackets_are_brackets(table: Table) -> None:
    out = StringIO()
    Console(file=out, width=200).print(table.to_rich())
    said = out.getvalue()
    assert EVIL in said and "A & B" in said and "n_1 < 2" in said and "-1.5 ± 0.2" in said
    assert "plain <ones>" in said and "[per cent]" in said


def test_a_table_without_groups_has_no_heading() -> None:
    table = Table(["a", "b"], [["x", "1"], ["y", "2"]])
    assert table.to_markdown() == "| a | b |\n|---|---:|\n| x | 1 |\n| y | 2 |\n"
    assert r"\caption" not in table.to_latex() and "multicolumn" not in table.to_latex()
    assert Reader(table.to_html()).cells == ["a", "b", "x", "1", "y", "2"]


def test_the_page_shows_the_tables_of_the_texts(old_run: RunFolder) -> None:
    causal = old_run.read_causal()
    page, text = Reader(causal_section(old_run.path)), causal_markdown(causal)
    tables = causal_tables(causal)
    cells = [str(cell) for table in tables for row in (table.columns, *table.rows) for cell in row]
    assert [cell.replace("−", "-") for cell in page.cells] == cells
    assert all(note in text for table in tables for note in table.notes)
    assert page.tags.count("table") == len(tables) == 3
    section = Reader(explained_section(old_run.path))
    document = old_run.read_explanation("icm-3band")
    assert document.saliency is not None and document.checks is not None
    assert section.tags.count("table") == 2
    failed = [each for each in document.checks.verdicts if each.passed is False]
    assert sum("FAILS" in cell for cell in section.cells) == len(failed)
    assert markdown(document).count("**failed**") == len(failed)


def test_the_page_says_what_it_cannot_read(old_run: RunFolder) -> None:
    old_run.layout.causal.write_text('{"clusters": "<i>"}')
    old_run.layout.explanation("icm-3band").write_text("{")
    assert "causal.json cannot be read (clusters: Input should be" in causal_section(old_run.path)
    assert "icm-3band.json cannot be read (is not JSON" in explained_section(old_run.path)


def test_finite_unpacks_numpy() -> None:
    facts = SurveyFacts(path="x", exposure_s=2.0)
    assert finite({1: np.array([1.0, np.nan]), "b": (np.bool_(True),), "c": facts}) == {
        "1": [1.0, None],
        "b": [True],
        "c": {"path": "x", "exposure_s": 2.0},
    }
