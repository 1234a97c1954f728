"""Named alternatives of the physics, to be put on top of a preset one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from icmass.errors import InputError
from icmass.plugins import VARIANTS as PLUGINS
from icmass.plugins import load_plugin, plugin_failed, plugin_names
from icmass.survey.config import EFEDS_GAS
from icmass.universe.gas_config import GasConfig


@dataclass(frozen=True)
class Variant:
    """One alternative of the physics.

    Attributes
    ----------
    name : str
        As `icmass simulate --variant` takes it.
    description : str
        What differs, in a line.
    source : str
        Where the numbers come from; docs/variants.md has the arithmetic.
    changes : mapping
        Nested like the configuration: ``{"gas": {"f_gas": 0.12}}``.
    """

    name: str
    description: str
    source: str
    changes: Mapping[str, Mapping[str, Any]]


#: Fields of `GasConfig` that together make a model of the gas, with its luminosities.
MODEL_FIELDS = (
    "f_gas",
    "f_gas_slope",
    "f_gas_evolution",
    "f_gas_scatter",
    "f_gas_scatter_slope",
    "hot_fraction",
    "t_kev",
    "t_slope",
    "t_evolution",
    "t_scatter",
    "clumping",
    "clumping_slope",
    "clumping_evolution",
)


def _model(**changes: float) -> dict[str, dict[str, float]]:
    """A whole model: fields not given are Magneticum's, so that the last model named stands."""
    magneticum = GasConfig()
    return {"gas": {name: getattr(magneticum, name) for name in MODEL_FIELDS} | changes}


#: No evolution at fixed mass beyond that of the critical density.
_SELF_SIMILAR = {"f_gas_evolution": 0.0, "t_evolution": 0.667}

_ALJAMAL = "Aljamal et al. 2025, MNRAS 544, 67: public tables of its relations at redshift 0"
_ECKERT = "Eckert et al. 2016, A&A 592, A12 (XXL, weak-lensing masses)"
_XSPEC = "XSPEC's table"

_MODELS = (
    Variant(
        "magneticum",
        "relations of Magneticum, the default: takes back those of a preset or of a model before",
        "Magneticum Box2/hr, measured on 198 clusters",
        _model(),
    ),
    Variant(
        "tng",
        "gas mass, temperature, luminosity of IllustrisTNG300 and TNG-Cluster: gas-rich, luminous",
        _ALJAMAL,
        _model(
            f_gas=0.138,
            f_gas_slope=0.154,
            f_gas_scatter=0.090,
            f_gas_scatter_slope=0.0,
            hot_fraction=1.0,
            t_kev=2.93,
            t_slope=0.563,
            t_scatter=0.056,
            clumping=0.341,
            clumping_slope=0.638,
            **_SELF_SIMILAR,
        ),
    ),
    Variant(
        "flamingo",
        "gas mass, temperature, luminosity of FLAMINGO L1_m8: groups hold less gas",
        _ALJAMAL,
        _model(
            f_gas=0.1085,
            f_gas_slope=0.256,
            f_gas_scatter=0.112,
            f_gas_scatter_slope=0.0,
            hot_fraction=0.965,
            t_kev=3.36,
            t_slope=0.539,
            t_scatter=0.063,
            clumping=-0.021,
            clumping_slope=0.130,
            **_SELF_SIMILAR,
        ),
    ),
    Variant(
        "efeds",
        "luminosities and temperatures of the clusters in the eFEDS field",
        "Liu et al. 2022, A&A 661, A2; Bahar et al. 2022, A&A 661, A7; masses of Chiu et al. 2023",
        _model(**EFEDS_GAS),
    ),
    Variant(
        "spt-xmm",
        "gas mass, temperature, luminosity of SPT clusters seen by XMM-Newton; slopes Magneticum's",
        "Bulbul et al. 2019, ApJ 871, 50",
        _model(f_gas=0.115, hot_fraction=0.757, clumping=-0.008, t_kev=3.1, **_SELF_SIMILAR),
    ),
    Variant(
        "xxl",
        "gas fraction and temperature of XXL clusters at weak-lensing masses: faint, gas-poor",
        f"{_ECKERT}; Lieu et al. 2016, A&A 592, A4",
        _model(f_gas=0.068, f_gas_slope=0.21, t_kev=3.39, t_slope=0.60, **_SELF_SIMILAR),
    ),
)

