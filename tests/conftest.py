"""Fixtures of every test."""

from __future__ import annotations

import os

# One thread a library: the two cores of a small machine are shared by the tests' own processes.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

import servers  # noqa: E402

collect_ignore = ["serving/clients.py"]  # run by another interpreter, which has the clients


@pytest.fixture(scope="session")
def postgres_server():
    """URL of a throwaway Postgres cluster, or a skip."""
    with servers.postgres() as url:
        yield url


@pytest.fixture
def new_database(postgres_server):
    """Makes URLs of empty databases."""
    return servers.empty_database(postgres_server)


@pytest.fixture(scope="session")
def s3_process():
    """Address of a throwaway S3 server, or a skip."""
    with servers.s3() as address:
        yield address


@pytest.fixture
def s3_server(s3_process, monkeypatch):
    """The same, with keys in the environment."""
    for name, value in servers.S3_KEYS.items():
        monkeypatch.setenv(name, value)
    return s3_process


# Timings are never asserted: a deadline would fail on a busy machine and tell nothing of the code.
settings.register_profile("ours", deadline=None)
settings.load_profile("ours")
