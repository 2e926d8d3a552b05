"""Notices, against receivers on real sockets: taken, hanging, failing, redirecting, private, killed between."""

from __future__ import annotations

import hashlib
import hmac
import http.server
import json
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import ambidex as amb
from ambidex.edges.notify import KEY, Sender, key_of, send_command, send_webhook
from ambidex.errors import EnvironmentProblem
from ambidex.rounds import notify
from ambidex.settings_watch import NotifySettings
from ambidex.watch.notices import deliver, waiting
from ambidex.workspace import Workspace, open_workspace

NOTICE = {"id": "m/a1", "model": "m", "level": "page", "text": "error .3 above .2", "version": 2, "since": "2026-01-01",
          "workspace": "w", "next": "ambidex investigate m", "at": "2026-01-01"}  # fmt: skip


class Hook(http.server.BaseHTTPRequestHandler):
    """Takes, fails, redirects or hangs, by its path."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, dict(self.headers), body))  # type: ignore[attr-defined]
        if self.path == "/hang":
            time.sleep(3)
        if self.path == "/drip":
            for _ in range(40):
                self.wfile.write(b"H")
                self.wfile.flush()
                time.sleep(0.1)
        code = {"/500": 500, "/redirect": 302}.get(self.path, 204)
        self.send_response(code)
        if code == 302:
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_address[1]}/elsewhere")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        return


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        return


@pytest.fixture
def hook() -> Iterator[Any]:
    server = Server(("127.0.0.1", 0), Hook)
    server.got = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def address(hook: Any, path: str = "/ok") -> str:
    return f"http://127.0.0.1:{hook.server_address[1]}{path}"


@contextmanager
def mail_server(*, refuse: bool = False, silent: bool = False) -> Iterator[tuple[int, list[str]]]:
    """A small SMTP server: its port and the mails it took."""
    mails: list[str] = []

    class Session(socketserver.StreamRequestHandler):
        def say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

        def handle(self) -> None:
            if silent:
                time.sleep(2)
                return
            self.say("220 here")
            while line := self.rfile.readline():
                word = line.decode().strip().upper()
                if word.startswith("DATA"):
                    self.say("354 go")
                    lines = []
                    while (part := self.rfile.readline().decode()) != ".\r\n":
                        lines.append(part)
                    mails.append("".join(lines))
                    self.say("250 kept")
                elif word.startswith("QUIT"):
                    self.say("221 bye")
                    return
                elif word.startswith("RCPT") and refuse:
                    self.say("550 nobody")
                else:
                    self.say("250 fine")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.server_address[1], mails
        server.shutdown()
        thread.join()


@pytest.fixture
def w(tmp_path: Path) -> Path:
    amb.init(tmp_path / "w")
    return tmp_path / "w"


def configure(folder: Path, text: str) -> None:
    (folder / "ambidex.toml").write_text(f'name = "w"\n[notify]\n{text}\n')


def alert(folder: Path, identity: str = "a1", level: str = "page", **more: Any) -> None:
    body = {"id": identity, "level": level, "text": f"text of {identity}", "since": "2026-01-01", **more}
    open_workspace(folder).store.append(verb="alert", model="m", version=2, body=body)


def later(folder: Path, seconds: float) -> Workspace:
    return open_workspace(folder, clock=lambda: datetime.now(UTC) + timedelta(seconds=seconds))


# ---------------------------------------------------------------- webhook


def test_a_webhook_is_signed_and_sent_once(w: Path, hook: Any) -> None:
    configure(w, f'webhook = "{address(hook)}"\nprivate = true')
    alert(w)
    alert(w)  # the same incident told again
    alert(w, "a2", "info")  # is read in the morning
    alert(w, "a3", closed="2026-01-02")
    assert notify(open_workspace(w))["sent"] == 1
    assert notify(open_workspace(w))["sent"] == 0
    (path, headers, body) = hook.got[0]
    assert path == "/ok" and headers["Ambidex-Id"] == "m/a1" and json.loads(body)["text"] == "text of a1"
    moment, signed = headers["Ambidex-Signature"].split(",")
    key = (w / ".ambidex" / KEY).read_bytes()
    expected = hmac.new(key, f"{moment[2:]}.".encode() + body, hashlib.sha256).hexdigest()
    assert signed == f"v1={expected}"
    assert (w / ".ambidex" / KEY).stat().st_mode & 0o077 == 0
    alert(w, "a4")
    assert notify(open_workspace(w))["sent"] == 1 and len(hook.got) == 2


def test_nothing_is_sent_unless_it_is_configured(w: Path, hook: Any) -> None:
    alert(w)
    assert notify(open_workspace(w)) == {
        "sent": 0, "failed": 0, "waiting": 0, "given_up": 0, "why": None, "next": None,
    }  # fmt: skip
    assert hook.got == [] and waiting(open_workspace(w).store) == []


def test_history_is_no_news(w: Path, hook: Any) -> None:
    alert(w)
    configure(w, f'webhook = "{address(hook)}"\nprivate = true')
    assert deliver(later(w, 2 * 86_400), lambda *_: None)["sent"] == 0


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/500", "answered 500"),
        ("/redirect", "redirects"),
        ("/hang", "no answer in time"),
        ("/drip", "no answer in time"),
    ],
)
def test_a_webhook_that_does_not_take_it(hook: Any, path: str, why: str) -> None:
    began = time.monotonic()
    with pytest.raises(EnvironmentProblem, match=why) as error:
        send_webhook(address(hook, path), NOTICE, key=b"k", private=True, seconds=0.6)
    assert error.value.code == "env.notify" and time.monotonic() - began < 2.5
    assert [p for p, _, _ in hook.got] == [path]  # nobody was followed elsewhere


def test_what_failed_is_tried_later_and_the_loop_goes_on(w: Path, hook: Any) -> None:
    configure(w, f'webhook = "{address(hook, "/500")}"\nprivate = true')
    alert(w)
    done = notify(open_workspace(w))
    assert (done["sent"], done["failed"], done["waiting"]) == (0, 1, 1) and "answered 500" in done["why"]
    assert notify(open_workspace(w))["failed"] == 0  # not due yet
    assert notify(later(w, 31))["failed"] == 1
    assert notify(later(w, 62))["failed"] == 0  # the wait doubles
    configure(w, f'webhook = "{address(hook)}"\nprivate = true')
    assert notify(later(w, 200))["sent"] == 1
    assert waiting(open_workspace(w).store) == []


def test_given_up_after_days(w: Path) -> None:
    configure(w, 'webhook = "http://127.0.0.1:1/x"\nprivate = true')
    alert(w)
    assert notify(open_workspace(w))["failed"] == 1
    done = notify(later(w, 4 * 86_400))
    assert (done["waiting"], done["given_up"]) == (0, 1)


def test_killed_between_sending_and_writing_it_is_sent_again_under_its_id(w: Path, hook: Any) -> None:
    configure(w, f'webhook = "{address(hook)}"\nprivate = true')
    alert(w)
    place = open_workspace(w)
    real = Sender(place.settings.notify, place.folder, place.hidden)

    class Killed(BaseException):
        pass

    def send(channel: str, notice: Any) -> None:
        real(channel, notice)
        raise Killed

    with pytest.raises(Killed):
        deliver(place, send)
    assert notify(open_workspace(w))["sent"] == 1
    assert [h["Ambidex-Id"] for _, h, _ in hook.got] == ["m/a1", "m/a1"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.1.2.3", "192.168.0.9", "[::1]", "[::ffff:127.0.0.1]"])
def test_private_addresses_are_refused_unless_they_are_meant(host: str) -> None:
    with pytest.raises(EnvironmentProblem, match="private address"):
        send_webhook(f"http://{host}:9/x", NOTICE, key=b"k", private=False, seconds=1)


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "0.0.0.0", "224.0.0.1"])
def test_some_addresses_are_never_sent_to(host: str) -> None:
    with pytest.raises(EnvironmentProblem, match="nothing is ever sent"):
        send_webhook(f"http://{host}/x", NOTICE, key=b"k", private=True, seconds=1)


def test_the_address_that_was_checked_is_the_one_that_is_reached(hook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that turns to another address between look-up and connection leads nowhere."""
    looked = []
    real = socket.getaddrinfo

    def once(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        looked.append(host)
        return real("127.0.0.1", port, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", once)
    send_webhook(f"http://hooks.example:{hook.server_address[1]}/ok", NOTICE, key=b"k", private=True)
    assert looked == ["hooks.example"] and hook.got[0][1]["Host"].startswith("hooks.example:")


def test_a_head_cannot_be_broken_by_what_an_alert_says(hook: Any) -> None:
    send_webhook(address(hook), {**NOTICE, "id": "x\r\nEvil: 1"}, key=b"k", private=True)
    assert "Evil" not in hook.got[0][1]


def test_the_key_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = NotifySettings(secret_env="HOOK_KEY")
    with pytest.raises(EnvironmentProblem, match="HOOK_KEY"):
        key_of(said, tmp_path)
    monkeypatch.setenv("HOOK_KEY", "s3cret")
    assert key_of(said, tmp_path) == b"s3cret"
    assert key_of(NotifySettings(), tmp_path) == key_of(NotifySettings(), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [KEY]


# ---------------------------------------------------------------- mail, command


def test_a_mail(w: Path) -> None:
    with mail_server() as (port, mails):
        configure(w, f'email = ["ops@example.org"]\nsender = "ambidex@example.org"\nsmtp = "smtp://127.0.0.1:{port}"\n'
                     "private = true")  # fmt: skip
        alert(w, text="loss\r\nBcc: evil@example.org")
        assert notify(open_workspace(w))["sent"] == 1
    assert "Subject: [page] m@2: loss" in mails[0] and "To: ops@example.org" in mails[0]
    assert not any(line.startswith("Bcc") for line in mails[0].split("\r\n\r\n")[0].splitlines())
    assert "Message-ID: <" in mails[0]


@pytest.mark.parametrize("how", ["refuse", "silent"])
def test_a_mail_server_that_does_not_take_it(how: str) -> None:
    from ambidex.edges.notify import send_mail

    with mail_server(refuse=how == "refuse", silent=how == "silent") as (port, _):
        said = NotifySettings(
            email=("ops@example.org",), sender="a@example.org", smtp=f"smtp://127.0.0.1:{port}", private=True
        )
        with pytest.raises(EnvironmentProblem, match="did not take the mail"):
            send_mail(said, NOTICE, seconds=0.5)


def test_a_command_gets_it_on_standard_input(w: Path) -> None:
    program = "import sys, pathlib; pathlib.Path('got.json').write_text(sys.stdin.read())"
    configure(w, f"command = {json.dumps([sys.executable, '-c', program])}")
    alert(w)
    assert notify(open_workspace(w))["sent"] == 1
    assert json.loads((w / "got.json").read_text())["id"] == "m/a1"


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("import sys; sys.exit('no such pager')", "status 1: no such pager"),
        ("import time; time.sleep(30)", "did not end within"),
    ],
)
def test_a_command_that_fails_or_hangs(tmp_path: Path, program: str, why: str) -> None:
    with pytest.raises(EnvironmentProblem, match=why):
        send_command((sys.executable, "-c", program), NOTICE, folder=tmp_path, seconds=0.8)


def test_one_channel_that_hangs_does_not_hold_the_other(w: Path, hook: Any) -> None:
    program = "import sys; sys.exit(3)"
    configure(w, f'webhook = "{address(hook)}"\nprivate = true\nlevel = "info"\n'
                 f"command = {json.dumps([sys.executable, '-c', program])}")  # fmt: skip
    for i in range(3):
        alert(w, f"a{i}", "info")
    done = notify(open_workspace(w))
    assert (done["sent"], done["failed"], done["waiting"]) == (3, 1, 3)


@pytest.mark.parametrize(
    "text",
    [
        'webhook = "ftp://x/y"', 'webhook = "https://"', 'webhook = "https://a:b@c/"', 'webhook = "http://a b/"',
        'email = ["x@y.z"]', 'email = ["not one"]\nsmtp = "smtp://h"\nsender = "a@b.c"', 'smtp = "mail.example"',
        'webhok = "https://x/"', 'webhook = "http://[::1"',
    ],
)  # fmt: skip
def test_settings_that_cannot_be(w: Path, text: str) -> None:
    configure(w, text)
    with pytest.raises(amb.UsageError) as error:
        open_workspace(w)
    assert error.value.code == "usage.config"
