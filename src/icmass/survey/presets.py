"""Presets of a survey, and how a configuration is put together."""

from __future__ import annotations

from copy import deepcopy
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from icmass.errors import InputError
from icmass.survey.config import EFEDS_GAS, SurveyConfig
from icmass.survey.universes import PRIOR_KEYS
from icmass.survey.variants import apply_variants

_ALL_SKY = {
    "halos": {
        "redshift_range": [0.05, 0.8],
        "redshift_law": "volume",
        "selection": "mass_function",
    },
    "gas": EFEDS_GAS,
    "detection": {},
}

#: What each preset changes, and in a word what it is for.
PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    "erosita": ("2 ks with PSF, energy resolution, sky and particle background", {}),
    "phox": (
        "ideal photons of a cluster's gas and AGN in 2 ks on axis, none of the field's",
        {
            "agn": {"field_norm_deg2": 0.0},
            "observe": {
                "vignetting": "onaxis",
                "psf": False,
                "redistribution": False,
                "background": False,
            },
        },
    ),
    "demo": ("erosita in 64 pixels: small and quick", {"observe": {"n_pixels": 64}}),
    "efeds": (
        "the eFEDS field: bands of its images, its exposures, masked sources and field edges; gas "
        "with the luminosities and temperatures of the clusters observed there",
        {
            "halos": {"redshift_range": [0.05, 0.6]},
            "gas": EFEDS_GAS,
            "observe": {
                "bands": [[0.6, 1.1], [1.1, 2.2], [2.2, 7.0]],
                "exposure_s": [1200.0, 3000.0],
                "nh_1e20": 3.5,
                "coverage": {},
            },
        },
    ),
    **{
        f"erass{n}": (
            f"clusters that eRASS:{n} detects: exposure and absorption as they vary over the sky; "
            "gas as in eFEDS",
            {**_ALL_SKY, "observe": {"sky": {"n_surveys": n}}},
        )
        for n in range(1, 9)
    },
}


def resolve_config(
    preset: str = "erosita",
    file: Path | None = None,
    assignments: tuple[str, ...] = (),
    variants: tuple[str, ...] = (),
    *,
    physics: str | None = None,
    universes: int | None = None,
    twins: bool = False,
) -> SurveyConfig:
    """Build a configuration: a preset, physics variants, a YAML file, then ``key=value`` texts.

    Parameters
    ----------
    preset : str
    file : path, optional
        YAML; it may name its own ``variants``.
    assignments, variants : tuple of str
        They come after those of the file.
    physics : {"prior"}, optional
        Universes with physics drawn from a prior, see `icmass.survey.physics_prior`.
    universes : int, optional
        How many; needs the prior.
    twins : bool
        The halos are those of a table: all are made, whether or not the preset would detect them.

    Raises
    ------
    InputError
        For an unknown preset, variant or key, a value of the wrong kind, an unreadable file; for a
        text that sets what the prior draws.
    """
    if preset not in PRESETS:
        known = ", ".join(PRESETS)
        raise InputError(f"unknown preset {preset!r}", field="--preset", hint=f"choose of {known}")
    from_file = _read_yaml(file) if file is not None else {}
    named = [*_listed(from_file.get("variants"), file), *variants]
    tree: dict[str, Any] = {"preset": preset}
    _merge(tree, PRESETS[preset][1])
    tree = apply_variants(tree, named)
    if physics is not None:
        if physics != "prior":
            raise InputError(f"unknown physics {physics!r}", field="--physics", hint="use prior")
        tree["physics"] = {}
    if twins:
        tree |= {"twins": {}, "detection": None}
    _merge(tree, {**from_file, "variants": named})
    keys = []
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise InputError(f"{text!r} is not key=value", field="--set")
        branch: dict[str, Any] = {}
        leaf = branch
        *parents, last = key.split(".")
        for parent in parents:
            leaf = leaf.setdefault(parent, {})
        leaf[last] = _parse(value)
        keys += _leaves(branch)
        _merge(tree, branch)
    if universes is not None:
        _set_universes(tree, universes)
    if tree.get("physics") is not None and (fixed := sorted(PRIOR_KEYS.intersection(keys))):
        raise InputError(
            "is drawn by the prior of the physics",
            field=fixed[0],
            hint="narrow its range, --set physics.NAME=[LOW,HIGH], see `icmass config`",
        )
    try:
        return SurveyConfig.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "configuration"
        given = f" (given {first['input']!r})" if not isinstance(first["input"], dict) else ""
        hint = _similar(first["loc"]) if first["type"] == "extra_forbidden" else None
        raise InputError(first["msg"] + given, file=file, field=field, hint=hint) from None


def _similar(path: tuple[int | str, ...]) -> str | None:
    """Return a hint at the parameter that an unknown one may stand for."""
    model: type[BaseModel] = SurveyConfig
    for part in path[:-1]:
        annotation = model.model_fields[str(part)].annotation
        kinds = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
        model = next(kind for kind in kinds if issubclass(kind, BaseModel))
    found = get_close_matches(str(path[-1]), model.model_fields, n=1)
    return f"is it {'.'.join(map(str, (*path[:-1], *found)))}?" if found else None


def _set_universes(tree: dict[str, Any], universes: int) -> None:
    if not isinstance(tree.get("physics"), dict):
        raise InputError("needs a prior", field="--universes", hint="give --physics prior too")
    if universes < 1:
        raise InputError(f"is {universes}", field="--universes", hint="give at least 1")
    tree["physics"]["universes"] = universes


def _leaves(branch: dict[str, Any], above: str = "") -> list[str]:
    """Return the keys of a nested mapping's values, joined by points."""
    found = []
    for key, value in branch.items():
        inner = isinstance(value, dict)
        found += _leaves(value, f"{above}{key}.") if inner else [f"{above}{key}"]
    return found


def _listed(value: Any, file: Path | None) -> list[str]:
    if value is None:
        return []
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return value
    raise InputError("is not a list of names", file=file, field="variants")


def _parse(text: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise InputError(f"{text!r} is not a YAML value", field="--set") from None
    if isinstance(value, str):  # YAML 1.1 takes 1e-14 for text
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        line = str(error).splitlines()[0]
        raise InputError(f"not a readable YAML file: {line}", file=file) from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise InputError("holds no mapping of keys", file=file, hint="write key: value lines")
    return tree


def _merge(tree: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            _merge(tree[key], value)
        else:
            tree[key] = deepcopy(value)
