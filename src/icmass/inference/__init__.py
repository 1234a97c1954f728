"""Fitted models applied: masses of clusters in surveys, event files and images."""
