"""Readers that turn real data into a survey."""
