"""The folder of a run: its documents read, and each file written whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import xarray as xr

from icmass.errors import InputError
from icmass.files import write_text
from icmass.main_process import is_main
from icmass.run.attributions import AttributionMaps
from icmass.run.causal import Causal
from icmass.run.config import FoldedRunConfig, RunConfig, Scaling
from icmass.run.document import Document
from icmass.run.explanation import Explanation
from icmass.run.layout import RunLayout
from icmass.run.results import Results
from icmass.survey.catalog import open_survey

HINT = "give the folder that `icmass benchmark --out` wrote"
_Kind = TypeVar("_Kind", bound=Document)


class RunFolder:
    """The documents of a run; files are replaced as a whole, by the main process alone.

    Parameters
    ----------
    path : path
        The run's folder, there or not.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.layout = RunLayout(self.path)

    def start(self, config: RunConfig, *, resume: bool) -> None:
        """Make the folder, or check that it is a run of the same configuration to go on with."""
        if not is_main():
            return
        if self.path.exists() and not self.path.is_dir():
            raise InputError("is not a folder", file=self.path, field="out")
        if self.path.is_dir() and any(self.path.iterdir()):
            if not resume:
                raise InputError(
                    "is not empty", file=self.path, hint="give another --out, or --resume"
                )
            self._check_same(config)
        self.path.mkdir(parents=True, exist_ok=True)
        self.write(self.layout.config, config)

    def _check_same(self, config: RunConfig) -> None:
        file = self.layout.config
        try:
            before = RunConfig.read(file, "give another --out")
        except OSError as error:
            raise InputError(
                f"cannot be resumed ({type(error).__name__})", file=file, hint="give another --out"
            ) from None
        key = config.first_difference(before)
        if key is not None:
            said = f"was {_short(getattr(before, key))}, is {_short(getattr(config, key))}"
            hint = "resume with what the run was started with, or give another --out"
            raise InputError(said, file=file, field=key, hint=hint)

    def read_config(self) -> RunConfig:
        """Return what the run was started with."""
        return self._read(RunConfig, self.layout.config)

    def read_folded_config(self) -> FoldedRunConfig:
        """Return the same, or say that it does not tell which clusters are in which fold."""
        return self._read(FoldedRunConfig, self.layout.config)

    def read_results(self) -> Results:
        """Return the scores of the run."""
        return self._read(Results, self.layout.results)

    def read_scaling(self) -> Scaling:
        """Return the relations of the survey's proxies."""
        return self._read(Scaling, self.layout.scaling)

    def read_causal(self) -> Causal:
        """Return the causal tests."""
        return self._read(Causal, self.layout.causal)

    def read_explanation(self, name: str) -> Explanation:
        """Return the explanation of a network."""
        return self._read(Explanation, self.layout.explanation(name))

    def read_attributions(self, name: str) -> AttributionMaps | None:
        """Return the attribution maps of an explained network; None if none were kept."""
        file = self.layout.attributions(name)
        return AttributionMaps.read(file) if file.is_file() else None

    def explained(self) -> Iterator[str]:
        """Yield the networks that have an explanation, in alphabetical order."""
        for file in sorted(self.layout.explanations.glob("*.json")):
            yield file.stem

    def _read(self, kind: type[_Kind], file: Path) -> _Kind:
        if not self.path.is_dir():
            raise InputError("no such run", file=self.path, hint=HINT)
        try:
            return kind.read(file, HINT)
        except FileNotFoundError:
            raise InputError("is missing", file=file, hint=HINT) from None
        except OSError as error:
            raise InputError(error.strerror or str(error), file=file, hint=HINT) from None

    def survey_path(self) -> Path:
        """Return where the run says that its survey is; a relative path may start at the run."""
        named = self.read_config().survey if self.layout.config.is_file() else None
        if named is None:
            named = self.read_results().survey.path
        if not named:
            raise InputError("the run does not say where its survey is", file=self.path)
        path = Path(named)
        return path if path.is_absolute() or path.exists() else self.path / path

    def open_survey(self, path: str | Path | None = None) -> xr.Dataset:
        """Open the survey of the run, or that at `path` if it is the run's.

        Raises
        ------
        InputError
            If it cannot be read, or `path` holds another survey.
        """
        where = self.survey_path() if path is None else Path(path)
        try:
            survey = open_survey(where)
        except OSError as error:
            raise InputError(error.strerror or str(error), file=where) from None
        if path is not None:
            self.check_survey(survey, where)
        return survey

    def check_survey(self, survey: xr.Dataset, where: str | Path | None = None) -> None:
        """Refuse a survey of other clusters than the run's."""
        if self.read_folded_config().survey_digest != survey_digest(survey):
            hint = "give the survey that the benchmark was made with"
            raise InputError("is another survey than the run's", file=where, hint=hint)

    def write(self, file: Path, document: Document) -> None:
        """Write a document as JSON; what is not finite becomes null."""
        text = json.dumps(document.as_json(), indent=2, allow_nan=False)
        self.write_text(file, text + "\n")

    def write_text(self, file: Path, text: str) -> None:
        """Write a text."""
        if is_main():
            write_text(file, text)


def survey_digest(survey: xr.Dataset) -> str:
    """Return a fingerprint of which clusters a survey holds: their masses and redshifts."""
    digest = hashlib.sha256()
    for name in ("m500c", "redshift"):
        digest.update(survey[name].values.astype("<f8").tobytes())
    return digest.hexdigest()


def _short(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."
