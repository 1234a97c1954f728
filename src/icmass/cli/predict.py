"""`icmass predict`: masses of clusters in a survey, or of a real cluster in FITS images."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from icmass.cli.options import parse_index
from icmass.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

    from icmass.estimators.ensemble import Ensemble
    from icmass.estimators.prior import Prior

MAX_ROWS = 20


Option = typer.Option
Model = Annotated[
    Path | None,
    typer.Argument(
        metavar="MODEL_OR_RUN",
        help="A run's folder, a saved model's, or a bundled model; default: erosita-v1, bundled.",
        show_default=False,
    ),
]
Survey = Annotated[
    Path | None, typer.Argument(metavar="SURVEY", help="A survey, X.zarr, or give --images.")
]
Images = Annotated[
    list[Path] | None,
    Option(metavar="IMG...", help="FITS counts images, one a band (after any MODEL_OR_RUN)."),
]
Expmap = Annotated[
    list[Path] | None,
    Option(
        metavar="MAP...",
        help="Exposure map, seconds at the survey-average area: one for all, or one an image.",
    ),
]
Mask = Annotated[Path | None, Option(help="Mask image, 1 = use.")]
Ra = Annotated[float | None, Option(help="Right ascension, degrees.")]
Dec = Annotated[float | None, Option(help="Declination, degrees.")]
Redshift = Annotated[float | None, Option(help="Redshift of the cluster.")]
ImageBands = Annotated[
    str | None,
    Option(
        metavar="LO-HI,...",
        help="Bands of the images in keV; default: of header (EMIN1, EMAX1) or file name.",
    ),
]
Nh = Annotated[float, Option(help="Galactic column density, 1e20 cm^-2.")]
MinVisible = Annotated[float, Option(help="Least visible fraction within 0.5 comoving Mpc/h.")]
Seed = Annotated[
    int, Option(min=0, help="Seed of the photons' places in their pixels, and of --samples.")
]
PriorText = Annotated[
    str,
    Option(
        "--prior",
        metavar="PRIOR",
        help="Prior of the mass in place of the training set's: flat (in ln M), or "
        "mass-function, mass-function:om0=0.3,sigma8=0.8 (of halos; default: the survey's "
        "cosmology).",
    ),
]
Samples = Annotated[
    int | None, Option(min=1, metavar="N", help="Add N draws of ln M500c a cluster to --json.")
]
Name = Annotated[
    str | None, Option("--model", help="Which model of a run; default: its best network.")
]
Index = Annotated[
    list[str] | None,
    Option(metavar="I...", help="Clusters of the survey: 3, or 0-9; default: all."),
]
Device = Annotated[str, Option(help="auto, cpu or cuda.")]
AsJson = Annotated[bool, Option("--json", help="Print one JSON document.")]


def predict(
    model: Model = None,
    survey: Survey = None,
    images: Images = None,
    expmap: Expmap = None,
    mask: Mask = None,
    ra: Ra = None,
    dec: Dec = None,
    redshift: Redshift = None,
    image_bands: ImageBands = None,
    nh: Nh = 3.5,
    min_visible: MinVisible = 0.5,
    seed: Seed = 0,
    name: Name = None,
    index: Index = None,
    device: Device = "auto",
    prior_text: PriorText = "training",
    samples: Samples = None,
    as_json: AsJson = False,
) -> None:
    """Predict M500c of the clusters of a survey, or of a real cluster from its images."""
    from icmass.estimators.bundled import model_folder
    from icmass.estimators.ensemble import load_ensemble
    from icmass.estimators.prior import parse_prior

    if survey is None and not images and model is not None and model.suffix == ".zarr":
        model, survey = None, model
    if (survey is None) == (not images):
        raise InputError("give either a SURVEY or --images", field="input")
    where = {"--ra": ra, "--dec": dec, "--redshift": redshift}
    if images:
        _refuse({"--index": index}, "only a SURVEY has an index")
        place = _required(where)
    else:
        more = {"--expmap": expmap, "--mask": mask, "--image-bands": image_bands}
        _refuse({**where, **more}, "a SURVEY has its own; it goes with --images")
    if not as_json:
        _refuse({"--samples": samples}, "only --json prints samples")
    prior = parse_prior(prior_text)
    ensemble = load_ensemble(model_folder(model), model=name, device=device)
    if survey is not None:
        data, rows = _open(survey, index)
    else:
        options = {"mask": mask, "nh": nh, "min_visible": min_visible, "seed": seed}
        data = _read_images(ensemble, images, expmap, place, bands=image_bands, **options)
        rows = np.array([0])
    found = _predicted(ensemble, data, rows, prior=prior, n_samples=samples, seed=seed)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
    else:
        print_prediction(found)


def _refuse(options: dict[str, object], why: str) -> None:
    if given := [name for name, value in options.items() if value is not None]:
        raise InputError(why, field=", ".join(given), mend="leave it out")


def _required(options: dict[str, float | None]) -> list[float]:
    if missing := [name for name, value in options.items() if value is None]:
        raise InputError("is missing", field=", ".join(missing), mend="--images needs it")
    return [value for value in options.values() if value is not None]


def _read_images(
    ensemble: Ensemble,
    images: list[Path] | None,
    expmap: list[Path] | None,
    place: Sequence[float],
    *,
    bands: str | None,
    **options: Any,
) -> xr.Dataset:
    """Return the survey of one cluster, on the maps that the model was trained on."""
    from icmass.survey.readers.fits_images import parse_bands
    from icmass.survey.readers.images import survey_from_images

    ra, dec, redshift = place
    grid = ensemble.training.grid
    if grid is None:
        raise InputError(
            "reads no maps, hence no images",
            field=f"model {ensemble.name}",
            mend="choose a network with --model",
        )
    ensemble.training.check_redshift(redshift)
    return survey_from_images(
        images or [],
        expmap or [],
        ra=ra,
        dec=dec,
        redshift=redshift,
        grid=grid,
        image_bands=parse_bands(bands) if bands is not None else None,
        **options,
    )


def _open(path: Path, index: list[str] | None) -> tuple[xr.Dataset, np.ndarray]:
    """Return a survey and the clusters asked for."""
    from icmass.survey.catalog import open_survey

    survey = open_survey(path)
    n = survey.sizes["cluster"]
    rows = np.arange(n) if not index else np.concatenate([parse_index(text) for text in index])
    if rows.size == 0 or rows.max() >= n:
        last = rows.max() if rows.size else "none"
        raise InputError(f"{last}: {path.name} has {n} clusters, 0 to {n - 1}", field="--index")
    return survey, rows


def _predicted(
    ensemble: Ensemble,
    survey: xr.Dataset,
    index: np.ndarray,
    *,
    prior: Prior,
    n_samples: int | None,
    seed: int,
) -> dict[str, Any]:
    """Return the document that `--json` prints."""
    from icmass.estimators.ensemble import survey_cosmology
    from icmass.estimators.masses import assumptions, describe, warnings

    prediction = ensemble.predict(survey, index, prior)
    samples = None
    if n_samples is not None:
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
        samples = prediction.sample(n_samples, rng)
    return {
        "model": {
            "name": ensemble.name,
            "folder": str(ensemble.folder),
            "members": len(ensemble.members),
            "sigma_lnm": ensemble.scatter,
            "preset": ensemble.training.survey.get("preset"),
            "n_train": ensemble.training.n,
        },
        "cosmology": json.loads(survey.attrs["cosmology"]),
        "prior": {"kind": prior.kind, "is": prior.describe(survey_cosmology(survey))},
        "clusters": describe(survey, index, prediction, samples),
        "assumptions": assumptions(ensemble, survey, prediction, prior),
        "warnings": warnings(ensemble, survey, index, prediction),
    }


def print_prediction(found: dict[str, Any]) -> None:
    """Print a predicted mass, or a table of them, with what it assumes."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    model, rows = found["model"], found["clusters"]
    console.print(
        f"[bold]{model['name']}[/bold], {model['members']} fold models, trained on "
        f"{model['n_train']} mock clusters (preset {model['preset']})",
        soft_wrap=True,
    )
    line = f"Prior of the mass: {found['prior']['is']}"
    console.print(line, highlight=False, markup=False, soft_wrap=True)
    if len(rows) == 1:
        table = Table(show_header=False)
        for row in _one(rows[0]):
            table.add_row(*row)
    else:
        table = Table("cluster", "z", "M500c \\[1e14 Msun/h]", "M500c \\[1e14 Msun]", "photons")
        for row in rows[:MAX_ROWS]:
            table.add_row(*_short(row))
    console.print(table)
    if len(rows) > MAX_ROWS:
        console.print(f"... and {len(rows) - MAX_ROWS} more: choose with --index, or --json")
    for line in found["warnings"]:
        console.print(f"[bold yellow]Mind:[/] {line}", highlight=False, soft_wrap=True)
    console.print("It assumes:")
    for line in found["assumptions"]:
        console.print(f" - {line}", highlight=False, soft_wrap=True)


