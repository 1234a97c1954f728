"""Our networks beside neural posterior estimation of the package sbi, on the same maps and folds.

    icmass simulate --preset demo --n 800 --seed 5 --out demo-800.zarr
    python benchmarks/peer_sbi.py demo-800.zarr --folds 4 --fit-folds 2 --json peer-sbi.json

The peer is sbi (Boelts et al. 2025, JOSS 10, 7754): NPE with a flow and its CNNEmbedding, all at
sbi's defaults (batches of 200, 5e-4, a tenth of the clusters held out, stopped when these do not
improve for 20 epochs). It needs `pip install icmass[peers]`.

Both see the same clusters and the same input, that of our `CompactEncoding`: root counts scaled to
redshift and exposure; redshift, exposure and N_H stand beside the embedding. What differs is what
each does with them. Ours turns and mirrors the maps in training, and puts components together anew,
which real maps do not allow. So sbi is run twice with three bands: as it is, and with maps that are
turned and mirrored in training (``+d4``). Posteriors are evaluated on `LNM_GRID` and scored alike.
Seconds are processor time of one thread, with reading and preprocessing.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from icmass.benchmarking.provenance import about_survey, machine, versions
from icmass.benchmarking.scores import scatter_ratio, score
from icmass.errors import InputError
from icmass.estimators.estimator import split_predicted
from icmass.estimators.network import NetworkEstimator
from icmass.estimators.posterior import LNM_GRID, Prediction
from icmass.survey.catalog import open_survey
from icmass.survey.folds import octant_folds
from icmass.training.dihedral import dihedral
from icmass.training.encodings import CompactEncoding
from icmass.training.model_specs import MODEL_SPECS
from icmass.training.sample import Sample, read_sample

OURS = ("icm-1band", "icm-3band")
FLOWS = ("nsf", "maf")
_AT_ONCE = 64  # clusters whose density is evaluated at once
_SCORED = (
    "sigma_lnm",
    "sigma_lnm_error",
    "bias_lnm",
    "bias_lnm_error",
    "coverage68",
    "coverage95",
    "crps",
    "log_score",
)


@dataclass(frozen=True)
class Fit:
    """What one estimator made of one fold: posteriors, processor seconds of training, its size."""

    prediction: Prediction
    seconds: float
    epochs: int
    parameters: int


class NoTracker:
    """Keeps none of sbi's records of training, which it would write to the working directory."""

    log_dir = None

    def log_metric(self, name: str, value: float, step: int | None = None) -> None:
        """Keep no number."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Keep no numbers."""

    def log_params(self, params: dict[str, Any]) -> None:
        """Keep no parameters."""

    def add_figure(self, name: str, figure: Any, step: int | None = None) -> None:
        """Keep no figure."""

    def flush(self) -> None:
        """Write nothing."""


class MapsAndScalars(nn.Module):
    """sbi's embedding of maps, and the numbers beside them as they are.

    Parameters
    ----------
    embedding : Module
        Takes maps (n, channel, y, x) to (n, feature).
    shape : tuple of int
        Channels, rows and columns of a map.
    d4 : bool
        Whether maps are turned and mirrored in training, at random.
    """

    def __init__(self, embedding: nn.Module, shape: tuple[int, int, int], *, d4: bool) -> None:
        super().__init__()
        self.embedding, self.shape, self.d4 = embedding, shape, d4

    def forward(self, flat: torch.Tensor) -> torch.Tensor:
        """Return features, shape (n, feature + scalar), of inputs of shape (n, pixel + scalar)."""
        n = int(np.prod(self.shape))
        maps, scalars = flat[:, :n].reshape(-1, *self.shape), flat[:, n:]
        if self.d4 and self.training:
            maps = dihedral(maps, torch.randint(8, (len(maps),)))
        return torch.cat([self.embedding(maps), scalars], 1)


def flat_inputs(sample: Sample, encoding: CompactEncoding) -> torch.Tensor:
    """Return what our network is fed with as rows, shape (n, pixel + scalar)."""
    parts = (encoding.encode(part) for part in sample.batches(_AT_ONCE))
    return torch.cat([torch.cat([maps.flatten(1), scalars], 1) for maps, scalars in parts])


