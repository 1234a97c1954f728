"""A figure of the mock beside its published value: one row of the validation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

Kind = Literal["relative", "absolute", "factor"]

GROUPS: dict[str, str] = {
    "catalogue": "Catalogue",
    "ideal": "Mass scatter of ideal proxies",
    "observed": "Mass scatter of observed proxies",
    "combination": "Mass scatter of combinations",
    "correlation": "Residual correlations",
    "physics": "Gas physics",
    "rates": "Count rates of eFEDS",
    "gas": "Gas at fixed mass: widths, correlations, memory",
    "morphology": "Morphology of the gas",
    "images": "Images against Magneticum's",
    "photons": "Photon numbers",
    "agn": "Active galactic nuclei",
    "response": "Count rates per emission measure",
    "background": "Background rates",
    "selection": "Clusters that an all-sky survey detects",
}
"""Groups of checks in the order they are shown."""


@dataclass(frozen=True)
class Target:
    """A value to be met.

    Attributes
    ----------
    value : float
    tolerance : float
        Largest accepted deviation: of the value's size if `kind` is ``"relative"``, in its unit
        if ``"absolute"``, as a ratio of more than 1 either way if ``"factor"``.
    kind : {"relative", "absolute", "factor"}
    source : str
        Where the value is published or how it was measured.
    """

    value: float
    tolerance: float
    kind: Kind
    source: str

    def deviation(self, value: float) -> float:
        """Return how far a value is off, signed, in units of the tolerance; NaN if unknown."""
        if not np.isfinite(value):
            return float("nan")
        if self.kind == "factor":
            if value <= 0:
                return float("-inf")
            return float(np.log(value / self.value) / np.log(self.tolerance))
        scale = abs(self.value) if self.kind == "relative" else 1.0
        return float((value - self.value) / (self.tolerance * scale))


@dataclass(frozen=True)
class Check:
    """A figure of the mock and whether it holds.

    Attributes
    ----------
    group : str
        A key of `GROUPS`.
    name, unit : str
    value : float
        NaN where the survey does not determine it.
    target : Target
    n : int
        Number of clusters (or of temperatures) that the value rests on.
    error : float
        1 sigma error of `value`, bootstrap over halos; NaN if it has none.
    """

    group: str
    name: str
    value: float
    target: Target
    n: int
    unit: str = ""
    error: float = float("nan")

    @property
    def deviation(self) -> float:
        """How far the value is off, signed, in units of the tolerance."""
        return self.target.deviation(self.value)

    @property
    def ok(self) -> bool:
        """Whether the value lies within the tolerance."""
        return bool(abs(self.deviation) <= 1 + 1e-9)

    def document(self) -> dict[str, Any]:
        """Return the check as plain values for JSON; None stands for what is not a number."""
        fields = {
            "name": self.name,
            "value": self.value,
            "target": self.target.value,
            "tolerance": self.target.tolerance,
            "source": self.target.source,
            "ok": self.ok,
            "group": self.group,
            "tolerance_kind": self.target.kind,
            "unit": self.unit,
            "n": self.n,
            "error": self.error,
            "deviation": self.deviation,
        }
        return {key: _plain(value) for key, value in fields.items()}


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value


@dataclass
class Findings:
    """Checks that could be made, and why the others could not.

    Attributes
    ----------
    checks : list of Check
    absent : dict of str to list of str
        Names of the rows left out, by the reason.
    """

    checks: list[Check] = field(default_factory=list)
    absent: dict[str, list[str]] = field(default_factory=dict)

    def leave_out(self, reason: str, names: Iterable[str]) -> None:
        """Note rows that cannot be computed from this survey."""
        listed = list(names)
        if listed:
            self.absent.setdefault(reason, []).extend(listed)


@dataclass(frozen=True)
class Verdict:
    """How many rows hold, and the one furthest off.

    Attributes
    ----------
    n, n_ok : int
    worst : str
        Name of the row furthest off its target in units of its tolerance, of those whose value
        is known.
    worst_deviation : float
        Its signed deviation in those units.
    """

    n: int
    n_ok: int
    worst: str
    worst_deviation: float

    @classmethod
    def of(cls, checks: list[Check]) -> Verdict:
        """Return the verdict over some checks, at least one."""
        worst = max(checks, key=lambda c: -1 if np.isnan(c.deviation) else abs(c.deviation))
        return cls(len(checks), sum(c.ok for c in checks), worst.name, worst.deviation)

    @property
    def share(self) -> float:
        """Fraction of the rows that hold."""
        return self.n_ok / self.n

    def document(self) -> dict[str, Any]:
        """Return the verdict as plain values for JSON."""
        fields = {**asdict(self), "share": self.share}
        return {key: _plain(value) for key, value in fields.items()}
