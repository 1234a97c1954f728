"""Cross-validated comparison of mass estimators."""
