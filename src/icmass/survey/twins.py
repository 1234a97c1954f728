"""Surveys of a user's halos: the table in the store, and what a table does to a configuration."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from icmass.errors import InputError
from icmass.plasma.emissivity import PlasmaTable
from icmass.survey.catalog import read_values, variable_of
from icmass.survey.config import SurveyConfig
from icmass.universe.catalogue import CatalogueExcess
from icmass.universe.scene import Scene, luminosities
from icmass.universe.twin_light import with_target_light
from icmass.universe.twin_population import TwinPopulation
from icmass.universe.twin_rows import COLUMNS, TwinRows
from icmass.universe.twins import TwinConfig

ROWS = "twin_rows"


def twins_of(rows: TwinRows, config: SurveyConfig, seed: int) -> TwinPopulation:
    """Return the halos of a table under a configuration."""
    return TwinPopulation(
        rows,
        config.twins or TwinConfig(),
        halos=config.halos,
        gas=config.gas,
        galaxies=config.galaxies,
        catalogue=config.catalogue,
        cosmology=config.cosmology,
        seed=seed,
    )


def twin_scene(scene: Scene, twins: TwinPopulation, cluster: int, table: PlasmaTable) -> Scene:
    """Return a scene with the light that a row of the table has, and what its catalogue says."""
    config, target = twins.gas, twins.target(cluster)
    scene = with_target_light(scene, target, config, twins.cosmology, table)
    light = twins.light_of_row(cluster)
    if np.isfinite(light):
        emitted = luminosities(scene, table)["L_X_soft" if twins.soft else "L_X_emitted"]
        excess = CatalogueExcess(float(np.log(light / emitted)), bool(twins.outlier[cluster]))
        return replace(scene, excess=excess)
    if twins.has_light and twins.twins.light == "emitted":
        return replace(scene, excess=CatalogueExcess(0.0, False))
    return scene


def rows_variable(rows: TwinRows, about: dict[str, Any]) -> xr.DataArray:
    """Return a table as a variable of a survey; `about` becomes attributes of it."""
    variable = variable_of(ROWS)
    coords = {
        "twin_column": np.array(list(COLUMNS), dtype=object),
        "twin_unit": ("twin_column", np.array(list(COLUMNS.values()), dtype=object)),
    }
    attrs = {"units": variable.units, "long_name": variable.long_name, **about}
    return xr.DataArray(rows.table, coords, variable.dims, attrs=attrs)


def rows_of(survey: xr.Dataset) -> TwinRows | None:
    """Return the table whose halos a survey holds, None of other surveys.

    Raises
    ------
    InputError
        If it has columns that this version does not know.
    """
    if ROWS not in survey:
        return None
    values = survey[ROWS].transpose("twin_row", "twin_column")
    names = [str(name) for name in values["twin_column"].values]
    if names != list(COLUMNS):
        raise InputError(
            "has columns that this version does not know",
            field=f"variable {ROWS}",
            hint="make the survey again",
        )
    return TwinRows.from_table(read_values(values))
