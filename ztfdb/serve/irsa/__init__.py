"""IRSA's addresses: programs written for IRSA only need another base URL."""
