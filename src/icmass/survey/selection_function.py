"""The selection function of a mock survey: p(detected) of a halo, tabulated and callable."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from astropy import units as u
from numpy.typing import ArrayLike
from scipy.interpolate import RegularGridInterpolator
from scipy.special import ndtr, ndtri

from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.survey.selection_table import AXES, read_selection_table, selection_table

_LEAST = 1e-12  # probabilities are interpolated as normal deviates between this and 1 - this
_EDGE = 1e-9  # how far beyond the grid a rounded coordinate may lie


@dataclass(frozen=True)
class SelectionFunction:
    """The probability that a halo is detected, as a mock survey's detection step has it.

    Called with masses, redshifts, exposures, column densities and, if you like, concentrations, it
    returns probabilities; `error` returns their errors. All of them broadcast.

    Parameters
    ----------
    m500c : ndarray, shape (n_m,)
        M500c [Msun/h], ascending as all axes are.
    redshift : ndarray, shape (n_z,)
    exposure : ndarray, shape (n_e,)
        Unvignetted time in the field of view, to be used with the effective area averaged over the
        field [s].
    nh : ndarray, shape (n_nh,)
        Galactic column density [1e20 cm^-2].
    probability, probability_error : ndarray, shape (n_m, n_z, n_e, n_nh, n_bin)
        Mean probability of the halos of a bin of concentration, and its standard error.
    concentration, concentration_low, concentration_high : ndarray, shape (n_m, n_z, n_bin)
        Mean (of the logarithm), least and largest concentration of those halos. Bins hold fixed
        shares of the halos of each mass and redshift, so that none is empty.
    n_halos : ndarray of int, shape (n_bin,)
        Halos of each bin.
    cosmology : Cosmology
    meta : dict
        Where it comes from: preset, seed, detection and whole configuration (JSON), version.

    Notes
    -----
    Between the nodes, the probability as a normal deviate (probit) is linear in ln M, ln z, ln
    exposure, N_H and ln concentration. Detection is a threshold on a quantity with scatter that
    goes as powers of these, for which that is exact.

    Outside of the grid the result is NaN, and so it is for concentrations that no halo of the mock
    has at that mass and redshift; between the mean of an outermost bin and the last halo it is that
    bin's. An axis with one node is no axis: other values are outside. Impossible values (a mass of
    0) are an `InputError`.

    All nodes hold the same halos, with the same latent physics, at other masses and redshifts: the
    function is smooth, and errors of neighbouring nodes go together.
    """

    m500c: np.ndarray
    redshift: np.ndarray
    exposure: np.ndarray
    nh: np.ndarray
    probability: np.ndarray
    probability_error: np.ndarray
    concentration: np.ndarray
    concentration_low: np.ndarray
    concentration_high: np.ndarray
    n_halos: np.ndarray
    cosmology: Cosmology
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        grid = tuple(len(getattr(self, name)) for name in AXES)
        bins = len(self.n_halos)
        shapes = dict.fromkeys(("probability", "probability_error"), (*grid, bins))
        for suffix in ("", "_low", "_high"):
            shapes[f"concentration{suffix}"] = (*grid[:2], bins)
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise InputError(f"shape {getattr(self, name).shape}, not {shape}", field=name)
        if not ((self.probability >= 0) & (self.probability <= 1)).all():
            raise InputError("is no probability", field="probability")

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Read a table that `write` wrote: ECSV, FITS or VOTable.

        Raises
        ------
        InputError
            If the file cannot be read or is no table of a selection function.
        """
        return cls(**read_selection_table(path))

    def write(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write it as a table, a row for each node; the suffix says how (.ecsv, .fits, .vot)."""
        from icmass.survey.writers.tables import write_table

        return write_table(selection_table(self), path, overwrite=overwrite)

    def __call__(
        self,
        m500c: ArrayLike | u.Quantity,
        redshift: ArrayLike,
        exposure: ArrayLike | u.Quantity,
        nh: ArrayLike | u.Quantity,
        concentration: ArrayLike | None = None,
    ) -> np.ndarray:
        """Return the probability that halos are detected; the arguments broadcast.

        Parameters
        ----------
        m500c : array_like or Quantity
            M500c; plain numbers are in Msun/h.
        redshift : array_like
        exposure : array_like or Quantity
            Plain numbers are in s.
        nh : array_like or Quantity
            Galactic column density; plain numbers are in 1e20 cm^-2.
        concentration : array_like, optional
            S(<0.1 R500c) / S(<R500c), see `icmass.survey.selection.Signal`.
            Default: the mean over the halos of that mass and redshift.

        Returns
        -------
        ndarray
            NaN outside of the grid.
        """
        return self._evaluate(m500c, redshift, exposure, nh, concentration)[0]

    def error(
        self,
        m500c: ArrayLike | u.Quantity,
        redshift: ArrayLike,
        exposure: ArrayLike | u.Quantity,
        nh: ArrayLike | u.Quantity,
        concentration: ArrayLike | None = None,
    ) -> np.ndarray:
        """Return the standard error of what a call with the same arguments returns.

        It is that of the finite number of halos, interpolated linearly between nodes.
        """
        return self._evaluate(m500c, redshift, exposure, nh, concentration)[1]

    def mass_at(
        self,
        probability: float,
        redshift: ArrayLike,
        exposure: ArrayLike | u.Quantity,
        nh: ArrayLike | u.Quantity,
    ) -> np.ndarray:
        """Return the M500c [Msun/h] at which halos are detected with a probability.

        Of all concentrations; the probability lies between 0 and 1. NaN where the grid does not
        hold that mass.
        """
        if not 0 < probability < 1:
            raise InputError(f"{probability:g} is not within 0 and 1", field="probability")
        fine = np.geomspace(self.m500c[0], self.m500c[-1], 40 * len(self.m500c))
        where = np.broadcast_arrays(
            redshift, _plain(exposure, u.s, "exposure"), _plain(nh, 1e20 / u.cm**2, "nh")
        )
        probabilities = self(fine, *(np.asarray(a)[..., None] for a in where))
        above = probabilities >= probability
        first = np.argmax(above, axis=-1)
        inside = above.any(-1) & (first > 0)
        rows = np.maximum(first, 1)[..., None]
        low, high = (np.take_along_axis(probabilities, rows - step, -1)[..., 0] for step in (1, 0))
        fraction = np.clip((probability - low) / np.maximum(high - low, 1e-12), 0, 1)
        step = np.log(fine[1] / fine[0])
        return np.where(inside, fine[rows[..., 0] - 1] * np.exp(step * fraction), np.nan)[()]

    @cached_property
    def marginal(self) -> tuple[np.ndarray, np.ndarray]:
        """Probability over all concentrations, and its error, (n_m, n_z, n_e, n_nh) each."""
        share = self.n_halos / self.n_halos.sum()
        mean = self.probability @ share
        within = self.probability_error**2 * self.n_halos @ share
        between = (self.probability - mean[..., None]) ** 2 @ share
        return mean, np.sqrt((within + between) / self.n_halos.sum())

    def _evaluate(
        self,
        m500c: ArrayLike | u.Quantity,
        redshift: ArrayLike,
        exposure: ArrayLike | u.Quantity,
        nh: ArrayLike | u.Quantity,
        concentration: ArrayLike | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        coordinates = [
            _plain(m500c, u.solMass / self.cosmology.h, "m500c"),
            _plain(redshift, u.dimensionless_unscaled, "redshift"),
            _plain(exposure, u.s, "exposure"),
            _plain(nh, 1e20 / u.cm**2, "nh", positive=False),
        ]
        if concentration is not None:
            coordinates.append(_plain(concentration, u.dimensionless_unscaled, "concentration"))
        try:
            arrays = np.broadcast_arrays(*coordinates)
        except ValueError:
            shapes = ", ".join(str(array.shape) for array in coordinates)
            raise InputError(f"shapes {shapes} do not broadcast", field=", ".join(AXES)) from None
        shape = arrays[0].shape
        flat = [array.ravel() for array in arrays]
        points = np.stack([self._coordinate(i, flat[i]) for i in range(len(AXES))], axis=-1)
        if concentration is None:
            deviate, error = self._of_all(points).T
        else:
            deviate, error = self._at(points, np.log(flat[-1]))
        return ndtr(deviate).reshape(shape)[()], error.reshape(shape)[()]

    def _coordinate(self, axis: int, values: np.ndarray) -> np.ndarray:
        """Return interpolation coordinates, NaN outside of the grid."""
        nodes = _scale(axis, getattr(self, AXES[axis]))
        x = _scale(axis, values)
        margin = _EDGE * max(1.0, abs(nodes[-1]))
        inside = (x >= nodes[0] - margin) & (x <= nodes[-1] + margin)
        return np.where(inside, np.clip(x, nodes[0], nodes[-1]), np.nan)

    def _at(self, points: np.ndarray, ln_c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return normal deviates and errors at concentrations, (n,) each."""
        bins = len(self.n_halos)
        columns = self._of_bins(points).reshape(len(points), 5, bins)
        deviate, error, mean, low, high = columns.transpose(1, 0, 2)
        below = np.clip((mean <= ln_c[:, None]).sum(1) - 1, 0, max(bins - 2, 0))
        rows, above = np.arange(len(points)), np.minimum(below + 1, bins - 1)
        width = np.maximum(mean[rows, above] - mean[rows, below], 1e-12)
        fraction = np.clip((ln_c - mean[rows, below]) / width, 0, 1)
        margin = 1e-9
        in_range = (ln_c >= low[:, 0] - margin) & (ln_c <= high[:, -1] + margin)
        fraction = np.where(in_range, fraction, np.nan)
        deviate, error = (
            array[rows, below] * (1 - fraction) + array[rows, above] * fraction
            for array in (deviate, error)
        )
        return deviate, error

    @cached_property
    def _of_all(self) -> RegularGridInterpolator:
        mean, error = self.marginal
        return self._interpolator(np.stack([_deviate(mean), error], axis=-1))

    @cached_property
    def _of_bins(self) -> RegularGridInterpolator:
        names = ("concentration", "concentration_low", "concentration_high")
        ln_c = [np.log(getattr(self, name))[:, :, None, None] for name in names]
        columns = [_deviate(self.probability), self.probability_error]
        columns += [np.broadcast_to(values, self.probability.shape) for values in ln_c]
        return self._interpolator(np.concatenate(columns, axis=-1))

    def _interpolator(self, values: np.ndarray) -> RegularGridInterpolator:
        nodes = [_scale(i, getattr(self, name)) for i, name in enumerate(AXES)]
        for axis, values_of_axis in enumerate(nodes):
            if len(values_of_axis) == 1:
                nodes[axis] = np.array([values_of_axis[0], values_of_axis[0] + 1])
                values = np.repeat(values, 2, axis=axis)
        return RegularGridInterpolator(nodes, values, bounds_error=False, fill_value=np.nan)


def _scale(axis: int, values: np.ndarray) -> np.ndarray:
    """Return the coordinate in which an axis is interpolated: ln, but N_H as it is."""
    return np.asarray(values, dtype=float) if AXES[axis] == "nh" else np.log(values)


def _deviate(probability: np.ndarray) -> np.ndarray:
    return ndtri(np.clip(probability, _LEAST, 1 - _LEAST))


def _plain(
    value: ArrayLike | u.Quantity, unit: u.UnitBase, name: str, *, positive: bool = True
) -> np.ndarray:
    """Return numbers in `unit`, refuse impossible ones; NaN may stand for what is not known."""
    if isinstance(value, u.Quantity):
        try:
            array = np.asarray(value.to_value(unit), dtype=float)
        except u.UnitConversionError:
            raise InputError(f"is in {value.unit}", field=name, hint=f"give {unit}") from None
    else:
        try:
            array = np.asarray(value, dtype=float)
        except (TypeError, ValueError):
            raise InputError(f"{value!r} is no number", field=name) from None
    impossible = (array <= 0) if positive else (array < 0)
    if impossible.any():
        requirement = "more than 0" if positive else "0 or more"
        raise InputError(
            f"{array[impossible].flat[0]:g} is impossible", field=name, hint=f"give {requirement}"
        )
    return array
