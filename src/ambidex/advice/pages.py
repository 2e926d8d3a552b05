"""Pages of ``next``, ``team`` and ``role``: the same data in the order that a reader needs it."""

from __future__ import annotations

from typing import Any, Literal

from ambidex.advice.facts import MEANING
from ambidex.advice.role import NAMES
from ambidex.report.answer import Answer, Caution, Figure, Finding, Recommendation
from ambidex.report.words import listing, plural

__all__ = ["page_of"]

_ROLES = {
    "data_scientist": "Exploration next: a data scientist's work",
    "ml_engineer": "Delivery next: an ML engineer's work",
    "engineer": "A data pipeline first: an engineer's work",
    "both": "Exploration and delivery, side by side",
    "in_sequence": "Exploration first, then delivery",
    "none": "Nothing asks for work now",
    "cannot_say": "Not known yet whose work comes first",
}
_PERSON = {
    "works": "can do both jobs here",
    "does_not_work": "cannot do both jobs here",
    "cannot_say": "cannot be said",
}


def page_of(verb: str, data: dict[str, Any]) -> Answer:
    """The answer whose page shows ``data``; it is not kept.

    Args:
        verb: ``next``, ``team`` or ``role``: what gave the data.
        data: Its ``to_dict()``.
    """
    return {"next": _next, "team": _team, "role": _role}[verb](data)


def _begun(text: str) -> str:
    return text[:1].upper() + text[1:]


def _next(data: dict[str, Any]) -> Answer:
    strength, signals = data["strength"], data["signals"]
    asked = sum(s["state"] == "unknown" for s in signals)
    known = len(signals) - asked
    yes = [s for s in signals if s["state"] == "yes"]
    rows = (
        {
            "label": "exploration",
            "value": strength["explore"],
            "of": strength["explore"],
            "side": "explore",
            "text": "",
        },
        {"label": "delivery", "value": strength["deliver"], "of": strength["deliver"], "side": "deliver", "text": ""},
        {"label": "not known", "value": 0, "of": asked, "side": "ask", "text": "only people can say" if asked else ""},
    )
    said = f"{strength['explore']} for exploration, {strength['deliver']} for delivery, {asked} not known"
    figure = Figure(
        form="pips",
        title="What points where",
        subtitle="signals read from this workspace",
        unit="count",
        rows=tuple(r for r in rows if r["of"]),
        sentence=said + ".",
    )
    person = data["one_person"]
    findings = [
        Finding(
            title=f"{said[0].upper()}{said[1:]}",
            text=f"{data['why'][0].upper()}{data['why'][1:]}.",
            strength="some",
            so_what=f"First: {data['first_task']['what']}.",
            how_sure=f"Read from the workspace as it is: {known} of {len(signals)} signals known. Counts, no odds.",
            figure=figure,
        ),
        *(
            Finding(
                title=MEANING[s["id"]][0].upper() + MEANING[s["id"]][1:] + (f": {s['value']}" if s["value"] else ""),
                text="",
                strength="some",
                so_what=f"Points to: {s['points']}.",
                how_sure="Seen: " + "; ".join(s["evidence"][:3]) + ".",
            )
            for s in yes[:4]
        ),
    ]
    changes = [
        f"If {c['id']} were {c['to']} ({MEANING[c['id']]}): {_ROLES[c['role']]}." for c in data["would_change"][:4]
    ]
    return Answer(
        verb="next",
        question="What does this project need now?",
        headline=_ROLES[data["role"]],
        strength="some" if data["role"] != "cannot_say" else "weak",
        recommendation=Recommendation(
            "not-enough-evidence" if data["role"] == "cannot_say" else "act",
            f"{_begun(data['first_task']['what'])}: `{data['first_task']['command']}`",
        ),
        numbers=(
            ("for exploration", str(strength["explore"]), "signals"),
            ("for delivery", str(strength["deliver"]), "signals"),
            ("one person", _PERSON[person["answer"]], "; ".join(person["because"])[:90]),
        ),
        findings=tuple(findings),
        unknowns=(*changes, *(f"Not known: {q['text']}" for q in data["questions"][:4])),
        method=f"Rule {data['rule']} of ten; the first that matches decides. Work is judged here, never people.",
        tables={
            "signals": [
                {"id": s["id"], "what": s["meaning"], "state": s["state"], "evidence": "; ".join(s["evidence"])}
                for s in signals
            ]
        },
    )


