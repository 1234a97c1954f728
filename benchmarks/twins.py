"""Twins of a catalogue beside the catalogue, and beside a universe that is drawn.

    python benchmarks/twins.py box2_3292.csv.gz --work DIR [--json twins.json] [--workers 2]

FILE has M500c, redshift, positions, gas and star fractions, T, L_X with and without the core and
centroid shifts, as the 3,292 clusters of Magneticum Box2/hr (public material of Green et al. 2019,
ApJ 884, 33). Prints joint statistics in ln at fixed mass and redshift, of the body of L_X, and how
well trees on root counts in rings of the photon maps know ln M500c, across the octants of the box:
a floor for estimators without a network.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import spearmanr
from sklearn.ensemble import HistGradientBoostingRegressor

from icmass.survey.catalog import half_width_mpc_h, open_survey
from icmass.survey.catalogue_table import read_halo_table, with_table
from icmass.survey.folds import octant_folds
from icmass.survey.presets import resolve_config
from icmass.survey.simulate import simulator_of
from icmass.survey.twin_report import honoured
from icmass.survey.write import simulate_survey
from icmass.universe.twin_rows import TwinRows
from icmass.validation.gas_statistics import GasSample, half_spread, residuals, slopes
from icmass.validation.image_maps import simulated_images

EDGES = np.array([0, 0.04, 0.08, 0.13, 0.2, 0.3, 0.42, 0.56, 0.75, 1.0, 1.3, 1.7, 2.3])
"""Of the rings [comoving Mpc/h]."""
PIVOT = 2e14
Rows = dict[str, float]


def of_catalogue(rows: TwinRows, survey: xr.Dataset) -> GasSample:
    """The table as `GasSample`; what its photons emit is not known."""
    cosmology = simulator_of(survey).config.cosmology
    logs = {name: np.log(rows[name]) for name in ("L_X", "L_X_ce", "T", "M_gas", "M_star")}
    logs["L_X_emitted"] = logs["L_X"]
    logs["core"] = np.log(rows["core_share"])
    ln_mass = np.log(rows["m500c"] / PIVOT)
    ln_e = np.log(cosmology.efunc(rows["redshift"]))
    design = np.stack([np.ones_like(ln_mass), ln_mass, ln_e], axis=1)
    return GasSample(logs, design, np.log10(rows["m500c"]), rows["history"].astype(int))


def joint_statistics(sample: GasSample, light: str) -> Rows:
    """Scatters, correlations and slopes of the body, with L_X or what is emitted as the light."""
    whole = sample.log_mass.size
    body = sample.take(sample.body())
    gas = ("M_gas",)

    def together(a: str, b: str) -> float:
        return float(np.corrcoef(residuals(body, a), residuals(body, b))[0, 1])

    share = np.exp(sample.logs["core"])
    found = {
        "outside of the body [per cent]": 100 * (1 - body.log_mass.size / whole),
        "scatter of L_X": float(residuals(body, light).std()),
        "half 16-84 of L_X": half_spread(residuals(body, light)),
        "scatter of L_X at fixed M_gas": float(residuals(body, light, gas).std()),
        "half 16-84 of L_X at fixed M_gas": half_spread(residuals(body, light, gas)),
        "d ln L_X / d ln M_gas": float(slopes(body, light, gas)[2]),
        "slope of L_X with mass": float(slopes(body, light)[0]),
        "exponent of E(z) of L_X": float(slopes(body, light)[1]),
    }
    found |= {f"scatter of {n}": float(residuals(body, n).std()) for n in ("T", "M_gas", "M_star")}
    pairs = ((light, "M_gas"), (light, "T"), (light, "M_star"), ("T", "M_gas"),
             ("M_gas", "M_star"), ("core", light), ("core", "M_gas"))  # fmt: skip
    for a, b in pairs:
        label = f"correlation {a}, {b}".replace(light, "L_X").replace("core", "core share")
        found[label] = together(a, b)
    for level in (16, 50, 84):
        found[f"core share, {level} per cent"] = float(np.percentile(share, level))
    return found


def emitted(survey: xr.Dataset) -> GasSample:
    """A survey's sample with the emitted light in place of the catalogue's, cores too."""
    if "L_X_emitted_ce" not in survey:
        return GasSample.of(survey)
    return GasSample.of(survey.assign(L_X=survey["L_X_emitted"], L_X_ce=survey["L_X_emitted_ce"]))


def image_statistics(survey: xr.Dataset, rows: TwinRows | None, n: int) -> Rows:
    """Centroid shifts of ideal deep images, and of twins how they go with the table's."""
    found = simulated_images(survey, n)
    if isinstance(found, str):
        return {}
    shift, share = found.deep["centroid_shift"], found.core_share
    good = shift > 0
    out = {f"w, {p} per cent": float(np.percentile(shift, p)) for p in (16, 50, 84)}
    out["rank correlation w, core share of images"] = float(spearmanr(shift, share).statistic)
    if rows is not None:
        told = rows["w"][found.cluster]
        out["rank correlation w, the table's w"] = float(spearmanr(shift[good], told[good])[0])
        told = rows["core_share"][found.cluster]
        out["rank correlation core share of images, the table's"] = float(spearmanr(share, told)[0])
    return out


