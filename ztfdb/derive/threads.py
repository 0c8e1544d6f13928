"""The environment of processes that use one core each."""

from __future__ import annotations

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Otherwise threads of libraries in several processes compete for cores."""
