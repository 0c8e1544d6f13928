"""Directions on the sky: separations, HEALPix cells, projections, footprints, matching, light-travel times."""
