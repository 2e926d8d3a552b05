"""Senders of notices: a signed webhook, a mail, a command. Each is bounded in time, and none follows anybody elsewhere.

A webhook goes to the one address that ambidex.toml names: its name is looked up once, every address it has must be
allowed, and the connection goes to the very address that was checked. What it answers counts only as taken or not.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ambidex.errors import EnvironmentProblem
from ambidex.settings_watch import NotifySettings
from ambidex.version import __version__

__all__ = ["Sender", "key_of", "send_command", "send_mail", "send_webhook", "signature"]

SECONDS = 10.0
"""For the whole of a webhook or a mail, name look-up and handshake included."""
COMMAND_S = 30.0
HEAD = 4096
"""Bytes of an answer that are looked at."""
KEY = "notify.key"


class Sender:
    """Sends notices as ambidex.toml says (``watch.notices.Send``).

    Args:
        settings: ``[notify]``.
        folder: The workspace's folder: commands run there.
        hidden: Its ``.ambidex``: the signing key is kept there, unless a variable holds it.
    """

    def __init__(self, settings: NotifySettings, folder: Path, hidden: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._hidden = hidden

    def __call__(self, channel: str, notice: Mapping[str, Any]) -> None:
        """Send one notice through one channel. Raises if it was not taken."""
        said = self._settings
        if channel == "webhook" and said.webhook is not None:
            send_webhook(said.webhook, notice, key=key_of(said, self._hidden), private=said.private)
        elif channel == "email":
            send_mail(said, notice)
        elif channel == "command":
            send_command(said.command, notice, folder=self._folder)


def key_of(settings: NotifySettings, hidden: Path) -> bytes:
    """The signing key: from the variable that is named, else the workspace's own, made when it is first needed.

    Raises:
        EnvironmentProblem: ``env.notify`` if the variable is named and not set.
    """
    if settings.secret_env is not None:
        value = os.environ.get(settings.secret_env, "")
        if not value:
            raise EnvironmentProblem(
                "env.notify", f"the variable {settings.secret_env} with the signing key is not set",
                where="[notify] secret_env", do=f"export {settings.secret_env}=...",
            )  # fmt: skip
        return value.encode()
    path = hidden / KEY
    with suppress(FileExistsError):
        temporary = hidden / f"{KEY}.{secrets.token_hex(4)}"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(fd, secrets.token_hex(32).encode())
            os.fsync(fd)
        finally:
            os.close(fd)
        try:
            os.link(temporary, path)  # whole or not at all, and never over a key that is there
        finally:
            temporary.unlink()
    return path.read_bytes().strip()


def signature(key: bytes, body: bytes, moment: int) -> str:
    """What the header ``Ambidex-Signature`` holds: HMAC-SHA256 of the time, a point, and the body.

    >>> signature(b"k", b"{}", 1)[:10]
    't=1,v1=3dd'
    """
    said = hmac.new(key, f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={said}"


def send_webhook(
    address: str, notice: Mapping[str, Any], *, key: bytes, private: bool, seconds: float = SECONDS
) -> None:
    """POST a signed notice to the one address that is allowed.

    Args:
        address: ``http://`` or ``https://``.
        notice: What is told.
        key: Signing key.
        private: Whether an address of this machine or a private network is allowed; a link-local one never is.
        seconds: For all of it.

    Raises:
        EnvironmentProblem: ``env.notify``: not allowed, not reached, not taken in time, or anything but 2xx.
    """
    end = time.monotonic() + seconds
    parts = urlsplit(address)
    host, secure = str(parts.hostname), parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    body = json.dumps(notice, ensure_ascii=False, separators=(",", ":")).encode()
    head = _head(parts, host, port, notice, signature(key, body, int(time.time())), len(body))
    try:
        with _connected(host, port, private=private, end=end) as plain:
            connection: socket.socket = plain
            if secure:
                connection = ssl.create_default_context().wrap_socket(plain, server_hostname=host)
            connection.settimeout(_left(end))
            connection.sendall(head + body)
            status = _status(connection, end)
            connection.close()
    except (OSError, ValueError) as error:
        why = "no answer in time" if isinstance(error, TimeoutError) else str(error)[:200] or type(error).__name__
        raise _not_taken(f"{host} did not take it: {why}") from error
    if 300 <= status < 400:
        raise _not_taken(f"{host} redirects ({status}), and redirects are not followed")
    if not 200 <= status < 300:
        raise _not_taken(f"{host} answered {status}")


def _head(parts: SplitResult, host: str, port: int, notice: Mapping[str, Any], signed: str, length: int) -> bytes:
    default = port == (443 if parts.scheme == "https" else 80)
    shown = f"[{host}]" if ":" in host else host
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [
        f"POST {path} HTTP/1.1", f"Host: {shown}" + ("" if default else f":{port}"),
        f"User-Agent: ambidex/{__version__}",
        "Content-Type: application/json", f"Content-Length: {length}", "Connection: close",
        f"Ambidex-Id: {_plain(str(notice.get('id')))}", f"Ambidex-Signature: {signed}",
    ]  # fmt: skip
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii", "replace")


def _connected(host: str, port: int, *, private: bool, end: float) -> socket.socket:
    """A connection to an address of the host that was checked first, so that no second look-up can lead elsewhere."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    places = [(family, place) for family, _, _, _, place in found]
    for _, place in places:
        _allowed(str(place[0]), host, private=private)
    last: OSError = OSError("no address")
    for family, place in places:
        connection = socket.socket(family, socket.SOCK_STREAM)
        connection.settimeout(_left(end))
        try:
            connection.connect(place)
        except OSError as error:
            connection.close()
            last = error
            continue
        connection.settimeout(_left(end))
        return connection
    raise last


