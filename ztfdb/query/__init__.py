"""Queries of an archive: cones, light curves, the images that cover a position, and read-only SQL."""
