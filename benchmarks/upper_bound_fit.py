"""One fit of the upper bound: a network, its teacher if it has one, its training and its scores."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn
from upper_bound_clusters import Plan, TimedClusters, test_sample
from upper_bound_shards import Shards, Simulation

from icmass.benchmarking.provenance import machine
from icmass.benchmarking.scores import scatter_ratio, score
from icmass.estimators.network import NetworkEstimator
from icmass.files import whole_file, write_text
from icmass.training.devices import make_accelerator, multiplies_bf16
from icmass.training.distillation import DistillationTrainer, Teacher
from icmass.training.model_specs import MODEL_SPECS
from icmass.training.sample import reduce_sample
from icmass.training.trainer import Trainer

DATA = {"1band": "one band", "3band": "three bands", "multimodal": "maps and galaxies"}
SEED = 1
"""Of weights and order."""
_KEPT: tuple[str, ...] = ("n", "sigma_lnm", "sigma_lnm_error", "bias_lnm", "bias_lnm_error")
_KEPT += ("coverage68", "coverage95", "crps", "log_score")


@dataclass(frozen=True)
class Task:
    """One fit: a preset, what is seen of it, and the kind of network."""

    preset: str
    seen: str
    kind: str

    @property
    def network(self) -> str:
        """Name of the network."""
        return f"icm-large-{self.seen}" if self.kind == "large" else f"icm-{self.seen}"

    @property
    def name(self) -> str:
        """What its files are called."""
        taught = "-distilled" if self.kind == "distilled" else ""
        return f"{self.preset}-{self.network}{taught}"

    @property
    def teacher(self) -> Task:
        """The fit of the large network that sees the same."""
        return replace(self, kind="large")


@dataclass(frozen=True)
class Run:
    """What all fits share.

    Attributes
    ----------
    work : Path
        Folder of everything.
    train, test : dict of Shards
        Clusters to train on and to score on, of each preset.
    simulation : Simulation
    device, batch, compiled
        How to train.
    """

    work: Path
    train: dict[str, Shards]
    test: dict[str, Shards]
    simulation: Simulation
    device: str
    batch: int
    compiled: bool

    def result(self, task: Task) -> Path:
        """Return where the scores of a fit are kept; it is finished if they are there."""
        return self.work / "fits" / f"{task.name}.json"

    def predictions(self, task: Task) -> Path:
        """Return where its predictions are kept."""
        return self.work / "fits" / f"{task.name}.npz"

    def model(self, task: Task) -> Path:
        """Return where its network is kept."""
        return self.work / "models" / task.name

    def checkpoint(self, task: Task) -> Path:
        """Return where its rounds are kept."""
        return self.work / "checkpoints" / task.name


def teacher_of(run: Run, task: Task, lnm: np.ndarray) -> Teacher:
    """Return the large network of the same data as a teacher of one fitted on masses `lnm`."""
    estimator = NetworkEstimator.load(run.model(task.teacher), device=run.device)
    assert estimator.config is not None
    encoding, scale = estimator.config.encoding, float(lnm.std())
    zero = (encoding.lnm_zero - float(lnm.mean())) / scale
    on_cpu = make_accelerator(run.device).device.type == "cpu"
    return Teacher(
        estimator.networks[0],
        encoding.encode,
        zero=zero,
        scale=encoding.lnm_scale / scale,
        bf16=multiplies_bf16(on_cpu),
    )


def measured_trainer(
    make: Callable[..., Trainer], clusters: TimedClusters
) -> Callable[..., Trainer]:
    """Return what makes a trainer, after it has measured the seconds of a step with another one."""

    def trainer(network: nn.Module, **options: Any) -> Trainer:
        config, rounds = options["training_config"], clusters.rounds
        assert rounds is not None
        if not clusters.plan.steps:
            alone = options | {"checkpoint": None, "progress": None}
            alone["training_config"] = replace(config, max_epochs=2)
            probe = make(copy.deepcopy(network), **alone)
            n_steps = 8 if probe.accelerator.device.type == "cuda" else 1
            history = probe.run(*rounds.few(n_steps * config.batch_size))
            rounds.decide(history[-1].seconds / n_steps, config.batch_size)
        return make(network, **options)

    return trainer


def fit(run: Run, task: Task, until: float, reserve: float) -> dict[str, Any]:
    """Train one network until `until` less `reserve` seconds, score it, and keep both."""
    start = time.time()
    plan = Plan(run.checkpoint(task) / "plan.json")
    design = MODEL_SPECS[task.network]
    options = design.read_options(coverage=False, with_parts=True)
    seen = options
    if task.kind == "distilled":
        large = MODEL_SPECS[task.teacher.network]
        seen = large.read_options(coverage=False, with_parts=True)
    train = run.train[task.preset]
    clusters = TimedClusters(train, options, seen, plan, until=until - reserve, seed=SEED)
    make: Callable[..., Trainer] = Trainer
    if task.kind == "distilled":
        student = partial(reduce_sample, **(options | {"with_parts": False}))
        teacher = teacher_of(run, task, clusters.fitting[1])
        make = partial(DistillationTrainer, teacher=teacher, reduce=student)
    checkpoint = run.checkpoint(task)
    estimator = NetworkEstimator(
        task.network, seed=SEED, device=run.device, checkpoint=checkpoint, progress=plan.note
    )
    estimator.trainer = measured_trainer(make, clusters)
    estimator.training_config = replace(
        estimator.training_config, batch_size=run.batch, compiled=run.compiled
    )
    estimator.fit_clusters(clusters)
    assert estimator.config is not None
    n_train = clusters.n_held + sum(len(train.loaded[k]) for k in plan.used if k in train.loaded)
    estimator.config = estimator.config.model_copy(update={"n_train": n_train})
    estimator.save(run.model(task))
    row = scored(run, task, estimator, plan) | {"n_train": n_train}
    row["seconds"] = round(time.time() - start, 1)
    write_text(run.result(task), json.dumps(row, indent=1) + "\n")
    return row


def scored(run: Run, task: Task, estimator: NetworkEstimator, plan: Plan) -> dict[str, Any]:
    """Return the scores of a fitted network on the clusters of seed 1; keep its predictions."""
    test = run.test[task.preset]

    def wait() -> None:
        test.wait(len(test.shards), run.simulation.check, np.inf)

    options = estimator.design.read_options(coverage=False, with_parts=False)
    sample, truths = test_sample(test, options, wait)
    prediction = estimator.predict_sample(sample)
    found = score(
        truths["lnm"],
        prediction,
        halo_id=truths["halo_id"],
        redshift=truths["redshift"],
        rng=np.random.default_rng(0),
    ).as_dict()
    with whole_file(run.predictions(task)) as draft, draft.open("wb") as stream:
        np.savez(stream, mean=prediction.mean, std=prediction.std, **truths)
    best = max((epoch.epoch for epoch in estimator.history if epoch.best), default=0)
    return {
        "preset": task.preset,
        "data": DATA[task.seen],
        "kind": task.kind,
        "name": task.network,
        "parameters": estimator.n_parameters,
        **{key: found[key] for key in _KEPT},
        "clusters_seen": plan.drawn,
        "rounds": len(estimator.history),
        "best_round": best,
        "train_seconds": round(plan.seconds, 1),
        "step_seconds": plan.step_seconds,
        "batch": run.batch,
        "device": machine(run.device).device,
    }


def distillation(run: Run, tasks: Sequence[Task]) -> list[dict[str, Any]]:
    """Return the scatter of each taught network over that of the same one untaught."""
    found = []
    for task in tasks:
        plain = replace(task, kind="small")
        files = run.predictions(task), run.predictions(plain)
        if task.kind != "distilled" or not all(file.exists() for file in files):
            continue
        taught, alone = (dict(np.load(file)) for file in files)
        residuals = [held["mean"] - held["lnm"] for held in (taught, alone)]
        rng = np.random.default_rng(0)
        ratio, error = scatter_ratio(residuals[0], residuals[1], taught["halo_id"], rng)
        about = {"preset": task.preset, "data": DATA[task.seen], "name": task.network}
        found.append(about | {"scatter_ratio": ratio, "scatter_ratio_error": error})
    return found
