"""The questions an archive answers: cones, light curves, which images saw a spot, and read-only SQL."""
