"""Photon numbers of the maps: what the gas gives, how counts fall with redshift, background."""

from __future__ import annotations

import numpy as np
import xarray as xr
from pydantic import ValidationError

from icmass.observe.apertures import photon_counts
from icmass.proxies.names import (
    REFERENCE_EXPOSURE_S,
    has_background,
    log_proxies,
    read_scalar,
)
from icmass.proxies.published import SOURCE
from icmass.proxies.scaling import RedshiftNormalisation, bootstrap_by_halo
from icmass.survey.catalog import half_width_mpc_h, survey_bands, survey_config, survey_cosmology
from icmass.survey.config import SurveyConfig
from icmass.survey.observatory import Observatory
from icmass.validation.check import Check, Findings, Target
from icmass.validation.proxies import IDEAL_PHOTONS, NOT_HELD

MEDIAN_LOG10_M500C, MEDIAN_REDSHIFT = 13.94, 0.21
BAND_KEV = (0.5, 7.0)
MEDIAN_PHOTONS = Target(
    1200.0, 1.4, "factor", f"{SOURCE}: inferred from the counts that its maps are normalised to"
)
SLOPE_RANGE = (0.06, 0.30)
COUNT_REDSHIFTS = (0.07, 0.21, 0.29)
COUNT_SLOPE = Target(-5.9, 1.0, "absolute", f"{SOURCE}; snapshots of redshift 0.07 to 0.29")

AGN_SHARES = ((13.5, 13.65, 0.225, 0.075), (14.2, 14.4, 0.04, 0.03))
"""Masses [log10 M500c in Msun/h], share of the photons within R500c that are of AGN at redshift
0.15-0.25, its range."""
_AGN_SOURCE = (
    "range given for 0.5-7 keV counts at redshift 0.2, from memory of AGN in simulated and eFEDS "
    "clusters (Bulbul et al. 2022, A&A 661, A10): weak"
)

_EFEDS = "eFEDS images, seven bands; particles from the filter-wheel-closed spectrum"
_INTERPOLATED = {(0.5, 1.2): 16.4, (1.2, 2.0): 7.6, (2.0, 7.0): 22.9}
_NARROW = (
    (0.3, 0.6, 10.3),
    (0.6, 1.1, 8.9),
    (1.1, 1.6, 5.8),
    (1.6, 2.2, 4.6),
    (2.2, 3.5, 6.4),
    (3.5, 5.0, 6.9),
    (5.0, 7.0, 8.6),
)
"""Low and high edge [keV], total background of the eFEDS field [1e-4 counts/s/arcmin^2]."""


