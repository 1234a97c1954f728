"""A saved model on gas physics that is not its own, before and after a calibration.

    python benchmarks/calibration_variants.py [--model erass-v2] [--variants tng kept-aside]
        [--lensing 300] [--test 150] [--seed 77] [--trained tng=MODEL ...] [--out FILE.json]

Of each survey the first clusters have lensing masses with errors of 35 per cent (no bias, no
further scatter, and the priors say so); the others are predicted with and without the calibration.
Default: every variant of docs/variants.md, and `kept-aside`, that of `physics_surveys.py`:
less gas, steeper, cooler, cuspier, brighter AGN, all at once. Surveys are in the model's bands.

JSON, a row a variant: bias and rms of ln M (predicted median over true), share of truths within the
68 per cent intervals, by how many of its stated errors (the scale's, and that of the mean of the
clusters tested) the bias after calibration is off, and `within_two_errors`. With a model trained
on the variant's physics (`--trained`), its rms on the same clusters, `rms_ratio`, and
`within_ten_per_cent`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from physics_surveys import KEPT_ASIDE

import icmass
from icmass.calibration.model import CalibrationPriors
from icmass.errors import InputError
from icmass.inference.ensemble import Ensemble
from icmass.inference.family import ModelFamily
from icmass.survey.variants import VARIANTS

KNOWN = CalibrationPriors(lensing_bias=(0.0, 0.0), lensing_scatter=(0.0, 0.0))
LENSING_ERROR = 0.35
ASIDE = "kept-aside"


def open_model(name: str) -> Ensemble:
    """Return a saved model; of a family the first member."""
    model = icmass.load_model(name, device="cpu")
    if isinstance(model, ModelFamily):
        model = icmass.load_model(name, name=next(iter(model.members)), device="cpu")
    assert isinstance(model, Ensemble)
    return model


def simulated(
    variant: str, n: int, seed: int, model: Ensemble, preset: str, folder: Path
) -> xr.Dataset:
    """Return a survey of a variant, in the model's bands, of 64 pixels a side."""
    grid = model.map_grid()
    settings = (
        f"observe.bands={json.dumps([list(band) for band in grid.bands])}",
        f"observe.n_pixels={grid.n_pixels}",
    )
    aside = variant == ASIDE
    return icmass.simulate(
        preset,
        n=n,
        seed=seed,
        variants=[] if aside else [variant],
        assignments=(*settings, *(KEPT_ASIDE if aside else ())),
        out=folder / f"{variant}.zarr",
    )


def scores(masses: icmass.Masses, truth: np.ndarray) -> dict[str, float]:
    assert masses.prediction is not None
    off = masses.prediction.median - np.log(truth[masses.rows])
    level = masses.prediction.cdf(np.log(truth[masses.rows]))
    return {
        "n": len(off),
        "bias": float(off.mean()),
        "rms": float(np.sqrt((off**2).mean())),
        "coverage68": float(np.mean(np.abs(level - 0.5) < 0.34)),
        "error_of_mean": float(off.std() / np.sqrt(len(off))),
    }


def lensing_table(
    survey: xr.Dataset, index: np.ndarray, rng: np.random.Generator, file: Path
) -> Path:
    """Write lensing masses of some clusters: the true ones, with a scatter of 35 per cent."""
    truth, z = survey["m500c"].values[index], survey["redshift"].values[index]
    lensing = truth * np.exp(LENSING_ERROR * rng.normal(size=len(index)))
    rows = [
        f"{i},{redshift:.5f},{mass:.6g},{LENSING_ERROR}"
        for i, redshift, mass in zip(index, z, lensing, strict=True)
    ]
    file.write_text("\n".join(["cluster,redshift,m500c_msun_h,ln_error", *rows]), encoding="utf-8")
    return file


def run(
    variant: str, model: Ensemble, given: argparse.Namespace, folder: Path, trained: str | None
) -> dict[str, Any]:
    """Return the row of a variant."""
    began = time.process_time()
    n = given.lensing + given.test
    survey = simulated(variant, n, given.seed, model, given.preset, folder)
    truth, z = survey["m500c"].values, survey["redshift"].values
    low, high = model.training.redshift_range
    usable = np.flatnonzero((z >= low) & (z <= high))
    if len(usable) <= given.lensing:
        what = f"{len(usable)} of {n} clusters are at redshifts that the model knows"
        raise InputError(what, field="--test", hint="give more")
    chosen, rest = usable[: given.lensing], usable[given.lensing :]
    rng = np.random.default_rng(given.seed)
    table = lensing_table(survey, chosen, rng, folder / f"{variant}.csv")
    found = icmass.calibrate(
        survey, table, model=model, priors=KNOWN, seed=given.seed, max_steps=given.steps
    )
    before, after = (
        scores(icmass.predict(survey, model=model, index=rest, calibration=scale), truth)
        for scale in (None, found)
    )
    document = found.document
    stated = float(np.hypot(document["amplitude"]["std"], after["error_of_mean"]))
    in_errors = after["bias"] / stated
    row: dict[str, Any] = {"variant": variant, "before": before, "after": after}
    row |= {"bias_in_errors": in_errors, "within_two_errors": bool(abs(in_errors) <= 2)}
    if trained is not None:
        own = scores(icmass.predict(survey, model=open_model(trained), index=rest), truth)
        ratio = after["rms"] / own["rms"]
        row |= {"trained": own, "rms_ratio": ratio, "within_ten_per_cent": bool(ratio <= 1.1)}
    row |= {key: document[key] for key in ("amplitude", "slope", "evolution", "scatter")}
    row |= {"p_values": document["checks"]["p_values"]}
    return row | {"cpu_s": round(time.process_time() - began, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--model", default="erass-v2", help="bundled name or folder; of a family its first"
    )
    known = [*VARIANTS, ASIDE]
    parser.add_argument("--variants", nargs="+", default=known, choices=known, metavar="V")
    parser.add_argument("--preset", default="erosita")
    parser.add_argument("--lensing", type=int, default=300, help="clusters with lensing masses")
    parser.add_argument("--test", type=int, default=150, help="clusters that are scored")
    parser.add_argument("--steps", type=int, default=1000, help="steps of the chains at most")
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--trained", nargs="+", default=[], metavar="V=MODEL")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    model = open_model(given.model)
    trained = dict(pair.split("=", 1) for pair in given.trained)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for variant in given.variants:
            rows.append(run(variant, model, given, Path(folder), trained.get(variant)))
            print(json.dumps(rows[-1], indent=1), flush=True)
    if given.out is not None:
        document = {"model": str(given.model), "lensing": given.lensing, "rows": rows}
        given.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
