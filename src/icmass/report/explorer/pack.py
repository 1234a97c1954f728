"""From the contents of an explorer to the blocks of text that a page holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex

from icmass.estimators.posterior import LNM_GRID, Prediction
from icmass.report.explorer.contents import Contents, Estimates, Part
from icmass.report.explorer.encoding import Table, packed_json
from icmass.report.explorer.maps import (
    ATTRIBUTION_BUDGET,
    MAPS_BUDGET,
    PackedMaps,
    pack_attributions,
    pack_maps,
)
from icmass.report.style import symbol_html
from icmass.survey.catalog import half_width_mpc_h, survey_cosmology

NODES = 64
"""Nodes at which a page holds a tabulated posterior, even in ln M over what is not negligible."""
LEVELS = (0.025, 0.16, 0.5, 0.84, 0.975)
_NEGLIGIBLE = 1e-3  # of the peak
_PALETTE = 33


@dataclass(frozen=True)
class Blocks:
    """Texts of a page by the name of the element that holds them."""

    texts: dict[str, str]
    n: int
    factor: int
    stride: int


def pack(contents: Contents, *, maps_budget: int = MAPS_BUDGET) -> Blocks:
    """Return what a page holds of an explorer.

    Parameters
    ----------
    contents : Contents
    maps_budget : int
        Characters that the maps may take.
    """
    table = Table()
    radius, arcmin = _scales(contents)
    table.add("radius", radius, "f4")
    table.add("arcmin", arcmin, "f4")
    if (truth := contents.ln_m_true) is not None:
        table.add("truth", truth, "f4")
    for each in contents.properties:
        table.add(f"property.{each.key}", each.values, "f4")
    for k, estimates in enumerate(contents.estimates):
        _add_estimates(table, f"estimate.{k}", estimates, len(contents))
    maps = pack_maps(contents.parts, _radii(contents, radius), maps_budget)
    _add_photons(table, maps)
    texts: dict[str, str] = {}
    share = ATTRIBUTION_BUDGET // max(len(contents.attributions), 1)
    attributions = []
    for k, found in enumerate(contents.attributions):
        packed = pack_attributions(found, len(contents), share)
        table.add(f"attribution.{k}.largest", packed.largest, "f4")
        table.add(f"attribution.{k}.starts", packed.pieces.starts, "u4")
        table.add(f"attribution.{k}.lengths", packed.pieces.lengths, "u4")
        texts[f"attribution-{k}"] = packed.pieces.text()
        attributions.append({"name": found.name, "side": packed.side})
    texts["maps"] = maps.pieces.text()
    texts["table"] = table.text()
    head = _head(contents, table, maps) | {"attributions": attributions}
    texts["head"] = packed_json(head)
    return Blocks(texts, len(contents), maps.factor, maps.stride)


def _head(contents: Contents, table: Table, maps: PackedMaps) -> dict[str, Any]:
    estimates = [
        {
            "name": each.name,
            "html": symbol_html(each.name),
            "density": each.prediction.density is not None,
            "n": len(each.rows),
        }
        for each in contents.estimates
    ]
    names = [each.name for each in contents.estimates]
    return {
        "n": len(contents),
        "names": contents.names,
        "parts": [_part(part, maps.factor) for part in contents.parts],
        "stride": maps.stride,
        "truth": contents.ln_m_true is not None,
        "properties": [
            {
                "key": each.key,
                "label": each.label,
                "unit": each.unit,
                "title": each.title,
                "log": _is_log(each.values),
                "varies": _varies(each.values),
            }
            for each in contents.properties
        ],
        "estimates": estimates,
        "first": names.index(contents.first) if contents.first in names else 0,
        "start": _start(contents),
        "reasons": {str(i): list(why) for i, why in enumerate(contents.reasons) if why},
        "nodes": NODES,
        "levels": LEVELS,
        "palettes": {name: _palette(name) for name in ("inferno", "RdBu_r")},
        "arrays": table.arrays,
    }


def _part(part: Part, factor: int) -> dict[str, Any]:
    survey = part.survey
    components = [str(name) for name in survey["component"].values]
    return {
        "label": part.label,
        "n": len(part.index),
        "h": survey_cosmology(survey).h,
        "bands": [str(band) for band in survey["band"].values],
        "half": half_width_mpc_h(survey),
        "side": survey.sizes["x"] // factor,
        "factor": factor,
        "components": components if len(components) > 1 else [],
        "observed": part.observed,
        "expected": "background" in survey,
    }


def _scales(contents: Contents) -> tuple[np.ndarray, np.ndarray]:
    """Return R500c of 1e14 Msun/h [comoving Mpc/h], and arcmin a comoving Mpc/h, each (n,)."""
    radius, arcmin = [], []
    for part in contents.parts:
        cosmology = survey_cosmology(part.survey)
        redshift = part.survey["redshift"].values[part.index]
        radius.append(cosmology.r500c(np.full(len(redshift), 1e14), redshift))
        arcmin.append(cosmology.arcmin_per_mpc_h(redshift))
    return np.concatenate(radius), np.concatenate(arcmin)


def _radii(contents: Contents, of_1e14: np.ndarray) -> list[np.ndarray]:
    """Return R500c [comoving Mpc/h] by part: of the true mass, else of the one first shown."""
    truth = contents.ln_m_true
    ln_m = np.full(len(contents), np.nan) if truth is None else truth.copy()
    for each in sorted(contents.estimates, key=lambda held: held.name != contents.first)[:1]:
        unknown = each.rows[np.isnan(ln_m[each.rows])]
        places = np.searchsorted(each.rows, unknown)
        ln_m[unknown] = each.prediction.median[places]
    radius = of_1e14 * np.exp((ln_m - np.log(1e14)) / 3)
    return np.split(radius, np.cumsum([len(part.index) for part in contents.parts])[:-1])


def _add_estimates(table: Table, name: str, estimates: Estimates, n: int) -> None:
    """Add moments, quantiles, score and density of the posteriors; NaN where there is none."""
    rows, prediction = estimates.rows, estimates.prediction

    def spread(values: np.ndarray) -> np.ndarray:
        out = np.full((n, *values.shape[1:]), np.nan)
        out[rows] = values
        return out

    table.add(f"{name}.mean", spread(prediction.mean), "f4")
    table.add(f"{name}.std", spread(prediction.std), "f4")
    levels = np.stack([prediction.quantile(level) for level in LEVELS], 1)
    table.add(f"{name}.quantiles", spread(levels), "f4")
    if prediction.out_of_domain is not None:
        table.add(f"{name}.score", np.minimum(spread(prediction.out_of_domain), 1e30), "f4")
    if estimates.limits is not None:
        table.add(f"{name}.limits", spread(estimates.limits.astype(float)) == 1, "u1")
    if prediction.density is not None:
        low, high, nodes = tabulate(prediction)
        table.add(f"{name}.low", spread(low), "f4")
        table.add(f"{name}.high", spread(high), "f4")
        table.add(f"{name}.nodes", np.nan_to_num(spread(nodes)), "u1")


def tabulate(prediction: Prediction) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ends in ln M, shape (n,), and the density over its peak in 255ths, (n, NODES)."""
    density = prediction.tabulated()
    peak = density.max(1, keepdims=True)
    seen = density > _NEGLIGIBLE * peak
    step = LNM_GRID[1] - LNM_GRID[0]
    last = len(LNM_GRID) - 1
    low = LNM_GRID[0] + step * np.maximum(seen.argmax(1) - 1, 0)
    high = LNM_GRID[0] + step * np.minimum(last - seen[:, ::-1].argmax(1) + 1, last)
    nodes = np.empty((len(density), NODES))
    for row, (held, a, b) in enumerate(zip(density / peak, low, high, strict=True)):
        nodes[row] = np.interp(np.linspace(a, b, NODES), LNM_GRID, held)
    return low, high, np.rint(255 * nodes / nodes.max(1, keepdims=True))


