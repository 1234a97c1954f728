"""What other gas physics does to masses, by one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import xarray as xr

from icmass.arguments import as_list
from icmass.benchmarking.transfer import Transfer, run_transfer
from icmass.inference.bundled import family_members, is_bundled, model_folder
from icmass.inference.family import ModelFamily
from icmass.survey.stored import store_of

Survey = str | Path | xr.Dataset
Surveys = Survey | Sequence[Survey]


def transfer(
    train: Surveys = (),
    test: Surveys = (),
    models: Sequence[str] | str = (),
    *,
    out: str | Path,
    seed: int = 0,
    device: str = "auto",
    max_epochs: int | None = None,
    resume: bool = False,
    watch: Callable[[str], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
    command: str | None = None,
) -> Transfer:
    """Train estimators on some surveys, test them on others, and write a matrix and its page.

    Halos that a test survey shares with the training survey are held out of the fit.

    Parameters
    ----------
    train : path, Dataset or sequence of them
        Surveys to fit on, each by itself; none if all models are saved ones.
    test : path, Dataset or sequence of them
        Surveys to score on, of any physics.
    models : sequence of str, or one
        Names of estimators, fitted on every training survey; bundled models and families
        (``"erass-v2"``) and folders of saved models or runs are scored as they are, of a family
        the member whose bands a test survey has.
    out : path
        Folder for models, ``transfer.json`` and ``transfer.html``; new or empty unless `resume`.
    seed : int
        Seed of fits, of the halos held out, and of the bootstrap errors.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``, for networks.
    max_epochs : int, optional
        Train networks for at most this many epochs.
    resume : bool
        Go on with a killed run; models that are fitted are kept.
    watch : callable, optional
        Called with a line of text as the work goes on.
    progress : callable, optional
        Called with how many fits and scores of how many are done.
    command : str, optional
        The command line, kept with the results.

    Returns
    -------
    Transfer
        ``rows`` (`TransferRow`), ``failed`` by model and survey, ``document``, ``path``.

    Raises
    ------
    InputError
        If a survey, a name or a saved model cannot be used, or `out` is not empty.
    """
    from icmass.report.transfer import write_transfer

    wanted = as_list(models)
    saved = [name for name in wanted if is_bundled(name) or Path(name).is_dir()]
    done = run_transfer(
        _stores(train),
        _stores(test),
        [name for name in wanted if name not in saved],
        out,
        saved=[_saved(name, device) for name in saved],
        seed=seed,
        device=device,
        max_epochs=max_epochs,
        resume=resume,
        watch=watch,
        progress=progress,
        command=command,
    )
    write_transfer(done)
    return done


def _saved(name: str, device: str) -> Path | ModelFamily:
    """Return the folder of a saved model, or the bundled family of that name."""
    members = family_members(name)
    return model_folder(name) if members is None else ModelFamily(name, members, device)


def _stores(surveys: Surveys) -> list[Path]:
    given = [surveys] if isinstance(surveys, str | Path | xr.Dataset) else list(surveys)
    return [store_of(survey) for survey in given]
