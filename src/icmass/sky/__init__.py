"""Maps on the sky: the grid of a cluster, tangent planes."""
