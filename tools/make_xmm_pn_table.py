"""Make the table of XMM-Newton EPIC-pn with the medium filter, `xmm_pn.json`.

All numbers are typed in here, so that the table can be made offline. Area: the shape of an arfgen
file, scaled by a smooth factor to published conversion factors of a power law in four bands, so
that the aperture that the file is for drops out. Vignetting: the calibration file's, averaged over
the field of view. Redistribution: quantiles of an rmfgen matrix. Sky background: the same spectrum
of local bubble, Galactic halo and unresolved cosmic background as eROSITA's, which fits eFEDS,
through this area. Particles: observations with the filter wheel closed. Point spread function: the
King profile of the calibration files, whose half-energy width is 21 arcsec.

What is approximate: the effective area is known to 5 per cent (EPIC calibration status,
XMM-SOC-CAL-TN-0018), and the point spread function on axis is used for all of the field. Gaps
between the chips and dead columns, 11 per cent of the field, are not left out. Residual soft
protons and out-of-time events (6 per cent in full-frame mode) are not in the background.

Usage: python tools/make_xmm_pn_table.py [OUT.json]
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
from make_erosita_table import PROBABILITIES, sky_template, to_json
from scipy.optimize import root

from icmass.plasma.absorption import transmission
from icmass.plasma.emissivity import ERG_PER_KEV
from icmass.telescope.response import Redistribution, redistribution_from_facts

AREA_KEV = """
0.1505 0.1565 0.1605 0.1635 0.1685 0.1705 0.1745 0.1775 0.1985 0.2105 0.2155 0.2245 0.2825 0.2835
0.2845 0.2855 0.2865 0.2885 0.2895 0.2905 0.2915 0.2925 0.2935 0.2955 0.2965 0.2975 0.2985 0.3018
0.3045 0.3075 0.3105 0.3135 0.3165 0.3285 0.3495 0.3945 0.4005 0.4035 0.4065 0.4095 0.4155 0.4245
0.4515 0.5285 0.5295 0.5305 0.5315 0.5325 0.5335 0.5395 0.5405 0.5435 0.5475 0.5755 0.7195 0.8095
1.113 1.554 1.569 1.589 1.599 1.835 1.851 2.092 2.181 2.22 2.235 2.255 2.265 2.314 2.345 2.467
2.647 2.723 2.768 2.828 3.083 3.248 4.268 5.572 6.503 7.268 7.388 8.137 8.258 8.422 8.797 8.977
9.098 9.307 9.562 9.998 10.48 10.7 10.87 11.21 11.39 11.63 11.72 11.84
"""
"""Photon energies of AREA_CM2 [keV]."""

AREA_CM2 = """
82.36 80.79 85.57 90.93 107 116.7 140.2 151.2 198.6 220.2 242.2 289.7 487.2 489.4 327.9 261 389
267.5 277.1 247.8 197.7 173.5 168.6 135.5 136.7 156 168.2 164.9 169.6 214.2 273.6 299.8 317.4
352.4 429.7 535.6 553.4 540.9 509.8 507.6 550.1 597.4 666.2 809.5 801.6 715.8 705 773 766.5 632.7
619.2 660.6 686.2 758.5 930.5 1002 1130 1200 1065 1119 1104 1141 1131 1148 1097 1056 1016 798.5
736.8 748.6 675.7 745.7 774.1 779.3 723.3 750.2 790.1 775.5 812.3 788.3 709 584.5 556.3 443.3
419.9 405.9 353.2 339.2 317.8 304.4 268.6 222.6 176.8 162.9 147 124.5 106.8 93.39 82.34 65.29
"""
"""Area by the SAS task arfgen [cm^2] for a source near the axis, medium filter, patterns 0-4, in an
aperture of 40 arcsec (XMM-Newton observation of NGC 7793, spectrum PN.arf of the public repository
renecotyfanboy/jaxspec-database): straight lines between these nodes are within 1.5 per cent. Of it
only the shape is used."""

OFFSET_EV = """
0.1255 -125 -125 -125 -125 -124 -124 -123 -122 -121 -118 -112 -105 -92 -74 -55 -38 -26 -12 4 15 26
47
0.1625 -162 -162 -162 -162 -161 -160 -159 -158 -156 -151 -143 -134 -118 -97 -76 -56 -43 -27 -8 5
17 41
0.1965 -196 -196 -196 -195 -193 -192 -190 -188 -185 -179 -166 -155 -134 -110 -84 -59 -43 -22 1 15
28 53
0.2515 -251 -250 -249 -247 -244 -242 -238 -234 -227 -216 -197 -180 -153 -119 -80 -43 -23 -1 21 35
47 72
0.2905 -290 -289 -287 -283 -279 -274 -268 -262 -253 -237 -212 -193 -160 -117 -67 -30 -11 10 31 44
56 80
0.3135 -312 -311 -309 -304 -299 -293 -285 -278 -266 -248 -220 -198 -160 -105 -52 -17 0 20 40 53 64
88
0.3615 -360 -358 -354 -348 -339 -331 -320 -310 -293 -270 -237 -212 -162 -90 -37 -6 10 28 48 60 72
95
0.4515 -447 -444 -436 -424 -409 -395 -374 -356 -331 -303 -261 -220 -130 -53 -14 11 25 42 61 73 84
108
0.5305 -525 -520 -511 -496 -476 -458 -429 -405 -373 -338 -281 -217 -99 -38 -5 18 32 48 67 79 91
115
0.5315 -525 -520 -510 -494 -472 -452 -419 -387 -341 -300 -243 -182 -79 -31 -1 22 35 51 69 81 93
117
0.5498 -547 -544 -539 -530 -518 -507 -491 -475 -444 -382 -288 -218 -89 -33 -2 21 34 51 69 81 93
117
0.6385 -634 -629 -621 -607 -588 -572 -545 -518 -465 -374 -259 -144 -54 -19 8 29 42 58 77 89 101
126
0.8755 -861 -848 -828 -792 -740 -689 -604 -520 -423 -300 -107 -67 -35 -8 17 38 51 67 86 100 112
139
1.0375 -1011 -991 -956 -891 -793 -696 -548 -473 -360 -173 -82 -58 -31 -5 20 41 55 72 91 105 118
146
1.4905 -1407 -1340 -1208 -942 -649 -521 -321 -193 -127 -98 -70 -53 -28 -1 24 48 62 81 103 118 133
164
1.8325 -1685 -1558 -1300 -817 -539 -309 -165 -138 -116 -96 -71 -54 -28 -1 27 51 67 87 110 127 142
176
1.8365 -1689 -1562 -1305 -830 -617 -428 -217 -155 -123 -99 -73 -55 -29 -1 27 51 67 87 110 127 142
176
1.8375 -1691 -1564 -1308 -845 -703 -594 -417 -280 -156 -111 -79 -59 -32 -3 25 50 65 86 109 126 142
175
1.8385 -1692 -1565 -1310 -870 -784 -739 -674 -610 -482 -274 -111 -76 -40 -8 21 47 63 83 107 124
139 173
1.8405 -1695 -1570 -1316 -892 -827 -799 -766 -738 -686 -585 -341 -169 -68 -24 11 39 55 76 101 118
134 168
1.8435 -1707 -1590 -1355 -911 -822 -789 -750 -716 -650 -518 -249 -120 -56 -18 15 42 58 79 103 120
136 170
1.8445 -1720 -1615 -1405 -981 -839 -808 -774 -746 -696 -599 -347 -147 -61 -20 13 41 57 78 103 119
135 170
1.8455 -1839 -1833 -1824 -1811 -1795 -1783 -1762 -1738 -880 -723 -479 -209 -68 -23 12 40 56 77 102
119 135 169
1.8485 -1844 -1840 -1834 -1822 -1808 -1795 -1776 -1756 -1622 -977 -590 -280 -73 -24 11 39 56 77
102 118 134 169
1.8735 -1867 -1862 -1852 -1838 -1821 -1807 -1786 -1761 -1217 -709 -331 -117 -53 -15 17 44 60 81
105 122 138 172
1.9005 -1891 -1883 -1870 -1850 -1830 -1815 -1793 -1767 -1116 -723 -388 -136 -57 -17 16 43 59 80
105 122 138 172
1.9142 -1903 -1893 -1878 -1856 -1834 -1818 -1795 -1768 -1147 -701 -291 -109 -51 -14 18 45 61 82
107 124 140 175
2.2095 -2134 -2076 -1974 -1900 -1831 -1790 -1752 -1718 -937 -666 -172 -93 -47 -11 21 49 66 88 114
131 148 184
2.5875 -2441 -2316 -2081 -1838 -1780 -1756 -1722 -1650 -898 -465 -121 -82 -43 -8 25 54 72 95 122
141 158 196
3.1275 -2795 -2481 -1952 -1796 -1760 -1734 -1676 -1123 -701 -191 -107 -78 -41 -5 29 60 79 104 132
152 171 212
3.9825 -3198 -2528 -1892 -1789 -1739 -1685 -1201 -689 -213 -147 -104 -78 -41 -3 35 68 89 116 147
169 189 233
5.7675 -2028 -1879 -1801 -1728 -1345 -382 -226 -201 -174 -147 -111 -85 -45 -1 43 82 106 137 172
196 219 267
12.0375 -1523 -469 -377 -333 -303 -284 -262 -246 -224 -194 -149 -115 -60 0 60 115 149 193 244 279
311 378
"""
"""Redistribution by the SAS task rmfgen for the same spectrum (PN.rmf), patterns 0-4: photon energy
[keV] and, at PROBABILITIES, PI energy minus photon energy [eV]. Quantiles between rows are within
0.02 in probability."""

VIGNETTING = """
0.5 1.000 0.971 0.914 0.836 0.756 0.662 0.577 0.504 0.435 0.375 0.329
2 1.000 0.971 0.914 0.836 0.756 0.662 0.576 0.503 0.434 0.374 0.328
3 1.000 0.970 0.912 0.831 0.749 0.653 0.565 0.491 0.421 0.361 0.316
4 1.000 0.970 0.911 0.830 0.747 0.651 0.563 0.488 0.418 0.357 0.312
5 1.000 0.969 0.909 0.827 0.741 0.643 0.552 0.476 0.404 0.343 0.298
5.5 1.000 0.969 0.907 0.822 0.734 0.632 0.540 0.460 0.387 0.326 0.281
6 1.000 0.967 0.903 0.813 0.720 0.614 0.517 0.436 0.363 0.303 0.260
6.5 1.000 0.965 0.894 0.796 0.694 0.584 0.485 0.404 0.333 0.276 0.237
7 1.000 0.961 0.883 0.777 0.669 0.555 0.456 0.375 0.306 0.254 0.219
8 1.000 0.955 0.865 0.746 0.628 0.509 0.408 0.330 0.267 0.222 0.192
9 1.000 0.946 0.841 0.707 0.578 0.457 0.359 0.287 0.233 0.195 0.170
10 1.000 0.934 0.809 0.658 0.520 0.400 0.309 0.248 0.203 0.170 0.148
11 1.000 0.918 0.765 0.594 0.449 0.337 0.261 0.211 0.174 0.146 0.128
12 1.000 0.895 0.714 0.549 0.426 0.331 0.261 0.211 0.172 0.144 0.125
"""
"""Photon energy [keV] and the mirror's vignetting at THETA_ARCMIN, of the calibration file
XRT1_XAREAEF_0010.CCF (xmm_mos1_vignet.fits in the public repository
amanpi/xmm-sixte-cdfs-simulations). The three mirror modules are alike; what the gratings before
MOS1 take away is not part of that file (release note XMM-CCF-REL-1)."""

CLOSED_KEV = """
0.2 0.25 0.3 0.35 0.4 0.45 0.5 0.55 0.6 0.65 0.7 0.75 0.8 0.85 0.9 0.95 1 1.05 1.1 1.15 1.2 1.25
1.3 1.35 1.4 1.45 1.5 1.55 1.6 1.65 1.7 1.75 1.8 1.85 1.9 1.95 2 2.05 2.1 2.15 2.2 2.25 2.3 2.35
2.4 2.45 2.5 2.55 2.6 2.65 2.7 2.75 2.8 2.85 2.9 2.95 3 3.25 3.5 3.75 4 4.25 4.5 4.75 5 5.25 5.5
5.75 6 6.25 6.5 6.75 7 7.25 7.35 7.45 7.55 7.65 7.75 7.85 7.95 8.05 8.15 8.25 8.35 8.45 8.55 8.65
8.75 8.85 8.95 9.05 9.15 9.25 9.35 9.45 9.5 9.75 10 10.25 10.5 10.75 11 11.25 11.5 11.75 12
"""
"""Energies of CLOSED_1E4 [keV]."""

CLOSED_1E4 = """
0.00 15.56 21.81 23.89 24.99 25.81 26.49 27.09 27.61 28.11 28.59 29.04 29.49 29.92 30.35 30.76
31.18 31.58 31.95 32.33 32.72 33.10 33.51 33.96 34.61 35.86 37.47 38.45 38.93 39.27 39.60 39.91
40.21 40.52 40.82 41.13 41.43 41.73 42.03 42.34 42.63 42.92 43.21 43.49 43.77 44.04 44.32 44.59
44.86 45.13 45.39 45.66 45.92 46.18 46.43 46.70 46.95 48.21 49.45 50.65 51.82 52.99 54.17 55.37
56.49 57.60 58.87 59.98 61.09 62.17 63.34 64.39 65.44 66.52 67.04 68.02 69.13 69.80 70.34 71.14
73.50 78.84 83.13 84.60 85.26 85.83 86.58 87.62 88.56 89.50 90.53 91.23 91.67 92.05 92.43 92.84
93.05 94.15 95.06 95.93 96.79 97.66 98.51 99.35 100.22 101.05 101.88
"""
"""Events below each energy with the filter wheel closed [1e-4 counts/s/arcmin^2]: ESA's stacks of
closed observations (blank-sky repository) as SIXTE's pnclosedfilter_low_background_spectrum.fits
has them [counts/s/m^2 of detector], at a focal length of 7.5 m."""

THETA_ARCMIN = [0, 1.5, 3, 4.5, 6, 7.5, 9, 10.5, 12, 13.5, 15]

FIELD_RADIUS_ARCMIN = 14.0
"""A disc of the solid angle that the medium-filter image of observation 0827340901 covers, gaps and
all, 0.17 deg^2 (mask of the public repository domeckert/xmm_simulator)."""

CONVERSION_BANDS_KEV = [(0.5, 1.0), (1.0, 2.0), (2.0, 4.5), (4.5, 12.0)]
CONVERSION_FACTORS = [7.9163, 5.7973, 1.9297, 0.5709]
CONVERSION_INDEX, CONVERSION_NH_1E20 = 1.7, 3.1623
"""Counts per flux as it arrives [1e11 cm^2/erg] in the same band, of a power law with that photon
index and column density; full frame, medium filter, 2007 to 2014: package ecfxa 1.0 (A. Ruiz
2024). Mateos et al. 2009 (A&A 496, 879, table 1) have 7.995, 5.779, 1.927 and 0.554."""

CLOSED_LEVEL = 0.86
"""Level of the particles over CLOSED_1E4. A second stack, of events with FLAG 0 over the whole
mission (PN_FWC.fits.gz of domeckert/xmm_simulator, per keV), is 0.73 of it at all energies; this is
the geometric mean, so 17 per cent are between it and either. The cosmic rays vary by more in a
solar cycle."""

KING_CORE_ARCSEC = (6.636, -0.305)
KING_SLOPE = (1.525, -0.015)
"""Core radius and slope on axis: value at 0 keV and change per keV (Ghizzardi 2002,
XMM-SOC-CAL-TN-0029; release note XMM-CCF-REL-116 of XRT3_XPSF_0004.CCF). The calibration normalises
the profile within 5 arcmin."""

SOURCES = {
    "area": "arfgen file of a source near the axis, medium filter, patterns 0-4, scaled to the "
    "counts per flux of a power law in 0.5-12 keV (ecfxa 1.0); known to 5 per cent",
    "vignetting": "XRT1_XAREAEF_0010.CCF, mirrors alone, mean over a disc of 14 arcmin",
    "redistribution": "rmfgen matrix, patterns 0-4: quantiles rounded to eV",
    "psf": "King profile on axis of XRT3_XPSF (Ghizzardi 2002, XMM-SOC-CAL-TN-0029), wings end at "
    "5 arcmin as in the calibration; half-energy width 21 arcsec (the mirrors alone 15, Aschenbach "
    "et al. 2000, astro-ph/0007256); off axis the same",
    "background": "sky: local bubble, Galactic halo and 0.82 of the cosmic background of De Luca & "
    "Molendi 2004 (A&A 419, 837), as for eROSITA, through this area, 10 per cent; particles: "
    "filter wheel closed, two public stacks, 17 per cent; scatter from pointing to pointing 8 per "
    "cent in quiet times (Katayama et al. 2004, A&A 414, 767); no soft protons",
    "field_of_view": "disc of the solid angle of a mask of observation 0827340901; vignetting at "
    "0.5-2 keV, 12 arcmin off axis 0.83 of that at 6 keV, 0.61 at 8 keV",
}


def numbers(text: str, columns: int = 1) -> np.ndarray:
    """Return a table of that many columns, as rows; one column flat."""
    values = np.array(text.split(), dtype=float)
    return values if columns == 1 else values.reshape(-1, columns)


def redistribution_facts() -> dict[str, list]:
    """Return the redistribution in the form of the instrument's file."""
    rows = numbers(OFFSET_EV, 1 + len(PROBABILITIES))
    return {
        "probability": PROBABILITIES,
        "energy_kev": rows[:, 0].tolist(),
        "offset_ev": rows[:, 1:].astype(int).tolist(),
        "channel_range_kev": [0.05, 15.0],
    }


