"""Share of inputs that a network flags as none of its kind.

    python benchmarks/out_of_domain.py RUN erosita-3285.zarr [--model icm-3band] [--json ood.json]

RUN is a benchmark's folder: every cluster is judged by the fold model that did not see it; where a
model was fitted on some folds only, those of these folds are. The same clusters are then spoiled,
one way at a time; deeper exposures and other physics are simulated anew, from the survey's own
configuration and seed, so that they show the same halos.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr

import icmass
from icmass.cosmology import Cosmology
from icmass.estimators.estimator import split_predicted
from icmass.estimators.registry import load_estimator
from icmass.run.folder import RunFolder
from icmass.survey.catalog import open_survey
from icmass.survey.config import SurveyConfig
from icmass.survey.folds import octant_folds
from icmass.survey.variants import apply_variants
from icmass.survey.write import simulate_survey
from icmass.telescope.instrument import load_instrument

Spoil = Callable[[xr.Dataset, np.random.Generator], xr.Dataset]
VARIANTS = ("strong-feedback", "tng", "hotter", "more-agn")


def _with_maps(survey: xr.Dataset, maps: np.ndarray) -> xr.Dataset:
    return survey.assign(maps=(survey["maps"].dims, maps.astype("u2"), survey["maps"].attrs))


def nothing(survey: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
    return survey


def blank_field(survey: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
    maps = survey["maps"].values.copy()
    maps[:, :2] = 0
    return _with_maps(survey, maps)


def point_source(survey: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
    """All photons of gas and AGN from one point at the centre, blurred by the telescope."""
    maps = survey["maps"].values.copy()
    number = maps[:, :2].sum((1, 3, 4), dtype=int)
    maps[:, :2] = 0
    psf = load_instrument("erosita").psf
    config = SurveyConfig.model_validate_json(survey.attrs["config"])
    half_width, side = config.observe.half_width_mpc_h, maps.shape[-1]
    cosmology = Cosmology.model_validate_json(survey.attrs["cosmology"])
    for i, z in enumerate(survey["redshift"].values):
        scale = 60 * float(cosmology.arcmin_per_mpc_h(z))
        for band, n in enumerate(number[i]):
            offset = np.stack(psf.sample(np.full(n, 1.0), rng)) / scale
            place = ((offset + half_width) * side / (2 * half_width)).astype(int)
            x, y = place[:, ((place >= 0) & (place < side)).all(0)]
            np.add.at(maps[i, 1, band], (y, x), 1)
    return _with_maps(survey, maps)


def shifted(survey: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
    """The map moved by half its width; what leaves on one side comes in on the other."""
    return _with_maps(survey, np.roll(survey["maps"].values, survey.sizes["x"] // 2, axis=-1))


def noise(survey: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
    """As many photons, anywhere in the map."""
    maps = survey["maps"].values
    mean = maps.sum((1, 3, 4), dtype=float) / maps.shape[-1] ** 2
    drawn = np.zeros_like(maps)
    drawn[:, 2] = rng.poisson(np.broadcast_to(mean[..., None, None], drawn[:, 2].shape))
    return _with_maps(survey, drawn)


SPOILS: dict[str, Spoil] = {
    "as trained (false alarms)": nothing,
    "blank field": blank_field,
    "point source alone": point_source,
    "shifted by half the width": shifted,
    "noise": noise,
}


def simulated(survey: xr.Dataset, folder: Path, workers: int) -> dict[str, xr.Dataset]:
    """The same halos with twice the exposure, not told so, and with other physics."""
    config = SurveyConfig.model_validate_json(survey.attrs["config"])
    tree = config.model_dump(mode="json")
    low, high = config.observe.exposure_range
    wanted = {
        "double exposure, not told": tree
        | {"observe": tree["observe"] | {"exposure_s": [2 * low, 2 * high]}}
    }
    wanted |= {f"physics: {name}": apply_variants(tree, [name]) for name in VARIANTS}
    found = {}
    for i, (name, changed) in enumerate(wanted.items()):
        path = simulate_survey(
            SurveyConfig.model_validate(changed),
            n_clusters=survey.sizes["cluster"],
            seed=int(survey.attrs["seed"]),
            out=folder / f"{i}.zarr",
            workers=workers,
        )
        found[name] = open_survey(path).assign(exposure=survey["exposure"])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("survey", type=Path)
    parser.add_argument("--model", default="icm-3band")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    survey = open_survey(given.survey)
    run = RunFolder(given.run)
    n_folds = run.read_folded_config().folds
    fold = octant_folds(survey, n_folds)
    fitted = [k for k in range(n_folds) if run.layout.has_model(given.model, k)]
    flags: dict[str, list[np.ndarray]] = {}
    with tempfile.TemporaryDirectory() as folder:
        others = simulated(survey, Path(folder), given.workers)
        for k in fitted:
            _, test = split_predicted(fold, k, survey["redshift"].values)
            estimator = load_estimator(run.layout.model(given.model, k), device="cpu")
            own = survey.isel(cluster=test).load()
            rng = np.random.default_rng(k)
            inputs = {name: spoil(own, rng) for name, spoil in SPOILS.items()}
            inputs |= {name: other.isel(cluster=test).load() for name, other in others.items()}
            for name, seen in inputs.items():
                score = estimator.predict(seen, np.arange(len(test))).out_of_domain
                flags.setdefault(name, []).append(np.asarray(score) > 1)
    rates = {name: float(np.mean(np.concatenate(parts))) for name, parts in flags.items()}
    for name, rate in rates.items():
        print(f"{name:28} {100 * rate:5.1f} per cent flagged")
    if given.json:
        n_clusters = int(np.isin(fold, fitted).sum())
        about = {"model": given.model, "n_clusters": n_clusters, "folds": n_folds}
        about |= {"folds_fitted": fitted, "version": icmass.__version__}
        given.json.write_text(json.dumps(about | {"flagged": rates}, indent=1) + "\n")


if __name__ == "__main__":
    main()
