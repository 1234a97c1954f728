"""The area of the sky that a mock survey of detected clusters stands for."""

from __future__ import annotations

import json
import math

import xarray as xr

from icmass.errors import InputError
from icmass.survey.config import SurveyConfig
from icmass.universe.population import HaloPopulation


def sky_area(survey: xr.Dataset) -> float:
    """Return the area in which a mock survey has found its clusters [deg^2].

    Parameters
    ----------
    survey : Dataset
        A mock that detects clusters among the halos of a volume, as the presets ``erass1`` to
        ``erass8`` do.

    Raises
    ------
    InputError
        If it is no such survey, or of an icmass that did not count the halos.

    Notes
    -----
    Halos are drawn from the light-cone one after the other until so many clusters are detected;
    the area is the number of those drawn (``halos_drawn``) over the halos of the mass function on
    a square degree. Given the area, the clusters are a Poisson sample as far as any likelihood of
    them goes: with n of them, at a rate r on a square degree, the probability of the area that the
    n-th is found at is proportional to r^n exp(-r area). Its own error is one over the root of the
    halos drawn, some 80 for each cluster of eRASS1 with an extent likelihood of 6: a ninth of the
    error of the clusters' number.
    """
    if "halos_drawn" not in survey:
        what = "the survey does not say how many halos its clusters were detected among"
        raise InputError(what, field="area", hint="simulate it anew, of a preset erass1 to erass8")
    config = SurveyConfig.model_validate(json.loads(survey.attrs["config"]))
    per_deg2 = HaloPopulation(config.halos, config.cosmology).halos_per_deg2
    if math.isnan(per_deg2):
        what = "the halos are not those of a volume by the mass function"
        hint = "set halos.redshift_law=volume, halos.selection=mass_function"
        raise InputError(what, field="area", hint=hint)
    return float(survey["halos_drawn"].values.sum(dtype=float)) / per_deg2
