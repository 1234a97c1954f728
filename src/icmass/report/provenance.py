"""What was simulated, and the commands that make it again, as plain text."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from icmass.report.source import Run
from icmass.run.results import SurveyFacts
from icmass.survey.catalog import half_width_mpc_h

_COSMOLOGY = {"h": "h", "om0": "Ωm", "ob0": "Ωb", "sigma8": "σ8", "ns": "ns"}
_EFFECTS = {
    "psf": "point-spread function",
    "redistribution": "energy resolution",
    "background": "sky and particle background",
    "agn": "AGN",
}


def as_table(value: Any) -> dict[str, Any]:
    """Return a table, given itself or as JSON text; an empty one for anything else."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}


def survey_facts(run: Run) -> list[tuple[str, str]]:
    """Return what is known of the survey, as pairs of plain text."""
    told = _told(run)
    pairs = [("Preset", told.get("preset"))]
    pairs += _measured(run.survey) if run.survey is not None else _reported(run.results.survey)
    pairs += [("Seen with", _effects(as_table(told.get("config")).get("observe")))]
    pairs += [("Seed", told.get("seed")), ("Cosmology", _cosmology(told.get("cosmology")))]
    pairs += [("Made by", f"icmass {told['version']}" if told.get("version") else None)]
    pairs += [("Folds", f"{run.results.folds}: parts of the box; no halo is in two of them")]
    return [(name, str(value)) for name, value in pairs if value is not None]


def _told(run: Run) -> dict[str, Any]:
    """Return what the run and, over it, the survey itself say of the survey."""
    held = run.results.survey.as_json() | run.config.survey_attrs
    return held | (run.survey.attrs if run.survey is not None else {})


def _reported(told: SurveyFacts) -> list[tuple[str, str]]:
    """Return the facts that ``results.json`` keeps, for a survey that cannot be opened."""
    found = []
    if told.n_clusters is not None:
        found.append(("Clusters", f"{told.n_clusters}"))
    for values, name, unit in (
        (told.log10_m500c_msun_h, "log10 M500c", "[Msun/h]"),
        (told.redshift, "Redshift", ""),
    ):
        if values:
            found.append((name, f"{min(values):.2f} to {max(values):.2f} {unit}".strip()))
    if told.bands_kev:
        found.append(("Bands", ", ".join(told.bands_kev) + " keV"))
    if told.exposure_s is not None:
        found.append(("Exposure", f"{told.exposure_s:,.0f} s (median)"))
    return found


def _measured(survey: xr.Dataset) -> list[tuple[str, str]]:
    z = survey["redshift"].values
    found = [("Clusters", f"{survey.sizes['cluster']:,}")]
    if "m500c" in survey:
        log_m = np.log10(survey["m500c"].values)
        low, high = log_m.min(), log_m.max()
        text = f"{low:.2f} to {high:.2f} [Msun/h]"
        h = as_table(survey.attrs.get("cosmology")).get("h")
        if isinstance(h, int | float) and h > 0:
            text += f", {low - np.log10(h):.2f} to {high - np.log10(h):.2f} [Msun]"
        found.append(("log10 M500c", text))
    steps = np.unique(z.round(4)).size
    shells = f", {steps} snapshots" if 1 < steps <= 40 else ""
    found.append(("Redshift", f"{z.min():.3f} to {z.max():.3f}{shells}"))
    found.append(("Bands", ", ".join(map(str, survey["band"].values)) + " keV"))
    n, width = survey.sizes["x"], 2 * half_width_mpc_h(survey)
    found.append(("Maps", f"{n} × {n} pixels, {width:.2f} comoving Mpc/h a side"))
    exposure = survey["exposure"].values
    spread = np.ptp(exposure) > 1e-6 * exposure.max()
    text = (
        f"{exposure.min():,.0f} to {exposure.max():,.0f} s" if spread else f"{exposure[0]:,.0f} s"
    )
    return [*found, ("Exposure", text)]


def _effects(observe: Any) -> str | None:
    """Return in words what stood between the sky and the maps."""
    if not isinstance(observe, dict) or "instrument" not in observe:
        return None
    seen = [words for key, words in _EFFECTS.items() if observe.get(key) is True]
    unseen = [words for key, words in _EFFECTS.items() if observe.get(key) is False]
    text = f"{observe['instrument']}, {observe.get('vignetting', 'unknown')} effective area"
    text += f"; {', '.join(seen)}" if seen else ""
    return f"{text}; without {', '.join(unseen)}" if unseen else text


def _cosmology(value: Any) -> str | None:
    held = as_table(value)
    text = ", ".join(f"{_COSMOLOGY[key]} {held[key]}" for key in _COSMOLOGY if key in held)
    return f"flat ΛCDM: {text}" if text else None


def commands(run: Run) -> str:
    """Return the commands that make the survey, the run and this page."""
    told = _told(run)
    named = run.config.survey or run.results.survey.path
    store = Path(named).name if named else "survey.zarr"
    simulate = ["icmass", "simulate"]
    n = run.survey.sizes["cluster"] if run.survey is not None else told.get("n_clusters")
    for option, value in (("preset", told.get("preset")), ("n", n), ("seed", told.get("seed"))):
        simulate += [f"--{option}", str(value)] if value is not None else []
    folder = run.path.resolve().name
    benchmark = ["icmass", "benchmark", store, "--out", folder]
    benchmark += ["--models", ",".join(score.name for score in run.results.estimators)]
    benchmark += ["--folds", str(run.results.folds)]
    for option in ("seed", "max_epochs"):
        value = getattr(run.config, option)
        if value is not None:
            benchmark += [f"--{option.replace('_', '-')}", str(value)]
    for name, k in run.config.fold_limit.items():
        benchmark += ["--fold-limit", f"{name}={k}"]
    lines = [[*simulate, "--out", store], benchmark, ["icmass", "report", folder]]
    return "\n".join(shlex.join(line) for line in lines)


def resolved_configuration(run: Run) -> str | None:
    """Return the survey's resolved configuration as JSON text, or None."""
    held = as_table(_told(run).get("config"))
    return json.dumps(held, indent=1, ensure_ascii=False) if held else None


def made_on(run: Run) -> list[tuple[str, str]]:
    """Return the machine and the versions of the run, as pairs of plain text."""
    machine, versions = run.results.machine, run.results.versions
    parts = [machine.system, f"{machine.cores} cores" if machine.cores else None]
    parts += [f"networks on {machine.device}" if machine.device else None]
    seconds = sum(score.train_seconds or 0 for score in run.results.estimators)
    return [
        pair
        for pair in (
            ("Machine", ", ".join(str(part) for part in parts if part)),
            ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
            (
                "Fitting took",
                f"{seconds:,.{0 if seconds > 10 else 1}f} s, all estimators and folds"
                if seconds
                else "",
            ),
        )
        if pair[1]
    ]
