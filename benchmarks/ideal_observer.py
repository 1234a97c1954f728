"""The scatter below which no estimator can come: ideal observers of the mock's clusters.

    python benchmarks/ideal_observer.py erosita phox --n 240 --json results/floor.json

An ideal observer knows how a cluster is drawn, and all of its surroundings as they are on the sky:
substructures, neighbours, fluctuations, AGN, orientation, background, point spread function. From
the counts of every pixel, and from the galaxies, it infers ln M500c; what the surroundings
themselves say of the mass is left out. Four are compared, by what they are told besides:

photon noise   all the gas and galaxies are like but the mass: Poisson noise is what is left
halo scatter   the shape of the gas, but neither gas mass nor temperature (of galaxies: neither
               number nor velocities) beyond their relations with mass, of known scatter
gas unknown    nothing of the gas but how such halos are distributed
AGN unknown    as before, and of the AGN where they are and their spectra but not their fluxes; each
               cluster may have an active nucleus

The information of Poisson counts is sum (dmu/da)(dmu/db)/mu over pixels, mu being the expected
counts (`expected_maps.py`), a and b ln M and the unit normals of `icmass.universe.halos`. What is
not told is integrated over with its (correlated) Gaussian prior: I = F_mm - F_mu (F_uu + C^-1)^-1
F_um; that of a flux is ten times the true one wide, so that the map alone says what it is. That is
the Cramer-Rao bound of a linear model: derivatives are those at the truth.
Galaxies: their Poisson number within 1.25 Mpc/h, interlopers included, and the velocities of the
members there, known as such: 2 N (d ln sigma / d ln M)^2. Their radial profile is not used.

The bound of a cluster, times how masses of the survey are distributed at its redshift, gives the
posterior whose mean has the least error: that is `sigma_lnm`, the rms over clusters and noise.
`sigma_fisher` is the rms of I^-1/2, without knowledge of the distribution of masses. `sigma_scaled`
is `sigma_lnm` of an observer that is told substructures as the simulator draws them, in shares of
the mass and in units of R500c: then their places give away R500c, which no real observer knows.

Maps have 64 pixels a side, as our networks see them (`--pixels`).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from expected_maps import ExpectedMaps, Told
from scipy.special import ndtri

from icmass.benchmarking.provenance import versions
from icmass.errors import InputError
from icmass.estimators.posterior import LNM_GRID
from icmass.estimators.prior import TrainingPrior
from icmass.observe.dynamics import CYLINDER_RADIUS, CYLINDER_VELOCITY
from icmass.survey.presets import resolve_config
from icmass.survey.simulate import Simulator
from icmass.universe.cores import projected_share
from icmass.universe.dynamics import (
    concentration_500c,
    dispersion_200c,
    nfw_mass,
    r200c_over_r500c,
)
from icmass.universe.galaxies import draw_galaxies, satellite_number
from icmass.universe.halos import LATENTS, SHAPES, Halo, HaloConfig
from icmass.universe.profiles import nfw_radii

GAS = ("gas_mass", "temperature")
GALAXIES = ("galaxy_number", "velocity")
STATE = ("core_share", "disturbance", *SHAPES)
TOLD = ("accretion", "concentration")
PARAMETERS = ("ln_m", *GAS, *STATE, *GALAXIES, "ln_m_scaled")
NOTHING = (*GAS, *GALAXIES, *STATE)
OBSERVERS: dict[str, tuple[tuple[str, ...], bool]] = {
    "photon noise": ((), True),
    "halo scatter": ((*GAS, *GALAXIES), True),
    "gas unknown": (NOTHING, True),
    "AGN unknown": (NOTHING, False),
}
"""Parameters that each is not told, and whether it is told the fluxes of AGN."""
DATA = ("one band", "three bands", "maps and galaxies")
_STEP_LN_M, _STEP_LATENT = 0.05, 0.25
_FLUX_PRIOR = 10.0  # its width over the flux
_POPULATION = 3285  # clusters whose masses are the prior
_NOISE = 64  # even quantiles of the noise of a cluster
_BOOTSTRAP = 1000


def poisson_information(expected: np.ndarray, derivatives: np.ndarray) -> np.ndarray:
    """Return the Fisher information of independent Poisson counts, shape (p, p).

    Parameters
    ----------
    expected : ndarray, shape (n,)
        Expected counts.
    derivatives : ndarray, shape (p, n)
        Their derivatives; without weight where nothing is expected.
    """
    seen = expected > 0
    weighted = derivatives[:, seen] / np.sqrt(expected[seen])
    return np.asarray(weighted @ weighted.T)


def information_without_fluxes(
    expected: np.ndarray, derivatives: np.ndarray, sources: np.ndarray
) -> np.ndarray:
    """Return the information on parameters when the fluxes of sources are integrated over, (p, p).

    Parameters
    ----------
    expected : ndarray, shape (n,)
        Expected counts.
    derivatives : ndarray, shape (p, n)
        Their derivatives by the parameters.
    sources : ndarray, shape (s, n)
        Expected counts of each source.
    """
    p = len(derivatives)
    every = poisson_information(expected, np.concatenate([derivatives, sources]))
    inner = every[p:, p:] + np.eye(len(sources)) / _FLUX_PRIOR**2
    return np.asarray(every[:p, :p] - every[:p, p:] @ np.linalg.solve(inner, every[p:, :p]))


def prior_covariance(unknown: Sequence[str], config: HaloConfig) -> np.ndarray:
    """Return the covariance of latents that are not told, given those that are, (p, p)."""
    n = len(LATENTS)
    full = np.eye(n + len(SHAPES))
    full[:n, :n] = config.correlation
    names = [*LATENTS, *SHAPES]
    told = list(TOLD)
    told += [] if "core_share" in unknown else ["core_share", "disturbance"]
    u, t = [names.index(name) for name in unknown], [names.index(name) for name in told]
    cross = full[np.ix_(u, t)]
    return np.asarray(full[np.ix_(u, u)] - cross @ np.linalg.solve(full[np.ix_(t, t)], cross.T))


def mass_information(
    matrix: np.ndarray,
    unknown: Sequence[str],
    covariance: np.ndarray | None = None,
    mass: str = "ln_m",
) -> float:
    """Return the information on ln M when some parameters are integrated over.

    Parameters
    ----------
    matrix : ndarray, shape (p, p)
        Information on `PARAMETERS`.
    unknown : sequence of str
        Those that are not told.
    covariance : ndarray, shape (k, k)
        Prior covariance of these.
    mass : {"ln_m", "ln_m_scaled"}
        Whether substructures stay as they are, or follow the halo.
    """
    m = PARAMETERS.index(mass)
    if not unknown:
        return float(matrix[m, m])
    u = [PARAMETERS.index(name) for name in unknown]
    inner = matrix[np.ix_(u, u)] + np.linalg.inv(np.asarray(covariance))
    return float(matrix[m, m] - matrix[m, u] @ np.linalg.solve(inner, matrix[u, m]))


def map_information(maps: ExpectedMaps, told: Told) -> np.ndarray:
    """Return the information of one band and of all, shape (2, 2, parameter, parameter).

    The first axis tells whether fluxes of AGN are told (0) or not (1), the second bands.
    """
    redshift = told.halo.redshift
    truth = maps.blurred(maps.emitted(told, told.halo), redshift) + maps.foreground(told)
    slopes = np.zeros((len(PARAMETERS), *truth.shape))
    for k, name in enumerate(PARAMETERS):
        if name in GALAXIES:
            continue
        scaled, of_mass = name == "ln_m_scaled", name.startswith("ln_m")
        step = _STEP_LN_M if of_mass else _STEP_LATENT
        high, low = (
            maps.emitted(
                told,
                maps.at(told, sign * step) if of_mass else maps.at(told, **{name: sign * step}),
                alone=not scaled,
                scaled=scaled,
            )
            for sign in (1, -1)
        )
        slopes[k] = maps.blurred(high - low, redshift) / (2 * step)
    agn = maps.source_counts(told) if maps.config.observe.agn else np.zeros((0, *truth.shape))
    kinds = [
        (truth.sum(0).ravel(), *(of.sum(1).reshape(len(of), -1) for of in (slopes, agn))),
        (truth.ravel(), *(of.reshape(len(of), -1) for of in (slopes, agn))),
    ]
    return np.array(
        [
            [poisson_information(expected, slope) for expected, slope, _ in kinds],
            [information_without_fluxes(*kind) for kind in kinds],
        ]
    )


@dataclass(frozen=True)
class Members:
    """What is expected of the member galaxies of a halo.

    Attributes
    ----------
    number : float
        Members within the cylinder of `N_gal`.
    dispersion : float
        Their line-of-sight velocity dispersion, that within R200c [km/s].
    """

    number: float
    dispersion: float


def expected_members(maps: ExpectedMaps, halo: Halo) -> Members:
    """Return what is expected of a halo's satellites, as if they were spread spherically."""
    config, cosmology = maps.config.galaxies, maps.cosmology
    c500 = concentration_500c(halo.m500c, halo.redshift, cosmology)
    c500 *= 10 ** (config.concentration_scatter_dex * halo.latents["concentration"])
    c = config.concentration_ratio * c500
    number = satellite_number(halo.m500c, config, halo.latents["galaxy_number"])
    number = number * nfw_mass(c * config.extent) / nfw_mass(c)
    radius = nfw_radii((np.arange(1000) + 0.5) / 1000, c, config.extent) * halo.r500c
    m200c = 0.4 * r200c_over_r500c(c500) ** 3 * halo.m500c
    sigma = dispersion_200c(m200c, float(cosmology.efunc(halo.redshift))) * config.velocity_bias
    sigma = sigma * np.exp(config.velocity_scatter * halo.latents["velocity"])
    return Members(float(number * projected_share(radius, CYLINDER_RADIUS).mean()), float(sigma))


