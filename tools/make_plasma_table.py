"""Make the plasma emissivity table of the package from the AtomDB CIE tables.

The AtomDB 3.0.3 files (http://www.atomdb.org; Foster et al. 2012, ApJ 756, 128) are read from
the folder given, plain or gzipped. Lines, continuum and pseudo-continuum of all elements are summed
in uniform rest-frame energy bins at the solar abundances of Anders & Grevesse (1989) that the files
are made with: the metals that follow XSPEC's abundance parameter (C N O Ne Mg Al Si S Ar Ca Fe Ni)
apart from hydrogen and helium, to which XSPEC adds the trace elements at a fixed solar abundance.
A line falls as a whole into the bin of its energy: thermal broadening (3 eV for Fe K at 5 keV) is
neglected.

Usage: python tools/make_plasma_table.py ATOMDB_DIR [OUT.npz]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from astropy import constants
from astropy import units as u
from astropy.io import fits
from scipy.integrate import cumulative_trapezoid

HC_KEV_ANGSTROM = (constants.h * constants.c).to_value(u.keV * u.AA)
ERG_PER_KEV = u.keV.to(u.erg)
EDGES_KEV = np.linspace(0.05, 15.0, 2991)
BOLOMETRIC_EDGES_KEV = np.geomspace(0.01, 99.0, 20001)
KT_RANGE_KEV = (0.086, 34.4)
METALS = [6, 7, 8, 10, 12, 13, 14, 16, 18, 20, 26, 28]
"""Elements that XSPEC's apec scales with its abundance; all others stay at solar."""


def integrate_pieces(
    energy_kev: np.ndarray, density: np.ndarray, edges_kev: np.ndarray
) -> np.ndarray:
    """Integrate a piecewise linear density exactly over bins, shape (len(edges) - 1,)."""
    grid = np.union1d(energy_kev, edges_kev)
    grid = grid[(grid >= edges_kev[0]) & (grid <= edges_kev[-1])]
    values = np.interp(grid, energy_kev, density)
    total = cumulative_trapezoid(values, grid, initial=0.0)
    return np.diff(np.interp(edges_kev, grid, total))


def spectrum(lines: fits.FITS_rec, coco: fits.FITS_rec, edges_kev: np.ndarray) -> np.ndarray:
    """Sum one temperature in bins, shape (2, n_e): H, He and traces; metals."""
    result = np.zeros((2, edges_kev.size - 1))
    line_kev = HC_KEV_ANGSTROM / lines["Lambda"].astype(float)
    heavy = np.isin(lines["Element"], METALS)
    for group, chosen in enumerate((~heavy, heavy)):
        weights = lines["Epsilon"][chosen].astype(float)
        result[group] += np.histogram(line_kev[chosen], edges_kev, weights=weights)[0]
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
                result[group] += integrate_pieces(x, y, edges_kev)
    return result


def find(folder: Path, name: str) -> Path:
    """Return the file, plain or gzipped."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.exists():
            return path
    raise SystemExit(f"{folder / name}[.gz]: not found")


def make(folder: Path, out: Path) -> None:
    """Write the table."""
    with (
        fits.open(find(folder, "apec_v3.0.3_line.fits")) as lines,
        fits.open(find(folder, "apec_v3.0.3_coco.fits")) as cocos,
    ):
        kt = lines[1].data["kT"].astype(float)
        rows = np.flatnonzero((kt > KT_RANGE_KEV[0]) & (kt < KT_RANGE_KEV[1]))
        pairs = [(lines[i + 2].data, cocos[i + 2].data) for i in rows]
        table = np.array([spectrum(*pair, EDGES_KEV) for pair in pairs])
        wide = np.array([spectrum(*pair, BOLOMETRIC_EDGES_KEV) for pair in pairs])
    mid_erg = 0.5 * (BOLOMETRIC_EDGES_KEV[1:] + BOLOMETRIC_EDGES_KEV[:-1]) * ERG_PER_KEV
    np.savez_compressed(
        out,
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
    default = Path(__file__).parents[1] / "src/icmass/plasma/data/apec_v3.0.3.npz"
    make(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) == 3 else default)