_TWISTS = (
    Variant(
        "weak-feedback",
        "gas stays in clusters: the gas fraction of IllustrisTNG",
        _ALJAMAL,
        {"gas": {"f_gas": 0.138, "f_gas_slope": 0.154, "f_gas_evolution": 0.0}},
    ),
    Variant(
        "strong-feedback",
        "gas is driven out of all: the gas fraction of XXL at weak-lensing masses",
        _ECKERT,
        {"gas": {"f_gas": 0.068, "f_gas_slope": 0.21, "f_gas_evolution": 0.0}},
    ),
    Variant(
        "empty-groups",
        "gas is driven out of groups: the gas fraction of groups and clusters stacked in eFEDS",
        "Popesso et al. 2024, arXiv:2411.16555",
        {"gas": {"f_gas": 0.0926, "f_gas_slope": 0.39, "f_gas_evolution": 0.0}},
    ),
    Variant(
        "steep-gas",
        "gas mass rises faster with mass, at a usual gas fraction",
        "Akino et al. 2022, arXiv:2111.10080 (HSC-XXL)",
        {"gas": {"f_gas": 0.100, "f_gas_slope": 0.28, "f_gas_evolution": 0.0}},
    ),
    Variant(
        "hotter",
        "temperatures of nearby relaxed clusters at hydrostatic masses",
        "Arnaud et al. 2005, A&A 441, 893",
        {"gas": {"t_kev": 4.21, "t_slope": 0.585, "t_evolution": 0.667}},
    ),
    Variant(
        "cooler",
        "temperatures as eROSITA measures them in the eFEDS field",
        "Bahar et al. 2022, A&A 661, A7",
        {"gas": {"t_kev": 2.7, "t_slope": 0.60, "t_evolution": 0.667}},
    ),
    Variant(
        "cool-cores",
        "64 per cent of halos have a cool core, as in a flux-limited X-ray sample (by cuspiness)",
        "Andrade-Santos et al. 2017, arXiv:1703.08690",
        {"gas": {"core_share": -0.41}},
    ),
    Variant(
        "few-cool-cores",
        "28 per cent of halos have a cool core, as in a Planck sample (by concentration)",
        "Andrade-Santos et al. 2017, arXiv:1703.08690; Rossetti et al. 2017, arXiv:1702.06961",
        {"gas": {"core_share": -0.90}},
    ),
    Variant(
        "clumpy",
        "clumping changes the emission at fixed gas mass as much as observations allow within R500",
        "Eckert et al. 2015, arXiv:1310.8389",
        {"gas": {"clumping_scatter": 0.19}},
    ),
    Variant(
        "more-agn",
        "7.5 times the active galaxies in clusters, as at redshift 0.7",
        "Martini, Sivakoff & Mulchaey 2009, arXiv:0906.1843",
        {"agn": {"satellites": 10.1}},
    ),
    Variant(
        "lodders",
        "solar abundances of Lodders: a third less iron at the same metal abundance",
        f"Lodders 2003, ApJ 591, 1220, {_XSPEC} lodd",
        {"gas": {"abundance_table": "lodd"}},
    ),
    Variant(
        "asplund",
        "solar abundances of Asplund et al.: a third less iron at the same metal abundance",
        f"Asplund et al. 2009, ARA&A 47, 481, {_XSPEC} aspl",
        {"gas": {"abundance_table": "aspl"}},
    ),
)

#: Every variant by its name: whole models of the gas first, then changes of one thing.
VARIANTS: dict[str, Variant] = {variant.name: variant for variant in (*_MODELS, *_TWISTS)}


def apply_variants(tree: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return a configuration tree with variants merged into it; the last one named wins.

    Parameters
    ----------
    tree : mapping
        Nested like the configuration; left as it is.
    names : iterable of str
        Keys of `VARIANTS`, or variants that plugins add.

    Raises
    ------
    InputError
        For an unknown name.
    """
    merged: dict[str, Any] = deepcopy(dict(tree))
    for name in names:
        for section, fields in _named(name).changes.items():
            merged[section] = {**(merged.get(section) or {}), **fields}
    return merged


def _named(name: str) -> Variant:
    """Return a variant of `VARIANTS`, or that another package adds."""
    found = VARIANTS.get(name) or load_plugin(PLUGINS, name)
    if isinstance(found, Variant):
        return found
    if found is not None:
        plugin_failed(PLUGINS, name, f"{found!r} is no Variant")
    known = ", ".join([*VARIANTS, *plugin_names(PLUGINS)])
    raise InputError(f"unknown variant {name!r}", field="--variant", hint=f"use {known}")


def list_variants() -> str:
    """Return all variants, a line each, for a help text."""
    added = [load_plugin(PLUGINS, name) for name in plugin_names(PLUGINS) if name not in VARIANTS]
    held = [*VARIANTS.values(), *(v for v in added if isinstance(v, Variant))]
    width = max(len(v.name) for v in held)
    return "\n".join(f"{v.name:{width}}  {v.description} ({v.source})" for v in held)
