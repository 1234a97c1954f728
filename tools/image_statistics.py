"""Print the statistics of a mock's images beside those of Magneticum's.

    python tools/image_statistics.py [--preset phox] [--seed 1] [--n 150] [--set gas.beta=0.6 ...]

`image_statistics(config, seed, n)` gives the sample itself. About 0.1 s a cluster.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from icmass.observe.published_images import PEAK_BEYOND, published_images
from icmass.survey.config import SurveyConfig
from icmass.survey.presets import resolve_config
from icmass.survey.simulate import Simulator
from icmass.validation.image_maps import STATISTICS, ImageSample, choose_clusters, image_sample
from icmass.validation.image_residuals import body_residuals, rank_correlation


def image_statistics(config: SurveyConfig, seed: int, n: int) -> ImageSample:
    """Measure images of n clusters among the first 10 n, with masses as Magneticum's."""
    simulator = Simulator(config, seed)
    halos = [simulator.halo(cluster) for cluster in range(10 * n)]
    m500c, redshift = (np.array([getattr(h, a) for h in halos]) for a in ("m500c", "redshift"))
    return image_sample(config, seed, choose_clusters(m500c, redshift, n))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="phox")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--n", type=int, default=150)
    parser.add_argument("--set", nargs="*", default=[], metavar="key=value")
    told = parser.parse_args()
    start = time.perf_counter()
    config = resolve_config(told.preset, assignments=tuple(told.set))
    sample = image_statistics(config, told.seed, told.n)
    print(f"{len(sample.cluster)} clusters in {time.perf_counter() - start:.0f} s")
    table = published_images()
    residuals, body = body_residuals(sample.proxies, sample.m500c, sample.redshift)
    names = ("L_X", "L_X_outside", "M_gas", "T")
    print("16, 50, 84 per cent, mock | Magneticum; ranks with residuals of " + ", ".join(names))
    rows = {
        f"{kind} {name}": (getattr(sample, kind)[name], getattr(table, kind)[name])
        for kind in ("deep", "erosita")
        for name in STATISTICS
    } | {"deep core share": (sample.core_share, table.core_share)}
    for row, (values, published) in rows.items():
        mock = np.nanpercentile(values, [16, 50, 84])
        ranks = [
            rank_correlation(values, residuals[name], body, sample.m500c, sample.redshift)
            for name in names
        ]
        numbers = [" ".join(f"{x:9.3g}" for x in q) for q in (mock, table.quantiles(published))]
        told_of = [published.rank_correlation[name] for name in names]
        pairs = " ".join(f"{a:+.2f}|{b:+.2f}" for a, b in zip(ranks, told_of, strict=True))
        print(f"{row:26s} {numbers[0]} | {numbers[1]}   {pairs}")
    w = sample.deep["centroid_shift"]
    print("peak offset [R500c]", np.round(np.percentile(sample.peak_offset, [16, 50, 70, 84]), 3))
    off = table.off_centre
    for what, found, published in (
        ("w > 0.05", w > 0.05, off.w_above_005),
        ("w > 0.1", w > 0.1, off.w_above_01),
        ("peak outshines the centre", sample.outshone, off.outshone),
        *((f"peak beyond {far:g} R500c", sample.peak_offset > far, part)
          for far, part in PEAK_BEYOND.items()),
    ):  # fmt: skip
        print(f"{what:26s} {np.mean(found):.3f} | {published:.3f}")
    print("scatter in the body", {n: round(float(r[body].std()), 3) for n, r in residuals.items()})


if __name__ == "__main__":
    main()
