"""The surveys of `physics_marginal.py`: what is trained on, and what is tested.

    python benchmarks/physics_surveys.py DIR [--edges 0.2 0.6 2.3 5]

simulates those that are tested, alone, in bands with these edges, for `icmass transfer`.

All have 2 ks and one column density, so that nothing but the physics of the gas differs, and the
halos, redshifts and masses of the preset `erosita`. Halos of one seed are the same whatever the
physics: the test surveys show the same clusters, none of which is in a training survey.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import xarray as xr

from icmass.benchmarking.train_model import join_surveys
from icmass.survey.catalog import open_survey
from icmass.survey.config import SurveyConfig
from icmass.survey.presets import resolve_config
from icmass.survey.write import simulate_survey

SETTINGS = ("observe.n_pixels=64", "observe.exposure_s=2000.0", "observe.nh_1e20=3.0")
UNIVERSES = 400
N_TRAIN, N_TEST, N_UNLABELLED = 1000, 600, 500
N_LARGER = 3000
"""Clusters of the prior where parts of it are left out, of the `N_PRIOR` that are simulated."""
N_PRIOR = 6000
BINNED = 2
"""Pixels along a side of the stored maps, 64, that make one of those trained on: for speed."""
_EROSITA_V1 = Path(__file__).parent / "results" / "erosita-v1.json"
MIXED: dict[str, tuple[str, ...]] = {
    name: tuple(variants)
    for name, variants in json.loads(_EROSITA_V1.read_text(encoding="utf-8"))["physics"].items()
}
"""The discrete variants that are mixed: those that `erosita-v1` was trained on."""
TESTED = ("tng", "flamingo", "strong-feedback", "efeds", "xxl", "more-agn")
KEPT_ASIDE = (
    "gas.f_gas=0.0738",  # 0.8 x 0.0923
    "gas.f_gas_slope=0.343",  # 0.193 + 0.15
    "gas.t_kev=2.94",  # 0.88 x 3.34 keV
    "gas.cusp_share=0.6",  # twice 0.3
    "agn.satellites=2.295",  # 1.7 x 1.35
    "agn.central_log_l=42.73",  # 42.5 + log10(1.7)
)
"""Less gas, steeper, cooler, cuspier, brighter AGN. Chosen once, before any network was trained on
anything here, and never changed after a result was seen."""


@dataclass(frozen=True)
class SurveyPart:
    """A survey to simulate: changes of the preset `erosita`, and the seed of its halos."""

    name: str
    seed: int
    n: int
    variants: tuple[str, ...] = ()
    assignments: tuple[str, ...] = ()
    universes: int | None = None

    @property
    def config(self) -> SurveyConfig:
        return resolve_config(
            assignments=(*SETTINGS, *self.assignments),
            variants=self.variants,
            physics=None if self.universes is None else "prior",
            universes=self.universes,
        )


def _tests() -> list[SurveyPart]:
    varied = [SurveyPart(f"test-{name}", 77, N_TEST, (name,)) for name in TESTED]
    aside = SurveyPart("test-kept-aside", 77, N_TEST, assignments=KEPT_ASIDE)
    return [SurveyPart("test-as-trained", 77, N_TEST), *varied, aside]


TESTS = _tests()
PRIOR = SurveyPart("train-prior", 202, N_PRIOR, universes=UNIVERSES)
DEFAULT = SurveyPart("train-default", 201, N_TRAIN)
MIXTURE = [
    SurveyPart(f"train-mixed-{name}", 301 + i, N_TRAIN // len(MIXED), variants)
    for i, (name, variants) in enumerate(MIXED.items())
]
UNLABELLED = [SurveyPart("unlabelled-strong-feedback", 401, N_UNLABELLED, ("strong-feedback",))]
ALL = [PRIOR, *TESTS, DEFAULT, *MIXTURE, *UNLABELLED]


def scaled(part: SurveyPart, share: float) -> SurveyPart:
    """Return a survey of fewer clusters and as many fewer universes, to try the script."""
    n = max(round(part.n * share), 24)
    universes = None if part.universes is None else max(round(part.universes * share), 4)
    return replace(part, n=n, universes=universes)


def simulate(
    parts: Iterable[SurveyPart], work: Path, watch: Callable[[str], None] = print
) -> dict[str, Path]:
    """Simulate with one process what is not in the folder yet; the stores by their names."""
    stores = {}
    for part in parts:
        store = work / f"{part.name}.zarr"
        if not store.exists():
            watch(f"{part.name}: {part.n} clusters")
            partial = store.with_name(f"{store.name}.partial").exists()
            simulate_survey(
                part.config, n_clusters=part.n, seed=part.seed, out=store, resume=partial
            )
        stores[part.name] = store
    return stores


def opened(stores: dict[str, Path], names: Iterable[str]) -> xr.Dataset:
    """Return one survey, or several joined, in memory; of each its first `N_LARGER` clusters."""
    surveys = [open_survey(stores[name]).isel(cluster=slice(N_LARGER)) for name in names]
    return join_surveys([binned(survey) for survey in surveys])


def binned(survey: xr.Dataset) -> xr.Dataset:
    """Return a survey in memory with `BINNED` x `BINNED` pixels added, without latent physics."""
    unused = [v for v in survey.variables if str(v).startswith("latent_")]
    maps = survey["maps"].load()
    added = maps.coarsen(x=BINNED, y=BINNED).sum().astype(np.int32)
    return survey.drop_vars(["maps", "x", "y", *unused]).load().assign(maps=added)


def in_bands(part: SurveyPart, edges: Iterable[float]) -> SurveyPart:
    """Return a survey in bands with these edges [keV], its name without ``test-``."""
    bands = ",".join(f"[{low},{high}]" for low, high in pairwise(edges))
    name = part.name.removeprefix("test-")
    return replace(part, name=name, assignments=(*part.assignments, f"observe.bands=[{bands}]"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--edges", type=float, nargs="+", default=(0.5, 1.2, 2.0, 7.0))
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    simulate([in_bands(part, given.edges) for part in TESTS], given.work)


if __name__ == "__main__":
    main()
