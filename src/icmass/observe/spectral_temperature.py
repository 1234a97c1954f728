"""Spectroscopic temperature: that of one plasma fitted to a cluster's spectrum."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar

from icmass.observe.spectra import FoldedSpectra
from icmass.universe.atmosphere import Atmosphere


def spectral_temperature(
    gas: Atmosphere,
    redshift: float,
    folder: FoldedSpectra,
    band_kev: tuple[float, float] = (0.3, 7.0),
) -> float:
    """Return the temperature of a single plasma whose spectrum is nearest to that of the gas [keV].

    Parameters
    ----------
    gas : Atmosphere
        Of which the shells within R500c count.
    redshift : float
    folder : FoldedSpectra
        Effective area and column density.
    band_kev : (float, float)
        Observed energies that are fitted [keV].

    Returns
    -------
    float
        NaN without photons.

    Notes
    -----
    The expected counts are fitted by least squares with the variance of Poisson counts, in the
    limit of many photons; normalisation and abundance are free. Without redistribution: lines tell
    more than with that of a CCD.
    """
    if not gas.in_r500.any():
        return float("nan")
    grid = folder.table.kt_kev
    counts = _expected_counts(gas, redshift, folder)
    edges = folder.table.energy_edges_kev / (1 + redshift)
    chosen = (edges[:-1] >= band_kev[0]) & (edges[1:] <= band_kev[1]) & (counts > 0)
    if not chosen.any():
        return float("nan")
    folded, root = folder.plasma(redshift), np.sqrt(counts[chosen])
    hhe, metals = (np.diff(rows, axis=1)[:, chosen] / root for rows in (folded.hhe, folded.metals))

    def misfit(ln_kt: float) -> float:
        row, upper = folder.table.weights(np.clip(np.exp(ln_kt), grid[0], grid[-1]))
        parts = [(1 - upper) * rows[row] + upper * rows[row + 1] for rows in (hhe, metals)]
        return _misfit(np.array(parts), root)

    node = int(np.argmin([misfit(ln_kt) for ln_kt in np.log(grid)]))
    bounds = np.log(grid[[max(node - 1, 0), min(node + 1, len(grid) - 1)]])
    fit = minimize_scalar(misfit, bounds=tuple(bounds), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(fit.x))


def _expected_counts(gas: Atmosphere, redshift: float, folder: FoldedSpectra) -> np.ndarray:
    """Return the expected counts per energy bin, up to their normalisation, (n_e,)."""
    table, folded = folder.table, folder.plasma(redshift)
    inside = gas.in_r500
    kt = np.clip(gas.kt_kev[inside], table.kt_kev[0], table.kt_kev[-1])
    row, upper = table.weights(kt)
    emission = gas.emission_measure[inside] / gas.emission_measure[inside].sum()
    counts = np.zeros(folded.hhe.shape[1] - 1)
    for rows, weight in ((folded.hhe, emission), (folded.metals, emission * gas.abundance[inside])):
        n = len(rows)
        per_row = np.bincount(row, weight * (1 - upper), n) + np.bincount(
            row + 1, weight * upper, n
        )
        counts += np.diff(per_row @ rows)
    return counts


def _misfit(spectra: np.ndarray, root: np.ndarray) -> float:
    """Return the sum of squared residuals of the best combination of two spectra."""
    products = spectra @ root
    return float(
        root @ root - products @ np.linalg.pinv(spectra @ spectra.T, hermitian=True) @ products
    )
