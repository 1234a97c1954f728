"""icmass: galaxy cluster masses from X-ray photons."""

__version__ = "0.2.0.dev0"