def vignetting_facts() -> dict[str, list[float]]:
    """Return the mean of the vignetting over the disc of the field of view."""
    rows = numbers(VIGNETTING, 1 + len(THETA_ARCMIN))
    theta = (np.arange(1400) + 0.5) / 1400 * FIELD_RADIUS_ARCMIN
    mean = [np.average(np.interp(theta, THETA_ARCMIN, row[1:]), weights=theta) for row in rows]
    return {"energy_kev": rows[:, 0].tolist(), "survey": np.round(mean, 4).tolist()}


def calibrated_area(redistribution: Redistribution) -> tuple[np.ndarray, np.ndarray]:
    """Return energies [keV] and the area on axis [cm^2] that gives the published factors.

    The factor on the shape is linear in ln E between the middles of the bands, constant beyond.
    """
    nodes, shape = numbers(AREA_KEV), numbers(AREA_CM2)
    energy = np.arange(0.1505, 11.84, 0.001)
    photons = 0.001 * energy**-CONVERSION_INDEX * transmission(energy, CONVERSION_NH_1E20)
    photons = photons * np.interp(energy, nodes, shape)
    middle = np.log([np.sqrt(low * high) for low, high in CONVERSION_BANDS_KEV])
    flux_energy = np.arange(0.5, 12, 0.001) + 0.0005
    arrives = flux_energy ** (1 - CONVERSION_INDEX)
    arrives *= 0.001 * ERG_PER_KEV * transmission(flux_energy, CONVERSION_NH_1E20)
    seen = [redistribution.band_probability(energy, *band) for band in CONVERSION_BANDS_KEV]
    flux = [arrives[(flux_energy > a) & (flux_energy < b)].sum() for a, b in CONVERSION_BANDS_KEV]

    def miss(factor: np.ndarray) -> np.ndarray:
        counts = np.array(seen) @ (photons * np.interp(np.log(energy), middle, factor))
        return counts / flux / 1e11 / CONVERSION_FACTORS - 1

    solution = root(miss, np.ones(len(middle)))
    if not solution.success:
        raise SystemExit(f"area not solved: {solution.message}")
    return nodes, shape * np.interp(np.log(nodes), middle, solution.x)


