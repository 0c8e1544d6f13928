"""A FITS quadrant in memory: names, headers, pixels, mask, WCS and background."""