def _interval(mass: dict[str, float]) -> str:
    return f"{mass['median']:.2f} ({mass['p16']:.2f} to {mass['p84']:.2f})"


def _one(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the lines of the table of one cluster."""
    if "ra" in row:
        yield "position", f"RA {row['ra']:.4f} Dec {row['dec']:+.4f} deg"
    yield "redshift", f"{row['redshift']:.4g}"
    yield "M500c, 16-84 per cent", f"{_interval(row['m500c_1e14_msun_h'])} 1e14 Msun/h"
    yield "", f"{_interval(row['m500c_1e14_msun'])} 1e14 Msun"
    wide = row["m500c_1e14_msun_h"]
    yield (
        "2.5-97.5 per cent, mean",
        (f"{wide['p2.5']:.2f} to {wide['p97.5']:.2f}, mean {wide['mean']:.2f} 1e14 Msun/h"),
    )
    yield (
        "error of ln M",
        f"{row['ln_m500c_std']:.2f} (model {row['ln_m500c_std_within']:.2f}, "
        f"between fold models {row['ln_m500c_std_between']:.2f})",
    )
    if row["out_of_domain"] is not None:
        flag = "flagged" if row["flagged"] else "like the training set"
        yield "out of domain", f"{row['out_of_domain']:.2f}, {flag} (flagged above 1)"
    if "m500c" in row:
        yield "true M500c", f"{row['m500c'] / 1e14:.2f} 1e14 Msun/h"
    yield (
        "R500c",
        f"{row['r500c_mpc_h_comoving']:.2f} comoving Mpc/h, {row['r500c_arcmin']:.2f} arcmin",
    )
    photons = f"{row['photons']:,} in the map, {row['photons_0.5_mpc_h']:,} within 0.5 Mpc/h"
    yield "photons, all sources", photons
    yield "exposure, at most", f"{row['exposure_s']:,.0f} s"
    if "visible_fraction" in row:
        yield "exposure within 0.5 Mpc/h", f"{row['exposure_aperture_s']:,.0f} s"
        yield (
            "visible",
            f"{row['visible_fraction']:.1%} within 0.5 Mpc/h, "
            f"{row['visible_fraction_map']:.1%} of the map",
        )
    if "nh" in row:
        yield "Galactic N_H", f"{row['nh']:g}e20 cm^-2"


def _short(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{row['cluster']}{' (flagged)' if row['flagged'] else ''}",
        f"{row['redshift']:.3f}",
        _interval(row["m500c_1e14_msun_h"]),
        _interval(row["m500c_1e14_msun"]),
        f"{row['photons']:,}",
    )
