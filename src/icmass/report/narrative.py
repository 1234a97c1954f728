"""The result in sentences: each says what the numbers of this run say, and no more."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from icmass.report.bars import NOMINAL68
from icmass.run.results import Results, Score

Published = Callable[[str], float | None]
FEW_CLUSTERS = 1000
_TOLD = "A count inside R500c is told the true radius, a part of the answer; an observer is not."
_TELL = 2.0  # standard errors at which two scatters count as different


_KINDS = {
    "network": "network",
    "features": "regression on features of the maps",
    "observed": "observed proxy",
    "ideal": "ideal proxy",
}


def headline(results: Results, published: Published) -> list[str]:
    """Return the result in sentences of plain text, the most important first."""
    scored = [s for s in results.estimators if s.sigma_lnm is not None]
    if not scored:
        return ["No estimator of this run has a score."]
    networks = [s for s in scored if s.kind == "network"]
    features = [s for s in scored if s.kind == "features"]
    observed = [s for s in scored if s.kind == "observed"]
    best = _best(networks or features or observed or scored)
    said = [_opening(best)]
    if networks and features:
        said.append(_against(best, _best(features), "the best regression on features of the maps"))
    if networks or features:
        said += _against_counts(best, observed)
    elif "r500" in best.name:
        said.append(_TOLD)
    luminosity = next((s for s in scored if s.name == "L_X"), None)
    if luminosity is not None and luminosity is not best:
        said.append(_against(best, luminosity, "the true X-ray luminosity, known without noise"))
    said += _bands(networks)
    said += _published(networks, published)
    said += _calibration(best)
    n = max((s.n or 0) for s in scored)
    if 0 < n < FEW_CLUSTERS:
        said.append(
            f"With {n:,} clusters this run shows that everything works; "
            "it is too small to say how well a network can do."
        )
    return said


def _against_counts(best: Score, observed: Sequence[Score]) -> list[str]:
    """Compare with what is counted on the maps: without, and with the true R500c as aperture."""
    said = []
    blind = [s for s in observed if "r500" not in s.name]
    told = [s for s in observed if "r500" in s.name]
    if blind:
        said.append(_against(best, _best(blind), "the best proxy counted on the map alone"))
    if told:
        said.append(
            _against(best, _best(told), "the best count inside the true R500c or twice it")
            + f" {_TOLD}"
        )
    return said


def _best(scores: Sequence[Score]) -> Score:
    return min(scores, key=lambda s: s.sigma_lnm if s.sigma_lnm is not None else math.inf)


def error_of(score: Score) -> float:
    """Return the standard error of `sigma_lnm`: the run's own, or the Gaussian expectation."""
    if score.sigma_lnm_error is not None:
        return score.sigma_lnm_error
    return (score.sigma_lnm or 0.0) / math.sqrt(2 * max(score.n or 1, 1))


def _percent(score: Score) -> str:
    return f"{100 * (score.sigma_lnm or 0):.1f} ± {100 * error_of(score):.1f} per cent"


def _opening(best: Score) -> str:
    what = _KINDS[best.kind]
    n = f"{best.n:,} clusters" if best.n else "the clusters"
    return (
        f"The best {what}, {best.name}, gives M500c with a scatter of {_percent(best)} "
        f"over {n}, each predicted by a model that never saw its part of the simulated box."
    )


def _against(one: Score, other: Score, described: str) -> str:
    """Compare two scatters, on the clusters that both predicted if the run has done so.

    Otherwise errors are taken as independent, which is cautious.
    """
    held = one.paired_scatter_ratio.get(other.name)
    subject = f"{described[0].upper()}{described[1:]} ({other.name}) has {_percent(other)}"
    if held is not None:
        ratio, apart = held.ratio, (1 - held.ratio) / max(held.error, 1e-12)
        if (one.n, other.n) != (held.n, held.n):
            subject += f"; on the {held.n:,} clusters that both predicted"
    else:
        ours, theirs = one.sigma_lnm or 0.0, other.sigma_lnm or 0.0
        ratio = ours / max(theirs, 1e-12)
        apart = (theirs - ours) / max(math.hypot(error_of(one), error_of(other)), 1e-12)
    if apart >= _TELL:
        return f"{subject}: {one.name} has {100 * (1 - ratio):.0f} per cent less scatter."
    if apart <= -_TELL:
        return f"{subject}: {one.name} has {100 * (ratio - 1):.0f} per cent more scatter."
    return (
        f"{subject}: a difference of {abs(apart):.1f} sigma, which this run cannot tell from none."
    )


def _bands(networks: Sequence[Score]) -> list[str]:
    held = {s.name: s for s in networks}
    said = []
    for family in ("icm", "paper"):
        one, three = held.get(f"{family}-1band"), held.get(f"{family}-3band")
        if one is not None and three is not None:
            said.append(
                _against(three, one, f"with one band instead of three, the {family} network")
            )
    return said


def _published(networks: Sequence[Score], published: Published) -> list[str]:
    """Set the published networks beside their reproductions, with the same estimator."""
    said = []
    for score in networks:
        reference = published(score.name)
        if not score.name.startswith("paper-") or reference is None or score.sigma_paper is None:
            continue
        ours, error = score.sigma_paper, error_of(score)
        apart = (ours - reference) / max(error, 1e-12)
        verdict = (
            "which agrees within 2 sigma"
            if abs(apart) < _TELL
            else f"{'larger' if apart > 0 else 'smaller'} by {abs(apart):.1f} sigma"
        )
        said.append(
            f"Ho et al. (2023) publish {100 * reference:.1f} per cent for the network {score.name} "
            f"on their simulation; on this one it has {100 * ours:.1f} ± {100 * error:.1f}, "
            f"{verdict}."
        )
    return said


def _calibration(best: Score) -> list[str]:
    if best.coverage68 is None or not best.n:
        return []
    error = math.sqrt(NOMINAL68 * (1 - NOMINAL68) / best.n)
    apart = (best.coverage68 - NOMINAL68) / error
    verdict = (
        "as it should be"
        if abs(apart) < _TELL
        else "so its errors are too large"
        if apart > 0
        else "so its errors are too small"
    )
    return [
        f"The 68 per cent interval of {best.name} holds the truth in "
        f"{100 * best.coverage68:.1f} ± {100 * error:.1f} per cent of the clusters, {verdict}."
    ]


def calibration_words(results: Results) -> list[str]:
    """Return how likely the PIT values of each estimator are, and TARP's greatest deviation."""
    said = []
    for score in results.estimators:
        held = score.calibration
        if held is None or held.pit_ks_p is None or held.tarp_max_deviation is None:
            continue
        p = f"p = {held.pit_ks_p:.2g}" if held.pit_ks_p >= 1e-3 else "p < 0.001"
        said.append(
            f"{score.name}: Kolmogorov-Smirnov test of the PIT over {held.n:,} clusters, {p}; "
            f"greatest deviation of the expected coverage (TARP), {held.tarp_max_deviation:.3f}."
        )
    return said
