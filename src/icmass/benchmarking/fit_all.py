"""All fits of a benchmark: in turn, or side by side; what fails is noted and the rest goes on."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from icmass.benchmarking.fits import FailedFit, Fit, Task, fit_fold, threads_each, try_fit
from icmass.benchmarking.fold_predictions import FoldPredictions
from icmass.benchmarking.state import Bench, Fitted
from icmass.errors import one_line
from icmass.estimators.registry import make_estimator
from icmass.main_process import is_main
from icmass.survey.tasks import Tasks


def fit_all(bench: Bench, names: Sequence[str], jobs: int) -> dict[str, Fitted]:
    """Fit every estimator on its folds that are not finished; return what there is of each."""
    found: dict[str, Fitted] = {}
    tasks: list[Task] = []
    for name in names:
        with noting_failure(bench, name):
            held = FoldPredictions.of_run(bench.folder.layout, name, bench.settings.folds)
            unfitted = make_estimator(name, seed=bench.settings.seed, device=bench.settings.device)
            found[name] = Fitted(unfitted.info, held)
            tasks += [(name, k) for k in range(bench.folds_of(name)) if not held.has(k)]
    if jobs > 1:
        _tell_finished(bench, found, tasks)
        _fit_side_by_side(bench, found, tasks, jobs)
    else:
        _fit_in_turn(bench, found, tasks)
    return found


def _fit_in_turn(bench: Bench, found: dict[str, Fitted], tasks: Sequence[Task]) -> None:
    for name, fitted in found.items():
        _tell_finished(bench, {name: fitted}, tasks)
        with noting_failure(bench, name):
            for task in tasks:
                if task[0] == name:
                    watch = partial(_tell_epoch, bench, task)
                    fit = fit_fold(
                        bench.settings, task, survey=bench.survey, fold=bench.fold, watch=watch
                    )
                    _keep(bench, fitted, task, fit)


def _fit_side_by_side(
    bench: Bench, found: dict[str, Fitted], tasks: Sequence[Task], jobs: int
) -> None:
    """Fit with several processes, those that take longest first."""
    networks_first = sorted(tasks, key=lambda task: found[task[0]].info.kind != "network")
    settings = replace(bench.settings, threads=threads_each(jobs), jobs=jobs)
    failed: dict[str, tuple[int, FailedFit]] = {}
    with Tasks(jobs) as pool:
        for task, fit in pool.run(partial(try_fit, settings), networks_first):
            name, _ = task
            if isinstance(fit, FailedFit):
                if fit.ends_all is not None:
                    raise fit.ends_all
                first = failed.setdefault(name, (task[1], fit))
                failed[name] = min(first, (task[1], fit), key=lambda of: of[0])
            else:
                with noting_failure(bench, name):
                    _keep(bench, found[name], task, fit)
    for name, (_, fit) in failed.items():  # as in turn: of the first fold that failed
        _note_failure(bench, name, fit.said, fit.text)


def _tell_finished(bench: Bench, found: dict[str, Fitted], tasks: Sequence[Task]) -> None:
    for name in found:
        for k in range(bench.folds_of(name)):
            if (name, k) not in tasks:
                bench.tell(name, k, "finished before", done_fold=True)


def _tell_epoch(bench: Bench, task: Task, epoch: Any) -> None:
    losses = f"loss {epoch.train_loss:.4f}, validation {epoch.validation_loss:.4f}"
    bench.tell(*task, f"epoch {epoch.epoch}, {losses}")


def _keep(bench: Bench, fitted: Fitted, task: Task, fit: Fit) -> None:
    """Add a finished fit to the run."""
    name, k = task
    held, truth = fitted.held, bench.ln_m[fit.cluster]
    held.add(
        k, cluster=fit.cluster, ln_m_true=truth, prediction=fit.prediction, seconds=fit.seconds
    )
    fitted.info = fit.info
    held.n_parameters = fit.info.n_parameters
    if is_main():
        held.write(bench.folder.layout.predictions(name))
    spread = np.std(fit.prediction.mean - truth)
    bench.tell(name, k, f"scatter {spread:.3f}, {fit.seconds:.1f} s", done_fold=True)


@contextmanager
def noting_failure(bench: Bench, name: str) -> Iterator[None]:
    """What fails within it is noted, and the other estimators go on."""
    try:
        yield
    except OSError:  # a full disk would fail every estimator
        raise
    except Exception as error:
        if os.environ.get("ICMASS_DEBUG"):
            raise
        _note_failure(bench, name, one_line(error), traceback.format_exc())


def _note_failure(bench: Bench, name: str, said: str, text: str) -> None:
    bench.failed[name] = said
    bench.folder.write_text(bench.folder.layout.failure(name), text)
    bench.finished[name] = bench.folds_of(name)
    bench.tell(name, 0, f"failed: {bench.failed[name]}")
