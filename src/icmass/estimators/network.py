"""Networks as mass estimators: fitting, prediction, and models on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import xarray as xr
from torch import nn

from icmass.errors import InputError
from icmass.estimators.estimator import Kind, Prediction, check_inputs
from icmass.estimators.flow_posterior import fit_width_recalibration, flow_posterior
from icmass.estimators.info import EstimatorInfo, TrainingExtent
from icmass.estimators.ood import OODDetector
from icmass.estimators.ood_features import corrupted, ood_features
from icmass.estimators.prior import TrainingPrior
from icmass.estimators.saved import (
    Encoding,
    NetworkConfig,
    check_fits,
    read_config,
    read_networks,
    write_networks,
)
from icmass.networks.output import NetworkOutput
from icmass.survey.catalog import half_width_mpc_h
from icmass.training.augmentations import AUGMENTATIONS, Augmentation
from icmass.training.devices import (
    Processes,
    derive_seed,
    free_bytes,
    make_accelerator,
    multiplies_bf16,
    seeded,
)
from icmass.training.held_out import held_out, training_masses
from icmass.training.model_specs import MODEL_SPECS
from icmass.training.names import parse_network
from icmass.training.sample import Sample, binned_pixels, read_sample
from icmass.training.sources import Clusters, InMemory, Source
from icmass.training.streaming import IN_MEMORY_BYTES, StoredClusters, cluster_bytes
from icmass.training.thinning import thinned
from icmass.training.trainer import Epoch, Progress, Trainer, apply_network

_BATCH = 128  # clusters predicted at once
_KEPT_SHARE = 0.4  # of the free memory, for what is kept of clusters from epoch to epoch
_DESCRIBED = 2000  # training clusters that the domain is learned from, at most


class NetworkEstimator:
    """A convolutional network that predicts ln M500c from photon maps, some with galaxies.

    Parameters
    ----------
    name : str
        A key of `MODEL_SPECS`, and ``@n`` after it for n networks of different seeds, whose
        posteriors are averaged (Lakshminarayanan et al. 2017, arXiv:1612.01474).
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
    stop : callable, optional
        Asked before every epoch but the first whether time is up; the best epoch so far is kept.
    """

    kind: Kind = "network"
    trainer: Callable[..., Trainer] = Trainer  # what makes the trainer of each network
    in_memory_bytes: int = IN_MEMORY_BYTES  # more training clusters than that are streamed

    def __init__(
        self,
        name: str,
        *,
        seed: int = 0,
        device: str = "auto",
        checkpoint: str | Path | None = None,
        max_epochs: int | None = None,
        progress: Progress | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> None:
        self.stop = stop
        self.name, self.seed, self.device, self.progress = name, seed, device, progress
        base, self.n_members = parse_network(name)
        self.design = MODEL_SPECS[base]
        self.inputs = self.design.inputs
        self.training_config = self.design.training_config
        if max_epochs is not None:
            if max_epochs < 1:
                raise InputError(str(max_epochs), field="max_epochs", hint="give 1 or more")
            self.training_config = replace(self.training_config, max_epochs=max_epochs, min_steps=0)
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self.history: list[Epoch] = []
        self.networks: list[nn.Module] = []
        self.ood_detector: OODDetector | None = None
        self.config: NetworkConfig | None = None

    @property
    def n_parameters(self) -> int:
        """Number of fitted parameters; 0 before `fit`."""
        return sum(p.numel() for network in self.networks for p in network.parameters())

    @property
    def info(self) -> EstimatorInfo:
        """What the networks say of themselves."""
        config = self.config
        return EstimatorInfo(
            kind=self.kind,
            inputs=self.inputs,
            is_differentiable=True,
            thins_exposures=True,
            n_parameters=self.n_parameters,
            fit_seconds=sum(epoch.seconds for epoch in self.history),
            training=None if config is None else TrainingExtent.of_config(dict(config)),
            mass_prior=None if config is None else config.mass_prior,
        )

    def fit(self, survey: xr.Dataset, train: np.ndarray) -> None:
        """Train on the clusters `train` alone; a tenth of them, by halo, is held out to stop.

        Clusters that take more than `in_memory_bytes` are read from the store as they are needed.
        """
        train = np.asarray(train)
        check_inputs(survey, self.info, train)
        lnm = training_masses(survey, train)
        coverage = self.design.sees_coverage and "coverage" in survey
        options = self.read_options(coverage)
        if len(train) * cluster_bytes(survey, options) > self.in_memory_bytes:
            self.fit_clusters(StoredClusters([survey], [np.sort(train)], options, self.seed))
            return
        sample = read_sample(survey, train, **options)
        encoding = self.design.encoding.fit(sample, lnm)
        held = held_out(survey, train, self.seed)
        self._describe(survey, train, lnm, encoding, int(held.sum()), coverage)
        target = self._target(lnm)
        room = int(_KEPT_SHARE * free_bytes(make_accelerator(self.device).device))
        fitting, validation = (
            (encoding.prepared(sample.take(rows), room), target[rows])
            for rows in (torch.from_numpy(np.flatnonzero(part)) for part in (~held, held))
        )
        del sample  # each of its clusters is in one of the two
        self._fit_members(InMemory(*fitting), validation)
        self._calibrate(fitting[0], validation[0], lnm[held])

    def fit_clusters(self, clusters: Clusters) -> None:
        """Train on clusters that are not all in memory; all else is fitted on some of them."""
        sample, lnm = clusters.fitting
        validation, lnm_held = clusters.validation
        self.training_config = clusters.adapted(self.training_config)
        table, encoding = clusters.table, self.design.encoding.fit(sample, lnm)
        every, coverage = np.arange(table.sizes["cluster"]), sample.coverage is not None
        check_inputs(table, self.info, every)
        lnm = training_masses(table, every)
        self._describe(table, every, lnm, encoding, clusters.n_held, coverage)
        self.config = self._configured().model_copy(update={"n_train": clusters.n_train})
        self._fit_members(clusters.source(self._target), (validation, self._target(lnm_held)))
        self._calibrate(sample, validation, lnm_held)

    def read_options(self, coverage: bool, *, fitting: bool = True) -> dict[str, Any]:
        """Return the keywords of `read_sample`, for clusters to fit on or only to predict."""
        parts = fitting and self._augmentation.needs_parts
        return self.design.read_options(coverage=coverage, with_parts=parts)

    def _target(self, lnm: np.ndarray) -> torch.Tensor:
        """Return what the network is to give for ln M500c."""
        encoding = self._configured().encoding
        return torch.from_numpy((lnm - encoding.lnm_zero) / encoding.lnm_scale).float()

    def _fit_members(self, train: Source, validation: tuple[Sample, torch.Tensor]) -> None:
        self.networks, self.history = [], []
        for member in range(self.n_members):
            self._fit_member(member, validation[0].n_channels, train, validation)

    def _fit_member(
        self,
        member: int,
        n_channels: int,
        train: Source,
        validation: tuple[Sample, torch.Tensor],
    ) -> None:
        config = self._configured()
        seed = self.seed if member == 0 else derive_seed(self.seed, member, 3)
        with seeded(seed):
            network = self.design.network(
                n_pixels=config.n_pixels, n_channels=n_channels, n_clusters=config.n_train
            )
        folder = self.checkpoint
        if folder is not None and self.n_members > 1:
            folder = folder / f"member-{member}"
        trainer = self.trainer(
            network,
            encode=config.encoding.encode,
            training_config=self.training_config,
            seed=seed,
            device=self.device,
            checkpoint=folder,
            progress=self.progress,
            stop=self.stop,
        )
        self.history += trainer.run(train, validation)
        self.networks.append(network)
        self.config = config.model_copy(
            update={
                "n_epochs": len(self.history),
                "n_parameters": self.n_parameters,
                "device": trainer.accelerator.device.type,
            }
        )

    def _calibrate(self, fitted: Sample, validation: Sample, lnm: np.ndarray) -> None:
        """Set the width of the posteriors and the limit of the domain on clusters held out."""
        outputs = self._outputs(validation)
        prediction = self._prediction(outputs)
        if self.design.has_posterior:
            scale = fit_width_recalibration(prediction, lnm)
            self.ood_detector = self._domain(fitted, self._ood_features(validation, outputs))
        else:
            score = (prediction.mean - lnm) / prediction.std
            scale = float(np.sqrt(np.mean(score**2)))
        self.config = self._configured().model_copy(update={"std_scale": scale})

    def predict(self, survey: xr.Dataset, index: np.ndarray) -> Prediction:
        """Predict the clusters `index` of a survey with the same bands, maps and redshifts."""
        config = self._fitted()
        index = np.asarray(index)
        check_fits(survey, index, config)
        options = self.read_options(config.coverage_channel, fitting=False)
        return self.predict_sample(read_sample(survey, index, **options))

    def predict_sample(self, sample: Sample) -> Prediction:
        """Predict clusters in memory, read with `read_options`; long exposures are `thinned`."""
        sample = thinned(sample, self._fitted().exposure_range_s[1])
        outputs = self._outputs(sample)
        lost = int((~np.isfinite(outputs).all((0, 2))).sum())
        if lost:
            what = f"gives no mass of {lost} of {len(sample)} clusters"
            raise InputError(what, field=f"model {self.name}", hint="look at their maps")
        prediction = self._prediction(outputs)
        if self.ood_detector is None:
            return prediction
        score = self.ood_detector.score(self._ood_features(sample, outputs))
        return replace(prediction, out_of_domain=score)

    @property
    def _augmentation(self) -> Augmentation:
        return AUGMENTATIONS[self.training_config.augmentation]

    def _outputs(self, sample: Sample) -> np.ndarray:
        """Return what the networks give, mean over symmetries, shape (member, n, output)."""
        encoding, device = self._fitted().encoding, make_accelerator(self.device).device
        bf16 = self.training_config.precision == "bf16" and multiplies_bf16(device.type == "cpu")
        found = [
            apply_network(
                network.to(device),
                lambda part: encoding.encode(part.to(device)),
                sample,
                self.training_config.microbatch_size or _BATCH,
                symmetries=self._augmentation.n_views,
                bf16=bf16,
            )
            for network in self.networks
        ]
        return torch.stack(found).cpu().double().numpy()

    def _prediction(self, outputs: np.ndarray) -> Prediction:
        """Return the posteriors of what `_outputs` gives, as wide as is calibrated."""
        config = self._fitted()
        zero, scale = config.encoding.lnm_zero, config.encoding.lnm_scale
        if not self.design.has_posterior:
            mean = zero + scale * NetworkOutput(outputs).mean.mean(0)
            return Prediction(mean, np.full(len(mean), scale * config.std_scale))
        return flow_posterior(outputs, zero, scale).scale_width(config.std_scale)

    def _domain(self, fitted: Sample, held: np.ndarray) -> OODDetector:
        """Learn what training clusters look like; `held` describes clusters held out."""
        generator = torch.Generator().manual_seed(derive_seed(self.seed, 4))
        chosen = torch.randperm(len(fitted), generator=generator)[:_DESCRIBED].sort().values
        known = fitted.take(chosen)
        bad = [
            self._ood_features(s, self._outputs(s)) for s in corrupted(known, generator).values()
        ]
        good = self._ood_features(known, self._outputs(known))
        return OODDetector.fit(good, np.concatenate(bad), held, self.seed)

    def _ood_features(self, sample: Sample, outputs: np.ndarray) -> np.ndarray:
        """Return redshift, ln exposure, statistics and embedding of clusters, shape (n, d)."""
        encoding, device = self._fitted().encoding, make_accelerator(self.device).device
        parts = (part.to(device) for part in sample.batches(_BATCH))
        rows = [ood_features(part.counts, encoding.scale(part)).cpu() for part in parts]
        told = torch.stack([sample.redshift, torch.log(sample.exposure)], 1)
        embedding = NetworkOutput(outputs).embedding.mean(0)
        return np.concatenate([told.numpy(), torch.cat(rows).numpy(), embedding], 1)

    def save(self, directory: Path) -> None:
        """Write ``model.safetensors``, ``README.md`` and, last, ``config.json``.

        Of several processes the main one writes, and all must call this.
        """
        config, processes = self._fitted(), Processes(make_accelerator(self.device))
        processes.by_main(
            lambda: write_networks(Path(directory), config, self.networks, self.ood_detector)
        )

    @classmethod
    def load(cls, directory: Path, *, device: str = "auto") -> Self:
        """Read an estimator that `save` wrote."""
        config = read_config(Path(directory) / "config.json")
        estimator = cls(config.name, seed=config.seed, device=device)
        estimator.config = config
        estimator.inputs = estimator.design.reads(config.coverage_channel)
        estimator.networks, estimator.ood_detector = read_networks(Path(directory), config)
        return estimator

    def _configured(self) -> NetworkConfig:
        if self.config is None:
            raise InputError("not fitted", field=self.name, hint="fit it, or load a saved one")
        return self.config

    def _fitted(self) -> NetworkConfig:
        if len(self.networks) < self.n_members:
            raise InputError("not fitted", field=self.name, hint="fit it, or load a saved one")
        return self._configured()

    def _describe(
        self,
        survey: xr.Dataset,
        train: np.ndarray,
        lnm: np.ndarray,
        encoding: Encoding,
        n_held: int,
        coverage: bool,
    ) -> None:
        mass_prior = None
        if self.design.has_posterior:
            mass_prior = TrainingPrior.fit(lnm, survey["redshift"].isel(cluster=train).values)

        def extent(name: str) -> tuple[float, float]:
            values = survey[name].isel(cluster=train).values
            return float(values.min()), float(values.max())

        packages = ("icmass", "torch", "accelerate", "numpy")
        self.inputs = self.design.reads(coverage)
        self.config = NetworkConfig(
            name=self.name,
            seed=self.seed,
            bands=[str(band) for band in survey["band"].values],
            n_pixels=binned_pixels(survey.sizes["x"], self.design.max_pixels),
            half_width_mpc_h=half_width_mpc_h(survey),
            coverage_channel=coverage,
            encoding=encoding,
            redshift_range=extent("redshift"),
            exposure_range_s=extent("exposure"),
            m500c_range_msun_h=extent("m500c"),
            nh_range_1e20=extent("nh") if self.design.sees_nh else None,
            mass_prior=mass_prior,
            n_train=len(train),
            n_validation=n_held,
            recipe=self.training_config.document(),
            survey=dict(survey.attrs),
            versions={package: version(package) for package in packages},
        )
