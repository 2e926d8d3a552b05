"""The one door. Every request passes ``Entry.admit`` before it is routed; what no route opens is closed.

Without tokens the server is for this machine, and the Host field must name it: a page of another origin cannot
ask it through a name of its own. With tokens every route but the two of health needs one.
"""

from __future__ import annotations

import mmap
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ambidex.access import PREFIX, Token, Tokens
from ambidex.errors import AmbidexError
from ambidex.serving.log import Report
from ambidex.serving.messages import Request
from ambidex.serving.problems import HttpRefusal

__all__ = ["Asks", "Entry", "Rates", "hosts_of"]

FOLLOW_S = 1.0
"""How often the tokens are read again: a revoked one is refused everywhere within 5 s."""
SLOTS = 1 << 16
LOCAL = ("localhost", "127.0.0.1", "::1")
_BEARER = b"bearer "


@dataclass(frozen=True, slots=True)
class Asks:
    """What the server asks of its callers.

    Attributes:
        hosts: Values of Host that are answered, without port; None: all.
        tokens: ``on``, ``off``, or None: as soon as a token was ever made.
        rate: Requests a second of one token; None: no limit.
        burst: Requests of one token at once, beyond the rate.
    """

    hosts: frozenset[str] | None = None
    tokens: Literal["on", "off"] | None = None
    rate: float | None = None
    burst: int = 1


def hosts_of(host: str, *, public: bool, named: tuple[str, ...] = ()) -> frozenset[str] | None:
    """The values of Host that a server on ``host`` answers; None: all.

    >>> sorted(hosts_of("127.0.0.1", public=False, named=("ml.example",)))
    ['127.0.0.1', '::1', 'localhost', 'ml.example']
    >>> hosts_of("0.0.0.0", public=True) is None
    True
    """
    if public and not named:
        return None
    return frozenset({*LOCAL, host.lower().strip("[]"), *(_bare(n.lower()) for n in named)})


