"""Which halos of several snapshots are one halo: by position and mass."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree


def match_histories(
    position: np.ndarray,
    m500c: np.ndarray,
    snapshot: np.ndarray,
    box: float,
    *,
    radius: float = 1.5,
    factor: float = 1.5,
) -> np.ndarray:
    """Return the number of the history of every halo, in the order of first appearance.

    From the latest snapshot back, each history looks for its progenitor: among halos of the earlier
    snapshot within `radius` whose mass is within `factor`, the nearest that is nearest in turn. One
    that finds none in a snapshot goes on looking in those before.

    Parameters
    ----------
    position : ndarray, shape (n, 3)
        In the periodic box [comoving Mpc/h].
    m500c : ndarray, shape (n,)
        [Msun/h]
    snapshot : ndarray of int, shape (n,)
        Ascending with redshift.
    box : float
        Side of the box [comoving Mpc/h].
    radius : float
        Farthest progenitor [comoving Mpc/h].
    factor : float
        Largest ratio of masses, either way.

    Returns
    -------
    ndarray of int, shape (n,)
    """
    history = np.full(len(m500c), -1)
    position, ln_mass = np.mod(position, box), np.log(m500c)
    heads: list[int] = []  # of each history, its earliest self found so far
    for number in np.unique(snapshot):
        current = np.flatnonzero(snapshot == number)
        head_rows = np.array(heads, dtype=int)
        head, progenitor = _nearest_pairs(
            position, ln_mass, head_rows, current, box, radius, np.log(factor)
        )
        history[current[progenitor]] = head
        for k, row in zip(head, current[progenitor], strict=True):
            heads[k] = int(row)
        unmatched = current[history[current] < 0]
        history[unmatched] = len(heads) + np.arange(len(unmatched))
        heads.extend(unmatched.tolist())
    return in_order(history)


def in_order(labels: np.ndarray) -> np.ndarray:
    """Return labels as whole numbers 0, 1, 2... in the order of their first appearance."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse.ravel()]


def _nearest_pairs(
    position: np.ndarray,
    ln_mass: np.ndarray,
    heads: np.ndarray,
    current: np.ndarray,
    box: float,
    radius: float,
    ln_factor: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return which heads and which halos of a snapshot are nearest to each other."""
    if not len(heads) or not len(current):
        return np.zeros(0, int), np.zeros(0, int)
    trees = [cKDTree(position[rows], boxsize=box) for rows in (heads, current)]
    pairs = trees[0].sparse_distance_matrix(trees[1], radius, output_type="coo_matrix")
    similar = np.abs(ln_mass[heads[pairs.row]] - ln_mass[current[pairs.col]]) <= ln_factor
    row, column, distance = pairs.row[similar], pairs.col[similar], pairs.data[similar]
    order = np.argsort(distance, kind="stable")
    row, column = row[order], column[order]
    mutual = _is_first(row) & _is_first(column)
    return row[mutual], column[mutual]


def _is_first(labels: np.ndarray) -> np.ndarray:
    first = np.zeros(len(labels), bool)
    first[np.unique(labels, return_index=True)[1]] = True
    return first
