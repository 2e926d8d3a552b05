"""``role``: whose work a job posting or a brief really describes, sentence by sentence, with the places."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from ambidex.advice.features import area_scores, balance, features, level_of, likeness
from ambidex.advice.lexicon import AREAS, OTHERS
from ambidex.advice.posting import Kind, Posting, is_english, is_personal, kind_of, title_of
from ambidex.advice.reading import Line, read_lines
from ambidex.errors import UsageError, did_you_mean
from ambidex.report.answer import Mark, Result
from ambidex.report.words import plural

__all__ = ["EXPECTED", "as_result", "expected", "read_role", "rewrite", "shown"]

EXPECTED = ("data_scientist", "ml_engineer", "both_in_one", "overlap", "neither", "cannot_say")

FEWEST_WORDS = 60
FEWEST_IN_BRIEF = 20
FEWEST_SENTENCES = 2
NEAR = 0.25
"""A second reading is named from this share on."""

SIDES = {"explore": "exploration", "deliver": "delivery", "model": "modelling", "": ""}
NAMES = {
    "data_scientist": "a data scientist's work",
    "ml_engineer": "an ML engineer's work",
    "both_in_one": "two jobs in one: a data scientist's and an ML engineer's",
    "overlap": "work in the overlap: building models, and either shipping them or doing research",
    "neither": "neither a data scientist's nor an ML engineer's work",
    "cannot_say": "not clear",
}
_TRADES = {
    "data_engineering": "Data Engineer", "reporting": "Data Analyst", "management": "Analytics Manager",
    "selling": "Solutions Architect", "plain_software": "Software Engineer",
}  # fmt: skip
_TITLES = (
    (re.compile(r"(?:business|data|bi|reporting|marketing|product) analyst", re.I), ("neither", "data_scientist")),
    (re.compile(r"data scientist.*(?:machine learning|\bml\b|\bai\b)", re.I), ("data_scientist", "overlap")),
    (re.compile(r"data scien.*(?:engineer|mlops)|(?:engineer|mlops).*data scien", re.I), ("both_in_one", "overlap")),
    (
        re.compile(r"applied (?:scientist|science)|research (?:scientist|engineer)|scientist.*machine learning", re.I),
        ("overlap", "data_scientist", "ml_engineer"),
    ),
    (
        re.compile(
            r"(?:machine learning|\bml\b|\bai\b|deep learning).*(?:engineer|developer|architect)|mlops|"
            r"(?:engineer|developer|architect).*(?:machine learning|\bml\b|\bai\b|deep learning)",
            re.I,
        ),
        ("ml_engineer", "overlap"),
    ),
    (re.compile(r"data scien|scientist", re.I), ("data_scientist", "overlap")),
    (
        re.compile(r"analyst|data engineer|manager|director|software|developer|architect|consultant|engineer", re.I),
        ("neither",),
    ),
)


def expected(said: str) -> str:
    """A reading by its name, hyphens or underscores, or a usage error with the neighbours."""
    name = said.strip().lower().replace("-", "_")
    if name not in EXPECTED:
        raise UsageError(
            "usage.value", f"there is no reading {said!r}{did_you_mean(name, EXPECTED)}", where="option --expect",
            found=", ".join(EXPECTED), do="--expect data_scientist",
        )  # fmt: skip
    return name


def read_role(posting: Posting, *, kind: Kind | None = None) -> dict[str, Any]:
    """The reading as the contract's ``data``.

    Args:
        posting: The text.
        kind: What it is; told from the text if None.

    >>> from ambidex.advice.posting import read_posting
    >>> read_role(read_posting(b"Data Scientist wanted.", "x.txt"))["reading"]
    'cannot_say'
    """
    kind = kind or kind_of(posting.plain)
    lines, _ = read_lines(posting.plain)
    if kind == "cv":
        lines = [line for line in lines if not is_personal(line.sentence.text)]
    title = None if kind == "cv" else title_of(posting.plain)
    if title is not None:  # a title is a word for the work, not a sentence about it
        lines = [
            line
            for line in lines
            if not line.sentence.start <= title[1] < line.sentence.end or len(line.sentence.text) > 1.5 * len(title[0])
        ]
    counted = {s: [line for line in lines if line.side == s] for s in ("explore", "deliver", "model")}
    why = _cannot(posting.plain, kind, lines, counted)
    reading, also = ("cannot_say", None) if why else _read(kind, counted, likeness(features(lines, posting.plain)))
    scores = area_scores(lines)
    fits = None if title is None or why else _fits(title[0], reading, also)
    split = {
        "data_scientist": _spans(posting, [*counted["explore"], *counted["model"]]),
        "ml_engineer": _spans(posting, counted["deliver"]),
    }
    return {
        "kind": kind,
        "title": None if title is None else title[0],
        "reading": reading,
        "also": also,
        "mixed": _mixed(reading, counted),
        "areas": {
            a: {"level": level_of(a, scores[a]), "evidence": _spans(posting, _best(lines, a))} for a in AREAS
        },
        "exploration": {"sentences": len(counted["explore"])},
        "delivery": {"sentences": len(counted["deliver"])},
        "modelling": {"sentences": len(counted["model"])},
        "balance": round(balance(lines), 3),
        "evidence": [
            {**_span(posting, line), "area": _main_area(line), "side": SIDES[line.side], "force": line.force}
            for line in shown(lines)
        ],
        "title_fits": fits,
        "suggested_title": _suggested(reading, lines, fits),
        "against_title": _spans(posting, _against(title[0], counted)) if title and fits is False else [],
        "cut": _spans(posting, _to_cut(reading, counted)),
        "split": split if reading == "both_in_one" else {"data_scientist": [], "ml_engineer": []},
        "why_not": why,
        "warnings": _warnings(kind, posting.name),
    }  # fmt: skip


def _read(kind: str, counted: dict[str, list[Line]], like: dict[str, float]) -> tuple[str, str | None]:
    """The reading, and a near second."""
    order = sorted(like, key=lambda r: -like[r])
    few, many = sorted(len(counted[s]) for s in ("explore", "deliver"))
    if kind == "brief":  # weights were fitted on postings; a list of questions or days is counted
        if few >= 2 and few >= 0.4 * many:
            return "both_in_one", None
        if many >= 2:
            side = "data_scientist" if len(counted["explore"]) == many else "ml_engineer"
            return side, "overlap" if len(counted["model"]) > many else None
        return "overlap", None
    return order[0], order[1] if like[order[1]] >= NEAR else None


def shown(lines: Sequence[Line]) -> list[Line]:
    """Sentences that say most about the work, the clearest first, twelve at most: duties before wishes."""
    telling = [line for line in lines if line.side]

    def weight(line: Line) -> float:
        named = sum(min(w, 2.0) for a, w in line.areas.items() if a != "domain")
        length = len(line.sentence.text)
        return line.count * named * min(1.0, length / 80) / (1 + max(0, length - 400) / 200)

    return sorted(telling, key=lambda line: (-weight(line), line.sentence.start))[:12]


def _cannot(plain: str, kind: str, lines: Sequence[Line], counted: dict[str, list[Line]]) -> str:
    words = sum(len(line.sentence.text.split()) for line in lines)
    fewest = FEWEST_IN_BRIEF if kind == "brief" else FEWEST_WORDS
    if words < fewest:
        return f"{words} words about the work, and fewer than {fewest} do not show it"
    if not is_english(plain):
        return "the text is not English, and only English is read"
    others = sum(min(2.0, w) for line in lines for w in line.others.values())
    if all(len(counted[s]) < FEWEST_SENTENCES for s in ("explore", "deliver", "model")) and others < 2:
        return "fewer than two sentences of exploration, of delivery and of building models"
    return ""


def _mixed(reading: str, counted: dict[str, list[Line]]) -> str:
    if reading == "both_in_one":
        return "two_jobs"
    duties = {s: sum(line.force == "duty" for line in counted[s]) for s in ("explore", "deliver")}
    few, many = sorted(duties.values())
    return "some" if few >= 2 and few >= 0.4 * many else "none"


def _fits(title: str, reading: str, also: str | None) -> bool | None:
    for pattern, readings in _TITLES:
        if pattern.search(title):
            return reading in readings or (also is not None and also == readings[0])
    return None


def _suggested(reading: str, lines: Sequence[Line], fits: bool | None) -> str | None:
    if reading == "cannot_say" or fits:
        return None
    if reading == "neither":
        sums = {o: sum(line.count * min(line.others.get(o, 0.0), 2.0) for line in lines) for o in OTHERS}
        best = max(OTHERS, key=lambda o: sums[o])
        return _TRADES[best] if sums[best] >= 1 else None
    return {
        "data_scientist": "Data Scientist",
        "ml_engineer": "Machine Learning Engineer",
        "overlap": "Applied Scientist, Machine Learning",
        "both_in_one": "two postings: Data Scientist, and Machine Learning Engineer",
    }[reading]


def _against(title: str, counted: dict[str, list[Line]]) -> list[Line]:
    expected = next((r[0] for pattern, r in _TITLES if pattern.search(title)), "")
    side = {"ml_engineer": "explore", "data_scientist": "deliver"}.get(expected)
    lines = counted[side] if side else [*counted["explore"], *counted["deliver"], *counted["model"]]
    return sorted(lines, key=lambda line: -line.count)[:5]


def _to_cut(reading: str, counted: dict[str, list[Line]]) -> list[Line]:
    """Wishes and requirements of the other side; duties are work, and work is not cut by a word list."""
    other = {"data_scientist": "deliver", "ml_engineer": "explore"}.get(reading)
    return [line for line in counted[other] if line.force != "duty"] if other else []


def _best(lines: Sequence[Line], area: str) -> list[Line]:
    naming = [line for line in lines if line.areas.get(area, 0) >= 0.4]
    return sorted(naming, key=lambda line: (-line.count * min(line.areas[area], 2.0), line.sentence.start))[:2]


def _main_area(line: Line) -> str:
    asked = {a: w for a, w in line.areas.items() if a != "domain"} or line.areas
    return max(asked, key=lambda a: asked[a])


def _span(posting: Posting, line: Line) -> dict[str, Any]:
    start, end = line.sentence.start, line.sentence.end
    return {"text": posting.source[start:end], "start": start, "end": end}


def _spans(posting: Posting, lines: Iterable[Line]) -> list[dict[str, Any]]:
    return [_span(posting, line) for line in sorted(lines, key=lambda line: line.sentence.start)]


def _warnings(kind: str, name: str) -> list[str]:
    out = ["Read by words and rules made from one reader's labels of English postings; a person decides."]
    if kind == "cv":
        out = ["For its owner only: it shows which work a CV speaks of, not how well a person does it or fits."]
        out.append("Nothing was kept. Screening applicants by software is regulated in many places.")
    if name.lower().endswith(".pdf"):
        out.append("Places count the characters of the text that the PDF gave.")
    return out


def rewrite(posting: Posting, data: dict[str, Any]) -> str:
    """The posting for its one role, made only of the author's own sentences, and what was cut."""
    lines, _ = read_lines(posting.plain)
    reading = data["reading"]
    cut = {(c["start"], c["end"]) for c in data["cut"]}
    title = data["suggested_title"] or data["title"] or "Posting"
    parts = {"duty": "What you will do", "requirement": "What you need", "wish": "Nice to have"}
    halves: list[tuple[str, list[Line]]]
    if reading == "both_in_one":
        halves = [
            ("Data Scientist", [line for line in lines if line.side != "deliver"]),
            ("Machine Learning Engineer", [line for line in lines if line.side in ("deliver", "model")]),
        ]
    else:
        halves = [(title, [line for line in lines if (line.sentence.start, line.sentence.end) not in cut])]
    out = []
    for name, kept in halves:
        out += [f"# {name}", ""]
        for force, head in parts.items():
            texts = [_clean(line.sentence.text) for line in kept if line.force == force and (line.areas or line.others)]
            if texts:
                out += [f"## {head}", "", *(f"- {t}" for t in dict.fromkeys(texts)), ""]
    if data["cut"]:
        out += ["## Cut: wishes of another job", "", *(f"- {_clean(c['text'])}" for c in data["cut"]), ""]
    return "\n".join(out)


