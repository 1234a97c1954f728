"""A survey in the formats that others read: event files, images, photon lists, tables."""
