"""IRSA's addresses, so that programs written for them need another base URL and nothing else."""
