"""Relations of the gas with mass: Magneticum's, and those of observed clusters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from icmass.proxies.names import read_scalar
from icmass.proxies.scaling import PIVOT_MSUN_H, bootstrap_by_halo
from icmass.survey.catalog import survey_cosmology
from icmass.validation.check import Check, Findings, Target
from icmass.validation.proxies import DETECTED, NOT_HELD, is_detected

MIN_CLUSTERS = 30
MAGNETICUM = (
    "198 clusters of Magneticum Box2/hr (public catalogues, T500, bolometric Lx500, Mgas500), "
    "own fit at 2e14 Msun/h"
)
EFEDS_T = "eFEDS: Bahar et al. 2022, A&A 661, A7, at 2e14 Msun/h"
EFEDS_L = (
    "eFEDS: Liu et al. 2022, A&A 661, A2, with the masses of Chiu et al. 2023, MNRAS 522, 1601, "
    "own fit at 2e14 Msun/h"
)


@dataclass(frozen=True)
class Relation:
    """A published relation s E(z)^ez_power = norm (M500c / 2e14 Msun/h)^slope.

    Attributes
    ----------
    proxy : str
        ``T`` [keV], ``L_X`` or ``L_X_soft`` [1e44 erg/s], or ``f_gas``.
    label, source : str
        Who measured it, short and in full.
    norm, slope, ez_power : float
        `slope` is None where only the normalisation is known.
    observed : bool
        Measured on real clusters, not on simulated ones.
    """

    proxy: str
    label: str
    norm: float
    slope: float | None
    ez_power: float
    source: str
    observed: bool


PUBLISHED: tuple[Relation, ...] = (
    Relation("T", "Magneticum", 3.24, 0.643, -2 / 3, MAGNETICUM, False),
    Relation("L_X", "Magneticum, z < 0.2", 1.17, 1.59, -7 / 3, MAGNETICUM, False),
    Relation("L_X", "Magneticum, z 0.06-0.9", 1.8, 1.93, -7 / 3, MAGNETICUM, False),
    Relation("f_gas", "Magneticum", 0.097, 0.14, 0.0, MAGNETICUM, False),
    Relation("T", "eFEDS", 2.7, 0.60, -2 / 3, EFEDS_T, True),
    Relation("L_X_soft", "eFEDS", 0.43, 1.55, -2.0, EFEDS_L, True),
    Relation("f_gas", "eFEDS", 0.077, 0.4, 0.0, EFEDS_T, True),
    Relation(
        "T", "SPT clusters", 3.1, None, -2 / 3, "Bulbul et al. 2019, ApJ 871, 50", True
    ),
    Relation(
        "L_X_soft", "SPT clusters", 0.51, None, -2.0, "Bulbul et al. 2019, ApJ 871, 50", True
    ),
    Relation(
        "f_gas", "SPT clusters", 0.115, None, 0.0, "Bulbul et al. 2019, ApJ 871, 50", True
    ),
)  # fmt: skip


@dataclass(frozen=True)
class _Aim:
    """What is checked: a relation's normalisation and slope, each with its tolerance."""

    proxy: str
    unit: str
    ez_power: float
    norm: Target
    slope: Target
    z_max: float = np.inf


AIMS = (
    _Aim("T", "keV", -2 / 3, Target(3.24, 0.10, "relative", MAGNETICUM),
         Target(0.643, 0.06, "absolute", MAGNETICUM)),
    _Aim("L_X", "1e44 erg/s", -7 / 3, Target(1.17, 0.40, "relative", MAGNETICUM),
         Target(1.75, 0.25, "absolute", f"{MAGNETICUM}: 1.59 to 1.93, accepted 1.5 to 2.0"), 0.2),
    _Aim("f_gas", "", 0.0, Target(0.097, 0.10, "relative", MAGNETICUM),
         Target(0.14, 0.08, "absolute", MAGNETICUM)),
)  # fmt: skip
"""Aims of a mock of Magneticum. L_X has the redshift range of its source."""

