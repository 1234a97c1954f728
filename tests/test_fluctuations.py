"""Surface-brightness fluctuations against the power spectrum that they state, and Coma's."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.integrate import quad

from icmass.cosmology import Cosmology
from icmass.universe.fluctuations import BrightnessField, FluctuationConfig, draw_brightness_field

COSMO = Cosmology()
KPC = 1000 / COSMO.h / 1.2  # physical kpc in one comoving Mpc/h at z = 0.2


def draw_fields(
    config: FluctuationConfig, n: int, *, half_width: float = 6.0, r500c: float = 0.8
) -> np.ndarray:
    """Return ln of the factor, (n, y, x)."""
    fields = [
        draw_brightness_field(
            config,
            disturbance=0.0,
            r500c=r500c,
            kpc_per_mpc_h=KPC,
            half_width=half_width,
            rng=np.random.default_rng([4, i]),
        )
        for i in range(n)
    ]
    assert all(isinstance(field, BrightnessField) for field in fields)
    return np.log([field.factor for field in fields if field is not None])


def measured_power(fields: np.ndarray, half_width: float) -> tuple[np.ndarray, np.ndarray]:
    """Return wave numbers [cycles per comoving Mpc/h] and P_2D [(Mpc/h)^2], (y, x)."""
    n = fields.shape[-1]
    modes = np.fft.fft2(fields) * (2 * half_width / n) ** 2
    k = np.fft.fftfreq(n, 2 * half_width / n)
    return np.hypot(*np.meshgrid(k, k)), (np.abs(modes) ** 2).mean(0) / (2 * half_width) ** 2


def test_variance_is_the_integral_of_the_power():
    """Over the scales that are drawn: the integral of 2 pi k P_2D = 4 A^2 / (2 k^2 R500c)."""
    half_width = 6.0
    step_kpc = 2 * half_width / 64 * KPC
    config = FluctuationConfig(smallest_kpc=2.1 * step_kpc, largest_r500=1.5)
    fields = draw_fields(config, 200, half_width=half_width)

    def power(k: float) -> float:
        amplitude = 0.09 * (KPC / k / 500) ** 0.22
        return 4 * amplitude**2 / (2 * k**2 * 0.8)

    expected = quad(power, 1 / (1.5 * 0.8), KPC / config.smallest_kpc)[0]
    assert fields.var() == pytest.approx(expected, rel=0.08)


def test_density_amplitude_is_comas_at_500_kpc():
    """7 to 10 per cent, by inverting equations 8 to 11 of Churazov et al. 2012 on the maps."""
    k, power = measured_power(draw_fields(FluctuationConfig(), 100), 6.0)
    wanted = KPC / 500
    ring = np.abs(k / wanted - 1) < 0.15
    amplitude = np.sqrt(2 * np.pi * k**2 * power * (2 * k * 0.8) / 4)
    assert 0.07 < np.sqrt((amplitude[ring] ** 2).mean()) < 0.10


def test_fluctuations_have_no_direction():
    _, power = measured_power(draw_fields(FluctuationConfig(), 200), 6.0)
    along_y, along_x = power[12:25, 0].sum(), power[0, 12:25].sum()
    assert along_y / along_x == pytest.approx(1, abs=4 * np.sqrt(2 / (200 * 13)) + 0.05)


def test_factor_has_mean_one_and_nothing_outside_its_scales():
    fields = draw_fields(FluctuationConfig(), 100)
    assert np.exp(fields).mean() == pytest.approx(1, abs=0.005)
    k, power = measured_power(fields, 6.0)
    large = (k < 0.95 / (1.5 * 0.8)) & (k > 0)
    assert power[large].max() < 0.02 * power[~large].max()


def test_disturbed_halos_fluctuate_more():
    config = FluctuationConfig()
    options = {"r500c": 0.8, "kpc_per_mpc_h": KPC, "half_width": 2.3}
    spread = []
    for disturbance in (0.0, 1.0):
        rng = np.random.default_rng(5)
        field = draw_brightness_field(config, disturbance=disturbance, rng=rng, **options)
        assert field is not None and field.largest >= field.factor.max()
        spread.append(np.log(field.factor).std())
    assert spread[1] / spread[0] == pytest.approx(np.exp(0.3), rel=1e-3)


def test_no_field_without_amplitude():
    config = FluctuationConfig(amplitude=0)
    options = {"disturbance": 0.0, "r500c": 0.8, "kpc_per_mpc_h": KPC, "half_width": 2.3}
    assert draw_brightness_field(config, rng=np.random.default_rng(0), **options) is None


@pytest.mark.parametrize("wrong", [{"amplitude": -0.1}, {"slope": 3.0}, {"unknown": 1}])
def test_wrong_configurations_are_refused(wrong: dict[str, float]):
    with pytest.raises(ValidationError):
        FluctuationConfig(**wrong)
