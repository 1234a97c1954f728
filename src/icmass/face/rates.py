"""Count rates by one call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from icmass.errors import InputError
from icmass.io.quantities import NH_UNIT, plain_number
from icmass.observe.rates import Rates, count_rates
from icmass.plasma.absorption import DEFAULT_NH_1E20, check_nh
from icmass.sky.bands import Band
from icmass.telescope.instrument import load_instrument

BANDS_KEV: tuple[Band, ...] = ((0.5, 1.2), (1.2, 2.0), (2.0, 7.0), (0.5, 2.0), (0.2, 2.3))


def rate(
    kt: Any,
    redshift: float,
    *,
    abundance: float = 0.3,
    nh: Any = DEFAULT_NH_1E20,
    bands: Sequence[Band] = BANDS_KEV,
    arf: str | Path | None = None,
    rmf: str | Path | None = None,
    survey_average: bool = False,
    instrument: str | Path = "erosita",
) -> Rates:
    """Return the count rates that a telescope has of a hot plasma, and its fluxes.

    Parameters
    ----------
    kt : float or Quantity
        Temperature [keV, or in K as a Quantity], 0.087-34 keV.
    redshift : float
    abundance : float
        Metal abundance [solar, Anders & Grevesse 1989].
    nh : float or Quantity
        Galactic column density [1e20 cm^-2].
    bands : sequence of (float, float)
        Bands of PI energies [keV].
    arf, rmf : path, optional
        OGIP files in place of the built-in area and redistribution.
    survey_average : bool
        Area averaged over the field of view; default: on axis.
    instrument : str or path
        A built-in instrument, ``"erosita"`` (seven telescopes) or ``"xmm_pn"`` (EPIC-pn, medium
        filter), or a JSON file of the same form.

    Returns
    -------
    Rates
        Per unit XSPEC apec norm, 1e-14 / (4 pi [D_A (1+z)]^2) * int n_e n_H dV.

    Raises
    ------
    InputError
        If a value is out of range or a file cannot be read.

    Examples
    --------
    >>> import icmass
    >>> rates = icmass.rate(3.0, 0.1)
    >>> round(rates.flux_soft / rates.counts[0.5, 2.0] / 1e-13, 1)
    9.3
    """
    if survey_average and arf is not None:
        why = "an ARF is taken as it is"
        raise InputError(why, field="--survey-average", hint="leave one of the two out")
    telescope = load_instrument(
        str(instrument),
        vignetting="survey" if survey_average else "onaxis",
        arf=None if arf is None else Path(arf),
        rmf=None if rmf is None else Path(rmf),
    )
    kev, column = plain_number(kt, "keV", "--kt"), check_nh(plain_number(nh, NH_UNIT, "--nh"))
    z, metals = plain_number(redshift, "", "--redshift"), plain_number(abundance, "", "--abundance")
    return count_rates(kev, metals, z, column, telescope, tuple(bands))