class Rates:
    """Requests of each token, counted over all workers: one page of memory that they share.

    A number a token, the time at which its next request would be due (GCRA). Two workers that count in the same
    instant may count one request for two; two tokens in 65,536 slots may share one.

    Args:
        rate: Requests a second.
        burst: Requests at once.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self._step = 1.0 / rate
        self._slack = max(0, burst - 1) * self._step
        self._memory = mmap.mmap(-1, SLOTS * 8)  # anonymous: inherited by the workers, gone with the server
        self._due = memoryview(self._memory).cast("d")

    def take(self, digest: str, now: float) -> float:
        """Count a request; seconds to wait if it is one too many, else 0.

        Args:
            digest: sha256 of the token, hexadecimal.
            now: Monotonic seconds, of a clock that the workers share.

        >>> rates = Rates(10, burst=2)
        >>> [round(rates.take("00", now), 2) for now in (5.0, 5.0, 5.0, 5.1)]
        [0.0, 0.0, 0.1, 0.0]
        """
        slot = int(digest[:8], 16) % SLOTS
        due = max(self._due[slot], now)
        over = due - now - self._slack
        if over > 1e-9:
            return over
        self._due[slot] = due + self._step
        return 0.0


class Entry:
    """Who may come in.

    Args:
        asks: What is asked of callers.
        tokens: Those that exist.
        rates: Limits of a token, shared by the workers.
        report: Told of refused tokens, once a second at most.
    """

    def __init__(self, asks: Asks, tokens: Tokens, report: Report, rates: Rates | None = None) -> None:
        self._hosts = asks.hosts
        self._asked = asks.tokens
        self._rates = rates
        self._report = report
        self._reported = 0.0
        self._over = threading.Event()
        self.tokens = tokens

    @property
    def closed(self) -> bool:
        """Whether a token is asked for."""
        return self._asked == "on" or (self._asked is None and len(self.tokens) > 0)

    def follow(self, read: Callable[[Tokens], Tokens]) -> None:
        """Read the tokens again and again, in a thread."""
        threading.Thread(target=self._follow, args=(read,), name="tokens", daemon=True).start()

    def stop(self) -> None:
        """Follow no longer."""
        self._over.set()

    def _follow(self, read: Callable[[Tokens], Tokens]) -> None:
        unreadable = False
        while not self._over.wait(FOLLOW_S):
            try:
                self.tokens = read(self.tokens)
                unreadable = False
            except Exception as error:  # whatever the store does, serving goes on with the tokens known
                if not unreadable:
                    unreadable = True
                    self._report("tokens.unreadable", {"why": type(error).__name__})

    def admit(self, request: Request, action: str | None, model: str | None) -> Token | None:
        """Let a request in, or not.

        Args:
            request: The request.
            action: What its route does (``access.ACTIONS``); None: open to all.
            model: The model it names, if any.

        Returns:
            The token, or None where none is asked for.

        Raises:
            HttpRefusal: ``http.host`` (421), ``http.no-token``, ``http.token`` (401), ``http.forbidden`` (403),
                ``http.rate`` (429).
        """
        if action is None:
            return None
        if self._hosts is not None and (host := request.fields.get(b"host")) is not None:
            self._check_host(host)
        if not self.closed:
            return None
        said = request.fields.get(b"authorization", b"")
        token = self.tokens.find(said[len(_BEARER) :].strip() if said[: len(_BEARER)].lower() == _BEARER else b"")
        if token is None or token.state(time.time()) != "active":
            raise self._unknown(said, token)
        if not token.may(action, model):
            self._tell("token.forbidden", token, action)
            what = action if model is None or token.may(action) else f"{action} with {model}"
            raise HttpRefusal(
                "http.forbidden", f"this token may not {what}", status=403,
                found=f"it is {_article(token.role)}'s, for {', '.join(token.models) or 'every model'}",
                do="use another token: ambidex token new --role ROLE --model NAME",
            )  # fmt: skip
        if self._rates is not None and (wait := self._rates.take(token.sha256, time.monotonic())) > 0:
            raise HttpRefusal(
                "http.rate", "this token asks more often than it may", status=429,
                headers={"Retry-After": str(int(wait) + 1)}, do=f"retry after {wait:.3g} s",
            )  # fmt: skip
        return token

    def _check_host(self, host: bytes) -> None:
        name = _bare(host.decode("latin-1").strip().lower())
        if self._hosts is not None and name not in self._hosts:
            raise HttpRefusal(
                "http.host", f"this server is not {name[:60]!r}", status=421,
                do='if it is: hosts = ["NAME"] under [serving] in ambidex.toml',
            )  # fmt: skip

    def _unknown(self, said: bytes, token: Token | None) -> AmbidexError:
        if not said:
            code, why, do = "http.no-token", "a token is needed", "send Authorization: Bearer TOKEN"
        elif token is not None:
            code, do = "http.token", "ambidex token new --role ROLE"
            why = "this token was revoked" if token.revoked is not None else "this token has expired"
        else:
            code, why = "http.token", "this token is not known here"
            do = f"send Authorization: Bearer {PREFIX}..., as ambidex token new shows it"
        self._tell(code.replace("http.", "token."), token, why)
        return HttpRefusal(code, why, status=401, headers={"WWW-Authenticate": 'Bearer realm="ambidex"'}, do=do)

    def _tell(self, event: str, token: Token | None, what: str) -> None:
        now = time.monotonic()
        if now - self._reported >= 1.0:
            self._reported = now
            self._report(event, {"token": token.id if token else None, "what": what})


def _bare(host: str) -> str:
    """A Host without its port and brackets.

    >>> _bare("[::1]:8377"), _bare("a.b:80"), _bare("::1")
    ('::1', 'a.b', '::1')
    """
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, colon, port = host.rpartition(":")
    return name if colon and ":" not in name and port.isdigit() else host


def _article(role: str) -> str:
    return f"{'an' if role[0] in 'aeiou' else 'a'} {role}"
