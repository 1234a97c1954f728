"""icmass: galaxy cluster masses from X-ray photons."""

__version__ = "0.1.0"
