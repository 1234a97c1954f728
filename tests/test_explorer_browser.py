"""The explorer in a browser: it loads, shows what is clicked, and can be used by everybody.

Chromium is that of the environment variable ICMASS_CHROMIUM, or one on the path.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from conftest import beta_model_survey
from explorer_pages import EVIL, made_up, write_page
from icmass.estimators.posterior import Prediction
from icmass.report.explorer.contents import Contents, Estimates, Part, survey_properties
from icmass.survey.counts import counts

N = 96
LARGE = 3285
READY = "#explorer[data-ready]"


@dataclass
class Opened:
    """A page in the browser, and what it complained of."""

    page: Any
    said: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("ICMASS_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("no Chromium: set ICMASS_CHROMIUM, or put chromium on the path")
    with api.sync_playwright() as running:
        started = running.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def contents(toy_survey: xr.Dataset) -> Contents:
    return made_up(toy_survey)


@pytest.fixture(scope="module")
def file(contents: Contents, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(contents, tmp_path_factory.mktemp("explorer") / "page.html")


@pytest.fixture
def show(browser: Any) -> Iterator[Any]:
    """Open a page: ``show(file, width=390, dark=True)``."""
    contexts = []

    def opened(file: Path, *, width: int = 1200, dark: bool = False, **more: Any) -> Opened:
        scheme = "dark" if dark else "light"
        size = {"width": width, "height": 900}
        context = browser.new_context(viewport=size, color_scheme=scheme, **more)
        contexts.append(context)
        result = Opened(context.new_page())
        result.page.on("console", lambda told: result.said.append(told.text))
        result.page.on("pageerror", lambda error: result.said.append(str(error)))
        result.page.on("request", lambda asked: _no_network(result, asked.url))
        result.page.goto(file.as_uri())
        result.page.wait_for_selector(READY, state="attached", timeout=20_000)
        return result

    yield opened
    for context in contexts:
        context.close()


def _no_network(opened: Opened, url: str) -> None:
    if not url.startswith(("file:", "data:", "blob:")):
        opened.said.append(f"asked for {url}")


def point(page: Any, plot: str, cluster: int) -> tuple[float, float]:
    """Return where a cluster's point is in the window."""
    code = """([plot, i]) => {
      const s = window.icmassExplorer[plot];
      s.svg.scrollIntoView({ block: "center" });
      const box = s.svg.getBoundingClientRect();
      const zoom = box.width / s.size.width;
      return [box.left + zoom * s.sx.at(s.x.values[i]), box.top + zoom * s.sy.at(s.y.values[i])];
    }"""
    x, y = page.evaluate(code, [plot, cluster])
    return x, y


def shown(page: Any) -> int:
    return int(page.get_attribute("#explorer .panel", "data-cluster"))


def wait_for(page: Any, cluster: int) -> None:
    page.wait_for_selector(f'#explorer .panel[data-cluster="{cluster}"]', timeout=5000)


def test_a_click_shows_the_cluster(show, file, contents, toy_survey) -> None:
    opened = show(file)
    page = opened.page
    lightest = int(np.argmin(contents.ln_m_true))
    assert shown(page) != lightest
    page.mouse.click(*point(page, "left", lightest))
    wait_for(page, lightest)
    assert page.inner_text("#explorer .name") == f"cluster {lightest}"
    text = page.inner_text("#explorer .panel")
    mass = float(toy_survey["m500c"][lightest]) / 1e14
    assert f"{mass:.3f}".rstrip("0")[:5] in text and f"{mass / 0.704:.3g}" in text
    total = int(counts(toy_survey, np.array([lightest]))[0, 0].sum())
    assert f"0.5-1.2 keV: {total:,} photons" in text
    for word in ("Masses by every estimator", "network", "count", "gas", "Attribution: network"):
        assert word in text
    assert page.locator("#explorer .map").count() == 4  # three bands and the attribution
    circles = page.locator("#explorer .map circle.radius.true")
    assert circles.count() == 4
    radius = float(toy_survey["r500c"][lightest]) / 2.3 * 100  # the frame is 200 wide
    assert float(circles.first.get_attribute("r")) == pytest.approx(radius, rel=1e-3)
    assert page.locator("#explorer .posterior path.curve").count() == 2  # curve and its key
    assert f"cluster={lightest}" in page.url
    assert opened.said == []


