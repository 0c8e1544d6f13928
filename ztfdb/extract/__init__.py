"""Measure the sources of a frame: detection, positions, apertures, noise and flags."""