OBSERVED_AIMS = (
    _Aim("T", "keV", -2 / 3, Target(2.7, 0.10, "relative", EFEDS_T),
         Target(0.60, 0.06, "absolute", EFEDS_T)),
    _Aim("L_X_soft", "1e44 erg/s", -2.0, Target(0.43, 0.40, "relative", EFEDS_L),
         Target(1.55, 0.25, "absolute", EFEDS_L)),
)  # fmt: skip
"""Aims of the presets whose gas is that of the clusters observed in the eFEDS field."""


def scaled_proxy(survey: xr.Dataset, proxy: str, ez_power: float) -> np.ndarray | None:
    """Return a proxy (or ``f_gas``) of every cluster times E(z)^ez_power, None if not held."""
    variable = "M_gas" if proxy == "f_gas" else proxy
    if variable not in survey:
        return None
    values = read_scalar(survey, variable)
    if proxy == "f_gas":
        values = values / read_scalar(survey, "m500c")
    cosmology = survey_cosmology(survey)
    return values * cosmology.efunc(read_scalar(survey, "redshift")) ** ez_power


def is_observed(survey: xr.Dataset) -> bool:
    """Return whether the gas of a survey is that of observed clusters, not Magneticum's."""
    return str(survey.attrs.get("preset")).startswith(("efeds", "erass"))


def relation_findings(survey: xr.Dataset, rng: np.random.Generator, n_draws: int = 100) -> Findings:
    """Compare normalisation and slope of the gas relations at 2e14 Msun/h."""
    findings = Findings()
    aims = OBSERVED_AIMS if is_observed(survey) else AIMS
    for aim in aims:
        rows = (f"{aim.proxy} at 2e14 Msun/h", f"slope of {aim.proxy}")
        values = scaled_proxy(survey, aim.proxy, aim.ez_power)
        chosen = np.flatnonzero(read_scalar(survey, "redshift") < aim.z_max)
        if is_detected(survey):
            findings.leave_out(DETECTED, rows)
        elif values is None:
            findings.leave_out(NOT_HELD, rows)
        elif len(chosen) < MIN_CLUSTERS:
            reason = f"fewer than {MIN_CLUSTERS} clusters below redshift {aim.z_max:g}"
            findings.leave_out(reason, rows)
        else:
            findings.checks += _checks(survey, aim, values, chosen, rng, n_draws)
    return findings


def _checks(
    survey: xr.Dataset,
    aim: _Aim,
    values: np.ndarray,
    chosen: np.ndarray,
    rng: np.random.Generator,
    n_draws: int,
) -> list[Check]:
    ln_s = np.log(values[chosen])
    mu = np.log(read_scalar(survey, "m500c", chosen) / PIVOT_MSUN_H)
    design = np.stack([np.ones_like(mu), mu], axis=1)
    halo = survey["halo_id"].values[chosen] if "halo_id" in survey else chosen
    best = np.linalg.lstsq(design, ln_s, rcond=None)[0]
    draws = [
        np.linalg.lstsq(design[i], ln_s[i], rcond=None)[0]
        for i in bootstrap_by_halo(halo, n_draws, rng)
    ]
    error = np.std(draws, axis=0, ddof=1)
    norm = float(np.exp(best[0]))
    power = {-2 / 3: " E^-2/3", -7 / 3: " E^-7/3", -2.0: " E^-2", 0.0: ""}[aim.ez_power]
    return [
        Check(
            "physics", f"{aim.proxy}{power} at 2e14 Msun/h", norm, aim.norm, len(chosen),
            aim.unit, norm * float(error[0]),
        ),
        Check(
            "physics", f"slope of {aim.proxy}", float(best[1]), aim.slope, len(chosen),
            error=float(error[1]),
        ),
    ]  # fmt: skip
