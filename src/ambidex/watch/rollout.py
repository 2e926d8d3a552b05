"""One step of a roll-out: read the log, judge, decide, move. A step that is killed is simply made again.

What was decided is written down before the pointer moves, with the event that tells of it, in one transaction. The
move itself asks first whether it has been made. So a kill at any place leaves the same events as none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from ambidex.bundle.open import open_bundle
from ambidex.errors import Refused
from ambidex.ports import Blobs, Clock, Store
from ambidex.records import ModelState, Rollout
from ambidex.settings import Settings
from ambidex.stats.claim import Verdict
from ambidex.stats.estimate import finite
from ambidex.watch.arms import Kept, read_arms, stamp
from ambidex.watch.log import moment
from ambidex.watch.rollout_claims import Judged, judge_stage

__all__ = ["Hands", "Place", "Stepped", "read_rollout", "rollout_step", "summary"]

LEASE_S = 600.0
AFTER: Mapping[str, tuple[str, ...]] = {"canary": ("canary", "live"), "live": ("live",)}
"""Policies under which a step may move a candidate to that place by itself."""


class Place(Protocol):
    """What a step needs of a workspace."""

    @property
    def store(self) -> Store: ...

    @property
    def blobs(self) -> Blobs: ...

    @property
    def settings(self) -> Settings: ...

    @property
    def log_folder(self) -> Path: ...

    @property
    def clock(self) -> Clock: ...


class Hands(Protocol):
    """What moves pointers (`delivery.rollout.Mover` does): this room only decides."""

    def begin(self, model: str, version: int, stage: str) -> Rollout | None:
        """Write down that a roll-out began, where a pointer says so and no record does."""

    def promote(self, model: str, version: int, to: str) -> None:
        """Move a pointer behind its gates. Raises ``Refused``."""

    def clear(self, model: str, pointer: str, *, because: str, pause: str | None) -> None:
        """Take a pointer away."""

    def fault(self, rollout: Rollout) -> str | None:
        """Why the plan that it is held to may not promote any more, or None."""


@dataclass(frozen=True, slots=True)
class Stepped:
    """What a step found.

    Attributes:
        mark: ``✓``, ``▲`` or ``■``.
        text: One line; empty where no roll-out runs.
        rollout: As it stands now.
        judged: What the log says, where it was judged.
    """

    mark: str
    text: str
    rollout: Rollout | None = None
    judged: Judged | None = None


def read_rollout(store: Store, model: str) -> Rollout | None:
    """The model's newest roll-out, ended or not."""
    kept = store.document(f"rollout/{model}")
    return None if kept is None else Rollout.from_json(kept)


def rollout_step(
    place: Place,
    model: str,
    hands: Hands,
    *,
    spent: Callable[[str], bool] = lambda _: False,
    kept: Kept | None = None,
) -> Stepped:
    """Drive a model's roll-out as far as the log and the model's policy let it.

    Args:
        place: The workspace.
        model: Model's name.
        hands: What moves pointers.
        spent: Whether the error budget of a model is spent: then nothing is promoted.
        kept: What this process has read of the log so far, where it steps again and again.

    Raises:
        Refused: ``check.moved`` if somebody moved the pointers meanwhile: the next step looks again.
    """
    rollout, state = read_rollout(place.store, model), place.store.model(model)
    if (rollout is None or not rollout.open) and state.shadow is None and state.canary is None:
        return Stepped("✓", "", rollout)  # the ordinary case: nothing is written, not even a lease
    token = place.store.lease(f"rollout/{model}", seconds=LEASE_S)
    if token is None:
        return Stepped(" ", "another process drives the roll-out")
    try:
        return _step(place, model, hands, spent, kept)
    finally:
        place.store.release(f"rollout/{model}", token)


def _step(place: Place, model: str, hands: Hands, spent: Callable[[str], bool], kept: Kept | None) -> Stepped:
    rollout = read_rollout(place.store, model)
    if rollout is not None and rollout.state == "acting":
        return _acted(place, rollout, hands)
    state = place.store.model(model)
    rollout = _reconciled(place, state, rollout)
    if rollout is not None and rollout.state == "acting":
        return _acted(place, rollout, hands)
    if rollout is None or not rollout.open:
        begun = _adopt(state, hands)
        if begun is None:
            return Stepped("✓", "", rollout)
        rollout = begun
    return _judged(place, rollout, hands, spent, kept)


