"""Train the bundled model `catalogue-v1`: masses from rows of source catalogues.

    python tools/train_catalogue_v1.py --work DIR [--clusters 9600]

Mock clusters of many physics (`icmass simulate --physics prior`), exposures and column densities
become rows of a catalogue; no maps are kept. One fifth is kept for the scores on the model card,
which `benchmarks/catalogue.py` measures too. The rows stay in DIR, by parts, so that a second run
goes on with them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from icmass.benchmarking.scores import score
from icmass.estimators.catalogue_features import SUB_BANDS
from icmass.estimators.catalogue_gbm import CatalogueGBM
from icmass.survey.catalogue_rows import CATALOGUE
from icmass.survey.mock_catalogue import CatalogueSimulator
from icmass.survey.presets import resolve_config

ROOT = Path(__file__).parents[1]
OUT = ROOT / "src/icmass/models/catalogue-v1"
SEED, PART, UNIVERSES = 301, 200, 64
NH_1E20 = (2.0, 4.0, 1.0, 7.0, 3.0, 1.5, 5.5, 10.0, 0.7, 2.5)
"""Column densities [1e20 cm^-2], one a part, of which each has universes of its own."""
SETTINGS = (
    "halos.redshift_range=[0.02, 1.2]",
    "halos.redshift_law=even",
    "halos.selection=paper",
    "halos.log_m500c_min=13.2",
    "halos.log_m500c_max=15.4",
    "physics.f_gas_groups=[0.040, 0.070]",
    "physics.f_gas_clusters=[0.075, 0.100]",
    "physics.f_gas_evolution=[-0.4, 0.4]",
    "physics.core_share=[-1.7, -1.1]",
    "physics.cusp_share=[0.0, 0.1]",
    "gas.clumping=0.165",
)
"""The halos: as many at every redshift, their masses flat in ln M up to 10^14.3 Msun/h.

