"""Masses of real eFEDS clusters from their images, beside their published count-rate masses.

    python benchmarks/real_clusters.py DATA/efeds_cutouts MODEL --out real-clusters.json

DATA/efeds_cutouts holds images of evtool and ``clusters.csv``: position, redshift, vignetted
exposure and published mass of each. MODEL is made by one command, in minutes:

    icmass train --preset efeds --n 12000 --bands 0.2-2.3 --model icm-1band --seed 1 --workers 2 \
        --set 'observe.exposure_s=[900,2800]' --set 'halos.redshift_range=[0.05,1.3]' \
        --set halos.log_m500c_min=13.3 --set observe.half_width_mpc_h=1.25 \
        --set observe.n_pixels=64 --set observe.coverage=null --out MODEL

With --catalogue and --mock, a survey of preset ``efeds``, the relation of count rate, mass and
redshift of the whole catalogue and of the mock is added.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from icmass.cosmology import Cosmology
from icmass.inference.description import describe
from icmass.inference.ensemble import Ensemble, load_ensemble
from icmass.io.exposure_kinds import survey_factor
from icmass.io.fits_images import Plane, read_plane
from icmass.proxies.names import read_scalar
from icmass.report.style import (
    BLACK,
    BLUE,
    GREY,
    VERMILLION,
    house_style,
    light_grid,
    log_axis,
    new_figure,
)
from icmass.run.layout import RESULTS
from icmass.run.results import ModelResults
from icmass.survey.catalog import open_survey
from icmass.survey.observed.images import survey_from_images
from icmass.telescope.instrument import load_instrument
from icmass.validation.rate_relation import (
    PIVOT_MSUN,
    RateRelation,
    compared_clusters,
    onaxis_rates,
)

BAND = (0.2, 2.3)
NH_1E20 = 3.5
"""Galactic column density of the eFEDS field [1e20 cm^-2]."""
CONTAMINATED = 0.2
"""Clusters whose probability to be a chance association is less are called confirmed."""
OUTSKIRTS_ARCMIN = (4.5, 6.0)
CATALOGUE_COSMOLOGY = Cosmology(h=0.7, om0=0.3)
_RELATION = ("amplitude", "mass_slope", "redshift_slope", "scatter")


def predict_cluster(row: dict[str, str], folder: Path, ensemble: Ensemble) -> dict[str, Any]:
    """Return what the model says of an image, and what is published of the cluster."""
    image = folder / f"image_{row['id']}.fits.gz"
    seconds = float(row["ml_exp"]) / survey_factor(BAND)
    survey = survey_from_images(
        [image],
        [],
        ra=float(row["ra"]),
        dec=float(row["dec"]),
        redshift=float(row["z"]),
        nh=NH_1E20,
        seconds=seconds,
        grid=ensemble.map_grid(),
    )
    index = np.array([0])
    prediction = ensemble.predict(survey, index)
    found = describe(survey, index, prediction, None, ensemble)[0]
    published = float(row["massprox_1e14_msun"])
    mass = found["m500c_1e14_msun"]
    return {
        "id": row["id"],
        "name": row["name"],
        "redshift": float(row["z"]),
        "exposure_s": seconds,
        "photons": found["photons"],
        "m500c_1e14_msun": mass,
        "published_1e14_msun": published,
        "rate": float(row["ml_rate"]),
        "ln_ratio": None if mass is None else float(np.log(mass["median"] / published)),
        "ln_m500c_std": found["ln_m500c_std"],
        "out_of_domain": found["out_of_domain"],
        "reasons": found["reasons"],
        "flagged": found["flagged"],
        "contamination": float(row["f_cont"]),
        "outskirts_1e4": 1e4 * outskirts_rate(read_plane(image), seconds),
    }


def outskirts_rate(image: Plane, seconds: float) -> float:
    """Return the rate 4.5 to 6 arcmin from the centre, sources and all [counts/s/arcmin^2]."""
    n_y, n_x = image.values.shape
    y, x = np.indices((n_y, n_x))
    scale = float(np.abs(image.wcs.wcs.cdelt[1])) * 60
    radius = np.hypot(x - (n_x - 1) / 2, y - (n_y - 1) / 2) * scale
    ring = (radius > OUTSKIRTS_ARCMIN[0]) & (radius < OUTSKIRTS_ARCMIN[1])
    return float(image.values[ring].sum() / (ring.sum() * scale**2 * seconds))


def compare(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and scatter of ln predicted / published of some clusters."""
    ratio = np.array([row["ln_ratio"] for row in rows if row["ln_ratio"] is not None])
    if len(ratio) < 2:
        return {"n": len(ratio)}
    scatter = float(np.std(ratio, ddof=1))
    error = np.array([row["ln_m500c_std"] for row in rows if row["ln_ratio"] is not None])
    return {
        "n": len(ratio),
        "mean": float(np.mean(ratio)),
        "mean_error": scatter / np.sqrt(len(ratio)),
        "median": float(np.median(ratio)),
        "scatter": scatter,
        "mean_posterior_std": float(np.mean(error)),
    }


