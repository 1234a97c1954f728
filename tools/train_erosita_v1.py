"""Train the bundled model `erosita-v1`: mocks of many physics, depths and column densities.

    python tools/train_erosita_v1.py --work DIR [--clusters 24000] [--epochs 28]

Every variant of the physics below is simulated with every column density, on light-cones of their
own, with exposures drawn at random; one tenth of all is kept for the scores on the model card. The
model goes to `src/icmass/models/erosita-v1`, its scores to `benchmarks/results/erosita-v1.json`.
"""

from __future__ import annotations

import argparse
import json
import os
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from icmass.benchmarking.scores import Scores, score
from icmass.estimators.card import BUNDLED_LICENSE, describe_model
from icmass.estimators.network import NetworkEstimator
from icmass.survey.catalog import open_survey
from icmass.survey.presets import resolve_config
from icmass.survey.write import simulate_survey

ROOT = Path(__file__).parents[1]
NAME = "icm-3band"
PHYSICS: dict[str, tuple[str, ...]] = {
    "magneticum": (),
    "efeds": ("efeds",),
    "flamingo": ("flamingo",),
    "tng": ("tng",),
    "spt-xmm": ("spt-xmm",),
    "xxl": ("xxl", "few-cool-cores"),
    "efeds-cool-cores": ("efeds", "cool-cores"),
    "magneticum-agn": ("more-agn", "clumpy"),
}
"""Variants of the physics of each part of the training set."""
NH = (1.5, 3.5, 7.0)
"""Column densities [1e20 cm^-2], the same for every physics: else N_H would tell which it is."""
SETTINGS = (
    "halos.redshift_range=[0.05, 0.6]",
    "halos.log_m500c_min=13.3",
    "observe.exposure_s=[300.0, 4000.0]",
    "observe.n_pixels=64",
)
CARD = "## Scores"
LIMITS = (
    "## Known limits",
    "",
    "- The physics is an even mixture of eight published models: a cluster's posterior is averaged",
    "  over them, and for any one of them masses are biased as the table says.",
    "- Mocks only: point sources are not masked in them, the background is eROSITA's average with",
    "  its excess scatter, centres and redshifts are exact.",
    "- Clusters hidden in part (masks, field edges) were not in the training set.",
    "- The prior is that of the training masses, flat in ln M to 10^14.3 Msun/h: `--prior` puts",
    "  in another.",
)
UNUSED = ("galaxy_", "latent_", "N_gal", "sigma_v", "M_star")


def simulated(work: Path, n_clusters: int, workers: int) -> dict[tuple[str, float], xr.Dataset]:
    """Simulate, or open, each part of the training set."""
    parts = {}
    for seed, ((name, variants), nh) in enumerate(product(PHYSICS.items(), NH), start=101):
        config = resolve_config(assignments=(*SETTINGS, f"observe.nh_1e20={nh}"), variants=variants)
        out = work / f"{name}-nh{nh:g}.zarr"
        if not out.exists():
            simulate_survey(config, n_clusters=n_clusters, seed=seed, out=out, workers=workers)
        survey = open_survey(out)
        unused = [v for v in survey.variables if str(v).startswith(UNUSED)]
        parts[name, nh] = survey.drop_vars(unused).load()
        parts[name, nh]["halo_id"] = parts[name, nh]["halo_id"] + seed * 10**9
    return parts


def combined(parts: dict[tuple[str, float], xr.Dataset]) -> tuple[xr.Dataset, np.ndarray]:
    """Return all parts as one survey, and the name of the part of each cluster."""
    whole = xr.concat(list(parts.values()), "cluster", combine_attrs="override")
    whole.attrs |= {"physics": json.dumps(PHYSICS), "settings": json.dumps(SETTINGS)}
    whole.attrs["preset"] = "erosita (8 variants of the physics)"
    sizes = [part.sizes["cluster"] for part in parts.values()]
    return whole, np.repeat([name for name, _ in parts], sizes)


def describe(out: Path, document: dict[str, Any]) -> None:
    """Add scores and limits to the model card, and the scatter that `icmass predict` tells."""
    card = (out / "README.md").read_text(encoding="utf-8").split(CARD)[0].rstrip()
    card = card.replace(f"# {document['model']}\n", f"# {out.name}: {document['model']}\n", 1)
    n_test = document["scores"]["all"]["n"]
    lines = [
        CARD,
        "",
        f"{n_test} clusters that training never saw, none of their halos among it; in per cent.",
        "",
        "| physics | scatter of ln M | bias | within 68 | within 95 |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, row in document["scores"].items():
        numbers = (row[key] for key in ("sigma_lnm", "bias_lnm", "coverage68", "coverage95"))
        lines.append(f"| {name} | " + " | ".join(f"{100 * x:.1f}" for x in numbers) + " |")
    lines += [
        "",
        f"{100 * document['flagged_of_test']:.1f} per cent of them are flagged as out of domain.",
        "",
        *LIMITS,
    ]
    (out / "README.md").write_text(card + "\n\n" + "\n".join(lines) + "\n", encoding="utf-8")
    scored = {"name": document["model"], "kind": "network", **document["scores"]["all"]}
    text = json.dumps({"estimators": [scored]}, indent=1)
    (out / "results.json").write_text(text + "\n", encoding="utf-8")
    describe_model(out, name=out.name, license=BUNDLED_LICENSE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--clusters", type=int, default=24_000)
    parser.add_argument("--epochs", type=int, default=28)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=ROOT / "src/icmass/models/erosita-v1")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    parts = simulated(given.work, given.clusters // len(PHYSICS) // len(NH), given.workers)
    survey, physics = combined(parts)
    del parts
    order = np.random.default_rng(0).permutation(survey.sizes["cluster"])
    test, train = np.sort(order[: len(order) // 10]), np.sort(order[len(order) // 10 :])
    estimator = NetworkEstimator(
        NAME,
        seed=1,
        max_epochs=given.epochs,
        checkpoint=given.work / "checkpoint",
        progress=lambda epoch: print(epoch, flush=True),
    )
    estimator.fit(survey, train)
    estimator.save(given.out)
    prediction = estimator.predict(survey, test)
    ln_m, halo = np.log(survey["m500c"].values), survey["halo_id"].values
    rng = np.random.default_rng(1)
    redshift = survey["redshift"].values

    def scores(chosen: np.ndarray) -> Scores:
        rows = test[chosen]
        about = {"halo_id": halo[rows], "redshift": redshift[rows], "rng": rng}
        return score(ln_m[rows], prediction.take(chosen), **about)

    rows = {"all": scores(np.arange(len(test)))}
    rows |= {name: scores(np.flatnonzero(physics[test] == name)) for name in PHYSICS}
    flagged = float(np.mean(np.asarray(prediction.out_of_domain) > 1))
    document = {
        "model": estimator.name,
        "n_train": len(train),
        "settings": SETTINGS,
        "physics": PHYSICS,
        "nh_1e20": NH,
        "flagged_of_test": flagged,
        "scores": {name: row.as_dict() for name, row in rows.items()},
    }
    file = ROOT / "benchmarks/results/erosita-v1.json"
    file.write_text(json.dumps(document, indent=1) + "\n")
    describe(given.out, document)
    for name, row in rows.items():
        print(f"{name:18} sigma {row.sigma_lnm:.3f} bias {row.bias_lnm:+.3f}")


if __name__ == "__main__":
    main()