def fit_sbi(
    survey: xr.Dataset,
    train: np.ndarray,
    test: np.ndarray,
    *,
    bands: str,
    flow: str,
    d4: bool,
    seed: int,
    max_epochs: int | None = None,
) -> Fit:
    """Train sbi's NPE on clusters and return its posteriors of others."""
    from sbi.inference import NPE
    from sbi.neural_nets import posterior_nn
    from sbi.neural_nets.embedding_nets import CNNEmbedding

    design = MODEL_SPECS[f"icm-{bands}"]

    def read(index: np.ndarray) -> Sample:
        return read_sample(
            survey,
            index,
            sum_bands=design.sum_bands,
            max_pixels=design.max_pixels,
            coverage_channel="coverage" in survey,
            with_nh=True,
        )

    start = time.process_time()
    torch.manual_seed(seed)
    ln_m = np.log(survey["m500c"].values[train])
    sample = read(train)
    encoding = CompactEncoding.fit(sample, ln_m)
    inputs = flat_inputs(sample, encoding)
    side = sample.counts.shape[-1]
    channels = sample.counts.shape[1] + (sample.coverage is not None)
    embedding = MapsAndScalars(
        CNNEmbedding((side, side), in_channels=channels), (channels, side, side), d4=d4
    )
    build = posterior_nn(model=flow, embedding_net=embedding, z_score_x="none")
    inference = NPE(density_estimator=build, show_progress_bars=False, tracker=NoTracker())
    inference.append_simulations(torch.from_numpy(ln_m).float()[:, None], inputs)
    limit = {} if max_epochs is None else {"max_num_epochs": max_epochs}
    estimator = inference.train(**limit)
    seconds = time.process_time() - start
    density = grid_density(estimator, flat_inputs(read(test), encoding))
    return Fit(
        Prediction.from_density(density),
        seconds,
        int(inference.summary["epochs_trained"][-1]),
        sum(p.numel() for p in estimator.parameters()),
    )


@torch.no_grad()
def grid_density(estimator: Any, inputs: torch.Tensor) -> np.ndarray:
    """Return sbi's densities at `LNM_GRID`, shape (n, node).

    The same as `estimator.log_prob`, which would embed each map once a node.
    """
    estimator.eval()
    flow = estimator.net
    nodes = torch.from_numpy(LNM_GRID).float()
    rows = []
    for part in inputs.split(_AT_ONCE):
        context = flow._embedding_net(part).repeat_interleave(len(nodes), 0)
        noise, log_jacobian = flow._transform(nodes.repeat(len(part))[:, None], context=context)
        log = flow._distribution.log_prob(noise, context=context) + log_jacobian
        rows.append(torch.exp(log.double()).reshape(len(part), -1).numpy())
    return np.concatenate(rows)


def fit_ours(
    survey: xr.Dataset,
    train: np.ndarray,
    test: np.ndarray,
    *,
    name: str,
    seed: int,
    max_epochs: int | None = None,
) -> Fit:
    """Train one of our networks on clusters and return its posteriors of others."""
    estimator = NetworkEstimator(name, seed=seed, device="cpu", max_epochs=max_epochs)
    start = time.process_time()
    estimator.fit(survey, train)
    seconds = time.process_time() - start
    prediction = estimator.predict(survey, test)
    return Fit(prediction, seconds, len(estimator.history), estimator.n_parameters)


def contenders(flow: str) -> dict[str, Callable[..., Fit]]:
    """Return who is compared, by name: functions of survey, train, test, seed and max_epochs."""

    def ours(name: str) -> Callable[..., Fit]:
        return lambda *given, **more: fit_ours(*given, name=name, **more)

    def peer(bands: str, d4: bool) -> Callable[..., Fit]:
        return lambda *given, **more: fit_sbi(*given, bands=bands, flow=flow, d4=d4, **more)

    return {
        "icm-3band": ours("icm-3band"),
        f"sbi-{flow}-3band": peer("3band", False),
        f"sbi-{flow}-3band+d4": peer("3band", True),
        "icm-1band": ours("icm-1band"),
        f"sbi-{flow}-1band": peer("1band", False),
    }