def relations(catalogue: Path, mock: Path) -> dict[str, Any]:
    """Return the relation of count rate, mass and redshift of the catalogue and of a mock."""
    rate, mass, redshift = read_catalogue(catalogue)
    published = RateRelation.fit(rate, mass, redshift, CATALOGUE_COSMOLOGY)
    survey = open_survey(mock)
    cosmology = Cosmology.model_validate_json(survey.attrs["cosmology"])
    index = compared_clusters(survey)
    ours = RateRelation.fit(
        onaxis_rates(survey, index),
        read_scalar(survey, "m500c", index) / cosmology.h,
        read_scalar(survey, "redshift", index),
        cosmology,
    )
    return {
        "catalogue": {"n": len(rate), **vars(published)},
        "mock": {"n": len(index), "seed": int(survey.attrs["seed"]), **vars(ours)},
    }


def read_catalogue(file: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rates [counts/s], masses [Msun] and redshifts of the eFEDS catalogue."""
    with gzip.open(file, "rt") as stream:
        table = list(csv.DictReader(stream))
    names = ("ML_RATE", "MASSPROX_BEST_COMB", "Z_BEST_COMB")
    rate, mass, redshift = (np.array([float(row[name]) for row in table]) for name in names)
    return rate, 1e14 * mass, redshift


def rate_masses(rows: list[dict[str, Any]], mock: dict[str, float]) -> dict[str, Any]:
    """Return ln of the masses that the mock's relation gives catalogued rates, over published."""
    relation = RateRelation(**{name: mock[name] for name in _RELATION})
    redshift = np.array([row["redshift"] for row in rows])
    at_pivot = relation.rate(np.full(len(rows), PIVOT_MSUN), redshift, CATALOGUE_COSMOLOGY)
    excess = np.log([row["rate"] for row in rows] / at_pivot)
    mass = PIVOT_MSUN / 1e14 * np.exp(excess / relation.mass_slope)
    ratio = np.log(mass / [row["published_1e14_msun"] for row in rows])
    return {"mean": float(ratio.mean()), "scatter": float(ratio.std(ddof=1))}


def rounded(value: Any) -> Any:
    """Return a document with its numbers to four digits."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def draw_masses(rows: list[dict[str, Any]], file: Path) -> None:
    """Draw predicted against published masses, flagged clusters hollow."""
    given = [row for row in rows if row["m500c_1e14_msun"] is not None]
    published = np.array([row["published_1e14_msun"] for row in given])
    mass = {q: np.array([r["m500c_1e14_msun"][q] for r in given]) for q in ("p16", "median", "p84")}
    with house_style():
        figure = new_figure(4.6, 4.8)
        axes = figure.subplots()
        span = np.array([0.3, 12.0])
        axes.plot(span, span, color=GREY, lw=1, zorder=0)
        for i, row in enumerate(given):
            colour = VERMILLION if row["contamination"] >= CONTAMINATED else BLUE
            bar = [[mass["median"][i] - mass["p16"][i]], [mass["p84"][i] - mass["median"][i]]]
            axes.errorbar(
                published[i], mass["median"][i], yerr=bar, fmt="o", ms=6, color=colour,
                mfc="white" if row["flagged"] else colour, lw=1.2,
            )  # fmt: skip
        log_axis(axes.xaxis, span)
        log_axis(axes.yaxis, span)
        low = 0.8 * min(published.min(), mass["p16"].min())
        high = 1.25 * max(published.max(), mass["p84"].max())
        axes.set_xlim(low, high)
        axes.set_ylim(low, high)
        axes.set_aspect("equal")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(FixedLocator([0.5, 1, 2, 4]))
            axis.set_major_formatter(ScalarFormatter())
            axis.set_minor_locator(NullLocator())
        axes.set_xlabel(r"published count-rate mass  [$10^{14}\,M_\odot$]")
        axes.set_ylabel(r"$M_{500c}$ from the image  [$10^{14}\,M_\odot$]")
        light_grid(axes)
        kinds = [
            Line2D([], [], marker="o", ls="", color=BLUE, label="confirmed"),
            Line2D([], [], marker="o", ls="", color=VERMILLION,
                   label=f"chance association: {CONTAMINATED:.0%} or more"),
            Line2D([], [], marker="o", ls="", color=BLACK, mfc="white", label="flagged by icmass"),
            Line2D([], [], color=GREY, lw=1, label="equal"),
        ]  # fmt: skip
        figure.legend(handles=kinds, loc="outside upper center", ncols=2)
        figure.savefig(file, dpi=150)


def draw_relations(catalogue: Path, mock: Path, found: dict[str, Any], file: Path) -> None:
    """Draw rates scaled to the pivot redshift against mass, of the catalogue and of the mock."""
    rate, mass, redshift = read_catalogue(catalogue)
    survey = open_survey(mock)
    cosmology = Cosmology.model_validate_json(survey.attrs["cosmology"])
    index = compared_clusters(survey)[:800]
    mock_mass = read_scalar(survey, "m500c", index) / cosmology.h
    mock_z = read_scalar(survey, "redshift", index)
    of_pivot = RateRelation(1.0, 0.0, 0.0, 0.0)
    scaled = rate / of_pivot.rate(mass, redshift, CATALOGUE_COSMOLOGY)
    mock_scaled = onaxis_rates(survey, index) / of_pivot.rate(mock_mass, mock_z, cosmology)
    span = np.geomspace(5e13, 1e15, 20)
    with house_style():
        figure = new_figure(4.4, 5.4)
        axes = figure.subplots()
        axes.scatter(mock_mass, mock_scaled, 7, color=BLUE, alpha=0.35, lw=0, label="mock, efeds")
        axes.scatter(mass, scaled, 7, color=VERMILLION, alpha=0.6, lw=0, label="eFEDS catalogue")
        for name, colour in (("mock", BLUE), ("catalogue", VERMILLION)):
            relation = RateRelation(**{key: found[name][key] for key in _RELATION})
            at = np.full(len(span), 0.35)
            axes.plot(span, relation.rate(span, at, cosmology), color=colour, lw=1.8)
        log_axis(axes.xaxis, span)
        log_axis(axes.yaxis, mock_scaled)
        axes.set_xlim(4.5e13, 1.1e15)
        axes.set_ylim(0.004, 5)
        axes.set_xlabel(r"$M_{500c}$  [$M_\odot$]")
        axes.set_ylabel(r"rate at $z = 0.35$, 0.2-2.3 keV, on axis  [counts/s]")
        light_grid(axes)
        axes.legend(loc="upper left")
        figure.savefig(file, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--catalogue", type=Path, help="efeds_clusters_mcmf.csv.gz")
    parser.add_argument("--mock", type=Path, help="survey of preset efeds, with --catalogue")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--pictures", type=Path, help="folder for the figures")
    given = parser.parse_args()
    ensemble = load_ensemble(given.model)
    with (given.folder / "clusters.csv").open(newline="") as stream:
        rows = [predict_cluster(row, given.folder, ensemble) for row in csv.DictReader(stream)]
    unflagged = [row for row in rows if not row["flagged"]]
    trained = ModelResults.read(given.model / RESULTS, "give a trained model")
    background = load_instrument("erosita").background
    found: dict[str, Any] = {
        "trained_by": trained.command,
        "scores": trained.estimators[0].as_json(),
        "clusters": rows,
        "ln_predicted_over_published": {
            "all": compare(rows),
            "unflagged": compare(unflagged),
            "flagged": compare([row for row in rows if row["flagged"]]),
            "confirmed": compare([row for row in rows if row["contamination"] < CONTAMINATED]),
        },
        "outskirts_1e4": {
            "median": float(np.median([row["outskirts_1e4"] for row in rows])),
            "instrument": 1e4 * sum(background.rate(*BAND)),
        },
    }
    if given.catalogue and given.mock:
        relation = found["count_rate_relation"] = relations(given.catalogue, given.mock)
        found["ln_rate_mass_over_published"] = rate_masses(rows, relation["mock"])
    if given.pictures:
        draw_masses(rows, given.pictures / "real-clusters.png")
        if given.catalogue and given.mock:
            file = given.pictures / "rate-relation.png"
            draw_relations(given.catalogue, given.mock, relation, file)
    if given.out:
        given.out.write_text(json.dumps(rounded(found), indent=1) + "\n")
    for row in rows:
        mass = row["m500c_1e14_msun"] or dict.fromkeys(("p16", "median", "p84"), float("nan"))
        print(
            f"{row['name']} z {row['redshift']:.3f}: {mass['median']:.2f} "
            f"({mass['p16']:.2f}-{mass['p84']:.2f}), published {row['published_1e14_msun']:.2f}; "
            f"score {row['out_of_domain']:.2f} {'; '.join(row['reasons'])}"
        )
    print(json.dumps({k: v for k, v in found.items() if k not in ("clusters", "scores")}, indent=1))


if __name__ == "__main__":
    main()
