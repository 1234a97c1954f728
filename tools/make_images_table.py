"""Make the rounded table of Magneticum's image statistics from the catalogue of Green et al. 2019.

Percentiles of every statistic over all clusters and over the halves below and above the median
mass (of images that only some clusters have, weighted by the inverse of their share at each mass
and snapshot, as if all had them); partial rank correlations of each with the residuals of proxies
at fixed mass and redshift, in the body of ln L_X; the share of off-centre peaks. Three digits,
correlations two decimals. The catalogue has one row a cluster and snapshot, with columns as in
`COLUMNS`, and is not kept here.

Usage: python tools/make_images_table.py CATALOGUE.csv.gz [OUT.json]
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

from icmass.validation.image_residuals import body_residuals, rank_correlation

OUT = Path("src/icmass/observe/data/magneticum_images.json")
SOURCE = (
    "Green et al. 2019, ApJ 884, 33, arXiv:1908.02765: public tables of 3,292 clusters of "
    "Magneticum Box2/hr, own percentiles and correlations"
)
LEVELS = (5, 16, 30, 50, 70, 84, 95)
MASS_LEVELS = range(0, 101, 5)
MASS_BINS = np.arange(
    13.5, 15.01, 0.15
)  # log10 Msun/h, in which clusters with both images are told
COLUMNS = {
    "concentration": "c",
    "centroid_shift": "w",
    "p1": "P1",
    "p2": "P2",
    "p3": "P3",
    "p4": "P4",
    "axis_ratio": "ell",
    "cas_concentration": "C_cas",
    "asymmetry": "A_cas",
    "smoothness": "S_cas",
    "m20": "M20",
}


def read(path: Path) -> dict[str, np.ndarray]:
    """Return the columns of a compressed CSV file; what is missing is NaN."""
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in rows[0]}


def rounded(values: np.ndarray | float) -> Any:
    """Round to three digits."""
    if np.ndim(values):
        return [rounded(value) for value in np.asarray(values)]
    return float(f"{float(values):.3g}")


def kept(m500c: np.ndarray, redshift: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the share of clusters with a known statistic in each one's snapshot and mass bin."""
    cell = np.digitize(np.log10(m500c), MASS_BINS) + 1000 * np.round(100 * redshift).astype(int)
    _, index = np.unique(cell, return_inverse=True)
    return (np.bincount(index, known) / np.bincount(index))[index]


def percentiles(values: np.ndarray, weight: np.ndarray) -> Any:
    """Return weighted percentiles."""
    order = np.argsort(values)
    below = np.cumsum(weight[order]) - 0.5 * weight[order]
    return rounded(np.interp(np.array(LEVELS) / 100, below / weight.sum(), values[order]))


def make(catalogue: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the table."""
    m500c, redshift = catalogue["m500c_1e14_msun_h"] * 1e14, catalogue["redshift"]
    core_share = 1 - catalogue["l_x_excised_1e44"] / catalogue["l_x_1e44"]
    proxies = {
        "L_X": catalogue["l_x_1e44"],
        "L_X_outside": catalogue["l_x_excised_1e44"],
        "M_gas": catalogue["gas_fraction"] * m500c,
        "T": catalogue["t_kev"],
    }
    residuals, body = body_residuals(proxies, m500c, redshift)
    high = m500c >= np.median(m500c)

    def statistic(values: np.ndarray) -> dict[str, Any]:
        known = np.isfinite(values)
        weight = np.where(known, 1 / np.maximum(kept(m500c, redshift, known), 1e-9), 0)
        parts = {"all": known, "low": known & ~high, "high": known & high}
        rank = {
            name: round(rank_correlation(values, residual, body, m500c, redshift), 2)
            for name, residual in residuals.items()
        }
        found = {name: percentiles(values[part], weight[part]) for name, part in parts.items()}
        return {"n": int(known.sum()), **found, "rank_correlation": rank}

    w = catalogue["deep_w"]
    return {
        "source": SOURCE,
        "levels": LEVELS,
        "mass_levels": list(MASS_LEVELS),
        "redshift": [float(redshift.min()), float(redshift.max())],
        "log10_m500c": np.percentile(np.log10(m500c), MASS_LEVELS).round(2).tolist(),
        "body": round(float(body.mean()), 3),
        "core_share": statistic(core_share),
        "deep": {name: statistic(catalogue[f"deep_{c}"]) for name, c in COLUMNS.items()},
        "erosita": {name: statistic(catalogue[f"erosita_{c}"]) for name, c in COLUMNS.items()},
        "off_centre": {
            "outshone": round(float(np.mean(catalogue["deep_c"] > core_share)), 3),
            "w_above_005": round(float(np.mean(w > 0.05)), 3),
            "w_above_01": round(float(np.mean(w > 0.1)), 3),
        },
    }


def write(table: dict[str, Any], out: Path) -> None:
    """Write the table, its innermost lists and mappings in a line each."""
    text = json.dumps(table, indent=1)
    for innermost in (r"\[[^][{}]*\]", r"\{[^][{}]*\}"):
        text = re.sub(innermost, lambda found: re.sub(r"\s+", " ", found[0]), text)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text + "\n")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        raise SystemExit(__doc__)
    write(make(read(Path(sys.argv[1]))), Path(sys.argv[2]) if len(sys.argv) == 3 else OUT)
