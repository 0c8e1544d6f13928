"""Light as numbers: fluxes and magnitudes, zero points and colour terms, depth."""
