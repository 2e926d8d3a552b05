"""Fixtures of every test."""

from __future__ import annotations

import os

# One thread a library: the two cores of a small machine are shared by the tests' own processes.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
