"""Where the files of a run lie: the one place that knows their names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

RESULTS = "results.json"
TRANSFER = "transfer.json"
"""Scores: of a run, and beside the weights of a model that was trained on its own."""
MODEL_CONFIG = "config.json"
MODEL_FILES = (MODEL_CONFIG, "model.safetensors")
"""What a finished model has; its configuration is the last file to be written."""
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@-]{0,99}")
_FOLD = "fold-"


@dataclass(frozen=True)
class RunLayout:
    """The paths of a run's files, there or not.

    Attributes
    ----------
    path : Path
        The run's folder.
    """

    path: Path

    @property
    def config(self) -> Path:
        """What the benchmark was started with."""
        return self.path / "config.json"

    @property
    def results(self) -> Path:
        """Scores of every estimator."""
        return self.path / RESULTS

    @property
    def scaling(self) -> Path:
        """Relations of the survey's proxies."""
        return self.path / "scaling.json"

    @property
    def models(self) -> Path:
        """Saved estimators, a folder a name."""
        return self.path / "models"

    @property
    def figures(self) -> Path:
        """Figures of the page."""
        return self.path / "figures"

    @property
    def page(self) -> Path:
        """The page of the run."""
        return self.path / "report.html"

    @property
    def causal(self) -> Path:
        """Causal tests."""
        return self.path / "causal.json"

    @property
    def causal_text(self) -> Path:
        """Causal tests as tables for people."""
        return self.path / "causal.md"

    @property
    def explanations(self) -> Path:
        """Explanations of networks, a file a name."""
        return self.path / "explain"

    def table(self, ending: str) -> Path:
        """Return the benchmark's table: ``md`` or ``tex``."""
        return self.path / "tables" / f"results.{ending}"

    def failure(self, name: str) -> Path:
        """Return the traceback of an estimator that failed."""
        return self.path / "failures" / f"{name}.txt"

    def predictions(self, name: str) -> Path:
        """Return the cross-validated predictions of an estimator."""
        return self.path / "predictions" / f"{name}.npz"

    def explanation(self, name: str) -> Path:
        """Return the explanation of a network."""
        return self.explanations / f"{name}.json"

    def attributions(self, name: str) -> Path:
        """Return the attribution of each cluster that was explained, as maps."""
        return self.explanations / f"{name}-maps.npz"

    def model(self, name: str, k: int) -> Path:
        """Return where the estimator of fold `k` is saved."""
        return self.models / name / f"{_FOLD}{k}"

    def checkpoint(self, name: str, k: int) -> Path:
        """Return where the training of fold `k` keeps its checkpoint."""
        return self.path / "checkpoints" / name / f"{_FOLD}{k}"

    def has_model(self, name: str, k: int) -> bool:
        """Say whether the estimator of fold `k` is finished."""
        return (self.model(name, k) / MODEL_CONFIG).is_file()

    def model_names(self) -> list[str]:
        """Return the estimators with a finished model, in alphabetical order."""
        return sorted(folder.name for folder in self.models.iterdir() if finished_models(folder))


def run_of_model(folder: Path) -> RunLayout | None:
    """Return the run that a model's folder lies in: ``RUN/models/NAME`` or a fold of it."""
    for path in list(folder.resolve().parents)[1:3]:
        if (run := RunLayout(path)).models.is_dir():
            return run
    return None


def fold_folders(folder: Path) -> list[Path]:
    """Return the folders of the folds of one estimator, finished or not, in order."""
    found = [path for path in folder.glob(f"{_FOLD}*") if path.is_dir()]
    return sorted(found, key=lambda path: (len(path.name), path.name))


def fold_number(folder: Path) -> int:
    """Return which fold a folder is of.

    >>> fold_number(Path("models/L_X/fold-3"))
    3
    """
    return int(folder.name.removeprefix(_FOLD))


def finished_models(folder: Path) -> list[Path]:
    """Return the folders of one estimator's finished models: its folds', or its own."""
    folds = list(filter(_is_model, fold_folders(folder)))
    return folds or [folder] * _is_model(folder)


def _is_model(folder: Path) -> bool:
    return all((folder / name).is_file() for name in MODEL_FILES)


def is_file_name(name: str) -> bool:
    """Say whether the name of an estimator is one that a file can have, and leads nowhere else.

    >>> is_file_name("T+M_gas"), is_file_name("../outside")
    (True, False)
    """
    return _FILE_NAME.fullmatch(name) is not None
