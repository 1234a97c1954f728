"""The scatters and correlations that Ho et al. (2023) publish, beside which ours are shown."""

from __future__ import annotations

SOURCE = "Ho et al. 2023, MNRAS 524, 3289, doi 10.1093/mnras/stad2005, and its analysis notebook"

SIGMA_LNM: dict[str, float] = {
    "T": 0.1175,
    "L_X": 0.2633,
    "M_gas": 0.0846,
    "M_star": 0.1256,
    "sigma_v_true": 0.3756,
    "N_gal": 0.3972,
    "sigma_v": 0.7039,
    "N_phot": 0.4002,
    "N_phot_2r500": 0.3407,
    "M_gas+M_star": 0.0493,
    "T+M_gas+M_star": 0.0406,
    "T+L_X+M_gas+M_star": 0.0390,
    "N_gal+N_phot_2r500": 0.2882,
    "N_gal+sigma_v+N_phot_2r500": 0.2759,
    "N_gal+sigma_v+N_phot+N_phot_2r500": 0.2734,
    "paper-1band": 0.1780,
    "paper-3band": 0.1618,
    "paper-multimodal": 0.1590,
    "icm-1band": 0.1780,
    "icm-3band": 0.1618,
    "icm-multimodal": 0.1590,
    "icm-large-1band": 0.1780,
    "icm-large-3band": 0.1618,
    "icm-large-multimodal": 0.1590,
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
    frozenset({"T", "M_star"}): 0.3,
    frozenset({"L_X", "M_gas"}): 0.5,
    frozenset({"L_X", "M_star"}): -0.2,
    frozenset({"M_gas", "M_star"}): -0.55,
    frozenset({"T", "sigma_v_true"}): 0.05,
    frozenset({"L_X", "sigma_v_true"}): 0.05,
    frozenset({"M_gas", "sigma_v_true"}): 0.05,
    frozenset({"M_star", "sigma_v_true"}): 0.05,
    frozenset({"sigma_v_true", "N_gal"}): 0.3,
    frozenset({"sigma_v_true", "sigma_v"}): 0.55,
    frozenset({"N_gal", "sigma_v"}): 0.35,
    frozenset({"L_X", "N_phot"}): 0.4,
    frozenset({"L_X", "N_phot_2r500"}): 0.5,
    frozenset({"M_gas", "N_phot"}): 0.5,
    frozenset({"M_gas", "N_phot_2r500"}): 0.55,
    frozenset({"T", "N_phot"}): -0.15,
    frozenset({"M_star", "N_phot"}): -0.2,
    frozenset({"N_phot", "N_phot_2r500"}): 0.9,
    frozenset({"N_gal", "N_phot"}): 0.3,
}
"""Correlation of residuals at z = 0.174, read off the published figure to about +-0.1.

Those of sigma_v_true with T, L_X, M_gas and M_star are "about 0 to +0.1": 0.05 here.
"""


def published_correlation(first: str, second: str) -> float | None:
    """Return the published correlation of two proxies' residuals at fixed mass, or None."""
    return CORRELATION.get(frozenset({first, second}))
