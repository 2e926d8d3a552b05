"""The ML test score: 28 checks in four sections, most of them run here, the rest asked of people and dated.

Source: Breck, Cai, Nielsen, Salib & Sculley (2017), "The ML test score: a rubric for ML production readiness and
technical debt reduction", IEEE Big Data, tables I to IV and section VI: half a point for a check that people did and
wrote down, a whole one for a check that runs by itself; a section's points are the sum of its seven, and the score is
the least section's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from ambidex.delivery import readiness_checks as run
from ambidex.delivery.readiness_checks import Subject
from ambidex.errors import AmbidexError, UsageError, did_you_mean
from ambidex.records import Event

__all__ = ["ANSWERS", "RUBRIC", "SECTIONS", "STALE", "Check", "Item", "check_answer", "judge", "points_of", "raises"]

SECTIONS = ("data", "model", "infrastructure", "monitoring")
STALE = timedelta(days=180)
"""An answer of people counts for so long."""
ANSWERS = {"yes": 0.5, "automated": 1.0, "no": 0.0}
"""What people can say of a check -> its points: done and written down, done by a machine again and again, not done."""


@dataclass(frozen=True)
class Item:
    """One of the 28 checks.

    Attributes:
        id: Section and place in the paper's table.
        name: What must hold.
        check: The function that runs it; None: it is asked.
        do: What would earn it.
    """

    id: str
    name: str
    do: str
    check: Any = None

    @property
    def section(self) -> str:
        return self.id.rpartition("-")[0]


RUBRIC: tuple[Item, ...] = (
    Item("data-1", "what is expected of every input is in a schema",
         "mend the data, or package the model anew with the columns as they are", run.schema),
    Item("data-2", "every input is of use", "leave out the inputs that are named", run.useful_inputs),
    Item("data-3", "no input costs more than it brings", "list what each input costs to get, and answer"),
    Item("data-4", "inputs keep to the rules", "write never = [...] under [models.NAME] in ambidex.toml", run.rules),
    Item("data-5", "personal data is handled as the rules ask", "say per column what may be kept, and answer"),
    Item("data-6", "a new input can be added quickly", "add one, take the time, and answer"),
    Item("data-7", "the code of every input is tested", "mend what makes rows alone and rows together differ",
         run.inputs_tested),
    Item("model-1", "the recipe was reviewed by somebody else", "let a colleague read the recipe, and answer"),
    Item("model-2", "figures before and after release agree", "ambidex feedback NAME TABLE --id COL --label COL",
         run.offline_and_online),
    Item("model-3", "the settings were tuned", "ambidex train NAME --trials 20", run.tuned),
    Item("model-4", "what an old model costs is known", "ambidex train NAME on newer rows, and compare",
         run.staleness_known),
    Item("model-5", "a simpler model is not better", "promote the simpler model", run.not_simpler),
    Item("model-6", "quality holds on every slice that matters",
         "write slices = [...] under [models.NAME] in ambidex.toml", run.slices),
    Item("model-7", "it was tested for who is left out or harmed", "look at slices of protected groups, and answer"),
    Item("infrastructure-1", "training gives the same model again", "find the step without a seed", run.reproducible),
    Item("infrastructure-2", "the model's code is tested", "ambidex package the model anew", run.unit_tested),
    Item("infrastructure-3", "the whole road is tested, from rows to answers over HTTP",
         "ambidex test NAME@N --against URL", run.integrated),
    Item("infrastructure-4", "quality is judged before it serves", "ambidex gate NAME@N", run.judged),
    Item("infrastructure-5", "one prediction can be explained",
         "use a family whose parts add up: additive, boosted, forest", run.explained),
    Item("infrastructure-6", "it runs beside the live one before it serves",
         "ambidex promote NAME@N --to shadow (or canary)", run.canaried),
    Item("infrastructure-7", "there is a way back", "keep an earlier version that passed", run.way_back),
    Item("monitoring-1", "changes of what it depends on are told",
         "train again under today's libraries: ambidex train NAME", run.dependencies),
    Item("monitoring-2", "the rules on inputs hold in the newest data", "ambidex drift NAME TABLE", run.invariants),
    Item("monitoring-3", "training and serving compute the same", "score some rows: ambidex score NAME TABLE",
         run.no_skew),
    Item("monitoring-4", "the model is not too old",
         "write stale = \"30d\" under [models.NAME] in ambidex.toml, and retrain", run.not_stale),
    Item("monitoring-5", "outputs are finite numbers whatever comes", "mend the model", run.stable),
    Item("monitoring-6", "scoring is as fast as it must be",
         "write limits.latency_ms under [models.NAME] in ambidex.toml", run.fast_enough),
    Item("monitoring-7", "quality has not fallen on the newest rows", "ambidex retrain NAME", run.quality_kept),
)  # fmt: skip


@dataclass(frozen=True)
class Check:
    """One check as it came out.

    Attributes:
        item: Which.
        passed: None: nobody has answered yet.
        points: 0, .5 or 1.
        what: What was seen, or who said what when.
    """

    item: Item
    passed: bool | None
    points: float
    what: str

    @property
    def kind(self) -> Literal["automatic", "asked"]:
        return "asked" if self.item.check is None else "automatic"

    def to_dict(self) -> dict[str, Any]:
        """The object of the JSON contract."""
        return {
            "id": self.item.id, "section": self.item.section, "name": self.item.name, "kind": self.kind,
            "passed": self.passed, "points": self.points, "what": self.what, "do": self.item.do,
        }  # fmt: skip


def judge(subject: Subject) -> list[Check]:
    """All 28, in the paper's order; a check that raises has failed, and says with what."""
    answers = _answers(subject.events, subject.now)
    found = []
    for item in RUBRIC:
        if item.check is None:
            found.append(_asked(item, answers.get(item.id), subject.now))
            continue
        try:
            passed, what = item.check(subject)
        except AmbidexError as error:
            passed, what = False, error.message
        except Exception as error:
            passed, what = False, f"{type(error).__name__}: {error}"
        found.append(Check(item, passed, float(passed), what))
    return found


