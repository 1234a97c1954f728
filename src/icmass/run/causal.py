"""``causal.json``: what known changes of clusters do to the masses that estimators give them."""

from __future__ import annotations

from pydantic import Field

from icmass.run.document import Document, Number


class CausalModel(Document):
    """How many of the clusters an estimator reads, and whether it reads nothing off a map."""

    clusters: int
    blind_to_maps: bool


class Response(Document):
    """What a change did to ln M500c, see `icmass.explanation.causal.response`."""

    dlnm: float
    error: float
    spread: Number = None
    scatter_before: Number = None
    scatter_after: Number = None
    scatter_ratio: Number = None
    scatter_ratio_error: Number = None
    flagged_before: Number = None
    flagged_after: Number = None


class CausalTest(Document):
    """One change: mean change of the counts, and the response of every estimator by name."""

    name: str
    what: str
    photons: dict[str, float]
    responses: dict[str, Response]


class ClosedShare(Document):
    """The share of the variance between a proxy and a network that a cleaning takes away."""

    share: float
    error: float


class CleanedScatter(Document):
    """The scatter of a proxy on cleaned maps, see `icmass.explanation.causal_scatter`."""

    name: str
    what: str
    n: int
    sigma_lnm: float
    sigma_lnm_error: Number
    r: dict[str, Number]
    closed: dict[str, ClosedShare | None] | None = None


class Retrained(Document):
    """A network trained and tested on changed clusters."""

    name: str
    what: str
    n: int
    sigma_lnm: float
    sigma_lnm_error: Number
    sigma_ratio: Number
    sigma_ratio_error: Number
    responses: dict[str, Response]
    model: str
    folds: int
    seconds: Number = None


class Causal(Document):
    """The causal tests of a run, see `icmass.explanation.causal.run_causal`."""

    clusters: int
    seed: int
    models: dict[str, CausalModel]
    tests: list[CausalTest]
    scatter: list[CleanedScatter] | None = None
    seconds: Number = None
    retrained: list[Retrained] = Field(default_factory=list)