def component_totals(survey: xr.Dataset) -> dict[str, np.ndarray]:
    """Return the counts in every map by component, shape (n, band); a pass over all maps."""
    maps = survey["maps"].transpose("cluster", "component", "band", "y", "x")
    n = maps.sizes["cluster"]
    chunks = np.array_split(np.arange(n), max(n // 128, 1))
    totals = [maps[rows].values.sum(axis=(-2, -1), dtype="f8") for rows in chunks]
    joined = np.concatenate(totals)
    return {str(name): joined[:, i] for i, name in enumerate(survey["component"].values)}


def measured_background(band: tuple[float, float]) -> float | None:
    """Return the measured background rate in a band [counts/s/arcmin^2], None if none was.

    The three bands of the paper are interpolated; others are sums of the measured ones.
    """
    if band in _INTERPOLATED:
        return _INTERPOLATED[band] * 1e-4
    inside = [
        band_rate for band_rate in _NARROW if band[0] <= band_rate[0] and band_rate[1] <= band[1]
    ]
    if not inside or (inside[0][0], inside[-1][1]) != band:
        return None
    return sum(band_rate[2] for band_rate in inside) * 1e-4


def photon_findings(survey: xr.Dataset, rng: np.random.Generator, n_draws: int = 100) -> Findings:
    """Compare photon numbers of the gas and of the background with what is published."""
    findings = Findings()
    totals = component_totals(survey)
    _median_cluster(survey, totals, rng, n_draws, findings)
    _count_trend(survey, rng, n_draws, findings)
    _agn_shares(survey, findings)
    _background(survey, totals, rng, n_draws, findings)
    return findings


def _halos(survey: xr.Dataset) -> np.ndarray:
    return survey["halo_id"].values if "halo_id" in survey else np.arange(survey.sizes["cluster"])


def _median_cluster(
    survey: xr.Dataset,
    totals: dict[str, np.ndarray],
    rng: np.random.Generator,
    n_draws: int,
    findings: Findings,
) -> None:
    """Fit ln N of the gas in ln M, z and ln z; evaluate it at the paper's median cluster."""
    row = "gas photons of the median cluster"
    bands = survey_bands(survey)
    if "icm" not in totals:
        return findings.leave_out(NOT_HELD, [row])
    if survey_config(survey).get("observe", {}).get("vignetting") != "onaxis":
        return findings.leave_out("published for the area on axis: preset phox", [row])
    if (bands[0][0], bands[-1][1]) != BAND_KEV or np.ptp(survey["redshift"].values) < 0.05:
        return findings.leave_out("the survey is not in 0.5-7 keV or has one redshift", [row])
    exposure = read_scalar(survey, "exposure")
    ln_n = np.log((totals["icm"].sum(1) + 1) * REFERENCE_EXPOSURE_S / exposure)
    ln_m = np.log(read_scalar(survey, "m500c") / 10**MEDIAN_LOG10_M500C)
    z = read_scalar(survey, "redshift")
    ln_z = np.log(z / MEDIAN_REDSHIFT)
    design = np.stack([np.ones_like(z), ln_m, z - MEDIAN_REDSHIFT, ln_z], axis=1)

    def at_median(index: np.ndarray | slice) -> float:
        return float(np.exp(np.linalg.lstsq(design[index], ln_n[index], rcond=None)[0][0]))

    draws = [at_median(i) for i in bootstrap_by_halo(_halos(survey), n_draws, rng)]
    findings.checks.append(
        Check(
            "photons", row, at_median(slice(None)), MEDIAN_PHOTONS, len(z),
            "photons in 2 ks, 0.5-7 keV, 10^13.94 Msun/h, z 0.21", float(np.std(draws, ddof=1)),
        )
    )  # fmt: skip


def _count_trend(
    survey: xr.Dataset, rng: np.random.Generator, n_draws: int, findings: Findings
) -> None:
    """Fit log10 N_tot = a z + b, all components and masses, as the paper normalises its maps."""
    rows = ["redshift slope of log10 N_tot"]
    rows += [f"N_tot at redshift {z:g}" for z in COUNT_REDSHIFTS]
    if survey.attrs.get("preset") != "phox":
        return findings.leave_out(IDEAL_PHOTONS, rows)
    z = read_scalar(survey, "redshift")
    chosen = np.flatnonzero((z > SLOPE_RANGE[0]) & (z < SLOPE_RANGE[1]))
    if len(chosen) < 2 or np.ptp(z[chosen]) < 0.1:
        return findings.leave_out("the survey does not span redshift 0.07-0.29", rows)
    z, ln_n = z[chosen], log_proxies(survey, ["N_phot"], chosen)[:, 0]

    def fitted(index: np.ndarray | slice) -> list[float]:
        line = RedshiftNormalisation.fit(z[index], ln_n[index])
        return [line.a, *(10 ** (line.a * z_of_count + line.b) for z_of_count in COUNT_REDSHIFTS)]

    draws = [fitted(i) for i in bootstrap_by_halo(_halos(survey)[chosen], n_draws, rng)]
    published = f"{SOURCE}: log10 N_tot = -5.9 z + 4.33"
    norms = [
        Target(10 ** (4.33 - 5.9 * z_of_count), 0.2, "relative", published)
        for z_of_count in COUNT_REDSHIFTS
    ]
    units = ["per unit redshift", *["photons in 2 ks, 0.5-7 keV, all components"] * len(norms)]
    findings.checks += [
        Check("photons", row, value, target, len(z), unit, float(error))
        for row, value, target, unit, error in zip(
            rows,
            fitted(slice(None)),
            (COUNT_SLOPE, *norms),
            units,
            np.std(draws, axis=0, ddof=1),
            strict=True,
        )
    ]


def _agn_shares(survey: xr.Dataset, findings: Findings) -> None:
    """Compare the mean share of AGN among the photons within R500c, by mass."""
    rows = [f"share of AGN photons, 10^{lo:g}-{hi:g} Msun/h" for lo, hi, _, _ in AGN_SHARES]
    if survey.attrs.get("preset") != "phox":
        return findings.leave_out(IDEAL_PHOTONS, rows)
    z, log_mass = read_scalar(survey, "redshift"), np.log10(read_scalar(survey, "m500c"))
    for row, (low, high, share, reach) in zip(rows, AGN_SHARES, strict=True):
        chosen = np.flatnonzero((abs(z - 0.2) < 0.05) & (log_mass >= low) & (log_mass < high))
        if len(chosen) < 10:
            findings.leave_out("fewer than 10 clusters of that mass at redshift 0.15-0.25", [row])
            continue
        of_agn = agn_shares(survey, chosen)
        error = float(of_agn.std(ddof=1) / np.sqrt(len(of_agn)))
        target = Target(share, reach, "absolute", _AGN_SOURCE)
        findings.checks.append(
            Check("agn", row, float(of_agn.mean()), target, len(chosen), error=error)
        )


def agn_shares(survey: xr.Dataset, index: np.ndarray) -> np.ndarray:
    """Return the share of AGN among the photons of gas and AGN within R500c, (n,)."""
    components = [str(name) for name in survey["component"].values]
    maps = survey["maps"].isel(cluster=index).transpose("cluster", "component", "band", "y", "x")
    counts = maps.values.sum(axis=2, dtype="f8")
    r500c, half_width = read_scalar(survey, "r500c", index), half_width_mpc_h(survey)
    agn, gas = (
        photon_counts(counts[:, components.index(name)], r500c, half_width=half_width)[
            "n_phot_r500"
        ]
        for name in ("agn", "icm")
    )
    return agn / np.maximum(agn + gas, 1)


def _background(
    survey: xr.Dataset,
    totals: dict[str, np.ndarray],
    rng: np.random.Generator,
    n_draws: int,
    findings: Findings,
) -> None:
    """Compare the background drawn, with the faint field AGN of component ``agn``, per area.

    Field AGN too faint to have been masked when the sky was measured are in the measured rates,
    but in component ``agn`` of the maps: their expectation is added.
    """
    bands = survey_bands(survey)
    rows = [f"background {low:g}-{high:g} keV" for low, high in bands]
    if not has_background(survey) or "background" not in totals:
        return findings.leave_out("the survey has no background", rows)
    unresolved = _unresolved_rates(survey)
    if unresolved is None:
        return findings.leave_out("the survey's configuration is of another version", rows)
    time_area = read_scalar(survey, "exposure") * _seen_arcmin2(survey)
    draws = [
        totals["background"][i].sum(0) / time_area[i].sum()
        for i in bootstrap_by_halo(_halos(survey), n_draws, rng)
    ]
    rate = totals["background"].sum(0) / time_area.sum() + unresolved
    error = np.std(draws, axis=0, ddof=1)
    for i, (row, band) in enumerate(zip(rows, bands, strict=True)):
        measured = measured_background(band)
        if measured is None:
            findings.leave_out("no rate was measured in this band", [row])
            continue
        source = f"{_EFEDS}; interpolated" if band in _INTERPOLATED else _EFEDS
        findings.checks.append(
            Check(
                "background", row, 1e4 * float(rate[i]),
                Target(1e4 * measured, _background_tolerance(band), "relative", source),
                len(time_area),
                "1e-4 counts/s/arcmin^2", 1e4 * float(error[i]),
            )
        )  # fmt: skip


def _background_tolerance(band: tuple[float, float]) -> float:
    """Return the tolerance: the soft bands were measured to 3 per cent, others interpolated."""
    return 0.20 if band in _INTERPOLATED or band[1] > 2.3 else 0.05


def _unresolved_rates(survey: xr.Dataset) -> np.ndarray | None:
    """Return the expected rate of drawn, unmasked field AGN [counts/s/arcmin^2], (band,)."""
    try:
        config = SurveyConfig.model_validate(survey_config(survey))
    except ValidationError:
        return None
    if not config.observe.agn:
        return np.zeros(len(config.observe.bands))
    nh = float(np.median(survey["nh"].values)) if "nh" in survey else config.observe.nh_1e20
    return Observatory(config).unresolved_rates(nh)


def _seen_arcmin2(survey: xr.Dataset) -> np.ndarray:
    """Return the solid angle of every map, weighted with its coverage [arcmin^2]."""
    cosmology = survey_cosmology(survey)
    area = (
        2 * half_width_mpc_h(survey) * cosmology.arcmin_per_mpc_h(read_scalar(survey, "redshift"))
    ) ** 2
    if "coverage" in survey:
        area = area * survey["coverage"].mean(("y", "x"), dtype="f8").values
    return area
