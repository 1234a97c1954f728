"""Scatter of scalar proxies on cleaned maps, of L_X without cores, of networks trained anew.

All are the cross-validated standard deviation of ln M500c predicted - true, on octant folds.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from icmass.benchmarking.scores import bootstrap_errors, scatter_ratio
from icmass.estimators.estimator import EstimatorInfo, Prediction, split_predicted
from icmass.estimators.registry import make_estimator
from icmass.estimators.relation import ProxyRelation
from icmass.explanation.causal_plan import cleanings
from icmass.explanation.interventions import Change, Intervention, check_simulated
from icmass.run.predictions import Predictions
from icmass.survey.folds import octant_folds

COUNTS = ("N_phot", "N_phot_r500", "N_phot_2r500")
EXCISED = {"L_X_ce": "L_X", "L_X_soft_ce": "L_X_soft"}
"""Luminosities without cores, and the proxy whose relation is fitted to them."""
_CHUNK = 256  # clusters changed at once
_DRAWS = 500


@dataclass(frozen=True)
class Substituted:
    """The relation of a proxy, fitted and read with another variable in its place."""

    relation: ProxyRelation
    variable: str

    @classmethod
    def fit(cls, survey: xr.Dataset, train: np.ndarray, variable: str) -> Substituted:
        """Fit the relation of the proxy that `variable` replaces, see `EXCISED`."""
        relation = ProxyRelation.from_name(EXCISED[variable])
        relation.fit(survey.assign({EXCISED[variable]: survey[variable]}), train)
        return cls(relation, variable)

    @property
    def info(self) -> EstimatorInfo:
        """What the relation says of itself."""
        return self.relation.info

    def predict(self, survey: xr.Dataset, index: np.ndarray) -> Prediction:
        """Predict ln M500c of the clusters `index`."""
        replaced = survey.assign({EXCISED[self.variable]: survey[self.variable]})
        return self.relation.predict(replaced, index)


def per_cluster(survey: xr.Dataset) -> xr.Dataset:
    """Return what a survey has of each cluster, with the clusters' places in it as coordinate."""
    others = [name for name in survey if "cluster" not in survey[name].dims]
    return survey.drop_vars(others).assign_coords(cluster=np.arange(survey.sizes["cluster"]))


def changed_survey(
    survey: xr.Dataset, change: Change, seed: int, *, keep_maps: bool = True
) -> xr.Dataset:
    """Return a whole survey changed, in memory; without its maps if only counts are wanted."""
    whole, parts = per_cluster(survey), []
    for start in range(0, survey.sizes["cluster"], _CHUNK):
        part = whole.isel(cluster=slice(start, start + _CHUNK)).load()
        done = change(part, np.random.default_rng([seed, start]))
        parts.append(done if keep_maps else done.drop_vars("maps"))
    return xr.concat(parts, "cluster")


def proxy_residuals(
    survey: xr.Dataset, scalars: xr.Dataset, n_folds: int, seed: int = 0
) -> tuple[dict[str, dict[str, Any]], dict[str, np.ndarray]]:
    """Cross-validate luminosities with and without cores, and photon counts on cleaned maps.

    Parameters
    ----------
    survey : Dataset
        A simulated survey.
    scalars : Dataset
        The same without maps, with the variables of `core_excised`.
    n_folds : int
        Octant folds.
    seed : int
        Seed of what the cleanings draw.

    Returns
    -------
    rows : dict
        By name: ``what`` in words, ``base`` the row that it is a cleaned form of, and
        ``residual``, ln M500c predicted - true, shape (cluster,), NaN of clusters that
        `icmass.estimators.estimator.split_predicted` leaves out.
    drivers : dict of str to ndarray, shape (cluster,)
        What may err them: ``core``, ln L_X with over without the core, and ``agn``, ln of the
        photons within R500c with over without true AGN.
    """
    fold = octant_folds(scalars, n_folds)
    rows: dict[str, dict[str, Any]] = {}
    for name in (*EXCISED.values(), *EXCISED):
        base = EXCISED.get(name, name)
        what = f"{base} outside 0.15 R500c" if name in EXCISED else "ideal, inside R500c"
        replaced = scalars.assign({base: scalars[name]})
        rows[name] = {"what": what, "base": base, "residual": _residual(replaced, base, fold)}
    for name in ("T", "M_gas"):
        rows[name] = {"what": "ideal", "base": name, "residual": _residual(scalars, name, fold)}
    inside = {}
    for cleaning in cleanings(survey):
        cleaned = changed_survey(survey, cleaning.change, seed, keep_maps=False)
        inside[cleaning.name] = np.log1p(cleaned["n_phot_r500"].values)
        for base in COUNTS:
            name = base if cleaning.name == "as_observed" else f"{base} {cleaning.name}"
            residual = _residual(cleaned, base, fold)
            rows[name] = {"what": cleaning.what, "base": base, "residual": residual}
    core = np.log(scalars["L_X"].values / scalars["L_X_ce"].values)
    return rows, {"core": core, "agn": inside["as_observed"] - inside["no_agn"]}


