"""Real eROSITA data against the mock: background, blank positions, two clusters of eFEDS.

    python benchmarks/real_sky.py DATA RUN [RUN...] --out real-sky.json --pictures DIR

DATA is a folder with ``efeds/`` (counts images, exposure maps and mask of a part of the eFEDS
field) and ``1h0707/`` (background maps of a pointing); each RUN is of `icmass benchmark` on a
survey of preset ``efeds``, with one network of several seeds, e.g.

    icmass simulate --preset efeds --n 6000 --seed 3 --out efeds.zarr
    icmass benchmark efeds.zarr --models icm-3band@5 --folds 4 --fold-limit icm-3band@5=1 --out RUN
"""

from __future__ import annotations

import argparse
import copy
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.wcs.utils import proj_plane_pixel_area

from icmass.errors import InputError
from icmass.inference.description import describe
from icmass.inference.ensemble import Ensemble, load_ensemble
from icmass.io.fits_images import Plane, read_plane
from icmass.report.cluster_picture import draw_clusters
from icmass.survey.catalog import open_survey, survey_cosmology
from icmass.survey.observed.images import survey_from_images
from icmass.telescope.instrument import load_instrument

CLUSTERS = {
    "eFEDS J092121.2+031726": (140.3384, 3.2906, 0.33, 0.5),
    "eFEDS J092022.0+030106": (140.0918, 3.0185, 0.48, 0.1),
}
"""RA, Dec [deg], redshift, least visible fraction."""
EFEDS_BANDS = (
    "0300_0600",
    "0600_1100",
    "1100_1600",
    "1600_2200",
    "2200_3500",
    "3500_5000",
    "5000_7000",
)
H0707 = {"021": (0.2, 0.5), "022": (0.5, 1.0), "023": (1.0, 2.2), "024": (2.2, 10.0)}
AWAY_ARCMIN = 6.0
CELL = 45  # image pixels: 3 arcmin


def efeds_background(folder: Path) -> list[dict[str, Any]]:
    """Return rates of the images away from clusters and masked sources, and the instrument's."""
    background = load_instrument("erosita").background
    mask = read_plane(folder / "mask.fits.gz").values == 1
    rows = []
    for name in EFEDS_BANDS:
        lo, hi = (int(part) / 1000 for part in name.split("_"))
        image = read_plane(folder / f"img_{name}.fits.gz")
        seconds = read_plane(folder / f"expmap_norm_novig_{name}.fits.gz").values
        used = mask & (seconds > 0.3 * seconds.max()) & _away(image)
        arcmin2 = float(proj_plane_pixel_area(image.wcs)) * 3600
        counts = float(image.values[used].sum())
        expected = float(seconds[used].sum()) * arcmin2
        rate = counts / expected
        known = sum(background.rate(lo, hi))
        rows.append(
            {
                "band": f"{lo:g}-{hi:g}",
                "counts": int(counts),
                "rate_1e4": 1e4 * rate,
                "error_1e4": 1e4 * np.sqrt(counts) / expected,
                "instrument_1e4": 1e4 * known,
                "ratio": rate / known,
                "excess_scatter": _excess(image.values, seconds * arcmin2, used),
            }
        )
    return rows


def _away(image: Plane) -> np.ndarray:
    y, x = np.indices(image.values.shape)
    sky = image.wcs.pixel_to_world(x, y)
    far = np.ones(image.values.shape, bool)
    for ra, dec, *_ in CLUSTERS.values():
        far &= sky.separation(SkyCoord(ra, dec, unit="deg")).arcmin > AWAY_ARCMIN
    return far


def _excess(counts: np.ndarray, exposure: np.ndarray, used: np.ndarray) -> float:
    """Return the rms of the rate of cells over its mean, beyond Poisson."""
    edges = range(0, counts.shape[0] + 1, CELL)
    number, expected = [], []
    for rows in (slice(*pair) for pair in pairwise(edges)):
        for columns in (slice(*pair) for pair in pairwise(edges)):
            part = used[rows, columns]
            if part.mean() > 0.4:
                number.append(counts[rows, columns][part].sum())
                expected.append(exposure[rows, columns][part].sum())
    n, e = np.array(number, float), np.array(expected, float)
    mean = e * n.sum() / e.sum()
    variance = ((n - mean) ** 2 - mean).sum() / (mean**2).sum()
    return float(np.sign(variance) * np.sqrt(abs(variance)))


def mock_background(survey_path: Path) -> list[dict[str, Any]]:
    """Return the rate of a mock's maps beyond 2 R500c where seen, and of each component."""
    survey = open_survey(survey_path).isel(cluster=slice(0, 1500))
    arcmin = survey_cosmology(survey).arcmin_per_mpc_h(survey["redshift"].values)
    pixel = float(survey["x"][1] - survey["x"][0])
    seen = survey["coverage"].values.astype("f8")
    radius = np.hypot(survey["y"].values[:, None], survey["x"].values)
    out = radius > np.maximum(2 * survey["r500c"].values, 1.5)[:, None, None]
    exposure = (seen * out).sum((1, 2)) * survey["exposure"].values * (pixel * arcmin) ** 2
    rows = []
    for b, band in enumerate(survey["band"].values):
        maps = survey["maps"].isel(band=b).values
        number = (maps * (out & (seen > 0))[:, None]).sum((2, 3), dtype="f8")
        of = number.sum(0) / exposure.sum()
        names = [str(c) for c in survey["component"].values]
        rows.append(
            {
                "band": str(band),
                "rate_1e4": 1e4 * float(of.sum()),
                **{
                    f"{name}_1e4": 1e4 * float(value) for name, value in zip(names, of, strict=True)
                },
            }
        )
    return rows


