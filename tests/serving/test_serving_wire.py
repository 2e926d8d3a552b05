"""HTTP as hostile and slow callers write it, byte by byte."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.serving_support import VALID, Server, read_all

HEAD = b"POST /predict/churn HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(VALID)
GOOD = HEAD + LENGTH + b"\r\n" + VALID
LAST = HEAD + LENGTH + b"Connection: close\r\n\r\n" + VALID
CHUNKED = HEAD + b"Transfer-Encoding: Chunked\r\nConnection: close\r\n\r\n"
HEALTH = b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("wire") / "s", head_s=1.0, body_s=1.5, write_s=1.5) as running:
        yield running


def statuses(said: bytes) -> list[int]:
    return [int(part[:3]) for part in said.split(b"HTTP/1.1 ")[1:]]


MALFORMED = {
    "length and chunked": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HEALTH,
    "two lengths": HEAD + LENGTH + b"Content-Length: 3\r\n\r\n" + VALID + HEALTH,
    "same length twice": HEAD + LENGTH + LENGTH + b"\r\n" + VALID + HEALTH,
    "negative length": HEAD + b"Content-Length: -1\r\n\r\n" + HEALTH,
    "length with a plus": HEAD + b"Content-Length: +5\r\n\r\nhello" + HEALTH,
    "length in hex": HEAD + b"Content-Length: 0x5\r\n\r\nhello" + HEALTH,
    "length as a list": HEAD + b"Content-Length: 5, 5\r\n\r\nhello" + HEALTH,
    "length beyond 64 bits": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n" + HEALTH,
    "coding not chunked": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + HEALTH,
    "coding identity": HEAD + b"Transfer-Encoding: identity\r\n\r\n" + HEALTH,
    "coding twice": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HEALTH,
    "coding with a tab": HEAD + b"Transfer-Encoding:\tchunkedx\r\n\r\n0\r\n\r\n" + HEALTH,
    "coding name with a blank": HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + HEALTH,
    "chunk size no number": HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n0\r\n\r\n" + HEALTH,
    "chunk longer than said": HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n" + HEALTH,
    "chunk size beyond 64 bits": HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n" + HEALTH,
    "folded field": HEAD + b"X-A: 1\r\n Content-Length: 5\r\n\r\n" + HEALTH,
    "field without colon": HEAD + b"nonsense\r\n\r\n" + HEALTH,
    "field with zero byte": HEAD + b"X-A: a\x00b\r\n\r\n" + HEALTH,
    "bare LF in a field": HEAD + b"X-A: a\nContent-Length: 5\r\n\r\nhello" + HEALTH,
    "bare CR in a field": HEAD + b"X-A: a\rContent-Length: 5\r\n\r\nhello" + HEALTH,
    "no host": b"POST /predict/churn HTTP/1.1\r\n" + LENGTH + b"\r\n" + VALID,
    "two hosts": b"POST /predict/churn HTTP/1.1\r\nHost: a\r\nHost: b\r\n" + LENGTH + b"\r\n" + VALID,
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/1.2": b"GET /v2/health/live HTTP/1.2\r\nHost: a\r\n\r\n",
    "HTTP/0.9": b"GET /v2/health/live\r\n\r\n",
    "lower-case protocol": b"GET / http/1.1\r\nHost: a\r\n\r\n",
    "unknown method": b"BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n",
    "connect": b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    "upgrade": b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + HEALTH,
    "TLS": bytes.fromhex("1603010200010001fc0303") + b"\x00" * 60,
    "blank in the path": b"GET /v2/health/live x HTTP/1.1\r\nHost: a\r\n\r\n",
    "coding on 1.0": b"POST /predict/churn HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HEALTH,
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_is_one_400_and_the_end(server: Server, name: str) -> None:
    said = server.raw(MALFORMED[name])
    assert statuses(said) == [400], said
    assert b"application/problem+json" in said and b"http.malformed" in said and b"connection: close" in said
    assert statuses(server.raw(LAST)) == [200]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (GOOD * 3 + LAST, [200] * 4),
        (GOOD + HEALTH + HEAD + b"Content-Length: 1\r\n\r\n{" + HEALTH + LAST, [200, 200, 400, 200, 200]),
        (LAST + GOOD, [200]),
        (b"\r\n\r\n" + LAST, [200]),
        (LAST.replace(b"HTTP/1.1\r\nHost: a", b"HTTP/1.0"), [200]),
        (LAST.replace(b"/predict/churn", b"http://a/predict/churn?x=1"), [200]),
        (LAST.replace(b"/predict/churn", b"/predict/%63hurn"), [200]),
        (LAST.replace(b"/predict/churn", b"/predict/..%2f..%2fetc%2fpasswd"), [404]),
        (LAST.replace(b"/predict/churn", b"/predict/%00%ff"), [404]),
        (LAST.replace(b"/predict/churn", b"//predict//churn"), [404]),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", [200]),
        (b"OPTIONS /predict/churn HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", [200]),
        (b"DELETE /predict/churn HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", [405]),
        (CHUNKED + b"%x\r\n" % len(VALID) + VALID + b"\r\n0\r\nX: trailer\r\n\r\n", [200]),
        (HEAD + LENGTH + b"Expect: something\r\n\r\n", [417]),
        (HEAD + b"X-Big: " + b"a" * 20_000 + b"\r\n\r\n", [431]),
        (HEAD + b"X-A: b\r\n" * 3000 + b"\r\n", [431]),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", [431]),
        (b"GET /" + b"a" * 2_000_000, [431]),
        (HEAD + b"Content-Length: 10485761\r\n\r\n", [413]),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + (b"10000\r\n" + b" " * 65536 + b"\r\n") * 161, [413]),
    ],
)  # fmt: skip
def test_shapes(server: Server, request_: bytes, expected: list[int]) -> None:
    assert statuses(server.raw(request_)) == expected


def test_pipelined_answers_come_in_order(server: Server) -> None:
    paths = [f"/x{i}" for i in range(50)]
    sent = b"".join(f"GET {p} HTTP/1.1\r\nHost: a\r\n\r\n".encode() for p in paths)
    labels = b'{"labels":[{"id":"a-1","label":"1"}]}'
    slow = b"POST /feedback/churn HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(labels) + labels
    said = server.raw(sent[: len(sent) // 2] + sent[len(sent) // 2 :] + slow + LAST)
    assert statuses(said) == [404] * 50 + [200, 200]
    found = [said.index(f"there is no {p}".encode()) for p in paths]
    assert found == sorted(found) and said.index(b"accepted") < said.index(b"predictions")


def test_byte_by_byte(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(len(LAST)):
            sock.sendall(LAST[i : i + 1])
        assert statuses(read_all(sock)) == [200]


def test_half_closed_caller_gets_its_answer(server: Server) -> None:
    assert statuses(server.raw(GOOD, eof=True)) == [200]
    assert statuses(server.raw(GOOD[:-5], eof=True)) == [400]
    assert server.raw(b"", eof=True) == b""


def test_continue(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
        sock.sendall(HEAD + LENGTH + b"Expect: 100-continue\r\nConnection: close\r\n\r\n")
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(VALID)
        assert statuses(read_all(sock)) == [200]


def test_too_large_is_said_before_the_body_is_read(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
        sock.sendall(HEAD + b"Content-Length: 20000000\r\nExpect: 100-continue\r\n\r\n")
        assert statuses(read_all(sock)) == [413]


@pytest.mark.parametrize("start", [b"POST /predict/churn HTTP/1.1\r\nHos", GOOD[:-5], GOOD[:10]])
def test_slow_requests_are_cut(server: Server, start: bytes) -> None:
    began = time.monotonic()
    said = server.raw(start, wait=8)
    assert statuses(said) == [408]
    assert 0.5 < time.monotonic() - began < 6


def test_a_dripping_head_is_cut(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n")
        began = time.monotonic()
        said = b""
        while not said and time.monotonic() - began < 8:
            sock.sendall(b"X")
            time.sleep(0.1)
            sock.settimeout(0.01)
            try:
                said = sock.recv(1000)
            except TimeoutError:
                continue
        assert statuses(said) == [408]


def test_silent_connections_are_closed(server: Server) -> None:
    began = time.monotonic()
    assert server.raw(b"", wait=8) == b""
    assert time.monotonic() - began < 6


def test_many_slow_callers_and_the_rest_are_served(server: Server) -> None:
    slow = [socket.create_connection(("127.0.0.1", server.port), timeout=8) for _ in range(500)]
    for sock in slow:
        sock.sendall(b"POST /predict/churn HTTP/1.1\r\nHos")
    waits = []
    for _ in range(20):
        began = time.monotonic()
        assert server.post("/predict/churn", VALID)[0] == 200
        waits.append(time.monotonic() - began)
    assert max(waits) < 1.0
    for sock in slow:
        assert statuses(read_all(sock)) == [408]
        sock.close()


def test_bodies_of_all_callers_together_are_bounded(tmp_path: Path) -> None:
    with Server(tmp_path / "s", held_bytes=1 << 20) as small:
        part = HEAD + b"Content-Length: 600000\r\n\r\n" + b" " * 599_000
        with socket.create_connection(("127.0.0.1", small.port), timeout=5) as first:
            first.sendall(part)
            time.sleep(0.3)
            said = small.raw(part)
            assert statuses(said) == [503] and b"retry-after: 1" in said and b"http.overload" in said
            assert statuses(small.raw(LAST)) == [200]
        time.sleep(0.2)
        assert statuses(small.raw(part + b" " * 1000, eof=True)) == [400]
        assert statuses(small.raw(part + b" " * 1000, eof=True)) == [400]


def test_connections_are_bounded(tmp_path: Path) -> None:
    with Server(tmp_path / "s", connections=20) as small:
        held = [socket.create_connection(("127.0.0.1", small.port), timeout=5) for _ in range(20)]
        time.sleep(0.3)
        assert statuses(small.raw(b"")) == [503]
        for sock in held:
            sock.close()
        time.sleep(0.3)
        assert statuses(small.raw(LAST)) == [200]


def test_a_caller_that_does_not_read_is_cut(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        began = time.monotonic()
        with pytest.raises(OSError):
            while time.monotonic() - began < 20:
                sock.sendall(HEALTH * 200)
        assert time.monotonic() - began < 15
    assert server.post("/predict/churn", VALID)[0] == 200


def test_no_event_was_our_bug(server: Server) -> None:
    assert not [e for e in server.events() if e["event"] in ("request.failed", "worker.died", "worker.error")]
