"""A survey of zeros in memory, to be filled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from icmass.survey.catalog import COMPONENTS, FORMAT, variable_of


def blank_survey(
    names: list[str],
    *,
    n_clusters: int,
    n_pixels: int,
    half_width: float,
    bands: list[tuple[float, float]],
    attrs: dict[str, Any],
    components: Sequence[str] = COMPONENTS,
) -> xr.Dataset:
    """Return a survey of zeros in memory with the named variables.

    Parameters
    ----------
    names : list of str
        Variables to hold, of `VARIABLES` or ``latent_*``; none that is ragged.
    n_clusters, n_pixels : int
        Number of clusters and of pixels along a side of a map.
    half_width : float
        Half the side of a map [comoving Mpc/h].
    bands : list of (float, float)
        Observed-frame PI energy bands [keV].
    attrs : dict
        Provenance; must hold ``preset``, ``cosmology`` (a JSON text), ``seed`` and ``version``.
    components : sequence of str
        Components that the counts are separated into; of real data, ``observed`` alone.
    """
    pixel = 2 * half_width / n_pixels
    centre = (np.arange(n_pixels) + 0.5) * pixel - half_width
    length = {
        "units": "Mpc/h comoving",
        "long_name": "projected offset from the cluster",
    }
    labels = [f"{lo:g}-{hi:g}" for lo, hi in bands]
    coords = {
        "component": ("component", np.array(components, dtype=object)),
        "band": ("band", np.array(labels, dtype=object), {"units": "keV"}),
        "y": ("y", centre, length),
        "x": ("x", centre, length),
        "axis": ("axis", np.array(["x", "y", "z"], dtype=object)),
    }
    sizes = {
        "cluster": n_clusters,
        "component": len(components),
        "band": len(bands),
        "y": n_pixels,
        "x": n_pixels,
        "axis": 3,
    }
    data = {}
    for name in names:
        var = variable_of(name)
        values = np.zeros([sizes[d] for d in var.dims], var.dtype)
        data[name] = (var.dims, values, {"units": var.units, "long_name": var.long_name})
    used = {d for name in names for d in variable_of(name).dims}
    used_coords = {k: v for k, v in coords.items() if k in used}
    return xr.Dataset(data, used_coords, {"format": FORMAT, **attrs})
