"""What must hold, inside the transaction, before a pointer moves or a version goes."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select

from ambidex.edges import sql_tables as t
from ambidex.edges.sql_read import judgement_in, version_in
from ambidex.errors import InternalError, Refused
from ambidex.journal import GUARDED, stale
from ambidex.ports import Fence
from ambidex.records import POINTERS, Judgement, ModelState

__all__ = ["moved", "must_be_free", "must_be_fresh", "must_hold", "unguarded", "way_back"]


def must_be_fresh(
    connection: Connection,
    state: ModelState,
    version: int,
    judgement: Judgement | None,
    max_age_s: float,
    now: datetime,
) -> None:
    """The newest judgement passed and speaks of the world as it is. Raises ``check.gate``, ``check.moved``."""
    record = version_in(connection, state.name, version)
    newest = judgement_in(connection, state.name, version)
    if newest is None or judgement is None:
        raise Refused("check.gate", f"{record.ref} has not been judged", do=f"ambidex gate {record.ref}")
    if newest.to_json() != judgement.to_json():
        raise moved(f"{record.ref} was judged again while this ran", f"judged {newest.at}", state)
    why = stale(state, newest, digest=record.digest, now=now, max_age_s=max_age_s)
    if why is not None:
        raise moved(f"the verdict on {record.ref} is stale: {why}", f"judged {newest.at}", state)
    if not newest.passed:
        failed = [g for g in newest.gates if g.outcome != "supported" and g.name not in newest.waived]
        raise Refused(
            "check.gate",
            f"{record.ref} did not pass its gates",
            found="; ".join(f"{g.name}: {g.outcome}, {g.because}" for g in failed) or "no gates",
            do=f"ambidex gate {record.ref}",
            verdicts=failed,
        )


def way_back(connection: Connection, state: ModelState, to: str, version: int | None) -> int:
    """The version that a rollback goes to. Raises ``check.no-previous``."""
    if to != "live":
        raise InternalError("internal.bug", f"a rollback moves live, not {to}")
    target = state.previous if version is None else version
    if target is not None:
        version_in(connection, state.name, target)
    if target is None or target not in state.passed or target == state.live:
        ways = [v for v in state.passed if v != state.live]
        raise Refused(
            "check.no-previous",
            f"{state.name} cannot go back to "
            + ("an earlier version: none has passed its gates" if target is None else f"version {target}"),
            found="passed and not live: " + (", ".join(map(str, ways)) or "none"),
            do=f"ambidex models log {state.name}",
        )
    return target


def must_be_free(state: ModelState, version: int) -> None:
    """No pointer names it, no rollback needs it, it is not the last one left. Raises ``check.in-use``."""
    held = ["the only version left"] if state.versions - len(state.deleted) == 1 else []
    held += [p for p in POINTERS if getattr(state, p) == version and p != "candidate"]
    if held:
        ref = f"{state.name}@{version}"
        raise Refused(
            "check.in-use",
            f"{ref} is {', '.join(held)} and stays",
            where=ref,
            found=", ".join(f"{p} {getattr(state, p)}" for p in POINTERS if getattr(state, p) is not None),
            do="ambidex models ls",
            data={"model": state.name, "version": version, "pointers": held},
        )


def moved(message: str, found: str, state: ModelState) -> Refused:
    """Somebody else changed what was looked at."""
    return Refused(
        "check.moved",
        message,
        found=found,
        do="run it again",
        data={"model": state.name, "revision": state.revision, "live": state.live},
    )


def must_hold(connection: Connection, fence: Fence | None) -> None:
    """A holder that slept through the end of its lease must not act on what it saw before."""
    if fence is None:
        return
    name, token = fence
    newest = connection.execute(select(t.leases.c.token).where(t.leases.c.name == name)).scalar()
    if newest != token:
        raise Refused(
            "check.fenced",
            "this run took longer than its lease, and another one has taken over",
            where=name,
            found=f"token {token}, and {newest} is the newest",
            do="nothing: the other run finishes the step",
        )


def unguarded(verb: str) -> None:
    """A verb that ``append`` may write."""
    if verb in GUARDED:
        raise InternalError("internal.bug", f"{verb!r} is written by the store's own method, not by append")
