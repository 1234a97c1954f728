"""The mass scale by clusters with weak-lensing masses, and likelihoods of many clusters."""
