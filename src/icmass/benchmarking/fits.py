"""The fits of a benchmark: one estimator on one fold, by this process or by several."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from icmass.errors import InputError, one_line
from icmass.estimators.estimator import (
    Estimator,
    EstimatorInfo,
    Prediction,
    check_inputs,
    split_predicted,
)
from icmass.estimators.registry import make_estimator
from icmass.main_process import usable_cores
from icmass.proxies.names import read_scalar
from icmass.run.layout import RunLayout
from icmass.survey.catalog import open_survey
from icmass.survey.folds import octant_folds
from icmass.training.names import is_network


@dataclass(frozen=True)
class FitSettings:
    """What all fits of a run share; small, so that it can be sent to other processes.

    Attributes
    ----------
    survey, out : Path
        Store of the survey, and folder of the run.
    folds : int
    seed : int
        Of the run; each fold has one of its own.
    device : str
    max_epochs : int or None
    threads : int or None
        Threads of a network's fit; None: as many as there are.
    jobs : int
        Fits side by side, which share the memory.
    """

    survey: Path
    out: Path
    folds: int
    seed: int
    device: str
    max_epochs: int | None
    threads: int | None = None
    jobs: int = 1


@dataclass(frozen=True)
class Fit:
    """A finished fit.

    Attributes
    ----------
    cluster : ndarray of int, shape (n,)
        The fold's clusters, which the estimator has not seen; none at redshifts that it was not
        trained for.
    prediction : Prediction
    seconds : float
        What the fit took, that before a kill included.
    info : EstimatorInfo
    """

    cluster: np.ndarray
    prediction: Prediction
    seconds: float
    info: EstimatorInfo


@dataclass(frozen=True)
class FailedFit:
    """A fit that did not work out, as text: other errors may not survive the way between processes.

    Attributes
    ----------
    said, text : str
        What went wrong in one line, and its traceback.
    ends_all : OSError or None
        An error that would fail every estimator, such as a full disk: the run ends.
    """

    said: str
    text: str
    ends_all: OSError | None = None


Task = tuple[str, int]
"""Name of an estimator, and a fold."""


def fit_fold(
    settings: FitSettings,
    task: Task,
    *,
    survey: xr.Dataset | None = None,
    fold: np.ndarray | None = None,
    watch: Callable[[Any], None] | None = None,
) -> Fit:
    """Fit one estimator on all folds but one, save it in the run, and predict that fold.

    Clusters of the fold at redshifts beyond those of the others are not predicted; they are the
    same for every estimator.

    Parameters
    ----------
    settings : FitSettings
    task : (str, int)
        Name of the estimator, and the fold.
    survey, fold : Dataset and ndarray of int, optional
        The survey and the fold of each cluster, where they are at hand.
    watch : callable, optional
        Called with every epoch of a network.
    """
    name, k = task
    if survey is None:
        survey = open_survey(settings.survey)
    if fold is None:
        fold = octant_folds(survey, settings.folds)
    layout = RunLayout(settings.out)
    estimator: Estimator = make_estimator(
        name,
        seed=int(np.random.SeedSequence([settings.seed, k]).generate_state(1)[0]),
        device=settings.device,
        checkpoint=layout.checkpoint(name, k),
        max_epochs=settings.max_epochs,
        progress=watch,
    )
    check_inputs(survey, estimator.info)
    train, test = split_predicted(fold, k, read_scalar(survey, "redshift"))
    start = time.perf_counter()
    estimator.fit(survey, train)
    # what was done before a kill counts too
    seconds = max(time.perf_counter() - start, estimator.info.fit_seconds)
    prediction = estimator.predict(survey, test)
    good = _usable(prediction)
    if not good.all():
        raise InputError(f"predicts no usable mass for {np.sum(~good)} clusters of fold {k}")
    estimator.save(layout.model(name, k))
    return Fit(test, prediction, seconds, estimator.info)


def try_fit(settings: FitSettings, task: Task) -> tuple[Task, Fit | FailedFit]:
    """Fit in a process of its own; errors are given back."""
    try:
        if settings.threads is not None and is_network(task[0].partition("@")[0]):
            take_share(settings.threads, settings.jobs)
        return task, fit_fold(settings, task)
    except Exception as error:
        ends_all = error if isinstance(error, OSError) else None
        return task, FailedFit(one_line(error), traceback.format_exc(), ends_all)


def take_share(threads: int, jobs: int) -> None:
    """Have networks of this process take so many threads, and memory for one of so many jobs."""
    import torch

    from icmass.training.devices import share_memory

    torch.set_num_threads(threads)
    share_memory(jobs)


def threads_each(jobs: int) -> int:
    """Return the threads of each of so many processes on this machine's cores."""
    return max(1, usable_cores() // jobs)


def _usable(prediction: Prediction) -> np.ndarray:
    """Return which clusters have a posterior at all, shape (n,)."""
    good = np.isfinite(prediction.mean) & np.isfinite(prediction.std) & (prediction.std > 0)
    if prediction.density is not None:
        good &= np.isfinite(prediction.density).all(1) & (prediction.density >= 0).all(1)
    return good
