"""A plan as an Answer: units per arm, what they see, what the number is made of."""

from __future__ import annotations

import math
import platform
import shlex
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from ambidex.data.record import record
from ambidex.data.table import Table
from ambidex.insight.plan_design import Design, rounded, units_text
from ambidex.insight.plan_options import Asked
from ambidex.insight.plan_words import Words, formula_of, parts_finding, size_finding, tables_of
from ambidex.report.answer import Answer, Caution, Recommendation
from ambidex.report.words import count, listing, number, plural, share, signed
from ambidex.stats.estimate import Estimate
from ambidex.stats.sequences import TUNED

__all__ = ["answer_of"]

LONG = 90
"""Days from which a test is called long."""

FEW_CLUSTERS = 40


def answer_of(design: Design, asked: Asked, source: Table | None, options: Mapping[str, Any]) -> Answer:
    """The answer to a checked design."""
    say = Words(design, asked)
    exact, led_by = _exact(design, asked)
    n = rounded(exact) if math.isfinite(exact) else None
    total = None if n is None else n * asked.arms
    per_day = None if design.history is None else design.history.per_day
    days = None if total is None or not per_day else max(1, math.ceil(total / per_day - 1e-9))
    at_size = _size(design, asked)
    seen = None if at_size is None else design.detectable(at_size)
    estimates = [_units_estimate(design, exact)]
    if at_size is not None:
        estimates.append(_detectable_estimate(design, seen, at_size))
    headline, advice = _headline(design, asked, say, n, at_size, seen, days)
    findings = [f for f in (size_finding(design, say, at_size, seen), parts_finding(design, asked, say, exact))
                if f is not None]  # fmt: skip
    return Answer(
        verb="plan",
        question=_question(design, say),
        headline=headline,
        strength="some",
        recommendation=advice,
        numbers=_tiles(design, asked, say, n, at_size, seen, days),
        estimates=tuple(estimates),
        cautions=tuple(_cautions(design, asked, source, say, n, days, led_by)),
        findings=tuple(findings),
        actions=_actions(asked, say, n, total, days),
        unknowns=_unknowns(design),
        method=formula_of(design, exact, led_by) + (f" Units by `{asked.unit}`." if asked.unit else ""),
        tables=tables_of(design, asked, exact, per_day),
        record=_record(source, options),
        next=(f"ambidex experiment TABLE --plan {shlex.quote(str(options['out']))}",)
        if options.get("out") else ("ambidex report answer/N",),
        extra={
            "total_units": total,
            "per_day": per_day,
            "days": days,
            "detectable": seen,
            "formula": formula_of(design, exact, led_by),
            "arms": asked.arms,
            **({} if n is None or not asked.has_effect else {"plan": _content(design, asked, n)}),
        },
    )  # fmt: skip


def _content(design: Design, asked: Asked, n: int) -> dict[str, Any]:
    """What PLAN.json holds but its date and hash."""
    return {
        "metric": asked.metric,
        "group": asked.group,
        "unit": asked.unit,
        "cluster": asked.cluster,
        "covariates": list(asked.covariate),
        "control": asked.control,
        "arms": asked.arms,
        "shares": asked.shares,
        "baseline": design.baseline,
        "effect": design.effect,
        "alpha": asked.alpha,
        "power": asked.power,
        "looks": asked.looks,
        "anytime": asked.anytime,
        "guardrails": list(asked.guardrail),
        "units_per_arm": n,
        "units": n * asked.arms,
    }


def _exact(design: Design, asked: Asked) -> tuple[float, str]:
    """Units per arm, not rounded, and which guardrail asked for them (empty for the metric itself)."""
    if design.effect is None:
        size = _size(design, asked)
        return (math.nan if size is None else size), ""
    most, led_by = design.units(design.effect), ""
    for guard in design.guards:
        need = design.guard_units(guard, alpha=asked.alpha)
        if need is not None and need > most:
            most, led_by = need, guard.spec
    return most, led_by


def _size(design: Design, asked: Asked) -> float | None:
    """Units per arm that were given, or that the table holds."""
    if asked.size is not None:
        return asked.size
    return None if design.history is None else design.history.all_units / asked.arms


def _units_estimate(design: Design, exact: float) -> Estimate:
    made = "as given" if design.effect is None else _short_method(design)
    value = float(rounded(exact)) if math.isfinite(exact) else math.inf
    n = design.history.units if design.history else int(value) if math.isfinite(value) else 0
    return Estimate(name="units_per_arm", kind="count", value=value, low=math.nan, high=math.nan, n=n, unit="units",
                    level=1 - design.alpha, method=made, exact=exact)  # fmt: skip


