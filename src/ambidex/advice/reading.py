"""What a text asks for, sentence by sentence: which area, which side, a duty or a wish."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from ambidex.advice.lexicon import AREAS, OTHERS, Phrases, lexicon, words
from ambidex.advice.sentences import Sentence, split

__all__ = ["Line", "read_lines"]

Force = Literal["duty", "requirement", "wish"]

COUNTS: dict[Force, float] = {"duty": 1.0, "requirement": 0.5, "wish": 0.25}


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence about work.

    Attributes:
        sentence: Where it stands.
        force: A duty, a requirement or a wish.
        areas: Area -> how clearly it is named, 0.4 for a hint, 1 or more if outright.
        others: The same for work of other trades (data engineering, reporting, ...).
        side: ``explore``, ``deliver``, ``model`` or empty.
        lent: True if the delivery it names is done by somebody else.
    """

    sentence: Sentence
    force: Force
    areas: dict[str, float]
    others: dict[str, float]
    side: str
    lent: bool = False

    @property
    def count(self) -> float:
        """How much it counts."""
        return COUNTS[self.force]


@dataclass(frozen=True)
class _Matchers:
    areas: Phrases
    marks: Phrases
    heads: dict[str, str]
    verbs: frozenset[str]
    sides: dict[str, str]


@cache
def _matchers() -> _Matchers:
    known = lexicon()
    groups = {a: known["areas"][a]["phrases"] for a in AREAS} | {f"other:{o}": known["other"][o] for o in OTHERS}
    marks = {m: known[m] for m in ("duty", "requirement", "wish", "handed_over", "negated", "aside")}
    heads = {h: section for section, names in known["sections"].items() for h in names}
    verbs = set(known["duty_verbs"])
    verbs |= {_ing(v) for v in verbs}
    return _Matchers(
        Phrases(groups), Phrases(marks), heads, frozenset(verbs), {a: known["areas"][a]["side"] for a in AREAS}
    )


def _ing(verb: str) -> str:
    if verb.endswith("e") and not verb.endswith("ee"):
        return verb[:-1] + "ing"
    return verb + ("ning" if verb in ("plan", "run") else "ting" if verb == "set" else "ing")


def read_lines(text: str) -> tuple[list[Line], list[Sentence]]:
    """The sentences about work, read; and the others (company, benefits, legal).

    >>> lines, _ = read_lines("Responsibilities\\nDeploy models to production.\\nPresent findings to stakeholders.")
    >>> [(line.side, line.force) for line in lines]
    [('deliver', 'duty'), ('explore', 'duty')]
    """
    m = _matchers()
    lines, rest = [], []
    section = ""
    for sentence in split(text):
        head = _head(sentence.text, m)
        if head is not None:
            section = head
            if len(sentence.text) < 60:
                continue
        tokens = words(sentence.text)
        if len(tokens) < 2:
            continue
        line = _read(sentence, tokens, section, m)
        if line is None:
            rest.append(sentence)
        else:
            lines.append(line)
    return lines, rest


def _head(text: str, m: _Matchers) -> str | None:
    """The section that a heading opens, or None if this is none."""
    if len(text) > 70:
        return None
    plain = re.sub(r"[^a-z'’ &]", " ", text.lower()).strip()
    plain = re.sub(r"\s+", " ", plain)
    if plain in m.heads:
        return m.heads[plain]
    if text.rstrip().endswith(":") or len(plain.split()) <= 5:
        for head, section in m.heads.items():
            if (plain.startswith(head + " ") and len(plain) - len(head) < 25) or plain.endswith(" " + head):
                return section
    return None


def _read(sentence: Sentence, tokens: list[str], section: str, m: _Matchers) -> Line | None:
    marks = {tag for tag, _, _ in m.marks.found(tokens)}
    areas: dict[str, float] = {}
    others: dict[str, float] = {}
    for tag, weight, _ in m.areas.found(tokens):
        if tag.startswith("other:"):
            others[tag[6:]] = others.get(tag[6:], 0) + weight
        else:
            areas[tag] = areas.get(tag, 0) + weight
    starts = tokens[0] in m.verbs or (tokens[0].endswith("s") and tokens[0][:-1] in m.verbs)
    force: Force
    if "wish" in marks or section == "wish":
        force = "wish"
    elif starts or "duty" in marks:
        force = (
            "duty"
            if section != "requirement" or "duty" in marks or (starts and "requirement" not in marks)
            else "requirement"
        )
    elif "requirement" in marks or section == "requirement":
        force = "requirement"
    else:
        force = "duty" if section == "duty" else "requirement"
    if "negated" in marks and "duty" not in marks:
        return None
    if ("aside" in marks or section == "aside") and not ((starts or "duty" in marks) and areas):
        return None
    if not areas and not others:
        return None if not (starts or "duty" in marks) else Line(sentence, force, {}, {}, "")
    lent = "handed_over" in marks
    return Line(sentence, force, areas, others, _side(areas, m.sides, lent), lent)


def _side(areas: dict[str, float], sides: dict[str, str], lent: bool) -> str:
    total = {"explore": 0.0, "deliver": 0.0, "model": 0.0}
    for area, weight in areas.items():
        if sides[area]:
            total[sides[area]] += min(weight, 2.0)
    if lent:
        total["deliver"] *= 0.3
    best = max(("explore", "deliver"), key=lambda s: total[s])
    if total[best] >= 0.8 and total[best] >= 0.6 * total["model"]:
        return best if abs(total["explore"] - total["deliver"]) > 0.3 else "model" if total["model"] >= 0.8 else ""
    return "model" if total["model"] >= 0.8 else ""


def sides_of(lines: Sequence[Line]) -> dict[str, int]:
    """Sentences of each side."""
    return {s: sum(line.side == s for line in lines) for s in ("explore", "deliver", "model")}
