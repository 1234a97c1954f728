"""The area of the sky that a mock of detected clusters stands for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import xarray as xr
from scipy.interpolate import interp1d

from icmass.calibration.population import volume_slope
from icmass.errors import InputError
from icmass.estimators.posterior import LNM_GRID, M500C_GRID
from icmass.survey.presets import resolve_config
from icmass.survey.simulate import Simulator
from icmass.survey.sky_area import sky_area
from icmass.universe.gas import make_gas
from icmass.universe.population import HaloPopulation

NEAR = ("halos.redshift_range=[0.1,0.12]", "halos.log_m500c_min=14.0", "observe.n_pixels=32")


def of_halos(drawn: list[int], *settings: str, preset: str = "erass1") -> xr.Dataset:
    config = resolve_config(preset, assignments=settings)
    attrs = {"config": config.model_dump_json()}
    return xr.Dataset({"halos_drawn": ("cluster", np.array(drawn, "i4"))}, attrs=attrs)


def test_halos_of_a_square_degree_are_the_integral_of_the_mass_function() -> None:
    config = resolve_config("erass1")
    low, high = config.halos.redshift_range or (0, 0)
    z = np.linspace(low, high, 200)
    # the table of the light-cone has nodes every 0.02 dex: half a step is below the first
    ln_m = np.linspace(config.halos.log_m500c_min - 0.01, 15.75, 900) * math.log(10)
    mass = M500C_GRID
    density = config.cosmology.halo_density(mass, z)
    rows = np.exp(interp1d(LNM_GRID, np.log(density), "cubic")(ln_m))
    of_z = np.trapezoid(rows, ln_m, axis=1) * volume_slope(config.cosmology, z, 1.0)
    found = HaloPopulation(config.halos, config.cosmology).halos_per_deg2
    assert found == pytest.approx(np.trapezoid(of_z, z), rel=0.01)


def test_the_area_is_that_of_the_halos_drawn() -> None:
    one, four = (sky_area(of_halos(drawn)) for drawn in ([200, 100], [800, 0, 400]))
    assert four == pytest.approx(4 * one)
    deeper = sky_area(of_halos([200, 100], "halos.log_m500c_min=13.0"))
    assert deeper < 0.5 * one, "there are more halos to draw on each square degree"


def test_a_simulated_cluster_says_how_many_halos_it_took() -> None:
    """Among halos that are all detected it is the first; the mean is one over the probability."""
    config = resolve_config("erass1", assignments=(*NEAR, "detection.extent_likelihood=6"))
    simulator = Simulator(config, 3)
    assert "halos_drawn" in simulator.variables
    tried = np.array([simulator.target(i)[1]["halos_drawn"] for i in range(150)])
    chance = []
    everything = Simulator(config.model_copy(update={"detection": None}), 4)
    assert simulator.selection is not None
    for i in range(400):
        halo, sight = everything.target(i)
        gas = make_gas(halo, config.gas, config.cosmology)
        chance.append(
            simulator.selection.probability(
                halo, gas, exposure=sight["exposure"], nh_1e20=sight["nh"]
            )
        )
    p = float(np.mean(chance))
    error = np.hypot(np.sqrt((1 - p) / 150), np.std(chance) / np.sqrt(400) / p)
    assert tried.min() == 1 and abs(tried.mean() * p - 1) < 4 * error < 0.5


def test_other_surveys_have_no_area() -> None:
    plain = resolve_config("erosita")
    assert "halos_drawn" not in Simulator(plain, 1).variables
    with pytest.raises(InputError, match="does not say how many halos"):
        sky_area(xr.Dataset(attrs={"config": plain.model_dump_json()}))
    flat = of_halos([5], "halos.selection=paper")
    with pytest.raises(InputError, match="not those of a volume"):
        sky_area(flat)