def background_facts(
    redistribution: Redistribution, energy: np.ndarray, survey_cm2: np.ndarray
) -> dict[str, object]:
    """Return the background, cumulated [1e-4 counts/s/arcmin^2], of the mean of the field."""
    edges = numbers(CLOSED_KEV)
    fine = np.arange(0.1525, 11.84, 0.005)
    detected = sky_template(redistribution, np.interp(fine, energy, survey_cm2), fine) * 0.005
    sky = [1e4 * detected @ redistribution.band_probability(fine, a, b) for a, b in pairwise(edges)]
    return {
        "energy_kev": edges.tolist(),
        "sky_1e4": np.round(np.concatenate([[0], np.cumsum(sky)]), 3).tolist(),
        "particles_1e4": np.round(CLOSED_LEVEL * numbers(CLOSED_1E4), 3).tolist(),
        "excess_fraction": 0.08,
        "cell_arcmin": 28.0,
    }


def psf_facts() -> dict[str, object]:
    """Return the King profile: straight lines, so that two energies are enough."""
    energy = np.array([0.0, 12.0])
    (core, per_kev), (slope, slope_per_kev) = KING_CORE_ARCSEC, KING_SLOPE
    return {
        "kind": "king",
        "energy_kev": energy.tolist(),
        "core_arcsec": np.round(core + per_kev * energy, 4).tolist(),
        "slope": np.round(slope + slope_per_kev * energy, 4).tolist(),
        "max_radius_arcsec": 300.0,
    }


