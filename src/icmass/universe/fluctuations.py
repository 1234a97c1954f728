"""Surface-brightness fluctuations of the gas: a random field with a measured power spectrum."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from pydantic import BaseModel, ConfigDict

from icmass.parameter import parameter

_CHURAZOV = "Coma, Churazov et al. 2012, MNRAS 421, 1123"


class FluctuationConfig(BaseModel):
    """Fluctuations of the gas density, and through it of the surface brightness.

    The amplitude A(l) of density fluctuations of scale l is `amplitude` (l / 500 kpc)^slope: 7 to
    10 per cent at 500 kpc and 5 per cent at 30 kpc in the Coma cluster (Churazov et al. 2012,
    MNRAS 421, 1123).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    amplitude: float = parameter(
        0.09,
        "Relative amplitude of density fluctuations of 500 physical kpc in a halo of median "
        "disturbance; 0 for none.",
        unit="1",
        source=_CHURAZOV,
        ge=0,
        lt=1,
    )
    slope: float = parameter(
        0.22, "Exponent of scale in the amplitude.", unit="1", source=_CHURAZOV, ge=-1, le=2
    )
    disturbance: float = parameter(
        0.3,
        "Growth of ln amplitude per unit of the halo's latent disturbance.",
        unit="ln",
        ge=0,
        lt=2,
    )
    largest_r500: float = parameter(1.5, "Largest scale of fluctuations.", unit="R500c", gt=0)
    smallest_kpc: float = parameter(
        30.0, "Smallest scale of fluctuations, physical.", unit="kpc", source=_CHURAZOV, gt=0
    )


@dataclass(frozen=True)
class BrightnessField:
    """The surface brightness over its smooth model, on a square grid about the cluster.

    Attributes
    ----------
    factor : ndarray, shape (n, n)
        Rows are y, columns x; mean 1 up to the draw.
    half_width : float
        Half the side of the grid [comoving Mpc/h]; outside the factor is 1.
    """

    factor: np.ndarray
    half_width: float

    @property
    def largest(self) -> float:
        """The largest factor, at least 1."""
        return max(float(self.factor.max()), 1.0)


_GRID = 64


def draw_brightness_field(
    config: FluctuationConfig,
    *,
    disturbance: float,
    r500c: float,
    kpc_per_mpc_h: float,
    half_width: float,
    rng: np.random.Generator,
) -> BrightnessField | None:
    """Draw the fluctuations over one map, or None if there are none.

    Parameters
    ----------
    disturbance : float
        How disturbed the halo is, of unit variance.
    r500c : float
        [comoving Mpc/h]
    kpc_per_mpc_h : float
        Physical kpc in one comoving Mpc/h.
    half_width : float
        Half the side of the map [comoving Mpc/h].

    Notes
    -----
    The projected amplitude is twice that of the density, as the emission goes with its square,
    times sqrt(l / 2 L): 2 pi k^2 P_2D = 4 A^2 / (2 k L) with k = 1 / l and 1 / L the
    integral of the squared emissivity along the line of sight, L about R500c (Churazov et al.
    2012, equations 8 to 11). The factor is exp(g - <g^2> / 2), g the Gaussian field.
    """
    if config.amplitude == 0:
        return None
    wave, times = _waves(half_width)
    largest = config.largest_r500 * r500c
    smallest = config.smallest_kpc / kpc_per_mpc_h
    scale = 1 / wave
    density = config.amplitude * np.exp(config.disturbance * disturbance)
    density = density * (scale * kpc_per_mpc_h / 500) ** config.slope
    power = 4 * density**2 * scale / (2 * r500c) / (2 * np.pi * wave**2)
    power *= (scale < largest) & (scale > smallest)
    normal = rng.standard_normal((2, *wave.shape))
    # a mode that counts once meets its own conjugate, which halves its power
    modes = np.sqrt(power / times) * (normal[0] + 1j * normal[1]) * (_GRID**2 / (2 * half_width))
    field = np.fft.irfft2(modes, s=(_GRID, _GRID))
    variance = float((power * times).sum()) / (2 * half_width) ** 2
    return BrightnessField(np.exp(np.clip(field - variance / 2, -3, 1)), half_width)


@lru_cache(maxsize=8)
def _waves(half_width: float) -> tuple[np.ndarray, np.ndarray]:
    """Return wave numbers (cycles per comoving Mpc/h), and how often each mode counts."""
    step = 2 * half_width / _GRID
    kx = np.fft.rfftfreq(_GRID, step)
    ky = np.fft.fftfreq(_GRID, step)
    wave = np.hypot(ky[:, None], kx[None, :])
    wave[0, 0] = 1e-9
    times = np.full(wave.shape, 2.0)
    times[:, [0, -1]] = 1.0
    return wave, times
