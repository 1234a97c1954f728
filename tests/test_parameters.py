"""Every parameter of a survey is explained, and what is printed is read back."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from icmass.errors import InputError
from icmass.survey.config import SurveyConfig
from icmass.survey.parameters import as_yaml, parameters
from icmass.survey.presets import PRESETS, resolve_config


@pytest.mark.parametrize("preset", ["erosita", "efeds", "erass1"])
def test_every_parameter_has_a_meaning(preset: str):
    found = parameters(resolve_config(preset))
    assert len(found) > 120
    assert [p.key for p in found if len(p.meaning) < 10] == []
    for parameter in found:
        if parameter.part is not None:
            assert all(inner.meaning for inner in parameters(parameter.part()))  # type: ignore[arg-type]


def test_keys_are_those_of_set():
    keys = {p.key: p.value for p in parameters(SurveyConfig())}
    changed = resolve_config("erosita", None, ("gas.f_gas=0.11", "agn.satellites=3"))
    assert keys["gas.f_gas"] == SurveyConfig().gas.f_gas != 0.11 and changed.gas.f_gas == 0.11
    assert {p.key: p.value for p in parameters(changed)} == {
        **keys, "gas.f_gas": 0.11, "agn.satellites": 3.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("observe.exposure=20000", "observe.exposure_s"),
        ("observe.sky.n_survey=2", "observe.sky.n_surveys"),
        ("nonsense=1", None),
    ],
)
def test_an_unknown_key_is_refused_with_what_it_may_stand_for(text: str, meant: str | None):
    with pytest.raises(InputError) as caught:
        resolve_config("erass1", None, (text,))
    assert caught.value.field == text.split("=")[0]
    assert caught.value.hint == (meant and f"is it {meant}?")


@pytest.mark.parametrize("preset", PRESETS)
def test_what_is_printed_is_read_back(preset: str, tmp_path: Path):
    config = resolve_config(preset, None, ("gas.t_kev=4.5",), ("tng", "more-agn"))
    file = tmp_path / "survey.yaml"
    file.write_text(as_yaml(config))
    assert resolve_config("erosita", file) == config


def test_absent_parts_are_shown_commented_out():
    text = as_yaml(resolve_config("erosita"))
    assert "\n  sky: null\n" in text and "#   n_surveys: 1\n" in text
    assert yaml.safe_load(text)["observe"]["sky"] is None


def test_variants_come_after_the_preset_and_before_the_file(tmp_path: Path):
    file = tmp_path / "mine.yaml"
    file.write_text("variants: [strong-feedback]\ngas:\n  t_kev: 5.0\n")
    config = resolve_config("efeds", file, (), ("hotter",))
    assert config.variants == ("strong-feedback", "hotter")
    assert config.gas.f_gas == 0.068  # the variant, not the preset's 0.087
    assert config.gas.t_kev == 5.0  # the file, not the variant's 4.21
    file.write_text("variants: 3\n")
    with pytest.raises(InputError, match="list of names"):
        resolve_config("efeds", file)


def test_detection_needs_a_light_cone():
    with pytest.raises(InputError, match="light-cone"):
        resolve_config("erosita", None, ("detection={}",))
