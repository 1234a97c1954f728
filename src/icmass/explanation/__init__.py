"""What mass estimators look at: attribution, regions, sanity checks, causal tests."""
