"""What a model's masses hang on: the bias on other gas physics, kept beside it and said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import icmass
from icmass.errors import InputError
from icmass.inference.bundled import model_folder
from icmass.inference.physics_bias import PhysicsBias
from icmass.run.layout import TRANSFER


def write(folder: Path, rows: list[dict[str, object]]) -> Path:
    (folder / TRANSFER).write_text(json.dumps({"rows": rows}))
    return folder


def test_the_extremes_are_those_of_the_rows(tmp_path: Path) -> None:
    rows = [
        {"test": "a", "bias_lnm": 0.1},
        {"test": "b", "bias_lnm": -0.31},
        {"test": "c", "bias_lnm": 0.2},
    ]
    bias = PhysicsBias.of_model(write(tmp_path, rows))
    assert bias == PhysicsBias(-0.31, 0.2, "b", "c", 3)
    assert "-0.31 (b) to +0.20 (c)" in bias.sentence()


def test_nobody_has_measured_it(tmp_path: Path) -> None:
    assert PhysicsBias.of_model(tmp_path) is None


@pytest.mark.parametrize("rows", [[], [{"test": "a"}], "nonsense"])
def test_a_damaged_file_is_named(tmp_path: Path, rows: list[dict[str, object]]) -> None:
    with pytest.raises(InputError, match=rf"{TRANSFER}: damaged"):
        PhysicsBias.of_model(write(tmp_path, rows))


@pytest.mark.parametrize("name", ["erosita-v1", "erass-v2-3band"])
def test_a_bundled_model_says_what_its_card_says(name: str, tmp_path: Path) -> None:
    folder = model_folder(name)
    bias = PhysicsBias.of_model(folder)
    assert bias is not None and bias.where_lowest == "strong-feedback"
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"{100 * bias.lowest:+.1f} ±" in card and f"{100 * bias.highest:+.1f} ±" in card
    survey = icmass.simulate("erosita", n=2, seed=3, out=tmp_path / "x.zarr")
    masses = icmass.predict(survey, model=name, index=np.arange(2))
    assert any("strong-feedback" in line for line in masses.assumptions)
