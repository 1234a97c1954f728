"""Posteriors of ln M500c from the flows that networks give, and their calibration."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import minimize_scalar

from icmass.estimators.posterior import LNM_GRID, Prediction
from icmass.networks.output import NetworkOutput
from icmass.networks.rqs_flow import log_prob


def flow_posterior(outputs: np.ndarray, zero: float, scale: float) -> Prediction:
    """Return the mean over networks of the densities of ln M500c of flows.

    Parameters
    ----------
    outputs : ndarray, shape (network, n, output)
        Parameters of the flows (`icmass.networks.rqs_flow`), and more.
    zero, scale : float
        ln M500c where the target is 0, and its change per unit of the target.
    """
    target = torch.from_numpy((LNM_GRID - zero) / scale)[:, None]
    density = [
        torch.exp(log_prob(torch.from_numpy(of_network), target.expand(-1, len(of_network)))).T
        for of_network in NetworkOutput(outputs).flow
    ]
    return Prediction.from_density(torch.stack(density).mean(0).numpy())


def fit_width_recalibration(prediction: Prediction, ln_m: np.ndarray) -> float:
    """Return the factor on the widths of posteriors that makes true ln M500c most likely."""
    found = minimize_scalar(
        lambda log: -prediction.scale_width(float(np.exp(log))).log_prob(ln_m).mean(),
        bounds=(-1.0, 1.0),
        method="bounded",
        options={"xatol": 1e-3},
    )
    return float(np.exp(found.x))
