"""Plasma emission (APEC) and photoelectric absorption."""
