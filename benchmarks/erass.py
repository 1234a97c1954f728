"""Saved models on fresh mocks of eRASS1, eRASS:8 and the eFEDS field, beside count-rate masses.

    python benchmarks/erass.py [--models erass-v2-3band erosita-v1 ...]
        [--surveys erass1 erass1-cosmology ...] [--n 1500] [--work DIR] [--given NAME=X.zarr ...]
        [--out benchmarks/results/erass.json] [--markdown TABLE.md]

Each sample is simulated once (seeds below; none is used elsewhere), in bands that add up to those
of every model, so that all models look at the same photons. Posteriors are scored with three
priors of the mass: `training`; `mass-function`, as `icmass predict --prior mass-function`; and
`population`, the distribution of the survey's masses at each redshift: of detected clusters, the
mass function times the selection. It is fitted on one half of the halos and used on the other.

Flagged clusters are scored with the others, and apart as `unflagged`. Refused are redshifts that a
model was not trained for. Bins of mass, 0.3 dex, are of the predicted mass, in which a calibrated
posterior has its nominal coverage, and of the true mass, in which none has.

Count-rate masses: counts within 0.5 comoving Mpc/h less the background of the map's rim, a second,
and `icmass.validation.rate_relation` fitted on one half of the halos, inverted on the other.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import icmass
from icmass.errors import InputError
from icmass.estimators.estimator import is_trained_redshift
from icmass.estimators.posterior import Prediction
from icmass.estimators.prior import TrainingPrior, flat_prior, mass_function_prior
from icmass.files import write_text
from icmass.inference.bundled import DEFAULT_MODEL, bundled_families
from icmass.inference.ensemble import Ensemble
from icmass.inference.likelihood import keeps_prior, predict_likelihood
from icmass.inference.quality_flags import central_photons, reasons
from icmass.proxies.names import read_halos, read_scalar
from icmass.proxies.scaling import bootstrap_by_halo
from icmass.run.table import Column, Table
from icmass.sky.bands import Band, band_label, find_tiles
from icmass.sky.map_grid import APERTURE_MPC_H
from icmass.survey.bands import sum_bands
from icmass.survey.catalog import survey_bands, survey_cosmology
from icmass.survey.counts import counts
from icmass.validation.rate_relation import PIVOT_MSUN, RateRelation

SAMPLES: dict[str, tuple[str, int, tuple[str, ...]]] = {
    "erass1": ("erass1", 90101, ()),
    "erass1-cosmology": ("erass1", 90102, ("detection.extent_likelihood=6",)),
    "erass8": ("erass8", 90108, ()),
    "erass8-cosmology": ("erass8", 90109, ("detection.extent_likelihood=6",)),
    "efeds": (
        "efeds",
        90111,
        (
            "detection.extent_likelihood=6",
            "halos.redshift_law=volume",
            "halos.selection=mass_function",
            "halos.redshift_range=[0.05,1.0]",
            "halos.log_m500c_min=13.3",
        ),
    ),
}
"""Preset, seed and settings of each. The extent likelihood is 3 in the catalogue of eRASS1, 6 in
its cosmology sample (Bulbul et al. 2024, A&A 685, A106) and in the catalogue of eFEDS (Liu et al.
2022, A&A 661, A2), whose preset detects nothing by itself."""
MASS_EDGES = tuple(round(13.0 + 0.3 * k, 1) for k in range(10))
"""Of bins of log10 M500c [Msun/h]."""
PHOTON_EDGES = (30, 60, 120, 250, 500, 750)
"""Of bins of net photons within 0.5 comoving Mpc/h."""
FEWEST = 10  # clusters in a bin
DRAWS = 200
RATE_BAND: Band = (0.2, 2.3)
RIM_MPC_H = 1.6
PUBLISHED = {
    "scatter_ln_rate": 0.98,
    "scatter_ln_mass": 0.7,
    "source": "count-rate masses of eRASS1: Ghirardini et al. 2024, A&A 689, A298",
}


def scores(
    residual: np.ndarray, pit: np.ndarray, crps: np.ndarray, halo: np.ndarray, seed: int = 0
) -> dict[str, Any]:
    """Return bias, scatter, rms, coverage and CRPS with their errors.

    Errors are of a bootstrap by halo; those of coverage are binomial, at (k + 1) / (n + 2).
    """

    def measured(i: np.ndarray | slice) -> tuple[float, ...]:
        r = residual[i]
        return float(r.mean()), float(r.std()), float(np.sqrt(np.mean(r**2))), float(crps[i].mean())

    drawn = bootstrap_by_halo(halo, DRAWS, np.random.default_rng([seed, 3]))
    errors = np.std([measured(i) for i in drawn], axis=0, ddof=1)
    found: dict[str, Any] = {"n": len(residual)}
    names = ("bias_lnm", "sigma_lnm", "rms_lnm", "crps")
    for name, value, error in zip(names, measured(slice(None)), errors, strict=True):
        found |= {name: value, f"{name}_error": float(error)}
    n_halos = len(np.unique(halo))
    for level in (68, 95):
        held = float(np.mean(np.abs(pit - 0.5) <= level / 200))
        p = (held * n_halos + 1) / (n_halos + 2)
        found |= {f"coverage{level}": held}
        found |= {f"coverage{level}_error": float(np.sqrt(p * (1 - p) / n_halos))}
    return found


def binned(value: np.ndarray, edges: Sequence[float], *of: np.ndarray) -> list[dict[str, Any]]:
    """Return `scores` in bins of a value; bins of fewer than `FEWEST` clusters are left out."""
    rows = []
    for low, high in pairwise(edges):
        inside = (value >= low) & (value < high)
        if inside.sum() >= FEWEST:
            rows.append({"from": low, "to": high} | scores(*(each[inside] for each in of)))
    return rows


def all_scores(prediction: Prediction, truth: Truth, rows: np.ndarray) -> dict[str, Any]:
    """Return the scores of posteriors of the clusters `rows`, whole and in bins."""
    ln_m, halo = truth.ln_m[rows], truth.halo[rows]
    finite = np.isfinite(prediction.mean)
    prediction, rows = prediction.take(np.flatnonzero(finite)), rows[finite]
    ln_m, halo = ln_m[finite], halo[finite]
    of = (prediction.mean - ln_m, prediction.cdf(ln_m), prediction.crps(ln_m), halo)
    log10 = np.log(10)
    return scores(*of) | {
        "lost": int((~finite).sum()),
        "by_predicted_mass": binned(prediction.mean / log10, MASS_EDGES, *of),
        "by_true_mass": binned(ln_m / log10, MASS_EDGES, *of),
        "by_photons": binned(truth.net[rows], PHOTON_EDGES, *of),
    }


class Truth:
    """What is known of a mock's clusters: masses, halos, halves, net counts and seconds."""

    def __init__(self, survey: xr.Dataset) -> None:
        self.cosmology = survey_cosmology(survey)
        self.ln_m = np.log(read_scalar(survey, "m500c"))
        self.redshift, self.halo = read_scalar(survey, "redshift"), read_halos(survey)
        unique, which = np.unique(self.halo, return_inverse=True)
        self.half = np.random.default_rng(5).permutation(len(unique))[which] % 2
        self.net, self.band = net_counts(survey)
        self.rate = self.net / read_scalar(survey, "exposure")

    def population(self, rows: np.ndarray) -> np.ndarray:
        """Return the log prior of the survey's masses, each half's by the other, (n, node)."""
        of_half = [
            TrainingPrior.fit(self.ln_m[self.half != k], self.redshift[self.half != k])
            for k in (0, 1)
        ]
        both = np.stack([prior.log_density(self.redshift[rows]) for prior in of_half])
        return both[self.half[rows], np.arange(len(rows))]


