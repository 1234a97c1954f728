"""Tabulates a selection function: many halos at every mass and redshift of a grid."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from multiprocessing import get_context
from typing import Self

import numpy as np

from icmass import __version__
from icmass.arguments import whole_number
from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.observe.allsky import exposure as exposure_at
from icmass.survey.config import SurveyConfig
from icmass.survey.observatory import Observatory
from icmass.survey.selection import Selection
from icmass.survey.selection_function import SelectionFunction
from icmass.survey.selection_table import AXES
from icmass.universe.gas import make_gas
from icmass.universe.halos import Halo
from icmass.universe.population import HaloPopulation

SHARES = (0.0, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 1.0)
"""Edges of the bins of concentration: shares of the halos of a mass and redshift."""
MIN_HALOS = 60

_NH = (0.5, 3.0, 8.0, 20.0, 50.0)  # 1e20 cm^-2: the sky beyond 10 deg of the Galactic plane
_RANGES = {"m500c": (1e12, 1e16), "redshift": (0.01, 2), "exposure": (1, 1e7), "nh": (0, 1000)}
_MASS_STEP = 0.1  # dex
_REDSHIFT_STEP = 0.25  # in ln z
_EXPOSURE_STEP = 0.7  # in ln t
_NEAR_POLE = 88.0  # ecliptic latitude that bounds the exposures of an all-sky survey [deg]
_HALOS = 0xFFFFFFFE  # spawn key of the halos, apart from those of clusters and of boxes


@dataclass(frozen=True)
class SelectionGrid:
    """The nodes of a selection function, each axis ascending.

    Parameters
    ----------
    m500c : tuple of float
        [Msun/h]
    redshift : tuple of float
    exposure : tuple of float
        [s]
    nh : tuple of float
        [1e20 cm^-2]
    """

    m500c: tuple[float, ...]
    redshift: tuple[float, ...]
    exposure: tuple[float, ...]
    nh: tuple[float, ...]

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            values = getattr(self, name)
            if not values or any(not a < b for a, b in pairwise(values)):
                raise InputError("does not ascend", field=name, hint="give ascending numbers")
            if not low <= values[0] <= values[-1] <= high:
                raise InputError(f"is not within {low:g} and {high:g}", field=name)

    @classmethod
    def of(cls, config: SurveyConfig) -> Self:
        """Return nodes that span what a survey holds: its masses, redshifts, exposures and N_H."""
        halos, observe = config.halos, config.observe
        redshifts = halos.redshift_range or (halos.redshifts[0], halos.redshifts[-1])
        if observe.sky is not None:
            times = (exposure_at(observe.sky, 0.0), exposure_at(observe.sky, _NEAR_POLE))
        else:
            times = observe.exposure_range
        mass = (10**halos.log_m500c_min, 10**halos.log_m500c_max)
        return cls(
            m500c=_nodes(*mass, _MASS_STEP * np.log(10)),
            redshift=_nodes(*redshifts, _REDSHIFT_STEP),
            exposure=_nodes(*times, _EXPOSURE_STEP),
            nh=_NH,
        )


def _nodes(low: float, high: float, step: float) -> tuple[float, ...]:
    """Return nodes even in the logarithm, at most `step` apart."""
    if low == high:
        return (float(low),)
    number = 1 + int(np.ceil(np.log(high / low) / step - 1e-9))
    inner = np.geomspace(low, high, number)[1:-1]
    return (float(low), *inner.tolist(), float(high))


def halo_at(halo: Halo, m500c: float, redshift: float, cosmology: Cosmology) -> Halo:
    """Return a halo with the same latent physics at another mass [Msun/h] and redshift."""
    radius = float(cosmology.r500c(m500c, redshift))
    return replace(halo, m500c=m500c, redshift=redshift, r500c=radius)


def draw_halos(config: SurveyConfig, seed: int, n: int) -> list[Halo]:
    """Draw halos of a survey's population, those of a selection function.

    Halo i draws from ``numpy.random.SeedSequence(seed, spawn_key=(2**32 - 2, i))``.
    """
    population = HaloPopulation(config.halos, config.cosmology, seed)
    streams = (np.random.SeedSequence(seed, spawn_key=(_HALOS, i)) for i in range(n))
    return [population.draw(i, np.random.default_rng(stream)) for i, stream in enumerate(streams)]


def tabulate_selection(
    config: SurveyConfig,
    *,
    seed: int = 1,
    n_halos: int = 400,
    grid: SelectionGrid | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> SelectionFunction:
    """Tabulate the probability that a survey detects a halo.

    Parameters
    ----------
    config : SurveyConfig
        Of a survey that detects its clusters.
    seed : int
        Of the halos; the table depends on it, the configuration, `n_halos` and the grid alone.
    n_halos : int
        Halos at every mass and redshift, `MIN_HALOS` or more.
    grid : SelectionGrid, optional
        Default: `SelectionGrid.of` the configuration.
    workers : int
        Processes on this machine.
    progress : callable, optional
        Called with (done, total) redshifts.

    Returns
    -------
    SelectionFunction

    Notes
    -----
    A halo is drawn with its latent physics and its orientation, put at every mass and redshift,
    filled with gas (`icmass.universe.gas.make_gas`), and given to the step that decides on the
    halos of a survey (`icmass.survey.selection.Selection`): its gas alone counts, not its
    substructures, neighbours and AGN. The probability of a node is the mean over the halos of a bin
    of concentration, its error their standard deviation over the root of their number.
    """
    if config.detection is None:
        raise InputError(
            f"preset {config.preset} keeps all halos, it detects none",
            field="detection",
            hint="take erass1 to erass8, or --set detection={} and "
            "--set halos.redshift_range=[0.05,0.8]",
        )
    if n_halos < MIN_HALOS:
        raise InputError(f"{n_halos} is too few", field="halos", hint=f"give {MIN_HALOS} or more")
    grid = grid or SelectionGrid.of(config)
    config_json = config.model_dump_json()
    work = [(config_json, seed, n_halos, grid, redshift) for redshift in grid.redshift]
    columns = []
    for column in _mapped(work, workers):
        columns.append(column)
        if progress is not None:
            progress(len(columns), len(work))
    node, concentration = (np.stack(arrays, axis=2) for arrays in zip(*columns, strict=True))
    return SelectionFunction(
        **{name: np.array(getattr(grid, name)) for name in AXES},
        probability=node[0],
        probability_error=node[1],
        concentration=concentration[0],
        concentration_low=concentration[1],
        concentration_high=concentration[2],
        n_halos=np.diff(_bin_edges(n_halos)),
        cosmology=config.cosmology,
        meta={
            "creator": f"icmass {__version__}",
            "preset": config.preset,
            "seed": seed,
            "version": __version__,
            "halos": n_halos,
            "detect": config.detection.model_dump_json(),
            "config": json.dumps(json.loads(config_json)),
        },
    )


_Work = tuple[str, int, int, SelectionGrid, float]
_Column = tuple[np.ndarray, np.ndarray]


def _mapped(work: Sequence[_Work], workers: int) -> Iterator[_Column]:
    if whole_number(workers, "--workers", 1) == 1:
        yield from map(_column, work)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_column, work)


@lru_cache(maxsize=1)
def _universe(config_json: str, seed: int, n: int) -> tuple[SurveyConfig, Selection, list[Halo]]:
    """Return what all nodes share, made once in a process."""
    config = SurveyConfig.model_validate_json(config_json)
    if config.detection is None:
        raise InputError("keeps all halos", field="detection")
    selection = Selection(config.detection, Observatory(config), config.cosmology)
    return config, selection, draw_halos(config, seed, n)


def _column(task: _Work) -> _Column:
    """Return all masses of one redshift.

    Returns
    -------
    node : ndarray, shape (2, n_m, n_e, n_nh, n_bin)
        Probability and its error.
    concentration : ndarray, shape (3, n_m, n_bin)
        Mean, least, largest.
    """
    config_json, seed, n, grid, redshift = task
    config, selection, halos = _universe(config_json, seed, n)
    nodes, concentrations = [], []
    for mass in grid.m500c:
        placed = [halo_at(halo, mass, redshift, config.cosmology) for halo in halos]
        gases = [make_gas(halo, config.gas, config.cosmology) for halo in placed]
        signals = [
            selection.signal(halo, gas, grid.nh) for halo, gas in zip(placed, gases, strict=True)
        ]
        concentration = np.array([signal.concentration for signal in signals])
        probabilities = selection.probabilities(signals, grid.exposure)
        node, of_bins = _binned(probabilities, concentration)
        nodes.append(node)
        concentrations.append(of_bins)
    return np.stack(nodes, axis=1), np.stack(concentrations, axis=1)


def _bin_edges(n: int) -> np.ndarray:
    return np.rint(n * np.array(SHARES)).astype(int)


def _binned(probabilities: np.ndarray, concentration: np.ndarray) -> _Column:
    """Return mean and error of the probability (n, e, nh) in bins of concentration."""
    order = np.argsort(concentration, kind="stable")
    probabilities, ln_c = probabilities[order], np.log(concentration[order])
    bins = [slice(a, b) for a, b in pairwise(_bin_edges(len(probabilities)))]
    mean = [probabilities[bin_rows].mean(0) for bin_rows in bins]
    error = [
        probabilities[bin_rows].std(0, ddof=1) / np.sqrt(len(probabilities[bin_rows]))
        for bin_rows in bins
    ]
    of_bins = [(ln_c[bin_rows].mean(), ln_c[bin_rows][0], ln_c[bin_rows][-1]) for bin_rows in bins]
    return np.stack([np.stack(mean, -1), np.stack(error, -1)]), np.exp(np.array(of_bins).T)
