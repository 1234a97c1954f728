"""The causal tests as tables for people, in Markdown."""

from __future__ import annotations

from typing import Any


def causal_markdown(found: dict[str, Any]) -> str:
    """Return what `icmass.explanation.causal.run_causal` found as Markdown.

    Parameters
    ----------
    found : dict
        Of `run_causal`; with ``retrained``, what `icmass.explanation.causal_scatter.retrain`
        returns, there is a table of these too.
    """
    parts = [_responses(found), _scatters(found)]
    parts += [_scatter(found["scatter"])] if "scatter" in found else []
    parts += [_retrained(found["retrained"])] if found.get("retrained") else []
    return "\n\n".join(parts) + "\n"


def _table(head: list[str], rows: list[list[str]]) -> str:
    ruler = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ruler, *rows])


def _responses(found: dict[str, Any]) -> str:
    names = list(found["models"])
    rows = []
    for test in found["tests"]:
        cells = [_response(test["responses"][name]) for name in names]
        rows.append([test["what"], f"{test['photons']['n_phot']:+.0f}", *cells])
    blind = [name for name in names if found["models"][name]["blind_to_maps"]]
    text = (
        f"Mean d ln M500c of {found['clusters']} clusters, each read by the fold that did not"
        " train on it; errors from the bootstrap over halos."
    )
    fewer = {m: about["clusters"] for m, about in found["models"].items()}
    fewer = {m: n for m, n in fewer.items() if n < found["clusters"]}
    text += "".join(f" {m} has folds for {n} of them." for m, n in fewer.items())
    if blind:
        text += (
            f" Not read off maps: {', '.join(blind)}. What is done to a map leaves these at 0 by"
            " construction; where the gas is made anew they are that gas's."
        )
    return text + "\n\n" + _table(["change", "photons", *names], rows)


def _response(found: dict[str, Any]) -> str:
    if found["dlnm"] == 0 and found["error"] == 0:
        return "0"
    return f"{found['dlnm']:+.3f} ± {found['error']:.3f}"


def _scatters(found: dict[str, Any]) -> str:
    seeing = [name for name, about in found["models"].items() if not about["blind_to_maps"]]
    rows = []
    for test in found["tests"]:
        cells = [_ratio(test["responses"][name]) for name in seeing]
        rows.append([test["what"], *cells])
    text = (
        "Scatter of ln M500c after over before, not trained anew; in brackets the clusters that"
        " the network itself then flags as out of its domain, per cent."
    )
    return text + "\n\n" + _table(["change", *seeing], rows)


def _ratio(found: dict[str, Any]) -> str:
    if found["scatter_ratio"] is None:
        return "–"
    text = f"{found['scatter_ratio']:.3f} ± {found['scatter_ratio_error']:.3f}"
    flagged = found["flagged_after"]
    return text if flagged is None else f"{text} ({100 * flagged:.0f})"


def _scatter(rows: list[dict[str, Any]]) -> str:
    networks = list(dict.fromkeys(name for row in rows for name in row.get("closed", {})))
    body = []
    for row in rows:
        closed = [_share(row["closed"][name]) if "closed" in row else "" for name in networks]
        sigma = f"{100 * row['sigma_lnm']:.2f} ± {100 * row['sigma_lnm_error']:.2f}"
        r = [f"{row['r'][driver]:+.2f}" for driver in ("core", "agn")]
        body.append([row["name"], row["what"], str(row["n"]), sigma, *r, *closed])
    text = (
        "Cross-validated scatter of ln M500c, per cent, every relation fitted anew. The share is"
        " of the variance between the proxy as it is and the network: what the cleaning takes"
        " away of it; a dash where the network gains nothing. r is the correlation of predicted -"
        " true with ln L_X with over without the core, and with ln of the photons within R500c with"
        " over without true AGN."
    )
    head = [
        "estimator",
        "what",
        "clusters",
        "scatter",
        "r core",
        "r AGN",
        *(f"share of {name}" for name in networks),
    ]
    return text + "\n\n" + _table(head, body)


def _share(closed: dict[str, Any] | None) -> str:
    if closed is None:
        return "–"
    return f"{closed['share']:.2f} ± {closed['error']:.2f}"


def _retrained(rows: list[dict[str, Any]]) -> str:
    then = list(dict.fromkeys(name for row in rows for name in row["responses"]))
    body = []
    for row in rows:
        told = [
            _response(row["responses"][name]) if name in row["responses"] else "" for name in then
        ]
        sigma = f"{100 * row['sigma_lnm']:.2f} ± {100 * row['sigma_lnm_error']:.2f}"
        ratio = f"{row['sigma_ratio']:.3f} ± {row['sigma_ratio_error']:.3f}"
        body.append([row["what"], row["model"], str(row["n"]), sigma, ratio, *told])
    text = (
        "Networks trained anew on changed clusters, scored on the same changed clusters: scatter of"
        " ln M500c, per cent, its ratio to the first, and d ln M500c of what is then done to the"
        " test clusters."
    )
    head = ["trained on", "model", "clusters", "scatter", "ratio", *then]
    return text + "\n\n" + _table(head, body)
