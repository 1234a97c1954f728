"""Readers of files: FITS, events, images, exposure maps, masks, photon lists, tables."""
