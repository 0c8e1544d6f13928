"""From pixels to sources: detection, positions, apertures, noise and flags of one frame."""