def test_maps_in_the_browser_are_those_of_the_survey(show, file, toy_survey) -> None:
    page = show(file).page
    code = "async (i) => Array.from((await window.icmassExplorer.data.maps(i)).counts)"
    for cluster in (0, 41, 95):
        found = np.array(page.evaluate(code, cluster)).reshape(3, 32, 32)
        np.testing.assert_array_equal(found, counts(toy_survey, np.array([cluster]))[0])
    # the brightest pixel of the first canvas is where that of the map is, first row lowest
    code = """() => { const c = document.querySelector("#explorer .map canvas");
      const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
      return Array.from({ length: c.width * c.height },
        (_, k) => d[4 * k] + d[4 * k + 1] + d[4 * k + 2]); }"""
    light = np.array(page.evaluate(code)).reshape(32, 32)[::-1]
    soft = counts(toy_survey, np.array([shown(page)]))[0, 0]
    assert soft[light == light.max()].min() >= np.sort(soft.ravel())[-4]
    assert soft[light == light.min()].max() == soft.min()


def test_plots_are_linked_and_what_is_marked_is_scored(show, file, contents) -> None:
    page = show(file).page
    truth, mean = contents.ln_m_true, contents.estimates[0].prediction.mean
    median = contents.estimates[0].prediction.median
    heavy = np.flatnonzero(np.minimum(truth, median) > np.log(2.5e14))
    corners = page.evaluate(
        """() => { const s = window.icmassExplorer.left; s.svg.scrollIntoView({ block: "center" });
      const box = s.svg.getBoundingClientRect();
      return [box.left + s.sx.at(2.5), box.top + s.sy.at(2.5), box.right - 13, box.top + 11]; }"""
    )
    page.mouse.move(corners[0], corners[1])
    page.mouse.down()
    page.mouse.move(corners[2] - 5, corners[3] + 5)
    page.mouse.move(corners[2], corners[3])
    page.mouse.up()
    marked = page.evaluate("Array.from(window.icmassExplorer.state.subset)")
    np.testing.assert_array_equal(np.flatnonzero(marked), heavy)
    residual = (mean - truth)[heavy]
    text = page.inner_text('[data-part="score"]')
    sign = "−" if residual.mean() < 0 else "+"
    assert text.startswith(f"Marked: network: {len(heavy)} clusters, bias {sign}")
    assert f"{abs(residual.mean()):.3f} ± " in text and f"scatter {residual.std():.3f}" in text
    page.click('[data-part="clear"]')
    assert f"network: {N} clusters" in page.inner_text('[data-part="score"]')
    page.select_option('[data-part="filter"]', "redshift")
    page.fill('[data-part="from"]', "0.2")
    page.press('[data-part="from"]', "Tab")
    high = int((contents.parts[0].survey["redshift"].values >= 0.2).sum())
    assert f"network: {high} clusters" in page.inner_text('[data-part="score"]')


def test_estimators_and_axes_can_be_chosen(show, file, contents) -> None:
    opened = show(file)
    page = opened.page
    page.select_option('[data-part="first"]', label="count")
    assert f"count: {N} clusters" in page.inner_text('[data-part="score"]')
    page.select_option('[data-part="second"]', label="network")
    score = page.inner_text('[data-part="score"]')
    assert "count: " in score and "; network: " in score
    curves = page.locator("#explorer .posterior path.curve.second")
    curves.nth(1).wait_for(state="attached")  # drawn a moment after the choice
    assert curves.count() == 2
    page.select_option('[data-part="x"]', "L_X")
    label = page.locator('[data-part="right"] text.label').first.text_content()
    assert label == "L_X  [10⁴⁴ erg/s]"
    for plot in ("left", "right"):
        for text in page.locator(f'[data-part="{plot}"] text.label').all_text_contents():
            assert "[" in text or text == "redshift"
    assert opened.said == []


def test_the_keyboard_goes_from_cluster_to_cluster(show, file, contents) -> None:
    page = show(file).page
    order = list(np.argsort(contents.ln_m_true, kind="stable"))
    page.focus('[data-part="left"] svg')
    page.keyboard.press("Home")
    wait_for(page, int(order[0]))
    page.keyboard.press("ArrowRight")
    wait_for(page, int(order[1]))
    assert f"cluster {order[1]}" in page.inner_text('[data-part="live"]')
    page.keyboard.press("End")
    wait_for(page, int(order[-1]))
    page.fill('[data-part="cluster"]', "3")
    page.keyboard.press("Enter")
    wait_for(page, 3)
    assert EVIL in page.inner_text("#explorer .flags")
    assert page.locator("#explorer .flags img").count() == 0


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (390, True)])
def test_axe_finds_nothing_serious(show, file, width, dark) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-core")
    page = show(file, width=width, dark=dark, bypass_csp=True).page  # axe is a script of its own
    found = axe.Axe().run(page).response["violations"]
    told = [(each["id"], each["nodes"][0]["target"]) for each in found]
    bad = [each for each in found if each["impact"] in ("serious", "critical")]
    assert not bad, told


