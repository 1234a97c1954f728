"""Train the bundled family `erass-v2`: any gas physics that eROSITA's clusters allow, any depth.

    python tools/train_erass_v2.py --work DIR [--scale 1] [--epochs 16] [--members NAME ...]

One training set in thirteen narrow bands serves all members, whose bands are sums of these. Its
universes are drawn from a prior of the gas physics, hundreds of them, and column density and
exposure are independent of them; see `PRIOR`. Every tenth universe is kept for the scores on the
model cards. Models go to `src/icmass/models/`, their scores to `benchmarks/results/erass-v2.json`.
A killed run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from icmass.benchmarking.scores import score
from icmass.estimators.card import BUNDLED_LICENSE, describe_model
from icmass.estimators.network import NetworkEstimator
from icmass.survey.bands import add_counts, sum_bands
from icmass.survey.catalog import open_survey
from icmass.survey.presets import resolve_config
from icmass.survey.write import simulate_survey

ROOT = Path(__file__).parents[1]
EDGES = (0.2, 0.5, 0.6, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0, 2.3, 3.0, 4.5, 5.0, 7.0)
"""Edges of the narrow bands [keV]."""
MEMBERS = {
    "erass-v2-9band": (0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0, 3.0, 4.5, 7.0),
    "erass-v2-3band": (0.5, 1.2, 2.0, 7.0),
    "erass-v2-1band": (0.2, 2.3),
    "erass-v2-dr1": (0.2, 0.6, 2.3, 5.0),
}
"""Edges of the bands of each member [keV]; their networks see each band apart."""
PRIOR = (
    "physics.f_gas_groups=[0.03,0.085]",
    "physics.f_gas_clusters=[0.065,0.115]",
    "physics.f_gas_evolution=[-0.4,0.6]",
    "physics.t_kev=[2.2,3.3]",
    "physics.t_tilt=[-0.15,0.05]",
    "physics.core_share=[-1.4,-0.6]",
    "physics.cusp_share=[0.0,0.6]",
)
"""Where the ranges are not the default: about the gas of the clusters that eROSITA saw (the variant
`efeds`). Gas fractions of Magneticum are within, but its clusters are more luminous at the same gas
mass; those of IllustrisTNG are beyond."""
SETTINGS = (
    "observe.exposure_s=[100.0,10000.0]",
    "observe.exposure_law=log-uniform",
    "observe.nh_range_1e20=[0.5,20.0]",
    "observe.n_pixels=64",
)
PARTS = {
    "groups": (11_000, 0.3, 13.3),
    "near": (11_000, 0.8, 13.6),
    "far": (11_000, 1.3, 13.9),
    "massive": (4_500, 0.9, 14.4),
    "most massive": (2_500, 0.7, 14.75),
}
"""Clusters, largest redshift and least log10 M500c of each part: more of the rare ones."""
SEEN = {"whole": (), "masked": ("observe.coverage={}",)}
"""Each part twice: maps seen as they are, and with masked sources, field edges and gradients."""
UNIVERSES = 400
FEW_BANDS, MOST_PHOTONS = 3, 32_767
"""Of more bands than that no pixel may have more photons: they are held in 16 bits in training."""
ABOUT = ("format", "cosmology", "config", "seed", "version")
"""Attributes of a part that the whole has, in the end those of the last."""
SEED = 201
KEPT = ("maps", "coverage", "m500c", "redshift", "r500c", "exposure", "nh", "halo_id", "universe")
BINS = {
    "exposure_s": (100, 300, 1000, 3000, 10000),
    "redshift": (0.03, 0.1, 0.3, 0.6, 1.3),
    "nh": (0.5, 2, 6, 20),
    "log10_m500c": (13.3, 13.6, 13.9, 14.2, 14.5, 14.8, 15.2),
}


def simulated(work: Path, scale: float, workers: int) -> dict[str, Path]:
    """Simulate each part of the training set, or go on with it."""
    stores = {}
    bands = ",".join(f"[{lo},{hi}]" for lo, hi in pairwise(EDGES))
    parts = product(PARTS.items(), SEEN.items())
    for seed, ((name, (n, z_max, least)), (seen, masks)) in enumerate(parts, start=SEED):
        of_part = (
            *masks,
            f"observe.bands=[{bands}]",
            f"halos.redshift_range=[0.03,{z_max}]",
            f"halos.log_m500c_min={least}",
            f"halos.selection={'paper' if least < 14.3 else 'mass_function'}",
        )
        n_universes = min(UNIVERSES, int(scale * n))
        config = resolve_config(
            assignments=(*PRIOR, *SETTINGS, *of_part),
            variants=("efeds",),
            physics="prior",
            universes=n_universes,
        )
        name = f"{name.replace(' ', '-')}-{seen}"
        out = stores[name] = work / f"{name}.zarr"
        if not out.exists():
            simulate_survey(
                config,
                n_clusters=int(scale * n),
                seed=seed,
                out=out,
                workers=workers,
                resume=True,
            )
    return stores


def in_bands(store: Path, edges: tuple[float, ...], number: int) -> xr.Dataset:
    """Return a survey with narrow bands added to wide ones, and components added.

    The halos are numbered by universe, so that what is held out of training is whole universes.
    Clusters with more than `MOST_PHOTONS` in a pixel of many bands are left out, one in 80,000.
    """
    survey = open_survey(store)
    if "coverage" not in survey:
        shape = [survey.sizes[dim] for dim in ("cluster", "y", "x")]
        survey = survey.assign(coverage=(("cluster", "y", "x"), np.ones(shape, np.float16)))
    found = sum_bands(survey[list(KEPT)], list(pairwise(edges)))
    total = add_counts(found["maps"], "component").expand_dims(component=["total"], axis=1)
    found = found.drop_dims("component").assign(maps=total).load()
    found["halo_id"] = found["universe"] + number * 10**6
    if found.sizes["band"] <= FEW_BANDS:
        return found
    return found.isel(cluster=found["maps"].values.max((1, 2, 3, 4)) <= MOST_PHOTONS)


def combined(name: str, stores: dict[str, Path], work: Path) -> xr.Dataset:
    """Return all parts as one survey in the bands of a member, kept in `work`."""
    out, draft = work / f"{name}.zarr", work / f"{name}.partial"
    if not out.exists():
        shutil.rmtree(draft, ignore_errors=True)
        for number, store in enumerate(stores.values()):
            part = in_bands(store, MEMBERS[name], number).drop_encoding()
            part.attrs = {key: part.attrs[key] for key in ABOUT if key in part.attrs} | {
                "physics": f"{UNIVERSES} universes of a prior in each of {len(stores)} parts",
                "settings": json.dumps([*PRIOR, *SETTINGS]),
                "preset": "erosita (physics prior)",
            }
            if number:
                part.to_zarr(draft, append_dim="cluster")
                continue
            chunks = {key: {"chunks": (64, *part[key].shape[1:])} for key in ("maps", "coverage")}
            part.to_zarr(draft, mode="w", encoding=chunks)
        draft.rename(out)
    return open_survey(out)


def binned(survey: xr.Dataset, test: np.ndarray, estimator: NetworkEstimator) -> dict[str, Any]:
    """Return the scores of the test clusters: of all, and in bins."""
    prediction = estimator.predict(survey, test)
    ln_m, halo = np.log(survey["m500c"].values[test]), survey["halo_id"].values[test]
    redshift, rng = survey["redshift"].values[test], np.random.default_rng(1)

    def scores(chosen: np.ndarray) -> dict[str, Any]:
        about = {"halo_id": halo[chosen], "redshift": redshift[chosen], "rng": rng}
        row = score(ln_m[chosen], prediction.take(np.flatnonzero(chosen)), **about).as_dict()
        wanted = ("n", "sigma_lnm", "sigma_lnm_error", "bias_lnm", "bias_lnm_error")
        return {key: row[key] for key in (*wanted, "coverage68", "coverage95", "crps")}

    values = {
        "exposure_s": survey["exposure"].values[test],
        "redshift": redshift,
        "nh": survey["nh"].values[test],
        "log10_m500c": ln_m / np.log(10),
    }
    found: dict[str, Any] = {"all": scores(np.ones(len(test), bool))}
    for name, edges in BINS.items():
        for lo, hi in pairwise(edges):
            chosen = (values[name] >= lo) & (values[name] < hi)
            if chosen.sum() >= 20:
                found[f"{name} {lo:g}-{hi:g}"] = scores(chosen)
    found["flagged"] = float(np.mean(np.asarray(prediction.out_of_domain) > 1))
    return found


def card_lines(found: dict[str, Any]) -> list[str]:
    """Return the table of scores and the limits of the model card."""
    lines = [
        "## Scores",
        "",
        f"{found['all']['n']} clusters of universes that training never saw; in per cent. Low "
        "exposures and high redshifts hold clusters of a few photons, of which any survey would "
        "detect few: there the posterior is about the prior.",
        "",
        "| clusters | scatter of ln M | bias | within 68 | within 95 |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, row in found.items():
        if name != "flagged":
            keys = ("sigma_lnm", "bias_lnm", "coverage68", "coverage95")
            numbers = " | ".join(f"{100 * row[key]:.1f}" for key in keys)
            lines.append(f"| {name.replace('_', ' ')} | {numbers} |")
    return [
        *lines,
        "",
        f"{100 * found['flagged']:.1f} per cent of them are flagged as out of domain.",
        "",
        "## Known limits",
        "",
        "- The posterior is marginal over the gas physics of a prior about what eROSITA observed; "
        "its mass scale is that of the prior's middle, the eFEDS clusters with lensing masses. "
        "Physics of simulations whose clusters are more luminous at the same mass is beyond it.",
        "- Mocks only: the background is eROSITA's average with its excess scatter, centres and "
        "redshifts are exact.",
        "- Half of the training maps have masked sources, a field edge or a gradient of the "
        "exposure; in the others all is seen. Other ways of hiding a map were not in it.",
        "- The prior of the mass is that of the training masses, more of them heavy than in the "
        "sky. Of clusters that a survey detected it is off by less than `--prior mass-function`, "
        "which knows nothing of the selection: see the table of bundled models in the docs.",
    ]


def describe(out: Path, found: dict[str, Any]) -> None:
    """Add scores and limits to the model card, and the scatter that `icmass predict` tells."""
    card = (out / "README.md").read_text(encoding="utf-8").split("## Scores")[0].rstrip()
    card = card.replace("# icm-3band\n", f"# {out.name}: icm-3band\n", 1)
    text = "\n".join([card, "", *card_lines(found)]) + "\n"
    (out / "README.md").write_text(text, encoding="utf-8")
    scored = {"name": "icm-3band", "kind": "network", **found["all"]}
    text = json.dumps({"estimators": [scored]}, indent=1)
    (out / "results.json").write_text(text + "\n", encoding="utf-8")
    describe_model(out, name=out.name, license=BUNDLED_LICENSE)


def train(
    name: str, stores: dict[str, Path], work: Path, epochs: int, models: Path
) -> dict[str, Any]:
    """Train one member, save it and return its scores."""
    survey = combined(name, stores, work)
    test = np.flatnonzero(survey["universe"].values % 10 == 0)
    rest = np.flatnonzero(survey["universe"].values % 10 != 0)
    estimator = NetworkEstimator(
        "icm-3band",
        seed=1,
        max_epochs=epochs,
        checkpoint=work / f"checkpoint-{name}",
        progress=lambda epoch: print(name, epoch, flush=True),
    )
    estimator.in_memory_bytes = 2**34  # nine bands take 7 GB, and the fit as much again for a while
    # components are added already, and few clusters share their exposure
    estimator.training_config = replace(estimator.training_config, augmentation="symmetries")
    estimator.fit(survey, rest)
    estimator.save(models / name)
    found = binned(survey, test, estimator)
    describe(models / name, found)
    return {"n_train": len(rest), "bands_kev": MEMBERS[name], **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of clusters")
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--members", nargs="*", default=list(MEMBERS), choices=list(MEMBERS))
    parser.add_argument("--models", type=Path, default=ROOT / "src/icmass/models")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks/results/erass-v2.json")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    stores = simulated(given.work, given.scale, given.workers)
    for name in given.members:
        found = train(name, stores, given.work, given.epochs, given.models)
        document = json.loads(given.results.read_text()) if given.results.exists() else {}
        document |= {"settings": [*PRIOR, *SETTINGS], "parts": PARTS, "universes": UNIVERSES}
        document["seen"] = SEEN
        document.setdefault("members", {})[name] = found
        given.results.write_text(json.dumps(document, indent=1) + "\n")
        print(name, json.dumps(found["all"]), flush=True)


if __name__ == "__main__":
    main()
