"""Solar abundances: atoms per hydrogen atom, from hydrogen to zinc."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

METALS = (6, 7, 8, 10, 12, 13, 14, 16, 18, 20, 26, 28)
"""Atomic numbers of the elements that XSPEC's apec scales with its abundance: C N O Ne Mg Al Si S
Ar Ca Fe Ni. All others stay at solar."""

_ANGR = """
    1 9.77e-2 1.45e-11 1.41e-11 3.98e-10 3.63e-4 1.12e-4 8.51e-4 3.63e-8 1.23e-4
    2.14e-6 3.80e-5 2.95e-6 3.55e-5 2.82e-7 1.62e-5 3.16e-7 3.63e-6 1.32e-7 2.29e-6
    1.26e-9 9.77e-8 1.00e-8 4.68e-7 2.45e-7 4.68e-5 8.32e-8 1.78e-6 1.62e-8 3.98e-8
"""
_LODD = """
    1 7.92e-2 1.90e-9 2.57e-11 6.03e-10 2.45e-4 6.76e-5 4.90e-4 2.88e-8 7.41e-5
    1.99e-6 3.55e-5 2.88e-6 3.47e-5 2.88e-7 1.55e-5 1.82e-7 3.55e-6 1.29e-7 2.19e-6
    1.17e-9 8.32e-8 1.00e-8 4.47e-7 3.16e-7 2.95e-5 8.13e-8 1.66e-6 1.82e-8 4.27e-8
"""
_ASPL = """
    1 8.51e-2 1.12e-11 2.40e-11 5.01e-10 2.69e-4 6.76e-5 4.90e-4 3.63e-8 8.51e-5
    1.74e-6 3.98e-5 2.82e-6 3.24e-5 2.57e-7 1.32e-5 3.16e-7 2.51e-6 1.07e-7 2.19e-6
    1.41e-9 8.91e-8 8.51e-9 4.37e-7 2.69e-7 3.16e-5 9.77e-8 1.66e-6 1.55e-8 3.63e-8
"""

SOLAR_ABUNDANCES: dict[str, np.ndarray] = {
    name: np.array(text.split(), dtype=float)
    for name, text in (("angr", _ANGR), ("lodd", _LODD), ("aspl", _ASPL))
}
"""Number abundances relative to hydrogen of the elements Z = 1 ... 30 (element Z is entry Z - 1),
by the names and with the values of XSPEC's manual (command ``abund``):

- ``angr``: Anders & Grevesse (1989, Geochim. Cosmochim. Acta 53, 197), Table 2, photosphere;
- ``lodd``: Lodders (2003, ApJ 591, 1220), Table 1, photosphere;
- ``aspl``: Asplund, Grevesse, Sauval & Scott (2009, ARA&A 47, 481), Table 1, photosphere.
"""


@lru_cache(maxsize=16)
def electron_content(abundances: str = "angr", metallicity: float = 0.3) -> tuple[float, float]:
    """Return the electrons of a fully ionised plasma.

    Parameters
    ----------
    abundances : str
        A key of `SOLAR_ABUNDANCES`.
    metallicity : float
        Abundance of `METALS` [solar].

    Returns
    -------
    mass_per_electron : float
        In proton masses; nuclei from helium on weigh two per charge.
    electrons_per_hydrogen : float
    """
    number = SOLAR_ABUNDANCES[abundances].copy()
    number[np.array(METALS) - 1] *= metallicity
    charge = np.arange(1, len(number) + 1)
    electrons = float(number @ charge)
    mass = 1 + 2 * (electrons - 1)
    return mass / electrons, electrons
