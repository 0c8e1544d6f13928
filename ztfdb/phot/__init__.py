"""Photometry: fluxes and magnitudes, zero points and colour terms, depth."""
