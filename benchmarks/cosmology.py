"""Omega_m and sigma_8 from a mock of eRASS1's cosmology sample, its photons seen by a network.

    python benchmarks/cosmology.py --work DIR [--n 2400] [--seed 31] [--lensing 400] [--halos 4000]
        [--json FILE] [--figure FILE]

The whole chain, as a survey team would run it: clusters that the mock of eRASS1 detects with an
extent likelihood of 6; masses of their photons by the bundled `erass-v2`, which has never seen
their gas; lensing masses of some, with errors of 35 per cent; the selection function that `icmass
selection` tabulates, at its usual nodes; and `icmass.calibration.number_count_model`. Omega_m,
sigma_8, the mass scale of the network (A, B, C, sigma and its slope) and the correlation of
detection with the network's mass are free together; h, n_s and Omega_b are known. Besides, with the
network's own scale instead of lensing masses, and with true masses: how far the sky that was drawn
is off.

Survey, table of the selection and chains are kept in DIR, and used again: delete chains that were
made with other options. Prints JSON: mean, standard deviation and deviation from the truth of each
parameter, and how the chains converged.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import icmass
from icmass.calibration.model import CalibrationPriors
from icmass.calibration.number_count_model import (
    PARAMETERS,
    NumberCountModel,
    NumberCountPriors,
)
from icmass.calibration.number_counts import NumberCounts
from icmass.calibration.sampler import Chains, Sampling, sample_posterior
from icmass.files import write_text
from icmass.inference.bundled import DEFAULT_MODEL
from icmass.inference.family import chosen_for_survey
from icmass.inference.likelihood import predict_likelihood
from icmass.observe.allsky import draw_sightline
from icmass.survey.catalog import survey_cosmology
from icmass.survey.config import SurveyConfig
from icmass.survey.presets import resolve_config
from icmass.survey.selection_function import SelectionFunction
from icmass.survey.selection_grid import tabulate_selection
from icmass.survey.sky_area import sky_area

LIMIT = ("detection.extent_likelihood=6",)
REDSHIFTS = (0.1, 0.8)
LENSING_ERROR = 0.35
PLACES = 200_000
"""Directions over which the selection is averaged, in cells of exposure and column density."""
EXACT = CalibrationPriors(lensing_bias=(0.0, 0.0), lensing_scatter=(0.0, 0.0))
OWN_SCALE = CalibrationPriors(
    amplitude=(0.0, 0.0), slope=(0.0, 0.0), evolution=(0.0, 0.0), ln_scatter=(0.0, 0.0),
    lensing_bias=(0.0, 0.0), lensing_scatter=(0.0, 0.0),
)  # fmt: skip
CASES = {
    "whole": NumberCountPriors(scale=EXACT),
    "own scale, no lensing": NumberCountPriors(
        scale=OWN_SCALE, scatter_slope=(0.0, 0.0), curvature=(0.0, 0.0)
    ),
    "true masses": NumberCountPriors(
        scale=OWN_SCALE, scatter_slope=(0.0, 0.0), curvature=(0.0, 0.0), correlation=(0.0, 0.0)
    ),
}
TRUE_ERROR = 0.1
"""Noise of ln M that true masses are given, for the sums over ln M to hold."""


def open_sample(work: Path, n: int, seed: int) -> xr.Dataset:
    """Return the mock survey, simulated if it is not there."""
    store = work / f"erass1-{n}-{seed}.zarr"
    if store.exists():
        return icmass.open_survey(store)
    settings = ("observe.n_pixels=64", *LIMIT)
    begun = store.with_name(f"{store.name}.partial").exists()
    return icmass.simulate(
        "erass1", n=n, seed=seed, assignments=settings, out=store, resume=begun, workers=2
    )


def open_selection(work: Path, halos: int) -> SelectionFunction:
    """Return the selection function of the preset, tabulated if it is not there."""
    table = work / f"selection-{halos}.fits"
    if not table.exists():
        tabulate_selection(
            resolve_config("erass1", assignments=LIMIT), seed=1, n_halos=halos
        ).write(table)
    return SelectionFunction.read(table)


def sky_cells(config: SurveyConfig, rng: np.random.Generator) -> np.ndarray:
    """Return exposures, column densities and shares of the sky of cells that share it, (3, n)."""
    assert config.observe.sky is not None
    drawn = [draw_sightline(config.observe.sky, rng) for _ in range(PLACES)]
    exposure = np.array([place.exposure_s for place in drawn])
    nh = np.array([place.nh_1e20 for place in drawn])
    deep = np.quantile(exposure, [0.99, 0.998, 0.9995])
    edges = np.unique([*np.quantile(exposure, np.linspace(0, 0.99, 40)), *deep])
    cells = np.digitize(exposure, edges[1:-1]) * 100
    cells += np.digitize(nh, np.quantile(nh, np.linspace(0, 1, 21)[1:-1]))
    _, of_cell, number = np.unique(cells, return_inverse=True, return_counts=True)
    means = [np.exp(np.bincount(of_cell, np.log(values)) / number) for values in (exposure, nh)]
    return np.array([*means, number / PLACES])


def make_counts(
    survey: xr.Dataset, selection: SelectionFunction, n_lensing: int, seed: int
) -> tuple[NumberCounts, np.ndarray, dict[str, Any]]:
    """Return the sample as number counts need it, true ln M, and what there is to say of it."""
    low, high = REDSHIFTS
    z = survey["redshift"].values
    rows = np.flatnonzero((z > low) & (z < high))
    ensemble, of_bands = chosen_for_survey(icmass.load_model(DEFAULT_MODEL, device="cpu"), survey)
    found = predict_likelihood(ensemble, of_bands, rows)
    rng = np.random.default_rng([seed, 7])
    config = SurveyConfig.model_validate(json.loads(survey.attrs["config"]))
    sky = sky_cells(config, rng)
    truth = np.log(survey["m500c"].values[found.rows])
    lensing, error = np.full((2, len(truth)), np.nan)
    some = rng.choice(len(truth), n_lensing, replace=False)
    lensing[some] = truth[some] + LENSING_ERROR * rng.normal(size=n_lensing)
    error[some] = LENSING_ERROR
    exposure, nh, sky_exposure, sky_nh = (
        np.clip(values, axis[0], axis[-1])  # of the poles and the plane: a thousandth of the sky
        for values, axis in (
            (survey["exposure"].values[found.rows], selection.exposure),
            (survey["nh"].values[found.rows], selection.nh),
            (sky[0], selection.exposure),
            (sky[1], selection.nh),
        )
    )
    counts = NumberCounts.of(
        found.prediction,
        z[found.rows],
        exposure,
        nh,
        selection=selection,
        area_deg2=sky_area(survey),
        redshift_range=REDSHIFTS,
        sky_exposure=sky_exposure,
        sky_nh=sky_nh,
        sky_weight=sky[2],
        ln_lensing=lensing,
        lensing_error=error,
    )
    off = counts.x - truth
    far = found.prediction.out_of_domain
    facts = {
        "clusters": len(truth),
        "without_likelihood": len(found.failed),
        "area_deg2": counts.area_deg2,
        "model": ensemble.name,
        "lensing_masses": n_lensing,
        "x_minus_ln_m": {"mean": float(off.mean()), "std": float(off.std())},
        "out_of_domain": None if far is None else int(np.sum(far > 1)),
    }
    return counts, truth, facts


def sample_of(case: str, counts: NumberCounts, truth: np.ndarray) -> NumberCounts:
    """Return the sample of a case: without lensing masses, or with true masses for x."""
    if case == "whole":
        return counts
    none = np.full(len(truth), np.nan)
    alone = replace(counts, ln_lensing=none, lensing_error=none)
    if case != "true masses":
        return alone
    noise = TRUE_ERROR * np.random.default_rng(0).normal(size=len(truth))
    return replace(alone, x=truth + noise, x_error=np.full(len(truth), TRUE_ERROR))


def summary(model: NumberCountModel, chains: Chains) -> dict[str, Any]:
    """Return mean, standard deviation and deviation from the truth of what was sampled."""
    values = dict(zip(PARAMETERS, chains.draws.T, strict=True))
    values["s8"] = values["sigma8"] * np.sqrt(values["om0"] / 0.3)
    c = model.cosmology
    truth = {"om0": c.om0, "sigma8": c.sigma8, "s8": c.sigma8 * np.sqrt(c.om0 / 0.3)}
    found: dict[str, Any] = {}
    for name, draws in values.items():
        mean, std = float(draws.mean()), float(draws.std())
        if std > 0:
            found[name] = {"mean": mean, "std": std}
        if name in truth:
            found[name] |= {"truth": truth[name], "pull": (mean - truth[name]) / std}
    best = chains.best
    found["expected_at_best"] = model.expected(model.rates(*best[:2]))
    found["expected_at_truth"] = model.expected(model.rates(c.om0, c.sigma8))
    return found | {"convergence": chains.convergence}


def kept_chains(file: Path) -> Chains | None:
    """Return chains that an earlier run has kept."""
    if not file.exists():
        return None
    with np.load(file, allow_pickle=False) as kept:
        return Chains(kept["draws"], kept["best"], json.loads(str(kept["convergence"])))


def keep_chains(chains: Chains, file: Path) -> None:
    """Write chains to a file."""
    np.savez(file, draws=chains.draws, best=chains.best, convergence=json.dumps(chains.convergence))


def run(given: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Chains]]:
    """Fit every case, and return what comes out of each."""
    given.work.mkdir(parents=True, exist_ok=True)
    survey = open_sample(given.work, given.n, given.seed)
    selection = open_selection(given.work, given.halos)
    begin = time.process_time()
    counts, truth, facts = make_counts(survey, selection, given.lensing, given.seed)
    document: dict[str, Any] = {
        "command": " ".join(["python", "benchmarks/cosmology.py", *sys.argv[1:]]),
        "version": icmass.__version__,
        "seed": given.seed,
        **facts,
        "cases": {},
    }
    document["predict_cpu_s"] = round(time.process_time() - begin, 1)
    kept = {}
    for name in given.cases:
        sample = sample_of(name, counts, truth)
        model = NumberCountModel(sample, survey_cosmology(survey), CASES[name])
        file = given.work / f"chains-{given.n}-{given.seed}-{name.replace(' ', '-')}.npz"
        chains = kept_chains(file)
        if chains is None:
            begin = time.process_time()
            sampling = Sampling(max_steps=given.steps)
            chains = sample_posterior(model, seed=given.seed, sampling=sampling)
            chains.convergence["cpu_s"] = round(time.process_time() - begin, 1)
            keep_chains(chains, file)
        document["cases"][name] = summary(model, chains)
        kept[name] = chains
        print(name, json.dumps(document["cases"][name]), file=sys.stderr, flush=True)
    return document, kept


def draw(kept: dict[str, Chains], document: dict[str, Any], file: Path) -> None:
    """Draw the joint posteriors of Omega_m and sigma_8: 68 and 95 per cent."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D
    from scipy.stats import gaussian_kde

    labels = {
        "whole": "calibrated by lensing masses",
        "own scale, no lensing": "the network's own mass scale, no lensing",
        "true masses": "true masses of the same clusters",
    }
    figure, axes = plt.subplots(figsize=(6.4, 4.8), layout="constrained")
    handles = []
    for k, (name, chains) in enumerate(kept.items()):
        points = chains.draws[:: max(1, len(chains.draws) // 4000), :2].T
        density = gaussian_kde(points)
        low, high = points.min(axis=1), points.max(axis=1)
        low, high = low - 0.15 * (high - low), high + 0.15 * (high - low)
        x, y = np.meshgrid(*(np.linspace(a, b, 90) for a, b in zip(low, high, strict=True)))
        image = density(np.stack([x.ravel(), y.ravel()])).reshape(x.shape)
        levels = np.quantile(density(points), [0.05, 0.32])
        style: dict[str, Any] = {"colors": f"C{k}", "linewidths": 1.6 if k == 0 else 1.1}
        if k == 0:
            axes.contourf(x, y, image, [*levels, image.max()], colors="C0", alpha=0.25)
        axes.contour(x, y, image, levels, linestyles=["solid", "dashed", "dotted"][k], **style)
        handles.append(Line2D([], [], color=f"C{k}", ls=["-", "--", ":"][k], label=labels[name]))
    truth = [document["cases"]["whole"][name]["truth"] for name in ("om0", "sigma8")]
    (star,) = axes.plot(*truth, "k*", ms=11, label="truth of the mock", ls="none")
    axes.set(xlabel=r"$\Omega_m$", ylabel=r"$\sigma_8$")
    axes.set_title(
        f"{document['clusters']:,} clusters of a mock eRASS1 in {document['area_deg2']:,.0f} "
        f"deg$^2$, {document['lensing_masses']} lensing masses",
        fontsize=10,
    )
    axes.legend(handles=[*handles, star], frameon=False, fontsize=9)
    figure.savefig(file, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="where survey and table are kept")
    parser.add_argument("--n", type=int, default=2400, help="clusters at all redshifts")
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--lensing", type=int, default=400)
    parser.add_argument("--halos", type=int, default=4000, help="of the selection function")
    parser.add_argument("--steps", type=int, default=6000, help="of the chains at most")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--figure", type=Path)
    given = parser.parse_args()
    document, kept = run(given)
    if given.json is not None:
        write_text(given.json, json.dumps(document, indent=1) + "\n")
    if given.figure is not None:
        draw(kept, document, given.figure)
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
