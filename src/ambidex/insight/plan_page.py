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
from ambidex.report.answer import Answer, Caution, Figure, Finding, Recommendation
from ambidex.report.words import count, listing, number, plural, share, signed, signed_points
from ambidex.stats.estimate import Estimate
from ambidex.stats.laws import normal_p
from ambidex.stats.power import share_units
from ambidex.stats.sequences import TUNED
from ambidex.stats.sequential import spending_bounds

__all__ = ["answer_of"]

LONG = 90
"""Days from which a test is called long."""

FEW_CLUSTERS = 40


class _Words:
    """How this design's effects and levels are written."""

    def __init__(self, design: Design, asked: Asked) -> None:
        self.design = design
        self.digits = 1
        if design.points and design.effect:
            self.digits = max(1, min(4, 1 - math.floor(math.log10(abs(100 * design.effect)) + 1e-9)))
        noun = f"unit of `{asked.unit}`" if asked.unit else "trial" if design.kind == "trials" else "unit"
        self.nouns = noun.replace("unit", "units", 1) if noun.startswith("unit") else noun + "s"
        self.name = design.history.metric.label if design.history else (asked.metric or "").rpartition(":")[0]
        self.name = self.name or asked.metric or ("the share" if design.points else "the mean")

    def level(self, x: float) -> str:
        return share(x, self.digits) if self.design.points else number(x)

    def delta(self, x: float | None) -> str:
        if x is None:
            return "–"
        if self.design.points:
            digits = self.digits if abs(100 * x) >= 10**-self.digits else min(4, self.digits + 2)
            return signed_points(x, digits)
        return f"{signed(x)} standard deviations" if self.design.in_sd else signed(x)

    def change(self, x: float) -> str:
        """A change with where it starts and ends."""
        base = self.design.baseline
        if base is None:
            return f"a difference of {self.delta(x)}"
        return f"a change from {self.level(base)} to {self.level(base + x)} ({self.delta(x)})"


