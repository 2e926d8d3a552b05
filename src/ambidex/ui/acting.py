"""Actions: a page that says what would happen, then the verb itself, behind the same checks as at the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from ambidex.errors import AmbidexError, NotFound, Refused, UsageError, did_you_mean
from ambidex.records import ModelState
from ambidex.ui.drift import alert_rows, watched
from ambidex.ui.looking import Look

__all__ = ["ACTIONS", "Row", "act", "ask"]

Row = dict[str, Any]

ACTIONS = ("promote", "rollback", "resume", "alert")
TARGETS = ("live", "staging", "shadow", "canary")


def ask(look: Look, kind: str, state: ModelState, *, number: int | None = None, alert: str | None = None) -> Row:
    """The page before an action: what it would do, and its form."""
    return {"model": state.name, "refused": None, "done": None, **_FORMS[kind](look, state, number, alert)}


def act(
    look: Look,
    kind: str,
    state: ModelState,
    form: Mapping[str, str],
    *,
    number: int | None = None,
    alert: str | None = None,
) -> tuple[Row, AmbidexError | None]:
    """Do it.

    Returns:
        The page after it, and why nothing was done, if so.
    """
    shown: Row = {"model": state.name, "title": "", "forms": [], "refused": None, "done": None}
    try:
        shown["title"] = f"{kind.capitalize()} {state.name}"
        result = _VERBS[kind](look, state, form, number, alert)
    except AmbidexError as error:
        shown["refused"] = {**error.to_dict(), "verdicts": [_plain(v) for v in getattr(error, "verdicts", ())]}
        return shown, error
    shown["done"] = {
        "lines": [text for _, text in result.lines],
        "next": list(result.next),
        "data": result.to_dict(),
    }
    return shown, None


def _plain(verdict: Any) -> Row:
    return asdict(verdict) if is_dataclass(verdict) and not isinstance(verdict, type) else dict(verdict)


# ---------------------------------------------------------------- before


def _ask_promote(look: Look, state: ModelState, number: int | None, alert: str | None) -> Row:
    del alert
    to = look.choice("to", TARGETS, "live")
    record = look.house.store.version(state.name, number or 0)
    was = getattr(state, to)
    judged = look.house.store.judgement(state.name, record.number)
    gates = "It was not judged yet; its gates are judged first."
    if judged is not None:
        supported = sum(g.outcome == "supported" for g in judged.gates)
        gates = f"{supported} of {len(judged.gates)} gates supported; judged again if the world has changed since."
    holds = f"@{was}" if was is not None else "nothing"
    return {
        "title": f"Promote {record.ref} to {to}",
        "forms": [
            {
                "action": f"/models/{state.name}/{record.number}/promote",
                "submit": f"Promote @{record.number} to {to}",
                "primary": True,
                "says": f"{to.capitalize()} is {holds} now and becomes @{record.number}.",
                "notes": [gates, "Unless every gate is supported nothing moves."],
                "hidden": {"to": to, "was": "" if was is None else str(was)},
            }
        ],
    }


def _ask_rollback(look: Look, state: ModelState, number: int | None, alert: str | None) -> Row:
    del number, alert, look
    ways = [v for v in reversed(state.passed) if v != state.live]
    if state.live is None or not ways:
        raise Refused(
            "check.no-previous",
            f"{state.name} cannot go back: "
            + ("nothing is live" if state.live is None else "no other version has passed its gates"),
            do=f"ambidex models log {state.name}",
        )
    first = state.previous if state.previous in ways else ways[0]
    ordered = [first, *(v for v in ways if v != first)]
    return {
        "title": f"Roll back {state.name}",
        "forms": [
            {
                "action": f"/models/{state.name}/rollback",
                "submit": "Roll back",
                "primary": True,
                "says": f"Live is @{state.live} and goes back to the version below, which had passed its gates.",
                "notes": [
                    "Running servers follow within a second and drop no request. Retraining pauses until it is resumed."
                ],
                "hidden": {"was": str(state.live)},
                "fields": [{"name": "to", "label": "Back to", "options": [(str(v), f"@{v}") for v in ordered]}],
            }
        ],
    }


def _ask_resume(look: Look, state: ModelState, number: int | None, alert: str | None) -> Row:
    del number, alert, look
    return {
        "title": f"Resume retraining of {state.name}",
        "forms": [
            {
                "action": f"/models/{state.name}/resume",
                "submit": "Resume retraining",
                "primary": True,
                "says": f"Retraining is paused: {state.paused}." if state.paused else "Retraining is not paused.",
                "notes": ["From then on new data makes new versions again."],
                "hidden": {},
            }
        ],
    }


def _ask_alert(look: Look, state: ModelState, number: int | None, alert: str | None) -> Row:
    del number
    found = _alert(look, state, alert)
    action = f"/models/{state.name}/alerts/{found['id']}"
    return {
        "title": f"Alert {found['id']} of {state.name}",
        "forms": [
            {
                "action": action,
                "submit": "Acknowledge",
                "primary": True,
                "says": f"{found['text']}. Since {found['when']}.",
                "notes": ["Acknowledged, it closes and its detectors start again: the same trouble rings anew."],
                "hidden": {"do": "ack"},
            },
            {
                "action": action,
                "submit": "Mute",
                "primary": False,
                "says": "Or keep it open and silent for a time.",
                "notes": [],
                "hidden": {"do": "mute"},
                "fields": [
                    {"name": "reason", "label": "Reason, kept in the log", "required": True},
                    {"name": "until", "label": "For how long, such as 12h or 7d", "value": "7d", "required": True},
                ],
            },
        ],
    }


def _alert(look: Look, state: ModelState, identity: str | None) -> Row:
    rows = alert_rows(watched(look, state.name) or {}, look, state.name)
    found = next((a for a in rows if a["id"] == identity), None)
    if found is None:
        there = [str(a["id"]) for a in rows]
        raise NotFound(
            "data.no-alert",
            f"no alert {str(identity)[:60]} of {state.name} is open{did_you_mean(str(identity)[:60], there)}",
            found=f"open: {', '.join(there)}" if there else "none is open",
            do=f"ambidex monitor {state.name}",
        )
    return found


# ---------------------------------------------------------------- the verbs


def _seen(form: Mapping[str, str], now: int | None, what: str) -> None:
    """Nothing moves on a page that is older than the state: a form that is sent twice acts once."""
    shown = form.get("was")
    if shown is not None and shown != ("" if now is None else str(now)):
        raise Refused(
            "check.moved",
            f"{what} is {f'@{now}' if now is not None else 'nothing'} by now, and the page was made when it was "
            + (f"@{shown[:12]}" if shown else "nothing"),
            do="look at the page again",
        )


def _promote(look: Look, state: ModelState, form: Mapping[str, str], number: int | None, alert: str | None) -> Any:
    del alert
    to = form.get("to") or "live"
    if to not in TARGETS:
        raise UsageError("usage.value", f"cannot promote to {to[:40]!r}", found=", ".join(TARGETS), do="to=live")
    _seen(form, getattr(state, to), f"{state.name}@{to}")
    return look.desk.verbs.promote(f"{state.name}@{number}", to=to, at=look.house.folder)


def _rollback(look: Look, state: ModelState, form: Mapping[str, str], number: int | None, alert: str | None) -> Any:
    del number, alert
    _seen(form, state.live, f"{state.name}@live")
    return look.desk.verbs.rollback(state.name, to=form.get("to") or None, at=look.house.folder)


def _resume(look: Look, state: ModelState, form: Mapping[str, str], number: int | None, alert: str | None) -> Any:
    del form, number, alert
    return look.desk.verbs.resume(state.name, at=look.house.folder)


def _answer_alert(look: Look, state: ModelState, form: Mapping[str, str], number: int | None, alert: str | None) -> Any:
    del number
    verbs, at = look.desk.verbs, look.house.folder
    if form.get("do") == "mute":
        reason = form.get("reason", "").strip()
        if not reason:
            raise UsageError("usage.value", "a mute needs its reason", do="say why nobody needs to be told")
        return verbs.monitor(state.name, mute=alert, reason=reason[:300], until=form.get("until") or "7d", at=at)
    return verbs.monitor(state.name, ack=alert, at=at)


_FORMS = {"promote": _ask_promote, "rollback": _ask_rollback, "resume": _ask_resume, "alert": _ask_alert}
_VERBS = {"promote": _promote, "rollback": _rollback, "resume": _resume, "alert": _answer_alert}
