"""`icmass predict`: masses of clusters in a survey, in event files or in FITS images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icmass.cli import options
from icmass.cli.interruption import resumable, unfinished
from icmass.cli.options import Option, refuse
from icmass.cli.progress import stages
from icmass.errors import InputError
from icmass.files import as_paths

if TYPE_CHECKING:
    from icmass.inference.masses import Masses

Inputs = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[MODEL_OR_RUN] [INPUT]...",
        help="A run's folder, a saved model's, or a bundled model or family (default: erass-v2); "
        "then a survey (a Zarr store), or eSASS event files; or none with --images.",
        show_default=False,
    ),
]
Images = Annotated[
    list[Path] | None,
    Option(metavar="IMG...", help="FITS counts images, one a band (after any MODEL_OR_RUN)."),
]
Expmap = Annotated[
    list[Path] | None,
    Option(metavar="MAP...", help="Exposure maps; of images, one for all or one an image."),
]
ImageBands = Annotated[
    str | None,
    Option(
        metavar="LO-HI,...",
        help="Bands of the images in keV; default: of header (EMIN1, EMAX1) or file name.",
    ),
]
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
ModelName = Annotated[
    str | None,
    Option(
        "--model",
        help="Which model of a run or family; default: its best network, or the member whose "
        "bands the input has. Without MODEL_OR_RUN a bundled name.",
    ),
]
Store = Annotated[
    Path | None,
    Option(
        metavar="X.zarr",
        help="Keep the survey that is made of event files, by which --resume goes on.",
    ),
]
Name = Annotated[str | None, Option(help="What to call the cluster.")]
Catalogue = Annotated[
    Path | None,
    Option(
        metavar="TABLE",
        help="In place of photons a table of sources: count rates, extent, exposure, redshift.",
    ),
]
ColumnMap = Annotated[
    str | None,
    Option(
        metavar="WHAT=NAME,...",
        help="Columns of --catalogue that are called otherwise: rate=CR500,redshift=Z.",
    ),
]
Index = Annotated[
    list[str] | None,
    Option(metavar="I...", help="Clusters of the survey: 3, or 0-9; default: all."),
]
Device = Annotated[str, Option(help="auto, cpu or cuda.")]
Out = Annotated[
    Path | None,
    Option(
        metavar="TABLE",
        help="Write the masses as a table too: .fits, .ecsv or .vot (of --catalogue .csv, .json).",
    ),
]
CalibrationFolder = Annotated[
    Path | None,
    Option(
        "--calibration",
        metavar="CAL",
        help="Masses on the scale of a calibration (`icmass calibrate`), its error in theirs.",
    ),
]
Likelihood = Annotated[
    Path | None,
    Option(
        metavar="FILE.fits",
        help="Write p(x | ln M) of each cluster, the prior divided out, for number counts.",
    ),
]
Pictures = Annotated[
    Path | None,
    Option(
        metavar="DIR",
        help="Draw each cluster: bands, mask, R500c, posterior; index.html shows all.",
    ),
]
Attribution = Annotated[
    bool, Option("--attribution", help="Draw in --pictures which photons carry the mass.")
]
Overwrite = Annotated[
    bool, Option("--overwrite", help="Replace the files of --out and --likelihood.")
]
AsJson = Annotated[bool, Option("--json", help="Print one JSON document.")]


def predict(
    inputs: Inputs = None,
    catalogue: Catalogue = None,
    columns: ColumnMap = None,
    images: Images = None,
    expmap: Expmap = None,
    expmap_kind: options.ExpmapKind = None,
    exposure: options.Exposure = None,
    novig: options.Novig = None,
    background: options.Background = None,
    mask: options.Mask = None,
    regions: options.Regions = None,
    skip_bad_regions: options.SkipBadRegions = False,
    sources: options.Sources = None,
    ra: options.Ra = None,
    dec: options.Dec = None,
    redshift: options.Redshift = None,
    table: options.TableFile = None,
    cluster_name: Name = None,
    image_bands: ImageBands = None,
    nh: options.Nh = None,
    min_visible: options.MinVisible = 0.5,
    flag: options.Flag = None,
    pattern: options.Pattern = None,
    modules: options.Modules = None,
    light_leak: options.LightLeakOption = "exclude",
    gti: options.Gti = True,
    instrument: options.Instrument = None,
    seed: Seed = 0,
    model_name: ModelName = None,
    index: Index = None,
    device: Device = "auto",
    workers: options.Workers = 1,
    scheduler: options.Scheduler = None,
    store: Store = None,
    resume: options.Resume = False,
    prior_text: PriorText = "training",
    calibration: CalibrationFolder = None,
    likelihood: Likelihood = None,
    samples: Samples = None,
    out: Out = None,
    overwrite: Overwrite = False,
    pictures: Pictures = None,
    attribution: Attribution = False,
    as_json: AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Predict M500c of the clusters of a survey, of event files, or of images of one cluster.

    A batch goes on past a file or a cluster that cannot be used, and lists it at the end.
    """
    from icmass.cli.predict_table import check_outputs, print_prediction, write_outputs
    from icmass.inference.given import kind_of, refuse_what_does_not_go
    from icmass.inference.predict import load_model
    from icmass.inference.predict import predict as predict_masses
    from icmass.survey.observed.reading import read_files
    from icmass.survey.writers.files import check_folder

    if catalogue is not None:
        return _of_catalogue(dict(locals()))
    refuse({"--columns": columns}, "goes with --catalogue")
    how = options.event_options(locals())
    model, files = _model_and_inputs(inputs or [], bool(images))
    if model is not None and not files and not images:
        raise _no_input(model)
    given: dict[str, Any] = {"ra": ra, "dec": dec, "redshift": redshift, "table": table}
    given |= {"nh": nh, "index": index}
    given |= {"name": cluster_name, "image_bands": image_bands, "store": store, **how}
    given |= {"scheduler": scheduler, "resume": resume, "workers": workers}
    refuse_what_does_not_go(kind_of(files or None, images or None), given)
    read = [*files, *(images or ()), *as_paths(table), *read_files(how)]
    check_outputs(samples, out, likelihood, read, overwrite=overwrite, as_json=as_json)
    if pictures is not None:
        check_folder(pictures, "--pictures")
    elif attribution:
        raise InputError("draws in --pictures", field="--attribution", hint="give --pictures DIR")
    kept = None if store is None else unfinished(store)
    with resumable(kept, store), stages(quiet=quiet or as_json) as report:
        masses = predict_masses(
            files or None,
            model=load_model(model, name=model_name, device=device),
            ra=ra,
            dec=dec,
            redshift=redshift,
            table=table,
            name=cluster_name,
            nh=nh,
            index=options.parse_indices(index) if index else None,
            prior=prior_text,
            calibration=calibration,
            images=images or None,
            image_bands=image_bands,
            samples=samples,
            seed=seed,
            store=store,
            workers=workers,
            scheduler=scheduler,
            resume=resume,
            progress=report,
            notes=options.say,
            **how,
        )
    write_outputs(masses, out, likelihood, overwrite=overwrite)
    if pictures is not None:
        _draw(masses, pictures, attribution)
    if as_json:
        typer.echo(masses.to_json())
    else:
        print_prediction(masses.document)
    _report_failed(masses)


