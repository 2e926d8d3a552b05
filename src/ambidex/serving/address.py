"""Where the server listens: checked and bound before anything else happens."""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import Any, NamedTuple

from ambidex.errors import AmbidexError, EnvironmentProblem, UsageError

__all__ = ["Address", "address_of", "bind", "cannot_listen"]


class Address(NamedTuple):
    """Where to listen.

    Attributes:
        family: IPv4 or IPv6.
        address: For ``bind``.
        public: Whether other machines can reach it.
    """

    family: socket.AddressFamily
    address: tuple[Any, ...]
    public: bool


def address_of(host: str, port: int, *, tokens: bool = False) -> Address:
    """Family and address to bind; one that other machines can reach only where callers need a token.

    Args:
        host: Name or address.
        port: 0 to 65535.
        tokens: Whether a token that somebody could use is asked for.

    Raises:
        UsageError: ``usage.value``: no such port or host.
        EnvironmentProblem: ``env.public-bind``.
    """
    if not 0 <= port <= 65535:
        raise UsageError(
            "usage.value",
            f"there is no port {port}",
            where="--port",
            found="ports go from 0 to 65535",
            do="--port 8377",
        )
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise UsageError(
            "usage.value", f"{host[:80]!r} is no address of this machine", where="--host", do="--host 127.0.0.1"
        ) from None
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    local = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]).is_loopback for entry in found]
    public = not host or not all(local)
    if public and not tokens:
        raise EnvironmentProblem(
            "env.public-bind",
            f"{host or 'every address'} can be reached from other machines, and no token is set",
            where="--host",
            found="without a token the server listens on this machine only",
            do="set a token (ambidex token new --role caller), or bind to 127.0.0.1: --host 127.0.0.1",
        )
    return Address(found[0][0], found[0][4], public)


def bind(where: Address, host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet. Raises ``env.port-taken``."""
    listener = socket.socket(where.family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where.address)
    except OSError as error:
        listener.close()
        raise cannot_listen(error, host, port) from error
    return listener


def cannot_listen(error: OSError, host: str, port: int) -> AmbidexError:
    """What a refusal of the kernel means to the person who named the port."""
    if error.errno == errno.EADDRNOTAVAIL:
        return UsageError(
            "usage.value", f"{host!r} is no address of this machine", where="--host", do="--host 127.0.0.1"
        )
    if error.errno == errno.EADDRINUSE:
        said = f"port {port} on {host} is taken: another process listens there"
    else:
        said = f"cannot listen on port {port} of {host}: {error.strerror}"
    return EnvironmentProblem("env.port-taken", said, where="--port", do=f"--port {port + 1 if port < 65535 else 8377}")
