"""What was live at a moment, who had moved it, and on what evidence."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from ambidex.delivery import listing
from ambidex.errors import NotFound, UsageError
from ambidex.journal import fold
from ambidex.ports import Place
from ambidex.records import POINTERS, Event
from ambidex.report.answer import Mark, Result

__all__ = ["moment_of", "then"]


def then(place: Place, name: str | None, when: str) -> Result:
    """The state of one model, or of all, at a moment: pointers, the move that set live, and the verdicts behind it.

    The log is read in its own order up to the last event that is dated at or before the moment.

    Args:
        place: The workspace.
        name: The model; None for all of them.
        when: The moment, ISO 8601; this machine's time unless it names its zone.

    Raises:
        UsageError: ``usage.value`` for what is no moment, or lies in the future.
        NotFound: ``data.no-model``; ``data.no-version`` where the model had no version yet.
    """
    moment = moment_of(when)
    log = place.store.events()
    if moment > max([place.clock(), *(datetime.fromisoformat(e.at) for e in log)]):
        raise UsageError("usage.value", f"{when} lies in the future", where="--at", do="give a moment that has passed")
    if name is not None:
        place.store.model(name)
    stamp = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    last = max((i for i, e in enumerate(log) if e.at <= stamp), default=-1)
    before = log[: last + 1]
    set_back = any(e.at > stamp for e in before)
    state = fold(before)
    wanted = sorted(state.models) if name is None else [name]
    if name is not None and name not in state.models:
        raise NotFound(
            "data.no-version", f"{name} had no version at {when}", where="--at",
            found=_first(log, name), do=f"ambidex models log {name}",
        )  # fmt: skip
    found = [_model(before, state, model) for model in wanted]
    lines: list[tuple[Mark, str]] = [(" ", f"at {_shown(moment)}")]
    for one in found:
        lines += _lines(one)
    if not found:
        lines.append(("▲", "there was no model yet"))
    warnings: tuple[tuple[str, str], ...] = ()
    if set_back:
        said = "the clock was set back around this moment: the log's own order decides what came before"
        warnings = (("clock", said),)
        lines.append(("▲", said))
    events = [listing.event_row(e) for e in before if e.verb in listing.MOVES and name in (None, e.model)]
    return Result(
        verb="models", data={"at": stamp, "then": found, "events": events}, lines=tuple(lines), warnings=warnings
    )


def moment_of(text: str) -> datetime:
    """A moment with its zone.

    >>> moment_of("2026-11-24T14:32Z").isoformat()
    '2026-11-24T14:32:00+00:00'
    """
    try:
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.astimezone()
    except (ValueError, TypeError, OverflowError) as error:
        raise UsageError(
            "usage.value", f"{str(text)[:40]!r} is no moment", where="--at",
            found="such as 2026-11-24T14:32, 2026-11-24 14:32 or 2026-11-24T13:32Z", do="--at 2026-11-24T14:32",
        ) from error  # fmt: skip


def _model(log: Sequence[Event], state: Any, name: str) -> dict[str, Any]:
    now = state.models[name]
    mine = [e for e in log if e.model == name]
    move = next(
        (e for e in reversed(mine) if e.verb == "rollback" or (e.verb == "promote" and e.body.get("to") == "live")),
        None,
    )
    found: dict[str, Any] = {
        "model": name, "paused": now.paused, **{p: getattr(now, p) for p in POINTERS},
        "since": None, "by": None, "verb": None, "event": None, "was": None, "because": None, "evidence": None,
    }  # fmt: skip
    if move is None or now.live is None:
        return found
    found |= {
        "since": move.at, "by": move.by, "verb": move.verb, "event": move.seq, "was": move.body.get("was"),
        "because": move.body.get("because"), "evidence": _evidence(mine, move),
    }  # fmt: skip
    return found


def _evidence(mine: Sequence[Event], move: Event) -> dict[str, Any] | None:
    """The verdicts that the moved version had passed on: the newest before the move, for a rollback its promotion."""
    judged = [e for e in mine if e.verb == "judge" and e.version == move.version and e.seq < move.seq]
    registered = next((e for e in mine if e.verb == "register" and e.version == move.version), None)
    if not judged:
        return None
    body = judged[-1].body
    return {
        "event": judged[-1].seq, "at": judged[-1].at, "by": judged[-1].by, "against": body.get("against"),
        "data": body.get("data"), "config": body.get("config"), "digest": body.get("digest"),
        "gates": body.get("gates"), "waived": body.get("waived") or {},
        "trained_on": registered.body.get("data") if registered else None,
    }  # fmt: skip


def _lines(one: dict[str, Any]) -> list[tuple[Mark, str]]:
    name = one["model"]
    if one["live"] is None:
        return [("▲", f"{name}: nothing was live")]
    lines: list[tuple[Mark, str]] = [("✓", f"{name}@{one['live']} was live")]
    was = f", was @{one['was']}" if one["was"] is not None else ""
    lines.append((" ", f"moved      {one['since'][:19]}Z by {one['by']}: {one['verb']}, event {one['event']}{was}"))
    if one["because"]:
        lines.append((" ", f"because    {one['because']}"))
    evidence = one["evidence"]
    if evidence is None:
        lines.append((" ", "evidence   no verdict on it is in the log"))
    else:
        against = "a constant" if evidence["against"] is None else f"@{evidence['against']}"
        lines.append((" ", f"evidence   judged {evidence['at'][:19]}Z against {against} on data {evidence['data']}"))
        lines += [
            (" ", f"           {g['name']}: {g['outcome']}, {g['because']}"
                  + (f"; waived: {evidence['waived'][g['name']]}" if g["name"] in evidence["waived"] else ""))
            for g in evidence["gates"] or ()
        ]  # fmt: skip
    beside = [f"{p} @{one[p]}" for p in ("staging", "shadow", "canary", "candidate") if one[p] is not None]
    if beside:
        lines.append((" ", f"beside     {', '.join(beside)}"))
    if one["paused"]:
        lines.append((" ", f"paused     {one['paused']}"))
    return lines


def _first(log: Sequence[Event], name: str) -> str:
    first = next((e for e in log if e.model == name), None)
    return f"its first event is of {first.at[:19]}Z" if first else "nothing of it in the log"


def _shown(moment: datetime) -> str:
    here = moment.strftime("%A %Y-%m-%d %H:%M:%S %Z").rstrip()
    if moment.utcoffset():
        here += f" ({moment.astimezone(UTC).strftime('%Y-%m-%dT%H:%M:%SZ')})"
    return here
