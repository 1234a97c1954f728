"""``explain/NAME.json``: what a network looks at; and what ``results.json`` keeps of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from icmass.run.document import Document, Number


class Spread(Document):
    """Median of log10 S, S in dex of M500c a standardised pixel, and how far 16 and 84 per cent."""

    median: Number
    minus: Number
    plus: Number
    n: int | None = None


class Profile(Document):
    """Quantiles of log10 S in annuli, shape (annulus,)."""

    median: list[Number]
    low: list[Number]
    high: list[Number]


class ProxyProfile(Document):
    """The sensitivity of a photon count N ~ M^alpha, and where it is ten times the network's."""

    name: str
    alpha: Number
    median: list[Number]
    low: list[Number]
    high: list[Number]
    crossing_r500c: Number = None
    core_ratio_dex: Number = None


class PublishedSaliency(Document):
    """What Ho et al. (2023) publish of such a network; nothing for others."""

    crossing_r500c: Number = None
    core_ratio_dex: Number = None
    agn: Spread | None = None
    icm: Spread | None = None
    bands: list[Number] = Field(default_factory=list)

    def region(self, name: str) -> Spread | None:
        """Return the published spread of a kind of pixels."""
        return {"agn": self.agn, "icm": self.icm}.get(name)


class Saliency(Document):
    """Sensitivity of the mass to the pixels of the maps, of kinds of pixels and of bands."""

    definition: str = ""
    clusters: int = 0
    radius_r500c: list[float]
    network: Profile
    proxies: list[ProxyProfile]
    regions: dict[str, Spread]
    bands: dict[str, dict[str, Spread]]
    published: PublishedSaliency


class Share(Document):
    """What a part of the maps adds to ln M, and its counts beyond the expected background."""

    ln_m: float
    error: float
    photons: float
    ln_m_per_photon: Number


class Completeness(Document):
    """How well attributions add up to f(x) - f(baseline)."""

    median: float
    percentile84: float
    pooled: float
    median_gap_ln_m: float
    mean_change_ln_m: float
    median_abs_change_ln_m: float


class Method(Document):
    """What one method says of the posterior's mean or width."""

    title: str
    quantity: Literal["mean", "width"]
    unit: str
    clusters: int
    seconds: Number = None
    cpu_seconds: Number = None
    completeness: Completeness | None = None
    saliency: Saliency | None = None
    shares: dict[str, dict[str, Share]] | None = None


class Verdict(Document):
    """The result of one sanity check of one method, see `icmass.explanation.checks.Verdict`."""

    method: str
    check: str
    value: Number
    bar: str
    passed: bool | None
    note: str = ""


class Curve(Document):
    """What is left of the prediction as pixels go or come, see `icmass.explanation.curves`."""

    deletion: list[Number]
    insertion: list[Number]
    deletion_area: Number
    insertion_area: Number


class Checks(Document):
    """The sanity checks of the methods."""

    clusters: int
    networks: str
    verdicts: list[Verdict]
    curves: dict[str, Curve]


class Explanation(Document):
    """What a network of a run looks at."""

    model: str
    survey: str
    explained: str
    clusters: int
    folds: int
    seed: int
    version: str
    methods: dict[str, Method]
    width: Method | None = None
    checks: Checks | None = None

    @property
    def saliency(self) -> Saliency | None:
        """Of the method of that name, if it was asked for."""
        held = self.methods.get("saliency")
        return None if held is None else held.saliency


class ProxySummary(Document):
    """What the results keep of a `ProxyProfile`."""

    name: str
    alpha: Number
    crossing_r500c: Number
    core_ratio_dex: Number


class ExplanationSummary(Document):
    """What ``results.json`` keeps of an explanation; kinds of pixels are ``all, icm, agn``."""

    clusters: int | None = None
    explained: str | None = None
    published: PublishedSaliency | None = None
    all: Spread | None = None
    icm: Spread | None = None
    agn: Spread | None = None
    bands: dict[str, Spread] | None = None
    proxies: list[ProxySummary] | None = None
    completeness: dict[str, Completeness] = Field(default_factory=dict)
    checks_failed: list[str] = Field(default_factory=list)
    checks_passed: int | None = None
