"""Time of small parts that every cluster goes through.

python benchmarks/parts_speed.py [--repeats 20]
"""

from __future__ import annotations

import argparse
import timeit
from collections.abc import Callable

import numpy as np

from icmass.observe.allsky import draw_sightline
from icmass.observe.apertures import photon_counts
from icmass.observe.morphology import morphology
from icmass.survey.presets import resolve_config

HALF_WIDTH, R500C = 2.3, 0.8  # comoving Mpc/h


def parts() -> dict[str, Callable[[], object]]:
    rng = np.random.default_rng(0)
    maps = rng.poisson(0.3, (1, 3, 128, 128)).astype("u2")
    centre = (np.arange(128) + 0.5) * 2 * HALF_WIDTH / 128 - HALF_WIDTH
    radius = np.hypot(centre[:, None], centre)
    image = rng.poisson(10 * (1 + (radius / 0.1) ** 2) ** -1.5 + 0.1)[None]
    sky = resolve_config("erass1").observe.sky
    assert sky is not None
    return {
        "counts in three apertures of three bands": lambda: photon_counts(
            maps, R500C, half_width=HALF_WIDTH
        ),
        "morphology of a map": lambda: morphology(
            image, R500C, half_width=HALF_WIDTH, kpc_per_mpc_h=1e3, background=0.1
        ),
        "place, exposure and column density in eRASS1": lambda: draw_sightline(sky, rng),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    asked = parser.parse_args()
    for name, part in parts().items():
        part()
        best = min(timeit.repeat(part, number=asked.repeats, repeat=5)) / asked.repeats
        print(f"{name:50s} {1e3 * best:8.3f} ms")


if __name__ == "__main__":
    main()
