"""Write the tables of the README and the docs that are read off `benchmarks/results/`.

    python tools/make_tables.py [--check]

A table stands between ``<!-- table NAME -->`` and ``<!-- end of table -->``; what is between is
replaced. `--check` changes nothing, and fails where a table is not what the results say.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results"
FILES = ("README.md", "docs/estimators.md", "docs/calibration.md", "docs/physics.md",
         "docs/explanations.md")  # fmt: skip
_BLOCK = re.compile(r"(<!-- table (\w[\w-]*) -->\n).*?(<!-- end of table -->)", re.DOTALL)
sys.path.insert(0, str(RESULTS.parent))
_EIGHT = {"erass1": "eRASS1", "erass8": "eRASS:8", "efeds": "eFEDS"}


@cache
def results(name: str) -> Any:
    """Return a file of results."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def per_cent(row: dict[str, Any], key: str, *, signed: bool = False) -> str:
    """Return a number and its error, if it has one, in per cent."""
    text = f"{100 * row[key]:{'+' if signed else ''}.1f}"
    error = row.get(f"{key}_error")
    return text if error is None else f"{text} ± {100 * error:.1f}"


def estimators(name: str, *names: str) -> Iterator[dict[str, Any]]:
    """Yield rows of a benchmark in the order of the names given."""
    found = {row["name"]: row for row in results(name)["estimators"]}
    yield from (found[key] for key in names)


