"""What a plan's page says in words, pictures and tables."""

from __future__ import annotations

import math
from typing import Any

from ambidex.insight.plan_design import Design, rounded, units_text
from ambidex.insight.plan_options import Asked
from ambidex.report.answer import Figure, Finding
from ambidex.report.words import listing, number, plural, share, signed, signed_points
from ambidex.stats.laws import normal_p
from ambidex.stats.power import share_units
from ambidex.stats.sequences import TUNED
from ambidex.stats.sequential import spending_bounds

__all__ = ["Words", "formula_of", "parts_finding", "size_finding", "tables_of"]


class Words:
    """How this design's effects and levels are written."""

    def __init__(self, design: Design, asked: Asked) -> None:
        self.design = design
        self.digits = 1
        if design.points and design.effect:
            self.digits = max(1, min(4, 1 - math.floor(math.log10(abs(100 * design.effect)) + 1e-9)))
        self.nouns = "trials" if design.kind == "trials" and not asked.unit else "units"
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


def size_finding(design: Design, say: Words, size: float | None, seen: float | None) -> Finding | None:
    """The chart of what a test sees against its size."""
    middle = design.units(design.effect) if design.effect is not None else size
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
    sizes = sorted({round(least + (2.5 * middle - least) * (i / 26) ** 1.5) for i in range(27)} | {rounded(middle)})
    rows = [{"x": n, "value": abs(d)} for n in sizes if n >= 2 and (d := design.detectable(n)) is not None]
    wanted = None if design.effect is None else abs(design.effect)
    found = design.effect if design.effect is not None else seen
    at = f"{units_text(middle)} {say.nouns} per arm find {say.delta(found)}"
    what = "percentage points" if design.points else "standard deviations" if design.in_sd else "difference"
    figure = Figure(
        form="line-band",
        title=f"Smallest effect on {say.name} that a test finds",
        subtitle=f"{what}, by {say.nouns} per arm; power {100 * design.power:.3g}%, alpha {design.alpha:.3g}",
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
        so_what="Choose the smallest effect that would change what you do. A test planned for a larger one misses it; "
        "planned for a smaller one, it costs units.",
        how_sure="Computed from level and spread; if the spread is twice as large, so is the effect that is found.",
        figure=figure if rows else None,
    )


def parts_finding(design: Design, asked: Asked, say: Words, exact: float) -> Finding | None:
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


def formula_of(design: Design, exact: float, led_by: str) -> str:
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


def tables_of(design: Design, asked: Asked, exact: float, per_day: float | None) -> dict[str, list[dict[str, Any]]]:
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
        need = [design.guard_units(g, alpha=asked.alpha) for g in design.guards]
        tables["guardrails"] = [
            {
                "guardrail": g.spec,
                "margin": g.margin,
                "units_per_arm": None if n is None or math.isinf(n) else rounded(n),
            }
            for g, n in zip(design.guards, need, strict=True)
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
