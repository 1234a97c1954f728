"""Tables of explanations: what networks look at, whether that is so, and causes."""

from __future__ import annotations

from typing import Any

from table_results import per_cent, results, table_row


def explanations() -> list[str]:
    """What networks look at: saliency as the paper has it, and what photons add to ln M."""
    lines = [
        "| preset, network | clusters | log10 S of AGN | of gas | count over network in the core, "
        "dex | ten times within | a photon in the core | at 0.3-0.5 R500c | of AGN | of gas |",
        "|---|---:|---:|---:|---:|---|---:|---:|---:|---:|",
    ]
    for run in results("explain")["runs"]:
        shown = run["methods"]["saliency"]["saliency"]
        count = next(proxy for proxy in shown["proxies"] if proxy["name"] == "N_phot")
        shares = run["methods"]["ig"]["shares"]
        cells = [f"{run['preset']}, `{run['model']}`", str(run["clusters"])]
        cells += [f"{shown['regions'][part]['median']:.2f}" for part in ("agn", "icm")]
        crossing = count["crossing_r500c"]
        cells += [f"{count['core_ratio_dex']:+.2f}"]
        cells += ["nowhere" if crossing is None else f"{crossing:.2f} R500c"]
        photons = [shares["annuli"][ring] for ring in ("0-0.15", "0.3-0.5")]
        photons += [shares["regions"][part] for part in ("agn", "icm")]
        cells += [f"{1e4 * part['ln_m_per_photon']:.1f}" for part in photons]
        lines.append(table_row(*cells))
    for bands, agn, gas in (("one band", -3.85, -3.53), ("three bands", -3.91, -3.77)):
        lines.append(f"| published, {bands} | | {agn} | {gas} | +2 | 0.285 R500c | | | | |")
    return lines


CHANGES = {
    "agn_5e-14_0": "AGN of 5e-14 erg/s/cm^2 at the centre",
    "agn_5e-14_0.25": "at 0.25 R500c",
    "agn_5e-14_0.5": "at 0.5 R500c",
    "agn_5e-14_1": "at 1 R500c",
    "no_agn": "all true AGN removed",
    "cool_core": "cool core made of none, gas mass kept",
    "cool_core_inside": "the same within 0.15 R500c alone",
    "core_empty": "photons of 0.15 R500c removed",
    "core_filled": "filled at the mean around",
    "no_0.5-1.2": "0.5-1.2 keV removed",
    "no_1.2-2": "1.2-2 keV removed",
    "no_2-7": "2-7 keV removed",
    "mean_colour": "gas's colours made the mean at its redshift",
    "dim_outskirts": "half the gas beyond R500c removed",
    "substructure": "a lighter cluster's gas at 0.7 R500c, 10 % of the photons",
    "rotated_45": "turned by 45 degrees",
    "photons_anew": "photons of the same gas drawn anew (nothing should change)",
}


