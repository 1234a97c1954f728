"""Training of networks: samples, encodings, model specifications, the loop and its devices."""