def _detectable_estimate(design: Design, seen: float | None, size: float) -> Estimate:
    value = math.nan if seen is None else seen
    unit = "share" if design.points else "sd" if design.in_sd else ""
    return Estimate(name="detectable", kind="difference", value=value, low=math.nan, high=math.nan, n=round(size),
                    unit=unit, level=1 - design.alpha, method=_short_method(design))  # fmt: skip


def _short_method(design: Design) -> str:
    if design.anytime:
        return f"confidence sequence, tuned at {TUNED:,} units"
    return "two shares, pooled null variance" if design.outcome.share is not None else "two-sample t, noncentral"


def _question(design: Design, say: Words) -> str:
    if design.effect is None:
        return f"What can a test of this size see in {say.name}?"
    return f"How big must a test of {say.name} be?"


def _headline(
    design: Design, asked: Asked, say: Words, n: int | None, size: float | None, seen: float | None, days: int | None
) -> tuple[str, Recommendation]:
    chance = f"{100 * asked.power:.3g}% of the time"
    if design.effect is None:
        assert size is not None
        where = f"{count(size)} {say.nouns} per arm"
        if seen is None:
            return (f"{where} miss even the largest possible change too often",
                    Recommendation("do-not-act", "Do not run a test of this size: it could not tell."))  # fmt: skip
        text = (
            f"Run a test of this size only if {say.delta(seen)} is an effect worth finding; smaller ones it would "
            f"mostly miss."
        )
        return f"{where} find {say.change(seen)} {chance}, smaller ones less often", Recommendation("act", text)
    if n is None:
        text = "Do not run this test: look for a larger effect or a steadier metric."
        return f"No test of a possible size finds {say.change(design.effect)}", Recommendation("do-not-act", text)
    total = n * asked.arms
    each = f"{count(total)} {say.nouns} in all, {count(n)} per arm on average," if asked.shares else (
        f"{count(n)} {say.nouns} per arm, {count(total)} in all,")  # fmt: skip
    headline = f"{each} find {say.change(design.effect)} {chance}"
    looks = (
        "look as often as you like"
        if asked.anytime
        else f"judge at {asked.looks} looks, one after every {count(math.ceil(total / asked.looks))} {say.nouns}"
        if asked.looks > 1
        else "judge once, at the end"
    )
    whole = sum((asked.shares or {}).values())
    planned = [f"{arm} {count(math.ceil(total * part / whole))}" for arm, part in (asked.shares or {}).items()]
    sizes = (
        f"{listing(planned)} {say.nouns}"
        if asked.shares
        else f"{count(n)} {say.nouns} to each of the {asked.arms} arms"
    )
    text = f"Give {sizes}, and {looks}."
    if days is not None:
        pace = number(design.history.per_day if design.history else None)
        text += f" At {pace} new {say.nouns} a day that takes {plural(days, 'day')}."
    return headline, Recommendation("act", text)


def _tiles(
    design: Design, asked: Asked, say: Words, n: int | None, size: float | None, seen: float | None, days: int | None
) -> tuple[tuple[str, str, str], ...]:
    tiles = []
    if design.effect is not None:
        tiles.append((f"{say.nouns} per arm", "–" if n is None else count(n),
                      "" if n is None else f"{count(n * asked.arms)} in {asked.arms} arms"))  # fmt: skip
        base = (
            ""
            if design.baseline is None
            else f"from {say.level(design.baseline)} to {say.level(design.baseline + design.effect)}"
        )
        tiles.append(("smallest effect that matters", say.delta(design.effect), base))
    elif size is not None:
        tiles.append((f"{say.nouns} per arm", count(size), f"{count(size * asked.arms)} in {asked.arms} arms"))
        tiles.append(("smallest effect it finds", say.delta(seen), _relative(design, seen)))
    if days is not None and design.history is not None:
        tiles.append(("days", count(days), f"at {number(design.history.per_day)} new {say.nouns} a day"))
    elif design.effect is not None and asked.size is not None:
        tiles.append((f"{count(asked.size)} per arm find", say.delta(seen), _relative(design, seen)))
    else:
        tiles.append(("power", f"{100 * asked.power:.3g}%", f"alpha {asked.alpha:g}, two-sided"))
    return tuple(tiles)


def _relative(design: Design, effect: float | None) -> str:
    if not design.baseline or effect is None:
        return ""
    level = share(design.baseline) if design.points else number(design.baseline)
    return f"{signed(100 * effect / design.baseline)}% of {level}"


