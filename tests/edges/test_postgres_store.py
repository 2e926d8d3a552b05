"""The same store on a real Postgres: a throwaway cluster that lives as long as this module."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ambidex.edges.sql import SqlStore
from ambidex.errors import EnvironmentProblem, Refused
from ambidex.testing import HandClock, StoreContract, judge, promote, register

psycopg = pytest.importorskip("psycopg", reason="POSTGRES: psycopg is not installed (pip install 'ambidex[postgres]')")


@pytest.fixture(scope="module")
def server(postgres_server):
    return postgres_server


@pytest.fixture
def sql(server):
    def run(statement: str, url: str = server) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement)

    return run


@pytest.fixture
def new_url(new_database):
    return new_database


class TestPostgresStore(StoreContract):
    @pytest.fixture
    def new_store(self, new_url):
        made = []

        def new(clock):
            made.append(SqlStore(new_url(), clock=clock))
            return made[-1]

        yield new
        for store in made:
            store.close()


def test_20_writers_leave_no_gap(new_url):
    """Each with an engine of its own, as processes and machines would have."""
    url = new_url()

    def work(who: int) -> list[int]:
        store = SqlStore(url, clock=HandClock())
        try:
            return [
                store.register(
                    model="churn", digest=f"{who:032}{n:032}", data="d", code="c", key=f"{who} {n}", summary={}
                ).number
                for n in range(10)
            ]
        finally:
            store.close()

    with ThreadPoolExecutor(20) as pool:  # the tables are not there yet: the first ones race to make them
        given = [n for numbers in pool.map(work, range(20)) for n in numbers]
    assert sorted(given) == list(range(1, 201))
    store = SqlStore(url, clock=HandClock())
    assert [c for c in store.check() if not c["passed"]] == []
    store.close()


def test_answers_kept_at_once_have_numbers_of_their_own(new_url):
    url = new_url()
    stores = [SqlStore(url, clock=HandClock()) for _ in range(8)]
    stores[0].append(verb="init")

    def keep(n: int) -> list[int]:
        return [stores[n].record_answer({"verb": "drivers", "record": {"seed": s}}) for s in (n, n // 2, 99)]

    with ThreadPoolExecutor(8) as pool:
        given = list(pool.map(keep, range(8)))
    assert {n for numbers in given for n in numbers} == set(range(1, 10))
    assert len({numbers[2] for numbers in given}) == 1
    for store in stores:
        store.close()


def test_of_two_movers_one_wins(new_url):
    url = new_url()
    clock = HandClock()
    stores = [SqlStore(url, clock=clock) for _ in range(4)]
    for version in (1, 2):
        register(stores[0])
        judge(stores[0], version, at=clock())
    revision = stores[0].model("churn").revision
    together = threading.Barrier(4)

    def go(n: int) -> str:
        together.wait()
        try:
            promote(stores[n], 1 + n % 2, expected_revision=revision)
        except Refused as error:
            return error.code
        return "moved"

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(go, range(4)))
    assert sorted(outcomes) == ["check.moved"] * 3 + ["moved"]
    assert len(stores[0].events(verbs=("promote",))) == 1
    for store in stores:
        store.close()


def test_an_edit_is_found(new_url, sql):
    url = new_url()
    store = SqlStore(url, clock=HandClock())
    register(store)
    register(store)
    sql("UPDATE model SET state = replace(state, '\"versions\":2', '\"versions\":3')", url)
    sql("UPDATE event SET by = 'eve' WHERE seq = 1", url)
    assert [c["name"] for c in store.check() if not c["passed"]] == ["chain", "models"]
    store.close()


def test_a_connection_cut_in_the_middle_leaves_nothing(new_url, sql):
    """The server ends the session before the commit; the store opens another one for the next call."""
    url = new_url()
    quiet = SqlStore(url, clock=HandClock())
    quiet.append(verb="init")

    def cut(step: str) -> None:
        if step == "commit:before" and armed:
            armed.clear()
            name = url.rpartition("%3D")[2]
            sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{name}'")

    armed: list[int] = []
    store = SqlStore(url, clock=HandClock(), hook=cut)
    store.append(verb="serve")
    armed.append(1)
    with pytest.raises(EnvironmentProblem) as caught:
        store.append(verb="serve")
    assert caught.value.code == "env.no-server"
    assert store.append(verb="serve").seq == 3
    assert [c for c in quiet.check() if not c["passed"]] == []
    store.close()
    quiet.close()


def test_a_fork_goes_on_with_connections_of_its_own(new_url):
    store = SqlStore(new_url(), clock=HandClock())
    store.append(verb="serve")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            for _ in range(10):
                store.append(verb="serve")
            code = 0
        finally:
            os._exit(code)
    for _ in range(10):
        store.append(verb="serve")
    assert os.waitpid(child, 0)[1] == 0
    assert len(store.events()) == 21
    store.close()


def test_a_server_that_does_not_answer():
    store = SqlStore("postgresql://ada:secret@/none?host=/nowhere", clock=HandClock())
    with pytest.raises(EnvironmentProblem) as caught:
        store.models()
    assert caught.value.code == "env.no-server"
    assert "secret" not in str(caught.value)
