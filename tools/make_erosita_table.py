"""Make the rounded tables of the built-in eROSITA instrument from the real response files.

Area: nodes of the on-axis ARF (seven telescopes, FILTER, 2023-01-17), chosen one by one where
straight lines between them are worst, rounded to four digits. Vignetting: the survey-averaged
correction CORRVIGN of the source ARF of the eFEDS catalogue. Redistribution: quantiles of PI minus
energy, rounded to eV, at nodes chosen in the same way from the RMF. Sky background: a spectrum of
local bubble, Galactic halo and unresolved cosmic background through the survey area and the RMF,
rescaled to the rates measured in eFEDS band by band. All other entries are typed in here.

Usage: python tools/make_erosita_table.py EROSITA_DIR [OUT.json]
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
from astropy.io import fits
from scipy.optimize import root
from scipy.special import ndtr, ndtri

from icmass.plasma.absorption import transmission
from icmass.plasma.emissivity import load_plasma_table
from icmass.telescope.ogip import read_arf, read_rmf
from icmass.telescope.response import Redistribution, quantile_levels

PROBABILITIES = [0.0005, 0.001, 0.002, 0.004, 0.007, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.16, 0.3]
PROBABILITIES += [0.5, 0.7, 0.84, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999]

MEASURED_BANDS_KEV = [(0.3, 0.6), (0.6, 1.1), (1.1, 1.6), (1.6, 2.2), (2.2, 3.5), (3.5, 5), (5, 7)]
SKY_1E4 = [8.2, 6.3, 3.2, 1.8, 0.6, 0.5, 0.1]
PARTICLES_1E4 = [2.1, 2.6, 2.7, 2.8, 5.7, 6.4, 8.5]
"""Background measured in eFEDS [1e-4 counts/s/arcmin^2 of unvignetted seconds, seven modules]."""


def choose_nodes(
    x: np.ndarray, error: Callable[[list[int]], np.ndarray], tolerance: float, start: list[int]
) -> list[int]:
    """Add the worst point to the nodes until ``error(nodes)`` (one value a point) is small."""
    nodes = sorted(start)
    while True:
        values = error(nodes)
        values[nodes] = 0
        worst = int(np.argmax(values))
        if values[worst] < tolerance or len(nodes) == x.size:
            return nodes
        nodes = sorted([*nodes, worst])


def best_values(
    x: np.ndarray, y: np.ndarray, nodes: list[int], weight: np.ndarray | float = 1.0
) -> np.ndarray:
    """Return the values at the nodes whose straight lines are closest to y, least squares."""
    hats = np.array([np.interp(x, x[nodes], unit) for unit in np.eye(len(nodes))]).T
    scale = np.broadcast_to(weight, x.shape)
    return np.linalg.lstsq((hats.T * scale).T, (y.T * scale).T, rcond=None)[0]


def area_table(arf: fits.FITS_rec, tolerance: float = 0.015) -> dict[str, list[float]]:
    """Return nodes of the on-axis area; errors relative, of 30 cm2 where the area is less."""
    energy = 0.5 * (arf["ENERG_LO"] + arf["ENERG_HI"]).astype(float)
    area = arf["SPECRESP"].astype(float)

    def error(nodes: list[int]) -> np.ndarray:
        return np.abs(np.interp(energy, energy[nodes], area[nodes]) - area) / np.maximum(area, 30)

    nodes = choose_nodes(energy, error, tolerance, [0, energy.size - 1])
    best = best_values(energy, area, nodes, 1 / np.maximum(area, 30))
    return {
        "energy_kev": [float(f"{v:.4f}") for v in energy[nodes]],
        "onaxis_cm2": [float(f"{v:.4g}") for v in best],
    }


def vignetting_table(arf: fits.FITS_rec, tolerance: float = 0.002) -> dict[str, list[float]]:
    """Return nodes of the survey-averaged vignetting."""
    energy = 0.5 * (arf["ENERG_LO"] + arf["ENERG_HI"]).astype(float)
    factor = arf["CORRVIGN"].astype(float)

    def error(nodes: list[int]) -> np.ndarray:
        return np.abs(np.interp(energy, energy[nodes], factor[nodes]) / factor - 1)

    nodes = choose_nodes(energy, error, tolerance, [0, energy.size - 1])
    return {
        "energy_kev": [float(f"{v:.4f}") for v in energy[nodes]],
        "survey": [float(f"{v:.4f}") for v in factor[nodes]],
    }


def redistribution_table(rmf: Redistribution, tolerance: float = 0.01) -> dict[str, list]:
    """Return nodes of the quantiles of PI - energy; errors as Kolmogorov-Smirnov distances."""
    energy = 0.5 * (rmf.energy_edges_kev[1:] + rmf.energy_edges_kev[:-1])
    scores = ndtri(np.array(PROBABILITIES))
    levels = quantile_levels(rmf.quantiles_kev.shape[1])
    exact = np.array([np.interp(PROBABILITIES, levels, row) for row in rmf.quantiles_kev])
    offset = exact - energy[:, None]

    def error(nodes: list[int]) -> np.ndarray:
        mixed = np.array([np.interp(energy, energy[nodes], column) for column in offset[nodes].T]).T
        approx = [np.interp(m, o, scores) for m, o in zip(mixed, offset, strict=True)]
        return np.abs(ndtr(np.array(approx)) - np.array(PROBABILITIES)).max(1)

    nodes = choose_nodes(energy, error, tolerance, [0, energy.size - 1])
    return {
        "probability": PROBABILITIES,
        "energy_kev": [float(f"{v:.4f}") for v in energy[nodes]],
        "offset_ev": np.round(1000 * best_values(energy, offset, nodes)).astype(int).tolist(),
        "channel_range_kev": [0.1, 12.0],
    }


def sky_template(rmf: Redistribution, area: np.ndarray, energy_kev: np.ndarray) -> np.ndarray:
    """Return the shape of the sky background: photons per bin of `energy_kev` times the area.

    Local bubble kT 0.10 keV, Galactic halo kT 0.15 keV (both solar), cosmic background of index
    1.46 and 0.82 of its total norm (De Luca & Molendi 2004: 11.6 photons/s/cm^2/sr/keV at 1 keV).
    With these norms per arcmin^2 the seven bands already agree with eFEDS to 7 %, but 3.5-5 keV.
    """
    table = load_plasma_table()
    width = np.diff(table.energy_edges_kev)[0]

    def apec(kt: float, norm: float) -> np.ndarray:
        density = table.spectrum(kt, 1.0) / width
        return norm * 1e14 * np.interp(energy_kev, table.energy_kev, density)

    absorbed = transmission(energy_kev, 3.0)
    power_law = 0.82 * 9.8e-7 * energy_kev**-1.46
    photons = apec(0.10, 2e-7) + absorbed * (apec(0.15, 1.2e-6) + power_law)
    return photons * area


def background_table(rmf: Redistribution, area: np.ndarray, energy: np.ndarray) -> dict:
    """Return cumulated rates [1e-4 counts/s/arcmin^2]; the measured bands are met exactly."""
    edges = np.unique(
        np.round(
            np.concatenate([np.arange(0.2, 3.0, 0.05), np.arange(3.0, 10.01, 0.25), [2.2, 3.5]]), 3
        )
    )
    weights = sky_template(rmf, area, energy)
    sky = [np.sum(weights * rmf.band_probability(energy, a, b)) for a, b in pairwise(edges)]
    return {
        "energy_kev": edges.tolist(),
        "sky_1e4": rescale(edges, np.array(sky), SKY_1E4),
        "particles_1e4": rescale(edges, np.diff(edges), PARTICLES_1E4),
        "excess_fraction": 0.13,
        "cell_arcmin": 3.0,
    }


def rescale(edges: np.ndarray, shape: np.ndarray, measured: list[float]) -> list[float]:
    """Scale a shape by a factor, linear in ln E, such that its bands are as measured."""
    centre = 0.5 * (edges[1:] + edges[:-1])
    bands = [(centre > low) & (centre < high) for low, high in MEASURED_BANDS_KEV]
    nodes = np.log([np.sqrt(low * high) for low, high in MEASURED_BANDS_KEV])
    wanted = np.log(measured)

    def scaled(factor: np.ndarray) -> np.ndarray:
        return shape * np.exp(np.interp(np.log(centre), nodes, factor))

    def miss(factor: np.ndarray) -> np.ndarray:
        return np.log([scaled(factor)[b].sum() for b in bands]) - wanted

    start = wanted - np.log([shape[b].sum() for b in bands])
    solution = root(miss, start)
    if not solution.success:
        raise SystemExit(f"background not solved: {solution.message}")
    return [round(v, 3) for v in np.concatenate([[0], np.cumsum(scaled(solution.x))]).tolist()]


PSF = {
    "energy_kev": [1.0, 7.0],
    "core_arcsec": [8.5, 12.1],
    "slope": 1.5,
    "max_radius_arcsec": 900.0,
}

SOURCES = {
    "area": "eROSITA on-axis ARF, TM0 (seven telescopes), FILTER, 2023-01-17, rounded",
    "vignetting": "CORRVIGN of an eFEDS source ARF (survey average over the field of view)",
    "redistribution": "eROSITA on-axis RMF, TM0, 2023-01-17: quantiles rounded to eV",
    "psf": "rc 8.5 +- 0.4 arcsec at 1 keV measured from AGN in the eFEDS images; its growth with "
    "energy as the pre-launch survey averages, half-energy width 28 and 40 arcsec at 1 and 7 keV, "
    "Merloni et al. 2012 (arXiv:1209.3114); wings end at 15 arcmin, what lies beyond is inside",
    "background": "eFEDS images: rates in seven bands, particles from the filter-wheel-closed "
    "spectrum; outside 0.3-7 keV extrapolated; excess variance 12-14 % in cells of 2-4 arcmin",
}


def make(folder: Path, out: Path) -> None:
    """Write the instrument file."""
    arf_file = folder / "onaxis_tm0_arf_filter_2023-01-17.fits.gz"
    rmf = read_rmf(folder / "onaxis_tm0_rmf_2023-01-17.fits.gz")
    with fits.open(arf_file) as arf:
        area = area_table(arf["SPECRESP"].data)
    with fits.open(folder / "efeds" / "spec_020_ARF_00001.fits") as arf:
        vignetting = vignetting_table(arf["SPECRESP"].data)
    energy = np.arange(0.1025, 12.0, 0.005)
    survey = read_arf(arf_file)(energy)
    survey *= np.interp(energy, vignetting["energy_kev"], vignetting["survey"])
    content = {
        "name": "erosita",
        "description": "eROSITA, seven telescope modules, all events valid in the survey",
        "sources": SOURCES,
        "area": area,
        "vignetting": vignetting,
        "redistribution": redistribution_table(rmf),
        "psf": PSF,
        "background": background_table(rmf, survey, energy),
    }
    out.write_text(to_json(content), encoding="utf-8")


def to_json(content: dict) -> str:
    """Write one line for each innermost list, so that changes can be read."""
    text = json.dumps(content, indent=1)
    return re.sub(r"\[[^\[\]{}\"]*\]", lambda m: " ".join(m.group().split()), text) + "\n"


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        raise SystemExit(__doc__)
    default = Path(__file__).parents[1] / "src/icmass/telescope/data/erosita.json"
    make(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) == 3 else default)
