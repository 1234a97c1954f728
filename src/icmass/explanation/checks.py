"""Sanity checks of attributions: methods that fail them are shown as failed.

- completeness: integrated and expected gradients add up to f(x) - f(baseline);
- random weights: attributions of networks drawn anew must not look like those of the trained one
  (Adebayo et al. 2018, arXiv:1810.03292);
- random labels: nor those of a network trained on masses that were shuffled (same);
- constant shift: a constant added to the input, and taken off again by the function, must change
  nothing (Kindermans et al. 2017, arXiv:1711.00867); the baselines, which are taken from the sky,
  move with it. Brighter sky: a tenth more background, which the network does see;
- deletion, insertion: see `icmass.explanation.curves`;
- seeds: networks that differ in their seed alone should be explained alike.

Rank correlations are Spearman's, cluster by cluster over all pixels and bands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import rankdata
from torch import nn

from icmass.errors import InputError
from icmass.estimators.network import NetworkEstimator
from icmass.explanation.curves import Curves, curves, order_of, reference_orders
from icmass.explanation.methods import Attribution, Settings, Task, attribute
from icmass.explanation.model import DifferentiablePredictor
from icmass.training.devices import seeded

COMPLETE, ALIKE, SHIFTED, AGREE = 0.02, 0.2, 0.01, 0.5
"""Bars: relative error; rank correlation that is none; relative change; correlation that is one."""
FIXED_STEPS = 5
"""How many steps `run_checks` tells beside one for each method."""
SHIFT = 0.5
"""Counts, or standardised pixels, that the shift adds."""
SKY = 0.1
"""Share of the expected background that the brighter sky has more."""
_DRAWS = 2  # networks of random weights


@dataclass(frozen=True)
class Verdict:
    """The result of one check of one method.

    Attributes
    ----------
    method, check : str
        Which method, which check.
    value : float or None
        What was measured; None where it cannot be.
    bar : str
        What it should be, in words.
    passed : bool or None
        None: nothing was measured, or there is no bar.
    note : str
        What else is to be known.
    """

    method: str
    check: str
    value: float | None
    bar: str
    passed: bool | None
    note: str = ""


def rank_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return Spearman's correlation of the maps of each cluster, (n,); 0 where one is constant."""
    out = np.zeros(len(first))
    for i, pair in enumerate(zip(first, second, strict=True)):
        a, b = (rankdata(part.ravel()) - (part.size + 1) / 2 for part in pair)
        norm = np.sqrt((a @ a) * (b @ b))
        out[i] = a @ b / norm if norm > 0 else 0.0
    return out


def random_networks(
    explained: DifferentiablePredictor, seed: int, n: int = _DRAWS
) -> list[list[nn.Module]]:
    """Return networks of the design with starting weights, as many as are explained, n times."""
    config, design = explained.config, explained.design
    channels = explained.sample.counts.shape[1] + config.coverage_channel
    drawn = []
    for k in range(n):
        with seeded(seed, k, 17):
            drawn.append(
                [
                    design.network(n_pixels=config.n_pixels, n_channels=channels)
                    for _ in explained.networks
                ]
            )
    return drawn


def shuffled_network(
    estimator: NetworkEstimator, survey: xr.Dataset, train: np.ndarray, *, epochs: int, seed: int
) -> NetworkEstimator:
    """Train one network of an estimator's design on masses that are shuffled among clusters."""
    if "m500c" not in survey:
        raise InputError("is missing", field="variable m500c", hint="use a simulated survey")
    mass = survey["m500c"].values.copy()
    rng = np.random.default_rng([seed, 19])
    mass[train] = mass[train][rng.permutation(len(train))]
    changed = survey.assign(m500c=("cluster", mass, survey["m500c"].attrs))
    name = estimator.name.partition("@")[0]
    made = NetworkEstimator(name, seed=seed, device=estimator.device, max_epochs=epochs)
    made.fit(changed, train)
    return made


