"""Write the tables of the default cosmology that `icmass.universe.tabulated` reads.

    python tools/make_cosmology_tables.py

Run it after a change of the nodes in `universe/dynamics.py` or `universe/mass_function.py`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from icmass.cosmology import Cosmology
from icmass.universe import dynamics, mass_function, tabulated


def main() -> None:
    default = Cosmology()
    tables = {
        "concentrations": dynamics.compute_concentrations(default),
        "correlation_today": mass_function.compute_correlation_today(default),
    }
    file = Path(str(tabulated.__file__)).parent / "data" / tabulated.FILE
    np.savez(file, **tables)
    print(f"{file}: {file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
