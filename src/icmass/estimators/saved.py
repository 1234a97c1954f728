"""A saved network: its files, what it says of itself, and the check of clusters against that."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import xarray as xr
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from icmass.errors import InputError
from icmass.estimators.card import card_metadata, with_metadata
from icmass.estimators.estimator import check_redshifts
from icmass.estimators.info import TrainedMaps, check_bands
from icmass.estimators.ood import OODDetector
from icmass.estimators.prior import TrainingPrior
from icmass.files import whole_file, write_text
from icmass.proxies.names import read_scalar
from icmass.survey.catalog import half_width_mpc_h, survey_bands
from icmass.training.checkpoint import strip_prefix
from icmass.training.encodings import (
    CompactEncoding,
    GalaxySetEncoding,
    MultimodalEncoding,
    PaperEncoding,
)
from icmass.training.model_specs import MODEL_SPECS, ModelSpec
from icmass.training.names import parse_network
from icmass.training.sample import binned_pixels

Encoding = PaperEncoding | MultimodalEncoding | CompactEncoding | GalaxySetEncoding


class NetworkConfig(BaseModel):
    """``config.json`` of a saved network: all but the weights."""

    model_config = ConfigDict(extra="forbid")

    estimator: Literal["network"] = "network"
    format: Literal[2] = 2
    name: str
    seed: int
    bands: list[str]
    n_pixels: int
    half_width_mpc_h: float
    coverage_channel: bool
    encoding: Annotated[Encoding, Field(discriminator="kind")]
    std_scale: float = 1.0
    redshift_range: tuple[float, float]
    exposure_range_s: tuple[float, float]
    m500c_range_msun_h: tuple[float, float]
    nh_range_1e20: tuple[float, float] | None = None
    mass_prior: TrainingPrior | None = None
    n_train: int
    n_validation: int
    n_epochs: int = 0
    n_parameters: int = 0
    device: str = "cpu"
    recipe: dict[str, Any]
    survey: dict[str, Any]
    versions: dict[str, str]


def model_card(config: NetworkConfig, design: ModelSpec) -> str:
    """Return the text of a saved network's README.md, without its metadata."""
    low, high = config.m500c_range_msun_h
    bands = ", ".join(config.bands)
    added = " (added)" if design.sum_bands else ""
    galaxies = ", its galaxies in phase space" if design.sees_galaxies else ""
    seen = _GALAXIES.get(config.encoding.kind, _GALAXIES["compact"])
    lines = [
        f"# {config.name}",
        "",
        f"{design.summary[0].upper()}{design.summary[1:]}.",
        f"It predicts ln M500c [Msun/h] of a galaxy cluster from maps of X-ray photons"
        f"{galaxies} and the redshift; {config.n_parameters:,} parameters.",
        "",
        f"- Maps: {bands} keV{added}, +-{config.half_width_mpc_h:g} Mpc/h (comoving),"
        f" used at {config.n_pixels} x {config.n_pixels} pixels",
        *([f"- Galaxies: {seen}, {_WHICH_GALAXIES}"] if design.sees_galaxies else []),
        f"- Trained on {config.n_train - config.n_validation} clusters of a survey with preset"
        f" `{config.survey.get('preset', 'unknown')}`, {config.n_validation} held out,"
        f" {config.n_epochs} epochs, seed {config.seed}",
        f"- Redshift {config.redshift_range[0]:.3f} to {config.redshift_range[1]:.3f},"
        f" M500c {low:.3g} to {high:.3g} Msun/h,"
        f" exposure {config.exposure_range_s[0]:.4g} to {config.exposure_range_s[1]:.4g} s",
        *([_nh_line(config)] if config.nh_range_1e20 else []),
        *(_POSTERIOR if design.has_posterior else _GAUSSIAN),
        "",
        "Load it with `icmass.estimators.registry.load_estimator`.",
    ]
    return "\n".join(lines) + "\n"