_OF_CATALOGUE = (
    "catalogue", "columns", "inputs", "model_name", "nh", "samples", "seed", "out", "overwrite",
    "likelihood", "as_json",
)  # fmt: skip


def _of_catalogue(given: dict[str, Any]) -> None:
    """Predict the rows of a catalogue, and refuse what goes with photons."""
    from icmass.cli.predict_catalogue import predict_rows

    aliases = {"novig": "expmap-novig", "cluster_name": "name"}
    others: tuple[str, ...] = (
        "images",
        "expmap",
        "expmap_kind",
        "exposure",
        "novig",
        "background",
        "mask",
        "regions",
    )
    others += ("sources", "ra", "dec", "redshift", "table", "cluster_name", "image_bands", "flag")
    others += ("pattern", "modules", "instrument", "index", "scheduler", "store", "calibration")
    others += ("pictures",)
    named = {f"--{aliases.get(name, name).replace('_', '-')}": given[name] for name in others}
    refuse(named, "does not go with --catalogue")
    taken = {name: given[name] for name in _OF_CATALOGUE}
    taken["inputs"] = taken["inputs"] or []
    predict_rows(**taken, prior=given["prior_text"])


def _model_and_inputs(given: list[Path], images: bool) -> tuple[Path | None, list[Path]]:
    """Tell the model from the inputs: a folder that is no store, or what is no file at all."""
    from icmass.survey.catalog import is_store

    if not given:
        return None, []
    first = given[0]
    is_input = is_store(first) or first.is_file()
    if is_input or (len(given) == 1 and not images and _looks_like_events(first)):
        return None, given
    return first, given[1:]


def _looks_like_events(path: Path) -> bool:
    return bool({".fits", ".fit", ".evt"} & {suffix.lower() for suffix in path.suffixes})


def _no_input(model: Path) -> InputError:
    what = "give one survey, event files, or --images"
    folder = f"; event files in a folder as {model}/*.fits" if model.is_dir() else ""
    why = "is taken for a model, and no input follows"
    return InputError(why, file=model, field="input", hint=what + folder)


def _draw(masses: Masses, folder: Path, attribution: bool) -> None:
    from icmass.report.cluster_picture import draw_clusters
    from icmass.report.explorer.of_masses import write_masses

    if masses.prediction is None or masses.survey is None:
        return
    carried = None
    if attribution:
        from icmass.explanation.cluster import attribute_clusters

        carried = attribute_clusters(masses.ensemble, masses.survey, masses.rows)
    rows = list(masses)
    drawn = draw_clusters(masses.survey, rows, masses.prediction, folder, attribution=carried)
    for path in drawn:
        options.say(str(path))
    if (page := write_masses(masses, folder, attribution=carried)) is not None:
        options.say(str(page))


def _report_failed(masses: Masses) -> None:
    """List the clusters without a mass, one line each; exit with 2 if there is none with one."""
    for name, error in masses.failed.items():
        options.say(f"cluster {name}: {error.command_line}")
    if masses.failed and not len(masses):
        raise InputError(f"none of the {len(masses.failed)} clusters could be used", field="input")