def net_counts(survey: xr.Dataset) -> tuple[np.ndarray, str]:
    """Return counts within the aperture less the rim's background, and their band."""
    given = survey_bands(survey)
    tiles = find_tiles(RATE_BAND, given)
    used = list(range(len(given))) if tiles is None else tiles
    label = (
        ", ".join(band_label(given[k]) for k in used) if tiles is None else band_label(RATE_BAND)
    )
    radius = np.hypot(survey["y"].values[:, None], survey["x"].values)
    core, rim = radius <= APERTURE_MPC_H, radius >= RIM_MPC_H
    net = np.empty(survey.sizes["cluster"])
    for start in range(0, len(net), 128):
        some = slice(start, start + 128)
        image = counts(survey, some)[:, used].sum(1, dtype=float)
        weight = np.ones(image.shape)
        if "coverage" in survey:
            weight = survey["coverage"][some].values.astype(float)
        level = image[:, rim].sum(1) / np.maximum(weight[:, rim].sum(1), 1e-9)
        seen = np.maximum(weight[:, core].sum(1), 1e-9)
        net[some] = (image[:, core].sum(1) - level * seen) * core.sum() / seen
    return net, label


def count_rate_masses(truth: Truth) -> dict[str, Any]:
    """Return how well count rates do: the relation inverted, and the mean mass at a rate."""
    use = np.flatnonzero(truth.net > 0)
    mass = np.exp(truth.ln_m) / truth.cosmology.h
    z, rate = truth.redshift, truth.rate
    inverse, regressed = (np.full(len(mass), np.nan) for _ in range(2))
    slopes, scatter = [], []
    for k in (0, 1):
        fit, test = use[truth.half[use] != k], use[truth.half[use] == k]
        relation = RateRelation.fit(rate[fit], mass[fit], z[fit], truth.cosmology)
        slopes.append(relation.mass_slope)
        scatter.append(relation.scatter)
        pivot = np.full(len(mass), PIVOT_MSUN)
        excess = np.full(len(mass), np.nan)
        excess[use] = np.log(rate[use] / relation.rate(pivot[use], z[use], truth.cosmology))
        inverse[test] = excess[test] / relation.mass_slope - np.log(mass[test] / PIVOT_MSUN)
        terms = np.stack([np.ones_like(z), excess, np.log1p(z)], axis=1)
        ln_m = np.log(mass)
        weights = np.linalg.lstsq(terms[fit], ln_m[fit], rcond=None)[0]
        regressed[test] = terms[test] @ weights - ln_m[test]

    def spread(residual: np.ndarray) -> dict[str, float]:
        r = residual[use]
        return {
            "bias_lnm": float(r.mean()),
            "sigma_lnm": float(r.std()),
            "rms_lnm": float(np.sqrt(np.mean(r**2))),
        }

    return {
        "n": len(use),
        "without_net_counts": int(len(mass) - len(use)),
        "band": truth.band,
        "mass_slope": float(np.mean(slopes)),
        "scatter_ln_rate": float(np.mean(scatter)),
        "relation_inverted": spread(inverse),
        "mean_mass_at_rate": spread(regressed),
        "by_photons": [
            {"from": low, "to": high, "n": int(inside.sum())}
            | {"rms_lnm": float(np.sqrt(np.mean(regressed[inside] ** 2)))}
            for low, high in pairwise(PHOTON_EDGES)
            if (inside := (truth.net >= low) & (truth.net < high)).sum() >= FEWEST
        ],
        "published": PUBLISHED,
    }


