"""``results.json``: what was surveyed, and the scores of every estimator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

from pydantic import (
    Field,
    NonNegativeInt,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from icmass.run.document import Document, Number
from icmass.run.explanation import ExplanationSummary

Group = Literal["ideal", "observed", "combination", "features", "network"]
GROUPS: dict[Group, str] = {
    "ideal": "ideal proxies",
    "observed": "observed proxies",
    "combination": "combinations",
    "features": "map features",
    "network": "networks",
}
"""Groups of estimators in the order of the tables, with their headings."""


class Calibration(Document):
    """How an estimator's posteriors did, see `icmass.benchmarking.calibration.calibration`."""

    levels: list[float] = Field(min_length=2)
    coverage: list[float]
    pit_histogram: list[NonNegativeInt] = Field(min_length=2)
    pit_ks_p: Number = None
    pit_chi2_p: Number = None
    tarp: list[Number] = Field(default_factory=list)
    tarp_max_deviation: Number = None
    tarp_ks_p: Number = None

    @property
    def n(self) -> int:
        """Number of clusters."""
        return sum(self.pit_histogram)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len(self.levels) != len(self.coverage) or not self.n:
            raise ValueError("levels and coverage differ in length, or no cluster is counted")
        return self


class PairedScatterRatio(Document):
    """An estimator's scatter over that of another one, on the n clusters that both predicted."""

    ratio: float = Field(gt=0)
    error: float = Field(ge=0)
    n: int


class BiasBin(Document):
    """Bias and scatter in a bin of true log10 M500c [Msun/h] or of redshift: its two edges."""

    log10_m500c_msun_h: tuple[float, float] | None = None
    redshift: tuple[float, float] | None = None
    n: int
    bias_lnm: Number
    bias_lnm_error: Number
    sigma_lnm: Number


class CoverageBin(Document):
    """How often central intervals hold the truth in a bin of predicted mass or of redshift."""

    log10_m500c_msun_h: tuple[float, float] | None = None
    redshift: tuple[float, float] | None = None
    n: int
    coverage68: Number
    coverage68_error: Number
    coverage95: Number
    coverage95_error: Number


class CoverageBins(Document):
    """Coverage in bins of predicted mass and in bins of redshift."""

    predicted_mass: list[CoverageBin] = Field(default_factory=list)
    redshift: list[CoverageBin] = Field(default_factory=list)


class Score(Document):
    """An estimator and its scores; None where there is none. Scatter and bias are of ln M500c.

    Attributes
    ----------
    sigma_paper, sigma_published : float or None
        Scatter by the method of Ho et al. (2023), and what they publish.
    paired_scatter_ratio : dict
        By name of another estimator; ``beside`` in the file.
    n, n_refused : int or None
        Clusters scored; those held out at redshifts that the training had none of, not scored.
    flagged : float or None
        Fraction of the clusters out of the domain.
    """

    name: str = Field(min_length=1)
    kind: Literal["ideal", "observed", "features", "network"]
    inputs: tuple[str, ...] = ()
    sigma_paper: Number = None
    sigma_paper_error: Number = None
    sigma_published: Number = None
    n: int | None = None
    n_refused: int | None = None
    sigma_lnm: Number = None
    sigma_lnm_error: Number = None
    bias_lnm: Number = None
    bias_lnm_error: Number = None
    coverage68: Number = None
    coverage95: Number = None
    crps: Number = None
    log_score: Number = None
    mass_bins: list[BiasBin] = Field(default_factory=list)
    redshift_bins: list[BiasBin] = Field(default_factory=list)
    coverage_bins: CoverageBins = CoverageBins()
    n_parameters: int | None = None
    folds_fitted: int | None = None
    train_seconds: Number = None
    calibration: Calibration | None = None
    flagged: Number = None
    paired_scatter_ratio: dict[str, PairedScatterRatio] = Field(
        default_factory=dict, alias="beside"
    )

    @property
    def group(self) -> Group:
        """The group in which it stands in tables and figures: a key of `GROUPS`."""
        combined = self.kind in ("ideal", "observed") and "+" in self.name
        return "combination" if combined else self.kind

    @field_validator("calibration", "paired_scatter_ratio", mode="wrap")
    @classmethod
    def _whole_or_nothing(cls, value: Any, read: Any, told: ValidationInfo) -> Any:
        try:
            return read(value)
        except ValidationError:
            return None if told.field_name == "calibration" else {}


class SurveyFacts(Document):
    """The extent of the survey: least, median and greatest log10 M500c [Msun/h] and redshift."""

    path: str | None = None
    preset: str | None = None
    seed: int | None = None
    version: str | None = None
    n_clusters: int | None = None
    bands_kev: list[str] = Field(default_factory=list)
    log10_m500c_msun_h: list[float] = Field(default_factory=list)
    redshift: list[float] = Field(default_factory=list)
    exposure_s: Number = None


class Machine(Document):
    """What the networks ran on."""

    system: str | None = None
    cores: int | None = None
    device: str | None = None


class ModelResults(Document):
    """The scores of estimators, as they lie beside a saved model."""

    survey: SurveyFacts = SurveyFacts()
    n_train: int | None = None
    estimators: list[Score]
    seed: int | None = None
    machine: Machine = Machine()
    command: str | None = None
    versions: dict[str, str] = Field(default_factory=dict)

    @property
    def by_name(self) -> dict[str, Score]:
        """The estimators by name."""
        return {score.name: score for score in self.estimators}


class Results(Document):
    """The scores of a run; those of explanations and why estimators failed, by name."""

    survey: SurveyFacts = SurveyFacts()
    folds: int
    estimators: list[Score]
    failed: dict[str, str] = Field(default_factory=dict)
    seed: int | None = None
    machine: Machine = Machine()
    command: str | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    explain: dict[str, ExplanationSummary] = Field(default_factory=dict)

    def limited(self) -> list[str]:
        """Return a note for each estimator scored on fewer clusters: ``T: 2 of 8 folds``.

        Clusters at redshifts that the other folds lack are one note for all estimators.
        """
        most = max((score.n_refused or 0 for score in self.estimators), default=0)
        refused = f"all but {most}, at redshifts that the other folds do not have"
        return [
            *(
                f"{score.name}: {score.folds_fitted} of {self.folds} folds"
                for score in self.estimators
                if score.folds_fitted and score.folds_fitted < self.folds
            ),
            *([refused] if most else []),
        ]


def grouped(scores: Sequence[Score]) -> list[tuple[Group, list[Score]]]:
    """Return estimators by group, in the order of `GROUPS`; empty groups are left out."""
    held = {key: [score for score in scores if score.group == key] for key in GROUPS}
    return [(key, rows) for key, rows in held.items() if rows]