def networks() -> list[str]:
    """Networks of the universe of version 0.1, with the paper's on the same clusters."""
    lines = [
        "| network | clusters | scatter | bias | within 68 | within 95 | CRPS | flagged "
        "| over the paper's on the same clusters |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    names = ("paper-1band", "paper-3band", "icm-3band", "icm-multimodal", "icm-1band")
    beside = {"icm-3band": "paper-3band", "icm-multimodal": "paper-3band"}
    for row in estimators("universe-0.1-erosita-3285", *names):
        name, ours = row["name"], row["name"].startswith("icm")
        ratio = row["beside"].get(beside.get(name, "paper-1band")) if ours else None
        over = "–"
        if ratio:
            peer = beside.get(name, "paper-1band")
            over = f"{ratio['ratio']:.2f} ± {ratio['error']:.2f} ({peer}, {ratio['n']})"
        numbers = [100 * row[key] for key in ("bias_lnm", "coverage68", "coverage95", "crps")]
        flagged = f"{100 * row['flagged']:.1f}" if row.get("flagged") is not None else "–"
        cells = [f"`{name}`", str(row["n"]), per_cent(row, "sigma_lnm")]
        cells += [*(f"{number:.1f}" for number in numbers), flagged, over]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


SCORED = {
    "T": "true temperature",
    "M_gas": "true gas mass",
    "N_phot": "photons of the map",
    "N_gal": "richness",
    "N_phot_2r500": "photons, knows R500c",
    "N_phot_r500": "photons, knows R500c",
    "N_gal+N_phot_2r500": "knows R500c",
    "L_X": "true luminosity",
    "forest-morphology": "morphology",
    "rings-gbm-1band": "photons in rings",
    "rings-gbm-3band": "photons in rings",
    "icm-1band": "map",
    "icm-3band": "map",
}


def scores(preset: str) -> list[str]:
    """Proxies, regressions and networks on the survey of a preset, beside published values."""
    lines = [
        "| estimator | sees | clusters | scatter | the paper's score | published | bias "
        "| within 68 | within 95 | CRPS |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in estimators(f"{preset}-3285", *SCORED):
        published = row.get("sigma_published")
        cells = [f"`{row['name']}`", SCORED[row["name"]], str(row["n"])]
        cells += [per_cent(row, "sigma_lnm"), per_cent(row, "sigma_paper")]
        cells += ["–" if published is None else f"{100 * published:.1f}"]
        keys = ("bias_lnm", "coverage68", "coverage95", "crps")
        cells += [f"{100 * row[key]:.1f}" for key in keys]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def out_of_domain() -> list[str]:
    """What is flagged as out of domain."""
    lines = ["| input | flagged, per cent |", "|---|---:|"]
    flagged = results("out-of-domain")["flagged"]
    return lines + [f"| {name} | {100 * share:.1f} |" for name, share in flagged.items()]


def learning_curve() -> list[str]:
    """Scatter by number of training clusters."""
    lines = ["| network | training clusters | epochs | scatter |", "|---|---:|---:|---:|"]
    return lines + [
        f"| `{row['name']}` | {row['n_train']:,} | {row['epochs']} | {per_cent(row, 'sigma_lnm')} |"
        for row in results("learning-curve")["rows"]
    ]


def erass() -> list[str]:
    """The bundled models on fresh surveys, beside count-rate masses."""
    lines = [
        "| survey | masses by | flagged | of them out of domain | bias | scatter | within 68 "
        "| within 95 | CRPS |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for survey, of_survey in results("erass")["surveys"].items():
        for name, model in of_survey["models"].items():
            for prior in ("training", "population"):
                row = model[prior]
                n = model["n"] + model["refused"]
                cells = [_EIGHT[survey], f"`{name}`, prior {prior}"]
                cells += [f"{100 * model['flagged'] / n:.1f}"]
                cells += [f"{100 * model['out_of_domain'] / n:.1f}"]
                cells += [per_cent(row, "bias_lnm", signed=True), per_cent(row, "sigma_lnm")]
                cells += [per_cent(row, key) for key in ("coverage68", "coverage95", "crps")]
                lines.append("| " + " | ".join(cells) + " |")
        rate = of_survey["count_rate"]
        for how in ("relation_inverted", "mean_mass_at_rate"):
            words = "count rate, " + how.replace("_", " ")
            scatter = f"{100 * rate[how]['sigma_lnm']:.1f}"
            lines.append(f"| {_EIGHT[survey]} | {words} | | | | {scatter} | | | |")
    return lines


def floor() -> list[str]:
    """Ideal observers, and the best network that has been trained."""
    table = import_module("floor_table").table(results("floor"))
    return str(table).splitlines()


def physics_marginal(part: int) -> list[str]:
    """One of the tables of networks that are marginal over the gas physics."""
    tables = import_module("physics_marginal_table").markdown(results("physics-marginal"))
    return str(tables).split("\n\n")[part].splitlines()


def sbi() -> list[str]:
    """Networks and neural posterior estimation of the package sbi, on the same maps."""
    lines = [
        "| estimator | clusters | scatter | over ours | bias | within 68 | within 95 | CRPS "
        "| seconds a fold |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in results("peer-sbi")["rows"]:
        cells = [f"`{row['name']}`", str(row["n_test"]), per_cent(row, "sigma_lnm")]
        cells += [f"{row['scatter_over_ours']:.2f} ± {row['scatter_over_ours_error']:.2f}"]
        cells += [f"{100 * row[key]:.1f}" for key in ("bias_lnm", "coverage68", "coverage95")]
        seconds = row["seconds"] / row["folds_fitted"]
        cells += [f"{100 * row['crps']:.1f}", f"{seconds:.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def calibration_variants() -> list[str]:
    """A bundled model on other physics, before and after calibration with lensing masses."""
    found = results("calibration-variants")
    lines = [
        "| physics | bias | rms | within 68 | bias, calibrated | in stated errors | rms "
        "| within 68 |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in found["rows"]:
        cells = [f"`{row['variant']}`"]
        for when in ("before", "after"):
            cells.append(f"{100 * row[when]['bias']:+.1f}")
            if when == "after":
                cells.append(f"{row['bias_in_errors']:+.1f}")
            cells += [f"{100 * row[when][key]:.1f}" for key in ("rms", "coverage68")]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _physics() -> Iterator[str]:
    """The bundled model on other gas physics, by itself and calibrated."""
    found = {row["variant"]: row for row in results("calibration-variants")["rows"]}
    worst = max(found, key=lambda name: abs(float(found[name]["before"]["bias"])))
    more = "| [trust](docs/calibration.md#measured) |"
    for name, what in (
        ("kept-aside", "gas physics that no model saw"),
        (worst, f"the worst of nine others, `{worst}`"),
    ):
        before, after = found[name]["before"], found[name]["after"]
        yield (
            f"| {what}, `erass-v2-3band` | bias {100 * before['bias']:+.0f} per cent, "
            f"{100 * before['coverage68']:.0f} within 68; with 300 lensing masses "
            f"{100 * after['bias']:+.0f} and {100 * after['coverage68']:.0f} {more}"
        )


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
        lines.append("| " + " | ".join(cells) + " |")
    for bands, agn, gas in (("one band", -3.85, -3.53), ("three bands", -3.91, -3.77)):
        lines.append(f"| published, {bands} | | {agn} | {gas} | +2 | 0.285 R500c | | | | |")
    return lines


def _reference() -> str:
    """The reference's proxies and networks on its own kind of maps."""
    found = {row["name"]: row for row in estimators("phox-3285", *SCORED)}
    published = {name: f"{100 * (row['sigma_published'] or 0):.1f}" for name, row in found.items()}
    proxies = ", ".join(
        f"{name} {100 * found[name]['sigma_paper']:.1f} ({published[name]})"
        for name in ("T", "M_gas", "N_gal", "N_phot")
    )
    maps = ", ".join(
        f"{words} {per_cent(found[name], 'sigma_lnm')} ({published[name]})"
        for name, words in (("icm-1band", "one band"), ("icm-3band", "three bands"))
    )
    return (
        f"| clusters as those of Ho et al. 2023, scatter in per cent (published) | {proxies}; "
        f"networks: {maps} | [scores](docs/estimators.md#scores) |"
    )


def readme() -> list[str]:
    """What works, in figures."""
    rows = [_reference()]
    for survey, of_survey in results("erass")["surveys"].items():
        row = of_survey["models"]["erass-v2-3band"]["population"]
        rate = of_survey["count_rate"]["mean_mass_at_rate"]["sigma_lnm"]
        inside, half = 100 * row["coverage68"], 100 * row["bias_lnm"]
        rows.append(
            f"| masses of clusters as {_EIGHT[survey]} sees them, `erass-v2-3band` | scatter of "
            f"ln M {100 * row['sigma_lnm']:.0f} per cent, where count rates have "
            f"{100 * rate:.0f}; bias {half:+.0f}; {inside:.0f} per cent within 68 "
            "| [models](docs/estimators.md#bundled-models) |"
        )
    rows += list(_physics())
    calibration = results("calibration")
    coverage, population = calibration["coverage"], calibration["population"]["cosmology"]
    rows += [
        "| mass scale from 200 lensing masses | stated error "
        f"{100 * coverage['mean_error']:.1f} per cent; {100 * coverage['coverage68']:.0f} per cent "
        f"of {coverage['repeats']} repeats within 68 | [calibration](docs/calibration.md) |",
        f"| Omega_m, sigma_8 of {calibration['population']['clusters']:,} synthetic clusters | "
        f"{population['om0']:.3f} ± {population['om0_error']:.3f} for 0.272, "
        f"{population['sigma8']:.3f} ± {population['sigma8_error']:.3f} for 0.809 "
        "| [likelihoods](docs/calibration.md) |",
    ]
    catalogue = results("catalogue-efeds")
    real = catalogue["efeds"]["klein, mass-function, lensing"]
    mock = catalogue["mock"]["all columns"]
    rows.append(
        f"| masses from catalogue rows alone | scatter {100 * mock['sigma_lnm']:.0f} per cent on "
        f"mocks; {real['n']} real eFEDS clusters: mean ln ratio {real['mean_ln_ratio']:+.2f} to "
        f"published masses calibrated by lensing, scatter {real['scatter_ln_ratio']:.2f} "
        "| [catalogue](docs/catalogue.md) |"
    )
    flagged = results("out-of-domain")["flagged"]
    sky = results("whole-sky")["whole_sky"]
    rows += [
        "| inputs that are none | flagged: "
        f"{100 * flagged['blank field']:.0f} per cent of blank fields, "
        f"{100 * flagged['point source alone']:.0f} of point sources, "
        f"{100 * flagged['as trained (false alarms)']:.0f} of clusters "
        "| [estimators](docs/estimators.md#out-of-domain) |",
        f"| {sky['clusters']:,} clusters on {sky['tiles']:,} sky tiles | "
        f"{sky['exposure maps, 1 worker']['sky_h_core']:.1f} core hours to ingest, "
        f"{sky['predict, of the survey']['sky_h_core']:.1f} to predict "
        "| [real sky](docs/real_sky.md) |",
    ]
    return ["| what | figure | more |", "|---|---|---|", *rows]


TABLES: dict[str, Callable[[], list[str]]] = {
    "readme": readme,
    "networks": networks,
    "scores-erosita": partial(scores, "erosita"),
    "scores-phox": partial(scores, "phox"),
    "out-of-domain": out_of_domain,
    "learning-curve": learning_curve,
    "erass": erass,
    "floor": floor,
    "sbi": sbi,
    "calibration-variants": calibration_variants,
    "explanations": explanations,
    "physics-networks": partial(physics_marginal, 0),
    "physics-trees": partial(physics_marginal, 1),
    "physics-left-out": partial(physics_marginal, 2),
    "physics-richness": partial(physics_marginal, 3),
    "physics-adaptation": partial(physics_marginal, 4),
}


def written(text: str) -> str:
    """Return a document with its tables as the results have them."""

    def table(found: re.Match[str]) -> str:
        return found[1] + "\n" + "\n".join(TABLES[found[2]]()) + "\n\n" + found[3]

    return _BLOCK.sub(table, text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing")
    given = parser.parse_args()
    stale = []
    for name in FILES:
        file = ROOT / name
        text = file.read_text(encoding="utf-8")
        new = written(text)
        if new != text:
            stale.append(name)
            if not given.check:
                file.write_text(new, encoding="utf-8")
    if given.check and stale:
        sys.exit(f"{', '.join(stale)}: tables are not what the results say; run this script")


if __name__ == "__main__":
    main()
