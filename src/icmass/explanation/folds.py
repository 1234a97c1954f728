"""The networks of a run, each with the clusters that it has never seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from icmass.errors import InputError
from icmass.estimators.estimator import split_predicted
from icmass.estimators.network import NetworkEstimator
from icmass.explanation.model import as_network, network_config
from icmass.inference.ensemble import load_ensemble
from icmass.run.folder import RunFolder
from icmass.run.layout import finished_models, fold_number
from icmass.survey.chosen import as_slice
from icmass.survey.folds import octant_folds

_AT_ONCE = 256  # clusters in memory


@dataclass(frozen=True)
class Block:
    """An estimator with clusters that it has not seen.

    Attributes
    ----------
    estimator : NetworkEstimator
    survey : Dataset
        Some clusters of the run's survey.
    index, cluster : ndarray of int, shape (n,)
        Where they stand in `survey`, and in the run's survey.
    """

    estimator: NetworkEstimator
    survey: xr.Dataset
    index: np.ndarray
    cluster: np.ndarray


@dataclass(frozen=True)
class FoldNetworks:
    """One network estimator of a run, fold by fold.

    Attributes
    ----------
    name : str
        Name of the estimator.
    path : Path
        The run.
    survey : Dataset
        The survey that it was trained on.
    survey_path : Path
        Where that is.
    members : dict of int to NetworkEstimator
        The estimator of each fold that is finished.
    fold : ndarray of int, shape (cluster,)
        The fold of each cluster: that of the estimator that has not seen it.
    """

    name: str
    path: Path
    survey: xr.Dataset
    survey_path: Path
    members: dict[int, NetworkEstimator]
    fold: np.ndarray

    def clusters(self, limit: int | None, seed: int) -> np.ndarray:
        """Return the clusters of the finished folds, at random as many as `limit`, in order."""
        held = np.concatenate([self._split(k)[1] for k in self.members])
        held.sort()
        if limit is None or limit >= len(held):
            return held
        return np.sort(np.random.default_rng([seed, 23]).choice(held, limit, replace=False))

    def blocks(self, chosen: np.ndarray) -> Iterator[Block]:
        """Yield each estimator with some of its own unseen clusters of `chosen`.

        Chunks of the survey are read once: some hundred clusters are in memory at a time, unless
        galaxies are needed, which are in one piece.
        """
        whole = any(member.design.sees_galaxies for member in self.members.values())
        for start in range(0, len(chosen), _AT_ONCE):
            cluster = chosen[start : start + _AT_ONCE]
            part = self.survey if whole else self.survey.isel(cluster=as_slice(cluster))
            if not whole:
                part = part.assign(maps=part["maps"].load())
            for k, member in self.members.items():
                own = np.flatnonzero(self.fold[cluster] == k)
                if len(own):
                    place = cluster[own] if whole else own
                    yield Block(member, part, place, cluster[own])

    def of_cluster(self, cluster: int) -> NetworkEstimator:
        """Return the estimator that has not seen a cluster."""
        n = len(self.fold)
        if not 0 <= cluster < n:
            raise InputError(f"{cluster}", field="clusters", hint=f"give some of 0 to {n - 1}")
        k = int(self.fold[cluster])
        if k not in self.members:
            raise InputError(
                f"{cluster} is in fold {k}, of which {self.name} has no model",
                field="clusters",
                hint=f"give clusters of the folds {', '.join(map(str, self.members))}",
            )
        return self.members[k]

    def train_test(self) -> tuple[NetworkEstimator, np.ndarray, np.ndarray]:
        """Return the estimator of the first finished fold, its training clusters, and the rest."""
        k = min(self.members)
        return self.members[k], *self._split(k)

    def _split(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return what a fold is trained on, and what it predicts, as the benchmark has them."""
        return split_predicted(self.fold, k, self.survey["redshift"].values)


def open_run(
    run: str | Path,
    survey: str | Path | None = None,
    *,
    model: str | None = None,
    device: str = "auto",
) -> FoldNetworks:
    """Open a network estimator of a run with the run's survey.

    Parameters
    ----------
    run : path
        A folder that `icmass benchmark` wrote.
    survey : path, optional
        Where its survey is now; default: where the run says.
    model : str, optional
        A network of the run; default: its best.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``.

    Raises
    ------
    InputError
        If it is no run, has no such network, or the survey is another one.
    """
    folder = RunFolder(run)
    config = folder.read_folded_config()
    where = folder.survey_path() if survey is None else Path(survey)
    opened = folder.open_survey(where)
    ensemble = load_ensemble(folder.path, model=model, device=device)
    for member in ensemble.members:
        network_config(member)
    finished = [fold_number(path) for path in finished_models(ensemble.folder)]
    networks = [as_network(member) for member in ensemble.members]
    return FoldNetworks(
        name=ensemble.name,
        path=folder.path,
        survey=opened,
        survey_path=where,
        members=dict(zip(finished, networks, strict=True)),
        fold=octant_folds(opened, config.folds),
    )
