"""Segments in a manager's words: headline, findings, table, actions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ambidex.insight.segments_buying import AHEAD, Buying
from ambidex.insight.segments_rows import Rows
from ambidex.insight.segments_try import Tried
from ambidex.report.answer import Figure, Finding, Recommendation, Strength
from ambidex.report.words import count, listing, number, plural, share, span
from ambidex.stats.claim import Verdict
from ambidex.stats.grouping import Board
from ambidex.stats.rules import Rule

__all__ = [
    "Story", "actions", "cautions", "findings", "headline", "method", "question", "recommendation", "rule_text",
    "scoreboard", "strength", "tables", "tiles", "unknowns",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Story:
    """All that the page tells from."""

    rows: Rows
    tries: list[Tried]
    shipped: Tried
    board: Board | None
    gains: dict[str, Verdict]
    ladder: Verdict | None
    verdict: str
    listed: list[dict[str, Any]]
    rules: list[Rule]
    bought: Buying | None
    k: int | None

    @property
    def noun(self) -> str:
        """Customers or rows."""
        return self.rows.noun

    @property
    def later(self) -> str:
        """Where the value was measured."""
        log = self.rows.log
        return f"after {log.middle}" if log is not None else "in the same table"


def rule_text(rule: Rule) -> str:
    """Conditions in one line; numbers with thousands separators.

    >>> from ambidex.stats.rules import Condition
    >>> rule_text(Rule((Condition("recency", "<=", 35.0), Condition("plan", "is", "gold")), 1, 1, 1))
    'recency ≤ 35 and plan is gold'
    """
    parts = []
    for c in rule.conditions:
        shown = number(c.value) if isinstance(c.value, float) else str(c.value)
        parts.append(f"{c.column} {c.sign.replace('<=', '≤')} {shown}")
    return " and ".join(parts) if parts else "no short rule"


def question(story: Story) -> str:
    """The question as a title."""
    return f"What segments do the {story.noun}s fall into?"


def headline(story: Story) -> str:
    """The finding in one sentence."""
    n = plural(len(_people(story)), story.noun)
    shipped = story.shipped
    if story.verdict == "types":
        names = "; ".join(f"“{n}”" for n in shipped.names)
        return f"There are {shipped.k} types of {story.noun}: {names}."
    if story.verdict == "tiers":
        if story.k is not None:
            return f"Cut into {shipped.k}, the {n} leave no gap between every two: tiers, not types{_ends(story)}."
        if story.shipped.approach not in ("rfm", "tiers") and all(t.valley is None for t in story.tries):
            cut = f"The {n} can be cut into {story.shipped.k}; whether these are types could not be tested"
            return f"{cut}, so take them as tiers{_ends(story)}."
        return f"The {n} form one ladder without steps: these are tiers, not types{_ends(story)}."
    if story.listed:
        return f"No segments exist among the {n}: the {shipped.k} groups below are slices of one cloud."
    return f"No segments exist among the {n}: no groups stand apart, and no common ladder runs through the columns."


def _ends(story: Story) -> str:
    """What the segments at both ends are worth."""
    worth = [s for s in story.listed if s["value"] is not None]
    if len(worth) < 2:
        return ""
    top, bottom = worth[0], worth[-1]
    if story.rows.log is not None:
        when = f"after {story.rows.log.middle}"
        return (
            f". “{top['name']}” spent {number(top['value'])} each {when}, “{bottom['name']}” {number(bottom['value'])}"
        )
    high, low = number(top["value"]), number(bottom["value"])
    return f". Mean {story.rows.what}: “{top['name']}” {high}, “{bottom['name']}” {low}"


def strength(story: Story) -> Strength:
    """How strong the evidence is."""
    if story.verdict == "types":
        return "strong"
    return "some" if story.verdict == "tiers" else "weak"


def recommendation(story: Story) -> Recommendation:
    """What to do."""
    if story.verdict == "types":
        return Recommendation("act", f"Plan for the {story.shipped.k} types apart; the rules below tell who is which.")
    if story.verdict == "tiers":
        return Recommendation(
            "act",
            "Use the tiers to decide whom to serve first and how much to spend on whom. Do not design a programme for "
            "each as if they were kinds of people: the borders are drawn, not found.",
        )
    return Recommendation(
        "do-not-act",
        f"Do not divide these {story.noun}s by these columns. Bring columns on what people do, or treat all alike.",
    )


def tiles(story: Story) -> tuple[tuple[str, str, str], ...]:
    """Three numbers."""
    shipped = story.shipped
    shown = f"{plural(len(story.listed), 'segment')} shown" if story.listed else "no segment is worth a name"
    out = [("What exists", story.verdict, shown)]
    if story.board is not None:
        e = story.board.explained[shipped.approach]
        out.append((f"Share of {_value_words(story)} told", share(e.value), span(e.low, e.high, share)))
    else:
        out.append(("Values measured", "none", "name a column with --value"))
    s = shipped.stability
    if not story.listed:
        apart = sum(t.apart for t in story.tries)
        out.append(("Approaches whose groups stand apart", str(apart), f"of {len(story.tries)} tried"))
        return tuple(out)
    out.append(("Least stable segment comes back", f"{s.value:.2f}", f"Jaccard; {shipped.label}; .75 is enough"))
    return tuple(out)


def _value_words(story: Story) -> str:
    return "later money" if story.rows.log is not None else story.rows.what


def _people(story: Story) -> Any:
    return next(iter(story.rows.today.values()))


def findings(story: Story) -> tuple[Finding, ...]:
    """Existence, the segments, the approaches side by side, and what customers will buy."""
    out = [_existence(story)]
    if story.listed and story.board is not None:
        out.append(_worth(story))
    if story.listed:
        out.append(_sizes(story))
    if len(story.tries) > 1:
        out.append(_side_by_side(story))
    if story.bought is not None and story.bought.expected is not None:
        out.append(_forecast(story.bought))
    return tuple(out)


def _existence(story: Story) -> Finding:
    searched = [t for t in story.tries if t.valley is not None]
    found = [t for t in searched if t.types]
    n = story.shipped.k
    said = [t.label for t in found]
    if story.verdict == "types":
        title = f"The {n} segments are apart: between each two of them there are few {story.noun}s"
        text = (
            f"{story.shipped.label} drew them on half of the {story.noun}s; on the other half every pair still had two "
            "peaks. They come back when the rows are drawn again."
        )
    elif found:
        finds = "finds" if len(said) == 1 else "find"
        title = f"{listing(said)} {finds} groups that are apart; they tell no more than plain tiers"
        text = f"{_groups(found)} stay apart on rows not used. {story.shipped.label} are shown: nothing beat them."
    elif searched:
        title = f"No groups stand apart: between any groups that are drawn, {story.noun}s lie as close as anywhere"
        text = (
            f"{listing([t.label for t in searched])} cut the {story.noun}s into groups on one half; on the other half "
            "at least one pair of groups ran into each other. Such groups are slices."
        )
    else:
        title = "Whether groups stand apart could not be tested"
        text = "The columns are categories, or the rows are too few: there is no space in which a gap could be seen."
    return Finding(
        title=title, text=text, strength="strong" if searched else "weak",
        so_what="Types can be told stories about; tiers only say more or less." if story.verdict != "none" else
        "A plan for segments would be a plan for noise.",
        how_sure="Split-half dip test of each pair of groups, on rows that did not draw them; then stability.",
    )  # fmt: skip


def _groups(found: list[Tried]) -> str:
    return listing([f"{t.k} by {t.label}" for t in found])


def _worth(story: Story) -> Finding:
    worth = [s for s in story.listed if s["value"] is not None]
    top, bottom = max(worth, key=lambda s: s["value"]), min(worth, key=lambda s: s["value"])
    what = f"money {story.later}" if story.rows.log is not None else story.rows.what
    rows = tuple(
        {"label": s["name"], "value": s["value"], "low": s["low"], "high": s["high"], "n": s["size"]} for s in worth
    )
    title = f"“{top['name']}”: {number(top['value'])} a {story.noun}; “{bottom['name']}”: {number(bottom['value'])}"
    now = " today" if story.rows.log is not None else ""
    text = f"Mean {what} of each segment. “{top['name']}” is {share(top['share'])} of the {story.noun}s{now}."
    if story.rows.log is not None:
        text += " Segments were drawn on what was known before that day."
    return Finding(
        title=title, text=text, strength="strong" if story.rows.log is not None else "some",
        so_what=f"Keeping one of “{top['name']}” is worth more than keeping one of the others.",
        how_sure=f"Bootstrap intervals by {story.noun}; " + (
            "measured on days that drew no segment." if story.rows.log is not None else
            f"{story.rows.what} took no part in drawing the segments, but it is of the same time."
        ),
        figure=Figure(
            form="interval-dots", title=f"Mean {what}", subtitle=f"a {story.noun}, with 95% intervals", unit="",
            rows=rows,
            sentence="; ".join(f"{s['name']} {number(s['value'])} ({span(s['low'], s['high'])})" for s in worth),
        ),
    )  # fmt: skip


def _sizes(story: Story) -> Finding:
    rows = tuple({"label": s["name"], "value": float(s["size"])} for s in story.listed)
    largest = max(story.listed, key=lambda s: s["size"])
    return Finding(
        title=f"Who is in which: “{largest['name']}” is the largest, {share(largest['share'])} of the {story.noun}s",
        text=" ".join(f"“{s['name']}”: {s['rule']} (right for {share(s['accuracy'], 0)})." for s in story.listed),
        strength="some", so_what="The rules can be used by hand; the prototype assigns exactly.",
        how_sure=f"A rule is right where it and the segment agree on a {story.noun}, in or out.",
        figure=Figure(
            form="bars", title=f"{story.noun.capitalize()}s in each segment", subtitle="count", unit="count", rows=rows,
            sentence="; ".join(f"{s['name']} {count(s['size'])}" for s in story.listed),
        ),
    )  # fmt: skip


def _side_by_side(story: Story) -> Finding:
    board = scoreboard(story)
    if story.board is None:
        shown = story.shipped.label if story.listed else "none"
        lines = [f"{b['label']}: {plural(b['k'], 'segment')}, stability {b['jaccard']:.2f}" for b in board]
        return Finding(
            title=f"{len(board)} approaches were tried; {shown} is shown",
            text="; ".join(lines) + ".",
            strength="some", so_what="The simplest approach that is no worse is shown.",
            how_sure="Same rows for all. Name a value (--value) to measure what they tell.",
        )  # fmt: skip
    first = next(iter(story.board.explained))
    better = [w for w, v in story.gains.items() if v.outcome == "supported"]
    label = {t.approach: t.label for t in story.tries}
    if better:
        tells = "tells" if len(better) == 1 else "tell"
        title = f"{listing([label[w] for w in better])} {tells} more of {_value_words(story)} than {label[first]}"
    else:
        title = f"Nothing beats {label[first]} on {_value_words(story)}"
    ordered = [story.board.explained[b["approach"]] for b in board]
    rows = tuple(
        {"label": b["label"], "value": e.value, "low": e.low, "high": e.high, "n": e.n}
        for b, e in zip(board, ordered, strict=True)
    )
    return Finding(
        title=title, text=f"Share of the variance of {story.rows.what} between segments (η²), all on the same rows.",
        strength="strong" if story.rows.log is not None else "some",
        so_what="What is not better than the simple tiers is not worth explaining.",
        how_sure="Paired bootstrap; the differences are corrected for their number (Holm).",
        figure=Figure(
            form="interval-dots", title=f"How much of {_value_words(story)} each approach tells",
            subtitle="share of variance, with 95% intervals", unit="share", rows=rows,
            sentence="; ".join(f"{b['label']} {share(b['eta2'])}" for b in board),
        ),
    )  # fmt: skip


def _forecast(bought: Buying) -> Finding:
    e = bought.expected
    assert e is not None
    low_high = span(e.low, e.high, lambda v: count(None if v is None or not math.isfinite(v) else round(v)))
    settled = bought.verdict is not None and bought.verdict.outcome != "open"
    miss = f"{100 * bought.miss:+.0f}%".replace("-", "−")
    if settled:
        title = f"The forecast missed: {count(round(e.value))} order days expected, {count(bought.seen)} seen ({miss})"
        so_what = "Money ahead rests on the same model: read it as an order of size, and correct it by this miss."
    else:
        title = f"The forecast held: {count(round(e.value))} order days expected, {count(bought.seen)} seen ({miss})"
        so_what = f"Money of the {AHEAD:.0f} weeks ahead, in the table, can be used to set limits for spending."
    return Finding(
        title=title,
        text=f"BG/NBD, fitted on the first half of the log, for the {bought.weeks:.0f} weeks after it ({low_high}).",
        strength="some", so_what=so_what,
        how_sure="Maximum likelihood; the interval holds the error of the parameters and the customers' own chance.",
    )  # fmt: skip


def actions(story: Story) -> tuple[tuple[str, str, str, str], ...]:
    """What to do, who, effort, effect."""
    if story.verdict == "none":
        return (("Bring columns on behaviour: what, when and how often", "Data owner", "days", "a new question"),)
    if story.verdict == "types":
        return (
            (
                f"Check the {story.shipped.k} types with people who know the {story.noun}s",
                "Marketing",
                "hours",
                "names",
            ),
            ("Test one offer in each type against a random holdout", "Marketing", "weeks", "what works for whom"),
        )
    best = story.listed[0]["name"] if story.listed else "the top tier"
    return (
        (f"Serve “{best}” first; set spending limits by tier", "Marketing", "days", "money where it returns"),
        ("Test against a random holdout inside each tier", "Marketing", "weeks", "what it changes"),
    )


def unknowns(story: Story) -> tuple[str, ...]:
    """What this cannot tell."""
    out = [
        "What an offer to a segment would change: segments describe; only a randomised test says what works.",
        "Whether other columns would part the " + story.noun + "s: only these were looked at.",
    ]
    if story.rows.log is None:
        out.append("Whether the segments hold next year: all columns are of one time.")
    return tuple(out)


def method(story: Story, scale: str) -> str:
    """How it was made."""
    tried = listing([t.label for t in story.tries])
    logs = [i["column"] for i in story.shipped.model["inputs"] if i.get("shape") == "log"]
    text = f"{tried}, drawn on {', '.join(story.rows.columns)}"
    text += f" ({listing(logs)} on a log scale)" if logs else ""
    text += (
        ". Existence: groups drawn on half of the rows, the other half assigned, each pair projected on the line of "
        "its centres, Hartigan's dip against simulated uniforms; all pairs below .05, over both ways to exchange the "
        "halves (.025 each), and where the number of groups was searched for also below .20 the other way. Then the "
        "number by gap or BIC, then bootstrap Jaccard above .75. No test is made on the columns that drew the groups."
    )
    if story.rows.log is not None:
        log = story.rows.log
        text += (
            f" The log runs from {log.first} to {log.last}; what was known on {log.middle} draws, the rest measures."
        )
    return text


def cautions(story: Story) -> list[tuple[str, str]]:
    """What the reader must know about the segments themselves."""
    out = []
    if story.verdict == "tiers" and story.shipped.approach not in ("rfm", "tiers"):
        out.append(("not-types", "the segments are not separated: tiers, not types"))
    if story.verdict == "none" and story.listed:
        out.append(("not-types", "the segments are not separated, and no ladder runs through the columns"))
    for t in story.tries:
        if t.approach == "classes" and any(c["k"] == 1 and c.get("chosen_by_index") for c in t.counts):
            text = "latent classes: by BIC one class tells the categories as well as several do"
            out.append(("one-class", f"{text}; the {t.k} drawn are a cut"))
    for s in story.listed:
        if s["share"] < 0.05:
            out.append(("small-segment", f"{s['name']} holds {count(s['size'])} {story.noun}s, {share(s['share'])}"))
    if story.listed and story.shipped.stable.outcome != "supported":
        e = story.shipped.stability
        worst = story.shipped.names[int(story.shipped.each_stable.argmin())]
        out.append(
            ("unstable", f"{worst} does not come back reliably when the rows are drawn again (Jaccard {e.value:.2f})")
        )
    for s in story.listed:
        if s["precision"] * s["recall"] < 0.49:
            out.append(
                ("rough-rule", f"the short rule for {s['name']} is rough: {share(s['precision'], 0)} of those it names "
                 f"belong to it, and it finds {share(s['recall'], 0)} of them; the prototype assigns exactly")
            )  # fmt: skip
    return out


def scoreboard(story: Story) -> list[dict[str, Any]]:
    """A row an approach, the plain tiers first."""
    out = []
    ways = list(story.board.explained) if story.board is not None else [t.approach for t in story.tries]
    by = {t.approach: t for t in story.tries}
    for way in ways:
        t = by[way]
        row: dict[str, Any] = {"approach": way, "label": t.label, "k": t.k, "shown": t is story.shipped}
        if story.board is not None:
            e = story.board.explained[way].to_dict()
            means = [m for m in story.board.means[way] if math.isfinite(m.value)]
            top = max(means, key=lambda m: m.value).to_dict()
            row |= {"eta2": e["value"], "eta2_low": e["low"], "eta2_high": e["high"]}
            row |= {"top_value": top["value"], "top_low": top["low"], "top_high": top["high"]}
            gain = story.gains.get(way)
            row["better"] = gain.outcome if gain is not None else None
        row |= {
            "smallest": min(t.sizes), "tree_accuracy": round(t.accuracy, 4), "jaccard": round(t.stability.value, 4),
            "apart": None if t.valley is None else t.apart,
            **t.figures,
        }  # fmt: skip
        out.append(row)
    return out


def tables(story: Story) -> dict[str, list[dict[str, Any]]]:
    """Tables of the page."""
    out: dict[str, list[dict[str, Any]]] = {}
    if story.listed:
        out["Segments"] = [_shown(story, s) for s in story.listed]
    out["Approaches side by side"] = [_side(story, b) for b in scoreboard(story)]
    for t in story.tries:
        if t.counts:
            out[f"How many, {t.label}"] = [_many(c) for c in t.counts]
    return out


def _shown(story: Story, s: dict[str, Any]) -> dict[str, Any]:
    row = {"segment": s["name"], story.noun + "s": count(s["size"]), "share": share(s["share"])}
    if s["value"] is not None:
        row[f"mean {story.rows.what}"] = f"{number(s['value'])} ({span(s['low'], s['high'])})"
    if "ahead" in s:
        row[f"money in {AHEAD:.0f} weeks ahead"] = f"{number(s['ahead'])} ({span(s['ahead_low'], s['ahead_high'])})"
    row["rule"] = s["rule"]
    row["rule right"] = share(s["accuracy"], 0)
    row["comes back"] = f"{s['stability']:.2f}"
    return row


def _side(story: Story, b: dict[str, Any]) -> dict[str, Any]:
    row = {"approach": b["label"] + (" (shown)" if b["shown"] else ""), "segments": str(b["k"])}
    if "eta2" in b:
        row[f"{_value_words(story)} told"] = f"{share(b['eta2'])} ({span(b['eta2_low'], b['eta2_high'], share)})"
        row["top segment"] = f"{number(b['top_value'])} ({span(b['top_low'], b['top_high'])})"
    row["smallest"] = count(b["smallest"])
    row["three-rule tree right"] = share(b["tree_accuracy"], 0)
    row["comes back"] = f"{b['jaccard']:.2f}"
    row["apart"] = "not tested" if b["apart"] is None else "yes" if b["apart"] else "no"
    return row


def _many(c: dict[str, Any]) -> dict[str, Any]:
    row = {"groups": str(c["k"])}
    row["pairs apart"] = f"{c['pairs_apart']} of {c['pairs']}" if "pairs" in c else "–"
    row["all apart, also with halves exchanged"] = "yes" if c.get("all_apart") else "no" if "pairs" in c else "–"
    if "gap" in c:
        row["gap"] = f"{c['gap']:.3f}".replace("-", "−")
    if "bic" in c:
        row["BIC"] = number(c["bic"])
    row["index would choose"] = "this" if c.get("chosen_by_index") else ""
    return row
