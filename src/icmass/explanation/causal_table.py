"""The causal tests as tables."""

from __future__ import annotations

from icmass.run.causal import Causal, CleanedScatter, ClosedShare, Response, Retrained
from icmass.run.table import MISSING, Cell, Column, Row, Table


def causal_tables(found: Causal) -> list[Table]:
    """Return the tables of causal tests, each with the note that explains it."""
    tables = [_responses(found), _scatters(found)]
    if found.scatter is not None:
        tables.append(_scatter(found.scatter))
    if found.retrained:
        tables.append(_retrained(found.retrained))
    return tables


def causal_markdown(found: Causal) -> str:
    """Return the tables of causal tests in Markdown, each beneath its note."""
    parts = [part for table in causal_tables(found) for part in (*table.notes, table.to_markdown())]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _responses(found: Causal) -> Table:
    names = list(found.models)
    rows: list[Row] = [
        [
            test.what,
            f"{test.photons['n_phot']:+.0f}",
            *(_response(test.responses[name]) for name in names),
        ]
        for test in found.tests
    ]
    text = (
        f"Mean d ln M500c of {found.clusters} clusters, each read by the fold that did not"
        " train on it; errors from the bootstrap over halos."
    )
    fewer = {name: model.clusters for name, model in found.models.items()}
    fewer = {name: n for name, n in fewer.items() if n < found.clusters}
    text += "".join(f" {name} has folds for {n} of them." for name, n in fewer.items())
    blind = [name for name, model in found.models.items() if model.blind_to_maps]
    if blind:
        text += (
            f" Not read off maps: {', '.join(blind)}. What is done to a map leaves these at 0 by"
            " construction; where the gas is made anew they are that gas's."
        )
    return Table(["change", "photons", *names], rows, notes=[text])


def _response(found: Response) -> Cell:
    if found.dlnm == 0 and found.error == 0:
        return Cell("0")
    return Cell(f"{found.dlnm:+.3f}", f"{found.error:.3f}")


def _scatters(found: Causal) -> Table:
    seeing = [name for name, model in found.models.items() if not model.blind_to_maps]
    rows: list[Row] = [
        [test.what, *(_ratio(test.responses[name]) for name in seeing)] for test in found.tests
    ]
    text = (
        "Scatter of ln M500c after over before, not trained anew; in brackets the clusters that"
        " the network itself then flags as out of its domain, per cent."
    )
    return Table(["change", *seeing], rows, notes=[text])


def _ratio(found: Response) -> Cell:
    if found.scatter_ratio is None:
        return Cell(MISSING)
    flagged = found.flagged_after
    told = "" if flagged is None else f" ({100 * flagged:.0f})"
    return Cell(f"{found.scatter_ratio:.3f}", f"{_number(found.scatter_ratio_error, '.3f')}{told}")


def _scatter(rows: list[CleanedScatter]) -> Table:
    networks = list(dict.fromkeys(name for row in rows for name in row.closed or {}))
    body: list[Row] = []
    for row in rows:
        closed = ["" if row.closed is None else _share(row.closed[name]) for name in networks]
        r = [_number(row.r[driver], "+.2f") for driver in ("core", "agn")]
        sigma = _percent(row.sigma_lnm, row.sigma_lnm_error)
        body.append([row.name, row.what, str(row.n), sigma, *r, *closed])
    text = (
        "Cross-validated scatter of ln M500c, per cent, every relation fitted anew. The share is"
        " of the variance between the proxy as it is and the network: what the cleaning takes"
        " away of it; a dash where the network gains nothing. r is the correlation of predicted -"
        " true with ln L_X with over without the core, and with ln of the photons within R500c with"
        " over without true AGN."
    )
    what = Column("what", numeric=False)
    head: list[Column | str] = ["estimator", what, "clusters", "scatter", "r core", "r AGN"]
    head += [f"share of {name}" for name in networks]
    return Table(head, body, notes=[text])


def _share(closed: ClosedShare | None) -> Cell:
    if closed is None:
        return Cell(MISSING)
    return Cell(f"{closed.share:.2f}", f"{closed.error:.2f}")


def _retrained(rows: list[Retrained]) -> Table:
    then = list(dict.fromkeys(name for row in rows for name in row.responses))
    body: list[Row] = []
    for row in rows:
        told = [_response(row.responses[n]) if n in row.responses else "" for n in then]
        sigma = _percent(row.sigma_lnm, row.sigma_lnm_error)
        ratio = Cell(_number(row.sigma_ratio, ".3f"), _number(row.sigma_ratio_error, ".3f"))
        body.append([row.what, row.model, str(row.n), sigma, ratio, *told])
    text = (
        "Networks trained anew on changed clusters, scored on the same changed clusters: scatter of"
        " ln M500c, per cent, its ratio to the first, and d ln M500c of what is then done to the"
        " test clusters."
    )
    model = Column("model", numeric=False)
    head: list[Column | str] = ["trained on", model, "clusters", "scatter", "ratio", *then]
    return Table(head, body, notes=[text])


def _percent(value: float, error: float | None) -> Cell:
    return Cell(f"{100 * value:.2f}", "" if error is None else f"{100 * error:.2f}")


def _number(value: float | None, form: str) -> str:
    return MISSING if value is None else f"{value:{form}}"