def rings(survey: xr.Dataset, step: int = 256) -> np.ndarray:
    """Counts, shape (cluster, component, band, ring)."""
    side, half = survey.sizes["x"], half_width_mpc_h(survey)
    offset = (np.arange(side) + 0.5) / side * 2 * half - half
    ring = np.digitize(np.hypot(offset[:, None], offset).ravel(), EDGES) - 1
    weights = (ring[:, None] == np.arange(len(EDGES) - 1)).astype("f4")
    maps, found = survey["maps"], []
    for i in range(0, survey.sizes["cluster"], step):
        block = maps[i : i + step].values.astype("f4")
        found.append(block.reshape(*block.shape[:3], -1) @ weights)
    return np.concatenate(found)


def ring_floor(survey: xr.Dataset, seeds: int = 2) -> Rows:
    """Cross-validated scatter of ln M500c by trees on root counts in rings and redshift."""
    counts = rings(survey)
    names = [str(name) for name in survey["component"].values]
    gas, agn = names.index("icm"), names.index("agn")
    told = {
        "rings, one band, gas": counts[:, gas].sum(1),
        "rings, one band, gas and AGN": counts[:, [gas, agn]].sum((1, 2)),
        "rings, three bands, gas and AGN": counts[:, [gas, agn]].sum(1).reshape(len(counts), -1),
    }
    fold, ln_m = octant_folds(survey), np.log(survey["m500c"].values)
    rows = {}
    for name, values in told.items():
        features = np.column_stack([survey["redshift"].values, np.sqrt(values + 0.375)])
        total = np.zeros(len(ln_m))
        for seed in range(seeds):
            for k in range(fold.max() + 1):
                test = fold == k
                tree = HistGradientBoostingRegressor(
                    max_iter=250, learning_rate=0.05, max_depth=4, random_state=seed
                )
                tree.fit(features[~test], ln_m[~test])
                total[test] += tree.predict(features[test]) / seeds
        rows[name] = float(100 * np.std(total - ln_m))
    return rows


def photon_scatter(survey: xr.Dataset) -> Rows:
    """sigma(ln N | M) over the slope, mean over snapshots [per cent] (Ho et al. 2023)."""
    ln_m = np.log(survey["m500c"].values)
    found = {}
    for name in ("L_X", "n_phot_2r500"):
        ln_s, each = np.log(np.maximum(survey[name].values, 1e-9)), []
        for k in np.unique(survey["snapshot"].values):
            here = survey["snapshot"].values == k
            slope, zero = np.polyfit(ln_m[here], ln_s[here], 1)
            each.append(np.std(ln_s[here] - slope * ln_m[here] - zero) / slope)
        found[f"sigma ln M of {name}"] = float(100 * np.mean(each))
    return found


def make(name: str, work: Path, file: Path, given: argparse.Namespace) -> tuple[Path, TwinRows]:
    """Simulate the twins, or the drawn universe, unless they are there."""
    config = resolve_config(given.preset, assignments=("twins.light=catalogue",), twins=True)
    if config.twins is None:
        raise ValueError("no twins")
    table = read_halo_table(file, config.twins, config.cosmology, config.halos.box_mpc_h)
    out, n = work / f"{name}-{given.preset}.zarr", len(table.rows)
    drawn = resolve_config(given.preset)
    simulate_survey(
        drawn if name == "drawn" else with_table(config, table),
        n_clusters=n,
        seed=given.seed,
        out=out,
        workers=given.workers,
        resume=True,
        rows=None if name == "drawn" else table.rows,
        about_rows=None if name == "drawn" else table.about,
    )
    return out, table.rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--preset", default="phox")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    columns: dict[str, Rows] = {}
    told: dict[str, Any] = {"preset": given.preset, "seed": given.seed}
    for name in ("twins", "drawn"):
        out, rows = make(name, given.work, given.file, given)
        survey = open_survey(out)
        if name == "twins":
            told["honoured"] = honoured(survey)
            print("\n".join(told["honoured"]), flush=True)
            columns["catalogue"] = joint_statistics(of_catalogue(rows, survey), "L_X")
            levels = {f"w, {p} per cent": float(np.nanpercentile(rows["w"], p))
                      for p in (16, 50, 84)}  # fmt: skip
            columns["catalogue"] |= levels
        sample = GasSample.of(survey)
        columns[f"{name}, L_X"] = joint_statistics(sample, "L_X")
        columns[f"{name}, emitted"] = joint_statistics(emitted(survey), "L_X_emitted")
        also = image_statistics(survey, rows if name == "twins" else None, given.images)
        columns[f"{name}, emitted"] |= also | photon_scatter(survey) | ring_floor(survey)
    order = list(dict.fromkeys(row for column in columns.values() for row in column))
    print(f"{'':52}" + "".join(f"{name:>18}" for name in columns))
    for row in order:
        cells = [f"{c[row]:18.3f}" if row in c else " " * 18 for c in columns.values()]
        print(f"{row:52}" + "".join(cells))
    if given.json:
        given.json.write_text(json.dumps(told | {"columns": columns}, indent=1) + "\n")


if __name__ == "__main__":
    main()
