"""Scalar mass proxies and their scaling relations."""
