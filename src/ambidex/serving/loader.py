"""Which version answers: follows the pointers, opens new versions beside the old, switches one reference.

Pointers are read in a thread of their own every ``POLL_S``; versions are opened in another, verified and tried
in a child. The event loop only ever swaps a reference between two ticks, so every answer names one version.
A version that does not open leaves the old one serving. The version before stays loaded: back is at once. So is
what the other pointers name: a canary and a shadow begin with the pointer's move.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from ambidex.access import Tokens
from ambidex.bundle.example import example_of
from ambidex.errors import AmbidexError, DataError, NotFound, Refused, did_you_mean, nearest
from ambidex.ports import Scorer
from ambidex.records import NAME, POINTERS, Rollout, Schema
from ambidex.serving.decode import RowDecoder
from ambidex.serving.hot import Way
from ambidex.serving.log import Report

__all__ = ["POLL_S", "Models", "OpenedVersion", "Registry", "Served", "Split"]

POLL_S = 0.15
KEPT = 6
"""Versions of a model kept loaded: the live one, the one before, and some asked for by number."""
AHEAD = ("shadow", "canary", "staging", "previous", "candidate")
"""Pointers whose versions are opened ahead, in this order."""
AHEAD_RETRY_S = 60.0
RETRY_S = 5.0
"""A version that did not open is tried again after so long, while a pointer names it."""


class OpenedVersion(Protocol):
    """What ``open_version`` gives (``bundle.open.OpenBundle`` is one)."""

    @property
    def scorer(self) -> Scorer: ...

    @property
    def schema(self) -> Schema: ...

    @property
    def digest(self) -> str: ...


class Registry(Protocol):
    """What a worker asks of the workspace. Made inside the worker; its methods are called from threads."""

    @property
    def names(self) -> Sequence[str]:
        """Models to serve; empty: all that have a live version."""

    def resolve(self) -> Mapping[str, Mapping[str, int | None]]:
        """Each model's pointers as they stand now: ``{"churn": {"live": 3, "staging": None, ...}}``."""

    def tokens(self, before: Tokens) -> Tokens:
        """The tokens that exist by now."""

    def rollouts(self, models: Sequence[str]) -> Mapping[str, Rollout]:
        """The roll-outs under way of these models."""

    def open_version(self, model: str, number: int) -> OpenedVersion:
        """Verify, try in a child, load; slow. Raises ``Refused`` or ``NotFound``."""


@dataclass(frozen=True, slots=True)
class Served:
    """A version that answers."""

    model: str
    number: int
    digest: str
    schema: Schema
    scorer: Scorer
    decoder: RowDecoder
    way: Way
    example: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ref(self) -> str:
        """`NAME@7`."""
        return f"{self.model}@{self.number}"


@dataclass(frozen=True, slots=True)
class Split:
    """What else answers or is asked while a version is tried beside the live one.

    Attributes:
        rollout: Says which units the canary answers.
        canary: Answers them; None: nobody.
        shadow: Scores what live has answered, unseen; None: nobody.
    """

    rollout: Rollout | None = None
    canary: Served | None = None
    shadow: Served | None = None


Done = Callable[["Served | AmbidexError"], None]