def answer_of(design: Design, asked: Asked, source: Table | None, options: Mapping[str, Any]) -> Answer:
    """The answer to a checked design."""
    say = _Words(design, asked)
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
    findings = [f for f in (_size_finding(design, say, exact, at_size, seen), _parts_finding(design, asked, say, exact))
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
        method=_formula(design, exact, led_by),
        tables=_tables(design, asked, exact, per_day),
        record=_record(source, options),
        next=(f"ambidex experiment TABLE --plan {shlex.quote(str(options['out']))}",)
        if options.get("out") else ("ambidex report answer/N",),
        extra={
            "total_units": total,
            "per_day": per_day,
            "days": days,
            "detectable": seen,
            "formula": _formula(design, exact, led_by),
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


def _question(design: Design, say: _Words) -> str:
    if design.effect is None:
        return f"What can a test of this size see in {say.name}?"
    return f"How big must a test of {say.name} be?"


def _headline(
    design: Design, asked: Asked, say: _Words, n: int | None, size: float | None, seen: float | None, days: int | None
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
        return (f"No test of a possible size finds {say.change(design.effect)}",
                Recommendation("do-not-act", "Do not run this test: look for a larger effect or a steadier metric."))  # fmt: skip
    total = n * asked.arms
    headline = f"{count(n)} {say.nouns} per arm, {count(total)} in all, find {say.change(design.effect)} {chance}"
    looks = (
        "look as often as you like"
        if asked.anytime
        else f"judge at {asked.looks} looks, one after every {count(math.ceil(total / asked.looks))} {say.nouns}"
        if asked.looks > 1
        else "judge once, at the end"
    )
    sizes = (
        f"{count(total)} {say.nouns} in the planned shares"
        if asked.shares
        else f"{count(n)} {say.nouns} to each of the {asked.arms} arms"
    )
    text = f"Give {sizes}, and {looks}."
    if days is not None:
        text += f" At {number(design.history.per_day if design.history else None)} new {say.nouns} a day that takes {plural(days, 'day')}."
    return headline, Recommendation("act", text)


def _tiles(
    design: Design, asked: Asked, say: _Words, n: int | None, size: float | None, seen: float | None, days: int | None
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
    return f"{signed(100 * effect / design.baseline)}% of {share(design.baseline) if design.points else number(design.baseline)}"


def _size_finding(design: Design, say: _Words, exact: float, size: float | None, seen: float | None) -> Finding | None:
    """The chart of what a test sees against its size."""
    middle = exact if design.effect is not None else size
    if middle is None or not math.isfinite(middle) or middle < 2:
        return None
    half = (design.effect if design.effect is not None else seen or 0.0) / 2
    more = design.units(half) if half else math.inf
    title = (
        f"Half the effect takes {more / middle:.2g} times the units: {units_text(more)} per arm for {say.delta(half)}"
    )
    if not half or not math.isfinite(more):
        title = "What a test sees, by its size"
    least = max(2.0, middle / 8)
    sizes = sorted({round(least + (2.5 * middle - least) * (i / 39) ** 1.5) for i in range(40)} | {rounded(middle)})
    rows = [{"x": n, "value": abs(d)} for n in sizes if n >= 2 and (d := design.detectable(n)) is not None]
    wanted = None if design.effect is None else abs(design.effect)
    at = f"{units_text(middle)} {say.nouns} per arm find {say.delta(design.effect if design.effect is not None else seen)}"
    figure = Figure(
        form="line-band",
        title=f"Smallest effect on {say.name} that a test finds",
        subtitle=f"{'percentage points' if design.points else 'standard deviations' if design.in_sd else 'difference'}, "
        f"by {say.nouns} per arm; power {100 * design.power:.3g}%, alpha {design.alpha:.3g}",
        unit="points" if design.points else "sd" if design.in_sd else say.name,
        rows=tuple(rows),
        sentence=f"{at}; the effect found falls as the test grows, with the square root of its size.",
        x_title=f"{say.nouns} per arm",
        reference=wanted,
        reference_text="the effect that matters" if wanted is not None else "",
    )
    return Finding(
        title=title,
        text=f"{at}. Twice the units find an effect 0.7 times as large.",
        strength="some",
        so_what="Choose the smallest effect that would change what you do; a smaller one costs units, a larger one is missed.",
        how_sure="Computed from level and spread; if the spread is twice as large, so is the effect that is found.",
        figure=figure if rows else None,
    )


def _parts_finding(design: Design, asked: Asked, say: _Words, exact: float) -> Finding | None:
    """What multiplies the units."""
    if not design.factors and asked.arms == 2 and not design.guards and not design.anytime:
        return None
    parts = [f"{f.name} ×{f.value:.3g}" for f in design.factors]
    texts = [f"{f.name.capitalize()}: {f.text}." for f in design.factors]
    if asked.arms > 2:
        parts.append(f"{asked.arms - 1} arms against the control, alpha {design.alpha:.3g} each")
    if asked.anytime:
        parts.append("bounds that hold at every look")
    if design.guards:
        parts.append(f"{plural(len(design.guards), 'guardrail')}, power {100 * design.power:.3g}% each")
    start = ""
    if design.effect is not None:
        plain = design.bare(design.effect)
        start = f"{units_text(plain)} independent {say.nouns} with one look would do; "
    return Finding(
        title=f"What the number rests on: {listing(parts)}",
        text=" ".join([f"{start}the rest is what the design asks for.".capitalize() if start else "", *texts]).strip(),
        strength="some",
        so_what="Covariates from before the test make it smaller; clusters, arms and looks make it larger.",
        how_sure="Read from the table of the past." if design.history else "As given.",
    )


def _cautions(
    design: Design, asked: Asked, source: Table | None, say: _Words, n: int | None, days: int | None, led_by: str
) -> list[Caution]:
    out = [] if source is None else [Caution(code, text) for code, text in source.cautions]
    past = design.history
    if past is not None and past.picked:
        out.append(Caution("control", past.picked))
    if past is not None and past.left_out:
        out.append(Caution("missing", f"{plural(past.left_out, 'unit')} of the table without a value were left out."))
    if days is not None and days > LONG:
        out.append(Caution("days", f"{count(days)} days is long: the season changes and units are counted twice. "
                                   "Look for a larger effect, a steadier metric or covariates."))  # fmt: skip
    out += _cluster_caution(design, asked, n)
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
            out.append(Caution("small-cells", "Fewer than 5 of one kind are expected in an arm: the experiment will "
                                              "use Fisher's test, which finds less than the formula says."))  # fmt: skip
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
    asked: Asked, say: _Words, n: int | None, total: int | None, days: int | None
) -> tuple[tuple[str, str, str, str], ...]:
    if n is None or total is None or not asked.has_effect:
        return ()
    effort = plural(days, "day") if days is not None else f"{count(total)} {say.nouns}"
    return (
        ("Write the plan down before the first unit comes in (--out PLAN.json)", "analyst", "minutes",
         "a verdict nobody can argue with"),
        (f"Randomise {count(total)} {say.nouns} over {asked.arms} arms", "product owner", effort, "a test that can tell"),
    )  # fmt: skip


def _unknowns(design: Design) -> tuple[str, ...]:
    past = "the table shows" if design.history else "was given"
    return (
        f"Whether level and spread will be what {past}: the number is as good as they are.",
        "Whether the true effect is as large as the smallest that matters; a smaller one is mostly missed.",
    )


def _formula(design: Design, exact: float, led_by: str) -> str:
    if design.effect is None:
        lead = "The smallest effect whose test has the power"
    elif design.anytime:
        lead = f"n at which half width of the confidence sequence (tuned at {TUNED:,} units) + z(power)·se = effect"
    elif design.outcome.share is not None:
        lead = (
            "n per arm = ((z(1−α/2)·√(2·p̄·q̄) + z(power)·√(p₁q₁ + p₀q₀)) ÷ (p₁ − p₀))², pooled variance under the null"
        )
    else:
        sd = design.outcome.sd or 1.0
        lead = f"n per arm of the two-sided t-test, noncentral t, effect ÷ sd = {abs(design.effect) / sd:.4g}"
    parts = [f"{lead}; α {design.alpha:.4g}, power {design.power:.4g}"]
    if design.factors:
        parts.append(" ".join(f"× {f.value:.4g} ({f.name})" for f in design.factors))
    if led_by:
        parts.append(f"the largest over the metric and its guardrails, here {led_by}")
    if design.effect is not None and math.isfinite(exact):
        parts.append(f"= {exact:,.3f}, rounded up")
    return "; ".join(parts) + "."


def _tables(design: Design, asked: Asked, exact: float, per_day: float | None) -> dict[str, list[dict[str, Any]]]:
    tables: dict[str, list[dict[str, Any]]] = {}
    middle = design.effect if design.effect is not None else design.detectable(exact) if exact >= 2 else None
    if middle:
        rows = []
        for times in (0.5, 0.75, 1.0, 1.5, 2.0):
            effect = float(f"{middle * times:.9g}")
            if design.outcome.share is not None and not 0 <= design.outcome.share + effect <= 1:
                continue
            n = design.units(effect)
            if not math.isfinite(n):
                continue
            row: dict[str, Any] = {"effect": effect, "units_per_arm": rounded(n), "total": rounded(n) * asked.arms}
            rows.append(row | ({"days": math.ceil(row["total"] / per_day)} if per_day else {}))
        tables["sizes"] = rows
    if design.factors:
        tables["factors"] = [{"what": f.name, "times": f.value, "why": f.text} for f in design.factors]
    if asked.shares is not None and math.isfinite(exact):
        total = rounded(exact) * asked.arms
        whole = sum(asked.shares.values())
        tables["arms"] = [
            {"arm": a, "share": s / whole, "units": math.ceil(total * s / whole)} for a, s in asked.shares.items()
        ]
    if asked.looks > 1 and math.isfinite(exact) and design.effect is not None:
        tables["looks"] = _looks(asked, rounded(exact) * asked.arms)
    if design.guards:
        tables["guardrails"] = [
            {
                "guardrail": g.spec,
                "margin": g.margin,
                "units_per_arm": None
                if (n := design.guard_units(g, alpha=asked.alpha)) is None or not math.isfinite(n)
                else rounded(n),
            }
            for g in design.guards
        ]
    if design.outcome.share is not None and design.effect is not None and not design.anytime:
        tables["formulas"] = _variants(design)
    return tables


def _looks(asked: Asked, total: int) -> list[dict[str, Any]]:
    """When to look, and what each look's own test must reach."""
    times = [k / asked.looks for k in range(1, asked.looks + 1)]
    bounds = spending_bounds(times, asked.alpha / (asked.arms - 1))
    return [
        {"look": k, "units": math.ceil(total * t), "bound_of_z": z, "nominal_alpha": normal_p(z)}
        for k, (t, z) in enumerate(zip(times, bounds, strict=True), 1)
    ]


def _variants(design: Design) -> list[dict[str, Any]]:
    """Other people's formulas for two shares, so that nobody wonders why another calculator differs."""
    p0, p1 = design.outcome.share or 0.0, (design.outcome.share or 0.0) + (design.effect or 0.0)
    rows = []
    for variance, who in (
        ("pooled", "pooled null variance (R power.prop.test): used here"),
        ("arcsine", "arcsine (R pwr.2p.test)"),
        ("null", "the control's variance under the null (online calculators)"),
    ):
        if variance == "null" and not 0 < p0 < 1:
            continue
        n = share_units(p0, p1, alpha=design.alpha, power=design.power, variance=variance)  # type: ignore[arg-type]
        rows.append({"formula": who, "units_per_arm": n})
    return rows


def _record(source: Table | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """What reproduces it; without a table there is no data to name."""
    given = {k: v for k, v in options.items() if v is not None and v is not False and v not in ((), [])}
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
            words += [option] if one is True else [option, shlex.quote(str(one))]
    return {**made, "command": " ".join(words)}