def test_a_narrow_screen_shows_all_without_scrolling_sideways(show, file, contents) -> None:
    opened = show(file, width=390, has_touch=True, is_mobile=True)
    page = opened.page
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    heaviest = int(np.argmax(contents.ln_m_true))
    page.touchscreen.tap(*point(page, "left", heaviest))
    wait_for(page, heaviest)
    for part in page.locator("#explorer .plot, #explorer .map, #explorer .posterior svg").all():
        box = part.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 391 and box["width"] > 150
    assert opened.said == []


def test_real_clusters_of_two_surveys(show, toy_survey, tmp_path: Path) -> None:
    """No true mass: no residual; an upper limit is told as one; surveys can be told apart."""
    real = toy_survey.drop_vars(["m500c", "r500c"]).assign_attrs(observed="{}")
    parts = [Part("one", real, np.arange(4)), Part("two", real, np.arange(10, 16))]
    found = Prediction(np.log(np.linspace(1e14, 4e14, 10)), np.full(10, 0.2))
    limits = np.arange(10) == 9
    estimates = [Estimates("model", np.arange(10), found, limits)]
    reasons = [["photons too few"] if limit else [] for limit in limits]
    contents = Contents(parts, survey_properties(parts), estimates, reasons, (), "model")
    opened = show(write_page(contents, tmp_path / "real.html"))
    page = opened.page
    assert page.inner_text('[data-part="left-title"]') == "Predicted mass against redshift"
    axes = page.locator('[data-part="y"] option').all_text_contents()
    assert "predicted M500c" in axes and "residual" not in axes
    page.fill('[data-part="cluster"]', "cluster 15 of two")
    page.keyboard.press("Enter")
    wait_for(page, 9)
    limit = np.exp(found.quantile(0.975)[9]) / 1e14
    assert f"< {limit:.2f}" in page.inner_text("#explorer .masses")
    text = page.inner_text("#explorer .panel")
    assert "photons too few" in text and "Dashed: R500c of the predicted mass." in text
    assert "East left" in page.locator("#explorer .map svg").first.text_content()
    total = int(counts(toy_survey, np.array([15]))[0, 0].sum())
    assert f"0.5-1.2 keV: {total:,} photons" in text
    page.select_option('[data-part="part"]', label="two")
    assert page.inner_text('[data-part="score"]') == "model: 6 clusters."
    assert opened.said == []


def test_print_leaves_controls_out(show, file) -> None:
    page = show(file, dark=True).page
    page.emulate_media(media="print")
    assert not page.is_visible('[data-part="first"]') and page.is_visible("#explorer .map >> nth=0")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_a_browser_that_cannot_is_told(browser, file) -> None:
    context = browser.new_context()
    context.add_init_script("delete window.DecompressionStream")
    page = context.new_page()
    page.goto(file.as_uri())
    page.wait_for_selector("#explorer-problem:not([hidden])")
    assert "too old" in page.inner_text("#explorer-problem")
    context.close()


def test_three_thousand_clusters_are_quick_and_small(show, tmp_path: Path) -> None:
    """The reference's 3,285 clusters: at most 25 MB, and a second to a click."""
    few = beta_model_survey(n=60, n_pixels=64)
    survey = few.isel(cluster=np.arange(LARGE) % 60)
    file = write_page(made_up(survey), tmp_path / "large.html")
    assert file.stat().st_size < 25e6
    page = show(file).page
    taken = []
    for cluster in (100, 1717, 3000):
        page.mouse.move(5, 5)
        at = point(page, "right", cluster)
        before = shown(page)
        begin = time.perf_counter()
        page.mouse.click(*at)
        page.wait_for_function("b => document.querySelector('.panel').dataset.cluster !== b",
                               arg=str(before))  # fmt: skip
        taken.append(time.perf_counter() - begin)
    assert min(taken) < 1, taken
