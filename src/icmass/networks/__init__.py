"""Network architectures, free of data and training."""
