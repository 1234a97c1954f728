"""Priors of ln M500c at a redshift: of a training set, flat, or the halo mass function.

A network's posterior is its likelihood times how its training masses are distributed at that
redshift; `Prediction.with_prior` divides this out and puts another prior in. All priors here are
log densities per unit of ln M500c at `LNM_GRID`, shape (n, node), ``-inf`` where zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import Any, Literal, Self, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.estimators.posterior import LNM_GRID, LNM_STEP, M500C_GRID, normalised

PriorKind = Literal["training", "flat", "mass-function"]
_HINT = "choose training, flat, mass-function or mass-function:om0=0.3,sigma8=0.8"
_MASS_NODES = 33
_REDSHIFT_NODES = 9
_FEWEST_NEAR = 50  # training clusters that the mass limits of a redshift node are read from
_EXTREMES = 10  # order statistics whose mean gap is how far a limit lies beyond the last mass
_STIFF_MASS = (3.0, 30.0, 300.0, 3e3)  # what the penalty on bends along ln M is chosen from
_STIFF_REDSHIFT = (3.0, 30.0, 300.0)
_RIDGE = 1e-6
_NEWTON_STEPS = 30
_Z_STEP = 0.01  # between the redshifts at which the mass function is computed


class TrainingPrior(BaseModel):
    """How the masses of a training set are distributed at each redshift.

    Parameters
    ----------
    redshift : tuple of float, length k
        Redshift nodes, ascending; beyond the first and the last it is as at them.
    low, high : tuple of float, length k
        ln M500c [Msun/h] between which the training masses lie at the nodes, the prior being zero
        outside: a mean gap of the ten most extreme masses beyond the last of them.
    ln_m : (float, float)
        First and last of the even nodes of ln M500c.
    table : tuple of tuple of float, shape (k, node)
        Log density at the nodes, of any norm; linear in redshift and in ln M500c between them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    redshift: tuple[float, ...] = Field(min_length=1)
    low: tuple[float, ...]
    high: tuple[float, ...]
    ln_m: tuple[float, float]
    table: tuple[tuple[float, ...], ...]

    @model_validator(mode="after")
    def _check(self) -> Self:
        widths = {len(row) for row in self.table}
        if not len(self.low) == len(self.high) == len(self.table) == len(self.redshift):
            raise ValueError("low, high and table must have one entry a redshift")
        if len(widths) != 1 or min(widths) < 2:
            raise ValueError("table must have rows of one length, 2 or more")
        numbers = [*self.redshift, *self.low, *self.high, *self.ln_m, *np.ravel(self.table)]
        if not np.isfinite(numbers).all():
            raise ValueError("all numbers must be finite")
        if list(self.redshift) != sorted(set(self.redshift)):
            raise ValueError("redshift must ascend")
        pairs = [self.ln_m, *zip(self.low, self.high, strict=True)]
        if any(low >= high for low, high in pairs):
            raise ValueError("low must be below high")
        return self

    @classmethod
    def fit(cls, ln_m: np.ndarray, redshift: np.ndarray) -> Self:
        """Fit the distribution of training masses by penalised maximum likelihood.

        Parameters
        ----------
        ln_m, redshift : ndarray, shape (n,)
            ln(M500c / (Msun/h)) and redshift of the training clusters.

        Notes
        -----
        The log density is bilinear in (redshift, ln M), with penalties on its second differences
        (P-splines: Eilers & Marx 1996, Stat. Sci. 11, 89) that Akaike's criterion chooses. A
        kernel estimate with reflection would flatten a falling mass function at its mass limit
        and be noisy, or too broad, at its steep end; this does neither: without data it goes on
        as an exponential.
        """
        ln_m, redshift = _training_set(ln_m, redshift)
        several = np.ptp(redshift) > 1e-3
        n_nodes = _REDSHIFT_NODES if several else 1
        nodes = np.linspace(redshift.min(), redshift.max(), n_nodes)
        low, high = _limits(ln_m, redshift, nodes)
        mass_nodes = np.linspace(low.min(), high.max(), _MASS_NODES)
        groups = list(_groups(ln_m, redshift, nodes, low, high))
        hats = _hats(LNM_GRID, mass_nodes)
        stiff = product(_STIFF_MASS, _STIFF_REDSHIFT if several else (1.0,))
        fits = [_maximise(groups, hats, *pair) for pair in stiff]
        table = min(fits, key=lambda fit: fit[1])[0]
        return cls(
            redshift=tuple(nodes.tolist()),
            low=tuple(low.round(5).tolist()),
            high=tuple(high.round(5).tolist()),
            ln_m=(float(mass_nodes[0]), float(mass_nodes[-1])),
            table=tuple(tuple(row) for row in (table - table.max(1)[:, None]).round(4).tolist()),
        )

    def log_density(self, redshift: np.ndarray) -> np.ndarray:
        """Return the log density of ln M500c at redshifts (n,), shape (n, node)."""
        redshift = _checked(redshift)
        mass_nodes = np.linspace(*self.ln_m, len(self.table[0]))
        at_z = _hats(redshift, np.array(self.redshift))
        log = at_z @ np.array(self.table) @ _hats(LNM_GRID, mass_nodes).T
        inside = _inside(at_z @ np.array(self.low), at_z @ np.array(self.high))
        return _log_normalised(np.where(inside, log, -np.inf))


