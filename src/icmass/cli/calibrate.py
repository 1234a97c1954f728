"""`icmass calibrate`: the mass scale of a model from weak-lensing masses."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icmass.cli.options import Quiet, refuse
from icmass.cli.progress import progress
from icmass.errors import InputError

if TYPE_CHECKING:
    from icmass.calibration.model import CalibrationPriors
    from icmass.calibration.result import Calibration


def calibrate(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[MODEL] [DATA]",
            help="A model or run (default: erass-v2, bundled, and of it the member whose bands the "
            "survey has), then a survey (a Zarr store) of the clusters; of event files, what "
            "`icmass ingest esass` made.",
            show_default=False,
        ),
    ] = None,
    wl: Annotated[
        Path | None,
        typer.Option(
            "--wl",
            metavar="TABLE",
            help="Lensing masses: FITS, ECSV, CSV or VOTable with cluster (index, id or name), "
            "redshift, one of m500c_msun_h, m500c_msun, m200c_msun_h, m200c_msun (or log10_... of "
            "it), and ln_error, or errors up and down.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="CAL", help="Folder of the calibration, new.")
    ] = None,
    wl_cosmology: Annotated[
        str | None,
        typer.Option(
            metavar="h=H,om0=OM",
            help="Cosmology of the lensing masses; default: the survey's.",
        ),
    ] = None,
    concentration: Annotated[
        str, typer.Option(help="By which M200c becomes M500c: diemer19 or duffy08.")
    ] = "diemer19",
    wl_bias: Annotated[
        str | None,
        typer.Option(
            metavar="MEAN,STD", help="Mean of ln M_wl - ln M and its error; default 0,0.056."
        ),
    ] = None,
    wl_scatter: Annotated[
        str | None,
        typer.Option(
            metavar="MEAN,STD",
            help="Intrinsic scatter of ln M_wl beside the table's errors; default 0.21,0.04.",
        ),
    ] = None,
    selection: Annotated[
        Path | None,
        typer.Option(
            metavar="TABLE",
            help="p(in the sample) by `icmass selection`; default: a turn-on of unknown mass and "
            "width.",
        ),
    ] = None,
    population: Annotated[
        str,
        typer.Option(
            help="Masses before the selection: mass-function (or mass-function:om0=0.3,...), or "
            "training: as the model's training survey has them, for mocks made like it."
        ),
    ] = "mass-function",
    blind: Annotated[
        bool, typer.Option("--blind", help="Hide an offset of the amplitude until --reveal.")
    ] = False,
    reveal: Annotated[
        Path | None,
        typer.Option(metavar="CAL", help="Reveal the amplitude of a blinded calibration."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the chains.")] = 0,
    max_steps: Annotated[int, typer.Option(min=100, help="Steps of the chains at most.")] = 5000,
    model_name: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="Which model of a run or family; default: its best network, or the member whose "
            "bands the survey has. Without MODEL a bundled name.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    quiet: Quiet = False,
) -> None:
    """Calibrate the mass scale of a model on clusters with weak-lensing masses.

    Fits ln M of the model = ln M + A + B ln(M / M_p) + C ln((1 + z) / (1 + z_p)), and by which
    factor its widths are wrong. `icmass predict --calibration CAL` applies it.
    """
    if reveal is not None:
        given: dict[str, object] = {"DATA": inputs, "--wl": wl, "--out": out}
        given |= {"--selection": selection, "--blind": blind or None}
        refuse(given, "goes without --reveal")
        from icmass.calibration.result import reveal_calibration
        from icmass.report.mass_scale import draw_calibration

        found = reveal_calibration(reveal)
        draw_calibration(found, reveal)
        _print(found, reveal, as_json)
        return
    import icmass

    if wl is None or out is None:
        raise InputError("is missing", field="--wl" if wl is None else "--out",
                         hint="give --wl TABLE --out CAL")  # fmt: skip
    model, survey = _model_and_survey(inputs or [])
    with progress("steps", quiet=quiet or as_json) as report:
        found = icmass.calibrate(
            survey,
            wl,
            model=model,
            out=out,
            name=model_name,
            selection=selection,
            population=population,
            wl_cosmology=wl_cosmology,
            concentration=concentration,
            priors=_priors(wl_bias, wl_scatter),
            blind=blind,
            seed=seed,
            max_steps=max_steps,
            device=device,
            progress=report,
        )
    _print(found, out, as_json)


def _model_and_survey(given: list[Path]) -> tuple[Path | None, Path]:
    from icmass.survey.catalog import is_store

    if not 1 <= len(given) <= 2:
        hint = "give a survey, or a model and a survey"
        raise InputError(f"{len(given)} inputs", field="DATA", hint=hint)
    if given[-1].is_file() and not is_store(given[-1]):
        hint = "make a survey of it first: icmass ingest esass"
        raise InputError("is no survey", file=given[-1], field="DATA", hint=hint)
    return (given[0] if len(given) == 2 else None), given[-1]


def _priors(bias: str | None, scatter: str | None) -> CalibrationPriors:
    from icmass.calibration.model import CalibrationPriors

    given: dict[str, Any] = {}
    if bias is not None:
        given["lensing_bias"] = _pair(bias, "--wl-bias")
    if scatter is not None:
        given["lensing_scatter"] = _pair(scatter, "--wl-scatter")
        if given["lensing_scatter"][0] < 0:
            raise InputError(f"is {scatter}", field="--wl-scatter", hint="give 0 or more")
    return CalibrationPriors(**given)


def _pair(text: str, option: str) -> tuple[float, float]:
    import math

    try:
        mean, std = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{text!r} is no pair", field=option, hint="write 0,0.02") from None
    if not (math.isfinite(mean) and math.isfinite(std) and abs(mean) < 2 and 0 <= std < 2):
        raise InputError(f"is {text}", field=option, hint="write 0,0.02")
    return mean, std


def _print(found: Calibration, folder: Path, as_json: bool) -> None:
    document = found.document
    if as_json:
        typer.echo(json.dumps(document, indent=1))
        return
    total, bias = document["amplitude_total"], document["lensing"]["bias"]["std"]
    pivot, convergence = document["pivot"], document["convergence"]
    model, lines = document.get("model") or {}, []
    if "member" in model:
        said = f"{model['member']} of the family {model['family']}: {model['chosen_because']}"
        lines.append(said)
    lines += [
        f"{folder}: {document['n']} clusters with lensing masses; pivot "
        f"{pivot['m500c_1e14_msun_h']:.2f}e14 Msun/h, redshift {pivot['redshift']:.3f}",
        f"amplitude A    {_value(document['amplitude'])} (statistical) +- {bias:.3f} (lensing "
        f"bias), in all +- {total['std']:.3f}" + (" BLINDED" if document["blinded"] else ""),
        f"slope B        {_value(document['slope'])}",
        f"evolution C    {_value(document['evolution'])}",
        f"scatter sigma  {_value(document['scatter'])} times the model's own widths",
        f"chains: {convergence['steps']} steps of {convergence['walkers']} walkers, "
        f"{convergence['autocorrelation_time']:.0f} of autocorrelation, R-hat "
        f"{convergence['rhat']:.3f}",
        "p-values: "
        + ", ".join(f"{name} {p:.2f}" for name, p in document["checks"]["p_values"].items()),
    ]
    for line in lines:
        typer.echo(line)
    for warning in document["warnings"]:
        print(f"icmass: mind: {warning}", file=sys.stderr)


def _value(of: dict[str, float]) -> str:
    return f"{of['median']:+.3f} +- {of['std']:.3f}"
