"""From what became slow to why: rules over facts, the most specific first; nothing where no fact carries it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Cause", "Facts", "cause_of"]

Grade = Literal["strong", "some", "weak"]
CPU = ("parse", "features", "predict", "serialise")
MAIN = 0.5
"""Part of the change from which a stage is called the one."""
BUSY = 0.75
"""Share of the workers' time from which requests queue of themselves."""
NEAR_S = 150.0
"""An event so close to the beginning goes with it: two minutes, and the minute's own width."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a stretch of slow requests.

    Attributes:
        stages: As ``slowness.stage_changes`` gives them.
        attributes: As ``slowness.attributes_of`` gives them.
        rate: Requests a second, before and now.
        rows: Rows a request, before and now.
        busy: Share of the workers' time spent on requests, before and now.
        pause: Mean pause of the collector in a slow request, as a share of its time.
        labels: Share of the stretch's minutes, and of the others, in which labels came in.
        workers: By worker, the share of its requests that were slow.
        event: The event that goes with the beginning, or None.
        cold: Requests of a version just loaded, as a share of the slow.
    """

    stages: Sequence[Mapping[str, Any]]
    attributes: Sequence[Mapping[str, Any]]
    rate: tuple[float, float]
    rows: tuple[float, float]
    busy: tuple[float, float]
    pause: float
    labels: tuple[float, float]
    workers: Mapping[int, float]
    event: Mapping[str, Any] | None
    cold: float


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Why, and how well that is carried.

    Attributes:
        kind: A word: ``cold-start``, ``garbage-collector``, ``worker``, ``big-requests``, ``disk``, ``labels``,
            ``capacity``, ``neighbour``, ``feature-code``, ``model``, ``requests``, ``answers``.
        text: A sentence.
        grade: How strong the evidence is.
        do: The verb that helps, without ``ambidex``; empty where none does.
    """

    kind: str
    text: str
    grade: Grade
    do: str = ""


def cause_of(facts: Facts, model: str) -> Cause | None:
    """The cause that the facts carry best; None where none is carried."""
    first = facts.stages[0]
    has = {a["name"]: a for a in facts.attributes}
    # A first version has none before it to go back to, nor to be slower than.
    release = facts.event is not None and facts.event["verb"] == "promote" and facts.event.get("was") is not None
    if "cold" in has and facts.cold >= 0.5:
        return Cause(kind="cold-start", grade="strong", do="",
                     text="requests were answered by a version that had just been loaded")  # fmt: skip
    if "gc" in has and facts.pause >= 0.3:
        return Cause(kind="garbage-collector", grade=_grade(facts.pause, True),
                     text=f"pauses of the garbage collector are {facts.pause:.0%} of the slow time")  # fmt: skip
    if (bad := _bad_worker(facts)) is not None:
        return Cause(kind="worker", grade="strong", do=f"serve {model}",
                     text=f"worker {bad} is slow and the others are not; stop it, and it is replaced")  # fmt: skip
    grew = facts.rows[1] >= 1.3 * facts.rows[0]
    if "rows" in has and grew:
        told = has["rows"]
        return Cause(kind="big-requests", grade=_grade(told["slow"] - told["rest"], grew),
                     text=f"requests of {told['text']}: {told['slow']:.0%} of the slow, {told['rest']:.0%} of the rest",
                     do=f"score {model} TABLE --out FILE")  # fmt: skip
    if first["part"] < MAIN and not _even(facts):
        return None
    if first["stage"] == "log":
        return Cause(kind="disk", grade=_grade(first["part"], first["times"] >= 3), do="doctor",
                     text="writing the prediction log takes the time: the disk is slow or stalled")  # fmt: skip
    if first["stage"] == "queue":
        return _queued(facts, model)
    if _even(facts):
        return Cause(kind="neighbour", grade="some", do="",
                     text="every stage became slower alike, and the requests did not change: something else takes the "
                          "processor")  # fmt: skip
    kind, what = {
        "features": ("feature-code", "turning rows into features"),
        "predict": ("model", "the model itself"),
        "parse": ("requests", "reading the requests"),
        "serialise": ("answers", "writing the answers"),
    }[first["stage"]]
    do = f"rollback {model}" if release else f"bench {model}"
    return Cause(kind=kind, grade=_grade(first["part"], release), do=do,
                 text=f"{what} takes {first['times']:.1f} times as long" if first["times"] < 1e6
                 else f"{what} takes time that it did not take before")  # fmt: skip


def _grade(part: float, beside: bool) -> Grade:
    """Strong: most of the change, and something else that says the same."""
    return "strong" if part >= 0.7 and beside else "some" if part >= MAIN or beside else "weak"


def _bad_worker(facts: Facts) -> int | None:
    """The one worker that is slow, where there are others and they are not."""
    if len(facts.workers) < 2:
        return None
    ordered = sorted(facts.workers, key=lambda w: -facts.workers[w])
    worst, next_ = facts.workers[ordered[0]], facts.workers[ordered[1]]
    return ordered[0] if worst >= 0.02 and next_ <= worst / 4 else None


def _even(facts: Facts) -> bool:
    """All stages that need the processor became slower by about the same factor."""
    times = [s["times"] for s in facts.stages if s["stage"] in CPU and s["before"] > 1e-7]
    return len(times) >= 3 and min(times) >= 1.4 and max(times) <= 3 * min(times)


def _queued(facts: Facts, model: str) -> Cause | None:
    if facts.labels[0] >= 0.5 and facts.labels[0] - facts.labels[1] >= 0.4:
        return Cause(kind="labels", grade="some", do="",
                     text="requests waited while labels came in: joining them holds the server up")  # fmt: skip
    grew = facts.rate[1] / facts.rate[0] if facts.rate[0] else 1.0
    if grew >= 1.3 or facts.busy[1] >= BUSY:
        more = f"{grew:.1f} times the requests" if grew >= 1.3 else "the workers busy"
        return Cause(kind="capacity", grade=_grade(facts.stages[0]["part"], grew >= 1.3), do=f"bench {model}",
                     text=f"requests waited for their turn: {more}, {facts.busy[1]:.0%} of the workers' time in use; "
                          "more --workers, or fewer callers")  # fmt: skip
    if _even(facts):
        return Cause(kind="neighbour", grade="some", do="",
                     text="requests waited though they were not more, and every stage became slower: something else "
                          "takes the processor")  # fmt: skip
    return None
