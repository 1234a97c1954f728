"""Estimators trained on some surveys and tested on others: what other gas physics does to masses.

The networks and relations of a benchmark are tested on the physics that they were trained on. Here
each is fitted on a whole survey, or comes as it was saved, and is scored on surveys of any physics.
No halo is in both: where a test survey has the halos of the training survey (it is the same one, or
was simulated with the same seed), a part of the halos is held out of the fit and scored alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from icmass.benchmarking.model_selection import canonical_names
from icmass.benchmarking.named_surveys import NamedSurvey, distinct, distinct_labels, open_named
from icmass.benchmarking.provenance import about_survey, machine, versions
from icmass.benchmarking.transfer_predictions import keep_predictions, transfer_predictions
from icmass.benchmarking.transfer_row import TransferRow, transfer_row
from icmass.errors import InputError, one_line
from icmass.estimators.estimator import Prediction, is_trained_redshift
from icmass.estimators.registry import make_estimator
from icmass.files import write_text
from icmass.inference.ensemble import Ensemble, load_ensemble
from icmass.inference.family import ModelFamily, chosen_for_survey
from icmass.proxies.names import read_scalar
from icmass.run.document import finite
from icmass.run.folder import survey_digest
from icmass.run.layout import MODEL_CONFIG, TRANSFER, RunLayout
from icmass.training.held_out import hold_out

SAVED = "saved"
"""What stands in place of a training survey for a model that came fitted."""
HELD_OUT_SHARE = 0.125
"""Fraction of the halos that is not trained on where a test survey shares them: one octant."""


@dataclass(frozen=True)
class Transfer:
    """A transfer matrix: its folder, rows, and what failed by model and survey."""

    path: Path
    rows: list[TransferRow]
    failed: dict[str, str]
    document: dict[str, Any]

    @classmethod
    def open(cls, path: str | Path) -> Transfer:
        """Open the folder that `run_transfer` wrote."""
        file = Path(path) / TRANSFER
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
            rows = [TransferRow(**row) for row in document["rows"]]
            return cls(Path(path), rows, dict(document["failed"]), document)
        except (OSError, ValueError, KeyError, TypeError) as error:
            what = f"cannot be read ({type(error).__name__})"
            hint = "give the folder that `icmass transfer` wrote"
            raise InputError(what, file=file, hint=hint) from None


Watch = Callable[[str], None]
Progress = Callable[[int, int], None]


def run_transfer(
    train: Sequence[str | Path],
    test: Sequence[str | Path],
    models: Sequence[str],
    out: str | Path,
    *,
    saved: Sequence[str | Path | ModelFamily] = (),
    seed: int = 0,
    device: str = "auto",
    max_epochs: int | None = None,
    resume: bool = False,
    watch: Watch | None = None,
    progress: Progress | None = None,
    command: str | None = None,
) -> Transfer:
    """Fit estimators on surveys, score them on others, and write ``transfer.json``.

    Parameters
    ----------
    train : sequence of path
        Surveys to fit on, each by itself.
    test : sequence of path
        Surveys to score on; one of `train` may be among them.
    models : sequence of str
        Names of estimators, fitted on each survey of `train`.
    out : path
        Folder for models and ``transfer.json``; new or empty unless `resume`.
    saved : sequence of path or ModelFamily
        Folders of saved models or runs, scored as they are; of a family on each survey the member
        whose bands it has, which ``chosen`` of the document names.
    seed : int
        Seed of fits, of the halos held out, and of the bootstrap.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``, for networks.
    max_epochs : int, optional
        Train networks for at most this many epochs.
    resume : bool
        Go on with what is in `out`: fitted models are kept.
    watch : callable, optional
        Called with a line of text as the work goes on.
    progress : callable, optional
        Called with how many fits and scores of how many are done.
    command : str, optional
        The command line, kept with the results.

    Returns
    -------
    Transfer
        A model that failed on a survey is in ``failed``, and the others are there nonetheless;
        single clusters that one cannot predict are in ``refused`` of the document.

    Raises
    ------
    InputError
        If a survey, a name or a saved model cannot be used, or `out` is not empty.
    """
    models = canonical_names(models)
    if not (models and train) and not saved:
        raise InputError("nothing to score", field="models", hint="give --train and --models")
    fits, tests = open_named(train, "train"), open_named(test, "test")
    opened = _open_saved(saved, device)
    work = _Work(Path(out), seed, device, max_epochs, watch or (lambda line: None))
    work.start(_settings(fits, tests, models, saved, seed, max_epochs), resume=resume)
    n_fits = len(fits) * len(models)
    work.total = n_fits + (n_fits + len(saved)) * len(tests)
    work.progress = progress or (lambda done, total: None)
    work.step(0)
    rows: list[TransferRow] = []
    for name, source in [(n, s) for s in fits for n in models]:
        rows += work.fit_and_score(name, source, tests)
    for name, model in opened.items():
        if isinstance(model, ModelFamily):
            rows += work.score_family(model, tests)
        else:
            rows += work.score_saved(name, model, tests)
    document = finite(
        {
            "rows": [asdict(row) for row in rows],
            "failed": work.failed,
            "refused": work.refused,
            "chosen": work.chosen,
            "surveys": [about_survey(s.data, s.label) for s in distinct([*fits, *tests])],
            "stores": {s.label: str(s.path.absolute()) for s in tests},
            "seed": seed,
            "machine": machine(device),
            "command": command,
            "versions": versions(),
        }
    )
    write_text(work.folder / TRANSFER, json.dumps(document, indent=1) + "\n")
    return Transfer(work.folder, rows, work.failed, document)


def _open_saved(
    saved: Sequence[str | Path | ModelFamily], device: str
) -> dict[str, Ensemble | ModelFamily]:
    """Return saved models and families under names that tell them apart."""
    families = {model.name: model for model in saved if isinstance(model, ModelFamily)}
    folders = [Path(model) for model in saved if not isinstance(model, ModelFamily)]
    labels = distinct_labels(folders, "models", taken=families)
    found: dict[str, Ensemble | ModelFamily] = {}
    for model in saved:
        if isinstance(model, ModelFamily):
            found[model.name] = model
        else:
            found[labels[Path(model)]] = load_ensemble(model, device=device)
    return found


def _settings(
    fits: Sequence[NamedSurvey],
    tests: Sequence[NamedSurvey],
    models: Sequence[str],
    saved: Sequence[str | Path | ModelFamily],
    seed: int,
    max_epochs: int | None,
) -> dict[str, Any]:
    """Return what a resumed run must share with the run that it goes on with."""
    return {
        "train": {survey.label: survey_digest(survey.data) for survey in fits},
        "test": {survey.label: survey_digest(survey.data) for survey in tests},
        "models": list(models),
        "saved": [each.name if isinstance(each, ModelFamily) else str(each) for each in saved],
        "seed": seed,
        "max_epochs": max_epochs,
    }


def _earlier(file: Path) -> dict[str, Any]:
    """Return the settings that a run was started with; none where it has no file of them."""
    try:
        return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}
    except (OSError, ValueError, TypeError) as error:
        what = f"is damaged ({type(error).__name__})"
        raise InputError(what, file=file, hint="give another --out") from None


@dataclass
class _Work:
    """The folder of a transfer run, and what its fits share."""

    folder: Path
    seed: int
    device: str
    max_epochs: int | None
    watch: Watch

    def __post_init__(self) -> None:
        self.failed: dict[str, str] = {}
        self.refused: dict[str, str] = {}
        self.chosen: dict[str, dict[str, str]] = {}
        self.done = self.total = 0
        self.progress: Progress = lambda done, total: None

    def step(self, n: int = 1) -> None:
        """Say that `n` more fits and scores are done."""
        self.done += n
        self.progress(self.done, self.total)

    def start(self, settings: dict[str, Any], *, resume: bool) -> None:
        """Make the folder, or check that it is one of the same settings to go on with."""
        file = RunLayout(self.folder).config
        if self.folder.exists() and not self.folder.is_dir():
            hint = "choose another name"
            raise InputError("is not a folder", file=self.folder, field="--out", hint=hint)
        if self.folder.exists() and any(self.folder.iterdir()):
            if not resume:
                hint = "choose another folder, or go on with --resume"
                raise InputError("exists already", file=self.folder, field="--out", hint=hint)
            earlier = _earlier(file)
            for key, value in settings.items():
                if earlier.get(key) != value:
                    hint = "resume with what the run was started with, or give another --out"
                    raise InputError("differs from the run", file=file, field=key, hint=hint)
        write_text(file, json.dumps(settings, indent=1) + "\n")

    def fit_and_score(
        self, name: str, source: NamedSurvey, tests: Sequence[NamedSurvey]
    ) -> list[TransferRow]:
        """Fit one estimator on one survey, unless it is fitted, and score it on all."""
        shared = [test for test in tests if source.shares_halos(test)]
        halos = source.halos
        train = np.arange(len(halos))
        held_out = np.empty(0, halos.dtype)
        if shared:
            train, rest = hold_out(halos, HELD_OUT_SHARE, self.seed)
            held_out = np.unique(halos[rest])
        folder = self.folder / "models" / source.label.replace("/", "_") / name
        try:
            ensemble = self._fitted(name, source, train, folder)
        except Exception as error:
            if isinstance(error, OSError):
                raise
            self.failed[f"{name} on {source.label}"] = one_line(error)
            self.watch(f"{name} on {source.label} failed: {one_line(error)}")
            self.step(1 + len(tests))
            return []
        self.step()
        rows = []
        for test in tests:
            index = np.arange(test.data.sizes["cluster"])
            if test in shared:
                index = index[np.isin(test.halos, held_out)]
            rows += self._scored(ensemble, name, source.label, test, index, test in shared)
        return rows

    def score_saved(
        self, name: str, ensemble: Ensemble, tests: Sequence[NamedSurvey]
    ) -> list[TransferRow]:
        """Score a saved model, or the best network of a run."""
        rows = []
        for test in tests:
            found = replace(test, data=chosen_for_survey(ensemble, test.data)[1])
            index = np.arange(found.data.sizes["cluster"])
            rows += self._scored(ensemble, name, SAVED, found, index, False)
        return rows

    def score_family(self, family: ModelFamily, tests: Sequence[NamedSurvey]) -> list[TransferRow]:
        """Score on each survey the member of a family whose bands it has, as the family's row."""
        rows = []
        for test in tests:
            try:
                ensemble, data = family.for_survey(test.data)
            except InputError as error:
                self._fail(family.name, SAVED, test, error)
                continue
            if ensemble.choice is not None:
                self.chosen[f"{family.name} on {test.label}"] = ensemble.choice.facts()
                self.watch(f"{family.name} on {test.label}: {ensemble.choice.member}")
            index = np.arange(data.sizes["cluster"])
            found = replace(test, data=data)
            rows += self._scored(ensemble, family.name, SAVED, found, index, False)
        return rows

    def _fail(self, name: str, train: str, test: NamedSurvey, error: InputError) -> None:
        """Keep why there is no row of a model on a survey, and say so."""
        origin = "" if train == SAVED else f" from {train}"
        self.failed[f"{name}{origin} on {test.label}"] = error.command_line
        self.watch(f"{name} on {test.label} failed: {error.command_line}")
        self.step()

    def _fitted(self, name: str, source: NamedSurvey, train: np.ndarray, folder: Path) -> Ensemble:
        if not (folder / MODEL_CONFIG).is_file():
            self.watch(f"{name}: fitted on {len(train)} clusters of {source.label}")
            estimator = make_estimator(
                name,
                seed=self.seed,
                device=self.device,
                max_epochs=self.max_epochs,
                checkpoint=folder.with_name(f"{name}.partial"),
                progress=lambda epoch: self.watch(
                    f"{name} on {source.label}: epoch {epoch.epoch}, "
                    f"loss {epoch.train_loss:.4f}, validation {epoch.validation_loss:.4f}"
                ),
            )
            estimator.fit(source.data, train)
            estimator.save(folder)
        return load_ensemble(folder, device=self.device)

    def _scored(
        self,
        ensemble: Ensemble,
        name: str,
        train: str,
        test: NamedSurvey,
        index: np.ndarray,
        held_out: bool,
    ) -> list[TransferRow]:
        """Return the row of one model on one survey; none, and why, if it cannot be made."""
        try:
            low, high = ensemble.training.redshift_range
            redshift = read_scalar(test.data, "redshift", index)
            near = index[is_trained_redshift(redshift, (low, high))]
            if len(near) < 2:
                what = f"{test.label} has no clusters at redshifts {low:.2f}-{high:.2f}"
                raise InputError(what, field="redshift")
            scored, prediction, refused = ensemble.predict_all(test.data, near)
            if len(scored) < 2:
                what = f"one cluster alone can be predicted of {len(near)}"
                raise InputError(what, field=test.label)
        except InputError as error:
            self._fail(name, train, test, error)
            return []
        origin = "" if train == SAVED else f" from {train}"
        for cluster, why in refused.items():
            self.refused[f"{name}{origin} on {test.label}, cluster {cluster}"] = one_line(why)
        self._keep(prediction, name, train, test, scored)
        row = transfer_row(
            prediction,
            test.data,
            scored,
            names=(name, train, test.label),
            n_refused=len(index) - len(scored),
            held_out=held_out,
            seed=self.seed,
        )
        self.watch(
            f"{name} from {train} on {test.label}: rms {row.rms_lnm:.3f}, bias {row.bias_lnm:+.3f}"
        )
        self.step()
        return [row]

    def _keep(
        self, found: Prediction, name: str, train: str, test: NamedSurvey, index: np.ndarray
    ) -> None:
        ln_m = np.log(read_scalar(test.data, "m500c", index))
        keep_predictions(
            transfer_predictions(self.folder, name, train, test.label), index, ln_m, found
        )
