"""Networks that are marginal over the gas physics: does a prior of universes keep them honest?

    python benchmarks/physics_marginal.py --work DIR [--markdown FILE] [--only NAME ...]

Trains icm-3band, and its peer rings-gbm-3band (trees on counts in rings, seconds a fit), on one
physics, on eight discrete variants and on a continuous prior of universes, equal in number of
clusters; takes out of the prior what is like each published model; adds richness; and adapts the
network to unlabelled clusters of another physics. All are tested on the same clusters of eight
physics (`physics_surveys.py`). Surveys, fits and the epochs of each fit are kept in the work
folder, and a run that was killed goes on; results go to `benchmarks/results/physics-marginal.json`
after every fit, with what was done until then.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from physics_marginal_table import markdown
from physics_surveys import (
    ALL,
    BINNED,
    DEFAULT,
    KEPT_ASIDE,
    MIXED,
    MIXTURE,
    N_LARGER,
    N_TRAIN,
    PRIOR,
    SETTINGS,
    TESTS,
    UNLABELLED,
    SurveyPart,
    opened,
    scaled,
    simulate,
)

from icmass.benchmarking.provenance import machine, versions
from icmass.benchmarking.transfer import SAVED
from icmass.benchmarking.transfer_row import transfer_row
from icmass.estimators.estimator import Estimator, Prediction
from icmass.estimators.registry import make_estimator
from icmass.files import write_text
from icmass.inference.bundled import model_folder
from icmass.inference.ensemble import Ensemble, load_ensemble
from icmass.proxies.names import read_halos
from icmass.run.document import finite
from icmass.survey.catalog import open_survey
from icmass.survey.config import SurveyConfig
from icmass.survey.presets import resolve_config
from icmass.survey.universes import CLUSTERS
from icmass.universe.gas_config import GROUPS, PIVOT

OUT = Path(__file__).parent / "results" / "physics-marginal.json"
SCALARS = ("N_phot", "N_phot_r500", "N_phot_2r500", "N_gal")
TREES = "rings-gbm-3band"
BUNDLED = "erosita-v1"
"""icm-3band on the same eight variants: 24,000 clusters in 64 pixels, exposures 0.3 to 4 ks."""
LEFT_OUT = ("strong-feedback", "tng", "flamingo", "efeds", "xxl")
NEIGHBOURHOOD = 2.0
"""Universes nearer than this to a model are left out, in standard deviations of the prior: of ln
f_gas at 10^13.5 and at 10^14.3 Msun/h and of ln T, added in squares."""
EPOCHS, EPOCHS_LARGER = 24, 16
WEIGHT = 1.0
"""Of the discrepancy in the loss; not tuned, as no mass of the target physics is known."""

TESTED = "tested"
TRAINED = {"default": [DEFAULT], "mixed": MIXTURE, "prior": [PRIOR], SAVED: [], TESTED: []}


@dataclass(frozen=True)
class Fit:
    """One fit of the study.

    Attributes
    ----------
    name : str
    part : str
        ``"scalars"``, ``"ablation"``, ``"left-out"``, ``"richness"`` or ``"adaptation"``.
    model : str
        Name of the estimator.
    train : str
        ``"default"``, ``"mixed"``, ``"prior"``; ``"tested"``: see `HaloFolds`; ``"saved"``: a
        bundled model.
    epochs, n, seed : int
        Of `n` clusters at most.
    left_out : str or None
        Variant whose neighbourhood is taken out of the prior.
    adapt : str or None
        Survey of unlabelled clusters that the network is adapted to.
    brighter_half : bool
        Whether these are the half with more photons within R500c: not the masses of the training.
    """

    name: str
    part: str
    model: str
    train: str
    epochs: int | None = None
    n: int = N_TRAIN
    seed: int = 0
    left_out: str | None = None
    adapt: str | None = None
    brighter_half: bool = False


def fits() -> list[Fit]:
    """Return all fits, the most telling first."""
    strong = "unlabelled-strong-feedback"
    three = partial(Fit, model="icm-3band")
    trees = partial(Fit, model=TREES)
    of_prior = partial(Fit, train="prior", n=N_LARGER)
    scalars = [Fit(f"{name} on default", "scalars", name, TESTED) for name in SCALARS]
    scalars += [of_prior(f"{name} on prior", "scalars", name) for name in SCALARS]
    ablation = [
        make(prefix + train, "ablation", train=train, epochs=epochs)
        for make, prefix, epochs in ((three, "", EPOCHS), (trees, "trees-", None))
        for train in ("prior", "default", "mixed")
    ]
    larger = [
        Fit(BUNDLED, "whole", BUNDLED, SAVED),
        of_prior("prior-3000", "whole", "icm-3band", epochs=EPOCHS_LARGER),
        of_prior("trees-prior-3000", "whole", TREES),
    ]
    left_out = [
        of_prior(f"{prefix}-without-{v}", "left-out", model, epochs=epochs, left_out=v)
        for prefix, model, epochs in (("trees", TREES, None), ("prior", "icm-3band", EPOCHS_LARGER))
        for v in LEFT_OUT
    ]
    richness = Fit("prior-richness", "richness", "icm-multimodal", "prior", EPOCHS)
    adapted = partial(three, part="adaptation", train="default", epochs=EPOCHS)
    adaptation = [
        adapted("adapted-0", adapt=strong),
        adapted("unadapted-1", seed=1),
        adapted("adapted-1", seed=1, adapt=strong),
        adapted("adapted-brighter-half-0", adapt=strong, brighter_half=True),
        adapted("adapted-prior-0", train="prior", adapt=strong),
    ]
    return [*scalars, *ablation, *larger, *left_out, richness, *adaptation]


def gas_of(config: SurveyConfig) -> np.ndarray:
    """Return ln of the gas fraction of groups and of clusters, and of T [keV], of one physics."""
    gas = config.gas
    fractions = [gas.f_gas * (mass / PIVOT) ** gas.f_gas_slope for mass in (GROUPS, CLUSTERS)]
    return np.log([*fractions, gas.t_kev])


def neighbours(physics: xr.DataArray, variant: str) -> np.ndarray:
    """Return the universes in the neighbourhood of a variant, numbers."""
    names = ["f_gas_groups", "f_gas_clusters", "t_kev"]
    universes = np.log(physics.sel(parameter=names).values)
    apart = (universes - gas_of(resolve_config(variants=(variant,)))) / universes.std(0)
    return np.flatnonzero(np.sqrt((apart**2).sum(1)) < NEIGHBOURHOOD)


class HaloFolds:
    """An estimator fitted on the tested halos in the default physics, in parts of halos.

    Each cluster is predicted by the fit on the other parts, in whatever physics: no cluster is
    predicted by a fit that has seen its halo.
    """

    def __init__(self, survey: xr.Dataset, name: str, n_folds: int = 4) -> None:
        self.halo = read_halos(survey)
        halos, number = np.unique(self.halo, return_inverse=True)
        order = np.random.default_rng(0).permutation(len(halos)) % n_folds
        self.part = order[number]
        self.fits = [make_estimator(name) for _ in range(n_folds)]
        for k, estimator in enumerate(self.fits):
            estimator.fit(survey, np.flatnonzero(self.part != k))
        self.n_train = len(self.halo) * (n_folds - 1) // n_folds

    def predict(self, survey: xr.Dataset, index: np.ndarray) -> Prediction:
        if not np.array_equal(read_halos(survey), self.halo):
            raise ValueError("the surveys do not show the same halos")
        mean, std = np.empty(len(index)), np.empty(len(index))
        for k, estimator in enumerate(self.fits):
            rows = np.flatnonzero(self.part[index] == k)
            found = estimator.predict(survey, index[rows])
            if found.density is not None:
                raise ValueError("parts of halos are for estimators with Gaussian posteriors")
            mean[rows], std[rows] = found.mean, found.std
        return Prediction(mean, std)


class Study:
    """The fits, their folder, and the surveys in memory."""

    def __init__(self, work: Path, share: float) -> None:
        self.work, self.share = work, share
        self.open = lru_cache(maxsize=2)(self._open)
        self.tests: dict[str, xr.Dataset] = {}

    def _open(self, train: str) -> xr.Dataset:
        return self._read(TRAINED[train])

    def _read(self, parts: Sequence[Any]) -> xr.Dataset:
        stores = simulate(
            [scaled(p, self.share) if self.share < 1 else p for p in parts], self.work
        )
        return opened(stores, stores)

    def done(self, fit: Fit) -> dict[str, Any] | None:
        """Return what a finished fit of the same settings gave."""
        file = self.work / "fits" / f"{fit.name.replace(' ', '-')}.json"
        if not file.is_file():
            return None
        document = json.loads(file.read_text(encoding="utf-8"))
        return document if document["fit"] == asdict(fit) else None

    def run(self, fit: Fit) -> dict[str, Any]:
        """Fit, score on all test surveys, and keep that."""
        start = time.process_time()
        if fit.train == SAVED:
            return self._scored(fit, load_ensemble(model_folder(fit.model)), start)
        if fit.train == TESTED:
            folds = HaloFolds(self._test(TESTS[0], whole=True), fit.model)
            return self._scored(fit, folds, start, n_train=folds.n_train)
        survey = self.open(fit.train)
        train = np.arange(min(fit.n, survey.sizes["cluster"]))
        dropped = 0
        if fit.left_out is not None:
            near = neighbours(survey["physics"], fit.left_out)
            train = train[~np.isin(survey["universe"].values[train], near)]
            dropped = len(near)
        estimator = self._estimator(fit)
        estimator.fit(survey, train)
        return self._scored(fit, estimator, start, n_train=len(train), universes_left_out=dropped)

    def _scored(
        self, fit: Fit, fitted: Estimator | Ensemble | HaloFolds, start: float, **about: int
    ) -> dict[str, Any]:
        """Score what is fitted on all test surveys, and keep that."""
        seconds, rows = time.process_time() - start, []
        for part in TESTS:
            test = self._test(part, whole=fit.train in (SAVED, TESTED))
            index = np.arange(test.sizes["cluster"])
            row = transfer_row(
                fitted.predict(test, index),
                test,
                index,
                names=(fit.model, fit.name, part.name.removeprefix("test-")),
                n_refused=0,
                held_out=False,
                seed=0,
            )
            rows.append(asdict(row))
        document = {"fit": asdict(fit), **about, "cpu_seconds": round(seconds, 1), "rows": rows}
        file = self.work / "fits" / f"{fit.name.replace(' ', '-')}.json"
        file.parent.mkdir(exist_ok=True)
        write_text(file, json.dumps(finite(document), indent=1) + "\n")
        return document

    def _test(self, part: SurveyPart, *, whole: bool) -> xr.Dataset:
        """Return a test survey: as it is stored, or, held in memory, as networks here see it."""
        if whole:
            return open_survey(simulate([self._sized(part)], self.work)[part.name])
        if part.name not in self.tests:
            self.tests[part.name] = self._read([part])
        return self.tests[part.name]

    def _sized(self, part: SurveyPart) -> SurveyPart:
        return scaled(part, self.share) if self.share < 1 else part

    def _estimator(self, fit: Fit) -> Estimator:
        if fit.epochs is None:
            return make_estimator(fit.model)
        import torch

        from icmass.estimators.network import NetworkEstimator
        from icmass.training.domain_adaptation import AdaptedTrainer
        from icmass.training.sample import read_sample

        torch.set_num_threads(1)
        estimator = NetworkEstimator(
            fit.model,
            seed=fit.seed,
            device="cpu",
            max_epochs=fit.epochs,
            checkpoint=self.work / "checkpoints" / fit.name,
            progress=lambda e: print(
                f"  {e.epoch} {e.train_loss:.3f} {e.validation_loss:.3f} {e.seconds:.0f} s",
                flush=True,
            ),
        )
        if fit.adapt is not None:
            (part,) = (part for part in UNLABELLED if part.name == fit.adapt)
            survey = self._read([part])
            index = np.arange(survey.sizes["cluster"])
            if fit.brighter_half:
                photons = survey["n_phot_r500"].values
                index = index[photons >= np.median(photons)]
            design = estimator.design
            others = read_sample(
                survey,
                index,
                sum_bands=design.sum_bands,
                max_pixels=design.max_pixels,
                coverage_channel=False,
                with_nh=design.sees_nh,
            )
            estimator.trainer = partial(AdaptedTrainer, unlabelled=others, weight=WEIGHT)
        return estimator


def document_of(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the results of the study, as far as it is done, as one JSON document."""
    fits = [one["fit"] for one in found]
    used = {part.name for fit in fits for part in TRAINED[fit["train"]]}
    used |= {part.name for part in TESTS} | {fit["adapt"] for fit in fits}
    return {
        "command": "python benchmarks/physics_marginal.py --work DIR",
        "settings": list(SETTINGS),
        "mixed": MIXED,
        "kept_aside": list(KEPT_ASIDE),
        "prior": PRIOR.config.model_dump(mode="json")["physics"],
        "surveys": [
            {"name": part.name, "n": part.n, "seed": part.seed} for part in ALL if part.name in used
        ],
        "pixels_binned": BINNED,
        "neighbourhood": NEIGHBOURHOOD,
        "discrepancy_weight": WEIGHT,
        "fits": [{key: v for key, v in one.items() if key != "rows"} for one in found],
        "rows": [row for one in found for row in one["rows"]],
        "machine": machine("cpu"),
        "versions": versions(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="surveys, fits and checkpoints")
    parser.add_argument("--out", type=Path, default=OUT, help="the results, JSON")
    parser.add_argument("--markdown", type=Path, help="the tables, besides")
    parser.add_argument("--only", nargs="+", help="parts or names of fits")
    parser.add_argument("--share", type=float, default=1.0, help="of all clusters, for a trial")
    parser.add_argument("--max-epochs", type=int, help="at most, for a trial")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    study, found = Study(given.work, given.share), []
    for fit in fits():
        if given.max_epochs is not None and fit.epochs is not None:
            fit = replace(fit, epochs=min(fit.epochs, given.max_epochs))
        document = study.done(fit)
        if document is None and (not given.only or {fit.part, fit.name}.intersection(given.only)):
            print(fit.name, flush=True)
            document = study.run(fit)
        if document is None:
            continue
        found.append(document)
        write_text(given.out, json.dumps(finite(document_of(found)), indent=1) + "\n")
    if given.markdown is not None:
        write_text(given.markdown, markdown(json.loads(given.out.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
