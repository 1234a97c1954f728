"""References that several configurations cite."""

from __future__ import annotations

MAGNETICUM = "3,292 clusters of Magneticum Box2/hr (Green et al. 2019, ApJ 884, 33), own fit"
MAGNETICUM_PHOTONS = "photons of 81 Magneticum clusters, own fit"
MAGNETICUM_IMAGES = "images of Magneticum clusters (Green et al. 2019, ApJ 884, 33), own fit"
HO_2023 = "Ho et al. 2023, MNRAS 524, 3289"
GHIZZARDI_2021 = "Ghizzardi et al. 2021, A&A 646, A92"
BULBUL_2019 = "Bulbul et al. 2019, ApJ 871, 50"
BULBUL_2024 = "Bulbul et al. 2024, A&A 685, A106"
MERLONI_2024 = "Merloni et al. 2024, A&A 682, A34"