def score_model(model: Ensemble, whole: xr.Dataset, truth: Truth) -> dict[str, Any]:
    """Return a model's scores on a survey, with each prior."""
    survey = sum_bands(whole, model.map_grid().bands)
    near = is_trained_redshift(truth.redshift, model.training.redshift_range)
    rows = np.flatnonzero(near)
    prediction = model.predict(survey, rows)
    why = reasons(model, survey, rows, prediction, central_photons(survey, rows))
    flagged = np.array([bool(words) for words in why])
    far = prediction.out_of_domain
    found: dict[str, Any] = {"n": len(rows), "refused": int((~near).sum())}
    found |= {"flagged": int(flagged.sum())}
    found |= {"out_of_domain": None if far is None else int(np.sum(far > 1))}
    kept = np.flatnonzero(~flagged)
    priors: dict[str, Prediction] = {"training": prediction}
    if keeps_prior(model):
        flat = predict_likelihood(model, survey, rows).prediction
        z = truth.redshift[rows]
        with np.errstate(all="ignore"):
            for name, new in (
                ("mass-function", mass_function_prior(z, truth.cosmology)),
                ("population", truth.population(rows)),
            ):
                priors[name] = flat.with_prior(flat_prior(z), new)
    for name, posterior in priors.items():
        found[name] = all_scores(posterior, truth, rows)
        if len(kept) >= FEWEST:
            found[name]["unflagged"] = all_scores(posterior.take(kept), truth, rows[kept])
    return found


def bands_of(models: Sequence[Ensemble]) -> list[Band]:
    """Return bands that add up to those of every model, and to that of count rates."""
    bands = {RATE_BAND, *(band for model in models for band in model.map_grid().bands)}
    edges = sorted({edge for band in bands for edge in band})
    return list(pairwise(edges))


def simulated(name: str, n: int, bands: Sequence[Band], work: Path) -> xr.Dataset:
    """Return a fresh survey of a sample, of 64 pixels a side."""
    edges = json.dumps([list(band) for band in bands])
    preset, seed, more = SAMPLES[name]
    settings = [f"observe.bands={edges}", "observe.n_pixels=64", *more]
    out = work / f"{name}.zarr"
    begun = out.with_name(f"{out.name}.partial").exists()
    return icmass.simulate(preset, n=n, seed=seed, assignments=settings, out=out, resume=begun)


