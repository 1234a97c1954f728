"""Every check of a mock survey, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from icmass.errors import InputError
from icmass.validation.catalogue import catalogue_findings
from icmass.validation.check import GROUPS, Check, Verdict
from icmass.validation.field import field_findings
from icmass.validation.gas_statistics import gas_findings
from icmass.validation.image_maps import ImageSample, simulated_images
from icmass.validation.images import OBSERVED_GAS, image_findings
from icmass.validation.memory import memory_findings
from icmass.validation.morphology import MAGNETICUM_GAS, morphology_findings
from icmass.validation.photons import photon_findings
from icmass.validation.proxies import proxy_findings
from icmass.validation.rate_relation import rate_findings
from icmass.validation.relations import is_observed, relation_findings
from icmass.validation.response import response_findings

MIN_CLUSTERS = 100


@dataclass(frozen=True)
class Validation:
    """What was found of a survey.

    Attributes
    ----------
    survey : dict
        ``preset``, ``n_clusters``, ``seed``, ``version``.
    checks : list of Check
        In the order of `GROUPS`.
    absent : dict of str to list of str
        Rows that this survey cannot tell, by the reason.
    verdict : Verdict
    images : ImageSample or str
        Statistics of images of some clusters, for the figures; the reason where there are none.
    """

    survey: dict[str, Any]
    checks: list[Check]
    absent: dict[str, list[str]]
    verdict: Verdict
    images: ImageSample | str = "no images were made"

    def document(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "survey": self.survey,
            "verdict": self.verdict.document(),
            "checks": [check.document() for check in self.checks],
            "absent": self.absent,
        }


def validate(survey: xr.Dataset, seed: int = 0) -> Validation:
    """Compare a simulated survey with the published catalogue and the measured telescope.

    Parameters
    ----------
    survey : Dataset
        As opened by `icmass.survey.catalog.open_survey`; a simulated one, with true masses.
    seed : int
        Of the bootstrap.

    Raises
    ------
    InputError
        If the survey has no true masses or fewer than 100 clusters.
    """
    n = survey.sizes["cluster"]
    if "m500c" not in survey or "cosmology" not in survey.attrs:
        raise InputError(
            "is missing: without true masses nothing can be compared",
            field="variable m500c",
            hint="give a survey made by `icmass simulate`",
        )
    if n < MIN_CLUSTERS:
        raise InputError(
            f"{n} clusters are too few to compare",
            field="dimension cluster",
            hint=f"simulate {MIN_CLUSTERS} or more (1000 tell most rows apart)",
        )
    streams = [np.random.default_rng([seed, i]) for i in range(8)]
    images = simulated_images(survey)
    observed = is_observed(survey)
    findings = [
        catalogue_findings(survey, streams[0]),
        proxy_findings(survey, streams[1]),
        relation_findings(survey, streams[2]),
        rate_findings(survey, streams[7]),
        gas_findings(survey, streams[5]),
        memory_findings(survey),
        photon_findings(survey, streams[3]),
        response_findings(survey),
        field_findings(survey),
        morphology_findings(images if observed else MAGNETICUM_GAS, streams[4]),
        image_findings(OBSERVED_GAS if observed else images, streams[6]),
    ]
    order = list(GROUPS)
    checks = sorted(
        (c for group in findings for c in group.checks), key=lambda c: order.index(c.group)
    )
    absent: dict[str, list[str]] = {}
    for group in findings:
        for reason, rows in group.absent.items():
            absent.setdefault(reason, []).extend(rows)
    attributes = {key: survey.attrs.get(key) for key in ("preset", "seed", "version")}
    attributes["n_clusters"] = n
    return Validation(attributes, checks, absent, Verdict.of(checks), images)