_GALAXIES = {
    "multimodal": "the density in x, y and line-of-sight velocity on 64^3 voxels",
    "compact": "their numbers in cells of projected distance and line-of-sight velocity",
    "galaxy-set": "projected distance, line-of-sight velocity and, if known, stellar mass of each",
}
_WHICH_GALAXIES = (
    "of all above 10^9.5 Msun/h in stellar mass within the maps' sides and +-3785 km/s"
)
_GAUSSIAN = (
    "- The standard deviation is calibrated on the clusters held out. Like any regression"
    " on a limited range, masses are drawn towards the mean of the training masses.",
)
_POSTERIOR = (
    "- It gives a posterior of ln M500c whose width is calibrated on the clusters held out. Its"
    " prior is that of the training masses at the cluster's redshift, kept in `config.json`.",
    "- Every prediction has an out-of-domain score: flagged where above 1.",
)


def _nh_line(config: NetworkConfig) -> str:
    low, high = config.nh_range_1e20 or (0.0, 0.0)
    return f"- N_H {low:g} to {high:g} 1e20 cm^-2"


def check_fits(survey: xr.Dataset, index: np.ndarray, config: NetworkConfig) -> None:
    """Refuse clusters that the network was not trained for."""
    trained = TrainedMaps.of(config.bands, config.n_pixels, config.half_width_mpc_h)
    check_bands(survey_bands(survey), trained)
    half_width = half_width_mpc_h(survey)
    if not math.isclose(half_width, config.half_width_mpc_h, rel_tol=1e-3):
        raise InputError(
            f"+-{half_width:g} Mpc/h; trained on +-{config.half_width_mpc_h:g} Mpc/h", field="maps"
        )
    base, _ = parse_network(config.name)
    n_pixels = binned_pixels(survey.sizes["x"], MODEL_SPECS[base].max_pixels)
    if n_pixels != config.n_pixels:
        raise InputError(f"{n_pixels} pixels a side; trained on {config.n_pixels}", field="maps")
    check_redshifts(survey["redshift"].isel(cluster=index).values, config.redshift_range)
    for name in ("exposure", "nh")[: 1 + MODEL_SPECS[base].sees_nh]:
        read_scalar(survey, name, index)


def read_config(file: Path) -> NetworkConfig:
    """Read and check ``config.json`` of a saved network."""
    hint = "give the directory of a saved network"
    try:
        return NetworkConfig.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({type(error).__name__})", file=file, hint=hint) from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or None
        raise InputError(first["msg"], file=file, field=field, hint=hint) from None


def write_networks(
    directory: Path,
    config: NetworkConfig,
    networks: Sequence[nn.Module],
    ood_detector: OODDetector | None,
) -> None:
    """Write ``model.safetensors``, ``README.md`` and, last, ``config.json``."""
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {
        f"{i}.{key}": value.detach().cpu().contiguous()
        for i, network in enumerate(networks)
        for key, value in network.state_dict().items()
    }
    if ood_detector is not None:
        tensors |= {f"domain.{k}": v.contiguous() for k, v in ood_detector.tensors().items()}
    with whole_file(directory / "model.safetensors") as draft:
        save_file(tensors, draft)
    said = config.model_dump(mode="json")
    base, _ = parse_network(config.name)
    card = with_metadata(model_card(config, MODEL_SPECS[base]), card_metadata(said))
    write_text(directory / "README.md", card)
    write_text(directory / "config.json", json.dumps(said, indent=1) + "\n")


def read_networks(
    directory: Path, config: NetworkConfig
) -> tuple[list[nn.Module], OODDetector | None]:
    """Return the networks that `write_networks` wrote, and their detector if they have one.

    Raises
    ------
    InputError
        If the weights are missing, damaged or of another network than `config` says.
    """
    base, n_members = parse_network(config.name)
    design, file = MODEL_SPECS[base], directory / "model.safetensors"
    n_bands = 1 if design.sum_bands else len(config.bands)
    networks: list[nn.Module] = []
    try:
        tensors = load_file(file)
        for i in range(n_members):
            network = design.network(
                n_pixels=config.n_pixels, n_channels=n_bands + config.coverage_channel
            )
            network.load_state_dict(strip_prefix(tensors, f"{i}."))
            networks.append(network.eval())
        if not design.has_posterior:
            return networks, None
        return networks, OODDetector.of_tensors(strip_prefix(tensors, "domain."))
    except (OSError, SafetensorError, RuntimeError, TypeError, KeyError) as error:
        problem = "is missing" if not file.exists() else "damaged, or of another network"
        raise InputError(problem, file=file, hint="train it again") from error
