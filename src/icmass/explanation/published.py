"""What Ho et al. (2023) publish on what their networks look at, beside which ours is shown."""

from __future__ import annotations

from typing import Any

SOURCE = "Ho et al. 2023, MNRAS 524, 3289, doi 10.1093/mnras/stad2005, and its analysis notebook"

ONE_BAND: dict[str, Any] = {
    "crossing_r500c": 0.285,
    "core_ratio_dex": 2.0,
    "agn": {"median": -3.85, "minus": 0.74, "plus": 0.71},
    "icm": {"median": -3.53, "minus": 0.67, "plus": 0.47},
}
THREE_BAND: dict[str, Any] = {
    "crossing_r500c": 0.285,
    "core_ratio_dex": 2.0,
    "agn": {"median": -3.91, "minus": 0.74, "plus": 0.61},
    "icm": {"median": -3.77, "minus": 0.63, "plus": 0.49},
    "bands": [-4.15, -4.17, -4.15],
}


def published_saliency(name: str) -> dict[str, Any]:
    """Return the published numbers that stand beside those of a network; {} if there are none.

    They are of log10 S, S in dex of M500c per standardised pixel, of the paper's own networks on
    maps of gas and active galaxies without background: the network of the same bands is looked up,
    whatever its layers. ``crossing_r500c`` is the radius at which the sensitivity of the photon
    count is ten times the network's, given once for both networks.

    Examples
    --------
    >>> published_saliency("icm-3band@2")["icm"]["median"]
    -3.77
    """
    for bands, found in (("-1band", ONE_BAND), ("-3band", THREE_BAND)):
        if name.partition("@")[0].endswith(bands):
            return found
    return {}
