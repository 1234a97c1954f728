"""The report: every figure and the page, from a run made here of beta-model clusters."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from conftest import beta_model_survey
from icmass.benchmarking.calibration import calibration
from icmass.cli.app import main
from icmass.errors import InputError
from icmass.estimators.posterior import Prediction
from icmass.report.bars import draw_coverage, draw_scatter_bars
from icmass.report.calibration import draw_calibration
from icmass.report.correlation import draw_correlation
from icmass.report.explorer.of_run import estimates_of, run_contents
from icmass.report.gallery import choose_clusters, draw_colour_gallery, draw_gallery
from icmass.report.narrative import headline
from icmass.report.overview import draw_overview
from icmass.report.page import write_report
from icmass.report.scatter import draw_predicted, running_quantiles
from icmass.report.source import read_run
from icmass.report.style import house_style, save, symbol
from icmass.run.results import Results, Score

N = 96
MODELS = {
    "L_X": ("ideal", 0.26),
    "N_phot_r500": ("observed", 0.34),
    "N_phot+N_phot_r500": ("observed", 0.30),
    "icm-3band": ("network", 0.16),
}


@pytest.fixture(scope="module")
def survey_path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("survey") / "toy.zarr"
    beta_model_survey(n=N, n_pixels=32).to_zarr(path)
    return path


def make_run(folder: Path, survey_path: Path) -> Path:
    """Write a run as `icmass benchmark` does, of estimators whose scatter is known."""
    rng = np.random.default_rng(5)
    true = rng.uniform(np.log(10**13.5), np.log(10**14.8), N)
    rows = []
    (folder / "predictions").mkdir(parents=True)
    for name, (kind, sigma) in MODELS.items():
        mean = true + sigma * rng.normal(size=N)
        residual, std = mean - true, np.full(N, sigma)
        row = {"name": name, "kind": kind, "inputs": [], "n": N, "n_parameters": 3}
        row |= {"sigma_paper": sigma, "sigma_lnm": residual.std(), "crps": 0.1}
        row |= {"sigma_lnm_error": residual.std() / np.sqrt(2 * N), "bias_lnm": residual.mean()}
        row |= {"coverage68": np.mean(abs(residual) < std), "coverage95": 0.95}
        if kind == "network":
            row["calibration"] = calibration(Prediction(mean, std), true, rng)
            row["folds_fitted"] = 3
        rows.append(row | {"train_seconds": 1.5})
        arrays = {"ln_m_true": true, "mean": mean, "std": std}
        index = {"cluster": np.arange(N), "fold": np.arange(N) % 8}
        np.savez(folder / "predictions" / f"{name}.npz", **index, **arrays)
    results = {"survey": {"path": "toy.zarr", "preset": "test"}, "folds": 8, "estimators": rows}
    scaling = {"names": ["T", "M_gas"], "correlation": [[1.0, -0.37], [-0.37, 1.0]]}
    config = {"survey": str(survey_path), "folds": 8, "seed": 3}
    for name, document in (("results", results), ("scaling", scaling), ("config", config)):
        (folder / f"{name}.json").write_text(json.dumps(document))
    return folder


@pytest.fixture
def run(tmp_path, survey_path) -> Path:
    return make_run(tmp_path / "run", survey_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, survey_path) -> Path:
    folder = make_run(tmp_path_factory.mktemp("finished") / "run", survey_path)
    write_report(folder)
    return folder


def edit(file: Path, change) -> None:
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))


class Reader(HTMLParser):
    """Collects text, tags and what they load; tags must close in order."""

    void = frozenset({"meta", "img", "br", "link", "hr", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.loaded: list[str] = []
        self.alternatives: list[str | None] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loaded += [v for k, v in attrs if k in ("src", "href", "srcset", "data", "action")]
        assert not [k for k, _ in attrs if k.startswith("on")]
        if tag == "img":
            self.alternatives.append(dict(attrs).get("alt"))
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.text += data


def parse(page: Path) -> Reader:
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    reader.close()
    assert reader.open == []
    reader.text = " ".join(reader.text.split())
    return reader


def test_the_page_is_one_file_that_loads_nothing(finished):
    page = parse(finished / "report.html")
    assert page.loaded and all(item.startswith("data:image/") for item in page.loaded)
    assert not {"link", "iframe", "object", "form"} & set(page.tags)
    assert page.tags.count("script") == 4  # three blocks of data, and what reads them
    style = (finished / "report.html").read_text().split("<style>")[1].split("</style>")[0]
    assert "url(" not in style and "@import" not in style
    assert all(page.alternatives)


def test_the_explorer_of_a_run_shows_its_predictions(finished):
    contents = run_contents(read_run(finished))
    assert len(contents) == N and contents.first == "icm-3band"
    assert [each.name for each in contents.estimates] == list(MODELS)
    for each in contents.estimates:
        with np.load(finished / "predictions" / f"{each.name}.npz") as held:
            np.testing.assert_array_equal(each.rows, held["cluster"])
            np.testing.assert_array_equal(each.prediction.mean, held["mean"])
    (fold,) = [each for each in contents.properties if each.key == "fold"]
    np.testing.assert_array_equal(fold.values, np.arange(N) % 8)
    assert "Look around" in parse(finished / "report.html").text


def test_predictions_that_do_not_fit_the_survey_are_not_in_the_explorer(run):
    read = read_run(run)
    assert run_contents(replace(read, survey=None)) is None
    few = read.survey.isel(cluster=slice(50))
    assert run_contents(replace(read, survey=few)) is None
    held = read.predictions["L_X"]
    shuffled = np.random.default_rng(0).permutation(N)
    parts = {key: getattr(held, key)[shuffled] for key in ("cluster", "mean", "std", "ln_m_true")}
    turned = replace(held, **parts, fold=held.fold[shuffled])
    found = estimates_of("L_X", turned)
    np.testing.assert_array_equal(found.rows, np.arange(N))
    np.testing.assert_array_equal(found.prediction.mean, held.mean)
    broken = replace(held, density=np.zeros((N, 7), "f4"))
    contents = run_contents(replace(read, predictions=read.predictions | {"L_X": broken}))
    assert "L_X" not in [each.name for each in contents.estimates]


def test_every_figure_is_saved_and_shown(finished):
    stems = {"gallery", "gallery-colour", "overview", "scatter-bars", "calibration", "coverage"}
    stems |= {"residual-correlation", "predicted-L_X", "predicted-N_phot_r500"}
    stems |= {"predicted-N_phot-N_phot_r500", "predicted-icm-3band"}
    for ending in (".png", ".svg"):
        assert {f.stem for f in (finished / "figures").glob(f"*{ending}")} == stems
    page = parse(finished / "report.html")
    assert page.tags.count("img") == len(stems)


def test_the_page_says_what_the_results_say(finished, toy_survey):
    text = parse(finished / "report.html").text
    rows = json.loads((finished / "results.json").read_text())["estimators"]
    for row in rows:
        assert f"{100 * row['sigma_lnm']:.1f} ± {100 * row['sigma_lnm_error']:.1f}" in text
    assert "26.33" in text and "16.18" in text  # published L_X and three-band network
    assert "icmass benchmark toy.zarr" in text
    assert "0.066 to 0.213, 3 snapshots" in text
    # h = 0.704: the same masses in Msun are -log10 h = 0.1524 dex larger
    low, high = np.log10([toy_survey["m500c"].min(), toy_survey["m500c"].max()])
    assert (
        f"{low:.2f} to {high:.2f} [Msun/h], {low + 0.1524:.2f} to {high + 0.1524:.2f} [Msun]"
        in text
    )


def test_the_same_run_gives_the_same_page(run, quick):
    before = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == before


def test_figures_stay_while_the_scores_do(run, quick):
    def drawn() -> dict[str, int]:
        return {file.name: file.stat().st_mtime_ns for file in (run / "figures").glob("*.png")}

    page = write_report(run).read_bytes()
    before = drawn()
    assert write_report(run, keep_figures=True).read_bytes() == page
    assert drawn() == before
    (run / "figures" / "overview.svg").unlink()
    write_report(run, keep_figures=True)
    assert [name for name, time in drawn().items() if time != before[name]] == ["overview.png"]
    (run / "results.json").touch()
    write_report(run, keep_figures=True)
    assert all(time != before[name] for name, time in drawn().items())


def test_the_same_figure_gives_the_same_bytes(finished, tmp_path):
    read = read_run(finished)
    with house_style():
        figure = draw_predicted(read.results.estimators[-1], read.predictions["icm-3band"])
    again = save(figure, tmp_path, "predicted-icm-3band")
    for file in (again.png, again.svg):
        assert file.read_bytes() == (finished / "figures" / file.name).read_bytes()


def test_texts_of_a_run_never_become_markup(run, quick):
    evil = '<script>alert(1)</script><img src=x onerror="alert(2)">$&{title}'

    def poison(document):
        document["estimators"][0]["name"] = evil
        document["survey"] |= {"preset": evil, "version": evil, "path": evil}
        document |= {"failed": {evil: evil}, "command": evil}
        document |= {"versions": {evil: evil}, "machine": {"system": evil, "device": evil}}

    edit(run / "results.json", poison)
    edit(run / "config.json", lambda document: document.update(survey=evil))
    page = parse(write_report(run))
    assert "script" not in page.tags
    assert all(item.startswith("data:image/") for item in page.loaded)
    assert evil in page.text


def test_networks_with_fewer_folds_are_named(finished, run, undrawn):
    assert "icm-3band: 3 of 8 folds" in parse(finished / "report.html").text

    def whole(document):
        document["estimators"][-1]["folds_fitted"] = 8

    edit(run / "results.json", whole)
    edit(run / "config.json", lambda document: document.update(fold_limit={"L_X": 2}))
    text = parse(write_report(run)).text
    assert "of 8 folds" not in text and "--fold-limit L_X=2" in text


@pytest.mark.parametrize(
    "damage", [{"levels": [0.5]}, {"pit_histogram": [0] * 20}, {"coverage": None}]
)
def test_a_damaged_calibration_is_left_out(finished, run, undrawn, damage):
    whole = parse(finished / "report.html").text
    assert "Kolmogorov-Smirnov test of the PIT over 96 clusters" in whole
    edit(
        run / "results.json",
        lambda document: document["estimators"][-1]["calibration"].update(damage),
    )
    page = parse(write_report(run))
    assert "Kolmogorov-Smirnov" not in page.text
    assert "Calibration of the posteriors" not in page.text


def test_a_set_of_networks_has_predictions(run, undrawn):
    edit(
        run / "results.json",
        lambda document: document["estimators"][-1].update(name="icm-3band@4"),
    )
    file = run / "predictions" / "icm-3band.npz"
    file.rename(file.with_name("icm-3band@4.npz"))
    assert "icm-3band@4" in read_run(run).predictions


def test_a_name_cannot_lead_out_of_the_run(run, undrawn):
    (run.parent / "outside.npz").write_bytes((run / "predictions" / "L_X.npz").read_bytes())

    def lead_out(document):
        document["estimators"][0]["name"] = "../../outside"

    edit(run / "results.json", lead_out)
    held = read_run(run)
    assert "../../outside" not in held.predictions
    write_report(run)
    assert {f.parent for f in run.parent.rglob("*.svg")} == {run / "figures"}


def test_pickled_predictions_are_refused(run, undrawn):
    file = run / "predictions" / "icm-3band.npz"
    with np.load(file) as held:
        arrays = dict(held)
    np.savez(file, **arrays | {"mean": np.array([{"a": 1}] * N, object)})
    assert "icm-3band" not in read_run(run).predictions
    assert "icm-3band.npz is not readable" in parse(write_report(run)).text


def test_what_is_missing_is_said_in_its_place(run, undrawn):
    (run / "predictions" / "L_X.npz").unlink()
    (run / "predictions" / "icm-3band.npz").write_bytes(b"PK but not an archive")
    (run / "scaling.json").write_text('{"names": ["T", "M_gas"], "correlation": [[1]]}')
    edit(run / "config.json", lambda document: document.update(survey="/nowhere/gone.zarr"))
    page = parse(write_report(run))
    assert "predictions/L_X.npz is missing from the run" in page.text
    assert "predictions/icm-3band.npz is not readable" in page.text
    assert "gone.zarr: no such survey" in page.text
    assert "scaling.json holds no residual correlations" in page.text
    assert page.tags.count("img") == 5  # bars, coverage, calibration, two estimators


def test_a_run_of_results_alone_still_gives_a_page(run, tmp_path, quick):
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "results.json").write_text((run / "results.json").read_text())
    page = parse(write_report(alone))
    assert "config.json is missing" in page.text
    assert page.tags.count("img") == 3


def test_scores_that_are_not_numbers_become_dashes(run, quick):
    def blank(document):
        document["estimators"][0] |= {"sigma_lnm": None, "sigma_lnm_error": None, "n": None}
        document["estimators"][0] |= {"coverage68": float("nan"), "sigma_paper": float("inf")}

    edit(run / "results.json", blank)
    page = parse(write_report(run))
    assert "nan" not in page.text and "inf " not in page.text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "results.json: is missing"),
        ("{", "results.json: is not JSON"),
        ("[]", "results.json: document"),
        ('{"folds": 8, "estimators": []}', "results.json: estimators"),
        ('{"folds": 8, "estimators": [{"name": "T"}]}', "estimators.0.kind"),
    ],
)
def test_what_is_no_run_ends_in_one_line(tmp_path, monkeypatch, capsys, content, said):
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    monkeypatch.setattr(sys, "argv", ["icmass", "report", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    line = capsys.readouterr().err
    assert ended.value.code == 2
    assert said in line and line.count("\n") == 1
    assert [f.name for f in tmp_path.iterdir()] == (["results.json"] if content else [])


def test_the_command_prints_the_page(run, undrawn, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["icmass", "report", str(run)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert capsys.readouterr().out.strip() == str(run / "report.html")


def test_a_folder_that_cannot_be_written_is_one_line(run):
    (run / "figures").write_text("a file where the folder should be")
    with pytest.raises(InputError, match="figures"):
        write_report(run)
    assert not list(run.glob("report.html*"))


# Words


def _results(*rows: dict) -> Results:
    base = {"n": 3000, "sigma_lnm_error": 0.003}
    return Results.model_validate({"folds": 8, "estimators": [base | row for row in rows]})


def _network(sigma: float, **more) -> dict:
    return {"name": "icm-3band", "kind": "network", "sigma_lnm": sigma, **more}


def _proxy(sigma: float, name: str = "N_phot") -> dict:
    return {"name": name, "kind": "observed", "sigma_lnm": sigma}


@pytest.mark.parametrize(
    ("network", "proxy", "said", "unsaid"),
    [
        (0.17, 0.34, "50 per cent less scatter", "more scatter"),
        (0.34, 0.17, "100 per cent more scatter", "less scatter"),
        (0.300, 0.304, "cannot tell from none", "less scatter"),
    ],
)
def test_the_comparison_follows_the_numbers(network, proxy, said, unsaid):
    text = " ".join(headline(_results(_network(network), _proxy(proxy)), lambda name: None))
    assert said in text and unsaid not in text


def test_a_count_that_is_told_the_radius_is_called_so():
    rows = _network(0.17), _proxy(0.4), _proxy(0.15, "N_phot_r500+N_phot_2r500")
    blind, told = headline(_results(*rows), lambda name: None)[1:]
    assert "N_phot)" in blind and "less scatter" in blind and "true R500c" not in blind
    assert "N_phot_r500+N_phot_2r500" in told and "more scatter" in told and "true R500c" in told


@pytest.mark.parametrize(
    ("coverage", "said"),
    [(0.68, "as it should be"), (0.75, "too large"), (0.60, "too small")],
)
def test_calibration_follows_the_numbers(coverage, said):
    text = " ".join(headline(_results(_network(0.17, coverage68=coverage)), lambda name: None))
    assert said in text


def test_networks_are_compared_on_the_clusters_of_both():
    beside = {"icm-1band": {"ratio": 0.9, "error": 0.01, "n": 800}}
    rows = (
        _network(0.20, n=800, beside=beside),
        _network(0.21, n=3000) | {"name": "icm-1band"},
    )
    text = " ".join(headline(_results(*rows), lambda name: None))
    assert "on the 800 clusters that both predicted: icm-3band has 10 per cent less" in text
    beside["icm-1band"]["error"] = -1
    text = " ".join(headline(_results(*rows), lambda name: None))
    assert "that both predicted" not in text


def test_a_small_run_is_called_small():
    small = _results(_network(0.17, n=200))
    assert "200 clusters" in headline(small, lambda name: None)[-1]
    large = _results(_network(0.17))
    assert not any("too small" in said for said in headline(large, lambda name: None))


# Figures


def test_running_quantiles_are_those_of_the_scatter_put_in():
    rng = np.random.default_rng(1)
    x = rng.uniform(0, 1, 20000)
    y = 0.3 * rng.normal(size=x.size) + x
    middle, low, median, high = running_quantiles(x, y - x, n_bins=5)
    # 4000 in a bin: error of a median 1.25 s / sqrt(n) = 0.006, of a 16th percentile 0.007
    np.testing.assert_allclose(median, 0, atol=0.025)
    np.testing.assert_allclose(high, 0.3 * 0.9945, atol=0.03)
    np.testing.assert_allclose(low, -0.3 * 0.9945, atol=0.03)
    np.testing.assert_allclose(middle, [0.1, 0.3, 0.5, 0.7, 0.9], atol=0.02)


def test_sparse_bins_are_left_out():
    x = np.append(np.linspace(0, 0.1, 50), 1.0)
    assert running_quantiles(x, x, n_bins=5).shape == (4, 1)


def test_a_gallery_shows_each_cluster_once_with_mass_growing(toy_survey):
    choice = choose_clusters(toy_survey)
    assert choice.cluster.shape == (3, 4)
    assert np.unique(choice.cluster).size == 12
    assert (np.diff(choice.log10_m500c, axis=1) > 0).all()
    assert (np.diff(choice.redshift, axis=0) > 0).all()
    index = choice.cluster.ravel()
    found = np.log10(toy_survey["m500c"].values[index])
    np.testing.assert_allclose(choice.log10_m500c.ravel(), found)


def test_a_gallery_of_a_few_clusters_is_smaller(toy_survey):
    assert choose_clusters(toy_survey.isel(cluster=slice(0, 2))).cluster.size <= 2


def test_a_gallery_shows_the_counts_of_its_clusters(toy_survey):
    choice = choose_clusters(toy_survey)
    with house_style():
        figure = draw_gallery(toy_survey, choice)
    shown = [axes.get_images()[0].get_array() for axes in figure.axes if axes.get_images()]
    held = toy_survey["maps"].sum(("component", "band")).values[choice.cluster.ravel()]
    np.testing.assert_array_equal(np.array(shown), held)


def _figures(survey, read) -> dict[str, Figure]:
    scores = read.results.estimators
    choice = choose_clusters(survey)
    names = ["T", "L_X", "L_X_soft", "M_gas", "N_phot", "N_phot_r500", "N_phot_2r500"]
    return {
        "gallery": draw_gallery(survey, choice),
        "colour": draw_colour_gallery(survey, choice),
        "overview": draw_overview(survey),
        "bars": draw_scatter_bars(scores, lambda name: 0.2),
        "coverage": draw_coverage(scores),
        "calibration": draw_calibration(scores),
        "correlation": draw_correlation(names, np.eye(7), lambda a, b: 0.5),
        "predicted": draw_predicted(scores[-1], read.predictions["icm-3band"]),
    }


@pytest.fixture(scope="module")
def drawn(toy_survey, finished) -> dict[str, Figure]:
    """Every figure, laid out once for all tests that look at one."""
    with house_style():
        figures = _figures(toy_survey, read_run(finished))
        for figure in figures.values():
            figure.draw_without_rendering()
    return figures


def test_all_that_is_drawn_stays_inside_its_figure(drawn):
    with house_style():
        for name, figure in drawn.items():
            box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
            assert min(box.x0, box.y0) > -0.02, name
            assert box.x1 < width + 0.02 and box.y1 < height + 0.02, name


def test_tick_labels_do_not_overlap(drawn):
    with house_style():
        for name, figure in drawn.items():
            if name == "correlation":
                continue  # slanted: their boxes overlap where their letters do not
            for axes in figure.axes:
                left, right = sorted(axes.get_xlim())
                ticks = [t for t in axes.xaxis.get_major_ticks() if left <= t.get_loc() <= right]
                labels = [tick.label1 for tick in ticks if tick.label1.get_visible()]
                boxes = [label.get_window_extent() for label in labels]
                ends = sorted((box.x0, box.x1) for box in boxes)
                gaps = [b[0] - a[1] for a, b in itertools.pairwise(ends)]
                assert all(gap > 1 for gap in gaps), (name, gaps)


def test_axes_of_plots_have_labels_with_units(drawn):
    figures = drawn
    predicted = figures["predicted"].axes
    assert "M_\\odot/h" in predicted[0].get_ylabel() and "M_\\odot/h" in predicted[1].get_xlabel()
    assert "per cent" in figures["bars"].axes[0].get_xlabel()
    assert "per cent" in figures["coverage"].axes[0].get_xlabel()
    assert "per cent" in figures["calibration"].axes[1].get_xlabel()
    for axes in figures["overview"].axes[:3]:
        assert axes.get_xlabel() and axes.get_ylabel()
    for name in ("gallery", "colour"):
        said = {text.get_text() for text in figures[name].texts}
        assert "projected offset  [comoving Mpc/h]" in said


def test_drawing_leaves_no_state_behind(toy_survey, finished, tmp_path):
    before = dict(matplotlib.rcParams)
    with house_style():
        figure = draw_overview(toy_survey)
    save(figure, tmp_path, "overview")
    assert dict(matplotlib.rcParams) == before


def test_the_report_does_not_import_pyplot_or_torch():
    code = (
        "import sys, icmass.report.page; print('matplotlib.pyplot' in sys.modules, "
        "'torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("name", ["$x", "a$b$c", r"\frac{", "x_{", "{}", "<b>"])
def test_any_name_can_be_drawn(name, tmp_path):
    score = Score(name=name, kind="network", n=10, sigma_lnm=0.2)
    with house_style():
        figure = draw_scatter_bars([score], lambda _: None)
    assert save(figure, tmp_path, "bars").svg.stat().st_size > 0
    assert symbol("T+L_X") == "$T$ + $L_X$"