def make(out: Path) -> None:
    """Write the instrument file."""
    facts = redistribution_facts()
    redistribution = redistribution_from_facts(
        np.array(facts["energy_kev"]),
        np.array(facts["probability"]),
        np.array(facts["offset_ev"]),
        range_kev=(0.05, 15.0),
    )
    energy, area = calibrated_area(redistribution)
    vignetting = vignetting_facts()
    survey = area * np.interp(energy, vignetting["energy_kev"], vignetting["survey"])
    content = {
        "name": "xmm_pn",
        "description": "XMM-Newton EPIC-pn, full frame, medium filter, patterns 0-4",
        "sources": SOURCES,
        "area": {
            "energy_kev": energy.tolist(),
            "onaxis_cm2": [float(f"{value:.4g}") for value in area],
        },
        "vignetting": vignetting,
        "redistribution": facts,
        "psf": psf_facts(),
        "background": background_facts(redistribution, energy, survey),
        "field_of_view": {
            "radius_arcmin": FIELD_RADIUS_ARCMIN,
            "theta_arcmin": THETA_ARCMIN,
            "factor": numbers(VIGNETTING, 1 + len(THETA_ARCMIN))[0, 1:].tolist(),
        },
    }
    out.write_text(to_json(content), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        raise SystemExit(__doc__)
    default = Path(__file__).parents[1] / "src/icmass/telescope/data/xmm_pn.json"
    make(Path(sys.argv[1]) if len(sys.argv) == 2 else default)