def _add_photons(table: Table, maps: PackedMaps) -> None:
    table.add("maps.starts", maps.pieces.starts, "u4")
    table.add("maps.lengths", maps.pieces.lengths, "u4")
    for k, (inside, expected) in enumerate(zip(maps.inside, maps.expected, strict=True)):
        table.add(f"part.{k}.inside", inside, "u4")
        if expected is not None:
            table.add(f"part.{k}.expected", expected, "f4")


def _is_log(values: np.ndarray) -> bool:
    """Return whether an axis of these numbers is better logarithmic: positive, over a decade."""
    good = values[np.isfinite(values)]
    if not len(good) or good.min() <= 0:
        return False
    low, high = np.percentile(good, [1, 99])
    return bool(high > 8 * low)


def _varies(values: np.ndarray) -> bool:
    good = values[np.isfinite(values)]
    return bool(len(good) and np.ptp(good) > 0)


def _start(contents: Contents) -> int:
    """Return the cluster that is shown at the beginning: a rich one that nothing is said against.

    That of the 80th percentile in mass, true or first shown, of those without a flag, and with an
    attribution where some have one.
    """
    mass = contents.ln_m_true
    if mass is None:
        mass = np.full(len(contents), np.nan)
        for each in sorted(contents.estimates, key=lambda held: held.name != contents.first)[:1]:
            mass[each.rows] = each.prediction.mean
    wanted = np.isfinite(mass)
    carried = np.isin(np.arange(len(mass)), [row for a in contents.attributions for row in a.rows])
    for more in (np.array([not why for why in contents.reasons]), carried):
        if (wanted & more).any():
            wanted &= more
    chosen = np.flatnonzero(wanted)
    if not len(chosen):
        return 0
    return int(chosen[np.argsort(mass[chosen])[int(0.8 * (len(chosen) - 1))]])


def _palette(name: str) -> list[str]:
    return [to_hex(colormaps[name](share)) for share in np.linspace(0, 1, _PALETTE)]
