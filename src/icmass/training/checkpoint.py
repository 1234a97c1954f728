"""The checkpoint of a training: all that the next epoch needs, in one safetensors file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from accelerate.optimizer import AcceleratedOptimizer
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from icmass.errors import InputError
from icmass.files import whole_file

CHECKPOINT = "checkpoint.safetensors"
Tensors = dict[str, torch.Tensor]


def fingerprint(said: object, tensors: Iterable[torch.Tensor]) -> str:
    """Return a digest of a JSON document and of the bytes of tensors."""
    digest = hashlib.sha256(json.dumps(said).encode())
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def strip_prefix(tensors: Tensors, prefix: str) -> Tensors:
    """Return the tensors whose names begin with a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


class Checkpoint:
    """Keeps the state of a training in a directory, and restores it.

    Parameters
    ----------
    directory : Path
        Made where it is missing.
    network : Module
        The network that is trained.
    average : Module or None
        The running mean of its weights.
    optimizer : AcceleratedOptimizer
        Of the network.
    """

    def __init__(
        self,
        directory: Path,
        network: nn.Module,
        average: nn.Module | None,
        optimizer: AcceleratedOptimizer,
    ) -> None:
        self.file = Path(directory) / CHECKPOINT
        self.network, self.average, self.optimizer = network, average, optimizer

    def write(self, digest: str, history: list[dict[str, Any]], best: Tensors) -> None:
        """Replace the checkpoint as a whole.

        Parameters
        ----------
        digest : str
            Fingerprint of the training.
        history : list of dict
            A line for each epoch.
        best : dict of Tensor
            State of the best network so far.
        """
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in best.items()}
        if self.average is not None:
            tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for i, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{k}": torch.as_tensor(v) for k, v in state.items()}
        tensors = {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}
        about = {"mark": digest, "history": history}
        with whole_file(self.file) as draft:
            save_file(tensors, draft, metadata={"icmass": json.dumps(about)})

    def restore(self, digest: str) -> tuple[list[dict[str, Any]], Tensors] | None:
        """Restore network, running mean and optimiser; return history and best, None without one.

        Raises
        ------
        InputError
            If the checkpoint is damaged or has another mark.
        """
        if not self.file.exists():
            return None
        hint = "remove it to train anew"
        try:
            with safe_open(self.file, "pt") as stored:
                about = json.loads(stored.metadata()["icmass"])
                tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            problem = f"not a readable checkpoint ({type(error).__name__})"
            raise InputError(problem, file=self.file, hint=hint) from None
        if about["mark"] != digest:
            problem = "checkpoint of another training (other data, options, seed or version)"
            raise InputError(problem, file=self.file, hint=hint)
        self.network.load_state_dict(strip_prefix(tensors, "network."))
        if self.average is not None:
            self.average.load_state_dict(strip_prefix(tensors, "average."))
        self._restore_optimizer(strip_prefix(tensors, "optimizer."))
        return about["history"], strip_prefix(tensors, "best.")

    def _restore_optimizer(self, tensors: Tensors) -> None:
        state: dict[int, dict[str, torch.Tensor]] = {}
        for key, tensor in tensors.items():
            i, name = key.split(".")
            state.setdefault(int(i), {})[name] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