def _team(data: dict[str, Any]) -> Answer:
    rows = []
    for area, v in data["areas"].items():
        words = {
            "covered": "covered",
            "single": f"one holder: {v['holder']}",
            "gap": "gap",
            "unknown": "not said by most",
        }
        level = f"level {v['needed']}" if v["needed"] else "any level"
        side = {"covered": "ok", "single": "short", "gap": "gap", "unknown": "ask"}[v["state"]]
        rows.append(
            {
                "label": f"{area} ({level})",
                "value": v["reached"],
                "of": data["people"],
                "side": side,
                "text": words[v["state"]],
            }
        )
    gaps, single = data["gaps"], data["single"]
    work = {"both": "both jobs", "data-scientist": "a data scientist's work", "ml-engineer": "an ML engineer's work"}
    goal = work.get(data["for"], data["for"])
    head = f"Nobody reaches what {goal} needs in {listing(gaps)}" if gaps else f"The team reaches what {goal} needs"
    if single:
        head += f"; {listing(single)} {'hangs' if len(single) == 1 else 'hang'} on one person"
    figure = Figure(
        form="pips",
        title="Who reaches what the work needs",
        subtitle="filled: people who reach the level",
        unit="count",
        rows=tuple(rows),
        sentence=head + ".",
    )
    cross = [f"{c['person']} wants {c['to']}; to learn: {listing(c['learn']) or 'nothing'}" for c in data["crossover"]]
    act = (
        f"Close {listing(gaps)} first: learn, borrow or hire."
        if gaps
        else "Spread what one person holds."
        if single
        else "Nothing is missing."
    )
    return Answer(
        verb="team",
        question="Can this team do the work ahead?",
        headline=head,
        strength="some",
        recommendation=Recommendation("act" if gaps or single else "do-not-act", act),
        numbers=(
            ("people", str(data["people"]), "in the sheet"),
            ("gaps", str(len(gaps)), listing(gaps) or "none"),
            ("one holder only", str(len(single)), listing(single) or "none"),
        ),
        findings=(
            Finding(
                title=head,
                text="",
                strength="some",
                so_what=act,
                how_sure="Levels are what people said of themselves; a blank is not a level.",
                figure=figure,
            ),
        ),
        actions=tuple((c, "who wants it", "", "") for c in cross),
        unknowns=tuple(f"{a}: over half left it blank." for a in data["unknown"]),
        method="Levels the work needs against levels people said, by area: nobody is totalled or compared.",
    )


def _role(data: dict[str, Any]) -> Answer:
    n = {s: data[s]["sentences"] for s in ("exploration", "delivery", "modelling")}
    rows = tuple(
        {"label": label, "value": n[k], "of": n[k], "side": side, "text": ""}
        for k, label, side in (
            ("exploration", "exploration", "explore"),
            ("delivery", "delivery", "deliver"),
            ("modelling", "building models", "model"),
        )
        if n[k]
    )
    explored = plural(n["exploration"], "sentence")
    counts = f"{explored} of exploration, {n['delivery']} of delivery, {n['modelling']} of building models"
    reads = NAMES[data["reading"]]
    figure = Figure(
        form="pips",
        title="Sentences about the work",
        subtitle="by what they ask for",
        unit="count",
        rows=rows,
        sentence=counts + ".",
    )
    findings = [
        Finding(
            title=counts,
            text="; ".join(f"“{e['text']}”" for e in data["evidence"][:2]),
            strength="some",
            so_what=f"Reads as {reads}.",
            how_sure="Labels come from one reader of English postings.",
            figure=figure if rows else None,
        )
    ]
    if data["title_fits"] is False:
        findings.append(
            Finding(
                title=f"The title “{data['title']}” does not fit",
                text="; ".join(f"“{s['text']}”" for s in data["against_title"][:2]),
                strength="some",
                so_what=f"Call it {data['suggested_title']}."
                if data["suggested_title"]
                else "Choose a title for this work.",
                how_sure="The sentences above disagree with the title.",
            )
        )
    if data["cut"]:
        findings.append(
            Finding(
                title=f"{plural(len(data['cut']), 'wish', 'wishes')} of another job could go",
                text="; ".join(f"“{c['text']}”" for c in data["cut"][:3]),
                strength="some",
                so_what="Each wish of another job keeps people away who can do this one.",
                how_sure="They are wishes, no duties.",
            )
        )
    verdict: Literal["act", "do-not-act", "not-enough-evidence", "cannot-answer"] = (
        "not-enough-evidence"
        if data["reading"] == "cannot_say"
        else "act"
        if data["title_fits"] is False or data["cut"] or data["reading"] == "both_in_one"
        else "do-not-act"
    )
    text = {
        "act": "Split it in two."
        if data["reading"] == "both_in_one"
        else "Change the title, or cut the other job's wishes.",
        "do-not-act": "Title and text agree.",
        "not-enough-evidence": f"Say more about the work: {data['why_not']}.",
    }[verdict]
    return Answer(
        verb="role",
        question="Whose work does this text describe?",
        headline=reads[0].upper() + reads[1:],
        strength="some",
        recommendation=Recommendation(verdict, text),
        numbers=tuple((k, str(n[k]), "sentences") for k in n),
        findings=tuple(findings),
        cautions=tuple(Caution("reading", w) for w in data["warnings"]),
        method="Sentences counted by a word list for eight areas, a small linear model over the counts. Not kept.",
        tables={
            "areas": [
                {"area": a, "level": v["level"], "evidence": "; ".join(e["text"] for e in v["evidence"])}
                for a, v in data["areas"].items()
            ],
            **({s: [{"sentence": e["text"]} for e in data["split"][s]] for s in data["split"] if data["split"][s]}),
        },
    )