def _reconciled(place: Place, state: ModelState, rollout: Rollout | None) -> Rollout | None:
    """What people moved by hand, the record follows: the pointers are the truth."""
    if rollout is None or not rollout.open:
        return rollout
    if state.live == rollout.version:
        return _ended(place, rollout, "by-hand", f"{rollout.ref} was promoted to live by hand")
    if getattr(state, rollout.stage) != rollout.version:
        return _ended(place, rollout, "by-hand", f"{rollout.stage} was moved by hand")
    if state.live != rollout.against:
        now = f"@{state.live}" if state.live is not None else "no version"
        because = f"live is {now}, and {rollout.ref} was compared with @{rollout.against}"
        return _decided(place, rollout, "withdraw", "withdrawn", because)
    return rollout


def _adopt(state: ModelState, hands: Hands) -> Rollout | None:
    """A pointer that no record tells of: whoever moved it was killed before writing that down."""
    for stage in ("canary", "shadow"):
        version = getattr(state, stage)
        if version is not None and state.live is not None and version != state.live:
            return hands.begin(state.name, version, stage)
    return None


def _judged(place: Place, rollout: Rollout, hands: Hands, spent: Callable[[str], bool], kept: Kept | None) -> Stepped:
    now = place.clock()
    bundle = open_bundle(
        place.blobs, place.store.version(rollout.model, rollout.against).digest, tried=False
    )  # fmt: skip
    arms = read_arms(
        place.log_folder, rollout.model, bundle.schema, since=rollout.staged,
        candidate=(rollout.stage, rollout.version), live=("live", rollout.against), kept=kept,
    )  # fmt: skip
    judged = judge_stage(arms, rollout, bundle.schema, bundle.reference, place.settings.rollout, now=now)
    trip = judged.tripped
    if trip is not None:
        return _act(place, rollout, hands, judged, "withdraw", "rolled-back", trip.text)
    if judged.first == "harm" and rollout.state == "running" and judged.harm is not None:
        return _act(place, rollout, hands, judged, "withdraw", "rolled-back", _harm_text(rollout, judged.harm))
    page = _harm_page(place, rollout) if rollout.proven else None
    if page is not None:
        return _act(place, rollout, hands, judged, "withdraw", "rolled-back", page)
    if rollout.state == "ready":
        return _told(place, rollout, judged, "✓", f"{_name(rollout)} is not worse; {_person(rollout)}")
    better = judged.first == "better"
    if better or (rollout.proven and _settled(rollout, now)):
        return _onward(place, rollout, hands, judged, spent)
    if not rollout.proven and (moment(rollout.deadline) or now) <= now:
        because = f"nothing was decided by {rollout.deadline[:10]}: {_evidence(rollout, judged)}"
        return _act(place, rollout, hands, judged, "withdraw", "withdrawn", because)
    return _told(place, rollout, judged, "✓", f"{_name(rollout)}: {_evidence(rollout, judged)}")


def _harm_page(place: Place, rollout: Rollout) -> str | None:
    """The monitor's page on the candidate's own errors: all that takes back one that was shown to be not worse."""
    kept = place.store.document(f"watch/{rollout.model}") or {}
    for alert in kept.get("alerts", ()):
        if alert.get("kind") == "harm" and alert.get("version") == rollout.version and not alert.get("muted"):
            return f"{alert['id']}: {alert['text']}"
    return None


def _onward(
    place: Place, rollout: Rollout, hands: Hands, judged: Judged, spent: Callable[[str], bool]
) -> Stepped:  # fmt: skip
    """Shown to be not worse: to the next place, as far as policy, plan and error budget let it."""
    to = "canary" if rollout.stage == "shadow" else "live"
    because = _better_text(rollout, judged)
    held = "the error budget is spent" if spent(rollout.model) else hands.fault(rollout)
    if held is not None:
        return _told(place, rollout, judged, "▲", f"{_name(rollout)} is not worse, and held: {held}")
    declared = place.settings.models.get(rollout.model)
    policy = declared.policy if declared is not None else "candidate"
    if policy not in AFTER[to] or (to == "live" and rollout.decides == "person"):
        ready = replace(rollout, state="ready", because=because)
        events = [_event(ready, "ready", judged), _alert(ready, "info", f"{because}; {_person(ready)}", place.clock())]
        place.store.put_document(f"rollout/{rollout.model}", ready.to_json(), events=events)
        return _told(place, ready, judged, "✓", f"{_name(ready)} is not worse; {_person(ready)}")
    return _act(place, rollout, hands, judged, to, "promoted", because)


def _act(
    place: Place, rollout: Rollout, hands: Hands, judged: Judged, action: str, outcome: str, because: str
) -> Stepped:  # fmt: skip
    decided = _decided(place, rollout, action, outcome, because, judged)
    _page(place, decided, judged, because)
    stepped = _acted(place, decided, hands)
    return replace(stepped, judged=judged)


