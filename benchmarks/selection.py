"""What the all-sky survey of the mock detects, beside what eRASS1 did; and its selection function.

    python benchmarks/selection.py [--n 8000] [--images 150] [--json selection.json]
    python benchmarks/selection.py --table erass1.fits --figure selection.png

The first compares flux at half completeness, number and redshift of the cosmology sample,
concentrations and the share of the disturbed with published values, for the preset erass1 as it is,
with lower masses, and in the cosmology that eRASS1 itself found. Nothing is tuned to them. The
second draws a table of `icmass selection`, and says how far it is from the detection step itself
between its nodes: for its own halos, so that what is left is the interpolation.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np

from icmass import __version__
from icmass.survey.config import SurveyConfig
from icmass.survey.observatory import Observatory
from icmass.survey.presets import resolve_config
from icmass.survey.selection import Selection
from icmass.survey.selection_function import SelectionFunction
from icmass.survey.selection_grid import draw_halos, halo_at
from icmass.universe.gas import make_gas
from icmass.validation.selection import selection_checks

UNIVERSES = {
    "erass1": (),
    "erass1, masses from 10^13": ("halos.log_m500c_min=13.0",),
    "erass1, cosmology of Ghirardini et al. 2024": (
        "cosmology.om0=0.29",
        "cosmology.sigma8=0.88",
        "cosmology.h=0.7",
    ),
}


def compare(n: int, images: int, seed: int) -> dict[str, object]:
    command = f"python benchmarks/selection.py --n {n} --images {images} --seed {seed}"
    found: dict[str, object] = {"command": command, "version": __version__}
    found["machine"] = f"{platform.machine()}, Python {platform.python_version()}"
    for name, assignments in UNIVERSES.items():
        begin = time.perf_counter()
        config = resolve_config("erass1", assignments=assignments)
        n_images = images if not assignments else 0
        checks = selection_checks(config, n=n, n_images=n_images, seed=seed)
        print(f"{name} ({time.perf_counter() - begin:.0f} s)")
        for check in checks:
            held = "holds" if check.ok else "MISS"
            print(
                f"  {check.name:46} {check.value:10.4g} ± {check.error:8.2g} {check.unit:11} "
                f"target {check.target.value:8.4g}  {check.deviation:+5.2f} tolerances  {held}",
                flush=True,
            )
        found[name] = {"set": assignments, "rows": [check.document() for check in checks]}
    return found


def draw(table: Path, figure: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    function = SelectionFunction.read(table)
    mass = np.geomspace(function.m500c[0], function.m500c[-1], 200)
    exposure, nh = 250.0, 3.0
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.8), sharey=True)
    for i, z in enumerate((0.1, 0.2, 0.4, 0.8)):
        found, error = (f(mass, z, exposure, nh) for f in (function, function.error))
        left.fill_between(mass, found - error, found + error, color=f"C{i}", alpha=0.3, lw=0)
        left.plot(mass, found, color=f"C{i}", label=f"z = {z}")
    left.set(ylabel="p(detected)", title=f"all concentrations, {exposure:.0f} s", ylim=(0, 1.02))
    for i, c in enumerate((0.08, 0.12, 0.18, 0.27, 0.4)):
        found, error = (f(mass, 0.2, exposure, nh, c) for f in (function, function.error))
        colour = plt.get_cmap("viridis")(i / 4)
        right.fill_between(mass, found - error, found + error, color=colour, alpha=0.3, lw=0)
        right.plot(mass, found, color=colour, label=f"c = {c}")
    right.set(title="z = 0.2, by concentration")
    for axes in (left, right):
        axes.set(xscale="log", xlabel=r"$M_{500c}$ [$M_\odot/h$]")
        axes.legend(frameon=False)
    fig.tight_layout()
    fig.savefig(figure, dpi=110)


def between_nodes(table: Path, places: int = 40) -> np.ndarray:
    """Interpolated less exact probability at random places of the grid."""
    function = SelectionFunction.read(table)
    config = SurveyConfig.model_validate_json(function.meta["config"])
    selection = Selection(config.detection, Observatory(config), config.cosmology)
    halos = draw_halos(config, int(function.meta["seed"]), int(function.n_halos.sum()))
    rng, off = np.random.default_rng(0), []
    while len(off) < places:
        mass, z, exposure = (
            float(np.exp(rng.uniform(*np.log(axis[[0, -1]]))))
            for axis in (function.m500c, function.redshift, function.exposure)
        )
        nh = float(rng.uniform(1, 15))
        found = float(function(mass, z, exposure, nh))
        if not 0.02 < found < 0.98:
            continue
        signals = []
        for halo in halos:
            placed = halo_at(halo, mass, z, config.cosmology)
            gas = make_gas(placed, config.gas, config.cosmology)
            signals.append(selection.signal(placed, gas, [nh]))
        off.append(found - selection.probabilities(signals, [exposure]).mean())
    return np.array(off)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=8000, help="halos of the light-cone")
    parser.add_argument("--images", type=int, default=150, help="clusters with a centroid shift")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--table", type=Path, help="of icmass selection, to draw")
    parser.add_argument("--figure", type=Path, help="where the drawing goes")
    asked = parser.parse_args()
    if asked.table is not None:
        if asked.figure is None:
            parser.error("--table needs --figure")
        draw(asked.table, asked.figure)
        off = between_nodes(asked.table)
        print(f"between nodes: off by {off.std():.4f} rms, {abs(off).max():.4f} at most")
        return
    found = compare(asked.n, asked.images, asked.seed)
    if asked.json is not None:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