def causal() -> list[str]:
    """What a known change of a cluster does to the mass that each estimator gives."""
    found = results("causal-erosita-3285")
    names = ("icm-3band", "icm-1band", "N_phot_r500", "L_X", "L_X_ce")
    tests = {test["name"]: test["responses"] for test in found["tests"]}
    lines = [
        "| change | `icm-3band` | `icm-1band` | `N_phot_r500` | ideal `L_X` | without the core |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for key, what in CHANGES.items():
        cells = [_change(tests[key].get(name)) for name in names]
        lines.append(f"| {what} | {' | '.join(cells)} |")
    return lines


def _change(response: dict[str, float] | None) -> str:
    """Return a change of ln M and its error, 0 where there is none, a dash if not measured."""
    if response is None:
        return "–"
    change, error = response["dlnm"], response["error"]
    return "0" if max(abs(change), error) < 5e-4 else f"{change:+.3f} ± {error:.3f}"


def causal_scatter() -> list[str]:
    """Scatter of the photons within R500c on cleaned maps, and what of the gain that explains."""
    found = {row["name"]: row for row in results("causal-erosita-3285")["scatter"]}
    lines = ["| photons within R500c | scatter | of what `icm-3band` gains |", "|---|---:|---:|"]
    for change, what in (
        ("", "as observed"),
        (" core_empty", "without the core"),
        (" no_agn", "without true AGN"),
        (" no_agn+core_empty", "without both"),
        (" no_agn+core_empty+even_background", "and with an even background"),
    ):
        row = found[f"N_phot_r500{change}"]
        gained = row.get("closed", {}).get("icm-3band")
        share = f"{100 * gained['share']:.0f} ± {100 * gained['error']:.0f}" if gained else "0"
        lines.append(f"| {what} | {per_cent(row, 'sigma_lnm')} | {share} |")
    return [
        *lines,
        f"| icm-3band on the maps | {per_cent(found['icm-3band'], 'sigma_lnm')} | 100 |",
    ]


TRAINED_ON = {
    "as_observed": "as observed",
    "no_agn": "no AGN at all",
    "fixed_core_filled": "core (0.12 Mpc/h) filled",
    "no_agn+fixed_core_filled": "no AGN, core filled",
    "core_filled": "0.15 R500c filled (its size tells the mass)",
}
THEN = ("0", "0.25", "0.5", "1", "0.5_redrawn")


def causal_retrained() -> list[str]:
    """Scatter of networks trained on changed clusters, and what an AGN then does to them."""
    lines = [
        "| trained on | scatter | over as observed | AGN at 0 | 0.25 | 0.5 | 1 R500c | at 0.5, "
        "then redrawn within 45 arcsec |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in results("causal-erosita-3285")["retrained"]:
        cells = [TRAINED_ON[row["name"]], per_cent(row, "sigma_lnm")]
        ratio, error = row["sigma_ratio"], row["sigma_ratio_error"]
        cells.append(f"{ratio:.2f} ± {error:.2f}" if error else "1")
        cells += [f"{row['responses'][f'agn_5e-14_{place}']['dlnm']:+.3f}" for place in THEN]
        lines.append(table_row(*cells))
    return lines


RINGS = ("0-0.15", "0.15-0.3", "0.3-0.5", "0.5-0.75", "0.75-1", "1-1.5", "1.5-2", ">2")
REGIONS = {"icm": "pixels of gas", "agn": "pixels of AGN"}


def explanation_shares() -> list[str]:
    """What the photons of each part add to ln M, by integrated gradients."""
    shares = results("explain-erosita-3285")["methods"]["ig"]["shares"]
    parts = [(f"{ring} R500c".replace(">2", "beyond 2"), shares["annuli"][ring]) for ring in RINGS]
    parts += [(f"{band} keV", part) for band, part in shares["bands"].items()]
    parts += [(what, shares["regions"][key]) for key, what in REGIONS.items()]
    lines = [
        "| part | adds to ln M | photons beyond the background | ln M a photon, 1e-4 |",
        "|---|---:|---:|---:|",
    ]
    for what, part in parts:
        cells = [what, f"{part['ln_m']:+.3f} ± {part['error']:.3f}", f"{part['photons']:.0f}"]
        lines.append(table_row(*cells, f"{1e4 * part['ln_m_per_photon']:.1f}"))
    return lines


def explanation_checks() -> list[str]:
    """Which methods know that a network knows nothing, and which find what moves the mass."""
    found = results("explain-erosita-3285")
    verdicts: dict[str, dict[str, Any]] = {}
    for verdict in found["checks"]["verdicts"]:
        verdicts.setdefault(verdict["method"], {})[verdict["check"]] = verdict
    checks = ("random weights", "random labels", "completeness", "deletion against random",
              "insertion against random", "deletion against brightness",
              "insertion against brightness")  # fmt: skip
    lines = [
        "| method | random weights | random labels | completeness | deletion, random "
        "| insertion, random | deletion, brightness | insertion, brightness |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for method, of_method in verdicts.items():
        cells = [_checked(check, of_method.get(check)) for check in checks]
        lines.append(f"| {found['methods'][method]['title']} | {' | '.join(cells)} |")
    return lines


def _checked(check: str, verdict: dict[str, Any] | None) -> str:
    if verdict is None or verdict["value"] is None:
        return "–"
    value = verdict["value"]
    text = f"{100 * value:.1f} %" if check == "completeness" else f"{value:.2f}"
    return text if verdict["passed"] else f"**{text} fails**"
