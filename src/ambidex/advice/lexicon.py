"""The words of the work: phrases by area, matched word by word."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

__all__ = ["AREAS", "OTHERS", "Phrases", "lexicon", "words"]

AREAS = ("statistics", "software", "modelling", "analysis", "infrastructure", "mlops", "communication", "domain")
OTHERS = ("data_engineering", "reporting", "management", "selling", "plain_software")

WEAK = 0.4
GAP = 4
"""Most words that … stands for."""

_WORD = re.compile(r"[a-z0-9][a-z0-9+#&'’./@-]*|\.net\b")


def words(text: str) -> list[str]:
    """Words in lower case; ``c++``, ``a/b`` and ``node.js`` stay whole.

    >>> words("Deploy A/B tests in C++, daily.")
    ['deploy', 'a/b', 'tests', 'in', 'c++', 'daily']
    """
    return [w.rstrip(".'’/-&") for w in _WORD.findall(text.lower())]


@dataclass(frozen=True, slots=True)
class _Phrase:
    parts: tuple[tuple[str, bool], ...]  # (letters, any ending)
    gaps: frozenset[int]  # before which part others may stand
    weight: float
    tag: str


class Phrases:
    """Phrases under their tags, found in one walk over the words of a sentence."""

    def __init__(self, groups: Mapping[str, Iterable[str]]) -> None:
        self._whole: dict[str, list[_Phrase]] = {}
        self._begun: dict[str, list[_Phrase]] = {}
        for tag, phrases in groups.items():
            for phrase in phrases:
                self._add(tag, phrase)

    def _add(self, tag: str, phrase: str) -> None:
        weight = 1.0
        if phrase.startswith("~"):
            phrase, weight = phrase[1:], WEAK
        parts: list[tuple[str, bool]] = []
        gaps: set[int] = set()
        for part in phrase.split():
            if part == "…":
                gaps.add(len(parts))
            else:
                parts.append((part.rstrip("*"), part.endswith("*")))
        known = _Phrase(tuple(parts), frozenset(gaps), weight, tag)
        first, open_ = parts[0]
        if open_:
            self._begun.setdefault(first[:3], []).append(known)
        else:
            self._whole.setdefault(first, []).append(known)

    def found(self, text: list[str]) -> Iterator[tuple[str, float, int]]:
        """(tag, weight, place) of each phrase that occurs."""
        for i, word in enumerate(text):
            for phrase in self._whole.get(word, ()):
                if _follows(phrase, text, i):
                    yield phrase.tag, phrase.weight, i
            for phrase in self._begun.get(word[:3], ()):
                if word.startswith(phrase.parts[0][0]) and _follows(phrase, text, i):
                    yield phrase.tag, phrase.weight, i

    def any(self, text: list[str]) -> bool:
        """True if one of them occurs."""
        return next(self.found(text), None) is not None


def _follows(phrase: _Phrase, text: list[str], at: int) -> bool:
    place = at + 1
    for k in range(1, len(phrase.parts)):
        letters, open_ = phrase.parts[k]
        last = place + (GAP if k in phrase.gaps else 0)
        while place <= last and place < len(text):
            word = text[place]
            if word == letters or (open_ and word.startswith(letters)):
                break
            place += 1
        else:
            return False
        if place > last or place >= len(text):
            return False
        place += 1
    return True


@cache
def lexicon() -> dict[str, Any]:
    """The lexicon as it ships."""
    found: dict[str, Any] = json.loads(resources.files("ambidex.advice").joinpath("lexicon.json").read_text("utf-8"))
    return found