def compare(
    survey: xr.Dataset,
    *,
    flow: str,
    folds: int,
    fit_folds: int,
    seed: int,
    max_epochs: int | None = None,
    keep: Callable[[list[dict[str, Any]]], None] | None = None,
) -> list[dict[str, Any]]:
    """Return a row for each contender, over the folds that it was fitted on.

    `keep` is called with the rows so far after every fit.
    """
    fold = octant_folds(survey, folds)
    fits: dict[str, list[tuple[np.ndarray, Fit]]] = {}
    rows: list[dict[str, Any]] = []
    for k in range(fit_folds):
        train, test = split_predicted(fold, k, survey["redshift"].values)
        for name, fit in contenders(flow).items():
            made = fit(survey, train, test, seed=seed + k, max_epochs=max_epochs)
            fits.setdefault(name, []).append((test, made))
            spread = np.std(made.prediction.mean - np.log(survey["m500c"].values[test]))
            print(f"fold {k}: {name:20} {spread:.3f}, {made.seconds:.1f} s", flush=True)
            rows = [_row(survey, name, found, fits, seed) for name, found in fits.items()]
            if keep is not None:
                keep(rows)
    return rows


def _row(
    survey: xr.Dataset,
    name: str,
    found: list[tuple[np.ndarray, Fit]],
    fits: dict[str, list[tuple[np.ndarray, Fit]]],
    seed: int,
) -> dict[str, Any]:
    """Return the scores of a contender, and its scatter over ours on the same clusters."""
    test, residual, prediction = _joined(survey, found)
    scores = score(
        np.log(survey["m500c"].values[test]),
        prediction,
        halo_id=survey["halo_id"].values[test],
        redshift=survey["redshift"].values[test],
        rng=np.random.default_rng(seed),
    ).as_dict()
    row = {"name": name, "folds_fitted": len(found), "n_test": len(test)}
    row |= {key: scores[key] for key in _SCORED}
    row |= {
        "seconds": round(sum(fit.seconds for _, fit in found), 1),
        "epochs": [fit.epochs for _, fit in found],
        "n_parameters": found[0][1].parameters,
    }
    ours = "icm-1band" if "1band" in name else "icm-3band"
    theirs = fits.get(ours, [])[: len(found)]
    if len(theirs) == len(found):
        rng, halo = np.random.default_rng(seed), survey["halo_id"].values[test]
        ratio, error = scatter_ratio(residual, _joined(survey, theirs)[1], halo, rng)
        row |= {"scatter_over_ours": ratio, "scatter_over_ours_error": error}
    return row


def _joined(
    survey: xr.Dataset, found: list[tuple[np.ndarray, Fit]]
) -> tuple[np.ndarray, np.ndarray, Prediction]:
    """Return clusters of all folds, residuals of their means, and their posteriors."""
    test = np.concatenate([index for index, _ in found])
    density = np.concatenate([fit.prediction.tabulated() for _, fit in found])
    prediction = Prediction.from_density(density)
    return test, prediction.mean - np.log(survey["m500c"].values[test]), prediction


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("survey", type=Path)
    parser.add_argument("--flow", choices=FLOWS, default="nsf")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--fit-folds", type=int, default=2, help="of these folds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-epochs", type=int, help="for both; default: each as it is")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    try:
        import sbi
    except ImportError:
        raise SystemExit("sbi is missing: pip install icmass[peers]") from None
    fit_folds = min(given.fit_folds, given.folds)

    def keep(rows: list[dict[str, Any]]) -> None:
        about = {
            "survey": about_survey(survey, given.survey.name).as_json(),
            "folds": given.folds,
            "flow": given.flow,
            "seed": given.seed,
            "max_epochs": given.max_epochs,
            "machine": machine("cpu").as_json(),
            "versions": versions() | {"sbi": sbi.__version__},
        }
        if given.json:
            given.json.write_text(json.dumps(about | {"rows": rows}, indent=1) + "\n")

    try:
        survey = open_survey(given.survey)
        rows = compare(
            survey,
            flow=given.flow,
            folds=given.folds,
            fit_folds=fit_folds,
            seed=given.seed,
            max_epochs=given.max_epochs,
            keep=keep,
        )
    except InputError as error:
        raise SystemExit(f"peer_sbi: {error}") from None
    for row in rows:
        print(json.dumps(row))


if __name__ == "__main__":
    main()