def _clean(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^<>]*>", " ", text)).strip(" -–•*#")


def as_result(data: dict[str, Any], *, expect: str | None = None, rewritten: str | None = None) -> Result:
    """The reading as the terminal shows it; not passed if another role was expected."""
    reading, also = data["reading"], data["also"]
    passed = expect is None or expect == reading
    explored, delivered, built = (data[s]["sentences"] for s in ("exploration", "delivery", "modelling"))
    mark: Mark = "■" if not passed else "▲" if reading == "cannot_say" else "✓"
    because = f" ({data['why_not']})" if data["why_not"] else ""
    near = f"; nearly {NAMES[also]}" if also else ""
    lines: list[tuple[Mark, str]] = [
        (mark, f"{plural(explored, 'sentence')} of exploration, {delivered} of delivery, {built} of building models"),
        (" ", f"reads as    {NAMES[reading]}{because}{near}"),
    ]
    if data["title"]:
        words = {True: "fits", False: "does not fit", None: "cannot be judged"}[data["title_fits"]]
        would = "would" if data["reading"] != "both_in_one" else "would be clearer"
        better = f"; {data['suggested_title']} {would}" if data["suggested_title"] else ""
        lines.append(
            (" " if data["title_fits"] is not False else "▲", f"title       “{data['title']}” {words}{better}")
        )
    asked = [f"{a} {v['level']}" for a, v in data["areas"].items()]
    lines.append((" ", f"asks for    {', '.join(asked)} (0 not, 3 core)"))
    for item in data["evidence"][:3]:
        lines.append((" ", f"{item['side']:<11} {_short(item['text'])}"))
    for item in data["cut"][:3]:
        lines.append((" ", f"{'could go':<11} {_short(item['text'])}"))
    if expect is not None and not passed:
        lines.append(("■", f"expected    {NAMES[expect]}"))
    lines += [(" ", w) for w in data["warnings"]]
    body = {**data, "rewritten": rewritten} if rewritten is not None else data
    return Result(
        verb="role", data=body, lines=tuple(lines), passed=passed,
        code=None if passed else "check.role",
        do=None if passed else "change the text, or --expect " + reading,
    )  # fmt: skip


def _short(text: str, width: int = 96) -> str:
    flat = _clean(text)
    return flat if len(flat) <= width else flat[: width - 1].rsplit(" ", 1)[0] + " …"
