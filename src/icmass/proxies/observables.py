"""Photon-count proxies (they live in `icmass.observe.apertures`, below the simulator)."""

from __future__ import annotations

from icmass.observe.apertures import APERTURES, photon_counts

__all__ = ["APERTURES", "photon_counts"]
