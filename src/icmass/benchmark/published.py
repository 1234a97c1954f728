"""The scatters and correlations that Ho et al. (2023) publish, beside which ours are shown."""

from __future__ import annotations

SOURCE = "Ho et al. 2023, MNRAS 524, 3289, doi 10.1093/mnras/stad2005, and its analysis notebook"

SIGMA_LNM: dict[str, float] = {
    "T": 0.1175,
    "L_X": 0.2633,
    "M_gas": 0.0846,
    "N_phot": 0.4002,
    "N_phot_2r500": 0.3407,
    "paper-1band": 0.1780,
    "paper-3band": 0.1618,
    "icm-1band": 0.1780,
    "icm-3band": 0.1618,
}
"""sigma of ln M500c by name. ``icm-*`` stand beside the published network of the same input.

The paper's N_phot,500c is beside ``N_phot_2r500``: its code's radius comes out at 2 R500c.
"""


def published_sigma(name: str) -> float | None:
    """Return the published sigma of ln M500c of an estimator, or None."""
    return SIGMA_LNM.get(name)


CORRELATION: dict[frozenset[str], float] = {
    frozenset({"T", "L_X"}): -0.3,
    frozenset({"T", "M_gas"}): -0.55,
    frozenset({"L_X", "M_gas"}): 0.5,
    frozenset({"L_X", "N_phot"}): 0.4,
    frozenset({"L_X", "N_phot_2r500"}): 0.5,
    frozenset({"M_gas", "N_phot"}): 0.5,
    frozenset({"M_gas", "N_phot_2r500"}): 0.55,
    frozenset({"T", "N_phot"}): -0.15,
    frozenset({"N_phot", "N_phot_2r500"}): 0.9,
}
"""Correlation of residuals at z = 0.174, read off the published figure to about +-0.1."""


def published_correlation(first: str, second: str) -> float | None:
    """Return the published correlation of two proxies' residuals at fixed mass, or None."""
    return CORRELATION.get(frozenset({first, second}))
