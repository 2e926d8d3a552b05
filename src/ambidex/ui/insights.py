"""Answers, newest first; each opens its report."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

from ambidex.ui.looking import PAGE, Look, paged, when

__all__ = ["answer_document", "insights_page", "report_html"]

_STRENGTH = {
    "strong": ("ok", "●", "Strong evidence"),
    "some": ("warn", "▲", "Some evidence"),
    "weak": ("none", "○", "Weak evidence"),
}
_VERDICT = {
    "act": "act",
    "do-not-act": "do not act",
    "not-enough-evidence": "not decided yet",
    "cannot-answer": "cannot be answered",
}


def insights_page(look: Look) -> dict[str, Any]:
    """Answers by their events: the log is read from its end, the answers themselves only where they are shown."""
    verbs = ("profile", "drivers", "experiment", "plan", "segments", "campaign")
    verb = look.choice("verb", verbs)
    words = look.query.get("q", "").strip().casefold()[:100]
    page = look.whole("page", 1)
    newest = look.events("answer", limit=1)
    count = int(newest[0].body["number"]) if newest else 0
    if verb or words:
        events = look.events("answer", limit=10_000)
        events = [
            e
            for e in events
            if (not verb or e.body.get("verb") == verb) and words in str(e.body.get("headline", "")).casefold()
        ]
        pages = paged(len(events), page)
        events = events[pages["first"] - 1 if events else 0 : pages["last"]]
    else:
        pages = paged(count, page)
        events = look.events("answer", limit=pages["page"] * PAGE)
        events = events[(pages["page"] - 1) * PAGE :]
    rows = []
    for event in events:
        number = int(event.body["number"])
        told = look.attempt(f"answer/{number}", partial(look.desk.told, look.house, number), dict[str, Any]())
        stopped = told.get("verdict") == "cannot-answer"
        chip = (
            ("bad", "■", "Cannot be answered")
            if stopped
            else _STRENGTH.get(told.get("strength", ""), ("none", "○", "–"))
        )
        rows.append(
            {
                "answer": f"answer/{number}",
                "number": number,
                "at": event.at,
                "when": when(event.at, look.now),
                "verb": event.body.get("verb"),
                "headline": event.body.get("headline"),
                "question": told.get("question", ""),
                "advice": _VERDICT.get(told.get("verdict", ""), ""),
                "tone": chip[0],
                "mark": chip[1],
                "word": chip[2],
                "by": event.by,
            }
        )
    return {"answers": rows, "pages": pages, "verb": verb, "q": look.query.get("q", "")[:100], "verbs": list(verbs)}


def answer_document(look: Look, number: int) -> dict[str, Any]:
    """An answer as it was kept, with its name; without the model that `package` takes from it."""
    document = dict(look.house.store.answer(number))
    document.pop("model", None)
    return {**document, "answer": f"answer/{number}"}


def report_html(look: Look, number: int) -> str:
    """Its report, one page that needs nothing else. Answers never change, so it is drawn once."""
    import json

    return _page(json.dumps(answer_document(look, number), sort_keys=True))


@lru_cache(maxsize=64)
def _page(text: str) -> str:
    import json

    from ambidex.report.page import page_html

    return page_html([json.loads(text)])
