"""Every parameter of a survey is explained, and what is printed is read back."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from astropy import units as u
from pydantic import BaseModel, ConfigDict, ValidationError

from icmass.errors import InputError
from icmass.parameter import describe, parameter
from icmass.survey.config import SurveyConfig
from icmass.survey.parameters import Parameter, as_yaml, parameters
from icmass.survey.physics_prior import PARAMETERS, PhysicsPrior
from icmass.survey.presets import PRESETS, resolve_config
from icmass.universe.gas_config import GasConfig

#: Units of the field that `astropy.units` does not read, or reads as another (h is its hour).
OWN_UNITS = {
    "comoving Mpc/h",
    "comoving (Mpc/h)^-3",
    "deg^-2 per 1e-14 erg/s/cm^2",
    "ln",
    "ln/dex",
    "log10(erg/s)",
    "log10(Msun/h)",
    "logit",
    "logit/dex",
    "R500c",
    "solar",
}

#: What the end of a name says of the unit.
SUFFIXES = {
    "_kev": "keV",
    "_s": "s",
    "_mpc_h": "comoving Mpc/h",
    "_kpc": "kpc",
    "_deg": "deg",
    "_arcsec": "arcsec",
    "_days": "d",
    "_gyr": "Gyr",
    "_1e20": "1e20 cm^-2",
    "_counts": "count",
    "_dex": "dex",
    "_r500": "R500c",
    "_deg2": "deg^-2 per 1e-14 erg/s/cm^2",
}


def every_parameter(config: BaseModel) -> list[Parameter]:
    """Return the parameters of a configuration and of all sections that it may hold."""
    listed = parameters(config)
    return listed + [
        inner for p in listed if p.section is not None for inner in every_parameter(p.section())
    ]


def holds_numbers(value: object) -> bool:
    if isinstance(value, list):
        return any(map(holds_numbers, value))
    if isinstance(value, dict):
        return any(map(holds_numbers, value.values()))
    return isinstance(value, int | float) and not isinstance(value, bool)


ALL = every_parameter(SurveyConfig())


def test_every_section_is_looked_at():
    sections = {"physics", "twins", "detection", "observe.sky", "observe.coverage"}
    assert {p.key for p in ALL if p.section is not None} == sections
    assert len(ALL) > 200


def test_every_parameter_has_a_description_of_its_own():
    assert [p.key for p in ALL if len(p.description) < 12 or p.description[-1] != "."] == []
    texts = [p.description for p in ALL]
    assert [text for text in texts if texts.count(text) > 1] == []


def test_every_number_has_a_unit():
    numbers = [p for p in ALL if holds_numbers(p.value)] + [
        p for p in ALL if p.key in ("halos.redshift_range", "observe.nh_range_1e20")
    ]
    assert [p.key for p in numbers if not p.unit] == []
    assert [p.key for p in ALL if p.unit and p not in numbers] == []
    for p in numbers:
        if p.unit not in OWN_UNITS:
            u.Unit(p.unit, parse_strict="raise")


def test_units_are_those_that_the_names_say():
    for p in ALL:
        for suffix, unit in SUFFIXES.items():
            if p.key.endswith(suffix) and not p.key.endswith("axis_s"):
                assert p.unit == unit, p.key
        name = p.key.rpartition(".")[2]
        if name.startswith("log_"):
            assert p.unit in ("log10(Msun/h)", "log10(erg/s)"), p.key
        if "slope" in name and "scatter" not in name and "width" not in name:
            assert p.unit in ("1", "ln"), p.key


def test_a_prior_draws_in_the_units_of_its_ranges():
    ranges = PhysicsPrior.model_fields
    for drawn in PARAMETERS:
        unit = describe(ranges[drawn.field]).unit
        assert drawn.unit == ("1" if unit in ("ln", "logit") else unit), drawn.name


def test_sources_are_references():
    for key in ("gas.f_gas", "agn.gamma1", "cosmology.h", "galaxies.alpha1", "extent_likelihood"):
        source = {p.key: p.source for p in ALL}[key]
        assert "et al. 20" in source, key


@pytest.mark.parametrize("preset", ["erosita", "efeds", "erass1"])
def test_a_preset_has_every_parameter(preset: str):
    listed = parameters(resolve_config(preset))
    assert len(listed) > 120 and all(p.description for p in listed)


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


def test_a_prior_that_is_printed_is_read_back(tmp_path: Path):
    config = resolve_config("erosita", physics="prior", universes=7)
    file = tmp_path / "survey.yaml"
    file.write_text(as_yaml(config))
    assert resolve_config("erosita", file) == config


def test_comments_say_unit_and_source():
    text = as_yaml(resolve_config("erosita"))
    flat = " ".join(text.replace("#", " ").split())
    assert "Mass-weighted T500 at the pivot mass and redshift 0. [keV] (3,292 clusters" in flat
    assert "# Hubble constant in units of 100 km/s/Mpc. (WMAP7," in text  # no "[1]"
    assert "\n# How the sky is observed.\nobserve:\n" in text


def test_the_source_is_that_of_the_default():
    changed = as_yaml(resolve_config("erosita", None, ("gas.t_kev=4.5", "gas.cusp_radius=0.05")))
    flat = " ".join(changed.replace("#", " ").split())
    assert "redshift 0. [keV] (default 3.34: 3,292 clusters" in flat
    assert "median over halos. [R500c] (default 0.04) cusp_radius: 0.05" in flat
    assert "(default" not in as_yaml(resolve_config("erosita"))


def test_absent_sections_are_shown_commented_out():
    text = as_yaml(resolve_config("erosita"))
    assert "\n  sky: null\n" in text and "#   n_surveys: 1\n" in text
    assert yaml.safe_load(text)["observe"]["sky"] is None


def test_a_parameter_is_a_field_with_default_bounds_and_description():
    class Config(BaseModel):
        model_config = ConfigDict(extra="forbid", frozen=True)
        radius: float = parameter(0.5, "A radius.", unit="R500c", source="nobody", gt=0, le=1)

    assert Config().radius == 0.5 and Config().model_dump_json() == '{"radius":0.5}'
    for wrong in (0.0, 1.5):
        with pytest.raises(ValidationError):
            Config(radius=wrong)
    assert str(describe(Config.model_fields["radius"])) == "A radius. [R500c] (nobody)"
    schema = Config.model_json_schema()["properties"]["radius"]
    assert schema["exclusiveMinimum"] == 0 and schema["maximum"] == 1
    assert schema["description"] == "A radius." and schema["unit"] == "R500c"


def test_the_schema_of_the_gas_has_units_and_bounds():
    schema = GasConfig.model_json_schema()["properties"]["t_kev"]
    assert schema["default"] == 3.34 and schema["unit"] == "keV"
    assert (schema["exclusiveMinimum"], schema["exclusiveMaximum"]) == (0.2, 20)


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
