"""Mock clusters as rows of a catalogue."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from icmass.survey.catalogue_rows import CATALOGUE, RATE_BANDS
from icmass.survey.mock_catalogue import CatalogueSimulator, exposure_ratios
from icmass.survey.presets import resolve_config

SETTINGS = (
    "halos.redshift_range=[0.1, 0.4]",
    "halos.redshift_law=even",
    "halos.log_m500c_min=14.0",
    "observe.nh_1e20=3",
)


@pytest.fixture(scope="module")
def rows() -> xr.Dataset:
    config = resolve_config("efeds", assignments=SETTINGS)
    return CatalogueSimulator(config, 7, exposure_s=(2000.0, 2600.0)).rows(60)


def test_a_row_does_not_depend_on_those_before(rows: xr.Dataset) -> None:
    config = resolve_config("efeds", assignments=SETTINGS)
    some = CatalogueSimulator(config, 7, exposure_s=(2000.0, 2600.0)).rows(3, 20)
    for name in (*CATALOGUE, "m500c", "halo_id"):
        np.testing.assert_allclose(some[name].values, rows[name].values[20:23], rtol=1e-12)


def test_rates_are_those_of_the_gas_on_axis(rows: xr.Dataset) -> None:
    """Against luminosities and the conversion of `icmass.rate`, without the simulator's photons.

    Flux in 0.5-2 keV by the mean relation of eFEDS (Liu et al. 2022; Chiu et al. 2022), whose gas
    the preset has: the mean of ln rate over it within 0.25, that scatter 0.4 between halos has a
    standard error of 0.06, with the relation's own error of a tenth and the extrapolated model's.
    """
    import icmass
    from icmass.cosmology import Cosmology

    cosmology = Cosmology()
    z, mass = rows["redshift"].values, rows["m500c"].values
    luminosity = 0.43e44 * (mass / 2e14) ** 1.55 * cosmology.efunc(z) ** 2
    distance = (1 + z) * cosmology.comoving_distance(z) / cosmology.h * 3.0857e24
    unit = icmass.rate(3.0, 0.25)
    per_flux = unit.counts[0.2, 2.3] / unit.flux_soft
    expected = luminosity / (4 * np.pi * distance**2) * per_flux
    ratio = np.log(rows["rate"].values / expected)
    assert np.isfinite(ratio).all()
    assert abs(np.median(ratio)) < 0.25


def test_sub_bands_add_up(rows: xr.Dataset) -> None:
    """P1 to P3 hold 0.2-2 keV, all but a few per cent of 0.2-2.3 keV, as Poisson noise allows."""
    bright = rows["rate"].values * rows["exposure"].values > 300
    total = sum(rows[f"rate_p{band}"].values for band in (1, 2, 3))
    share = (total / rows["rate"].values)[bright]
    assert bright.sum() > 10
    assert 0.90 < np.median(share) < 1.02
    hard = (rows["rate_p4"].values / rows["rate"].values)[bright]
    assert 0.01 < np.median(hard) < 0.2


def test_exposures_are_vignetted_as_those_of_the_catalogues() -> None:
    """Against ML_EXP of 1eRASS J094453.1-711153 in eRASS1 Main, band 1 and sub-bands P1 to P4.

    The catalogue's vignetting is of one energy a band and of another path through the field: 6 per
    cent.
    """
    ratio = exposure_ratios(resolve_config("efeds"))
    published = dict(zip(RATE_BANDS, (486.05, 493.564, 494.52, 486.823, 379.133), strict=True))
    for band, seconds in published.items():
        assert ratio[band] / ratio["rate"] == pytest.approx(seconds / 486.05, rel=0.06)
    # eFEDS: a vignetted exposure of 1.2-1.3 ks where the whole is 2.2-2.5 ks (Brunner et al. 2022)
    assert 0.48 < ratio["rate"] < 0.6


def test_what_is_detected_passes_the_limits(rows: xr.Dataset) -> None:
    passes = (rows["detection_likelihood"] >= 5) & (rows["extent_likelihood"] >= 3)
    np.testing.assert_array_equal(rows["detected"], passes)
    assert 0.5 < float(rows["detected"].mean()) <= 1.0
    extent = rows["extent"].values
    assert ((extent >= 8) & (extent <= 60)).all()