def points_of(checks: Sequence[Check]) -> dict[str, float]:
    """Points by section; the score is the least."""
    return {s: sum(c.points for c in checks if c.item.section == s) for s in SECTIONS}


def raises(checks: Sequence[Check]) -> list[Check]:
    """What would raise the score next: the checks of the least sections that have not all their points.

    Those that a machine runs come first.
    """
    points = points_of(checks)
    least = min(points.values())
    open_ = [c for c in checks if points[c.item.section] == least and c.points < 1]
    return sorted(open_, key=lambda c: (c.kind == "asked", c.points))


def check_answer(text: str) -> tuple[str, str]:
    """``ID=yes|automated|no`` in its two parts.

    Raises:
        UsageError: ``usage.value`` for a check that is not asked, or another word.

    >>> check_answer("data-5=yes")
    ('data-5', 'yes')
    """
    name, _, word = str(text).partition("=")
    name, word = name.strip(), word.strip().lower()
    asked = [item.id for item in RUBRIC if item.check is None]
    if name not in asked or word not in ANSWERS:
        wrong, known = (name, asked) if name not in asked else (word, list(ANSWERS))
        raise UsageError(
            "usage.value", f"{str(text)[:60]!r} is no answer{did_you_mean(wrong, known)}", where="--answer",
            found=f"{', '.join(asked)}, each = {', '.join(ANSWERS)}", do="--answer data-5=yes",
        )  # fmt: skip
    return name, word


def _answers(events: Iterable[Event], now: datetime) -> Mapping[str, Event]:
    del now
    return {str(e.body["id"]): e for e in events if e.verb == "checked"}


def _asked(item: Item, said: Event | None, now: datetime) -> Check:
    if said is None:
        return Check(item, None, 0.0, f"not answered: --answer {item.id}=yes, automated or no")
    word, day = str(said.body["value"]), said.at[:10]
    because = f": {said.body['because']}" if said.body.get("because") else ""
    if now - datetime.fromisoformat(said.at) > STALE:
        return Check(item, None, 0.0, f"{said.by} said {word} on {day}, more than {STALE.days} days ago; answer again")
    points = ANSWERS.get(word, 0.0)
    return Check(item, points > 0, points, f"{said.by} said {word} on {day}{because}")
