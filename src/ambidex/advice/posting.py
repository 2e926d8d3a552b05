"""A posting as text: from Markdown, HTML or plain text, every place in it kept."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ambidex.errors import DataError, UsageError, did_you_mean

__all__ = ["Kind", "Posting", "check_kind", "is_english", "kind_of", "masked", "read_posting", "title_of"]

Kind = Literal["posting", "cv", "brief"]

MOST_BYTES = 2_000_000
"""Far more than any posting; reading more would only take time."""

SHORT = 2_000
"""Letters; a longer text without a word to applicants is still a posting."""

_TAG = re.compile(
    r"<!--.*?-->|<(script|style|head|svg|noscript)\b.*?</\1\s*>|<[a-zA-Z/!][^<>]*>", re.DOTALL | re.IGNORECASE
)
_BREAKING = re.compile(
    r"</?(p|div|li|ul|ol|br|h[1-6]|tr|td|th|section|article|header|footer|title|body)\b", re.IGNORECASE
)
_ENTITY = re.compile(
    r"&(?:nbsp|#160|amp|quot|lt|gt|rsquo|lsquo|ldquo|rdquo|bull|mdash|ndash|#\d{2,5}|#x[0-9a-fA-F]{2,5});"
)
_HTML = re.compile(r"<(?:html|body|div|p|li|ul|br|h[1-6]|!doctype)\b", re.IGNORECASE)
_PERSONAL = re.compile(
    r"[\w.+-]+@[\w-]+\.\w+|https?://|www\.|(?:\+|\b00)?\d[\d ()/.-]{7,}\d|linkedin\.com|"
    r"\b(?:born|date of birth|birth ?date|d\.o\.b|dob|nationality|marital|gender|photo|address|age)\b\s*:?",
    re.IGNORECASE,
)
_CV = re.compile(
    r"\b(?:curriculum vitae|résumé|employment history|work history|professional experience|date of birth|"
    r"references available|marital status|cv of|personal statement|career objective)\b",
    re.IGNORECASE,
)
_YEARS = re.compile(r"\b(?:19|20)\d\d\s*(?:[-–—]|to)\s*(?:(?:19|20)\d\d|present|now|today|current)\b", re.IGNORECASE)
_FIRST_PERSON = re.compile(
    r"\bI (?:am|have|was|built|led|worked|developed|deployed|analy[sz]ed)\b|\bmy (?:role|work|thesis)\b", re.I
)
_OFFER = re.compile(
    r"\b(?:we are (?:looking|seeking|hiring)|you will|you'll|the (?:ideal|successful) candidate|apply|applicants|"
    r"qualifications|requirements|responsibilities|join (?:us|our))\b",
    re.IGNORECASE,
)
_COMMON = frozenset(
    re.findall(
        r"\w+",
        "the of and to in a is for with on as are be by or an at from this that will you your we our it have not can",
    )
)
_TITLE = re.compile(
    r"\b(scientist|engineer|analyst|developer|architect|manager|lead|director|researcher|specialist|consultant|head)\b",
    re.IGNORECASE,
)
_LABELLED = re.compile(r"^\s*(?:#+\s*)?(?:job )?(?:title|position|role)\s*[:–-]\s*(.+)$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Posting:
    """A text and how it is to be read.

    Attributes:
        name: As shown.
        source: The text as it was given; spans count its characters.
        plain: Of the same length, with markup blanked.
    """

    name: str
    source: str
    plain: str


def read_posting(raw: bytes, name: str) -> Posting:
    """Decode and blank the markup.

    Raises:
        DataError: ``advice.empty``, ``advice.too-large``, ``data.encoding``.
    """
    if len(raw) > MOST_BYTES:
        raise DataError(
            "advice.too-large",
            f"{name} has {len(raw) / 1e6:.1f} MB, and a posting has less than {MOST_BYTES / 1e6:.0f}",
            where=name,
            do="give one posting at a time",
        )
    try:
        source = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        source = raw.decode("cp1252", errors="replace")
    if "\x00" in source:
        raise DataError(
            "advice.no-text", f"{name} is not text", where=name, found="binary data",
            do="save it as text, Markdown, HTML or PDF",
        )  # fmt: skip
    plain = masked(source)
    if not plain.strip():
        raise DataError("advice.empty", f"{name} holds no text", where=name, do="ambidex role posting.txt")
    return Posting(name, source, plain)


def masked(source: str) -> str:
    """The text with its markup blanked, as long as before, so that every place stays where it is.

    >>> masked("<p>Build <b>models</b></p>")
    '\\n  Build    models    \\n   '
    """
    if not _HTML.search(source):
        return source

    def blank(found: re.Match[str]) -> str:
        inside = found.group()
        return ("\n" if _BREAKING.match(inside) else " ") + " " * (len(inside) - 1)

    text = _TAG.sub(blank, source)
    return _ENTITY.sub(lambda e: ("&" if e.group() == "&amp;" else " ") + " " * (len(e.group()) - 1), text)


def is_english(plain: str) -> bool:
    """True if as many of its words are common English ones as in any English text.

    >>> is_english("Wir suchen eine Person, die Modelle baut und in Betrieb nimmt."), is_english("You will build it.")
    (False, True)
    """
    found = re.findall(r"[^\W\d_]+", plain.lower())[:5000]
    return bool(found) and sum(w in _COMMON for w in found) / len(found) >= 0.12


def kind_of(plain: str) -> Kind:
    """A CV speaks of a person's past, a posting to an applicant; a short text that does neither is a brief."""
    offers = len(_OFFER.findall(plain))
    past = len(_CV.findall(plain)) + (len(_YEARS.findall(plain)) >= 2) + (len(_FIRST_PERSON.findall(plain)) >= 2)
    past += bool(re.search(r"[\w.+-]+@[\w-]+\.\w+", plain))
    if past >= 2 and offers <= 1:
        return "cv"
    return "brief" if offers == 0 and len(plain) < SHORT else "posting"


def check_kind(said: str | None) -> Kind | None:
    """One of the kinds, or a usage error."""
    kinds: dict[str, Kind] = {"posting": "posting", "cv": "cv", "brief": "brief"}
    if said is None:
        return None
    if said.lower() not in kinds:
        raise UsageError(
            "usage.value", f"there is no kind {said!r}{did_you_mean(said, kinds)}", where="option --kind",
            found=", ".join(kinds), do="--kind posting",
        )  # fmt: skip
    return kinds[said.lower()]


def is_personal(text: str) -> bool:
    """True for a line that may name, date or place a person; such lines are never shown."""
    return bool(_PERSONAL.search(text))


def title_of(plain: str) -> tuple[str, int] | None:
    """The title and where it starts, where the text begins with one or labels it."""
    if labelled := _LABELLED.search(plain[:2000]):
        title = labelled.group(1).strip()
        if _TITLE.search(title) and len(title) <= 100:
            return title, labelled.start(1)
    at = 0
    for line in plain[:1500].splitlines(keepends=True):
        words = line.strip(" \t\r\n#*_")
        if words:
            if len(words) <= 90 and _TITLE.search(words) and not words.endswith((".", ":", "!", "?")):
                return words, at + line.index(words)
            return None
        at += len(line)
    return None
