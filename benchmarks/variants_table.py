"""What each variant of the physics gives at 2e14 Msun/h: the table of docs/variants.md.

    python benchmarks/variants_table.py [--n 600] [--variant tng ...]

Power laws fitted to the smooth gas of the same halos of the default population, slope with mass in
brackets: mass-weighted T500 E^(-2/3), L_bol E^(-7/3) and L(0.5-2 keV) E^(-2) within R500c, M_gas
over M500c; and the share of halos with a cool core.
"""

from __future__ import annotations

import argparse

import numpy as np

from icmass.cosmology import Cosmology
from icmass.plasma.emissivity import load_plasma_table
from icmass.survey.config import SurveyConfig
from icmass.survey.variants import VARIANTS, apply_variants
from icmass.universe.gas import make_gas
from icmass.universe.gas_config import PIVOT, GasConfig
from icmass.universe.halos import Halo, HaloConfig
from icmass.universe.population import HaloPopulation

COLUMNS = ("T [keV]", "L_bol [1e44 erg/s]", "L_soft [1e44 erg/s]", "gas fraction", "cool cores")


def measure(halos: list[Halo], config: GasConfig, cosmology: Cosmology) -> np.ndarray:
    """Return T, L_bol, L_soft, gas fraction and core state of each halo, shape (n, 5)."""
    table = load_plasma_table(config.abundance_table)
    rows = []
    for halo in halos:
        gas = make_gas(halo, config, cosmology)
        e, inside = float(cosmology.efunc(halo.redshift)), gas.inside_r500
        kt, abundance = gas.kt_kev[inside], gas.abundance[inside]
        light = gas.emission_measure[inside] / 1e44
        rows.append(
            (
                gas.t_mass_weighted * e ** (-2 / 3),
                light @ table.bolometric_cooling_function(kt, abundance) * e ** (-7 / 3),
                light @ table.cooling_function(kt, abundance, 0.5, 2.0) / e**2,
                gas.m_gas / halo.m500c,
                gas.shape["cool_core"],
            )
        )
    return np.array(rows)


def row(values: np.ndarray, ln_mass: np.ndarray) -> list[str]:
    """Return the cells of a variant."""
    cells = []
    for column, digits, sign in zip(values.T[:4], (2, 2, 2, 3), ("", "", "", "+"), strict=True):
        slope, norm = np.polyfit(ln_mass, np.log(column), 1)
        cells.append(f"{np.exp(norm):.{digits}f} ({slope:{sign}.2f})")
    return [*cells, f"{values[:, 4].mean():.2f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=600, help="halos")
    parser.add_argument("--variant", action="append", choices=VARIANTS, help="all, if not given")
    asked = parser.parse_args()
    cosmology = Cosmology()
    population = HaloPopulation(HaloConfig(), cosmology)
    halos = [population.draw(i, np.random.default_rng([7, i])) for i in range(asked.n)]
    ln_mass = np.log([halo.m500c / PIVOT for halo in halos])
    print("| variant |", " | ".join(COLUMNS), "|")
    print("|---" * (len(COLUMNS) + 1) + "|")
    for name in asked.variant or VARIANTS:
        config = SurveyConfig.model_validate(apply_variants({}, [name])).gas
        if config == GasConfig() and name != "magneticum":
            print(f"| `{name}` | as without |" + " |" * (len(COLUMNS) - 1))
            continue
        label = "(none), `magneticum`" if name == "magneticum" else f"`{name}`"
        cells = row(measure(halos, config, cosmology), ln_mass)
        print(f"| {label} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
