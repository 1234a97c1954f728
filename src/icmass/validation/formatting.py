"""Checks as short texts, for tables on a terminal and on a page."""

from __future__ import annotations

import numpy as np

from icmass.validation.check import Check, Target


def value_text(check: Check) -> str:
    """Return the value with its error, as many digits as the error warrants.

    >>> target = Target(1200.0, 1.4, "factor", "")
    >>> value_text(Check("photons", "a", 1093.2, target, 10, error=31.4))
    '1093 ± 31'
    """
    value, error = check.value, check.error
    if not np.isfinite(value):
        return "–"
    if not np.isfinite(error) or error <= 0:
        return f"{value:.4g}"
    if max(abs(value), error) < 1e-3:
        power = int(np.floor(np.log10(max(abs(value), error))))
        return f"({value / 10**power:.1f} ± {error / 10**power:.1f})e{power}"
    digits = max(0, 1 - int(np.floor(np.log10(error))))
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def tolerance_text(target: Target) -> str:
    """Return the tolerance in words.

    >>> tolerance_text(Target(1.0, 0.15, "relative", ""))
    '± 15 %'
    """
    if target.kind == "relative":
        return f"± {100 * target.tolerance:g} %"
    if target.kind == "factor":
        return f"factor {target.tolerance:.3g}"
    return f"± {target.tolerance:g}"
