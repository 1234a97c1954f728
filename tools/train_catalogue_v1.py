"""Train the bundled model `catalogue-v1`: masses from rows of source catalogues.

    python tools/train_catalogue_v1.py --work DIR [--clusters 12000]

Mock clusters of many physics (`icmass simulate --physics prior`), exposures and column densities
become rows of a catalogue; no maps are kept. One fifth is kept for the scores on the model card,
which `benchmarks/catalogue.py` measures too. The rows stay in DIR, by parts, so that a second run
goes on with them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import xarray as xr

from icmass.survey.catalogue_rows import CATALOGUE
from icmass.survey.mock_catalogue import CatalogueSimulator
from icmass.survey.presets import resolve_config

ROOT = Path(__file__).parents[1]
OUT = ROOT / "src/icmass/models/catalogue-v1"
SEED, PART, UNIVERSES = 301, 500, 512
SETTINGS = (
    "halos.redshift_range=[0.02, 1.2]",
    "halos.redshift_law=even",
    "halos.selection=paper",
    "halos.log_m500c_min=13.2",
    "halos.log_m500c_max=15.4",
)
"""The halos: as many at every redshift, their masses flat in ln M up to 10^14.3 Msun/h."""
KEPT = (*CATALOGUE, "m500c", "halo_id", "detected")


def simulated(work: Path, n: int) -> xr.Dataset:
    """Simulate rows, or read those that are there."""
    config = resolve_config(
        "erass3", physics="prior", universes=UNIVERSES, assignments=SETTINGS
    )
    simulator = CatalogueSimulator(config, SEED)
    template = simulator.rows(1)
    parts = []
    for first in range(0, n, PART):
        file = work / f"rows-{first:06d}.npz"
        if not file.exists():
            rows = simulator.rows(min(PART, n - first), first)
            np.savez(file, **{name: rows[name].values for name in KEPT})
            print(f"{first + rows.sizes['cluster']} of {n} rows", flush=True)
        with np.load(file) as held:
            parts.append({name: held[name] for name in KEPT})
    joined = {name: np.concatenate([part[name] for part in parts]) for name in KEPT}
    data = {name: ("cluster", joined[name], template[name].attrs) for name in KEPT}
    return xr.Dataset(data, attrs=template.attrs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--clusters", type=int, default=12_000)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    survey = simulated(given.work, given.clusters)
    print(survey)


if __name__ == "__main__":
    main()
