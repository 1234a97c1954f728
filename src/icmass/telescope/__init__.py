"""Telescopes: effective area, energy redistribution, PSF and background, as data."""