def interlopers(maps: ExpectedMaps, told: Told) -> tuple[int, int]:
    """Return how many galaxies in the cylinder are members and how many are not, as drawn."""
    galaxies = draw_galaxies(
        told.halo,
        told.neighbours,
        maps.config.galaxies,
        maps.cosmology,
        maps.half_width,
        maps.simulator.streams(told.cluster)["galaxies"],
    )
    inside = np.hypot(galaxies.x, galaxies.y) <= CYLINDER_RADIUS
    inside &= np.abs(galaxies.v_los) <= CYLINDER_VELOCITY
    return int(np.sum(inside & galaxies.member)), int(np.sum(inside & ~galaxies.member))


def galaxy_information(maps: ExpectedMaps, told: Told) -> np.ndarray:
    """Return the information of number and velocities of galaxies, (parameter, parameter)."""
    members = expected_members(maps, told.halo)
    steps = {
        "ln_m": [maps.at(told, sign * _STEP_LN_M) for sign in (1, -1)],
        **{
            name: [maps.at(told, **{name: sign * _STEP_LATENT}) for sign in (1, -1)]
            for name in GALAXIES
        },
    }
    slopes = np.zeros((2, len(PARAMETERS)))  # of number and of ln dispersion
    for name, (up, down) in steps.items():
        high, low = expected_members(maps, up), expected_members(maps, down)
        width = 2 * (_STEP_LN_M if name == "ln_m" else _STEP_LATENT)
        k = PARAMETERS.index(name)
        slopes[0, k] = (high.number - low.number) / width
        slopes[1, k] = np.log(high.dispersion / low.dispersion) / width
    slopes[:, PARAMETERS.index("ln_m_scaled")] = slopes[:, 0]
    counted = members.number + interlopers(maps, told)[1]
    number, velocity = (np.outer(slope, slope) for slope in slopes)
    return np.asarray(number / counted + 2 * members.number * velocity)