class Models:
    """The models of one worker.

    Args:
        registry: The workspace, as seen from this worker.
        report: Told of switches and of versions that do not open.

    Attributes:
        splits: Models with a canary or a shadow; the others are not in it.
    """

    def __init__(self, registry: Registry, report: Report) -> None:
        self._registry = registry
        self._report = report
        self._live: dict[str, Served] = {}
        self._cache: dict[str, OrderedDict[int, Served]] = {}
        self._pointers: dict[str, dict[str, int | None]] = {}
        self._opening: dict[tuple[str, int], list[Done]] = {}
        self._failed: dict[tuple[str, int], tuple[float, AmbidexError]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = threading.Event()
        self._rollouts: Mapping[str, Rollout] = {}
        self.splits: dict[str, Split] = {}
        # Three threads: versions that callers ask for by number, or that other pointers name, never stand before
        # the one that goes live.
        self._follower = ThreadPoolExecutor(1, thread_name_prefix="open-live")
        self._asker = ThreadPoolExecutor(1, thread_name_prefix="open-asked")
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="open-ahead")
        self.ready = False

    # ------------------------------------------------------------ start

    def open_all(self) -> list[str]:
        """Open every model's live version, before anything listens; returns their references.

        Raises:
            NotFound: ``data.no-model``, ``data.no-pointer``: there is nothing to serve.
            Refused: ``check.opens``, ``check.altered``: a live version does not open.
        """
        pointers = self._registry.resolve()
        names = list(self._registry.names) or [n for n, p in pointers.items() if p.get("live") is not None]
        if not names:
            raise NotFound("data.no-pointer", "no model has a live version", do="ambidex promote NAME@1 --to live")
        for name in names:
            if name not in pointers:
                raise NotFound("data.no-model", f"there is no model {name!r}{did_you_mean(name, pointers)}")
            number = pointers[name].get("live")
            if number is None:
                raise NotFound(
                    "data.no-pointer", f"{name} has no live version", do=f"ambidex promote {name}@1 --to live"
                )
            served = self._open(name, number)
            if isinstance(served, AmbidexError):
                raise served
            self._keep(served)
            self._live[name] = served
        self._pointers = {n: dict(p) for n, p in pointers.items()}
        self.ready = True
        return [s.ref for s in self._live.values()]

    def follow(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start following the pointers; switches happen on ``loop``."""
        self._loop = loop
        threading.Thread(target=self._poll, name="pointers", daemon=True).start()

    def stop(self) -> None:
        """Stop following; what is loaded stays."""
        self._over.set()
        for opener in (self._follower, self._asker, self._ahead):
            opener.shutdown(wait=False, cancel_futures=True)

    # ------------------------------------------------------------ asking

    @property
    def names(self) -> list[str]:
        """Models with a live version here."""
        return list(self._live)

    def live(self, model: str) -> Served:
        """The version that answers now.

        Raises:
            NotFound: ``data.no-model`` with the nearest name, ``data.no-pointer``.
        """
        served = self._live.get(model)
        if served is not None:
            return served
        if self._pointers.get(model):
            raise NotFound("data.no-pointer", f"{model} has no live version", do=f"ambidex promote {model}@1 --to live")
        near = nearest(model[:100], self._live, count=1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        served_here = ", ".join(sorted(self._live)[:20])
        raise NotFound(
            "data.no-model", f"no model {model[:100]!r} is served here{hint}", found=f"served here: {served_here}",
            do=f"POST to the model {near[0]}" if near else None,
        )  # fmt: skip

    @property
    def served(self) -> list[Served]:
        """The live versions."""
        return list(self._live.values())

    @property
    def refs(self) -> list[str]:
        """Their references."""
        return [s.ref for s in self._live.values()]

    def live_number(self, model: str) -> int | None:
        """The number of the version that answers now, or None."""
        served = self._live.get(model)
        return None if served is None else served.number

    def versions(self, model: str) -> list[int]:
        """Versions of a model that a pointer names, or that is live here."""
        pointed = {n for n in self._pointers.get(model, {}).values() if n is not None}
        live = self._live.get(model)
        return sorted(pointed | ({live.number} if live is not None else set()))

    def find(self, model: str, ref: str, done: Done) -> None:
        """The version that a number or pointer names; ``done`` is called on the loop, perhaps much later.

        Raises:
            NotFound: ``data.no-model``, ``data.no-version``, ``data.no-pointer``.
        """
        live = self.live(model)
        if ref == "live":
            done(live)
            return
        if ref.isascii() and ref.isdigit() and len(ref) <= 9:
            number = int(ref)
        elif ref in POINTERS:
            pointed = self._pointers.get(model, {}).get(ref)
            if pointed is None:
                raise NotFound("data.no-pointer", f"nothing is {model}@{ref} at the moment", found=f"live: {live.ref}")
            number = pointed
        else:
            raise NotFound(
                "data.no-pointer", f"{ref[:40]!r} names no version of {model}",
                found=f"a number, or {', '.join(POINTERS)}", do=f"POST to {live.ref}, or to {model}",
            )  # fmt: skip
        held = self._held(model, number)
        if held is not None:
            self._cache[model].move_to_end(number)
            done(held)
            return
        failed = self._failed.get((model, number))
        if failed is not None and time.monotonic() - failed[0] < RETRY_S:
            raise failed[1]
        self._go(model, number, done)

    # ------------------------------------------------------------ following, in threads

    def _poll(self) -> None:
        assert self._loop is not None
        unreadable = False
        while not self._over.wait(POLL_S):
            try:
                pointers = {n: dict(p) for n, p in self._registry.resolve().items()}
                split = [n for n, p in pointers.items() if p.get("canary") is not None]
                rollouts = self._registry.rollouts(split) if split else {}
            except Exception as error:  # whatever the store does, serving goes on
                if not unreadable:
                    unreadable = True
                    self._report("pointers.unreadable", {"why": type(error).__name__})
                continue
            if unreadable:
                unreadable = False
                self._report("pointers.readable", {})
            try:
                self._loop.call_soon_threadsafe(self._apply, pointers, rollouts)
            except RuntimeError:  # the loop is closed
                return

    def _open(self, model: str, number: int) -> Served | AmbidexError:
        try:
            opened = self._registry.open_version(model, number)
            schema = opened.schema
            decoder = RowDecoder(schema)
            way = Way(model, number, schema, opened.scorer, decoder, slow=bool(getattr(opened, "slow", False)))
            example = dict(getattr(opened, "example", None) or example_of(schema))
            return Served(model, number, opened.digest, schema, opened.scorer, decoder, way, example)
        except AmbidexError as error:
            # Its place on this machine is nobody's business who asks over HTTP.
            kept = error.code if isinstance(error, Refused | DataError) else "check.opens"
            if isinstance(error, NotFound):
                return NotFound(kept, f"there is no version {model}@{number}")
            return Refused(kept, f"{model}@{number} does not open: {_why(error)}")
        except Exception as error:
            return Refused("check.opens", f"{model}@{number} does not open: {type(error).__name__}")

    # ------------------------------------------------------------ following, on the loop

    def _apply(self, pointers: dict[str, dict[str, int | None]], rollouts: Mapping[str, Rollout]) -> None:
        self._pointers = pointers
        self._rollouts = rollouts
        wanted = set(self._registry.names) or set(pointers)
        for model, places in pointers.items():
            if model not in wanted or NAME.fullmatch(model) is None:
                continue
            number = places.get("live")
            live = self._live.get(model)
            if number is None:
                if live is not None:
                    del self._live[model]
                    self._report("version.left", {"model": model, "was": live.number})
            elif live is None or live.number != number:
                self._follow_to(model, number)
            for pointer in AHEAD:
                if (ahead := places.get(pointer)) is not None and number is not None:
                    self._open_ahead(model, ahead)
            self._split(model)

    def _open_ahead(self, model: str, number: int) -> None:
        """What a pointer names is open before anybody asks: a roll-out begins, or goes back, at once."""
        if self._held(model, number) is None and (model, number) not in self._opening:
            failed = self._failed.get((model, number))
            if failed is None or time.monotonic() - failed[0] >= AHEAD_RETRY_S:
                self._go(model, number, None, self._ahead)

    def _split(self, model: str) -> None:
        places, live = self._pointers.get(model, {}), self._live.get(model)
        rollout = self._rollouts.get(model)
        canary, shadow = (
            None if (n := places.get(pointer)) is None or live is None or n == live.number else self._held(model, n)
            for pointer in ("canary", "shadow")
        )
        if rollout is None or canary is None or rollout.version != canary.number or rollout.stage != "canary":
            rollout = canary = None
        if canary is None and shadow is None:
            self.splits.pop(model, None)
            return
        now = Split(rollout, canary, shadow)
        if self.splits.get(model) != now:
            self.splits[model] = now

    def _follow_to(self, model: str, number: int) -> None:
        held = self._held(model, number)
        if held is not None:
            self._switch(held)
            return
        failed = self._failed.get((model, number))
        if failed is None or time.monotonic() - failed[0] >= RETRY_S:
            self._go(model, number, None)

    def _go(
        self, model: str, number: int, done: Done | None, thread: ThreadPoolExecutor | None = None
    ) -> None:  # fmt: skip
        waiting = self._opening.get((model, number))
        if waiting is not None:
            waiting += [done] if done else []
            return
        assert self._loop is not None
        loop = self._loop
        self._opening[model, number] = [done] if done else []

        def work() -> None:
            result = self._open(model, number)
            loop.call_soon_threadsafe(self._opened, model, number, result)

        (thread or (self._follower if done is None else self._asker)).submit(work)

    def _opened(self, model: str, number: int, result: Served | AmbidexError) -> None:
        callbacks = self._opening.pop((model, number), [])
        if isinstance(result, Served):
            self._failed.pop((model, number), None)
            self._keep(result)
            live = self._live.get(model)
            if self._pointers.get(model, {}).get("live") == number and (live is None or live.number != number):
                self._switch(result)
            self._split(model)
        else:
            self._failed[model, number] = (time.monotonic(), result)
            while len(self._failed) > 1000:
                self._failed.pop(next(iter(self._failed)))
            if not isinstance(result, NotFound):
                live = self._live.get(model)
                still = {"model": model, "version": number, "serving": live.number if live else None}
                self._report("version.refused", {**still, "code": result.code, "why": result.message})
        for done in callbacks:
            done(result)

    def _switch(self, served: Served) -> None:
        was = self._live.get(served.model)
        self._live[served.model] = served
        self._keep(served)
        self._report(
            "version.live", {"model": served.model, "version": served.number, "was": was.number if was else None}
        )

    def _held(self, model: str, number: int) -> Served | None:
        held = self._cache.get(model)
        return None if held is None else held.get(number)

    def _keep(self, served: Served) -> None:
        held = self._cache.setdefault(served.model, OrderedDict())
        live = self._live.get(served.model)
        if live is not None and live.number in held:
            held.move_to_end(live.number)
        held[served.number] = served
        held.move_to_end(served.number)
        named = set(self._pointers.get(served.model, {}).values())
        for number in list(held):
            if len(held) <= KEPT:
                break
            if number not in named and number != served.number:
                del held[number]


def _why(error: AmbidexError) -> str:
    """A reason without places of this machine."""
    words = ["..." if w.lstrip("'\"(`").startswith(("/", "~")) else w for w in error.message.split()]
    return " ".join(words)
