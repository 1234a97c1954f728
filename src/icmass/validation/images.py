"""Images of the mock's clusters against images of Magneticum's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from icmass.observe.published_images import PEAK_BEYOND, PublishedStatistic, published_images
from icmass.validation.check import Check, Findings, Kind, Target
from icmass.validation.gas_statistics import half_spread
from icmass.validation.image_maps import ImageSample
from icmass.validation.image_residuals import body_residuals, rank_correlation

GROUP = "images"
OBSERVED_GAS = "its gas is that of observed clusters, not Magneticum's"

_Scale = Literal["log", "linear"]


@dataclass(frozen=True)
class Shown:
    """How a statistic of the images is named and compared.

    Attributes
    ----------
    label : str
    scale : {"log", "linear"}
        Whether its spread is that of its logarithm.
    tolerance : float
        Of the median: a factor if the scale is logarithmic, a difference if linear.
    """

    label: str
    scale: _Scale
    tolerance: float


#: What is compared. How much the images were smoothed to find their peaks is unknown: 0.005 to 0.05
#: R500c change the median w by a factor of 1.3, power ratios by its square, c by 3 per cent. A
#: tenth in A and S is a factor of 1.35 in the counts of a pixel, which they measure.
SHOWN: dict[str, Shown] = {
    "concentration": Shown("c", "log", 1.2),
    "centroid_shift": Shown("w", "log", 1.5),
    "p1": Shown("P1/P0", "log", 2.25),
    "p2": Shown("P2/P0", "log", 2.25),
    "p3": Shown("P3/P0", "log", 2.25),
    "p4": Shown("P4/P0", "log", 2.25),
    "axis_ratio": Shown("axis ratio", "linear", 0.05),
    "cas_concentration": Shown("CAS C", "log", 1.2),
    "asymmetry": Shown("CAS A", "linear", 0.1),
    "smoothness": Shown("CAS S", "linear", 0.1),
}
CORE_SHARE = Shown("flux share within 0.15 R500c", "log", 1.15)
_WIDTH_TOLERANCE = 0.25
_CORRELATION_TOLERANCE = 0.15
_SHARE_TOLERANCE = 0.06
SPECTRA = "fits to the photons of 81 clusters of Magneticum within R500c, all pixels"
KINDS = {"deep": "1 Ms", "erosita": "2 ks"}

#: Statistics and residuals whose rank correlation is a row. A and S are left out: as counts in a
#: pixel they go with L_X by their making.
CORRELATED = {
    "deep": ("concentration", "centroid_shift", "p3"),
    "erosita": ("concentration", "centroid_shift"),
}
RESIDUALS = {
    "L_X": "L_X",
    "L_X_outside": "L_X without the core",
    "M_gas": "M_gas",
    "T": "T",
}


def image_findings(images: ImageSample | str, rng: np.random.Generator) -> Findings:
    """Compare statistics of images with those of Magneticum.

    Parameters
    ----------
    images : ImageSample or str
        Or the reason why there is none.
    rng : numpy.random.Generator
        Of the bootstrap.
    """
    findings = Findings()
    if isinstance(images, str):
        findings.leave_out(images, ["statistics of images against those of Magneticum's"])
        return findings
    table = published_images()
    for kind, exposure in KINDS.items():
        measured = getattr(images, kind)
        for name, shown in SHOWN.items():
            published = getattr(table, kind)[name]
            findings.checks += _spread(
                f"{shown.label}, {exposure}", shown, measured[name], published, rng
            )
    findings.checks += _spread(
        f"{CORE_SHARE.label}, 1 Ms", CORE_SHARE, images.core_share, table.core_share, rng
    )
    w = images.deep["centroid_shift"]
    for name, has_it, published_share in (
        ("part whose peak outshines the centre", images.outshone, table.off_centre.outshone),
        ("part with w above 0.05, 1 Ms", w > 0.05, table.off_centre.w_above_005),
        ("part with w above 0.1, 1 Ms", w > 0.1, table.off_centre.w_above_01),
        *(
            (f"part with peak beyond {radius:g} R500c, 1 Ms", images.peak_offset > radius, share)
            for radius, share in PEAK_BEYOND.items()
        ),
    ):
        share = float(has_it.mean())
        error = float(np.sqrt(share * (1 - share) / len(has_it)))
        target = Target(published_share, _SHARE_TOLERANCE, "absolute", table.source)
        findings.checks.append(Check(GROUP, name, share, target, len(has_it), error=error))
    findings.checks += _correlations(images, rng)
    findings.checks += _temperatures(images.t_spec_ratio)
    return findings


def _temperatures(ratio: np.ndarray) -> list[Check]:
    """Compare spectroscopic temperatures: photons of all pixels, fitted within R500c."""
    ratio = ratio[np.isfinite(ratio)]
    n = len(ratio)
    rows = (
        ("T_spec over mass-weighted T", ratio.mean(), 0.87, 0.05, ratio.std() / np.sqrt(n)),
        ("half 16-84 of T_spec over T", half_spread(ratio), 0.09, 0.03, ratio.std() / np.sqrt(n)),
    )
    return [
        Check("gas", name, float(value), Target(target, tolerance, "absolute", SPECTRA), n,
              error=float(error))
        for name, value, target, tolerance, error in rows
    ]  # fmt: skip


def spread(values: np.ndarray, scale: _Scale) -> tuple[float, float]:
    """Return the median, and half of the 16th to 84th percentile, in ln if `scale` is log."""
    low, middle, high = np.nanpercentile(values, [16, 50, 84])
    return float(middle), _half_width(low, high, scale)


def _half_width(low: float, high: float, scale: _Scale) -> float:
    if scale == "log":
        return float(np.log(high / low) / 2) if low > 0 else float("nan")
    return float((high - low) / 2)


def _spread(
    name: str,
    shown: Shown,
    values: np.ndarray,
    published: PublishedStatistic,
    rng: np.random.Generator,
) -> list[Check]:
    table = published_images()
    low, middle, high = table.quantiles(published)
    values = values[np.isfinite(values)]
    draws = [spread(rng.choice(values, len(values)), shown.scale) for _ in range(100)]
    errors = np.std(draws, axis=0)
    kind: Kind = "factor" if shown.scale == "log" else "absolute"
    ln = " ln" if shown.scale == "log" else ""
    width = _half_width(low, high, shown.scale)
    measured = spread(values, shown.scale)
    targets = (
        Target(middle, shown.tolerance, kind, table.source),
        Target(round(width, 3), _WIDTH_TOLERANCE, "relative", table.source),
    )
    return [
        Check(GROUP, f"{what} {name}", value, target, len(values), error=float(error))
        for what, value, target, error in zip(
            ("median", f"half width of{ln}"), measured, targets, errors, strict=True
        )
    ]


def _correlations(images: ImageSample, rng: np.random.Generator) -> list[Check]:
    table = published_images()
    residuals, body = body_residuals(images.proxies, images.m500c, images.redshift)
    checks = []
    for kind, names in CORRELATED.items():
        for name in names:
            values, published = getattr(images, kind)[name], getattr(table, kind)[name]
            for proxy, proxy_label in RESIDUALS.items():
                value = rank_correlation(
                    values, residuals[proxy], body, images.m500c, images.redshift
                )
                draws = []
                for _ in range(30):
                    i = rng.integers(len(values), size=len(values))
                    draws.append(
                        rank_correlation(
                            values[i], residuals[proxy][i], body[i], images.m500c[i],
                            images.redshift[i],
                        )
                    )  # fmt: skip
                target = Target(
                    published.rank_correlation[proxy], _CORRELATION_TOLERANCE, "absolute",
                    table.source,
                )  # fmt: skip
                label = f"rank of {SHOWN[name].label} with {proxy_label}, {KINDS[kind]}"
                checks.append(
                    Check(GROUP, label, value, target, int(body.sum()), error=float(np.std(draws)))
                )
    return checks
