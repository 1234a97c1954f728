"""What is in a survey, in numbers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr

from icmass.survey.catalog import half_width_mpc_h

_RANGES = ("m500c", "redshift", "r500c", "exposure", "nh", "T", "L_X", "M_gas", "n_phot")


def summarize(survey: xr.Dataset) -> dict[str, Any]:
    """Return the size, provenance and the range of each quantity of a survey.

    Returns
    -------
    dict
        ``n_clusters``, ``preset``, ``seed``, ``version``, ``bands``, ``components``, ``n_pixels``,
        ``half_width_mpc_h``, ``cosmology``, ``variables``, and ``ranges``: of each quantity its
        ``min``, ``median``, ``max`` and ``units``. With a prior of the physics also ``universes``:
        their ``number``, ``clusters`` (fewest and most in one), and ``parameters``: of each its
        ``min``, ``median``, ``max`` and ``units`` over the universes.
    """
    maps = survey["maps"]
    ranges = {}
    for name in _RANGES:
        if name in survey:
            values = survey[name].values
            ranges[name] = {
                "min": float(values.min()),
                "median": float(np.median(values)),
                "max": float(values.max()),
                "units": survey[name].attrs.get("units", ""),
            }
    universes = {"universes": _universes(survey)} if "physics" in survey else {}
    return {
        "n_clusters": survey.sizes["cluster"],
        "preset": survey.attrs.get("preset"),
        "seed": survey.attrs.get("seed"),
        "version": survey.attrs.get("version"),
        "bands": [str(label) for label in survey["band"].values],
        "components": [str(label) for label in survey["component"].values],
        "n_pixels": maps.sizes["x"],
        "half_width_mpc_h": half_width_mpc_h(survey),
        "cosmology": json.loads(survey.attrs.get("cosmology", "{}")),
        "variables": sorted(map(str, survey.data_vars)),
        "ranges": ranges,
        **universes,
    }


def _universes(survey: xr.Dataset) -> dict[str, Any]:
    table = survey["physics"].transpose("universes", "parameter").values
    n_clusters = np.bincount(survey["universe"].values, minlength=len(table))
    names, units = survey["parameter"].values, survey["parameter_unit"].values
    return {
        "number": len(table),
        "clusters": [int(n_clusters.min()), int(n_clusters.max())],
        "parameters": {
            str(name): {
                "min": float(column.min()),
                "median": float(np.median(column)),
                "max": float(column.max()),
                "units": str(unit),
            }
            for name, unit, column in zip(names, units, table.T, strict=True)
        },
    }
