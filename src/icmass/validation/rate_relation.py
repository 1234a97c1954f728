"""Count rate, mass and redshift: the mock's relation beside that of the eFEDS catalogue.

    ln rate = ln A + B ln(M500c / 2e14 Msun) + 2 ln E(z)/E(0.35) - 2 ln D_L(z)/D_L(0.35)
              + C ln (1 + z)/1.35 + scatter

The rate is what the catalogue's ML_RATE is: counts of the whole cluster in 0.2-2.3 keV, none lost
to the wings of the PSF, per second of vignetted exposure, that is, on axis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from astropy import units as u
from pydantic import ValidationError
from scipy.interpolate import RegularGridInterpolator

from icmass.cosmology import Cosmology
from icmass.observe.rates import count_rates
from icmass.plasma.emissivity import load_plasma_table
from icmass.proxies.names import read_scalar
from icmass.proxies.scaling import bootstrap_by_halo
from icmass.sky.bands import Band
from icmass.survey.catalog import survey_config, survey_cosmology
from icmass.survey.config import SurveyConfig
from icmass.telescope.instrument import load_instrument
from icmass.validation.check import Check, Findings, Target
from icmass.validation.count_rates import ABUNDANCE
from icmass.validation.proxies import DETECTED, NOT_HELD, is_detected
from icmass.validation.relations import MIN_CLUSTERS, is_observed

PIVOT_MSUN, PIVOT_REDSHIFT = 2e14, 0.35
CATALOGUE_BAND: Band = (0.2, 2.3)
MASS_RANGE_MSUN, REDSHIFT_RANGE = (5e13, 1e15), (0.1, 0.9)
"""What is compared: nine tenths of the catalogue's clusters lie within."""
SOURCE = (
    "eFEDS: ML_RATE and mass proxy of all 542 clusters of Klein et al. 2022, A&A 661, A4, own fit "
    "at 2e14 Msun, redshift 0.35. The proxies are these rates turned into masses, by what agrees "
    "with the L_X-M relation of SPT clusters (Bulbul et al. 2019, ApJ 871, 50, slope 1.93): they "
    "are no lensing masses, and scatter by 0.04 only"
)
AMPLITUDE = Target(0.113, 0.15, "relative", SOURCE)
MASS_SLOPE = Target(1.91, 0.15, "absolute", SOURCE)
REDSHIFT_SLOPE = Target(-0.07, 0.15, "absolute", SOURCE)
ROWS = (
    "count rate at 2e14 Msun, z 0.35",
    "slope of count rate with mass",
    "slope of count rate E^-2 D_L^2 with 1+z",
)
_NEEDED = ("T", "L_X_soft", "nh")
_KT_NODES, _REDSHIFT_NODES = 24, 12
_MPC_CM = (1 * u.Mpc).to_value(u.cm)


@dataclass(frozen=True)
class RateRelation:
    """A relation of count rate, mass and redshift, as in this module's first lines.

    Attributes
    ----------
    amplitude : float
        A, the rate whose logarithm is the mean at the pivot [counts/s].
    mass_slope, redshift_slope : float
        B and C.
    scatter : float
        Standard deviation of ln rate at fixed mass and redshift.
    """

    amplitude: float
    mass_slope: float
    redshift_slope: float
    scatter: float

    @classmethod
    def fit(
        cls, rate: np.ndarray, m500c_msun: np.ndarray, redshift: np.ndarray, cosmology: Cosmology
    ) -> RateRelation:
        """Fit a relation by least squares in ln rate.

        Parameters
        ----------
        rate : ndarray, shape (n,)
            [counts/s]
        m500c_msun : ndarray, shape (n,)
            [Msun]
        redshift : ndarray, shape (n,)
        cosmology : Cosmology
            Of E(z) and D_L(z); only ratios to the pivot count.
        """
        ln_mass = np.log(m500c_msun / PIVOT_MSUN)
        ln_z = np.log((1 + redshift) / (1 + PIVOT_REDSHIFT))
        terms = np.stack([np.ones_like(ln_mass), ln_mass, ln_z], axis=1)
        scaled = np.log(rate) - _ln_expected(redshift, cosmology)
        coefficients = np.linalg.lstsq(terms, scaled, rcond=None)[0]
        scatter = float(np.std(scaled - terms @ coefficients, ddof=terms.shape[1]))
        return cls(
            float(np.exp(coefficients[0])), float(coefficients[1]), float(coefficients[2]), scatter
        )

    def rate(
        self, m500c_msun: np.ndarray, redshift: np.ndarray, cosmology: Cosmology
    ) -> np.ndarray:
        """Return the rate whose logarithm is the mean at a mass [Msun] and redshift [counts/s]."""
        ln_rate = (
            np.log(self.amplitude)
            + self.mass_slope * np.log(m500c_msun / PIVOT_MSUN)
            + self.redshift_slope * np.log((1 + redshift) / (1 + PIVOT_REDSHIFT))
            + _ln_expected(redshift, cosmology)
        )
        return np.exp(ln_rate)


def _ln_expected(redshift: np.ndarray, cosmology: Cosmology) -> np.ndarray:
    """Return what E(z)^2 / D_L(z)^2 makes of ln rate, zero at the pivot."""

    def expected(z: np.ndarray) -> np.ndarray:
        ln_distance = np.log((1 + z) * cosmology.comoving_distance(z))
        return 2 * np.log(cosmology.efunc(z)) - 2 * ln_distance

    return expected(np.asarray(redshift)) - expected(np.array(PIVOT_REDSHIFT))


