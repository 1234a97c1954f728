"""Folders of photon lists of a simulation: how they are named and what they say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class JobLayout:
    """Job folders of a simulation's web service, one a run: parameters and a photon list.

    Attributes
    ----------
    parameters : str
        Name of the file of parameters, lines of a key and a value.
    lists : tuple of str
        Names that the photon list may have.
    folder : re.Pattern
        What a folder's name tells: snapshot and cluster.
    example : str
        A folder, for messages.
    id_keys, snapshot_keys, mode_keys : tuple of str
        Parameters that are the cluster's id, its snapshot and what is in the list.
    cluster_key : str
        What comes before the name of a variable of the cluster among the parameters; lengths are
        in comoving kpc/h.
    modes : mapping of int to str
        Component of the survey by MODE.
    box_mpc_h : float
        Side of the simulated box, which is periodic [comoving Mpc/h].
    m_star_min : float
        Least stellar mass of a galaxy [Msun/h].
    """

    parameters: str
    lists: tuple[str, ...]
    folder: re.Pattern[str]
    example: str
    id_keys: tuple[str, ...]
    snapshot_keys: tuple[str, ...]
    mode_keys: tuple[str, ...]
    cluster_key: str
    modes: Mapping[int, str]
    box_mpc_h: float
    m_star_min: float
