"""Cards of saved models: metadata in the form of the Hub, which agree with what lies beside."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import yaml

import icmass
from icmass.errors import InputError
from icmass.estimators.card import (
    add_scores,
    card_body,
    card_metadata,
    describe_model,
    read_metadata,
    with_metadata,
)
from icmass.estimators.registry import make_estimator
from icmass.inference.bundled import bundled_models

BUNDLED = sorted(bundled_models())
SCORES = {
    "name": "x",
    "n": 7,
    "sigma_lnm": 0.25,
    "bias_lnm": -0.01,
    "coverage68": 0.7,
    "crps": None,
}


def check_hub_form(metadata: dict[str, Any]) -> None:
    """The form that the Hub documents: kinds of values, and a result's task, data set, metrics."""
    for key in ("license", "library_name"):
        assert isinstance(metadata[key], str), key
    for key in ("tags", "datasets", "metrics"):
        assert metadata[key] and all(isinstance(word, str) for word in metadata[key]), key
    for model in metadata.get("model-index", []):
        assert isinstance(model["name"], str)
        for result in model["results"]:
            assert result["task"]["type"] and result["dataset"]["type"] in metadata["datasets"]
            assert result["dataset"]["name"]
            for metric in result["metrics"]:
                assert metric["type"] in metadata["metrics"] and np.isfinite(metric["value"])


def card(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_cards_say_what_lies_beside_them(name):
    """`python tools/model_cards.py` writes them."""
    folder = bundled_models()[name]
    metadata = read_metadata(card(folder))
    check_hub_form(metadata)
    assert metadata["license"] == "bsd-3-clause"
    scored = json.loads((folder / "results.json").read_text(encoding="utf-8"))["estimators"][0]
    [model] = metadata["model-index"]
    assert model["name"] == name
    said = {metric["type"]: metric["value"] for metric in model["results"][0]["metrics"]}
    assert {"sigma_lnm", "bias_lnm", "coverage68"} <= set(said)
    for key, value in said.items():
        assert value == pytest.approx(scored[key], abs=1e-5), key


@pytest.mark.parametrize("name", [name for name in BUNDLED if name.startswith("erass-v2")])
def test_cards_have_what_other_gas_physics_does_to_the_model(name):
    """Eight physics, of which the table repeats bias and rms in per cent."""
    folder = bundled_models()[name]
    rows = json.loads((folder / "transfer.json").read_text(encoding="utf-8"))["rows"]
    assert len(rows) == 8 and {row["model"] for row in rows} == {name}
    table = card(folder).split("<!-- table transfer -->")[1].split("<!-- end of table -->")[0]
    for row in rows:
        rms, bias = 100 * row["rms_lnm"], 100 * row["bias_lnm"]
        assert re.search(rf"\| {rms:.1f} ± [\d.]+ \| {re.escape(f'{bias:+.1f}')} ± ", table), row


@pytest.mark.parametrize("name", BUNDLED)
def test_the_hubs_own_reader_takes_bundled_cards(name):
    reason = "huggingface_hub with model cards is not installed"
    hub = pytest.importorskip("huggingface_hub", reason=reason)
    read = hub.ModelCard(card(bundled_models()[name]))
    results = read.data.eval_results
    assert read.data.library_name == "icmass" and read.data.model_name == name
    assert {result.metric_type for result in results} >= {"sigma_lnm", "bias_lnm"}
    assert read.text.lstrip().startswith(f"# {name}")


@pytest.mark.parametrize("model", ["L_X", "rings-gbm-1band"])
def test_saved_estimators_have_a_card_in_the_form_of_the_hub(toy_survey, tmp_path, model):
    fitted = make_estimator(model, seed=1)
    fitted.fit(toy_survey, np.arange(80))
    fitted.save(tmp_path)
    metadata = read_metadata(card(tmp_path))
    check_hub_form(metadata)
    assert metadata["license"] == "unknown" and metadata["datasets"] == ["icmass-test"]
    assert metadata["pipeline_tag"] == "tabular-regression" and "model-index" not in metadata
    assert card_body(card(tmp_path)).startswith(f"# {model}\n")


def test_a_trained_model_has_its_scores_on_its_card(toy_survey, tmp_path):
    store = tmp_path / "x.zarr"
    toy_survey.to_zarr(store, consolidated=False)
    trained = icmass.train(store, "L_X", out=tmp_path / "model", seed=1)
    metadata = read_metadata(card(tmp_path / "model"))
    check_hub_form(metadata)
    said = metadata["model-index"][0]["results"][0]["metrics"]
    [row] = trained.results["estimators"]
    assert {metric["type"] for metric in said} >= {"sigma_lnm", "coverage95"}
    for metric in said:
        assert metric["value"] == pytest.approx(row[metric["type"]], abs=1e-5)


def test_scores_that_are_not_known_are_left_out():
    config = {"estimator": "network", "name": "icm-3band", "survey": {"preset": "erosita (8 of)"}}
    metadata = card_metadata(config, scores=SCORES)
    check_hub_form(metadata)
    assert metadata["datasets"] == ["icmass-erosita"] and "pipeline_tag" not in metadata
    result = metadata["model-index"][0]["results"][0]
    assert [metric["type"] for metric in result["metrics"]] == [
        *("sigma_lnm", "bias_lnm", "coverage68")
    ]
    assert "7 mock clusters held out" in result["dataset"]["name"]


def test_metadata_are_replaced_and_the_text_stays():
    text = "# m\n\nWords.\n\n---\nA line of three dashes is no metadata.\n"
    once = with_metadata(text, {"license": "mit"})
    twice = with_metadata(once, {"license": "bsd-3-clause", "tags": ["a: b", "ä"]})
    assert card_body(once) == card_body(twice) == text
    assert read_metadata(text) == {} and read_metadata(once) == {"license": "mit"}
    assert read_metadata(twice) == {"license": "bsd-3-clause", "tags": ["a: b", "ä"]}
    assert yaml.safe_load(twice.split("---\n")[1]) == read_metadata(twice)


def test_describing_again_changes_nothing_and_keeps_the_licence(toy_survey: xr.Dataset, tmp_path):
    fitted = make_estimator("L_X", seed=1)
    fitted.fit(toy_survey, np.arange(80))
    fitted.save(tmp_path)
    describe_model(tmp_path, name="mine", license="mit")
    before = card(tmp_path)
    describe_model(tmp_path)
    assert card(tmp_path) == before and "license: mit" in before


def test_cards_of_another_form_stay(tmp_path):
    (tmp_path / "README.md").write_text("# of another package\n")
    add_scores(tmp_path)
    assert card(tmp_path) == "# of another package\n"
    with pytest.raises(InputError, match="has no model card"):
        describe_model(tmp_path)
