"""Mass scatter and residual correlations of the proxies beside those of Ho et al. (2023)."""

from __future__ import annotations

import numpy as np
import xarray as xr

from icmass.proxies.names import available, kind_of, parse_names
from icmass.proxies.published import CORRELATION, SIGMA_LNM, SOURCE
from icmass.proxies.scaling import ScalingFit
from icmass.proxies.summary import ProxyTable, half_width
from icmass.survey.catalog import survey_config
from icmass.validation.check import Check, Findings, Target

TOLERANCE = {"ideal": 0.10, "observed": 0.10, "combination": 0.25}
CORRELATION_TOLERANCE = 0.2
COUNTS_TOLERANCE = 0.1
"""Of the correlations of photon counts with gas mass."""
IDEAL_PHOTONS = "published for ideal photons without a background: preset phox"
NOT_HELD = "not in this survey"
DETECTED = "published for all halos above a mass; this survey holds those that were detected"


def is_detected(survey: xr.Dataset) -> bool:
    """Return whether the clusters were chosen by their photons: at fixed mass, the bright ones."""
    return survey_config(survey).get("detection") is not None


def proxy_findings(survey: xr.Dataset, rng: np.random.Generator, n_draws: int = 100) -> Findings:
    """Compare scatters (published method, in sample) and correlations (snapshots pooled).

    Photon counts are compared in the preset ``phox`` alone, the others in any.
    """
    findings = Findings()
    present = set(available(survey))
    ideal_photons = survey.attrs.get("preset") == "phox"

    detected = is_detected(survey)

    def comparable(names: tuple[str, ...], row: str) -> bool:
        missing = [name for name in names if name not in present]
        if detected:
            findings.leave_out(DETECTED, [row])
        elif missing:
            findings.leave_out(NOT_HELD, [f"{row} (needs {', '.join(missing)})"])
        elif not ideal_photons and any(name.startswith("N_phot") for name in names):
            findings.leave_out(IDEAL_PHOTONS, [row])
        else:
            return True
        return False

    sets = [parse_names(name) for name in SIGMA_LNM if not name.startswith(("paper-", "icm-"))]
    sets = [names for names in sets if comparable(names, _row(names))]
    pairs = [parse_names("+".join(pair)) for pair in CORRELATION]
    pairs = [pair for pair in pairs if comparable(pair, _pair_row(pair))]
    if not sets and not pairs:
        return findings
    used = parse_names("+".join({name for names in (*sets, *pairs) for name in names}))
    table = ProxyTable.of(survey, used)
    best, draws = table.fit(), table.bootstrap(rng, n_draws)
    findings.checks += [_scatter_check(names, best, draws) for names in sets]
    findings.checks += [_correlation_check(pair, best, draws) for pair in pairs]
    return findings


def _row(names: tuple[str, ...]) -> str:
    return f"scatter {'+'.join(names)}"


def _pair_row(pair: tuple[str, ...]) -> str:
    return f"correlation {' with '.join(pair)}"


def _scatter_check(names: tuple[str, ...], best: ScalingFit, draws: list[ScalingFit]) -> Check:
    group = kind_of(names) if len(names) == 1 else "combination"
    published = SIGMA_LNM["+".join(names)]
    return Check(
        group=group,
        name=_row(names),
        value=best.sigma(names),
        target=Target(published, TOLERANCE[group], "relative", SOURCE),
        n=sum(g.n for g in best.groups),
        unit="of ln M500c",
        error=half_width([draw.sigma(names) for draw in draws]),
    )


def _correlation_check(pair: tuple[str, ...], best: ScalingFit, draws: list[ScalingFit]) -> Check:
    at = tuple(best.names.index(name) for name in pair)
    of_gas = "M_gas" in pair and any(name.startswith("N_phot") for name in pair)
    return Check(
        group="correlation",
        name=_pair_row(pair),
        value=float(best.correlation[at]),
        target=Target(
            CORRELATION[frozenset(pair)],
            COUNTS_TOLERANCE if of_gas else CORRELATION_TOLERANCE,
            "absolute",
            f"{SOURCE}; read off the figure at z = 0.174 to about 0.1",
        ),
        n=sum(g.n for g in best.groups),
        error=half_width([float(draw.correlation[at]) for draw in draws]),
    )
