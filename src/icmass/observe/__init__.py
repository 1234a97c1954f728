"""From the sky to the detector: photons, maps, count rates."""