def _allowed(said: str, host: str, *, private: bool) -> None:
    address = ipaddress.ip_address(said.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        raise _not_taken(f"{host} has the address {address}, to which nothing is ever sent")
    if not address.is_global and not private:
        raise _not_taken(
            f"{host} has the private address {address}", do="[notify] private = true, if it is meant to be yours"
        )


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError("no answer in time")
    return left


def _status(connection: socket.socket, end: float) -> int:
    """The status code; a server that sends a byte now and then does not make it take longer."""
    head = b""
    while b"\r\n" not in head:
        connection.settimeout(_left(end))
        piece = connection.recv(HEAD)
        if not piece:
            raise ConnectionError("it closed without an answer")
        head += piece
        if len(head) > HEAD:
            raise ValueError("its answer is no HTTP")
    words = head.split(b"\r\n", 1)[0].split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        raise ValueError("its answer is no HTTP")
    return int(words[1])


def send_mail(settings: NotifySettings, notice: Mapping[str, Any], *, seconds: float = SECONDS) -> None:
    """Send a notice by SMTP.

    Raises:
        EnvironmentProblem: ``env.notify``.
    """
    import smtplib

    parts = urlsplit(str(settings.smtp))
    host = str(parts.hostname)
    port = parts.port or {"smtp": 25, "starttls": 587, "smtps": 465}[parts.scheme]
    message = EmailMessage()
    message["From"], message["To"] = str(settings.sender), ", ".join(settings.email)
    about = f"{notice.get('model')}@{notice.get('version')}" if notice.get("version") else str(notice.get("model"))
    message["Subject"] = _plain(f"[{notice.get('level')}] {about}: {notice.get('text')}")[:180]
    domain = str(settings.sender).rpartition("@")[2]
    message["Message-ID"] = f"<{hashlib.sha256(str(notice.get('id')).encode()).hexdigest()[:32]}@{domain}>"
    lines = [str(notice.get("text")), "", f"workspace  {notice.get('workspace')}", f"since      {notice.get('since')}",
             f"id         {notice.get('id')}", f"next       {notice.get('next')}"]  # fmt: skip
    message.set_content("\n".join(lines) + "\n")
    password = ""
    if settings.smtp_user is not None:
        password = os.environ.get(settings.smtp_password_env or "", "")
        if not password:
            raise _not_taken(f"the variable {settings.smtp_password_env} with the mail password is not set")
    try:
        _check_host(host, port, private=settings.private)
        context = ssl.create_default_context()
        secure = parts.scheme == "smtps"
        made = smtplib.SMTP_SSL(timeout=seconds, context=context) if secure else smtplib.SMTP(timeout=seconds)
        with made as server, _no_longer_than(2 * seconds, server):
            server._host = host  # type: ignore[attr-defined]  # what TLS checks the name against, set by no public way
            server.connect(host, port)
            if parts.scheme == "starttls":
                server.starttls(context=context)
            if settings.smtp_user is not None:
                server.login(settings.smtp_user, password)
            server.send_message(message)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise _not_taken(f"{host} did not take the mail: {_plain(str(error))[:200] or type(error).__name__}") from error


@contextmanager
def _no_longer_than(seconds: float, server: Any) -> Iterator[None]:
    """Each answer has its time; a server that sends one byte of it now and then is cut off all the same."""

    def cut() -> None:
        with suppress(OSError, AttributeError):
            server.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _check_host(host: str, port: int, *, private: bool) -> None:
    for _, _, _, _, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        _allowed(str(place[0]), host, private=private)


def send_command(
    command: tuple[str, ...], notice: Mapping[str, Any], *, folder: Path, seconds: float = COMMAND_S
) -> None:
    """Run a program with the notice as JSON on standard input; exit status 0 means taken.

    Raises:
        EnvironmentProblem: ``env.notify``.
    """
    body = json.dumps(notice, ensure_ascii=False).encode() + b"\n"
    try:
        child = subprocess.Popen(
            list(command), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=folder,
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise _not_taken(f"{command[0]} does not start: {error.strerror}") from error
    try:
        _, said = child.communicate(body, timeout=seconds)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        raise _not_taken(f"{command[0]} did not end within {seconds:g} s") from None
    except BaseException:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        raise
    if child.returncode != 0:
        last = _plain(said.decode(errors="replace").strip())[-200:]
        raise _not_taken(f"{command[0]} ended with status {child.returncode}" + (f": {last}" if last else ""))


def _plain(text: str) -> str:
    """Without what would begin another line of a head."""
    return "".join(c if c.isprintable() else " " for c in text)


def _not_taken(message: str, *, do: str | None = None) -> EnvironmentProblem:
    return EnvironmentProblem("env.notify", message, where="[notify]", do=do or "see [notify] in ambidex.toml")
