"""The universe in 3D: halos, their gas and their active galactic nuclei."""
