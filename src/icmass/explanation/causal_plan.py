"""Which interventions the causal tests make."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr

from icmass.explanation.causal_cores import core_interventions
from icmass.explanation.interventions import (
    AGN,
    CORE,
    FIXED_CORE_MPC_H,
    MASK_ARCSEC,
    Change,
    Intervention,
    add_agn,
    add_substructure,
    dim_outskirts,
    even_background,
    excise_core,
    identity,
    mean_colour,
    observatory_of,
    remove_band,
    remove_component,
    rotate,
)
from icmass.survey.catalog import survey_bands

AGN_FLUXES = (1e-14, 5e-14)
AGN_RADII = (0.0, 0.25, 0.5, 1.0)


def agn_interventions() -> list[Intervention]:
    """Return the tests with an added AGN of known flux and place."""
    found: list[Intervention] = [
        Intervention(
            f"agn_{flux:.0e}_{radius:g}",
            f"AGN of {flux:.0e} erg/s/cm^2 added at {radius:g} R500c",
            add_agn(flux, radius),
        )
        for flux in AGN_FLUXES
        for radius in AGN_RADII
    ]
    bright, place = AGN_FLUXES[-1], 0.5
    source = f"AGN of {bright:.0e} erg/s/cm^2 at {place:g} R500c"
    within = f"{MASK_ARCSEC:g} arcsec"
    masks: list[tuple[str, str, float, Literal["hidden", "drawn"]]] = [
        (f"agn_{bright:.0e}_{place:g}_masked", f"{source}, {within} hidden", bright, "hidden"),
        (f"agn_{bright:.0e}_{place:g}_redrawn", f"{source}, {within} refilled", bright, "drawn"),
        ("masked", f"{within} at {place:g} R500c hidden, no AGN added", 0.0, "hidden"),
        ("redrawn", f"{within} at {place:g} R500c refilled, no AGN added", 0.0, "drawn"),
    ]
    for name, what, flux, mask in masks:
        found.append(Intervention(name, what, add_agn(flux, place, mask=mask)))
    return found


def map_interventions(survey: xr.Dataset) -> list[Intervention]:
    """Return every intervention in the maps of a survey, those with an added AGN first."""
    bands = [f"{lo:g}-{hi:g}" for lo, hi in survey_bands(survey)]
    core = f"{CORE:g} R500c"
    found = [
        *agn_interventions(),
        Intervention("no_agn", "all true AGN removed", remove_component(AGN)),
        Intervention("core_empty", f"{core}: photons removed", excise_core(filled=False)),
        Intervention(
            "core_filled",
            f"{core}: filled at the mean of the ring to twice it",
            excise_core(filled=True),
        ),
        *(
            Intervention(f"no_{label}", f"band {label} keV removed", remove_band(i))
            for i, label in enumerate(bands)
        ),
        Intervention(
            "mean_colour", "gas: bands as the mean of all clusters at the redshift", mean_colour
        ),
        Intervention("rotated_90", "turned by 90 degrees", rotate(90)),
        Intervention("rotated_45", "turned by 45 degrees, photon by photon", rotate(45)),
        Intervention(
            "dim_outskirts", "half the gas's photons beyond R500c removed", dim_outskirts(0.5)
        ),
        Intervention(
            "substructure",
            "lighter cluster's gas at 0.7 R500c, 10 per cent of the photons",
            add_substructure(0.1, 0.7),
        ),
    ]
    if observatory_of(survey).config.background:
        what = "background drawn anew at one level, without fluctuations"
        found.append(Intervention("even_background", what, even_background))
    return found


def interventions(survey: xr.Dataset) -> list[Intervention]:
    """Return every intervention: in the maps, then those that make the gas anew."""
    return [*map_interventions(survey), *core_interventions()]


def cleanings(survey: xr.Dataset) -> list[Intervention]:
    """Return what photon counts are cleaned of before their relations are fitted anew."""
    no_agn, no_core = remove_component(AGN), excise_core(filled=False)
    found = [
        Intervention("as_observed", "as observed", identity),
        Intervention("no_agn", "true AGN removed", no_agn),
        Intervention("core_empty", f"without {CORE:g} R500c", no_core),
        Intervention(
            "no_agn+core_empty",
            f"true AGN removed, without {CORE:g} R500c",
            one_after_other(no_agn, no_core),
        ),
    ]
    if observatory_of(survey).config.background:
        every = one_after_other(no_agn, no_core, even_background)
        what = f"true AGN removed, without {CORE:g} R500c, background without fluctuations"
        found.append(Intervention("no_agn+core_empty+even_background", what, every))
    return found


def retrainings() -> list[Intervention]:
    """Return what networks are trained on anew, the survey as it is first."""
    no_agn, fixed = remove_component(AGN), excise_core(filled=True, fixed=True)
    core = f"{FIXED_CORE_MPC_H:g} Mpc/h filled at the ring's mean"
    return [
        Intervention("as_observed", "as observed", identity),
        Intervention("no_agn", "all true AGN removed", no_agn),
        Intervention("fixed_core_filled", core, fixed),
        Intervention(
            "no_agn+fixed_core_filled",
            f"all true AGN removed, {core}",
            one_after_other(no_agn, fixed),
        ),
        Intervention(
            "core_filled",
            f"{CORE:g} R500c filled at the ring's mean (its size tells the mass)",
            excise_core(filled=True),
        ),
    ]


def one_after_other(*changes: Change) -> Change:
    """Return the change that makes several, in order."""

    def change(clusters: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
        for one in changes:
            clusters = one(clusters, rng)
        return clusters

    return change
