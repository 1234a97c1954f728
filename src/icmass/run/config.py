"""``config.json`` and ``scaling.json`` of a run: what it was started with, and its proxies."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from icmass.run.document import Document, Number
from icmass.survey.whole import WHOLE

COMPARED = (
    *("survey_attrs", "n_clusters", "survey_digest", "models", "folds", "fold_limit", "seed"),
    "max_epochs",
)
"""What a resumed run must share with the run that it continues."""


class RunConfig(Document):
    """What a run was started with; None where an older file does not tell.

    Attributes
    ----------
    survey : str
        Path of the survey.
    survey_attrs : dict
        Attributes of the survey.
    survey_digest : str
        Fingerprint of its clusters, see `survey_digest`.
    fold_limit : dict
        How many folds estimators are fitted on, by name, if not all.
    """

    survey: str | None = None
    survey_attrs: dict[str, Any] = Field(default_factory=dict)
    n_clusters: int | None = None
    survey_digest: str | None = None
    models: list[str] = Field(default_factory=list)
    folds: int | None = None
    fold_limit: dict[str, int] = Field(default_factory=dict)
    seed: int | None = None
    device: str | None = None
    max_epochs: int | None = None
    command: str | None = None
    versions: dict[str, str] = Field(default_factory=dict)

    def first_difference(self, other: RunConfig) -> str | None:
        """Return the first of `COMPARED` in which another run differs, if any."""
        ours, theirs = self.model_dump(), other.model_dump()
        for each in (ours, theirs):
            each["survey_attrs"].pop(WHOLE, None)  # of the store alone; older runs have it
        return next((key for key in COMPARED if ours[key] != theirs[key]), None)


class FoldedRunConfig(RunConfig):
    """What a run was started with, if it tells which clusters are in which fold."""

    survey_digest: str
    folds: int


class Scaling(Document):
    """Relations of a survey's proxies, see `icmass.proxies.summary.scaling_summary`.

    Attributes
    ----------
    names : list of str
        The k proxies; none where there is a `problem`.
    relations : list of dict
        Fields of `icmass.proxies.summary.ScalingRelation`.
    sigma, sigma_error : dict
        Scatter of ln M500c at fixed proxy by name.
    correlation, correlation_error : list of list of float or None
        Of the residuals at fixed mass, k x k.
    """

    names: list[str]
    relations: list[dict[str, Any]] = Field(default_factory=list)
    sigma: dict[str, Number] = Field(default_factory=dict)
    sigma_error: dict[str, Number] = Field(default_factory=dict)
    correlation: list[list[Number]] = Field(default_factory=list)
    correlation_error: list[list[Number]] = Field(default_factory=list)
    snapshots: list[dict[str, Any]] = Field(default_factory=list)
    problem: str | None = None

    @model_validator(mode="after")
    def _square(self) -> Self:
        if {len(self.names)} != {len(self.correlation), *map(len, self.correlation)}:
            raise ValueError("correlation is not a square of as many rows as names")
        return self