def _cautions(
    design: Design, asked: Asked, source: Table | None, say: Words, n: int | None, days: int | None, led_by: str
) -> list[Caution]:
    out = [] if source is None else [Caution(code, text) for code, text in source.cautions]
    past = design.history
    if past is not None and past.picked:
        out.append(Caution("control", past.picked))
    if past is not None and past.left_out:
        out.append(Caution("missing", f"{plural(past.left_out, 'unit')} of the table without a value were left out."))
    if days is not None and days > LONG:
        out.append(Caution("days", f"{count(days)} days is long: seasons change, and people come back as new units. "
                                   "Look for a larger effect, a steadier metric or covariates."))  # fmt: skip
    out += _cluster_caution(design, asked, n)
    if asked.covariate and not any(f.name == "covariates" for f in design.factors):
        out.append(Caution("covariates", f"What {listing(list(asked.covariate))} will explain is not known without a "
                                         "table or --r2, so nothing was taken off for it."))  # fmt: skip
    if led_by:
        out.append(Caution("guardrail", f"The guardrail {led_by} needs the most units; {say.name} alone needs "
                                        f"{units_text(design.units(design.effect or 1))} per arm."))  # fmt: skip
    unsized = [g.spec for g in design.guards if g.outcome is None]
    if unsized:
        out.append(Caution("guardrail", f"{listing(unsized)}: without a table the units that a guardrail needs are "
                                        "not known; only its share of the power was set aside."))  # fmt: skip
    if design.outcome.share is not None and n is not None and design.effect is not None:
        p = design.outcome.share + design.effect / 2
        if n * min(p, 1 - p) < 5:
            text = (
                "Fewer than 5 of one kind are expected in an arm: the experiment will use Fisher's test, which finds "
            )
            out.append(Caution("small-cells", f"{text}less than the formula says."))
    return out


def _cluster_caution(design: Design, asked: Asked, n: int | None) -> list[Caution]:
    size = asked.cluster_size or (design.history.cluster_size if design.history else None)
    if size is None or n is None:
        return []
    clusters = math.ceil(n / size)
    if clusters * asked.arms >= FEW_CLUSTERS:
        return []
    text = f"That is about {plural(clusters, 'cluster')} of {size:.3g} per arm, {clusters * asked.arms} in all. "
    text += (
        "Below 6 no test can tell."
        if clusters * asked.arms < 6
        else f"Below {FEW_CLUSTERS} the experiment permutes clusters, which finds less than the formula says."
    )
    return [Caution("clusters", text)]


def _actions(
    asked: Asked, say: Words, n: int | None, total: int | None, days: int | None
) -> tuple[tuple[str, str, str, str], ...]:
    if n is None or total is None or not asked.has_effect:
        return ()
    effort = plural(days, "day") if days is not None else f"{count(total)} {say.nouns}"
    return (
        ("Write the plan down before the first unit comes in (--out PLAN.json)", "analyst", "minutes",
         "a verdict nobody can argue with"),
        (f"Randomise {count(total)} {say.nouns} over {asked.arms} arms", "product owner", effort,
         "a test that can tell"),
    )  # fmt: skip


def _unknowns(design: Design) -> tuple[str, ...]:
    past = "the table shows" if design.history else "was given"
    return (
        f"Whether level and spread will be what {past}: the number is as good as they are.",
        "Whether the true effect is as large as the smallest that matters; a smaller one is mostly missed.",
    )


def _record(source: Table | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """What reproduces it; without a table there is no data to name."""
    given = {k: v for k, v in options.items() if v is not None and v is not False and v != ()}
    for name, usual in (("power", 0.8), ("alpha", 0.05), ("arms", 2), ("looks", 1)):
        if given[name] == usual:
            del given[name]
    if isinstance(given.get("shares"), Mapping):
        given["shares"] = ",".join(f"{k}={v:g}" for k, v in given["shares"].items())
    given = {k: list(v) if isinstance(v, tuple) else v for k, v in given.items()}
    made = (
        {"fingerprint": None, "rows": None, "columns": None, "options": given, "seed": None,
         "versions": {"python": platform.python_version(), **{p: version(p) for p in ("ambidex", "numpy", "scipy")}},
         "command": "", "origin": {}, "caller": ""}
        if source is None else record(source, verb="plan", options=given)
    )  # fmt: skip
    words = ["ambidex", "plan"]
    if source is not None:
        words += ["--table", shlex.quote(source.source) if source.source else "TABLE"]
    for name, value in given.items():
        for one in value if isinstance(value, list) else [value]:
            option = "--" + name.replace("_", "-")
            text = f"{one:g}" if isinstance(one, float) and float(f"{one:g}") == one else str(one)
            words += [option] if one is True else [option, shlex.quote(text)]
    return {**made, "command": " ".join(words)}
