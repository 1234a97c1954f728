"""Joint distribution of the gas beside that of 3,292 clusters of Magneticum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import xarray as xr

from icmass.proxies.names import read_halos, read_scalar
from icmass.proxies.scaling import PIVOT_MSUN_H, bootstrap_by_halo
from icmass.survey.catalog import survey_cosmology
from icmass.validation.check import Check, Findings, Kind, Target
from icmass.validation.proxies import DETECTED, NOT_HELD, is_detected
from icmass.validation.relations import MIN_CLUSTERS, is_observed

SOURCE = (
    "3,292 clusters of Magneticum Box2/hr (public material of Green et al. 2019, ApJ 884, 33), own "
    "fit in ln at fixed mass and redshift; body: ln L_X within -0.8 and +0.7 of its relation"
)
PHOTONS = "81 clusters of Magneticum above 1e14 Msun/h, luminosities fitted to their photons"
BODY = (-0.8, 0.7)
"""Residuals of ln L_X that make the body of its distribution."""
MODELLED = "another gas than Magneticum's by choice"
_CORRELATION = 0.07
_WIDTH = 0.10
_E_TOLERANCE = {"L_X": 0.6, "M_gas": 0.35, "T": 0.3}
_NEEDED = ("L_X", "L_X_ce", "L_X_emitted", "T", "M_gas", "M_star")


@dataclass(frozen=True)
class GasSample:
    """Logarithms of the gas of n clusters, and the design of their mean relations.

    Attributes
    ----------
    logs : dict of str to ndarray, shape (n,)
        ln of `_NEEDED`, and ``core``: ln of the share of L_X within 0.15 R500c in projection.
    design : ndarray, shape (n, 3)
        1, ln(M500c / 2e14 Msun/h), ln E(z).
    log_mass : ndarray, shape (n,)
        log10 M500c [Msun/h].
    halo : ndarray, shape (n,)
    """

    logs: dict[str, np.ndarray]
    design: np.ndarray
    log_mass: np.ndarray
    halo: np.ndarray

    @classmethod
    def of(cls, survey: xr.Dataset) -> GasSample:
        """Read it from a survey."""
        values = {name: read_scalar(survey, name) for name in _NEEDED}
        logs = {name: np.log(value) for name, value in values.items()}
        logs["core"] = np.log(np.clip(1 - values["L_X_ce"] / values["L_X"], 1e-3, 0.999))
        cosmology = survey_cosmology(survey)
        efunc = np.log(cosmology.efunc(read_scalar(survey, "redshift")))
        mass = read_scalar(survey, "m500c")
        ln_mass = np.log(mass / PIVOT_MSUN_H)
        design = np.stack([np.ones_like(ln_mass), ln_mass, efunc], axis=1)
        return cls(logs, design, np.log10(mass), read_halos(survey))

    def take(self, index: np.ndarray) -> GasSample:
        """Return some of the clusters."""
        logs = {name: values[index] for name, values in self.logs.items()}
        return GasSample(logs, self.design[index], self.log_mass[index], self.halo[index])

    def body(self) -> np.ndarray:
        """Return which clusters make the body of the distribution of L_X, boolean (n,)."""
        in_body = np.ones(len(self.halo), bool)
        for _ in range(5):
            fit = np.linalg.lstsq(self.design[in_body], self.logs["L_X"][in_body], rcond=None)[0]
            residual = self.logs["L_X"] - self.design @ fit
            in_body = (residual > BODY[0]) & (residual < BODY[1])
        return in_body


def residuals(sample: GasSample, name: str, at_fixed: tuple[str, ...] = ()) -> np.ndarray:
    """Return residuals of a logarithm about its relation with mass, redshift and others, (n,)."""
    design = np.column_stack([sample.design, *(sample.logs[other] for other in at_fixed)])
    return sample.logs[name] - design @ np.linalg.lstsq(design, sample.logs[name], rcond=None)[0]


def slopes(sample: GasSample, name: str, at_fixed: tuple[str, ...] = ()) -> np.ndarray:
    """Return the exponents of mass, E(z) and the others in the relation of a quantity."""
    design = np.column_stack([sample.design, *(sample.logs[other] for other in at_fixed)])
    return np.linalg.lstsq(design, sample.logs[name], rcond=None)[0][1:]


def half_spread(values: np.ndarray) -> float:
    """Return half the distance of the 16th and the 84th percentile."""
    low, high = np.percentile(values, [16, 84])
    return float(high - low) / 2


def _scatter(sample: GasSample, name: str, at_fixed: tuple[str, ...] = ()) -> float:
    return float(residuals(sample, name, at_fixed).std())


def _spread(sample: GasSample, name: str, at_fixed: tuple[str, ...] = ()) -> float:
    return half_spread(residuals(sample, name, at_fixed))


def _massive_scatter(sample: GasSample) -> float:
    return _scatter(sample.take(sample.log_mass > 14), "L_X_emitted", ("M_gas",))


def _slope(sample: GasSample, name: str, at_fixed: tuple[str, ...] = (), which: int = 0) -> float:
    return float(slopes(sample, name, at_fixed)[which])


def _share_percentile(sample: GasSample, per_cent: float) -> float:
    return float(np.exp(np.percentile(sample.logs["core"], per_cent)))


def _correlation(sample: GasSample, first: str, second: str) -> float:
    return float(np.corrcoef(residuals(sample, first), residuals(sample, second))[0, 1])


def _mass_scatter(sample: GasSample, names: tuple[str, ...]) -> float:
    """Return the scatter of ln M500c from noiseless proxies together (set scatter of Ho+23)."""
    residual = np.stack([residuals(sample, name) for name in names])
    slope = np.array([slopes(sample, name)[0] for name in names])
    covariance = np.atleast_2d(np.cov(residual))
    return float(1 / np.sqrt(slope @ np.linalg.solve(covariance, slope)))


@dataclass(frozen=True)
class _Row:
    name: str
    target: float
    tolerance: float
    kind: Kind
    value: Callable[[GasSample], float]
    body: bool = True
    source: str = SOURCE


def _width(
    name: str,
    target: float,
    value: Callable[[GasSample], float],
    tolerance: float = _WIDTH,
    body: bool = True,
) -> _Row:
    return _Row(f"{name}, body" if body else name, target, tolerance, "relative", value, body)


def _absolute(
    name: str, target: float, tolerance: float, value: Callable[[GasSample], float]
) -> _Row:
    return _Row(f"{name}, body", target, tolerance, "absolute", value)


def _rows() -> list[_Row]:
    return [*_width_rows(), *_correlation_rows(), *_slope_rows(), *_core_rows()]


def _width_rows() -> list[_Row]:
    gas = ("M_gas",)
    rows = [
        _width(f"scatter of {name}", target, partial(_scatter, name=name))
        for name, target in (("L_X", 0.253), ("T", 0.074), ("M_gas", 0.110), ("M_star", 0.114))
    ]
    return [
        *rows,
        _width("half 16-84 of L_X", 0.246, partial(_spread, name="L_X")),
        _width("scatter of L_X with the tail", 0.436, partial(_scatter, name="L_X"), 0.2, False),
        _width("half 16-84 of L_X with the tail", 0.27, partial(_spread, name="L_X"), body=False),
        _width("scatter of L_X at fixed M_gas", 0.132, partial(_scatter, name="L_X", at_fixed=gas)),
        _width("half 16-84 of L_X at fixed M_gas", 0.117,
               partial(_spread, name="L_X", at_fixed=gas)),
        _width("scatter of L_X without core", 0.287, partial(_scatter, name="L_X_ce")),
        _width("scatter of ln M from L_X", 0.146, partial(_mass_scatter, names=("L_X",))),
        _width("scatter of ln M from L_X without core", 0.165,
               partial(_mass_scatter, names=("L_X_ce",))),
        _width("scatter of ln M from L_X and T", 0.073,
               partial(_mass_scatter, names=("L_X", "T")), 0.15),
        _Row("scatter of emitted L_X at fixed M_gas, above 1e14", 0.086, 0.02, "absolute",
             _massive_scatter, False, PHOTONS),
    ]  # fmt: skip


def _correlation_rows() -> list[_Row]:
    published = (
        ("L_X", "M_gas", 0.85),
        ("L_X", "T", -0.37),
        ("L_X", "M_star", -0.46),
        ("T", "M_gas", -0.47),
        ("M_gas", "M_star", -0.53),
        ("core", "M_gas", -0.05),
        ("core", "L_X", 0.18),
        ("core", "L_X_ce", -0.47),
    )
    return [
        _absolute(f"correlation of {a} and {b}".replace("core", "core share"), target,
                  _CORRELATION, partial(_correlation, first=a, second=b))
        for a, b, target in published
    ]  # fmt: skip


def _slope_rows() -> list[_Row]:
    rows = [
        _absolute(f"slope of {name} with mass", target, 0.05, partial(_slope, name=name))
        for name, target in (("L_X", 1.73), ("M_gas", 1.19), ("T", 0.63), ("M_star", 0.94))
    ]
    rows += [
        _absolute(f"exponent of E(z) of {name}", target, _E_TOLERANCE[name],
                  partial(_slope, name=name, which=1))
        for name, target in (("L_X", 3.86), ("M_gas", 0.73), ("T", 0.30))
    ]  # fmt: skip
    gas_and_core = ("M_gas", "core")
    return [
        *rows,
        _absolute("d ln L_X / d ln M_gas", 1.98, 0.15,
                  partial(_slope, name="L_X", at_fixed=("M_gas",), which=2)),
        _absolute("d ln L_X / d ln core share", 0.135, _CORRELATION,
                  partial(_slope, name="L_X", at_fixed=gas_and_core, which=3)),
        _absolute("d ln L_X without core / d ln core share", -0.30, _CORRELATION,
                  partial(_slope, name="L_X_ce", at_fixed=gas_and_core, which=3)),
    ]  # fmt: skip


def _core_rows() -> list[_Row]:
    rows = [
        _width(f"core share, {p} per cent", target, partial(_share_percentile, per_cent=p),
               body=False)
        for p, target in ((16, 0.20), (50, 0.31), (84, 0.45))
    ]  # fmt: skip
    rows.append(_width("scatter of ln core share", 0.417, partial(_scatter, name="core")))
    edges = (13.5, 13.8, 14.1, 14.4, 16.0)
    for low, high, target in zip(edges[:-1], edges[1:], (0.68, 0.60, 0.50, 0.45), strict=True):
        to = f"-{high:g}" if high < 16 else " and above"
        rows.append(
            _width(f"scatter of logit core share, {low:g}{to}", target,
                   partial(_logit_scatter, low=low, high=high), 0.15)
        )  # fmt: skip
    return rows


def _logit_scatter(sample: GasSample, low: float, high: float) -> float:
    share = np.exp(sample.logs["core"][(sample.log_mass >= low) & (sample.log_mass < high)])
    return float(np.std(np.log(share / (1 - share)))) if len(share) >= MIN_CLUSTERS else np.nan


def gas_findings(survey: xr.Dataset, rng: np.random.Generator, n_draws: int = 30) -> Findings:
    """Compare widths, correlations and slopes of the gas at fixed mass with Magneticum's."""
    findings = Findings()
    rows = _rows()
    names = [row.name for row in rows]
    if is_detected(survey):
        findings.leave_out(DETECTED, names)
    elif is_observed(survey):
        findings.leave_out(MODELLED, names)
    elif missing := [name for name in _NEEDED if name not in survey]:
        findings.leave_out(f"{NOT_HELD}: {', '.join(missing)}", names)
    else:
        findings.checks += _checks(rows, GasSample.of(survey), rng, n_draws)
    return findings


def _checks(
    rows: list[_Row], sample: GasSample, rng: np.random.Generator, n_draws: int
) -> list[Check]:
    bodies = sample.body()
    resamples = [(sample.take(i), bodies[i]) for i in bootstrap_by_halo(sample.halo, n_draws, rng)]

    def value(row: _Row, clusters: GasSample, body: np.ndarray) -> float:
        return float(row.value(clusters.take(body) if row.body else clusters))

    return [
        Check(
            group="gas",
            name=row.name,
            value=value(row, sample, bodies),
            target=Target(row.target, row.tolerance, row.kind, row.source),
            n=int(bodies.sum()) if row.body else len(bodies),
            error=float(np.std([value(row, *resample) for resample in resamples], ddof=1)),
        )
        for row in rows
    ]
