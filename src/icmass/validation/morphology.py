"""Morphology of the mock's gas beside that of observed clusters."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from pydantic import ValidationError

from icmass.observe.morphology import Morphology, morphology
from icmass.observe.published_morphology import FRACTIONS, QUANTILES
from icmass.survey.catalog import survey_config
from icmass.survey.config import SurveyConfig
from icmass.survey.simulate import Simulator
from icmass.validation.check import Check, Findings, Target

N_CLUSTERS = 100
_DEEP = {"exposure_s": 1e5, "n_pixels": 256, "bands": ((0.5, 2.0),), "sky": None, "coverage": None}
_PLAIN = {"psf": False, "redistribution": False, "background": False, "agn": False}

#: Names of the statistics on the page and in the rows.
LABELS = {
    "concentration_kpc": "concentration 40/400 kpc",
    "concentration_015": "concentration 0.15 R500c",
    "centroid_shift": "centroid shift w",
    "p3_p0": "power ratio P3/P0",
}
#: Samples that the rows take: chosen by mass as nearly as any, not by X-ray brightness.
_SAMPLES = ("Planck early SZ sample, Chandra", "archive of XMM-Newton")
_FRACTION_TOLERANCE = 0.15


def deep_morphology(
    config: SurveyConfig, seed: int, n_survey: int, n_clusters: int = N_CLUSTERS
) -> dict[str, np.ndarray]:
    """Return the morphology of the gas of some clusters, as a deep, sharp exposure shows it.

    Parameters
    ----------
    config : SurveyConfig
    seed, n_survey : int
        Seed and size of the survey, whose clusters are simulated again: 100 ks without AGN,
        background and blurring, in 0.5-2 keV and 256 pixels.
    n_clusters : int
        How many, spread evenly over the survey.

    Returns
    -------
    dict of str to ndarray, shape (n,)
        The statistics of `LABELS`; P3/P0 less its noise.
    """
    deep = config.observe.model_copy(update={**_DEEP, **_PLAIN})
    simulator = Simulator(config.model_copy(update={"observe": deep}), seed)
    found: dict[str, list[float]] = {name: [] for name in LABELS}
    for cluster in np.unique(np.linspace(0, n_survey - 1, min(n_clusters, n_survey)).astype(int)):
        made = simulator.cluster(int(cluster))
        values = _statistics(made["maps"], made["r500c"], made["redshift"], config)
        for name in LABELS:
            found[name].append(float(getattr(values, name)[0]))
        found["p3_p0"][-1] -= float(values.p3_p0_noise[0])
    return {name: np.array(values) for name, values in found.items()}


def _statistics(
    maps: np.ndarray, r500c: float, redshift: float, config: SurveyConfig
) -> Morphology:
    return morphology(
        maps[0].sum(axis=0, dtype=float)[None],
        np.array([r500c]),
        half_width=config.observe.half_width_mpc_h,
        kpc_per_mpc_h=config.cosmology.kpc_per_mpc_h(np.array([redshift])),
        centre=np.zeros((1, 2)),
    )


@dataclass
class MorphologyFindings(Findings):
    """Checks of the morphology, and what they rest on.

    Attributes
    ----------
    values : dict of str to ndarray, shape (n,)
        What `deep_morphology` returned; empty where it was left out.
    """

    values: dict[str, np.ndarray] = field(default_factory=dict)


def morphology_findings(survey: xr.Dataset, rng: np.random.Generator) -> MorphologyFindings:
    """Compare concentrations, centroid shifts and power ratios with published distributions."""
    found = MorphologyFindings()
    rows = [(fraction, f"part with {LABELS[fraction.statistic]} above {fraction.threshold:g}")
            for fraction in FRACTIONS if fraction.sample in _SAMPLES]  # fmt: skip
    names = [name for _, name in rows] + [f"median {LABELS[q.statistic]}" for q in QUANTILES]
    try:
        config = SurveyConfig.model_validate(survey_config(survey))
    except ValidationError:
        found.leave_out("its configuration is not of this version", names)
        return found
    if config.detection is not None:
        found.leave_out("its clusters are detected ones, brighter than most", names)
        return found
    values = deep_morphology(config, int(survey.attrs["seed"]), survey.sizes["cluster"])
    found.values = values
    for fraction, name in rows:
        above = values[fraction.statistic] > fraction.threshold
        target = Target(fraction.fraction, _FRACTION_TOLERANCE, "absolute", fraction.source)
        error = float(np.sqrt(above.mean() * (1 - above.mean()) / len(above)))
        found.checks.append(
            Check("morphology", name, float(above.mean()), target, len(above), error=error)
        )
    for published, name in zip(QUANTILES, names[len(rows) :], strict=True):
        sample = values[published.statistic]
        spread = float(np.sqrt(published.p84 / published.p16))
        target = Target(published.median, spread, "factor", published.source)
        draws = np.median(rng.choice(sample, (200, len(sample))), axis=1)
        found.checks.append(
            Check(
                "morphology", name, float(np.median(sample)), target, len(sample),
                error=float(draws.std()),
            )
        )  # fmt: skip
    return found
