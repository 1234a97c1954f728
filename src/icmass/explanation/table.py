"""Tables of an explanation in Markdown."""

from __future__ import annotations

from typing import Any

from icmass.explanation.methods import METHODS
from icmass.explanation.published import SOURCE


def checks_markdown(checks: dict[str, Any]) -> str:
    """Return the table of the sanity checks: a row a method and check, failures in bold."""
    lines = [
        f"{checks['clusters']} clusters, {checks['networks']}.",
        "",
        "| method | check | value | should be | verdict | note |",
        "|---|---|---|---|---|---|",
    ]
    for row in checks["verdicts"]:
        value = "–" if row["value"] is None else f"{row['value']:.3f}"
        verdict = {None: "not measured", True: "passed", False: "**failed**"}[row["passed"]]
        cells = [METHODS[row["method"]].title, row["check"], value, row["bar"], verdict]
        lines.append("| " + " | ".join([*cells, row["note"]]) + " |")
    return "\n".join(lines) + "\n"


def saliency_markdown(saliency: dict[str, Any]) -> str:
    """Return the saliency of kinds of pixels and of bands beside the published values."""
    published = saliency["published"]
    lines = [
        f"{saliency['definition']}; {saliency['clusters']} clusters. log10 S: median, 16th and "
        f"84th percentile less it.",
        "",
        "| pixels | ours | published |",
        "|---|---|---|",
    ]
    for region, title in (
        ("agn", "AGN counts > ICM counts"),
        ("icm", "ICM counts > AGN counts"),
        ("all", "all"),
    ):
        if region in saliency["regions"]:
            ours = spread_text(saliency["regions"][region])
            lines.append(f"| {title} | {ours} | {spread_text(published.get(region))} |")
    held = saliency["bands"].get("all", {})
    for i, (label, each) in enumerate(held.items()):
        theirs = published.get("bands", [])
        text = f"{theirs[i]:.2f}" if i < len(theirs) and len(theirs) == len(held) else "–"
        lines.append(f"| {label} keV | {spread_text(each)} | {text} |")
    for proxy in saliency["proxies"]:
        radius, name = proxy["crossing_r500c"], proxy["name"]
        ours = "nowhere" if radius is None else f"{radius:.3f} R500c"
        theirs = published.get("crossing_r500c")
        text = "–" if theirs is None else f"{theirs:g} R500c"
        lines.append(f"| {name} is 10 times as sensitive as the network within | {ours} | {text} |")
        theirs = published.get("core_ratio_dex")
        text = "–" if theirs is None else f"{theirs:g} dex"
        ours = f"{proxy['core_ratio_dex']:+.2f} dex"
        lines.append(f"| {name} over network in the innermost bin | {ours} | {text} |")
    return "\n".join([*lines, "", f"Published: {SOURCE}."]) + "\n"


def spread_text(held: dict[str, float] | None) -> str:
    """Return a median with its percentiles.

    >>> spread_text({"median": -3.85, "minus": 0.74, "plus": 0.71})
    '-3.85 (-0.74 +0.71)'
    """
    if held is None:
        return "–"
    return f"{held['median']:.2f} (-{held['minus']:.2f} +{held['plus']:.2f})"


def shares_markdown(shares: dict[str, Any]) -> str:
    """Return what annuli, bands and kinds of photons add to ln M."""
    lines = ["| part | ln M | photons beyond the background | ln M a photon |", "|---|---|---|---|"]
    units = {"annuli": " R500c", "bands": " keV", "regions": " pixels"}
    for part, unit in units.items():
        for name, held in shares.get(part, {}).items():
            each = held["ln_m_per_photon"]
            text = "–" if each is None else f"{each:.2e}"
            lines.append(
                f"| {name}{unit} | {held['ln_m']:+.3f} ± {held['error']:.3f} "
                f"| {held['photons']:.1f} | {text} |"
            )
    return "\n".join(lines) + "\n"