def _decided(
    place: Place, rollout: Rollout, action: str, outcome: str, because: str, judged: Judged | None = None
) -> Rollout:  # fmt: skip
    """Write down what was decided, with the event that tells of it; the pointer follows."""
    done = replace(rollout, state="acting", action=action, outcome=outcome, because=because)
    events = [_event(done, action if action != "withdraw" else outcome, judged)]
    if outcome == "rolled-back":
        events.append(
            _alert(done, "page", f"{rollout.ref} was rolled back from {rollout.stage}: {because}", place.clock())
        )
    elif outcome == "withdrawn":
        events.append(
            _alert(done, "info", f"{rollout.ref} was withdrawn from {rollout.stage}: {because}", place.clock())
        )
    place.store.put_document(f"rollout/{rollout.model}", done.to_json(), events=events)
    return done


def _ended(place: Place, rollout: Rollout, outcome: str, because: str) -> Rollout:
    done = replace(rollout, state="ended", outcome=outcome, because=because)
    place.store.put_document(f"rollout/{rollout.model}", done.to_json(), events=[_event(done, outcome, None)])
    return done


def _acted(place: Place, rollout: Rollout, hands: Hands) -> Stepped:
    """Make the move that was decided, unless it was made before a kill."""
    model, version = rollout.model, rollout.version
    state = place.store.model(model)
    if rollout.action == "withdraw":
        pause = f"{rollout.ref} was rolled back from {rollout.stage}" if rollout.outcome == "rolled-back" else None
        for pointer in ("canary", "shadow"):
            if getattr(place.store.model(model), pointer) == version:
                hands.clear(model, pointer, because=rollout.because, pause=pause)
        done = replace(rollout, state="ended")
        place.store.put_document(f"rollout/{model}", done.to_json())
        if pause:
            return Stepped(
                "■", f"{rollout.because}: rolled back @{version}, live stays @{state.live}; retraining paused", done
            )
        return Stepped("▲", f"@{version} withdrawn: {rollout.because}; live stays @{state.live}", done)
    to = str(rollout.action)
    try:
        if getattr(state, to) != version:
            hands.promote(model, version, to)
    except Refused as error:
        if error.code == "check.moved":
            raise
        because = f"{_name(rollout)} is not worse, but {error.message}"
        ready = replace(rollout, state="ready", action=None, outcome=None, because=because)
        events = [_event(ready, "ready", None), _alert(ready, "info", because, place.clock())]
        place.store.put_document(f"rollout/{model}", ready.to_json(), events=events)
        return Stepped("▲", because, ready)
    if to == "canary":
        if place.store.model(model).shadow == version:
            hands.clear(model, "shadow", because=f"{rollout.ref} is canary now", pause=None)
        at = stamp(place.clock())
        on = replace(
            rollout, stage="canary", staged=at, proven=True, state="running", action=None, outcome=None,
        )  # fmt: skip
        place.store.put_document(f"rollout/{model}", on.to_json())
        return Stepped("✓", f"canary is @{version}, {on.share:.0%} of the units: {rollout.because}", on)
    done = replace(rollout, state="ended")
    place.store.put_document(f"rollout/{model}", done.to_json())
    return Stepped("✓", f"live is @{version} (was @{rollout.against}): {rollout.because}", done)


# ---------------------------------------------------------------- words and pages


def summary(place: Place, model: str) -> dict[str, Any] | None:
    """What pages show of the model's newest roll-out, as the last step left it: cheap, no log is read.

    Returns:
        ``state``, ``stage``, ``version``, ``against``, ``share``, ``started``, ``staged``, ``deadline``, ``outcome``,
        ``because``, ``decides``, and of the last look ``at``, ``text``, ``harm_e``, ``better_e``, ``harm_at``,
        ``act_at``, ``units``, ``labelled``, ``waiting``, ``value``, ``low``, ``high``, ``rows``, ``trips``; None if
        the model never had one.
    """
    rollout = read_rollout(place.store, model)
    if rollout is None:
        return None
    kept = place.store.document(f"rollout-page/{model}") or {}
    if kept.get("version") != rollout.version:
        kept = {}
    return {**kept, **rollout.to_json()}


def _page(place: Place, rollout: Rollout, judged: Judged, text: str) -> None:
    """Keep the last look for pages, if it says anything new."""
    name = f"rollout-page/{rollout.model}"
    figures = {"version": rollout.version, "stage": rollout.stage, "text": text, **_figures(rollout, judged)}
    before = place.store.document(name)
    if before is None or {k: v for k, v in before.items() if k != "at"} != figures:
        place.store.put_document(name, {**figures, "at": stamp(place.clock())})