def table(document: dict[str, Any]) -> str:
    """Return the scores as tables in Markdown: whole, and rms as a function of photons."""
    columns = ["survey, model", "prior", *(Column(h) for h in ("n", "refused", "flagged"))]
    columns += [Column(h) for h in ("bias", "scatter", "rms", "within 68", "within 95", "CRPS")]
    rows, of_photons = [], []
    for survey, found in document["surveys"].items():
        rate = found["count_rate"]
        for what in ("relation_inverted", "mean_mass_at_rate"):
            told = [f"{rate[what][key]:.3f}" for key in ("bias_lnm", "sigma_lnm", "rms_lnm")]
            name = f"{survey}, count rate ({what.replace('_', ' ')})"
            rows.append([name, "-", str(rate["n"]), "", "", *told, "", "", ""])
        for model, of_model in found["models"].items():
            for prior in ("training", "mass-function", "population"):
                if prior not in of_model:
                    continue
                s = of_model[prior]
                about = [str(of_model[key]) for key in ("n", "refused", "flagged")]
                keys = ("bias_lnm", "sigma_lnm", "rms_lnm", "coverage68", "coverage95", "crps")
                told = [f"{s[key]:.3f} ± {s[key + '_error']:.3f}" for key in keys]
                rows.append([f"{survey}, {model}", prior, *about, *told])
                of_photons += [
                    [f"{survey}, {model}", prior, f"{b['from']}-{b['to']}", str(b["n"]),
                     f"{b['bias_lnm']:+.3f} ± {b['bias_lnm_error']:.3f}",
                     f"{b['rms_lnm']:.3f} ± {b['rms_lnm_error']:.3f}"]
                    for b in s["by_photons"]
                ]  # fmt: skip
    note = (
        f"Published count-rate masses scatter by {PUBLISHED['scatter_ln_rate']} in ln of the rate, "
        f"{PUBLISHED['scatter_ln_mass']:.0%} in mass ({PUBLISHED['source']})."
    )
    photons = Table(["survey, model", "prior", "net photons", "n", "bias", "rms"], of_photons)
    whole = Table(columns, rows, title="Scores in ln M500c", notes=[note])
    return whole.to_markdown() + "\n" + photons.to_markdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=[*bundled_families()[DEFAULT_MODEL]])
    parser.add_argument("--surveys", nargs="+", choices=list(SAMPLES), default=list(SAMPLES))
    parser.add_argument("--n", type=int, default=1500)
    parser.add_argument("--work", type=Path, help="keep the surveys here, and use those there")
    parser.add_argument("--given", nargs="+", default=[], metavar="NAME=X.zarr")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--markdown", type=Path)
    given = parser.parse_args()
    models = {Path(name).name: icmass.load_model(name, device="cpu") for name in given.models}
    ensembles = {name: model for name, model in models.items() if isinstance(model, Ensemble)}
    if families := models.keys() - ensembles.keys():
        parser.error(f"name the members of {', '.join(sorted(families))}")
    paths = dict(pair.split("=", 1) for pair in given.given)
    document: dict[str, Any] = {
        "command": " ".join(["python", "benchmarks/erass.py", *sys.argv[1:]]),
        "version": icmass.__version__,
        "surveys": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        work = given.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        for name in paths or given.surveys:
            stored = Path(paths.get(name, work / f"{name}.zarr"))
            if stored.exists():
                survey = icmass.open_survey(stored)
            else:
                survey = simulated(name, given.n, bands_of(list(ensembles.values())), work)
            truth = Truth(survey)
            found = {"n": len(truth.ln_m), "seed": int(survey.attrs["seed"])}
            scored, failed = {}, {}
            for key, model in ensembles.items():
                try:
                    scored[key] = score_model(model, survey, truth)
                except InputError as error:
                    failed[key] = str(error)
            found |= {"count_rate": count_rate_masses(truth), "models": scored, "failed": failed}
            document["surveys"][name] = found
            print(name, "done", file=sys.stderr, flush=True)
    if given.out is not None:
        write_text(given.out, json.dumps(document, indent=1) + "\n")
    if given.markdown is not None:
        write_text(given.markdown, table(document))
    print(table(document))


if __name__ == "__main__":
    main()