def squared_errors(
    sigma: np.ndarray, ln_m: np.ndarray, redshift: np.ndarray, prior: TrainingPrior
) -> np.ndarray:
    """Return the mean squared error of the posterior's mean, shape (n,).

    Parameters
    ----------
    sigma : ndarray, shape (n,)
        Width of the likelihood of ln M500c, a Gaussian.
    ln_m, redshift : ndarray, shape (n,)
        The truths.
    prior : TrainingPrior
        How masses are distributed.
    """
    density = np.exp(prior.log_density(redshift))
    offset = np.linspace(-6, 6, 241)
    noise = ndtri((np.arange(_NOISE) + 0.5) / _NOISE)
    found = np.empty(len(sigma))
    for i, width in enumerate(sigma):
        seen = ln_m[i] + width * noise / noise.std()
        nodes = seen[:, None] + width * offset
        weight = np.interp(nodes, LNM_GRID, density[i]) * np.exp(-(offset**2) / 2)
        mean = (weight * nodes).sum(1) / weight.sum(1)
        found[i] = np.mean((mean - ln_m[i]) ** 2)
    return found


def rms(squares: np.ndarray, halo_id: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Return the root mean of squared errors and its bootstrap error, halos drawn."""
    _, halo = np.unique(halo_id, return_inverse=True)
    number, total = np.bincount(halo), np.bincount(halo, squares)
    drawn = rng.integers(len(number), size=(_BOOTSTRAP, len(number)))
    each = np.sqrt(total[drawn].sum(1) / number[drawn].sum(1))
    return float(np.sqrt(squares.mean())), float(each.std(ddof=1))


def bounds(
    of_maps: np.ndarray,
    of_galaxies: np.ndarray,
    halos: Sequence[Halo],
    prior: TrainingPrior,
    config: HaloConfig,
) -> list[dict[str, Any]]:
    """Return a row for each kind of data and observer.

    Parameters
    ----------
    of_maps : ndarray, shape (n, 2, 2, parameter, parameter)
        What `map_information` gives.
    of_galaxies : ndarray, shape (n, parameter, parameter)
        Information of galaxies.
    halos : sequence of Halo
        The n clusters.
    """
    ln_m = np.log([halo.m500c for halo in halos])
    redshift = np.array([halo.redshift for halo in halos])
    halo_id = np.array([halo.halo_id for halo in halos])
    rows = []
    for k, data in enumerate(DATA):
        seen = data == "maps and galaxies"
        for observer, (unknown, told_fluxes) in OBSERVERS.items():
            information = of_maps[:, 0 if told_fluxes else 1, min(k, 1)]
            if seen:
                information = information + of_galaxies
            names = [name for name in unknown if seen or name not in GALAXIES]
            covariance = prior_covariance(names, config) if names else None
            precision, scaled = (
                np.array([mass_information(m, names, covariance, mass) for m in information])
                for mass in ("ln_m", "ln_m_scaled")
            )
            rng = np.random.default_rng(0)
            squares = squared_errors(precision**-0.5, ln_m, redshift, prior)
            sigma, error = rms(squares, halo_id, rng)
            squares = squared_errors(scaled**-0.5, ln_m, redshift, prior)
            sigma_scaled = rms(squares, halo_id, rng)[0]
            fisher, fisher_error = rms(1 / precision, halo_id, rng)
            rows.append(
                {
                    "data": data,
                    "told_all_but": observer,
                    "sigma_lnm": sigma,
                    "sigma_lnm_error": error,
                    "sigma_fisher": fisher,
                    "sigma_fisher_error": fisher_error,
                    "median_sigma_fisher": float(np.median(precision**-0.5)),
                    "sigma_scaled": sigma_scaled,
                }
            )
    return rows


def observe(
    preset: str, n: int, seed: int, pixels: int, assignments: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the bounds for the first clusters of a survey, on maps of `pixels` a side."""
    settings = (f"observe.n_pixels={pixels}", *assignments)
    simulator = Simulator(resolve_config(preset, assignments=settings), seed)
    maps = ExpectedMaps(simulator)
    start, halos, of_maps, of_galaxies = time.perf_counter(), [], [], []
    for cluster in range(n):
        told = maps.told(cluster)
        halos.append(told.halo)
        of_maps.append(map_information(maps, told))
        of_galaxies.append(galaxy_information(maps, told))
        if cluster % 20 == 19:
            print(f"{preset}: {cluster + 1} of {n}", flush=True)
    others = [simulator.halo(cluster) for cluster in range(max(_POPULATION, n))]
    prior = TrainingPrior.fit(
        np.log([halo.m500c for halo in others]), np.array([halo.redshift for halo in others])
    )
    config = simulator.config.halos
    rows = bounds(np.array(of_maps), np.array(of_galaxies), halos, prior, config)
    for row in rows:
        shown = f"{100 * row['sigma_lnm']:5.1f} ± {100 * row['sigma_lnm_error']:.1f}"
        scaled = f"scaled {100 * row['sigma_scaled']:.1f}"
        print(f"{preset:8} {row['data']:18} {row['told_all_but']:13} {shown}, {scaled}", flush=True)
    seconds = round(time.perf_counter() - start, 1)
    about = {"n": n, "seed": seed, "pixels": pixels, "set": list(assignments), "seconds": seconds}
    return about | {"versions": versions(), "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("presets", nargs="+", metavar="PRESET")
    parser.add_argument("--n", type=int, default=240, help="clusters of each preset")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pixels", type=int, default=64, help="along a side of a map")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--json", type=Path, help="a file whose ideal_observer is replaced")
    given = parser.parse_args()
    if given.n < 2:
        raise SystemExit(f"ideal_observer: --n {given.n}: give 2 or more")
    try:
        found = {
            preset: observe(preset, given.n, given.seed, given.pixels, given.set)
            for preset in given.presets
        }
    except InputError as error:
        raise SystemExit(f"ideal_observer: {error}") from None
    if given.json:
        document = json.loads(given.json.read_text()) if given.json.exists() else {}
        document["ideal_observer"] = document.get("ideal_observer", {}) | found
        given.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
