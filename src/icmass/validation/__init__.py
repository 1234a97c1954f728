"""The mock against published and measured values."""
