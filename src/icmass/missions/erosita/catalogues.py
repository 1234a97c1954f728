"""What eROSITA's catalogues call their columns.

Sources: eRASS1 (Merloni et al. 2024, A&A 682, A34, table D.1: ``ML_RATE_1``, sub-bands ``_P1`` to
``_P9``), eRASS:3 of data release 2, which has the same names, and eFEDS (Brunner et al. 2022, A&A
661, A1: ``ML_RATE``). Clusters: eRASS1 (Bulbul et al. 2024, A&A 685, A106: ``CR300kpc``,
``CR500``, ``EXP``), eFEDS (Liu et al. 2022, A&A 661, A2: ``F_300kpc``; Klein et al. 2022, A&A 661,
A4, with the names of Brunner et al.).
"""

from __future__ import annotations

from icmass.missions.catalogue_format import CatalogueFormat, FluxColumns

FLUX_TO_COUNTS = 1.30e12
"""Counts in 0.2-2.3 keV on axis of an unabsorbed flux in 0.5-2 keV [count cm^2 / erg], of a plasma
of 1-8 keV with abundance 0.3 behind 3e20 cm^-2: within 4 per cent at redshifts 0.05-0.5, 13 per
cent between 1.5e20 and 6e20 cm^-2 (`icmass.rate`)."""
_ML_FLUX = ("ML_FLUX_1", "ML_FLUX")
_SUB_BANDS = {f"rate_p{band}": (f"ML_RATE_P{band}",) for band in range(1, 5)}
CATALOGUES = CatalogueFormat(
    columns={
        "rate": ("ML_RATE_1", "ML_RATE"),
        **_SUB_BANDS,
        "rate_300kpc": ("CR300kpc",),
        "rate_r500c": ("CR500",),
        "exposure": ("ML_EXP_1", "ML_EXP", "EXP"),
        "extent": ("EXT",),
        "extent_likelihood": ("EXT_LIKE",),
        "detection_likelihood": ("DET_LIKE_0", "DET_LIKE"),
    },
    counts=("ML_CTS_1", "ML_CTS"),
    fluxes={
        # energy conversion of 0.2-2.3 keV, photon index 2 and N_H 3e20: 1.074e12 of DR1 (Merloni et
        # al. 2024), 1.06e12 in the table of Klein et al. 2022
        "rate": FluxColumns(_ML_FLUX, 1.074e12),
        "rate_300kpc": FluxColumns(("F_300kpc",), FLUX_TO_COUNTS),
    },
    refused={
        "ML_RATE_2": "give the Main catalogue: the three bands of a Hard catalogue are others",
    },
    rate_is="counts per second of vignetted exposure, in 0.2-2.3 keV: the rate on axis",
)