def onaxis_rates(survey: xr.Dataset, index: np.ndarray) -> np.ndarray:
    """Return the count rates that the light of the gas within R500c gives on axis.

    The luminosity of the gas that was drawn as photons, as a plasma of the cluster's temperature
    and 0.3 solar, behind the survey's median column density, in `CATALOGUE_BAND`.

    Returns
    -------
    ndarray, shape (n,)
        [counts/s]
    """
    config = SurveyConfig.model_validate(survey_config(survey))
    cosmology = config.cosmology
    names = ("T", "L_X_soft", "redshift", "nh")
    kt, luminosity, redshift, nh = (read_scalar(survey, name, index) for name in names)
    kt_nodes = np.geomspace(kt.min() / 1.001, kt.max() * 1.001, _KT_NODES)
    z_nodes = np.linspace(redshift.min() - 1e-4, redshift.max() + 1e-4, _REDSHIFT_NODES)
    nodes = _counts_per_erg(kt_nodes, z_nodes, float(np.median(nh)), config)
    per_erg = RegularGridInterpolator((np.log(kt_nodes), z_nodes), np.log(nodes))
    distance_cm = cosmology.comoving_distance(redshift) / cosmology.h * _MPC_CM
    flux = luminosity * 1e44 / (4 * np.pi * distance_cm**2)
    return flux * np.exp(per_erg(np.stack([np.log(kt), redshift], axis=1)))


def _counts_per_erg(
    kt_kev: np.ndarray, redshift: np.ndarray, nh_1e20: float, config: SurveyConfig
) -> np.ndarray:
    """Return on-axis rates per rest-frame 0.5-2 keV luminosity over 4 pi D_C^2, (kt, redshift).

    In counts/s per erg/s/cm^2.
    """
    onaxis = load_instrument(config.observe.instrument, vignetting="onaxis")
    table = load_plasma_table()
    per_erg = np.empty((len(kt_kev), len(redshift)))
    for i, kt in enumerate(kt_kev):
        cooling = float(table.cooling_function(kt, ABUNDANCE, 0.5, 2.0))
        for j, z in enumerate(redshift):
            per_norm = count_rates(
                float(kt), ABUNDANCE, float(z), nh_1e20, onaxis, [CATALOGUE_BAND]
            )
            per_erg[i, j] = 1e-14 / cooling * per_norm.counts[CATALOGUE_BAND]
    return per_erg


def compared_clusters(survey: xr.Dataset) -> np.ndarray:
    """Return the indices of clusters whose mass and redshift are of the catalogue's."""
    cosmology = survey_cosmology(survey)
    mass, redshift = read_scalar(survey, "m500c") / cosmology.h, read_scalar(survey, "redshift")
    (m_low, m_high), (z_low, z_high) = MASS_RANGE_MSUN, REDSHIFT_RANGE
    inside = (mass >= m_low) & (mass <= m_high) & (redshift >= z_low) & (redshift <= z_high)
    return np.flatnonzero(inside)


def rate_findings(survey: xr.Dataset, rng: np.random.Generator, n_draws: int = 100) -> Findings:
    """Compare amplitude and slopes of the relation of a survey whose gas is that of eFEDS."""
    findings = Findings()
    index = compared_clusters(survey)
    if reason := _not_comparable(survey, len(index)):
        findings.leave_out(reason, ROWS)
        return findings
    cosmology = survey_cosmology(survey)
    rate = onaxis_rates(survey, index)
    mass = read_scalar(survey, "m500c", index) / cosmology.h
    redshift = read_scalar(survey, "redshift", index)

    def fitted(chosen: np.ndarray | slice) -> RateRelation:
        return RateRelation.fit(rate[chosen], mass[chosen], redshift[chosen], cosmology)

    halo = survey["halo_id"].values[index] if "halo_id" in survey else index
    best = fitted(slice(None))
    draws = [fitted(i) for i in bootstrap_by_halo(halo, n_draws, rng)]
    values = [(r.amplitude, r.mass_slope, r.redshift_slope) for r in (best, *draws)]
    errors = np.std(values[1:], axis=0, ddof=1)
    unit = f"counts/s on axis, 0.2-2.3 keV; scatter {best.scatter:.2f} in ln"
    targets = (AMPLITUDE, MASS_SLOPE, REDSHIFT_SLOPE)
    findings.checks = [
        Check("rates", row, value, target, len(index), label, float(error))
        for row, value, target, label, error in zip(
            ROWS, values[0], targets, (unit, "", ""), errors, strict=True
        )
    ]
    return findings


def _not_comparable(survey: xr.Dataset, n: int) -> str | None:
    """Return why a survey has no relation to compare, None if it has."""
    if not is_observed(survey):
        return "observed for the gas of eFEDS' clusters: preset efeds"
    if is_detected(survey):
        return DETECTED
    if any(name not in survey for name in _NEEDED):
        return NOT_HELD
    if n < MIN_CLUSTERS:
        return f"fewer than {MIN_CLUSTERS} clusters of the masses and redshifts of eFEDS"
    try:
        SurveyConfig.model_validate(survey_config(survey))
    except ValidationError:
        return "its configuration is not of this version"
    return None
