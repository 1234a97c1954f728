"""A fitted mass scale: on disk, in words, and as draws."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from icmass import __version__
from icmass.calibration.apply import MassScale
from icmass.calibration.blinding import Seal
from icmass.calibration.model import CalibrationData, CalibrationModel
from icmass.calibration.sampler import Chains
from icmass.errors import InputError
from icmass.files import write_text

DOCUMENT, DRAWS = "calibration.json", "draws.npz"
_DRAWS_USED = 200
_HINT = "give a folder that `icmass calibrate` made"


@dataclass(frozen=True)
class Calibration:
    """A mass scale by clusters with weak-lensing masses.

    Attributes
    ----------
    document : dict
        What ``calibration.json`` holds: ``amplitude``, ``slope``, ``evolution`` and ``scatter``
        with ``median``, ``std``, ``p16`` and ``p84``, and all that they rest on.
    draws : ndarray, shape (n_draws, parameter)
        From the posterior; the amplitude with the hidden offset if ``document["blinded"]``.
    data : CalibrationData
        What was fitted; x with the hidden offset likewise.
    cluster : tuple of str
        What the clusters are called.
    """

    document: dict[str, Any]
    draws: np.ndarray
    data: CalibrationData
    cluster: tuple[str, ...]

    @classmethod
    def of(
        cls,
        model: CalibrationModel,
        chains: Chains,
        cluster: tuple[str, ...],
        facts: dict[str, Any],
        *,
        seed: int,
        offset: float = 0.0,
    ) -> Calibration:
        """Put together what was fitted; `offset` is added to the amplitude."""
        draws = chains.draws.copy()
        draws[:, 0] += offset
        d = model.data
        data = CalibrationData(d.x + offset, d.x_error, d.w, d.w_error, d.redshift)
        priors, pivot = model.priors, d.pivot
        named = dict(zip(model.parameters, draws.T, strict=True))
        total = named["amplitude"] + _bias_error(priors.lensing_bias[1], len(draws), seed)
        scale = np.stack([*(named[n] for n in ("amplitude", "slope", "evolution")),
                          np.exp(named["ln_scatter"])])  # fmt: skip
        document: dict[str, Any] = {
            "creator": f"icmass {__version__}",
            **facts,
            "n": len(d),
            "amplitude": _summary(scale[0]),
            "slope": _summary(scale[1]),
            "evolution": _summary(scale[2]),
            "scatter": _summary(scale[3]),
            "amplitude_total": _summary(total),
            "pivot": {
                "ln_m500c_msun_h": pivot[0],
                "m500c_1e14_msun_h": float(np.exp(pivot[0])) / 1e14,
                "redshift": pivot[1],
            },
            "lensing": {
                "bias": dict(zip(("mean", "std"), priors.lensing_bias, strict=True)),
                "bias_evolution": dict(
                    zip(("mean", "std"), priors.lensing_bias_evolution, strict=True)
                ),
                "scatter": _summary(named["lensing_scatter"]),
            },
            "covariance": {
                "parameters": ["amplitude", "slope", "evolution", "scatter"],
                "matrix": np.cov(scale).tolist(),
            },
            "priors": {key: list(value) for key, value in priors.model_dump().items()},
            "parameters": list(model.parameters),
            "convergence": chains.convergence,
            "seed": seed,
            "blinded": False,
        }
        return cls(document, draws, data, cluster)

    @property
    def is_blinded(self) -> bool:
        """Whether the amplitude has a hidden offset."""
        return bool(self.document["blinded"])

    def scale(self, n: int = _DRAWS_USED) -> MassScale:
        """Return draws of the scale, with the error of the lensing bias in them.

        Raises
        ------
        InputError
            If it is blinded.
        """
        if self.is_blinded:
            hint = "reveal it: icmass calibrate --reveal CAL"
            raise InputError("is blinded", field="--calibration", hint=hint)
        seed, pivot = int(self.document["seed"]), self.document["pivot"]
        rows = np.linspace(0, len(self.draws) - 1, n).round().astype(int)
        named = dict(zip(self.document["parameters"], self.draws[rows].T, strict=True))
        lensing = self.document["lensing"]
        rng_bias = _bias_error(float(lensing["bias"]["std"]), n, seed)
        rng_trend = _bias_error(float(lensing["bias_evolution"]["std"]), n, seed + 1)
        return MassScale(
            amplitude=named["amplitude"] + rng_bias,
            slope=named["slope"],
            evolution=named["evolution"] + rng_trend,
            scatter=np.exp(named["ln_scatter"]),
            pivot_ln_mass=float(pivot["ln_m500c_msun_h"]),
            pivot_redshift=float(pivot["redshift"]),
        )

    def facts(self) -> dict[str, Any]:
        """Return what a prediction on this scale keeps of it."""
        keys = ("amplitude", "slope", "evolution", "scatter", "amplitude_total", "pivot", "n")
        facts = {key: self.document[key] for key in keys}
        return facts | {"is": self.describe(), "marginalised": True}

    def describe(self) -> str:
        """Return in one sentence what masses with this scale rest on."""
        a, total = self.document["amplitude"], self.document["amplitude_total"]
        bias = self.document["lensing"]["bias"]["std"]
        return (
            f"Mass scale: calibrated on {self.document['n']} weak-lensing masses; the model's ln M "
            f"is {a['median']:+.3f} +- {a['std']:.3f} (statistical) +- {bias:.3f} (lensing bias) "
            f"from theirs at {self.document['pivot']['m500c_1e14_msun_h']:.2f}e14 Msun/h; masses "
            f"are corrected by it, and its error, {total['std']:.3f}, is in theirs."
        )

    def save(self, folder: str | Path, seal: Seal | None = None) -> Path:
        """Write ``calibration.json``, ``draws.npz`` and, of a blinded one, ``sealed.json``.

        The folder appears whole or not at all.
        """
        folder = check_new_folder(folder)
        draft = folder.with_name(f".{os.getpid()}-{folder.name}")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        try:
            d = self.data
            arrays = {name: getattr(d, name) for name in d.__dataclass_fields__}
            with (draft / DRAWS).open("wb") as stream:
                np.savez(stream, draws=self.draws, cluster=np.array(self.cluster, "U"), **arrays)
            if seal is not None:
                seal.write(draft)
            write_text(draft / DOCUMENT, json.dumps(self.document, indent=1))
            os.replace(draft, folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return folder

    @classmethod
    def open(cls, folder: str | Path) -> Calibration:
        """Read what `save` wrote; of a revealed one the offset is taken off.

        Raises
        ------
        InputError
            If there is none, or it is damaged.
        """
        folder = Path(folder)
        file = folder / DOCUMENT
        if not file.is_file():
            raise InputError("no such calibration", file=folder, hint=_HINT)
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
            names = document["parameters"]
            offset = float((document.get("revealed") or {}).get("offset", 0.0))
            for key in ("amplitude", "amplitude_total", "pivot", "lensing", "blinded", "seed"):
                document[key]
            file = folder / DRAWS
            with np.load(file, allow_pickle=False) as arrays:
                draws = arrays["draws"].astype(float)
                cluster = tuple(str(name) for name in arrays["cluster"])
                fields = CalibrationData.__dataclass_fields__
                values = {name: arrays[name].astype(float) for name in fields}
            draws[:, 0] -= offset
            values["x"] = values["x"] - offset
            if draws.shape[1] != len(names) or not np.isfinite(draws).all():
                raise ValueError("draws")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            what = f"damaged ({type(error).__name__})"
            raise InputError(what, file=file, hint="calibrate again") from None
        return cls(document, draws, CalibrationData(**values), cluster)


def check_new_folder(folder: str | Path) -> Path:
    """Return the folder of a calibration to be made, or refuse one that is there."""
    folder = Path(folder)
    if folder.exists():
        raise InputError("exists already", file=folder, field="--out", hint="choose another name")
    return folder


def reveal_calibration(folder: str | Path) -> Calibration:
    """Take the hidden offset off a blinded calibration, once it is the one committed to.

    Raises
    ------
    InputError
        If it is not blinded, or the sealed file is another than the commitment says.
    """
    folder = Path(folder)
    blinded = Calibration.open(folder)
    if not blinded.is_blinded:
        raise InputError("is not blinded", file=folder, field="--reveal")
    seal = Seal.read(folder, str(blinded.document["commitment"]))
    document = dict(blinded.document)
    for key in ("amplitude", "amplitude_total"):
        document[key] = {
            name: value - (0.0 if name == "std" else seal.offset)
            for name, value in document[key].items()
        }
    document |= {"blinded": False, "revealed": {"offset": seal.offset, "salt": seal.salt}}
    write_text(folder / DOCUMENT, json.dumps(document, indent=1))
    return Calibration.open(folder)


def _summary(values: np.ndarray) -> dict[str, float]:
    p16, median, p84 = np.percentile(values, [16, 50, 84])
    return {"median": float(median), "std": float(values.std()), "p16": float(p16),
            "p84": float(p84)}  # fmt: skip


def _bias_error(std: float, n: int, seed: int) -> np.ndarray:
    """Return draws of the lensing bias about its mean, shape (n,)."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2,)))
    return std * rng.normal(size=n)
