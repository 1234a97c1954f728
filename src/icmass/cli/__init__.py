"""The command line: it parses, calls and prints; no science here."""

from __future__ import annotations

from icmass.cli.app import main

__all__ = ["main"]
