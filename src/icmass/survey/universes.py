"""The universes of a survey: the physics of each, and how a configuration comes to have it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from icmass.survey.config import SurveyConfig
from icmass.survey.physics_prior import NAMES
from icmass.universe.gas_config import GROUPS, PIVOT
from icmass.universe.halos import temperature_follows_gas
from icmass.universe.light_temperature import gas_temperature_correlation

CLUSTERS = 10**14.3
"""M500c at which the gas fraction of clusters is drawn [Msun/h]; that of groups at `GROUPS`."""
TILTED = 1e15
"""M500c at which the tilt of the temperature is said [Msun/h]."""
PRIOR_KEYS = frozenset(
    {f"gas.{name}" for name in (
        "f_gas", "f_gas_slope", "f_gas_ceiling", "f_gas_scatter", "f_gas_evolution", "t_kev",
        "t_curvature", "clumping_scatter", "core_share", "core_share_width", "cusp_share",
        "abundance", "abundance_scatter",
    )} | {"agn.central_duty_cycle", "agn.central_duty_cycle_cool"}
)  # fmt: skip
"""What a universe sets of the configuration, whatever it was before."""

_UNIVERSE = 0xFFFFFFFE  # spawn key of the universes, apart from those of clusters and boxes
_AS_DRAWN = (
    "f_gas_scatter",
    "f_gas_evolution",
    "t_kev",
    "clumping_scatter",
    "core_share",
    "core_share_width",
    "cusp_share",
    "abundance",
    "abundance_scatter",
)


class Universes:
    """The universes of a survey whose configuration has a prior of the physics.

    Parameters
    ----------
    config : SurveyConfig
        With ``physics``.
    seed : int
        Seed of the survey; universe u draws from ``SeedSequence(seed, spawn_key=(2**32 - 2, u))``.

    Raises
    ------
    ValueError
        If the configuration has no prior.
    """

    def __init__(self, config: SurveyConfig, seed: int) -> None:
        if config.physics is None:
            raise ValueError("the configuration has no prior of the physics")
        self._base, self._prior, self._seed = config, config.physics, seed
        self.config = lru_cache(maxsize=4096)(self._config)

    def __len__(self) -> int:
        return self._prior.universes

    def of_halo(self, number: int) -> int:
        """Return the universe of the halo that is the survey's n-th new one."""
        return number % len(self)

    def parameters(self, universe: int) -> dict[str, float]:
        """Return the parameters of a universe, by `icmass.survey.physics_prior.NAMES`."""
        seeds = np.random.SeedSequence(self._seed, spawn_key=(_UNIVERSE, universe))
        return self._prior.draw(np.random.default_rng(seeds))

    def table(self) -> np.ndarray:
        """Return the parameters of all universes, (universe, parameter)."""
        every = [self.parameters(universe) for universe in range(len(self))]
        return np.array([[row[name] for name in NAMES] for row in every])

    def _config(self, universe: int) -> SurveyConfig:
        """Return the configuration of a universe: of one physics, without a prior."""
        return with_physics(self._base, self.parameters(universe))


def with_physics(config: SurveyConfig, parameters: dict[str, float]) -> SurveyConfig:
    """Return a configuration with the physics of one universe, and no prior.

    Parameters
    ----------
    config : SurveyConfig
        Has all that the prior leaves alone.
    parameters : dict of float
        As `icmass.survey.physics_prior.PhysicsPrior.draw` returns them.
    """
    p, agn = parameters, config.agn
    slope = np.log(p["f_gas_clusters"] / p["f_gas_groups"]) / np.log(CLUSTERS / GROUPS)
    gas_changes: dict[str, Any] = {name: p[name] for name in _AS_DRAWN}
    gas_changes |= {
        "f_gas": float(p["f_gas_clusters"] * (PIVOT / CLUSTERS) ** slope),
        "f_gas_slope": float(slope),
        "t_curvature": float(np.log1p(p["t_tilt"]) / np.log(TILTED / PIVOT) ** 2),
    }
    if config.physics is not None:
        gas_changes["f_gas_ceiling"] = config.physics.f_gas_ceiling
    agn_changes = {
        "central_duty_cycle": p["central_duty_cycle"],
        "central_duty_cycle_cool": p["central_duty_cycle_cool"],
        "central_log_l": agn.central_log_l + float(np.log10(p["agn_norm"])),
        "satellites": agn.satellites * p["agn_norm"],
    }
    gas = type(config.gas).model_validate(config.gas.model_dump() | gas_changes)
    follows = gas_temperature_correlation(gas, config.halos, p["lt_correlation"])
    correlation = temperature_follows_gas(config.halos.correlation, follows)
    return config.model_copy(
        update={
            "physics": None,
            "gas": gas,
            "agn": type(agn).model_validate(agn.model_dump() | agn_changes),
            "halos": config.halos.model_copy(update={"correlation": correlation}),
        }
    )