def _residual(survey: xr.Dataset, proxy: str, fold: np.ndarray) -> np.ndarray:
    """Return ln M500c predicted - true, each cluster by the fold that did not see it, or NaN."""
    mean = np.full(len(fold), np.nan)
    for k in np.unique(fold):
        train, test = split_predicted(fold, int(k), survey["redshift"].values)
        relation = ProxyRelation.from_name(proxy)
        relation.fit(survey, train)
        mean[test] = relation.predict(survey, test).mean
    return mean - np.log(survey["m500c"].values)


def scatter_table(
    rows: dict[str, dict[str, Any]],
    drivers: dict[str, np.ndarray],
    networks: Mapping[str, Predictions],
    halo_id: np.ndarray,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Return the scatter of every row, and how much of the networks' gain each cleaning gives.

    Parameters
    ----------
    rows, drivers : dict
        Of `proxy_residuals`.
    networks : mapping of str to Predictions
        Predictions of the run.
    halo_id : ndarray of int, shape (cluster,)
        Halos are what the bootstrap draws.

    Returns
    -------
    list of dict
        ``name``, ``what``, ``n``, ``sigma_lnm``, ``sigma_lnm_error``; ``r``, the correlation of
        predicted - true with each driver; of a cleaned proxy ``closed``: by network, the share of
        the variance between its base and the network that the cleaning takes away,
        (s_base^2 - s^2) / (s_base^2 - s_network^2), and its error; None where that gains nothing.
    """
    found = []
    for name, row in rows.items():
        scored = np.flatnonzero(np.isfinite(row["residual"]))
        residual = row["residual"][scored]
        entry = _entry(name, row["what"], residual, halo_id[scored], seed)
        entry["r"] = _correlations(residual, drivers, scored)
        if name != row["base"]:
            entry["closed"] = {
                network: _closed(
                    rows[row["base"]]["residual"], row["residual"], held, halo_id, seed
                )
                for network, held in networks.items()
            }
        found.append(entry)
    for name, held in networks.items():
        residual = held.mean - held.ln_m_true
        entry = _entry(name, "network of the run", residual, halo_id[held.cluster], seed)
        found.append({**entry, "r": _correlations(residual, drivers, held.cluster)})
    return found


def _correlations(
    residual: np.ndarray, drivers: dict[str, np.ndarray], cluster: np.ndarray
) -> dict[str, float]:
    return {
        name: float(np.corrcoef(residual, values[cluster])[0, 1])
        for name, values in drivers.items()
    }


def _entry(
    name: str, what: str, residual: np.ndarray, halo_id: np.ndarray, seed: int
) -> dict[str, Any]:
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return {
        "name": name,
        "what": what,
        "n": len(residual),
        "sigma_lnm": float(np.std(residual)),
        "sigma_lnm_error": bootstrap_errors(residual, halo_id, rng)[0],
    }


def _closed(
    base: np.ndarray, cleaned: np.ndarray, held: Predictions, halo_id: np.ndarray, seed: int
) -> dict[str, float] | None:
    """Return the share of the gap between base and network that the cleaned proxy closes.

    None if the network gains nothing to speak of, less than three times its error.
    """
    residuals = [base[held.cluster], cleaned[held.cluster], held.mean - held.ln_m_true]
    _, halo = np.unique(halo_id[held.cluster], return_inverse=True)
    number = np.bincount(halo)
    drawn = np.random.default_rng([seed, 1]).integers(len(number), size=(_DRAWS, len(number)))
    n = number[drawn].sum(1)
    once, many = [], []
    for residual in residuals:
        first, second = (np.bincount(halo, residual**power)[drawn].sum(1) for power in (1, 2))
        many.append(second / n - (first / n) ** 2)
        once.append(np.var(residual))
    gap, gaps = once[0] - once[2], many[0] - many[2]
    if gap < 3 * np.std(gaps, ddof=1):
        return None
    shares = (many[0] - many[1]) / gaps
    return {"share": float((once[0] - once[1]) / gap), "error": float(np.std(shares, ddof=1))}


@dataclass(frozen=True)
class Retraining:
    """How networks are trained anew.

    Attributes
    ----------
    model : str
        Name of the estimator.
    folds, n_folds : int
        How many of how many octant folds are trained.
    seed : int
        Seed of the networks and of what the interventions draw.
    max_epochs : int or None
        Train for at most this many epochs.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    """

    model: str = "icm-3band"
    folds: int = 2
    n_folds: int = 8
    seed: int = 0
    max_epochs: int | None = None
    device: str = "auto"


def retrain(
    survey: xr.Dataset,
    interventions: Sequence[Intervention],
    how: Retraining | None = None,
    *,
    then: Sequence[Intervention] = (),
    progress: Callable[[str], None] | None = None,
) -> list[dict[str, Any]]:
    """Train a network on a survey that interventions have changed, and score it there.

    Parameters
    ----------
    survey : Dataset
        A simulated survey.
    interventions : sequence of Intervention
        Each changes training and test clusters alike; the first is what the others are put beside,
        on the same clusters and with networks of the same seeds.
    how : Retraining, optional
        The network and the folds.
    then : sequence of Intervention
        Made in the test clusters as well, after training: what each does to the mass.
    progress : callable, optional
        Called with a few words after each intervention.

    Returns
    -------
    list of dict
        ``name``, ``what``, ``model``, ``folds``, ``n``, ``sigma_lnm`` and its error,
        ``sigma_ratio`` to the first and its error, ``seconds`` of all fits, and ``responses``: by
        name of `then`, ``dlnm`` and its ``error``.
    """
    check_simulated(survey)
    how = how or Retraining()
    rows: list[dict[str, Any]] = []
    first = np.empty(0)
    fold = octant_folds(survey, how.n_folds)
    redshift = survey["redshift"].values
    splits = [split_predicted(fold, k, redshift) for k in range(how.folds)]
    halo = survey["halo_id"].values[np.concatenate([test for _, test in splits])]
    for one in interventions:
        start = time.perf_counter()
        residual, differences = _trained_anew(survey, one, how, splits, then)
        first = first if rows else residual
        row = _entry(one.name, one.what, residual, halo, how.seed)
        pair = scatter_ratio(residual, first, halo, np.random.default_rng([how.seed, 3]))
        row["sigma_ratio"], row["sigma_ratio_error"] = pair
        row["responses"] = {
            name: {
                "dlnm": float(np.mean(difference)),
                "error": bootstrap_errors(difference, halo, np.random.default_rng(how.seed))[1],
            }
            for name, difference in differences.items()
        }
        row |= {"model": how.model, "folds": how.folds}
        rows.append({**row, "seconds": round(time.perf_counter() - start, 1)})
        if progress:
            progress(f"trained anew, {one.name}: scatter {row['sigma_lnm']:.4f}")
    return rows


def _trained_anew(
    survey: xr.Dataset,
    intervention: Intervention,
    how: Retraining,
    splits: Sequence[tuple[np.ndarray, np.ndarray]],
    then: Sequence[Intervention],
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return ln M500c predicted - true of all folds' clusters, and what each of `then` adds."""
    changed = changed_survey(survey, intervention.change, how.seed)
    residuals: list[np.ndarray] = []
    differences: dict[str, list[np.ndarray]] = {one.name: [] for one in then}
    for k, (train, test) in enumerate(splits):
        seed = int(np.random.SeedSequence([how.seed, k]).generate_state(1)[0])
        estimator = make_estimator(
            how.model, seed=seed, device=how.device, max_epochs=how.max_epochs
        )
        estimator.fit(changed, train)
        clusters, every = changed.isel(cluster=test), np.arange(len(test))
        before = estimator.predict(clusters, every).mean
        residuals.append(before - np.log(clusters["m500c"].values))
        for one in then:
            after = one.change(clusters, np.random.default_rng([how.seed, k]))
            differences[one.name].append(estimator.predict(after, every).mean - before)
    return np.concatenate(residuals), {m: np.concatenate(d) for m, d in differences.items()}
