"""Some clusters of a survey, simulated into memory."""

from __future__ import annotations

import numpy as np
import xarray as xr

from icmass import __version__
from icmass.survey.blank import blank_survey
from icmass.survey.catalog import is_ragged, variable_of
from icmass.survey.config import SurveyConfig
from icmass.survey.simulate import simulator


def simulate_block(config_json: str, seed: int, start: int, stop: int) -> xr.Dataset:
    """Return clusters `start` to `stop` of the survey of a configuration and a seed, in memory.

    The same as in a survey of any size on disk: cluster i depends on nothing but configuration,
    seed and i. Masses in Msun/h, lengths in comoving Mpc/h.

    Parameters
    ----------
    config_json : str
        A `SurveyConfig`, as JSON.
    seed : int
        Seed of the survey.
    start, stop : int
        The clusters.

    Examples
    --------
    >>> from icmass.survey.presets import resolve_config
    >>> block = simulate_block(resolve_config("demo").model_dump_json(), 5, 3, 5)
    >>> block["maps"].dims, block.sizes["cluster"]
    (('cluster', 'component', 'band', 'y', 'x'), 2)
    """
    make = simulator(config_json, seed)
    clusters = [make.cluster(i) for i in range(start, stop)]
    config = SurveyConfig.model_validate_json(config_json)
    survey = blank_survey(
        [name for name in make.variables if not is_ragged(name)],
        n_clusters=len(clusters),
        n_pixels=config.observe.n_pixels,
        half_width=config.observe.half_width_mpc_h,
        bands=list(config.observe.bands),
        attrs={
            "preset": config.preset,
            "cosmology": config.cosmology.model_dump_json(),
            "config": config_json,
            "seed": seed,
            "version": __version__,
        },
    )
    ragged = {}
    for name in make.variables:
        values = [cluster[name] for cluster in clusters]
        if name == "galaxy_offset":
            ragged[name] = np.concatenate([[0], np.cumsum(values)])
        elif is_ragged(name):
            ragged[name] = np.concatenate([np.empty(0), *map(np.atleast_1d, values)])
        else:
            survey[name][:] = np.stack(values)
    told = {name: variable_of(name) for name in ragged}
    return survey.assign(
        {name: (told[name].dims, values.astype(told[name].dtype), {"units": told[name].units})
         for name, values in ragged.items()}
    )  # fmt: skip
