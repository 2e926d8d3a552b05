"""More than the server can: what waits, what is refused, what is cut, and that the rest is answered."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ambidex.serving.gate import Gate
from ambidex.serving.messages import Limits, Request
from serving.serving_support import JSON, ROW, VALID, Server, read_all

HEAD = b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"


def wire(path: str, body: bytes) -> bytes:
    return HEAD % (path.encode(), len(body), body)


def rows(seconds: float) -> bytes:
    return json.dumps({"rows": [{**ROW, "income": seconds}]}).encode()


def statuses(said: bytes) -> list[int]:
    return [int(part[:3]) for part in said.split(b"HTTP/1.1 ")[1:]]


class Caller:
    """Stands for a connection."""

    def __init__(self) -> None:
        self.turns = 0

    def go_on(self) -> None:
        self.turns += 1


def test_a_tick_answers_so_many_lets_so_many_wait_and_refuses_so_many() -> None:
    async def tick() -> None:
        unused: Any = None
        gate = Gate(asyncio.get_running_loop(), unused, unused, Limits(tick=64, tick_waiting=64, tick_refused=32))
        shed: list[str] = []
        gate.shed = shed.append
        callers: Any = [Caller() for _ in range(256)]
        request = Request("POST", "/predict/churn", {}, b"", True)
        said = [gate.admits(c, request) for c in callers]
        gate.begun()
        assert said == [True] * 64 + [False] * 64 + [None] * 32 + [False] * 96
        assert shed == ["/predict/churn"] * 32
        assert gate.admits(Caller(), Request("GET", "/v2/health/ready", {}, b"", True)) is True  # type: ignore[arg-type]
        await asyncio.sleep(0)
        # Those who wait come first and in order; they are counted as they ask again.
        turns = [c.turns for c in callers]
        assert turns[64:128] == [1] * 64 and sum(turns) == 160
        assert gate.admits(callers[0], request) is True

    asyncio.run(tick())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    limits = {"tick": 4, "tick_waiting": 4, "tick_refused": 8, "deadline_s": 0.5, "patience_s": 0.3, "connections": 120}
    prepared = Server(tmp_path_factory.mktemp("overload") / "s", **limits)
    prepared.point(churn={"live": 1}, wait={"live": 18})
    with prepared as running:
        assert running.post("/predict/churn@17", rows(0.0))[0] == 200
        yield running


@contextlib.contextmanager
def callers(server: Server, count: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        made = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(count)]
        yield [stack.enter_context(sock) for sock in made]


def test_one_tick_too_full(server: Server) -> None:
    """Sixty requests arrive while the loop is held up: all are answered, some by 503, none is lost."""
    logged = len(server.frames())
    with callers(server, 60) as socks:
        held = socks.pop()
        held.sendall(wire("/predict/churn@17", rows(0.4)))
        time.sleep(0.1)
        for sock in socks:
            sock.sendall(wire("/predict/churn", VALID))
        assert statuses(held.recv(65536)) == [200]
        said = [sock.recv(65536) for sock in socks]
        codes = [statuses(s)[0] for s in said]
        assert set(codes) == {200, 503}
        for answer in (s for s, code in zip(said, codes, strict=True) if code == 503):
            head, _, body = answer.partition(b"\r\n\r\n")
            assert b"retry-after: 1" in head and b"connection: close" not in head
            assert json.loads(body)["code"] == "http.overload"
        for sock in socks:  # the connections live
            sock.sendall(wire("/predict/churn", VALID))
            assert statuses(sock.recv(65536)) == [200]
    assert len(server.frames()) - logged == codes.count(200) + len(socks) + 1


def test_many_requests_on_one_connection_wait_for_their_turn(server: Server) -> None:
    with callers(server, 1) as (sock,):
        sock.sendall(
            wire("/predict/churn", VALID) * 99
            + wire("/predict/churn", VALID).replace(b"Host: a", b"Host: a\r\nConnection: close")
        )
        assert statuses(read_all(sock)) == [200] * 100


def test_an_answer_that_takes_four_times_the_deadline(server: Server) -> None:
    began = time.monotonic()
    status, headers, said = server.ask("POST", "/predict/wait", rows(4.0), JSON)
    took = time.monotonic() - began
    problem = json.loads(said)
    assert (status, problem["code"], problem["status"]) == (504, "http.deadline", 504)
    assert headers["connection"] == "close" and 0.4 < took < 3.5
    assert server.post("/predict/churn", VALID)[0] == 200, "others are answered meanwhile"
    time.sleep(max(0.0, 4.4 - (time.monotonic() - began)))
    assert server.post("/predict/wait", rows(0.0))[0] in (200, 429), "what came too late disturbs nobody"


def test_callers_that_never_ask_make_room_for_those_that_do(server: Server) -> None:
    """Twice as many half requests as there are places."""
    slow: list[socket.socket] = []
    try:
        for _ in range(240):
            sock = socket.create_connection(("127.0.0.1", server.port), timeout=10)
            slow.append(sock)
            with contextlib.suppress(OSError):
                sock.sendall(b"POST /predict/churn HTTP/1.1\r\nHos")
        time.sleep(0.5)
        for _ in range(20):
            assert server.post("/predict/churn", VALID)[0] == 200
    finally:
        for sock in slow:
            sock.close()


def test_a_caller_under_way_is_not_cut_for_others(server: Server) -> None:
    with callers(server, 1) as (first,):
        first.sendall(wire("/predict/churn", VALID))
        assert statuses(first.recv(65536)) == [200]
        slow = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(118)]
        for _ in range(8):
            time.sleep(0.1)
            first.sendall(wire("/predict/churn", VALID))
            assert statuses(first.recv(65536)) == [200]
        for sock in slow:
            sock.close()


def test_health_is_answered_by_a_full_server(server: Server) -> None:
    with callers(server, 60) as socks:
        held = socks.pop()
        held.sendall(wire("/predict/churn@17", rows(0.3)))
        time.sleep(0.1)
        for sock in socks[1:]:
            sock.sendall(wire("/predict/churn", VALID))
        socks[0].sendall(b"GET /v2/health/ready HTTP/1.1\r\nHost: a\r\n\r\n")
        assert statuses(socks[0].recv(65536)) == [200]


def test_no_event_was_our_bug(server: Server, tmp_path: Path) -> None:
    del tmp_path
    assert not [
        e for e in server.events() if e["event"] in ("request.failed", "worker.died", "worker.error", "loop.error")
    ]
