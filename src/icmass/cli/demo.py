"""`icmass demo`: the whole chain in minutes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from icmass.cli import options
from icmass.cli.interruption import resumable
from icmass.cli.progress import stages

N_CLUSTERS = 800
FOLDS = 4
SEED = 1
EPOCHS = 27
PROXIES = "T,L_X,M_gas,T+M_gas,N_phot,N_phot_r500,N_phot_2r500"
NETWORKS = "icm-1band,icm-3band"
MOST_JOBS = 8  # networks that are fitted: two on four folds
EXPLAINED, N_EXPLAINED = "icm-3band", 48


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the survey and the run.")] = Path(
        "icmass-demo"
    ),
    n: Annotated[int, typer.Option("--n", min=200, help="Number of clusters.")] = N_CLUSTERS,
    quiet: options.Quiet = False,
) -> None:
    """Simulate a survey, train, score and explain estimators, write a page: minutes on two cores.

    What is there already is kept: a finished survey is used again, an unfinished run goes on.
    """
    with resumable(out, flag=None):
        _run(out, n, quiet)


def _run(out: Path, n: int, quiet: bool) -> None:
    import icmass
    from icmass.cli.benchmark import benchmark
    from icmass.cli.simulate import simulate
    from icmass.main_process import usable_cores

    begin = time.monotonic()
    survey, run = out / "demo.zarr", out / "run"
    out.mkdir(parents=True, exist_ok=True)
    cores = usable_cores()
    if not survey.exists():
        typer.echo(f"1. Simulating {n} clusters (preset demo, seed {SEED})")
        simulate(survey, n=n, preset="demo", seed=SEED, workers=cores, resume=True, quiet=quiet)
    typer.echo(f"2. Training and scoring estimators on {FOLDS} folds of the box")
    benchmark(
        survey,
        out=run,
        models=f"{PROXIES},{NETWORKS}",
        folds=FOLDS,
        seed=SEED,
        max_epochs=EPOCHS,
        jobs=min(cores, MOST_JOBS),
        resume=run.exists(),
        quiet=quiet,
    )
    if not (run / "explain" / f"{EXPLAINED}.json").exists():
        typer.echo(f"3. What {EXPLAINED} looks at, on {N_EXPLAINED} clusters")
        with stages(quiet=quiet) as count:
            explained = icmass.explain(
                run,
                survey=survey,
                model=EXPLAINED,
                methods=["saliency", "ig"],
                max_clusters=N_EXPLAINED,
                checks=False,
                seed=SEED,
                count=count,
            )
        typer.echo(explained["files"][-1])
    typer.echo(f"icmass demo took {time.monotonic() - begin:.0f} s")
