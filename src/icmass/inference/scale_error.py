"""Which mass scale a mass is on, what the gas physics may add to its error, and what would help.

A posterior holds the statistical error: photons, projection, the scatter of clusters of one
physics. How all masses move together with the physics of the gas is another error, which no
photon tells.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from icmass.calibration.model import CalibrationPriors
from icmass.inference.ensemble import Ensemble
from icmass.inference.physics_bias import PhysicsBias, read_rows

LENSING_ERROR = 0.35
"""Error of ln M of one weak-lensing mass, its intrinsic scatter included, as
`benchmarks/calibration_variants.py` has it."""
LENSING_NUMBERS = (30, 100, 300)
Kind = Literal["calibrated", "marginal", "measured", "unknown"]


@dataclass(frozen=True)
class ScaleError:
    """What of the error of a mass is the physics'.

    Attributes
    ----------
    kind : {"calibrated", "marginal", "measured", "unknown"}
        Whether masses are on the scale of a calibration; the model was trained on a prior of the
        physics, so that its posteriors are marginal over it; its bias was measured on several kinds
        of physics (``transfer.json`` beside the model); or nobody knows.
    std : float or None
        Standard deviation of ln M between kinds of physics that comes on top of a mass's error: 0
        where it is in the posterior already, None where it is not known.
    scatter : float or None
        Statistical scatter of ln M, the model's in cross-validation.
    sentence : str or None
        What the above means, for people; None where other lines say it.
    """

    kind: Kind
    std: float | None
    scatter: float | None
    sentence: str | None = None

    @classmethod
    def of(cls, ensemble: Ensemble, *, is_calibrated: bool) -> ScaleError:
        """Return that of a model.

        Raises
        ------
        InputError
            If what is kept beside the model is damaged.
        """
        if is_calibrated:
            return cls("calibrated", 0.0, ensemble.scatter)
        bias = PhysicsBias.of_model(ensemble.folder)
        if (universes := physics_prior_universes(ensemble.training.survey)) is not None:
            trained = f"{universes:,} universes of a prior of the physics"
            trained = str(ensemble.training.survey.get("physics", trained))
            return cls("marginal", 0.0, ensemble.scatter, _marginal(trained, bias))
        if bias is None:
            return cls("unknown", None, ensemble.scatter)
        spread = physics_spread(ensemble.folder)
        return cls("measured", spread, ensemble.scatter, bias.sentence())

    def with_lensing(self, n: int) -> float | None:
        """Return the statistical error of the scale with n weak-lensing masses, None if not known.

        Notes
        -----
        sqrt(sigma^2 + `LENSING_ERROR`^2) / sqrt(n), the mean of n differences of two masses whose
        errors are independent; sigma is `scatter`. The bias of the lensing itself is not in it.
        """
        if self.scatter is None:
            return None
        return float(np.hypot(self.scatter, LENSING_ERROR) / np.sqrt(n))

    def facts(self) -> dict[str, Any]:
        """Return it as ``icmass predict --json`` has it, ``mass_scale``."""
        lensing = [{"n": n, "std_lnm": self.with_lensing(n)} for n in LENSING_NUMBERS]
        known = self.kind != "calibrated" and self.scatter is not None
        return {
            "kind": self.kind,
            "physics_std_lnm": self.std,
            "statistical_std_lnm": self.scatter,
            "lensing_error_lnm": LENSING_ERROR,
            "with_lensing_masses": lensing if known else [],
        }

    def lines(self) -> list[str]:
        """Return what is to be said of the scale beside where it is from, a sentence each."""
        lines = [] if self.sentence is None else [self.sentence]
        if self.kind == "measured" and self.std is not None:
            lines.append(
                f"Errors apart: the error of each mass is statistical; the gas physics adds "
                f"{self.std:.2f} in ln M, the same way for all clusters."
            )
        if self.kind == "unknown":
            lines.append(
                "Errors apart: the error of each mass is statistical; what the gas physics adds "
                "has not been measured for this model (`icmass transfer`)."
            )
        if self.kind != "calibrated" and self.scatter is not None:
            parts = (f"{self.with_lensing(n):.3f} with {n}" for n in LENSING_NUMBERS)
            floor = CalibrationPriors().lensing_bias[1]
            lines.append(
                f"Weak-lensing masses of {LENSING_ERROR:.0%} error would set the scale "
                f"(`icmass calibrate`) to {', '.join(parts)} of them in ln M, beside the bias of "
                f"the lensing itself ({floor:.3f} by default)."
            )
        return lines


def physics_prior_universes(survey: Mapping[str, Any]) -> int | None:
    """Return how many universes of a physics prior a training survey is of; None if of one physics.

    Parameters
    ----------
    survey : mapping
        Its attributes.
    """
    try:
        physics = json.loads(survey.get("config", "{}")).get("physics")
        return None if physics is None else int(physics.get("universes", 1))
    except (ValueError, TypeError, AttributeError):
        return None


def physics_spread(folder: Path) -> float | None:
    """Return the standard deviation of a model's bias between kinds of physics, in ln M.

    Of the rows of ``transfer.json``; the variance that their sampling errors make is taken off.
    None if there are fewer than two.
    """
    rows = read_rows(folder)
    if rows is None or len(rows) < 2:
        return None
    bias = np.array([float(row["bias_lnm"]) for row in rows])
    error = np.array([float(row.get("bias_lnm_error", 0.0)) for row in rows])
    return float(np.sqrt(max(bias.var(ddof=1) - np.mean(error**2), 0.0)))


def _marginal(trained: str, bias: PhysicsBias | None) -> str:
    """Return what posteriors that are marginal over the physics `trained` on hold.

    A survey of several parts, each with universes of its own, says so (attribute ``physics``).
    """
    told = (
        f"Gas physics: the model was trained on {trained}, "
        "which its errors are marginal over: no further physics error is added."
    )
    if bias is None:
        return told
    return (
        f"{told} On {bias.n} kinds of physics the mean of ln M predicted - true is "
        f"{bias.lowest:+.2f} ({bias.where_lowest}) to {bias.highest:+.2f} ({bias.where_highest}): "
        "of physics beyond the prior the errors know nothing, and no photon tells."
    )