def _told(place: Place, rollout: Rollout, judged: Judged, mark: str, text: str) -> Stepped:
    _page(place, rollout, judged, text)
    return Stepped(mark, text, rollout, judged)


def _figures(rollout: Rollout, judged: Judged) -> dict[str, Any]:
    shown = judged.better.estimate if judged.better is not None else None
    return {
        "harm_e": _e(judged.harm),
        "better_e": _e(judged.better),
        "harm_at": None if judged.harm is None else 1 / judged.harm.claim.alpha,
        "act_at": None if judged.better is None else 1 / judged.better.claim.alpha,
        "claims": [v.to_dict() for v in (judged.harm, judged.better) if v is not None],
        "units": judged.units,
        "labelled": judged.labelled,
        "waiting": judged.waiting,
        "value": None if shown is None else finite(shown.value),
        "low": None if shown is None else finite(shown.low),
        "high": None if shown is None else finite(shown.high),
        "rows": judged.rows,
        "trips": [{"name": t.name, "text": t.text, "outcome": t.verdict.outcome} for t in judged.trips],
    }


def _e(verdict: Verdict | None) -> float | None:
    if verdict is None or verdict.estimate.log_e_for is None:
        return None
    return finite(math.exp(min(verdict.estimate.log_e_for, 700.0)))


def _name(rollout: Rollout) -> str:
    share = f" {rollout.share:.0%}" if rollout.stage == "canary" else ""
    return f"{rollout.stage}{share} @{rollout.version}"


def _evidence(rollout: Rollout, judged: Judged) -> str:
    if judged.harm is None or judged.better is None:
        told = "shown not worse in the shadow" if rollout.proven else "no loss can be judged"
        return f"{told}; no trip in {judged.rows.get('candidate', 0):,} rows"
    harm, better = _e(judged.harm) or 0.0, _e(judged.better) or 0.0
    acts = f"each acts at {1 / judged.harm.claim.alpha:.0f} and {1 / judged.better.claim.alpha:.0f}"
    kind = "units" if rollout.stage == "shadow" else "blocks"
    return f"harm e {harm:.3g}, not-worse e {better:.3g}, {acts}; {judged.units:,} {kind}, {judged.waiting:,} wait"


def _harm_text(rollout: Rollout, verdict: Verdict) -> str:
    e = verdict.estimate
    return f"loss {_signed(e.value)} on {e.n:,} units is above the live version's, {verdict.because.split(';')[0]}"


def _better_text(rollout: Rollout, judged: Judged) -> str:
    if judged.better is None or judged.better.outcome != "supported":
        settled = timedelta(seconds=rollout.settle_s)
        return f"shown not worse in the shadow, and no trip in {settled} as canary"
    e = judged.better.estimate
    text = f"loss {_signed(e.value)} on {e.n:,} units is below {_signed(rollout.margin)}"
    if rollout.margin / 4 < e.value < rollout.margin:
        text += f"; between 0 and {_signed(rollout.margin)} which claim acts first is close to chance"
    return text


def _signed(x: float) -> str:
    return f"{x:+.4f}".replace("-", "−")


def _person(rollout: Rollout) -> str:
    to = "canary" if rollout.stage == "shadow" else "live"
    return f"a person decides: ambidex promote {rollout.ref} --to {to}"


def _settled(rollout: Rollout, now: datetime) -> bool:
    began = moment(rollout.staged)
    return began is not None and (now - began).total_seconds() >= rollout.settle_s


def _event(rollout: Rollout, state: str, judged: Judged | None) -> dict[str, Any]:
    body: dict[str, Any] = {"state": state, "stage": rollout.stage, "because": rollout.because}
    if judged is not None:
        figures = _figures(rollout, judged)
        body |= {k: figures[k] for k in ("harm_e", "better_e", "units", "value", "low", "high", "rows")}
    return {"verb": "rollout", "model": rollout.model, "version": rollout.version, "body": body}


def _alert(rollout: Rollout, level: str, text: str, now: datetime) -> dict[str, Any]:
    """Told once, and needs no acknowledgement: the act has been done."""
    identity = f"r{rollout.version}-{rollout.stage}-{rollout.outcome or rollout.state}-{rollout.staged[:19]}"
    body = {"id": identity, "level": level, "text": text, "since": stamp(now)}
    return {"verb": "alert", "model": rollout.model, "version": rollout.version, "body": body}
