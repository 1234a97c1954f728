"""A one-dimensional normalising flow of which a network gives the parameters.

The target's density is that of a standard normal after an affine map and a monotonic
rational-quadratic spline (Durkan et al. 2019, arXiv:1906.04032), with zuko's spline. All
parameters are outputs of the network, so that the loss is a plain function of them; where those
of the spline are zero the density is the Gaussian of the first two.
"""

from __future__ import annotations

import math

import torch
from zuko.transforms import MonotonicRQSTransform

BINS = 8
N_PARAMETERS = 2 + 3 * BINS - 1
"""Mean, ln(standard deviation), widths, heights and derivatives of the spline."""
BOUND = 5.0  # standard deviations within which the spline bends
_LN_STD = (-5.0, 2.0)


def log_prob(parameters: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the log of the density at targets.

    Parameters
    ----------
    parameters : Tensor, shape (n, N_PARAMETERS or more)
        What the network gave.
    target : Tensor, shape (n,) or (target, n)
        Standardised ln mass.

    Returns
    -------
    Tensor, of the shape of `target`
    """
    mean, log_std = parameters[:, 0], parameters[:, 1].clamp(*_LN_STD)
    widths, heights, derivatives = parameters[:, 2:N_PARAMETERS].split((BINS, BINS, BINS - 1), 1)
    scaled = (target - mean) * torch.exp(-log_std)
    spline = MonotonicRQSTransform(widths, heights, derivatives, bound=BOUND)
    normal, log_slope = spline.call_and_ladj(scaled)
    return -(normal**2) / 2 - math.log(2 * math.pi) / 2 + log_slope - log_std
