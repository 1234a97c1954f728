"""`icmass explain`: what the networks of a run look at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from icmass.cli.options import Quiet
from icmass.cli.progress import stages
from icmass.errors import InputError

if TYPE_CHECKING:
    from icmass.explanation.folds import FoldNetworks
    from icmass.run.causal import Causal

_ALL = "saliency,ig,eg,smoothgrad,occlusion"


def explain(
    run: Annotated[Path, typer.Argument(help="Folder of `icmass benchmark`.", metavar="RUN")],
    survey: Annotated[
        Path | None,
        typer.Argument(
            help="The run's survey, if it is no longer where the run says.",
            metavar="[X.zarr]",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A network of the run; default: its best.", metavar="A")
    ] = None,
    methods: Annotated[str, typer.Option(help="Names joined by commas.", metavar="M,...")] = _ALL,
    max_clusters: Annotated[
        int | None,
        typer.Option(min=1, help="At random so many; default: all, of slow methods 512."),
    ] = None,
    clusters: Annotated[
        str | None,
        typer.Option(
            help="Only draw these clusters: which photons carry the mass.", metavar="I,J,..."
        ),
    ] = None,
    width: Annotated[
        bool, typer.Option("--width", help="With --clusters: the posterior's width instead.")
    ] = False,
    causal: Annotated[
        bool,
        typer.Option(
            "--causal",
            help="Causal tests instead, of every estimator of the run: known changes of the maps "
            "and of the gas, and what they do to the mass.",
        ),
    ] = False,
    checks: Annotated[bool, typer.Option(help="Make the sanity checks.")] = True,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all that is drawn.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    quiet: Quiet = False,
) -> None:
    """Explain a network: attribution, regions, sanity checks; adds to RUN.

    Each cluster is explained by the fold that was not trained on it.
    """
    import icmass
    from icmass.explanation.causal import run_causal
    from icmass.explanation.folds import open_run
    from icmass.report.source import read_scores

    if width and clusters is None:
        raise InputError("draws single clusters", field="--width", hint="give --clusters too")
    if clusters is not None:
        networks = open_run(run, survey, model=model, device=device)
        _draw_clusters(networks, _indices(clusters), width, as_json)
        return
    if causal:
        networks = open_run(run, survey, model=model, device=device)
        read_scores(run)
        with stages(quiet=quiet or as_json) as count:
            found = run_causal(
                networks.path,
                networks.survey,
                n=max_clusters or 512,
                seed=seed,
                device=device,
                count=count,
            )
        _keep_causes(networks, found, as_json)
        return
    with stages(quiet=quiet or as_json) as count:
        document = icmass.explain(
            run,
            survey=survey,
            model=model,
            methods=[name.strip() for name in methods.split(",")],
            max_clusters=max_clusters,
            checks=checks,
            seed=seed,
            device=device,
            count=count,
        )
    files = document.pop("files")
    if as_json:
        typer.echo(json.dumps(document, indent=1))
        return
    from rich.console import Console
    from rich.markdown import Markdown

    from icmass.explanation.run import markdown
    from icmass.run.explanation import Explanation

    Console().print(Markdown(markdown(Explanation.of(document))))
    for file in files:
        typer.echo(file)


def _keep_causes(networks: FoldNetworks, found: Causal, as_json: bool) -> None:
    """Keep the causal tests of a run in it, and print them."""
    from icmass.explanation.causal_table import causal_markdown
    from icmass.report.page import write_report
    from icmass.run.folder import RunFolder

    folder, text = RunFolder(networks.path), causal_markdown(found)
    files = folder.layout
    folder.write(files.causal, found)
    folder.write_text(files.causal_text, text)
    page = write_report(networks.path, keep_figures=True)
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=1))
        return
    typer.echo(text)
    for file in (files.causal, files.causal_text, page):
        typer.echo(file)


def _draw_clusters(networks: FoldNetworks, chosen: list[int], width: bool, as_json: bool) -> None:
    from icmass.explanation.cluster import explain_cluster
    from icmass.report.explain_cluster import save_cluster
    from icmass.run.layout import RunLayout

    members = {cluster: networks.of_cluster(cluster) for cluster in chosen}
    rows = []
    for cluster, member in members.items():
        found = explain_cluster(
            member, networks.survey, cluster, quantity="width" if width else "mean"
        )
        saved = save_cluster(found, RunLayout(networks.path).figures)
        rows.append(
            {
                "cluster": cluster,
                "quantity": found.quantity,
                "value": found.value,
                "change": found.change,
                "completeness": found.error,
                "picture": str(saved.png),
            }
        )
        if not as_json:
            typer.echo(saved.png)
    if as_json:
        typer.echo(json.dumps({"model": networks.name, "clusters": rows}, indent=1))


def _indices(text: str) -> list[int]:
    """Return the clusters of a text like ``3,5``."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise InputError(repr(text), field="--clusters", hint="give numbers joined by commas")
    return [int(part) for part in parts]
