"""Make the plasma emissivity tables of the package from the AtomDB CIE tables.

The AtomDB 3.0.3 files (http://www.atomdb.org; Foster et al. 2012, ApJ 756, 128) are read from
the folder given, plain or gzipped. Lines, continuum and pseudo-continuum of all elements are summed
in uniform rest-frame energy bins: the metals that follow XSPEC's abundance parameter (C N O Ne Mg
Al Si S Ar Ca Fe Ni) apart from hydrogen and helium, to which XSPEC adds the trace elements at a
fixed solar abundance. The files are made with the solar abundances of Anders & Grevesse (1989); for
the other tables of icmass.plasma.abundances each element, helium and traces included, is scaled by
the ratio of its abundances. A line falls as a whole into the bin of its energy: thermal broadening
(3 eV for Fe K at 5 keV) is neglected.

Usage: python tools/make_plasma_table.py ATOMDB_DIR [OUT_DIR]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from astropy import constants
from astropy import units as u
from astropy.io import fits
from scipy.integrate import cumulative_trapezoid

from icmass.plasma.abundances import METALS, SOLAR_ABUNDANCES

HC_KEV_ANGSTROM = (constants.h * constants.c).to_value(u.keV * u.AA)
ERG_PER_KEV = u.keV.to(u.erg)
EDGES_KEV = np.linspace(0.05, 15.0, 2991)
BOLOMETRIC_EDGES_KEV = np.geomspace(0.01, 99.0, 20001)
KT_RANGE_KEV = (0.086, 34.4)
RATIOS = np.array([table / SOLAR_ABUNDANCES["angr"] for table in SOLAR_ABUNDANCES.values()])
"""Abundance of each element in units of AtomDB's own, shape (n_table, 30)."""


def integrate_pieces(
    energy_kev: np.ndarray, density: np.ndarray, edges_kev: np.ndarray
) -> np.ndarray:
    """Integrate a piecewise linear density exactly over bins, shape (len(edges) - 1,)."""
    grid = np.union1d(energy_kev, edges_kev)
    grid = grid[(grid >= edges_kev[0]) & (grid <= edges_kev[-1])]
    values = np.interp(grid, energy_kev, density)
    total = cumulative_trapezoid(values, grid, initial=0.0)
    return np.diff(np.interp(edges_kev, grid, total))


def line_spectrum(lines: fits.FITS_rec, edges_kev: np.ndarray) -> np.ndarray:
    """Sum the lines in bins, shape (n_table, 2, n_e): H, He and traces; metals."""
    line_kev = HC_KEV_ANGSTROM / lines["Lambda"].astype(float)
    element = lines["Element"].astype(int)
    weights = RATIOS[:, element - 1] * lines["Epsilon"].astype(float)
    heavy = np.isin(element, METALS)
    return np.array(
        [
            [np.histogram(line_kev[s], edges_kev, weights=table[s])[0] for s in (~heavy, heavy)]
            for table in weights
        ]
    )


def spectrum(lines: fits.FITS_rec, coco: fits.FITS_rec, edges_kev: np.ndarray) -> np.ndarray:
    """Sum one temperature in bins, shape (n_table, 2, n_e): H, He and traces; metals."""
    result = line_spectrum(lines, edges_kev)
    for row in coco:
        if row["rmJ"] != 0:
            continue
        group = int(row["Z"] in METALS)
        for count, energy, density in (
            ("N_Cont", "E_Cont", "Continuum"),
            ("N_Pseudo", "E_Pseudo", "Pseudo"),
        ):
            n = row[count]
            if n > 1:
                x, y = row[energy][:n].astype(float), row[density][:n].astype(float)
                ratio = RATIOS[:, row["Z"] - 1, None]
                result[:, group] += ratio * integrate_pieces(x, y, edges_kev)
    return result


def find(folder: Path, name: str) -> Path:
    """Return the file, plain or gzipped."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.exists():
            return path
    raise SystemExit(f"{folder / name}[.gz]: not found")


def make(folder: Path, out: Path) -> None:
    """Write a file for each table of solar abundances."""
    with (
        fits.open(find(folder, "apec_v3.0.3_line.fits")) as lines,
        fits.open(find(folder, "apec_v3.0.3_coco.fits")) as cocos,
    ):
        kt = lines[1].data["kT"].astype(float)
        rows = np.flatnonzero((kt > KT_RANGE_KEV[0]) & (kt < KT_RANGE_KEV[1]))
        pairs = [(lines[i + 2].data, cocos[i + 2].data) for i in rows]
        tables = np.array([spectrum(*pair, EDGES_KEV) for pair in pairs])
        wides = np.array([spectrum(*pair, BOLOMETRIC_EDGES_KEV) for pair in pairs])
    mid_erg = 0.5 * (BOLOMETRIC_EDGES_KEV[1:] + BOLOMETRIC_EDGES_KEV[:-1]) * ERG_PER_KEV
    for i, name in enumerate(SOLAR_ABUNDANCES):
        table, wide = tables[:, i], wides[:, i]
        np.savez_compressed(
            out / f"apec_v3.0.3_{name}.npz",
            energy_edges_kev=EDGES_KEV,
            kt_kev=kt[rows],
            hhe=table[:, 0].astype(np.float32),
            metals=table[:, 1].astype(np.float32),
            bolometric_hhe=wide[:, 0] @ mid_erg,
            bolometric_metals=wide[:, 1] @ mid_erg,
            source=np.array("AtomDB 3.0.3 (apec_v3.0.3_line.fits, apec_v3.0.3_coco.fits)"),
        )


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        raise SystemExit(__doc__)
    default = Path(__file__).parents[1] / "src/icmass/plasma/data"
    make(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) == 3 else default)
