"""Roll-outs begin here, and here their pointers move: what the watcher decides, these hands do.

A roll-out begins when a version goes to ``shadow`` or ``canary`` beside a live one. What was declared (margin, alpha,
share, deadline, who decides) is written down then, from its ROLLOUT.json or else from ``[rollout]``, and holds to its
end.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal, cast

from ambidex.delivery import release
from ambidex.delivery.rollout_plan import RolloutPlan, newest_plan, plan_fault
from ambidex.ports import Fence, Place
from ambidex.records import Event, Judgement, ModelState, Rollout
from ambidex.report.answer import Mark, Result
from ambidex.settings import duration

__all__ = ["Mover", "begin", "open_rollout", "start", "told"]

STAGES = ("shadow", "canary")


def open_rollout(place: Place, name: str) -> Rollout | None:
    """The roll-out of a model that has not ended, or None."""
    kept = place.store.document(f"rollout/{name}")
    if kept is None:
        return None
    rollout = Rollout.from_json(kept)
    return rollout if rollout.open else None


def start(
    place: Place, name: str, number: int, *, to: str, dry_run: bool = False, fence: Fence | None = None
) -> tuple[Judgement, Event | None, Rollout | None]:
    """Move a pointer behind its gates; to ``shadow`` or ``canary`` beside a live version, begin a roll-out.

    Returns:
        The gates, the move's event (None in a dry run), and the roll-out, if one runs now.

    Raises:
        Refused: As ``release.promote``; ``check.altered`` if the version's ROLLOUT.json was edited.
    """
    if to in STAGES:
        newest_plan(place, name, number, checked=True)
    judgement, event = release.promote(place, name, number, to=to, dry_run=dry_run, fence=fence)
    if dry_run or to not in STAGES:
        return judgement, event, None
    return judgement, event, begin(place, name, number, to)


def begin(place: Place, name: str, number: int, stage: str) -> Rollout | None:
    """Write down that a roll-out runs, if none is written down: what a kill left undone is done by the next step.

    Another candidate's roll-out ends as replaced. A candidate that was shown to be not worse in the shadow brings that
    along to the canary.

    Returns:
        The roll-out; None where nothing else is live, so that there is nothing to compare with.
    """
    state = place.store.model(name)
    if state.live is None or state.live == number:
        return None
    before = open_rollout(place, name)
    if before is not None and (before.version, before.stage) == (number, stage):
        return before
    rollout = _declared(place, state, number, stage)
    events: list[dict[str, Any]] = []
    if before is not None and before.version == number and before.stage == "shadow":
        rollout = replace(rollout, proven=before.proven or before.state == "ready", started=before.started)
    elif before is not None:
        body = {"state": "replaced", "stage": before.stage, "because": f"{name}@{number} took its place"}
        events.append({"verb": "rollout", "model": name, "version": before.version, "body": body})
    told = {
        k: getattr(rollout, k) for k in ("stage", "against", "share", "margin", "alpha", "deadline", "decides", "plan")
    }
    body = {"state": "started", **told, "because": _because(rollout)}
    events.append({"verb": "rollout", "model": name, "version": number, "body": body})
    place.store.put_document(f"rollout/{name}", rollout.to_json(), events=events)
    if before is not None and getattr(place.store.model(name), before.stage) == before.version:
        Mover(place).clear(name, before.stage, because=f"{name}@{number} took its place", pause=None)
    return rollout


def _declared(place: Place, state: ModelState, number: int, stage: str) -> Rollout:
    """What holds for this roll-out: its plan's words, else the settings'."""
    settings, model = place.settings.rollout, place.settings.models.get(state.name)
    plan: RolloutPlan | None = newest_plan(place, state.name, number)
    now = place.clock()
    horizon = duration(model.horizon) if model is not None and model.horizon else None
    days = duration(settings.deadline) if plan is None else plan.deadline_days * 86_400.0
    policy = "candidate" if model is None else model.policy
    assert state.live is not None
    return Rollout(
        model=state.name,
        version=number,
        against=state.live,
        stage=cast(Literal["shadow", "canary"], stage),
        share=settings.share if plan is None else plan.share,
        started=release.stamp(now),
        staged=release.stamp(now),
        deadline=release.stamp(now + timedelta(seconds=days)),
        margin=settings.margin if plan is None else plan.margin,
        alpha=settings.alpha if plan is None else plan.alpha,
        cap=1.0 if model is None else model.loss_cap,
        horizon_s=horizon if plan is None else plan.horizon_days * 86_400.0 or None,
        decides=("watch" if policy == "live" else "person") if plan is None else plan.decides,
        settle_s=duration(settings.settle),
        plan=None if plan is None else plan.sha256,
    )


def _because(rollout: Rollout) -> str:
    asked = f"compared with @{rollout.against}; rolled back if worse, on if below +{rollout.margin:g}"
    return f"{asked}; {'watch decides' if rollout.decides == 'watch' else 'a person decides'} on live"


def told(moved: Result, rollout: Rollout) -> Result:
    """What ``promote`` says of the roll-out that it began."""
    where = "beside live, answers unseen" if rollout.stage == "shadow" else f"{rollout.share:.0%} of the units, sticky"
    lines: list[tuple[Mark, str]] = [
        *moved.lines,
        (" ", f"{where}; compared with @{rollout.against} until {rollout.deadline[:10]}"),
        (" ", f"rolled back if its loss is above, on if below {rollout.margin:+g}; alpha {rollout.alpha:g}"),
        (" ", "held to " + (f"its plan {rollout.plan[:12]}" if rollout.plan else "[rollout] of ambidex.toml")),
    ]
    keys = ("stage", "against", "share", "deadline", "margin", "alpha", "decides", "plan")
    data = {**moved.data, "rollout": {k: getattr(rollout, k) for k in keys}}
    return replace(moved, data=data, lines=tuple(lines), next=("ambidex watch --once",))


class Mover:
    """The hands of the watcher (``watch.rollout.Hands``).

    Args:
        place: The workspace.
    """

    def __init__(self, place: Place) -> None:
        self._place = place

    def begin(self, model: str, version: int, stage: str) -> Rollout | None:
        """See ``begin``."""
        return begin(self._place, model, version, stage)

    def promote(self, model: str, version: int, to: str) -> None:
        """Move a pointer behind its gates, judged anew if they are not fresh."""
        release.promote(self._place, model, version, to=to)

    def clear(self, model: str, pointer: str, *, because: str, pause: str | None) -> None:
        """Take a pointer away; ``pause`` pauses retraining in the same transaction."""
        self._place.store.move(
            model=model, to=pointer, version=None, expected_revision=self._place.store.model(model).revision,
            verb="promote", judgement=None, max_age_s=0.0, because=because, pause=pause,
        )  # fmt: skip

    def fault(self, rollout: Rollout) -> str | None:
        """Why the plan may not promote any more, or None."""
        return plan_fault(self._place, rollout)
