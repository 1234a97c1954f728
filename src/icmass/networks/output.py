"""What a network gives, in named parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch

from icmass.networks.rqs_flow import N_PARAMETERS

Values = TypeVar("Values", torch.Tensor, np.ndarray)


@dataclass(frozen=True)
class NetworkOutput(Generic[Values]):
    """The numbers that a network gives for each cluster, which it returns as one array.

    They are the mean of the target alone; or the parameters of a flow (`icmass.networks.rqs_flow`),
    the first of which is the mean, and after them an embedding of any length.

    Parameters
    ----------
    packed : Tensor or ndarray, shape (..., output)
        What the network returned; of several networks or views too.

    Raises
    ------
    ValueError
        If so many numbers are neither.
    """

    packed: Values

    def __post_init__(self) -> None:
        n = self.packed.shape[-1] if self.packed.ndim > 1 else 0
        if n != 1 and n < N_PARAMETERS:
            raise ValueError(
                f"a network gave the shape {tuple(self.packed.shape)}: the last axis must hold the "
                f"mean alone, or {N_PARAMETERS} parameters of a flow and an embedding"
            )

    @staticmethod
    def pack(gaussian: torch.Tensor, spline: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """Return the parts as a network returns them, shape (n, output).

        Parameters
        ----------
        gaussian : Tensor, shape (n, 2)
            Mean, and ln of the standard deviation.
        spline : Tensor, shape (n, N_PARAMETERS - 2)
            The flow's further parameters.
        embedding : Tensor, shape (n, k)
        """
        if gaussian.shape[1] != 2 or spline.shape[1] != N_PARAMETERS - 2:
            shapes = tuple(gaussian.shape), tuple(spline.shape)
            raise ValueError(f"shapes {shapes[0]} and {shapes[1]} make no flow")
        return torch.cat([gaussian, spline, embedding], dim=1)

    @property
    def has_flow(self) -> bool:
        """Whether there are parameters of a flow, or the mean alone."""
        return self.packed.shape[-1] > 1

    @property
    def mean(self) -> Values:
        """Mean of the target, shape (...)."""
        return self.packed[..., 0]

    @property
    def gaussian(self) -> Values:
        """Mean, and ln of the standard deviation, shape (..., 2)."""
        return self._flow()[..., :2]

    @property
    def flow(self) -> Values:
        """Parameters of the flow, shape (..., N_PARAMETERS)."""
        return self._flow()[..., :N_PARAMETERS]

    @property
    def embedding(self) -> Values:
        """The embedding, shape (..., k)."""
        return self._flow()[..., N_PARAMETERS:]

    def _flow(self) -> Values:
        if not self.has_flow:
            raise ValueError("a network that gives the mean alone has no flow and no embedding")
        return self.packed
