"""Benchmark runs by one call: make one, open one, explain its networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from icmass.arguments import as_list, whole_number
from icmass.benchmarking.runner import run_benchmark
from icmass.benchmarking.state import Progress
from icmass.inference.ensemble import Ensemble, load_ensemble
from icmass.main_process import is_main
from icmass.report.page import write_report
from icmass.run.folder import RunFolder
from icmass.run.results import Results
from icmass.survey.stored import store_of

if TYPE_CHECKING:
    from astropy.table import Table

METHODS = ("saliency", "ig", "eg", "smoothgrad", "occlusion")


@dataclass(frozen=True)
class Run:
    """A benchmark run on disk.

    Attributes
    ----------
    path : Path
        Its folder.
    document : Results
        What ``results.json`` holds, typed.
    """

    path: Path
    document: Results = field(repr=False)

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Open the folder that `benchmark` wrote."""
        folder = RunFolder(path)
        return cls(folder.path, folder.read_results())

    @cached_property
    def results(self) -> dict[str, Any]:
        """What ``results.json`` holds, as dicts and lists with its keys."""
        return self.document.as_json()

    @property
    def failed(self) -> dict[str, str]:
        """Estimators that failed, and why."""
        return dict(self.document.failed)

    @property
    def models(self) -> list[str]:
        """Names of the estimators that have scores; `model` opens one."""
        return [score.name for score in self.document.estimators]

    @property
    def page(self) -> Path | None:
        """The page of the run, if it was written."""
        page = RunFolder(self.path).layout.page
        return page if page.is_file() else None

    @property
    def survey(self) -> xr.Dataset:
        """The survey of the run."""
        return RunFolder(self.path).open_survey()

    def model(self, name: str | None = None, *, device: str = "auto") -> Ensemble:
        """Open an estimator of the run; default: its best network."""
        return load_ensemble(self.path, model=name, device=device)

    def scores(self) -> Table:
        """Return the scores, one row an estimator: scatter and bias are of ln M500c."""
        from astropy.table import Table

        columns = (
            *("name", "kind", "n", "sigma_lnm", "sigma_lnm_error", "bias_lnm", "crps"),
            *("coverage68", "coverage95", "sigma_paper", "sigma_published", "train_seconds"),
        )
        rows = [score.model_dump(include=set(columns)) for score in self.document.estimators]
        kept = [n for n in columns if not rows or any(row[n] is not None for row in rows)]
        nan = float("nan")
        return Table(
            {name: [nan if row[name] is None else row[name] for row in rows] for name in kept}
        )

    def __repr__(self) -> str:
        return f"<Run {self.path}: {', '.join(self.models)}>"

    def _repr_html_(self) -> str:
        return str(self.scores()._repr_html_())


def benchmark(
    survey: str | Path | xr.Dataset,
    models: Sequence[str] | None = None,
    *,
    out: str | Path,
    folds: int = 8,
    seed: int = 0,
    device: str = "auto",
    max_epochs: int | None = None,
    fold_limit: Mapping[str, int] | None = None,
    jobs: int = 1,
    resume: bool = False,
    progress: Progress | None = None,
    command: str | None = None,
) -> Run:
    """Cross-validate mass estimators on octant folds of a survey's box.

    Parameters
    ----------
    survey : path or Dataset
        A simulated survey; a dataset must be one that `icmass.open_survey` opened, unchanged.
    models : sequence of str, optional
        Names of estimators, a set of proxies joined by ``+``; default: all proxies, some sets of
        them, and ``icm-3band``.
    out : path
        Folder of the run, new or empty: results, tables, models and a page.
    folds : {2, 4, 8}
        Groups of the box's octants.
    seed : int
        Seed of fits and bootstrap errors.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    max_epochs : int, optional
        Train networks for at most this many epochs.
    fold_limit : mapping of str to int, optional
        Fit a slow network on its first folds only.
    jobs : int
        Fits side by side, each by a process of its own, on the cores or on one GPU.
    resume : bool
        Go on with the run in `out`.
    progress : callable, optional
        Called with a `icmass.benchmarking.state.Step` when something has happened.
    command : str, optional
        The command line, kept with the results.

    Returns
    -------
    Run
        An estimator that failed is in `Run.failed`, and the others are there nonetheless.

    Raises
    ------
    InputError
        If what was given cannot be used.
    """
    done = run_benchmark(
        store_of(survey),
        as_list(models) or None,
        folds,
        out,
        seed=seed,
        device=device,
        resume=resume,
        max_epochs=max_epochs,
        fold_limit=fold_limit,
        jobs=jobs,
        progress=progress,
        command=command,
    )
    if is_main() and done.results.estimators:
        write_report(Path(out))
    return Run(Path(out), done.results)


def explain(
    run: Run | str | Path,
    *,
    survey: str | Path | None = None,
    model: str | None = None,
    methods: Sequence[str] = METHODS,
    max_clusters: int | None = None,
    checks: bool = True,
    seed: int = 0,
    device: str = "auto",
    progress: Callable[[str], None] | None = None,
    count: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Explain a network of a run: attribution, regions, sanity checks; adds figures to the run.

    Each cluster is explained by the fold that was not trained on it.

    Parameters
    ----------
    run : Run or path
    survey : path, optional
        The run's survey, if it is no longer where the run says.
    model : str, optional
        A network of the run; default: its best.
    methods : sequence of str
        Of ``saliency``, ``ig``, ``eg``, ``smoothgrad``, ``occlusion``.
    max_clusters : int, optional
        At random so many; default: all, of slow methods 512.
    checks : bool
        Make the sanity checks.
    seed : int
        Seed of all that is drawn.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    progress : callable, optional
        Called with what is being done.
    count : callable, optional
        Called with what is being done, how much of it is done, and how much there is.

    Returns
    -------
    dict
        What ``explain/<model>.json`` of the run holds, and under ``files`` what was written.

    Raises
    ------
    InputError
        If what was given cannot be used.
    """
    from icmass.explanation.examples import default_examples, make_examples
    from icmass.explanation.folds import open_run
    from icmass.explanation.methods import Settings
    from icmass.explanation.run import explain_run, keep
    from icmass.report.explain import write_figures
    from icmass.report.source import read_scores
    from icmass.run.attributions import AttributionMaps

    if max_clusters is not None:
        max_clusters = whole_number(max_clusters, "--max-clusters", 1)
    path = run.path if isinstance(run, Run) else Path(run)
    networks = open_run(path, survey, model=model, device=device)
    read_scores(path)
    settings = Settings(seed=seed)
    maps: list[AttributionMaps] = []
    document = explain_run(
        networks,
        methods=as_list(methods),
        max_clusters=max_clusters,
        checks=checks,
        settings=settings,
        progress=progress,
        count=count,
        maps=maps,
    )
    kept = keep(networks.path, document, maps)
    examples = make_examples(networks, default_examples(networks), settings)
    figures = write_figures(networks.path, document, examples)
    files = [kept, kept.with_suffix(".md"), *(figure.png for figure in figures)]
    return {**document.as_json(), "files": [*files, write_report(networks.path, keep_figures=True)]}
