"""What is made of a catalogue's row: luminosities, sizes and what the source stands out by."""

from __future__ import annotations

import numpy as np
import xarray as xr

from icmass.survey.catalog import survey_cosmology

RATES = ("rate", "rate_r500c", "rate_300kpc")
"""Rates in 0.2-2.3 keV, the first that is known is what the mean relation is of."""
SUB_BANDS = ("rate_p1", "rate_p2", "rate_p3", "rate_p4")
FEATURES = (
    "redshift",
    *(f"ln_luminosity_{name}" for name in RATES),
    *(f"share_{name[5:]}" for name in SUB_BANDS),
    "extent_arcsec",
    "ln_extent_kpc",
    "ln_extent_likelihood",
    "ln_detection_likelihood",
    "ln_counts",
    "ln_exposure",
    "nh",
)
"""The features in their order, NaN where the row does not say."""
_LEAST_RATE = 1e-4  # count/s: less is no measurement of a rate
_Z_NODES = np.geomspace(1e-3, 5.0, 800)


def catalogue_features(survey: xr.Dataset, index: np.ndarray) -> np.ndarray:
    """Return the `FEATURES` of rows, shape (n, feature).

    Parameters
    ----------
    survey : Dataset
        With the columns of `icmass.survey.catalogue_rows.CATALOGUE`.
    index : ndarray of int, shape (n,)

    Notes
    -----
    A luminosity here is the count rate times the square of the luminosity distance in Gpc/h, with
    no K-correction: the redshift is a feature beside it.
    """
    index = np.asarray(index)

    def column(name: str) -> np.ndarray:
        values: np.ndarray = np.asarray(survey[name].values, float)[index]
        return values

    redshift = column("redshift")
    distance = np.interp(redshift, _Z_NODES, survey_cosmology(survey).comoving_distance(_Z_NODES))
    ln_area = 2 * np.log(distance * (1 + redshift) / 1000)
    rates = {name: column(name) for name in (*RATES, *SUB_BANDS)}
    with np.errstate(invalid="ignore", divide="ignore"):
        ln_rate = {name: np.log(np.maximum(rates[name], _LEAST_RATE)) for name in RATES}
        whole = np.maximum(rates["rate"], _LEAST_RATE)
        shares = [np.clip(rates[name] / whole, 0, 3) for name in SUB_BANDS]
        extent, exposure = column("extent"), column("exposure")
        # arcsec to physical kpc/h: comoving distance over (1 + z)
        size = np.log(np.maximum(extent, 1.0) * distance / (1 + redshift) * 1000 / 206265)
        likelihoods = [
            np.log(np.maximum(column(name), 0.1))
            for name in ("extent_likelihood", "detection_likelihood")
        ]
        ln_exposure = np.log(exposure)
    columns = [redshift, *(ln_rate[name] + ln_area for name in RATES), *shares, extent, size]
    columns += [*likelihoods, ln_rate["rate"] + ln_exposure, ln_exposure, column("nh")]
    result: np.ndarray = np.column_stack(columns)
    return result


def column_of_feature(name: str) -> int:
    """Return where a feature is."""
    return FEATURES.index(name)


#: Features that go when a catalogue lacks a column, by what it then lacks.
GROUPS: dict[str, tuple[str, ...]] = {
    "rate": ("ln_luminosity_rate", "share_p1", "share_p2", "share_p3", "share_p4", "ln_counts"),
    "rate_r500c": ("ln_luminosity_rate_r500c",),
    "rate_300kpc": ("ln_luminosity_rate_300kpc",),
    "sub_bands": ("share_p1", "share_p2", "share_p3", "share_p4"),
    "extent": ("extent_arcsec", "ln_extent_kpc"),
    "extent_likelihood": ("ln_extent_likelihood",),
    "detection_likelihood": ("ln_detection_likelihood",),
    "exposure": ("ln_exposure", "ln_counts"),
    "nh": ("nh",),
}


def drop_columns(features: np.ndarray, rng: np.random.Generator, copies: int) -> np.ndarray:
    """Return copies of rows, the first whole, of the others columns dropped at random.

    Parameters
    ----------
    features : ndarray, shape (n, feature)
    rng : numpy.random.Generator
    copies : int

    Returns
    -------
    ndarray, shape (copies * n, feature)
        Each copy after the other. Of the rates one is always left.

    Notes
    -----
    Of each copy's rows a part lacks what published catalogues lack (`PUBLISHED`), the others each
    group with a probability of their own.
    """
    made = [features]
    for _ in range(copies - 1):
        copy = features.copy()
        kind = rng.integers(0, len(PUBLISHED) + 1, len(copy))
        share = rng.random(len(copy))
        lost = {name: rng.random(len(copy)) < share for name in GROUPS}
        for number, lacking in enumerate(PUBLISHED):
            for name in GROUPS:
                lost[name] = np.where(kind == number, name in lacking, lost[name])
        none = lost["rate"] & lost["rate_r500c"] & lost["rate_300kpc"]
        lost["rate"] &= ~none
        for name, some in GROUPS.items():
            for feature in some:
                copy[lost[name], column_of_feature(feature)] = np.nan
        made.append(copy)
    return np.concatenate(made)


_APERTURES = ("rate_r500c", "rate_300kpc")
PUBLISHED: tuple[tuple[str, ...], ...] = (
    (*_APERTURES, "nh"),  # eRASS1 and eRASS:3 Main
    (*_APERTURES, "sub_bands", "nh"),  # eFEDS, Klein et al. 2022
    (*_APERTURES, "sub_bands", "extent", "extent_likelihood", "detection_likelihood", "nh"),
    ("rate", "sub_bands", "extent", "nh"),  # eRASS1 clusters, Bulbul et al. 2024
    ("rate", "rate_r500c", "sub_bands", "extent", "exposure", "nh"),  # eFEDS, Liu et al. 2022
)
"""What the published catalogues lack; the third has a rate, an exposure and a redshift alone."""
