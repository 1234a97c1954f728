"""Surveys of real clusters, or of photons that others simulated."""
