"""Masses from catalogue rows: on mocks held out, and on eFEDS beside published masses.

    python benchmarks/catalogue.py DATA [--lensing eFEDSmasstable.fits] [--scores scores.json]
        [--rows DIR] [--model catalogue-v1]

DATA is the folder with ``efeds_clusters_mcmf.csv.gz`` (Klein et al. 2022, A&A 661, A4, whose masses
follow from the same count rates and redshifts alone) and ``efeds_clusters_liu.csv.gz``
(Liu et al. 2022, A&A 661, A2). The lensing masses are of Chiu et al. 2023, MNRAS 522, 1601, who
calibrate count rates by the shear of HSC (table of their public repository inonchiu/eFEDSproducts).
Scores and rows are what `tools/train_catalogue_v1.py --work DIR` leaves. Writes
`benchmarks/results/catalogue-efeds.json`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from astropy.table import Table

import icmass
from icmass import __version__

ROOT = Path(__file__).parents[1]
KLEIN, LIU = "efeds_clusters_mcmf.csv.gz", "efeds_clusters_liu.csv.gz"
CONTAMINATION = 0.3
"""Clusters with a larger chance of being a wrong match (F_CONT) are left out."""
BINS = ((0.0, 0.2), (0.2, 0.4), (0.4, 0.7), (0.7, 1.2))
LENSING_H = 0.7
"""h of the masses by lensing, whose table is in Msun/h."""
SHOWN: dict[str, tuple[str, ...]] = {
    "all": ("ML_EXP", "EXT", "EXT_LIKE", "DET_LIKE"),
    "without EXT": ("ML_EXP", "EXT_LIKE", "DET_LIKE"),
    "without likelihoods": ("ML_EXP", "EXT"),
    "rate, exposure": ("ML_EXP",),
    "rate": (),
}
"""Columns of Klein et al. that are shown beside rate and redshift, one after the other hidden."""
EXPOSURE_S = (800.0, 1800.0)
"""Exposures of mock rows that eFEDS' are compared with."""


def published(data: Path, lensing: Path | None) -> dict[str, dict[int, float]]:
    """Return published masses [1e14 Msun] of the clusters that are pure, by source and its number.

    ``klein``: proxies of count rates by the luminosities of SPT clusters. ``lensing``: medians of
    the posteriors that count rate, shear and mass function leave; their logarithms are tabulated
    [Msun/h], of the lambda-CDM fit.
    """
    table = Table.read(data / KLEIN, format="ascii.csv")
    source = [int(number) for number in table["ID_SRC"]]
    mass = np.asarray(table["MASSPROX_BEST_COMB"], float)
    kept = np.asarray(table["F_CONT_BEST_COMB"], float) < CONTAMINATION
    kept &= mass > 0
    found = {"klein": {source[i]: float(mass[i]) for i in np.flatnonzero(kept)}}
    if lensing is not None:
        other = Table.read(lensing, unit_parse_strict="silent")
        names = [str(name).strip() for name in other["Name"]]
        by_name = dict(zip(names, np.asarray(other["median_500c_lcdm"], float), strict=True))
        ours = [str(name).strip() for name in table["Name"]]
        found["lensing"] = {
            source[i]: float(10 ** (by_name[ours[i]] - 14) / LENSING_H)
            for i in np.flatnonzero(kept)
            if ours[i] in by_name
        }
    return found


def compared(file: Path, model: str, prior: str, of_source: dict[int, float]) -> dict[str, Any]:
    """Return ratio, scatter and slope of our masses over the published ones [both Msun]."""
    table = _read(file)
    masses = icmass.predict(catalogue=file, model=model, prior=prior)
    rows = [row for row in masses if row["m500c_1e14_msun"] is not None]
    match = np.array([of_source.get(int(table["ID_SRC"][row["cluster"]]), np.nan) for row in rows])
    ours = np.array([row["m500c_1e14_msun"]["median"] for row in rows])
    width = np.array([row["ln_m500c_std"] for row in rows])
    redshift = np.array([row["redshift"] for row in rows])
    kept = np.isfinite(match)
    x, y, z = np.log(match[kept]), np.log(ours[kept]), redshift[kept]
    ratio = y - x
    by_redshift = {
        f"{low:g}-{high:g}": _statistics(ratio[(z > low) & (z <= high)]) for low, high in BINS
    }
    # both masses follow the same count rate: what is left at fixed redshift is extent and noise
    terms = np.column_stack([np.ones(len(x)), x, np.log(z)])
    fitted, *_ = np.linalg.lstsq(terms, y, rcond=None)
    return {
        "prior": prior,
        "rows": len(table),
        "with_mass": len(masses),
        "upper_limits": int(np.isfinite(masses.upper_limit).sum()),
        "flagged": float(masses.flagged.mean()),
        **_statistics(ratio),
        "slope": float(np.polyfit(x, y, 1)[0]),
        "at_fixed_mass_and_redshift": {
            "slope_mass": float(fitted[1]),
            "slope_redshift": float(fitted[2]),
            "scatter": float((y - terms @ fitted).std()),
        },
        "mean_ln_error": float(width[kept].mean()),
        "by_redshift": by_redshift,
    }