def run_checks(
    estimator: NetworkEstimator,
    survey: xr.Dataset,
    *,
    train: np.ndarray,
    test: np.ndarray,
    methods: Sequence[str],
    settings: Settings | None = None,
    epochs: int = 5,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Run every check on every method.

    Parameters
    ----------
    estimator : NetworkEstimator
        A fitted network.
    survey : Dataset
        The survey of `train` and `test`.
    train, test : ndarray of int
        Clusters to train on shuffled masses with, and clusters whose attributions are checked.
    methods : sequence of str
        Keys of `icmass.explanation.methods.METHODS`.
    epochs : int
        Passes over `train` of the network that learns shuffled masses.

    Returns
    -------
    dict
        Ready for JSON: ``clusters``, ``verdicts`` (rows of `Verdict`), ``curves``.
    """
    settings = settings or Settings()
    tell = progress or (lambda said: None)
    methods = list(methods)
    explained = DifferentiablePredictor.of(estimator, survey, test)
    task = Task.of(explained, survey, test, methods=tuple(methods), settings=settings)
    truth = {}
    for method in methods:
        tell(f"attributions by {method}")
        truth[method] = attribute(task, method, settings=settings)
    verdicts = [_completeness(found) for found in truth.values() if found.error is not None]
    tell("networks of random weights")
    drawn = [
        task.of_networks(explained.with_networks(networks))
        for networks in random_networks(explained, settings.seed)
    ]
    verdicts += _unlike(truth, drawn, "random weights", settings)
    tell("a network trained on shuffled masses")
    shuffled = shuffled_network(estimator, survey, train, epochs=epochs, seed=settings.seed)
    learned = DifferentiablePredictor.of(shuffled, survey, test)
    verdicts += _unlike(truth, [task.of_networks(learned)], "random labels", settings)
    tell("shifted input")
    for found in truth.values():
        verdicts += [_shift(task, found, settings), _sky(task, found, settings)]
    tell("deletion and insertion")
    followed = _follow(task, truth, settings.seed)
    for method in methods:
        verdicts += _deletion(method, followed)
    tell("agreement of seeds")
    verdicts += [_seeds(task, method, settings) for method in methods]
    verdicts.sort(key=lambda verdict: methods.index(verdict.method))
    return {
        "clusters": len(test),
        "networks": explained.what,
        "verdicts": [asdict(verdict) for verdict in verdicts],
        "curves": {name: found.document() for name, found in followed.items()},
    }


def _completeness(found: Attribution) -> Verdict:
    assert found.error is not None
    value = float(np.median(found.error))
    high = float(np.percentile(found.error, 84))
    note = f"84th percentile {high:.3f}"
    return Verdict(found.method, "completeness", value, f"< {COMPLETE:g}", value < COMPLETE, note)


def _unlike(
    truth: dict[str, Attribution], others: Sequence[Task], check: str, settings: Settings
) -> list[Verdict]:
    """Compare attributions with those of networks that have learned nothing."""
    verdicts = []
    for method, found in truth.items():
        each = [
            rank_correlation(found.values, attribute(other, method, settings=settings).values)
            for other in others
        ]
        value = float(np.abs(each).mean())
        note = f"signed mean {np.mean(each):+.2f}"
        verdicts.append(Verdict(method, check, value, f"< {ALIKE:g}", value < ALIKE, note))
    return verdicts


def _shift(task: Task, found: Attribution, settings: Settings) -> Verdict:
    again = attribute(task.shifted(SHIFT), found.method, settings=settings)
    change = float(np.abs(again.values - found.values).sum() / np.abs(found.values).sum())
    return Verdict(found.method, "constant shift", change, f"< {SHIFTED:g}", change < SHIFTED)


def _sky(task: Task, found: Attribution, settings: Settings) -> Verdict:
    """Compare with attributions under a sky that is really brighter, which the network sees."""
    more = SKY * task.baseline.mean((2, 3), keepdim=True)
    bright = task.brighter(more)
    again = attribute(bright, found.method, settings=settings)
    value = float(rank_correlation(found.values, again.values).mean())
    explained, rows = task.explained, task.explained.rows
    change = bright.explained.values(bright.explained.sample.counts, rows) - explained.values(
        explained.sample.counts, rows
    )
    note = f"{SKY:.0%} more background in every pixel moves ln M by {float(change.mean()):+.3f}"
    return Verdict(found.method, "brighter sky", value, f"> {AGREE:g}", value > AGREE, note)


def _follow(task: Task, truth: dict[str, Attribution], seed: int) -> dict[str, Curves]:
    explained, rows = task.explained, task.explained.rows
    whole = explained.values(explained.sample.counts, rows)
    change = (whole - explained.values(task.baseline, rows)).cpu().numpy()
    orders = {name: order_of(found, change) for name, found in truth.items()}
    orders |= reference_orders(task, seed)
    return {name: curves(task, score) for name, score in orders.items()}


def _deletion(method: str, followed: dict[str, Curves]) -> list[Verdict]:
    """Compare a method's areas with those of the random order and of the brightest first."""
    deleted, inserted = followed[method].areas
    verdicts = []
    for other in ("random", "brightness"):
        deleted_there, inserted_there = followed[other].areas
        gains = deleted_there - deleted, inserted - inserted_there
        for check, gain in zip(("deletion", "insertion"), gains, strict=True):
            verdicts.append(Verdict(method, f"{check} against {other}", gain, "> 0", gain > 0))
    return verdicts


def _seeds(task: Task, method: str, settings: Settings) -> Verdict:
    explained, check = task.explained, "agreement of seeds"
    if len(explained.networks) < 2:
        return Verdict(method, check, None, f"> {AGREE:g}", None, "one network only")
    pair = [
        attribute(task.of_networks(explained.member(i)), method, settings=settings).values
        for i in (0, 1)
    ]
    value = float(rank_correlation(*pair).mean())
    return Verdict(method, check, value, f"> {AGREE:g}", value > AGREE)
