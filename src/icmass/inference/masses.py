"""Predicted masses of clusters, with what they assume and what to doubt."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from icmass.calibration.likelihood_table import check_likelihood_path
from icmass.calibration.result import Calibration
from icmass.errors import InputError
from icmass.estimators.prior import Prior
from icmass.inference.description import assumptions, describe, observed_facts, warnings
from icmass.inference.ensemble import Ensemble
from icmass.inference.inputs import Clusters
from icmass.inference.likelihood import Predicted, predict_calibrated, write_likelihoods
from icmass.inference.mass_table import mass_table
from icmass.inference.mixture import Mixture
from icmass.inference.scale_error import ScaleError
from icmass.survey.catalog import survey_cosmology
from icmass.survey.ingest import Progress
from icmass.survey.writers.tables import check_table_path, write_table

if TYPE_CHECKING:
    from astropy.table import Table


@dataclass(frozen=True)
class Masses:
    """Posteriors of M500c of n clusters.

    Iterating gives a dict of facts for each cluster, as ``icmass predict --json`` has them.

    Attributes
    ----------
    ensemble : Ensemble
        The model.
    prior : Prior
        The prior of the mass.
    survey : Dataset or None
        What they were predicted from; None if no cluster could be read.
    rows : ndarray of int, shape (n,)
        The clusters in it.
    prediction : Mixture or None
        Posteriors of ln(M500c / (Msun/h)).
    failed : dict of str to InputError
        Clusters without a mass, and why.
    document : dict
        All of it as plain values, see `to_json`.
    calibration : Calibration or None
        The mass scale that they are on; None: that of the mock survey.
    inputs : tuple of Path
        Files that they were predicted from, which are never written over.
    """

    ensemble: Ensemble
    prior: Prior
    survey: xr.Dataset | None
    rows: np.ndarray
    prediction: Mixture | None
    failed: dict[str, InputError]
    document: dict[str, Any]
    _folder: Any = None
    calibration: Calibration | None = None
    inputs: tuple[Path, ...] = ()

    @classmethod
    def of(
        cls,
        ensemble: Ensemble,
        clusters: Clusters,
        prior: Prior,
        *,
        samples: int | None = None,
        seed: int = 0,
        calibration: Calibration | None = None,
        progress: Progress | None = None,
        inputs: Sequence[Path] = (),
    ) -> Masses:
        """Predict the masses of clusters that were read; `samples` draws go into the document.

        `progress` is called with a unit, how many of it are done, and how many there are.
        """
        tell = None if progress is None else partial(progress, "fold models")
        failed = dict(clusters.failed)
        document: dict[str, Any] = {
            "model": ensemble.facts(),
            "clusters": [],
        }
        survey, none = clusters.survey, np.zeros(0, int)
        if survey is None:
            document |= {"failed": _plain(failed), "assumptions": [], "warnings": []}
            none_read = (None, none, None, failed, document)
            return cls(ensemble, prior, *none_read, inputs=tuple(inputs))
        if calibration is None:
            found = Predicted(*ensemble.predict_all(survey, clusters.rows, prior, tell))
        else:
            found = predict_calibrated(
                ensemble, survey, clusters.rows, prior, calibration, progress=tell
            )
        rows, prediction = found.rows, found.prediction
        failed |= found.failed
        drawn = None if samples is None else prediction.drawn(samples, seed)
        document |= {
            "clusters": describe(survey, rows, prediction, drawn, ensemble),
            "failed": _plain(failed),
            "cosmology": survey_cosmology(survey).model_dump(mode="json"),
            "prior": {"kind": prior.kind, "is": prior.describe(survey_cosmology(survey))},
            "assumptions": assumptions(
                ensemble,
                survey,
                rows,
                prediction,
                prior,
                scale=None if calibration is None else calibration.describe(),
            ),
            "warnings": warnings(ensemble, survey, rows, prediction),
        }
        error = ScaleError.of(ensemble, is_calibrated=calibration is not None)
        document["mass_scale"] = error.facts()
        for row in document["clusters"]:
            row["ln_m500c_std_physics"] = None if row["ln_m500c"] is None else error.std
        if events := observed_facts(survey).get("events"):
            document["events"] = events
        if calibration is not None:
            document["calibration"] = calibration.facts()
            for row, std in zip(document["clusters"], found.std_scale_or_zeros(), strict=True):
                row["ln_m500c_std_scale"] = None if row["ln_m500c"] is None else float(std)
        return cls(
            ensemble,
            prior,
            survey,
            rows,
            prediction,
            failed,
            document,
            clusters.folder,
            calibration,
            tuple(inputs),
        )

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.document["clusters"])

    @property
    def median(self) -> np.ndarray:
        """Median of M500c [Msun/h], shape (n,); NaN where there is only an upper limit."""
        return self._of_levels(lambda found: np.exp(found.median))

    @property
    def upper_limit(self) -> np.ndarray:
        """97.5 per cent limit of M500c [Msun/h], shape (n,), of those without a mass; else NaN."""
        limits = [row.get("m500c_below_1e14_msun_h", np.nan) for row in self]
        return 1e14 * np.array(limits, float)

    def interval(self, probability: float = 0.68) -> np.ndarray:
        """Return the central interval of M500c that holds a probability [Msun/h], shape (n, 2)."""
        if not 0 < probability < 1:
            raise InputError(f"is {probability:g}", field="--probability", hint="give 0 to 1")
        ends = ((1 - probability) / 2, (1 + probability) / 2)
        both = [self._of_levels(lambda found, p=p: np.exp(found.quantile(p))) for p in ends]
        return np.stack(both, axis=-1)

    def sample(self, n: int = 1000, seed: int = 0) -> np.ndarray:
        """Return draws of M500c of each posterior [Msun/h], shape (clusters, n)."""
        if self.prediction is None:
            return np.zeros((0, n))
        drawn = np.exp(self.prediction.drawn(n, seed))
        return np.where(np.isfinite(self.median)[:, None], drawn, np.nan)

    @property
    def flagged(self) -> np.ndarray:
        """Whether there is a reason not to trust a mass, boolean (n,)."""
        return np.array([bool(row.get("flagged")) for row in self], bool)

    @property
    def flags(self) -> list[list[str]]:
        """The reasons not to trust each mass."""
        return [list(row.get("reasons", [])) for row in self]

    @property
    def assumptions(self) -> list[str]:
        """What the masses take for granted."""
        return list(self.document["assumptions"])

    @property
    def warnings(self) -> list[str]:
        """What makes the masses doubtful."""
        return list(self.document["warnings"])

    def to_json(self, indent: int | None = 1) -> str:
        """Return the document that ``icmass predict --json`` prints."""
        return json.dumps(self.document, indent=indent)

    def to_table(self) -> Table:
        """Return a table with units, both of Msun/h and Msun, as ``icmass predict --out`` has it.

        Raises
        ------
        InputError
            If there is no mass.
        """
        if not self.document["clusters"]:
            raise InputError("there is no mass to write", field="--out")
        return mass_table(self.document)

    def write(self, file: str | Path, *, overwrite: bool = False) -> Path:
        """Write the table to a file: ``.fits``, ``.ecsv`` or ``.vot``."""
        if not self.document["clusters"]:
            raise InputError("there is no mass to write", file=file, field="--out")
        path = check_table_path(file, overwrite=overwrite, inputs=self.inputs)
        return write_table(self.to_table(), path, overwrite=overwrite)

    def write_likelihood(self, file: str | Path, *, overwrite: bool = False) -> Path:
        """Write p(x | ln M) of each cluster, the prior divided out, as a FITS file.

        For codes of number counts; `icmass.calibration.likelihood_table` describes it.
        """
        if self.survey is None:
            raise InputError("there is no cluster to write", file=file, field="--likelihood")
        return write_likelihoods(
            check_likelihood_path(file, overwrite=overwrite, inputs=self.inputs),
            self.ensemble,
            self.survey,
            self.rows,
            scale=self.calibration,
            overwrite=overwrite,
        )

    def __repr__(self) -> str:
        return (
            f"<Masses of {len(self)} clusters by {self.ensemble.name}, {len(self.failed)} failed>"
        )

    def _repr_html_(self) -> str:
        head = ("cluster", "z", "M500c [1e14 Msun/h]", "16 to 84 per cent", "flags")
        lines = ["".join(f"<th>{name}</th>" for name in head)]
        for row, mass, limit, (low, high) in zip(
            self, self.median, self.upper_limit, self.interval(), strict=True
        ):
            told = (f"{mass / 1e14:.2f}", f"{low / 1e14:.2f} to {high / 1e14:.2f}")
            if np.isnan(mass):
                told = (f"below {limit / 1e14:.2f}", "")
            name = escape(str(row.get("id", row["cluster"])))
            flags = escape("; ".join(row.get("reasons", [])))
            cells = (name, f"{row['redshift']:.3f}", *told, flags)
            lines.append("".join(f"<td>{cell}</td>" for cell in cells))
        table = "".join(f"<tr>{line}</tr>" for line in lines)
        return f"<table>{table}</table>"

    def _of_levels(self, level: Any) -> np.ndarray:
        if self.prediction is None:
            return np.zeros(0)
        known = [row.get("ln_m500c") is not None for row in self]
        return np.where(known, level(self.prediction), np.nan)


def _plain(failed: dict[str, InputError]) -> list[dict[str, str]]:
    return [{"id": name, "why": error.command_line} for name, error in failed.items()]