The gas: a row tells a mass by its luminosity alone, so that the prior of the physics is narrowed to
what luminosities at lensing masses allow. Gas fractions are about those of preset efeds (0.053 at
10^13.5 and 0.087 at 10^14.3 Msun/h), whose luminosities are those of Liu et al. 2022, A&A 661, A2,
at masses of Chiu et al. 2023, MNRAS 522, 1601; the evolution is about the self-similar one (Chiu et
al. 2022, A&A 661, A11). Cores are as wide as the extents of eFEDS' clusters say, and the clumping
keeps the preset's luminosity with them (cores of -1.4 take 0.16 from ln L). See
docs/catalogue.md, "The mass scale"."""
CARD = "## Scores"
LIMITS = (
    "## Known limits",
    "",
    "- Every row is taken for a cluster: the light of an active nucleus makes a mass.",
    "- The mass scale is that of the luminosities of eFEDS' clusters at lensing masses, with",
    "  self-similar evolution, averaged over a prior of the physics about them, whose width the",
    "  posteriors have. Comparing these masses with lensing masses of eFEDS tests nothing anew.",
    "- The prior is that of the simulated masses, near flat in ln M to 10^14.3 Msun/h: for",
    "  clusters of a real survey take `--prior mass-function`.",
    "- Extended sources alone were trained on: detection likelihood of 5 and extent likelihood of",
    "  3 or more.",
    "- Redshifts are exact.",
)
KEPT = (*CATALOGUE, "m500c", "halo_id", "detected")


def simulated(work: Path, n: int) -> xr.Dataset:
    """Simulate rows, or read those that are there."""
    parts: list[dict[str, np.ndarray]] = []
    template: xr.Dataset | None = None
    for part, first in enumerate(range(0, n, PART)):
        file = work / f"rows-{part:04d}.npz"
        if not file.exists() or template is None:
            nh = f"observe.nh_1e20={NH_1E20[part % len(NH_1E20)]}"
            config = resolve_config(
                "efeds", physics="prior", universes=UNIVERSES, assignments=(*SETTINGS, nh)
            )
            simulator = CatalogueSimulator(config, SEED + part)
            template = simulator.rows(1) if template is None else template
        if not file.exists():
            rows = simulator.rows(min(PART, n - first))
            rows["halo_id"] = rows["halo_id"] + first
            np.savez(file, **{name: rows[name].values for name in KEPT})
            print(f"{first + rows.sizes['cluster']} of {n} rows", flush=True)
        with np.load(file) as held:
            parts.append({name: held[name] for name in KEPT})
    assert template is not None
    joined = {name: np.concatenate([part[name] for part in parts]) for name in KEPT}
    data = {name: ("cluster", joined[name], template[name].attrs) for name in KEPT}
    return xr.Dataset(data, attrs=template.attrs)


def patterns(rows: xr.Dataset) -> dict[str, xr.Dataset]:
    """Return rows as published catalogues have them, by the names of these."""
    lacking = {
        "all columns": (),
        "eRASS1 or eRASS:3 Main": ("rate_300kpc", "rate_r500c", "nh"),
        "eRASS1 clusters": ("rate", *SUB_BANDS, "extent", "nh"),
        "eFEDS (Klein et al.)": ("rate_300kpc", "rate_r500c", *SUB_BANDS, "nh"),
        "eFEDS (Liu et al.)": ("rate", "rate_r500c", *SUB_BANDS, "extent", "exposure", "nh"),
        "rate, exposure, redshift": tuple(
            name for name in CATALOGUE if name not in ("rate", "exposure", "redshift")
        ),
    }
    return {
        name: rows.assign({column: rows[column] * np.nan for column in columns})
        for name, columns in lacking.items()
    }


def scores(model: CatalogueGBM, survey: xr.Dataset, test: np.ndarray) -> dict[str, dict[str, Any]]:
    """Return scores on the detected rows among `test`, by what the rows hold."""
    found = survey["detected"].values[test]
    rows = survey.isel(cluster=test[found])
    ln_m, halo = np.log(rows["m500c"].values), rows["halo_id"].values
    result = {}
    for name, seen in patterns(rows).items():
        prediction = model.predict(seen, np.arange(len(ln_m)))
        about = {"halo_id": halo, "redshift": rows["redshift"].values}
        row = score(ln_m, prediction, **about, rng=np.random.default_rng(1)).as_dict()
        flagged = float(np.mean(np.asarray(prediction.out_of_domain) > 1))
        result[name] = row | {"flagged": flagged}
    return result


def describe(out: Path, table: dict[str, dict[str, Any]]) -> None:
    """Add scores and limits to the model card, and the scatter that `icmass predict` tells."""
    card = (out / "README.md").read_text(encoding="utf-8").split(CARD)[0].rstrip()
    card = card.replace("# catalogue-gbm\n", f"# {out.name}: catalogue-gbm\n", 1)
    lines = [
        CARD,
        "",
        f"{table['all columns']['n']} mock rows that training never saw, by what they",
    ]
    lines += ["hold; in per cent, under the prior of the training masses.", ""]
    lines += [
        "| rows have | scatter of ln M | bias | within 68 | within 95 |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, row in table.items():
        numbers = (row[key] for key in ("sigma_lnm", "bias_lnm", "coverage68", "coverage95"))
        lines.append(f"| {name} | " + " | ".join(f"{100 * x:.1f}" for x in numbers) + " |")
    lines += ["", *LIMITS]
    (out / "README.md").write_text(card + "\n\n" + "\n".join(lines) + "\n", encoding="utf-8")
    scored = {"name": "catalogue-gbm", "kind": "features"}
    scored |= {
        key: value for key, value in table["eRASS1 or eRASS:3 Main"].items() if key != "flagged"
    }
    text = json.dumps({"estimators": [scored]}, indent=1)
    (out / "results.json").write_text(text + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--clusters", type=int, default=9_600)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    survey = simulated(given.work, given.clusters)
    every = np.arange(survey.sizes["cluster"])
    test = np.random.default_rng(0).permutation(every)[: len(every) // 5]
    model = CatalogueGBM("catalogue-gbm", seed=1)
    model.fit(survey, np.setdiff1d(every, test))
    model.save(given.out)
    table = scores(model, survey, test)
    describe(given.out, table)
    document = {"settings": SETTINGS, "nh_1e20": NH_1E20, "clusters": len(every), "mock": table}
    (given.work / "scores.json").write_text(json.dumps(document, indent=1) + "\n")
    for name, row in table.items():
        print(f"{name:26} sigma {row['sigma_lnm']:.3f} bias {row['bias_lnm']:+.3f} ", end="")
        print(f"within 68 {row['coverage68']:.3f} 95 {row['coverage95']:.3f}")


if __name__ == "__main__":
    main()
