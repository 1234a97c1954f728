"""Networks as mass estimators: fitting, prediction, and models on disk."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Self

import numpy as np
import torch
import xarray as xr
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from icmass.errors import InputError
from icmass.estimators.designs import DESIGNS
from icmass.estimators.estimator import Kind, Prediction
from icmass.estimators.sample import Sample, binned_pixels, half_width_mpc_h, read_sample
from icmass.estimators.saved import (
    Encoding,
    NetworkConfig,
    check_fits,
    model_card,
    read_config,
    write_text,
)
from icmass.estimators.training import (
    Epoch,
    Progress,
    Trainer,
    apply_network,
    make_accelerator,
    seeded,
)

_VALIDATION = 0.1  # fraction of the training clusters held out (Ho et al. 2023)
_FEWEST = 10  # training clusters
_BATCH = 64  # clusters predicted at once


class NetworkEstimator:
    """A convolutional network that predicts ln M500c from photon maps, some with galaxies.

    Parameters
    ----------
    name : str
        A key of `DESIGNS`.
    seed : int
        Seed of the starting weights, the validation split, order and augmentation.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    checkpoint : path, optional
        Directory where every epoch is kept; `fit` goes on from what it finds there.
    max_epochs : int, optional
        Instead of the design's.
    progress : callable, optional
        Called with an `Epoch` after every epoch.
    """

    kind: Kind = "network"

    def __init__(
        self,
        name: str,
        *,
        seed: int = 0,
        device: str = "auto",
        checkpoint: str | Path | None = None,
        max_epochs: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        if name not in DESIGNS:
            raise InputError(repr(name), field="network", mend=f"known: {', '.join(DESIGNS)}")
        self.name, self.seed, self.device, self.progress = name, seed, device, progress
        self.design = DESIGNS[name]
        self.inputs = self.design.inputs
        self.recipe = self.design.recipe
        if max_epochs is not None:
            if max_epochs < 1:
                raise InputError(str(max_epochs), field="max_epochs", mend="give 1 or more")
            self.recipe = replace(self.recipe, max_epochs=max_epochs, min_steps=0)
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self.history: list[Epoch] = []
        self.network: nn.Module | None = None
        self.config: NetworkConfig | None = None

    @property
    def n_parameters(self) -> int:
        """Number of fitted parameters; 0 before `fit`."""
        if self.network is None:
            return 0
        return sum(p.numel() for p in self.network.parameters())

    def fit(self, survey: xr.Dataset, train: np.ndarray) -> None:
        """Train on the clusters `train` alone; a tenth of them, by halo, is held out to stop."""
        train = np.asarray(train)
        lnm = _training_masses(survey, train)
        coverage = self.design.sees_coverage and "coverage" in survey
        sample = self._read(survey, train, coverage)
        encoding = self.design.encoding.fit(sample, lnm)
        held = _held_out(survey, train, self.seed)
        self.config = self._describe(survey, train, encoding, int(held.sum()))
        self.inputs = self.design.reads(coverage)
        with seeded(self.seed):
            self.network = self.design.network(
                n_pixels=self.config.n_pixels, n_channels=_channels(sample)
            )
        target = torch.from_numpy((lnm - encoding.lnm_zero) / encoding.lnm_scale).float()
        fitting, kept = (torch.from_numpy(np.flatnonzero(part)) for part in (~held, held))
        trainer = Trainer(
            self.network,
            encode=encoding.encode,
            recipe=self.recipe,
            seed=self.seed,
            device=self.device,
            checkpoint=self.checkpoint,
            progress=self.progress,
        )
        validation = sample.take(kept)
        self.history = trainer.run(
            (sample.take(fitting), target[fitting]), (validation, target[kept])
        )
        prediction = self._predict_sample(validation)
        score = (prediction.mean - lnm[held]) / prediction.std
        self.config = self.config.model_copy(
            update={
                "std_scale": float(np.sqrt(np.mean(score**2))),
                "n_epochs": len(self.history),
                "n_parameters": self.n_parameters,
                "device": trainer.accelerator.device.type,
            }
        )

    def predict(self, survey: xr.Dataset, index: np.ndarray) -> Prediction:
        """Predict the clusters `index` of a survey with the same bands, maps and redshifts."""
        config, _ = self._fitted()
        index = np.asarray(index)
        check_fits(survey, index, config)
        return self._predict_sample(self._read(survey, index, config.coverage_channel))

    def _predict_sample(self, sample: Sample) -> Prediction:
        config, network = self._fitted()
        encoding, device = config.encoding, make_accelerator(self.device).device
        network = network.to(device)
        size = self.recipe.chunk or _BATCH
        symmetries = range(8) if self.recipe.augment else range(1)
        outputs = []
        for part in sample.batches(size):
            views = [
                apply_network(network, encoding.encode, part.turned(k).to(device), size)
                for k in symmetries
            ]
            outputs.append(torch.stack(views).mean(0).cpu())
        output = torch.cat(outputs).double().numpy()
        mean = encoding.lnm_zero + encoding.lnm_scale * output[:, 0]
        std = np.full(len(mean), encoding.lnm_scale)
        if self.recipe.loss == "gaussian":
            std = std * np.exp(output[:, 1].clip(-5, 2))
        return Prediction(mean, std * config.std_scale)

    def save(self, directory: Path) -> None:
        """Write ``model.safetensors``, ``README.md`` and, last, ``config.json``."""
        (config, network), directory = self._fitted(), Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        weights = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
        partial = directory / "model.safetensors.partial"
        save_file(weights, partial)
        os.replace(partial, directory / "model.safetensors")
        write_text(directory / "README.md", model_card(config, self.design))
        text = json.dumps(config.model_dump(mode="json"), indent=1)
        write_text(directory / "config.json", text + "\n")

    @classmethod
    def load(cls, directory: Path, *, device: str = "auto") -> Self:
        """Read an estimator that `save` wrote."""
        directory = Path(directory)
        config = read_config(directory / "config.json")
        estimator = cls(config.name, seed=config.seed, device=device)
        estimator.config = config
        estimator.inputs = estimator.design.reads(config.coverage_channel)
        file = directory / "model.safetensors"
        n_bands = 1 if estimator.design.sum_bands else len(config.bands)
        network = estimator.design.network(
            n_pixels=config.n_pixels, n_channels=n_bands + config.coverage_channel
        )
        try:
            network.load_state_dict(load_file(file))
        except (OSError, SafetensorError, RuntimeError) as error:
            problem = "is missing" if not file.exists() else "damaged, or of another network"
            raise InputError(problem, file=file, mend="train it again") from error
        estimator.network = network.eval()
        return estimator

    def _fitted(self) -> tuple[NetworkConfig, nn.Module]:
        if self.config is None or self.network is None:
            raise InputError("not fitted", field=self.name, mend="fit it, or load a saved one")
        return self.config, self.network

    def _read(self, survey: xr.Dataset, index: np.ndarray, coverage: bool) -> Sample:
        return read_sample(
            survey,
            index,
            sum_bands=self.design.sum_bands,
            max_pixels=self.design.max_pixels,
            coverage_channel=coverage,
            with_galaxies=self.design.sees_galaxies,
        )

    def _describe(
        self, survey: xr.Dataset, train: np.ndarray, encoding: Encoding, n_held: int
    ) -> NetworkConfig:
        def extent(name: str) -> tuple[float, float]:
            values = survey[name].isel(cluster=train).values
            return float(values.min()), float(values.max())

        packages = ("icmass", "torch", "accelerate", "numpy")
        return NetworkConfig(
            name=self.name,
            seed=self.seed,
            bands=[str(band) for band in survey["band"].values],
            n_pixels=binned_pixels(survey.sizes["x"], self.design.max_pixels),
            half_width_mpc_h=half_width_mpc_h(survey),
            coverage_channel=self.design.sees_coverage and "coverage" in survey,
            encoding=encoding,
            redshift_range=extent("redshift"),
            exposure_range_s=extent("exposure"),
            m500c_range_msun_h=extent("m500c"),
            n_train=len(train),
            n_validation=n_held,
            recipe=asdict(self.recipe),
            survey=dict(survey.attrs),
            versions={package: version(package) for package in packages},
        )


def _channels(sample: Sample) -> int:
    return sample.counts.shape[1] + (sample.coverage is not None)


def _training_masses(survey: xr.Dataset, train: np.ndarray) -> np.ndarray:
    """Return ln M500c of the training clusters, once it is sure that there are some."""
    if "m500c" not in survey:
        raise InputError("is missing", field="variable m500c", mend="train on a simulated survey")
    if len(train) < _FEWEST:
        raise InputError(f"{len(train)} clusters", field="train", mend=f"give {_FEWEST} or more")
    lnm = np.log(survey["m500c"].isel(cluster=train).values)
    if not np.isfinite(lnm).all() or np.ptp(lnm) == 0:
        raise InputError("not finite and different", field="variable m500c")
    return lnm


def _held_out(survey: xr.Dataset, train: np.ndarray, seed: int) -> np.ndarray:
    """Choose about a tenth of the clusters, whole halos, for validation; bool, shape (n,)."""
    halo = np.arange(len(train))
    if "halo_id" in survey:
        _, halo = np.unique(survey["halo_id"].isel(cluster=train).values, return_inverse=True)
    order = np.random.default_rng([seed, 2]).permutation(halo.max() + 1)
    n_before = np.cumsum(np.bincount(halo)[order]) - np.bincount(halo)[order]
    held = np.isin(halo, order[n_before < _VALIDATION * len(train)])
    if held.all():
        raise InputError("one halo only", field="variable halo_id", mend="train on more halos")
    return held
