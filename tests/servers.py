"""Throwaway servers for tests: a Postgres cluster and an S3 server, without a network beyond this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def programs() -> Path:
    """The folder of Postgres' programs, which Debian does not put on the path."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).parent] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found or not (found[-1] / "initdb").exists():
        pytest.skip("POSTGRES: no server programs here (apt-get install postgresql)")
    return found[-1]


@contextmanager
def postgres() -> Iterator[str]:
    """URL of a cluster without a network; the socket's folder must have a short name."""
    bin_ = programs()
    folder = Path(tempfile.mkdtemp(prefix="ambidex-pg-"))
    run: list[str] = []
    if os.geteuid() == 0:  # the server refuses to run as root
        if not shutil.which("runuser"):
            pytest.skip("POSTGRES: started as root, and there is no runuser")
        owner = "postgres" if subprocess.run(["id", "postgres"], capture_output=True).returncode == 0 else "nobody"
        shutil.chown(folder, owner)
        run = ["runuser", "-u", owner, "--"]
    data, log = folder / "data", folder / "log"
    try:
        made = [*run, str(bin_ / "initdb"), "-D", str(data), "-U", "ambidex", "-A", "trust", "-E", "UTF8"]
        subprocess.run([*made, "--locale=C", "--no-sync"], check=True, capture_output=True, cwd=folder)
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c max_connections=80 -c fsync=off"
        start = [*run, str(bin_ / "pg_ctl"), "-D", str(data), "-l", str(log), "-w", "-o", options, "start"]
        subprocess.run(start, check=True, capture_output=True, cwd=folder, timeout=60)
        try:
            yield f"postgresql://ambidex@/postgres?host={folder}"
        finally:
            stop = [*run, str(bin_ / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop"]
            subprocess.run(stop, check=False, capture_output=True, cwd=folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def empty_database(server: str) -> Callable[[], str]:
    """Makes URLs of databases that hold nothing: a schema each, in one cluster."""
    psycopg = pytest.importorskip("psycopg", reason="POSTGRES: psycopg is not installed")

    def make() -> str:
        name = f"w{uuid.uuid4().hex[:12]}"
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        return f"{server}&application_name={name}&options=-csearch_path%3D{name}"

    return make


@contextmanager
def s3(bucket: str = "models") -> Iterator[str]:
    """Address of an S3 server in this process, with one empty bucket."""
    moto = pytest.importorskip("moto.server", reason="S3: moto is not installed (pip install 'moto[s3,server]')")
    obstore = pytest.importorskip("obstore", reason="S3: obstore is not installed")
    del obstore
    import logging
    import urllib.request

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        address = f"http://{host}:{port}"
        made = urllib.request.Request(f"{address}/{bucket}", method="PUT")
        urllib.request.urlopen(made, timeout=20).close()
        yield address
    finally:
        server.stop()


S3_KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
"""What clients of the throwaway server sign with; it takes any."""