def hidden(file: Path, model: str, of_source: dict[int, float], place: Path) -> dict[str, Any]:
    """Return what is compared when the rows have some of their columns alone."""
    table, found = _read(file), {}
    for name, columns in SHOWN.items():
        some = place / "some.fits"
        table["ID_SRC", "Z_BEST_COMB", "ML_RATE", *columns].write(some, overwrite=True)
        row = compared(some, model, "mass-function", of_source)
        found[name] = {key: row[key] for key in ("mean_ln_ratio", "scatter_ln_ratio", "slope")}
        found[name] |= {key: value["mean_ln_ratio"] for key, value in row["by_redshift"].items()}
    return found


def _read(file: Path) -> Table:
    return Table.read(file, format="ascii.csv" if ".csv" in file.name else None)


def _statistics(ratio: np.ndarray) -> dict[str, float]:
    return {
        "n": len(ratio),
        "mean_ln_ratio": float(ratio.mean()),
        "error": float(ratio.std() / np.sqrt(len(ratio))),
        "median_ln_ratio": float(np.median(ratio)),
        "scatter_ln_ratio": float(ratio.std()),
    }


def detections(data: Path, folder: Path) -> dict[str, Any]:
    """Return extents and likelihoods of eFEDS, and of mock rows of the same counts and redshift.

    Each cluster of eFEDS stands beside the mock row that is nearest in ln counts and ln (1 + z),
    of like exposure and with an extent likelihood of 6 or more, as eFEDS has.
    """
    table = Table.read(data / KLEIN, format="ascii.csv")
    real = {name: np.asarray(table[name], float) for name in ("EXT", "EXT_LIKE", "DET_LIKE")}
    counts, redshift = np.asarray(table["ML_CTS"], float), np.asarray(table["Z_BEST_COMB"], float)
    good = np.asarray(table["F_CONT_BEST_COMB"], float) < CONTAMINATION
    parts = [np.load(file) for file in sorted(folder.glob("rows-*.npz"))]
    columns = ("rate", "exposure", "redshift", "extent", "extent_likelihood")
    mock = {n: np.concatenate([p[n] for p in parts]) for n in (*columns, "detection_likelihood")}
    low, high = EXPOSURE_S
    kept = (mock["exposure"] > low) & (mock["exposure"] < high) & (mock["extent_likelihood"] >= 6)
    mock = {name: values[kept] for name, values in mock.items()}
    here = np.stack([np.log(counts), 4 * np.log1p(redshift)], -1)[good]
    there = np.stack([np.log(mock["rate"] * mock["exposure"]), 4 * np.log1p(mock["redshift"])], -1)
    nearest = np.array([np.argmin(((there - place) ** 2).sum(1)) for place in here])
    names = {"EXT": "extent", "EXT_LIKE": "extent_likelihood", "DET_LIKE": "detection_likelihood"}
    levels = (16, 50, 84)
    found: dict[str, Any] = {"n_mock": int(kept.sum()), "n_efeds": int(good.sum())}
    for name, ours in names.items():
        found[name] = {
            "efeds": [float(v) for v in np.percentile(real[name][good], levels)],
            "mock": [float(v) for v in np.percentile(mock[ours][nearest], levels)],
        }
    found["at_60_arcsec"] = {
        "efeds": float((real["EXT"][good] > 59.5).mean()),
        "mock": float((mock["extent"][nearest] > 59.5).mean()),
    }
    return found


def seconds_of(model: str, data: Path, n: int, folder: Path) -> float:
    """Return the processor time of n rows [s]: the table read, masses, and their facts."""
    few = Table.read(data / KLEIN, format="ascii.csv")
    file = folder / "large.fits"
    few = few["ID_SRC", "ML_RATE", "ML_EXP", "EXT", "EXT_LIKE", "DET_LIKE", "Z_BEST_COMB"]
    few[np.arange(n) % len(few)].write(file, overwrite=True)
    began = time.process_time()
    icmass.predict(catalogue=file, model=model)
    file.unlink()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="catalogue-v1")
    parser.add_argument("--lensing", type=Path)
    parser.add_argument("--scores", type=Path)
    parser.add_argument("--rows", type=Path)
    given = parser.parse_args()
    document: dict[str, Any] = {"version": __version__, "model": Path(given.model).name}
    if given.scores is not None:
        document |= json.loads(given.scores.read_text())
    masses = published(given.data, given.lensing)
    document["efeds"] = {
        f"{name}, {prior}" + ("" if reference == "klein" else f", {reference}"): compared(
            given.data / file, given.model, prior, of_source
        )
        for reference, of_source in masses.items()
        for name, file in (("klein", KLEIN), ("liu", LIU))
        for prior in ("training", "flat", "mass-function")
    }
    with TemporaryDirectory() as place:
        document["shown"] = {
            reference: hidden(given.data / KLEIN, given.model, of_source, Path(place))
            for reference, of_source in masses.items()
        }
    if given.rows is not None:
        document["detections"] = detections(given.data, given.rows)
        n = 63_796
        document["seconds"] = {str(n): seconds_of(given.model, given.data, n, given.rows)}
    file = ROOT / "benchmarks/results/catalogue-efeds.json"
    file.write_text(json.dumps(document, indent=1) + "\n")
    for name, row in document["efeds"].items():
        ratio, scatter = row["mean_ln_ratio"], row["scatter_ln_ratio"]
        print(f"{name:32} n {row['n']} ln ratio {ratio:+.3f} scatter {scatter:.3f}", end=" ")
        print(f"slope {row['slope']:.2f}")


if __name__ == "__main__":
    main()
