"""Tables of an explanation."""

from __future__ import annotations

from icmass.explanation.methods import METHODS
from icmass.explanation.published import SOURCE
from icmass.run.explanation import Checks, PublishedSaliency, Saliency, Share, Spread
from icmass.run.table import MISSING, Cell, Column, Row, Table

PUBLISHED = f"Published: {SOURCE}."
_REGIONS = {"agn": "AGN counts > ICM counts", "icm": "ICM counts > AGN counts", "all": "all"}


def words(*headings: str) -> list[Column]:
    """Return columns of words."""
    return [Column(heading, numeric=False) for heading in headings]


def checks_table(checks: Checks) -> Table:
    """Return the sanity checks: a row a method and check, failures emphasised."""
    rows: list[Row] = []
    for verdict in checks.verdicts:
        value = MISSING if verdict.value is None else f"{verdict.value:.3f}"
        title = METHODS[verdict.method].title
        rows.append(
            [title, verdict.check, value, verdict.bar, _outcome(verdict.passed), verdict.note]
        )
    return Table(
        words("method", "check", "value", "should be", "verdict", "note"),
        rows,
        notes=[f"{checks.clusters} clusters, {checks.networks}."],
    )


def _outcome(passed: bool | None) -> Cell:
    if passed is None:
        return Cell("not measured")
    return Cell("passed") if passed else Cell("failed", strong=True)


def checks_by_method(checks: Checks) -> Table:
    """Return the sanity checks: a row a check, a column a method; what must hold comes first."""
    verdicts = {(each.check, each.method): each for each in checks.verdicts}
    methods = list(dict.fromkeys(each.method for each in checks.verdicts))
    bars = {each.check: each.bar for each in checks.verdicts}
    rows: list[Row] = []
    for name in sorted(bars, key=lambda name: not name.startswith("random")):
        cells: list[str | Cell] = [name, bars[name]]
        for method in methods:
            found = verdicts.get((name, method))
            if found is None or found.value is None:
                cells.append(MISSING)
            else:
                failed = "" if found.passed else " FAILS"
                cells.append(Cell(f"{found.value:.3f}{failed}", strong=not found.passed))
        rows.append(cells)
    return Table(words("check", "should be", *(METHODS[method].title for method in methods)), rows)


def saliency_table(saliency: Saliency) -> Table:
    """Return the saliency of kinds of pixels and of bands beside the published values."""
    published = saliency.published
    rows: list[Row] = [
        [title, spread_text(saliency.regions[region]), spread_text(published.region(region))]
        for region, title in _REGIONS.items()
        if region in saliency.regions
    ]
    rows += [*_bands(saliency), *_proxies(saliency)]
    note = (
        f"{saliency.definition}; {saliency.clusters} clusters. log10 S: median, 16th and 84th "
        "percentile less it."
    )
    return Table(words("pixels", "ours", "published"), rows, notes=[note])


def _bands(saliency: Saliency) -> list[Row]:
    ours, theirs = saliency.bands.get("all", {}), saliency.published.bands
    rows: list[Row] = []
    for i, (label, spread) in enumerate(ours.items()):
        value = theirs[i] if len(theirs) == len(ours) else None
        rows.append([f"{label} keV", spread_text(spread), _or_missing(value, ".2f")])
    return rows


def _proxies(saliency: Saliency) -> list[Row]:
    published: PublishedSaliency = saliency.published
    rows: list[Row] = []
    for proxy in saliency.proxies:
        radius = proxy.crossing_r500c
        within = f"{proxy.name} is 10 times as sensitive as the network within"
        ours = "nowhere" if radius is None else f"{radius:.3f} R500c"
        rows.append([within, ours, _or_missing(published.crossing_r500c, "g", " R500c")])
        core = _or_missing(proxy.core_ratio_dex, "+.2f", " dex")
        theirs = _or_missing(published.core_ratio_dex, "g", " dex")
        rows.append([f"{proxy.name} over network in the innermost bin", core, theirs])
    return rows


def _or_missing(value: float | None, form: str, unit: str = "") -> str:
    return MISSING if value is None else f"{value:{form}}{unit}"


def spread_text(spread: Spread | None) -> str:
    """Return a median with its percentiles.

    >>> spread_text(Spread(median=-3.85, minus=0.74, plus=0.71))
    '-3.85 (-0.74 +0.71)'
    """
    if spread is None:
        return MISSING
    return f"{spread.median:.2f} (-{spread.minus:.2f} +{spread.plus:.2f})"


def shares_table(shares: dict[str, dict[str, Share]]) -> Table:
    """Return what annuli, bands and kinds of photons add to ln M."""
    units = {"annuli": " R500c", "bands": " keV", "regions": " pixels"}
    rows: list[Row] = [
        [
            f"{name}{unit}",
            Cell(f"{share.ln_m:+.3f}", f"{share.error:.3f}"),
            f"{share.photons:.1f}",
            _or_missing(share.ln_m_per_photon, ".2e"),
        ]
        for part, unit in units.items()
        for name, share in shares.get(part, {}).items()
    ]
    return Table(["part", "ln M", "photons beyond the background", "ln M a photon"], rows)
