"""Locks: order of arrival, giving up, and what a holder that dies leaves."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time

import pytest

from ambidex.edges.locks import FairLock, FileLock
from ambidex.edges.sql import SqlStore
from ambidex.errors import EnvironmentProblem
from ambidex.testing import HandClock

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def test_threads_get_it_in_the_order_of_arrival():
    lock, order = FairLock(), []
    assert lock.acquire(0)

    def wait(n: int) -> None:
        assert lock.acquire(10)
        order.append(n)
        lock.release()

    threads = []
    for n in range(8):
        threads.append(threading.Thread(target=wait, args=(n,)))
        threads[-1].start()
        while len(lock._waiting) <= n:
            time.sleep(0.001)
    lock.release()
    for thread in threads:
        thread.join()
    assert order == list(range(8))


def test_a_thread_gives_up_and_the_lock_goes_on():
    lock = FairLock()
    assert lock.acquire(0)
    assert not lock.acquire(0.01)
    lock.release()
    assert lock.acquire(0)
    lock.release()


def test_a_file_lock_gives_up_and_is_taken_later(tmp_path):
    others = threading.active_count()  # a fixture's server may live in this process
    one, two = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert one.acquire(0)
    for _ in range(3):
        start = time.monotonic()
        assert not two.acquire(0.05)
        assert time.monotonic() - start < 2
    one.release()
    assert two.acquire(5)  # those who gave up have let go of what they got afterwards
    assert not one.acquire(0.05)
    two.release()
    assert one.acquire(5)
    one.release()
    while threading.active_count() > others:
        time.sleep(0.001)
    one.close()
    two.close()


def test_a_holder_that_dies_holds_nothing(tmp_path):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        FileLock(tmp_path / "lock").acquire(5)
        os.write(writer, b"x")
        time.sleep(60)
        os._exit(1)
    os.read(reader, 1)
    lock = FileLock(tmp_path / "lock")
    assert not lock.acquire(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert lock.acquire(5)
    lock.close()
    os.close(reader)
    os.close(writer)


def test_writers_wait_for_the_lock_and_readers_do_not(tmp_path, monkeypatch):
    monkeypatch.setattr("ambidex.edges.sql_open._WAIT_S", 0.1)
    store = SqlStore(tmp_path / "meta.sqlite", clock=HandClock())
    store.append(verb="init")
    descriptor = os.open(tmp_path / "lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(EnvironmentProblem) as caught:
        store.append(verb="init")
    assert caught.value.code == "env.busy"
    assert len(store.events()) == 1
    os.close(descriptor)
    monkeypatch.setattr("ambidex.edges.sql_open._WAIT_S", 5)
    assert store.append(verb="init").seq == 2
    store.close()