def h0707_background(folder: Path) -> list[dict[str, Any]]:
    """Return the mean background maps of a pointing, and the seconds that would agree."""
    background = load_instrument("erosita").background
    mask = read_plane(folder / "DetMask.fits.gz").values == 1
    rows = []
    for name, (lo, hi) in H0707.items():
        plane = read_plane(folder / f"BackgrImage_{name}.fits.gz")
        arcmin2 = float(proj_plane_pixel_area(plane.wcs)) * 3600
        per_arcmin2 = float(plane.values[mask].sum() / (mask.sum() * arcmin2))
        least, most = background.energy_kev[[0, -1]]
        inside = (max(lo, least), min(hi, most))
        known = sum(background.rate(*inside)) if inside[0] < inside[1] else float("nan")
        rows.append(
            {
                "band": f"{lo:g}-{hi:g}",
                "counts_per_arcmin2": per_arcmin2,
                "instrument_band": f"{inside[0]:g}-{inside[1]:g}",
                "instrument_1e4": 1e4 * known,
                "seconds_that_agree": per_arcmin2 / known if inside == (lo, hi) else None,
            }
        )
    return rows


def images_of(folder: Path) -> dict[str, Any]:
    """Return the images and exposure maps that tile the bands of preset ``efeds``."""
    names = EFEDS_BANDS[1:]
    return {
        "images": [folder / f"img_{n}.fits.gz" for n in names],
        "exposure_maps": [folder / f"expmap_norm_{n}.fits.gz" for n in names],
        "mask": folder / "mask.fits.gz",
    }


def blank_positions(folder: Path, ensemble: Ensemble, redshift: float) -> dict[str, Any]:
    """Predict places of the field without a cluster, and count what is said of them."""
    image = read_plane(folder / "img_0600_1100.fits.gz")
    steps = np.arange(40, 480, 40)
    sky = image.wcs.pixel_to_world(*np.meshgrid(steps, steps))
    rows = []
    for place in sky.ravel():
        if any(
            place.separation(SkyCoord(ra, dec, unit="deg")).arcmin < AWAY_ARCMIN
            for ra, dec, *_ in CLUSTERS.values()
        ):
            continue
        try:
            survey = survey_from_images(
                **images_of(folder),
                ra=place.ra,
                dec=place.dec,
                redshift=redshift,
                grid=ensemble.map_grid(),
            )
        except InputError:
            continue
        index = np.array([0])
        prediction = ensemble.predict(survey, index)
        rows += describe(survey, index, prediction, None, ensemble)
    withheld = [row for row in rows if row["m500c_1e14_msun_h"] is None]
    massed = [row["m500c_1e14_msun_h"]["median"] for row in rows if not row["flagged"]]
    return {
        "redshift": redshift,
        "positions": len(rows),
        "flagged": sum(row["flagged"] for row in rows),
        "no_mass_given": len(withheld),
        "masses_not_flagged_1e14_msun_h": massed,
        "excess_sigma": sorted(round(row["excess_sigma"], 2) for row in rows),
    }


def masses(folder: Path, ensemble: Ensemble, label: str, pictures: Path | None) -> list[Any]:
    """Predict the two clusters, by each seed and by all."""
    rows = []
    for name, (ra, dec, redshift, visible) in CLUSTERS.items():
        survey = survey_from_images(
            **images_of(folder),
            ra=ra,
            dec=dec,
            redshift=redshift,
            grid=ensemble.map_grid(),
            min_visible=visible,
        )
        survey.attrs["names"] = json.dumps([f"{name} {label}"])
        index = np.array([0])
        prediction = ensemble.predict(survey, index)
        row = describe(survey, index, prediction, None, ensemble)[0]
        seeds = []
        member: Any = ensemble.members[0]
        for network in member.networks:
            one = copy.copy(member)
            one.networks = [network] * member.n_members
            found = one.predict(survey, index)
            seeds.append(float(np.exp(found.median[0])) / 1e14)
        if pictures is not None:
            list(draw_clusters(survey, [row], prediction, pictures))
        rows.append(
            {
                "cluster": name,
                "run": label,
                "visible_fraction": row["visible_fraction"],
                "m500c_1e14_msun_h": row["m500c_1e14_msun_h"],
                "m500c_1e14_msun": row["m500c_1e14_msun"],
                "ln_m500c_std": row["ln_m500c_std"],
                "out_of_domain": row["out_of_domain"],
                "reasons": row["reasons"],
                "median_by_seed_1e14_msun_h": seeds,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--mock", type=Path, help="survey of preset efeds, for its background")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--pictures", type=Path)
    given = parser.parse_args()
    efeds = given.data / "efeds"
    found: dict[str, Any] = {
        "efeds_background": efeds_background(efeds),
        "1h0707_background": h0707_background(given.data / "1h0707"),
    }
    if given.mock:
        found["mock_background"] = mock_background(given.mock)
    found["masses"], found["blank"] = [], []
    for run in given.runs:
        ensemble = load_ensemble(run)
        found["masses"] += masses(efeds, ensemble, run.name, given.pictures)
        for redshift in (0.2, 0.35, 0.5):
            found["blank"].append({"run": run.name, **blank_positions(efeds, ensemble, redshift)})
    text = json.dumps(found, indent=1)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
