"""Galaxies as a set: the same small network for each, and sums and weighted means over all."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

FEATURES = 5
"""Numbers of a galaxy: whether there is one, projected distance, velocity, ln stellar mass, and
whether that is known; see `icmass.training.encodings.GalaxySetEncoding`."""
_TYPICAL_NUMBER = 200.0  # sums are in units of so many galaxies


class GalaxySet(nn.Module):
    """A sum and learned means over any number of galaxies, whatever their order.

    Deep Sets (Zaheer et al. 2017, arXiv:1703.06114), with attention by `n_heads` learned queries
    besides, as in the Set Transformer's pooling (Lee et al. 2019, arXiv:1810.00825). One token
    that is always there takes the attention where there is no galaxy.

    Parameters
    ----------
    n_hidden : int
        Width of the network of each galaxy.
    n_heads : int
        Weighted means.
    """

    def __init__(self, n_hidden: int = 64, n_heads: int = 4) -> None:
        super().__init__()
        self.each = nn.Sequential(
            nn.Linear(FEATURES, n_hidden),
            nn.SiLU(),
            nn.Linear(n_hidden, n_hidden),
            nn.SiLU(),
        )
        self.nobody = nn.Parameter(torch.zeros(1, 1, n_hidden))
        self.query = nn.Linear(n_hidden, n_heads)
        self.n_outputs = n_hidden * (1 + n_heads)

    def forward(self, galaxies: torch.Tensor) -> torch.Tensor:
        """Return numbers of each set, shape (n, n_outputs).

        Parameters
        ----------
        galaxies : Tensor, shape (n, galaxy, FEATURES)
            The first number is 1 for a galaxy and 0 for padding.
        """
        n = len(galaxies)
        there = galaxies[..., :1]
        found = self.each(galaxies) * there
        total = found.sum(1) / _TYPICAL_NUMBER
        found = torch.cat([self.nobody.expand(n, -1, -1), found], 1)
        there = functional.pad(there, (0, 0, 1, 0), value=1.0)
        score = self.query(found).masked_fill(there == 0, -torch.inf)
        means = torch.einsum("ngh,ngk->nhk", score.softmax(1), found)
        return torch.cat([total, means.flatten(1)], 1)
