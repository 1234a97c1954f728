"""A model's mass scale from weak-lensing masses, by one call."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from pydantic import ValidationError

from icmass.calibration.blinding import Seal
from icmass.calibration.checks import posterior_checks
from icmass.calibration.lensing_table import LensingMasses, read_lensing_table
from icmass.calibration.model import CalibrationData, CalibrationModel, CalibrationPriors
from icmass.calibration.population_prior import log_population
from icmass.calibration.result import Calibration, check_new_folder
from icmass.calibration.sampler import Sampling, sample_posterior
from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.inference.ensemble import Ensemble
from icmass.inference.family import Model, chosen_for_survey
from icmass.inference.likelihood import model_facts, predict_likelihood, training_prior
from icmass.inference.predict import load_model
from icmass.io.memory_table import Tabular, as_table, table_facts
from icmass.survey.catalog import open_survey, survey_cosmology
from icmass.survey.selection_function import SelectionFunction

_FEWEST = 5
_EDGE = 2.0  # widths from the end of the masses trained on within which x is not free


def calibrate(
    survey: str | Path | xr.Dataset,
    wl: Tabular,
    *,
    model: Model | str | Path | None = None,
    out: str | Path | None = None,
    name: str | None = None,
    selection: SelectionFunction | str | Path | None = None,
    population: str = "mass-function",
    wl_cosmology: str | Cosmology | None = None,
    concentration: str = "diemer19",
    priors: CalibrationPriors | None = None,
    blind: bool = False,
    seed: int = 0,
    max_steps: int = Sampling.max_steps,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Calibration:
    """Calibrate a model's mass scale on clusters with weak-lensing masses.

    Parameters
    ----------
    survey : path or Dataset
        The clusters: a survey, of real data too (`icmass.ingest`).
    wl : path or TableLike
        Table of lensing masses, of a file, or an astropy Table, a pandas DataFrame or a structured
        NumPy array; see `icmass.calibration.lensing_table.read_lensing_table`.
    model : Ensemble, ModelFamily, str or path, optional
        What `load_model` returned or takes; default: the family ``"erass-v2"``. Of a family the
        member whose bands the survey has is calibrated, and is what the calibration is of.
    out : path, optional
        Folder to keep it in, new; needed with `blind`.
    name : str, optional
        Which model of a run or family; default: its best network, or the member for the survey.
    selection : SelectionFunction or path, optional
        The probability that a halo is in the sample; default: a turn-on of unknown mass and width.
    population : str
        Distribution of the masses before the selection: ``"mass-function"``, with changes of the
        cosmology as in `predict`'s prior, or ``"training"``: as the model's training survey has
        them, for mocks made like it.
    wl_cosmology : str or Cosmology, optional
        That the lensing masses were measured in, ``"h=0.7,om0=0.3"``; default: the survey's.
    concentration : {"diemer19", "duffy08"}
        Concentrations by which M200c becomes M500c.
    priors : CalibrationPriors, optional
        Of the parameters, bias and scatter of the lensing among them.
    blind : bool
        Hide an offset of the amplitude, until `icmass calibrate --reveal`.
    seed : int
        Of the chains.
    max_steps : int
        Steps of the chains at most.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    progress : callable, optional
        Called with the steps done and at most.

    Raises
    ------
    InputError
        If what was given cannot be used.
    """
    wl = as_table(wl, "--wl")
    if out is not None:
        check_new_folder(out)
    elif blind:
        raise InputError("needs a folder for what is sealed", field="--blind", hint="give --out")
    store = survey if isinstance(survey, xr.Dataset) else open_survey(Path(survey))
    fitted_model = (
        model if isinstance(model, Model) else load_model(model, name=name, device=device)
    )
    ensemble, store = chosen_for_survey(fitted_model, store)
    cosmology = survey_cosmology(store)
    lensing = read_lensing_table(
        wl, _of_lensing(wl_cosmology, cosmology), concentration=concentration
    )
    data, labels, rows, failed = _predicted(ensemble, store, lensing)
    function = SelectionFunction.read(selection) if isinstance(selection, str | Path) else selection
    of_mass = log_population(
        population,
        store,
        rows,
        cosmology,
        training=training_prior(ensemble, data.redshift),
        selection=function,
    )
    fitted = CalibrationModel(data, of_mass.log_density, priors or CalibrationPriors(),
                              of_mass.free_turn_on)  # fmt: skip
    chains = sample_posterior(
        fitted, seed=seed, sampling=Sampling(max_steps=max_steps), progress=progress
    )
    checks = posterior_checks(fitted, chains.draws, seed=seed)
    facts = {
        "model": model_facts(ensemble),
        "table": table_facts(wl) | {"is": lensing.about},
        "cosmology": cosmology.model_dump(),
        "population": {"kind": population, "is": of_mass.about},
        "failed": [{"id": key, "why": error.command_line} for key, error in failed.items()],
        "checks": checks,
        "warnings": _warnings(ensemble, data, chains.convergence, checks, failed),
    }
    seal = Seal.new() if blind else None
    found = Calibration.of(
        fitted, chains, labels, facts, seed=seed, offset=seal.offset if seal else 0.0
    )
    if seal is not None:
        found.document.update({"blinded": True, "commitment": seal.commitment})
    if out is not None:
        _save(found, Path(out), seal)
    return found


def _save(found: Calibration, out: Path, seal: Seal | None) -> None:
    from icmass.report.mass_scale import draw_calibration

    found.save(out, seal)
    draw_calibration(found, out)


def _of_lensing(given: str | Cosmology | None, survey: Cosmology) -> Cosmology:
    """Return the cosmology of the lensing masses."""
    if given is None or isinstance(given, Cosmology):
        return given or survey
    fields: dict[str, Any] = survey.model_dump()
    for part in given.split(","):
        key, _, value = part.strip().partition("=")
        if key not in fields:
            known = ", ".join(fields)
            what = f"{part!r} is no key=value"
            raise InputError(what, field="--wl-cosmology", hint=f"keys: {known}")
        fields[key] = value
    try:
        return Cosmology.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = f"--wl-cosmology, {'.'.join(map(str, first['loc']))}"
        raise InputError(f"{first['msg']} (given {first['input']!r})", field=where) from None


def _predicted(
    ensemble: Ensemble, survey: xr.Dataset, lensing: LensingMasses
) -> tuple[CalibrationData, tuple[str, ...], np.ndarray, dict[str, InputError]]:
    """Return both masses of the clusters that have both, their names and rows."""
    names = json.loads(survey.attrs.get("names", "[]"))
    index = lensing.match(names, survey["redshift"].values)
    found = predict_likelihood(ensemble, survey, index)
    if len(found.rows) < _FEWEST:
        what = f"{len(found.rows)} clusters have both masses"
        raise InputError(what, file=lensing.file, hint=f"give {_FEWEST} or more")
    place = {int(i): k for k, i in enumerate(index)}
    of_table = np.array([place[int(i)] for i in found.rows])
    low, high = found.prediction.interval(0.6827)
    data = CalibrationData(
        found.prediction.median,
        (high - low) / 2,
        lensing.ln_mass[of_table],
        lensing.ln_error[of_table],
        survey["redshift"].isel(cluster=found.rows).values.astype(float),
    )
    labels = tuple(lensing.cluster[k] for k in of_table)
    return data, labels, found.rows, found.failed


def _warnings(
    ensemble: Ensemble,
    data: CalibrationData,
    convergence: dict[str, Any],
    checks: dict[str, Any],
    failed: dict[str, InputError],
) -> list[str]:
    """Return what makes a scale doubtful."""
    found = []
    if not convergence["converged"]:
        found.append(
            f"The chains have not converged after {convergence['steps']} steps (autocorrelation "
            f"time {convergence['autocorrelation_time']:.0f}, R-hat {convergence['rhat']:.3f}): "
            "give more --max-steps."
        )
    if checks["doubtful"]:
        found.append(f"The model does not make data like these: {', '.join(checks['doubtful'])}.")
    low, high = np.log(ensemble.training.mass_range)
    edge = (data.x - _EDGE * data.x_error < low) | (data.x + _EDGE * data.x_error > high)
    if edge.mean() > 0.1:
        found.append(
            f"{edge.sum()} of {len(edge)} clusters are within {_EDGE:g} widths of the end of the "
            "masses trained on, where the model's masses are drawn inwards."
        )
    if failed:
        found.append(f"{len(failed)} clusters of the table have no mass by the model.")
    return found