def _training_set(ln_m: np.ndarray, redshift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    ln_m, redshift = np.asarray(ln_m, float), np.asarray(redshift, float)
    field = "training prior"
    if ln_m.ndim != 1 or ln_m.shape != redshift.shape or len(ln_m) < _EXTREMES:
        what = f"{ln_m.size} masses and {redshift.size} redshifts"
        raise InputError(what, field=field, hint=f"give {_EXTREMES} or more of both")
    if not (np.isfinite(ln_m).all() and np.isfinite(redshift).all()):
        raise InputError("a mass or a redshift is not finite", field=field)
    if ln_m.min() < LNM_GRID[0] or ln_m.max() > LNM_GRID[-1]:
        low, high = np.exp(LNM_GRID[[0, -1]])
        raise InputError(f"masses outside {low:.2g} to {high:.2g} Msun/h", field=field)
    return ln_m, redshift


def _limits(
    ln_m: np.ndarray, redshift: np.ndarray, nodes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the largest ln M at the nodes, each shape (node,).

    They are those of the clusters up to the next nodes, and of `_FEWEST_NEAR` clusters at least.
    """
    step = nodes[1] - nodes[0] if len(nodes) > 1 else 1.0
    limits = np.empty((2, len(nodes)))
    for k, node in enumerate(nodes):
        distance = np.abs(redshift - node)
        fewest = min(_FEWEST_NEAR, len(ln_m)) - 1
        near = np.sort(ln_m[distance <= max(1.001 * step, np.partition(distance, fewest)[fewest])])
        gaps = near[_EXTREMES - 1] - near[0], near[-1] - near[-_EXTREMES]
        limits[:, k] = near[[0, -1]] + np.array([-gaps[0], gaps[1]]) / (_EXTREMES - 1)
    middle, half = limits.mean(0), np.maximum(np.ptp(limits, axis=0) / 2, LNM_STEP)
    return middle - half, middle + half


def _groups(
    ln_m: np.ndarray, redshift: np.ndarray, nodes: np.ndarray, low: np.ndarray, high: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield for clusters of about one redshift: weights of the nodes, counts around each point of
    the grid, and the part of each of these cells that is within the limits.
    """
    parts = np.zeros(len(ln_m), int)
    if len(nodes) > 1:
        parts = np.floor((redshift - nodes[0]) / (nodes[1] - nodes[0]) * 4 - 1e-9).astype(int)
    place = np.rint((ln_m - LNM_GRID[0]) / LNM_STEP).astype(int)
    for part in np.unique(parts):
        chosen = parts == part
        at_z = _hats(redshift[chosen].mean(keepdims=True), nodes)[0]
        top = np.minimum(LNM_GRID + LNM_STEP / 2, at_z @ high)
        bottom = np.maximum(LNM_GRID - LNM_STEP / 2, at_z @ low)
        share = np.clip((top - bottom) / LNM_STEP, 0, 1)
        counts = np.bincount(place[chosen], minlength=len(LNM_GRID))
        yield at_z, counts * (share > 0), share


def _maximise(
    groups: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
    hats: np.ndarray,
    stiff_mass: float,
    stiff_redshift: float,
) -> tuple[np.ndarray, float]:
    """Return the table of log densities that fits best, and Akaike's criterion for it."""
    shape = len(groups[0][0]), hats.shape[1]
    penalty = _penalty(shape, stiff_mass, stiff_redshift)
    table = np.zeros(shape)
    value, gradient, hessian = _likelihood(groups, hats, table)
    for _ in range(_NEWTON_STEPS):
        slope = gradient - penalty @ table.ravel()
        step = np.linalg.solve(hessian + penalty, slope)
        if (gain := slope @ step) < 1e-6:
            break
        before = value - table.ravel() @ penalty @ table.ravel() / 2
        size = 1.0
        while True:
            tried = table + size * step.reshape(shape)
            value, gradient, hessian = _likelihood(groups, hats, tried)
            reached = value - tried.ravel() @ penalty @ tried.ravel() / 2
            if reached >= before + 0.1 * size * gain or size < 1e-3:
                break
            size /= 2
        table = tried
    freedom = np.trace(np.linalg.solve(hessian + penalty, hessian))
    return table, float(2 * freedom - 2 * value)


def _likelihood(
    groups: list[tuple[np.ndarray, np.ndarray, np.ndarray]], hats: np.ndarray, table: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the log-likelihood of the masses at their redshifts, its slope and curvature."""
    n = table.size
    value, gradient, hessian = 0.0, np.zeros(table.shape), np.zeros((*table.shape, *table.shape))
    for at_z, counts, share in groups:
        inside = share > 0
        log = hats @ (at_z @ table)
        p = share * np.exp(log - log[inside].max())
        p /= p.sum()
        total = counts.sum()
        value += counts[inside] @ np.log(p[inside])
        expected = p @ hats
        gradient += np.outer(at_z, counts @ hats - total * expected)
        spread = (hats.T * p) @ hats - np.outer(expected, expected)
        used = np.flatnonzero(at_z)
        for i, j in product(used, used):
            hessian[i, :, j, :] += total * at_z[i] * at_z[j] * spread
    return float(value), gradient.ravel(), hessian.reshape(n, n)


def _penalty(shape: tuple[int, int], stiff_mass: float, stiff_redshift: float) -> np.ndarray:
    """Return the matrix of the penalty on second differences, (z * node, z * node)."""
    bends = [np.diff(np.eye(n), 2, axis=0) if n > 2 else np.zeros((1, n)) for n in shape]
    along_z, along_mass = (bend.T @ bend for bend in bends)
    one_z, one_mass = (np.eye(n) for n in shape)
    smooth = stiff_redshift * np.kron(along_z, one_mass) + stiff_mass * np.kron(one_z, along_mass)
    return smooth + _RIDGE * np.eye(len(smooth))


def _hats(at: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """Return the weights of linear interpolation between nodes, (n, node), constant outside."""
    if len(nodes) == 1:
        return np.ones((len(at), 1))
    return np.stack([np.interp(at, nodes, row) for row in np.eye(len(nodes))], axis=1)


def _inside(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    result: np.ndarray = (low[:, None] <= LNM_GRID) & (high[:, None] >= LNM_GRID)
    return result


def _log_normalised(log: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        result: np.ndarray = np.log(normalised(np.exp(log - log.max(1, keepdims=True))))
        return result


def flat_prior(redshift: np.ndarray) -> np.ndarray:
    """Return the log density that is even in ln M500c over `LNM_GRID`, shape (n, node)."""
    return _log_normalised(np.zeros((len(_checked(redshift)), len(LNM_GRID))))


def mass_function_prior(redshift: np.ndarray, cosmology: Cosmology) -> np.ndarray:
    """Return the log of the halo mass function at redshifts (n,), shape (n, node).

    Halos per unit of ln M500c [Msun/h] within `LNM_GRID`, with a norm of 1: Tinker et al. 2008,
    ApJ 688, 709, for 500c, with colossus (Diemer 2018, ApJS 239, 35); between steps of 0.01 in
    redshift linear in its log, good to 0.004.
    """
    redshift = _checked(redshift)
    place = redshift / _Z_STEP
    node = np.floor(place).astype(int)
    part = (place - node)[:, None]
    rows = {k: _log_abundance(cosmology, k) for k in np.unique([node, node + 1]).tolist()}
    left, right = (np.stack([rows[k] for k in ks.tolist()]) for ks in (node, node + 1))
    return _log_normalised(left * (1 - part) + right * part)


@lru_cache(maxsize=4096)
def _log_abundance(cosmology: Cosmology, node: int) -> np.ndarray:
    """Return ln(dn / dlnM) [comoving (Mpc/h)^-3] at `LNM_GRID` and ``node * _Z_STEP``."""
    [density] = cosmology.halo_density(M500C_GRID, node * _Z_STEP)
    result: np.ndarray = np.log(np.maximum(density, 1e-300))
    return result


def _checked(redshift: np.ndarray) -> np.ndarray:
    redshift = np.atleast_1d(np.asarray(redshift, float))
    if not (np.isfinite(redshift) & (redshift >= 0) & (redshift < 10)).all():
        raise InputError("must lie within 0 and 10", field="redshift")
    return redshift


class Prior(BaseModel):
    """The prior that posteriors are asked for.

    Parameters
    ----------
    kind : {"training", "flat", "mass-function"}
        ``training`` leaves posteriors as they are.
    changes : dict
        Of ``mass-function``: fields of `Cosmology` that differ from the survey's. They change how
        many halos there are; distances and sizes stay those of the survey.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: PriorKind = "training"
    changes: dict[str, float] = {}

    def cosmology(self, survey: Cosmology) -> Cosmology:
        """Return the cosmology of the mass function, for a survey of a cosmology."""
        fields = survey.model_dump() | self.changes
        try:
            found = Cosmology.model_validate(fields)
        except ValidationError as error:
            first = error.errors()[0]
            where = f"--prior {self.kind}, {'.'.join(map(str, first['loc']))}"
            raise InputError(f"{first['msg']} (given {first['input']!r})", field=where) from None
        if found.ob0 >= found.om0:
            what = f"ob0 = {found.ob0:g} is not below om0 = {found.om0:g}"
            raise InputError(what, field=f"--prior {self.kind}")
        return found

    def log_density(self, redshift: np.ndarray, cosmology: Cosmology) -> np.ndarray | None:
        """Return the prior at redshifts (n,), shape (n, node); None: the training set's."""
        if self.kind == "training":
            return None
        if self.kind == "flat":
            return flat_prior(redshift)
        return mass_function_prior(redshift, self.cosmology(cosmology))

    def describe(self, cosmology: Cosmology) -> str:
        """Return in plain words what the prior is, for a survey of a cosmology."""
        if self.kind == "training":
            return "the training set's masses at that redshift"
        if self.kind == "flat":
            return "flat in ln M500c over the masses trained on"
        c = self.cosmology(cosmology)
        return (
            "halo mass function of Tinker et al. 2008 over the masses trained on "
            f"(om0 = {c.om0:g}, sigma8 = {c.sigma8:g}, h = {c.h:g}, ob0 = {c.ob0:g}, "
            f"ns = {c.ns:g})"
        )


def as_prior(prior: Prior | str | None) -> Prior:
    """Return a prior, given as such or as a text; None is that of the training masses."""
    if prior is None or isinstance(prior, str):
        return parse_prior("training" if prior is None else prior)
    if not isinstance(prior, Prior):
        raise InputError(f"{prior!r} is no prior", field="--prior", hint=_HINT)
    return prior


def parse_prior(text: str) -> Prior:
    """Return the prior of a text.

    Examples
    --------
    >>> parse_prior("mass-function:om0=0.3,sigma8=0.8").changes
    {'om0': 0.3, 'sigma8': 0.8}
    """
    kind, colon, rest = text.strip().partition(":")
    if kind not in get_args(PriorKind) or (colon and kind != "mass-function"):
        raise InputError(f"{text!r} is no prior", field="--prior", hint=_HINT)
    changes: dict[str, Any] = {}
    for part in rest.split(",") if colon else []:
        key, equals, value = part.strip().partition("=")
        if key not in Cosmology.model_fields or key in changes or not equals:
            known = ", ".join(Cosmology.model_fields)
            raise InputError(f"{part!r} is no key=value", field="--prior", hint=f"keys: {known}")
        try:
            changes[key] = float(value)
        except ValueError:
            raise InputError(f"{value!r} is no number", field=f"--prior {key}") from None
    prior = Prior.model_validate({"kind": kind, "changes": changes})
    prior.cosmology(Cosmology())
    return prior
