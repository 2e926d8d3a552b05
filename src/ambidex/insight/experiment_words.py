"""An experiment's result in a manager's words: headline, findings, tiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ambidex.insight.experiment_data import Reading
from ambidex.report.answer import Figure, Finding, Strength
from ambidex.report.words import count, listing, plural, share, signed_points
from ambidex.stats.claim import Verdict
from ambidex.stats.compare import Level
from ambidex.stats.estimate import Estimate
from ambidex.stats.laws import normal_quantile

__all__ = [
    "Comparison", "Style", "arm_name", "arms_figure", "in_words", "lift_words", "metric_finding", "odds", "p_text",
    "percent", "roughly", "secondary_findings", "sentence",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Comparison:
    """One arm against the control on one metric.

    Attributes:
        reading: The metric, all arms.
        arm, control: As shown; ``difference.arm`` and ``.control`` are the labels.
        candidate, baseline: Their levels.
        difference: Estimate on its own, at 1 - alpha: the one shown. A verdict in a family is decided on wider
            bounds, which its ``because`` gives.
        verdict: Of "the difference is above 0", or of a guardrail's claim.
        equal: Verdict of "the difference is outside ±margin", if a margin was stated.
        lift: Relative difference, or None where it has no meaning.
        clusters: Clusters that the difference rests on, where units come in clusters.
    """

    reading: Reading
    arm: str
    control: str
    candidate: Level
    baseline: Level
    difference: Estimate
    verdict: Verdict
    equal: Verdict | None = None
    lift: Estimate | None = None
    clusters: int | None = None

    @property
    def more(self) -> str:
        """Units still needed for a verdict, in words; empty where none are, or it is not known."""
        needed = self.verdict.needed
        if needed is None:
            return ""
        text = f"{roughly(needed)} more units"
        if self.clusters and self.difference.n:
            text += f" ({plural(float(f'{needed * self.clusters / self.difference.n:.2g}'), 'cluster')} like these)"
        return text

    @property
    def detectable(self) -> float | None:
        """Smallest true difference that such a test finds four times in five; None if unknown."""
        e = self.difference
        if not e.se or not math.isfinite(e.low) or not math.isfinite(e.high):
            return None
        return (e.high - e.low) / 2 + normal_quantile(0.8) * e.se

    @property
    def only_alone(self) -> bool:
        """True if the interval shown leaves zero out, but the verdict in its family is open."""
        return self.verdict.outcome == "open" and (self.difference.low > 0 or self.difference.high < 0)

    @property
    def same(self) -> bool:
        """True if the difference was shown to lie inside ±margin."""
        return self.equal is not None and self.equal.outcome == "refuted"


@dataclass(frozen=True, slots=True)
class Style:
    """How a metric's values are written: as precisely as the interval is wide, no more."""

    shares: bool
    digits: int

    @classmethod
    def of(cls, reading: Reading, estimate: Estimate) -> Style:
        """Digits from the half width of the interval."""
        shares = estimate.unit == "share"
        half = (estimate.high - estimate.low) / 2 * (100 if shares else 1)
        if not math.isfinite(half) or half <= 0:
            half = abs(reading.levels[0].value) * (100 if shares else 1) / 10 or 1.0
        place = -math.floor(math.log10(half))
        return cls(shares, max(1, min(4, place)) if shares else max(0, min(6, place + 1)))

    def level(self, value: float) -> str:
        """A mean, ratio or share."""
        return share(value, self.digits) if self.shares else self._fixed(value, "")

    def delta(self, value: float) -> str:
        """A difference with its sign and unit."""
        return signed_points(value, self.digits) if self.shares else self._fixed(value, "+")

    def range(self, low: float, high: float) -> str:
        """Two bounds of a difference; the unit stands at the value."""
        if not math.isfinite(low) or not math.isfinite(high):
            return "no interval"
        return f"{self.delta(low)} to {self.delta(high)}".replace(" points", "").replace(" point", "")

    def _fixed(self, value: float, sign: str) -> str:
        if not math.isfinite(value):
            return "–"
        text = f"{value:{sign},.{self.digits}f}"
        return (text.lstrip("+-") if not text.strip("+-0.,") else text).replace("-", "−")


def roughly(n: int | None) -> str:
    """A count to two digits: what is needed is itself an estimate.

    >>> roughly(179133), roughly(None)
    ('180,000', '')
    """
    if n is None:
        return ""
    return count(float(f"{n:.2g}"))


def p_text(p: float) -> str:
    """A p-value for people.

    >>> p_text(0.001554), p_text(1e-9)
    ('p = 0.0016', 'p < 0.0001')
    """
    return f"p = {p:.2g}" if p >= 0.0001 else "p < 0.0001"


def odds(p: float) -> str:
    """A p-value of a check as words.

    >>> odds(0.0086), odds(0.4), odds(1e-12)
    ('chance does this in 1 of 116 tests', 'as chance leaves it', 'chance does this in fewer than 1 of a million tests')
    """
    if p >= 0.05:
        return "as chance leaves it"
    if p < 1e-6:
        return "chance does this in fewer than 1 of a million tests"
    times = round(1 / p) if p > 0.001 else float(f"{1 / p:.2g}")
    return f"chance does this in 1 of {count(times)} tests"


def in_words(verdict: Verdict) -> str:
    """A verdict on "the difference is above 0" in two words."""
    return {"supported": "a clear rise", "refuted": "a clear fall", "open": "not clear"}[verdict.outcome]


def arm_name(label: str, group: str) -> str:
    """An arm as shown: a bare number or yes and no says nothing without its column.

    >>> arm_name("1", "treat"), arm_name("gate_40", "version"), arm_name("1", "")
    ('treat 1', 'gate_40', '1')
    """
    bare = label.strip().lower()
    if group and (bare in ("true", "false", "yes", "no", "t", "f", "y", "n") or _is_number(bare)):
        return f"{group} {label}"
    return label


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def lift_words(c: Comparison) -> str:
    """The relative difference as a sentence; empty where it has no meaning."""
    if c.lift is None or not math.isfinite(c.lift.low + c.lift.high):
        return ""
    lift, label = c.lift, c.reading.metric.label
    digits = 0 if lift.high - lift.low > 0.2 else 1
    value, low, high = (percent(x, digits) for x in (lift.value, lift.low, lift.high))
    if low == high:
        return ""  # finer than a tenth of a percent, or no width at all: the absolute difference tells it
    if c.verdict.outcome == "open":
        return f"In relative terms, {label} with {c.arm} may differ by {low} to {high}"
    way = "higher" if lift.value > 0 else "lower"
    return f"In relative terms, {label} is {value.lstrip('+−')} {way} with {c.arm} ({low} to {high})"


def percent(x: float, digits: int = 1) -> str:
    """A relative difference with its sign.

    >>> percent(-0.043), percent(0.7216, 0)
    ('−4.3%', '+72%')
    """
    if not math.isfinite(x):
        return "–"
    text = f"{100 * x:+,.{digits}f}%"
    return (text.lstrip("+-") if not text.strip("+-0.,%") else text).replace("-", "−")


def sentence(c: Comparison, margin: float | None) -> str:
    """The finding in one sentence. The verdict chooses the verb, never the point estimate."""
    e, label = c.difference, c.reading.metric.label
    style = Style.of(c.reading, e)
    treated, control = style.level(c.candidate.value), style.level(c.baseline.value)
    span = f"({style.delta(e.value)}, {style.range(e.low, e.high)})"
    if c.verdict.outcome == "open":
        if c.same and margin is not None:
            bound = style.delta(margin).lstrip("+")
            return f"{label} is the same with {c.arm} as with {c.control}, give or take {bound} {span}"
        tail = ", clear alone but not among all comparisons" if c.only_alone else ""
        return f"No clear difference in {label}: {treated} with {c.arm}, {control} with {c.control} {span}{tail}"
    verb = "rose" if c.verdict.outcome == "supported" else "fell"
    tail = ", which is inside the margin" if c.same else ""
    return f"{label} {verb} from {control} to {treated} with {c.arm} {span}{tail}"


def metric_finding(
    comparisons: list[Comparison], margin: float | None, strength: Strength, looked: str, lead: Comparison
) -> Finding:
    """One metric's arms against the control, with the picture of the differences.

    ``lead`` is what the headline says; its metric's finding says what the headline leaves out.
    """
    first = comparisons[0]
    label, shares = first.reading.metric.label, first.difference.unit == "share"
    most = max(comparisons, key=lambda c: (c.verdict.outcome != "open", abs(c.difference.value)))
    level = 100 * most.difference.level
    rows = tuple(
        {
            "label": c.arm,
            "value": c.difference.value,
            "low": c.difference.low,
            "high": c.difference.high,
            "clear": c.verdict.outcome != "open",
        }
        for c in comparisons
        if math.isfinite(c.difference.low) and math.isfinite(c.difference.high)
    )
    title, others = _title(comparisons, margin, lead, most)
    figure = Figure(
        form="effect-bars",
        title=f"{label} against {first.control}",
        subtitle=f"{'percentage points' if shares else 'difference'}, with {level:.3g}% intervals",
        unit="points" if shares else label,
        rows=rows,
        sentence="; ".join(sentence(c, margin) for c in comparisons[:4]) + ".",
        less=f"less {label}",
        more=f"more {label}",
    )
    if most.verdict.outcome == "open":
        so_what = "Not decided." + (f" About {most.more} would tell, if the truth is as seen." if most.more else "")
        if most.same:
            so_what = "Choose by cost; this outcome does not tell the arms apart."
    else:
        higher = most.arm if most.verdict.outcome == "supported" else most.control
        so_what = f"If more {label} is better, {higher} is the better arm."
    text = ". ".join(others[:3])
    return Finding(
        title=title,
        text=text + "." if text else "",
        strength=strength,
        so_what=so_what,
        how_sure=f"{level:.3g}% interval; {looked}." if rows else f"There is no interval to judge by; {looked}.",
        figure=figure if rows else None,
    )


def secondary_findings(comparisons: Sequence[Comparison]) -> list[Finding]:
    """One finding for all secondary outcomes, or none."""
    if not comparisons:
        return []
    clear = [c for c in comparisons if c.verdict.outcome != "open"]
    names = list(dict.fromkeys(c.reading.metric.label for c in comparisons))
    title = (
        f"Beside the question: {sentence(clear[0], None)}" if clear else f"Beside it, nothing clear in {listing(names)}"
    )
    rest = [sentence(c, None) for c in (clear[1:] if clear else comparisons)]
    text = ". ".join(rest[:2]) + "." if rest else ""
    left = len(comparisons) - len(clear)
    if clear and left:
        text += f" {left} of {len(comparisons)} secondary comparisons {'is' if left == 1 else 'are'} not clear."
    return [
        Finding(
            title=title,
            text=text.strip(),
            strength="some" if clear else "weak",
            so_what="Secondary outcomes explain; they do not decide.",
            how_sure="Judged together, so that few of those called clear are chance.",
        )
    ]


def _title(
    comparisons: list[Comparison], margin: float | None, lead: Comparison, most: Comparison
) -> tuple[str, list[str]]:
    """Title and further sentences of a metric's finding."""
    if lead not in comparisons:
        return sentence(most, margin), [sentence(c, margin) for c in comparisons if c is not most]
    rest = [sentence(c, margin) for c in comparisons if c is not lead]
    label = lead.reading.metric.label
    lift = lift_words(lead)
    if lift:
        return lift, rest
    if rest:
        return rest[0], rest[1:]
    style = Style.of(lead.reading, lead.difference)
    return (
        f"The difference in {label}: {style.range(lead.difference.low, lead.difference.high)} is what the data allow",
        rest,
    )


def arms_figure(
    reading: Reading, labels: tuple[str, ...], shares: bool, intervals: Sequence[tuple[float, float]]
) -> Figure:
    """Each arm's own level, with its interval."""
    rows = []
    for label, level, (low, high) in zip(labels, reading.levels, intervals, strict=True):
        if math.isfinite(low) and math.isfinite(high):
            rows.append({"label": label, "value": level.value, "low": low, "high": high, "n": level.n})
    name, units = reading.metric.label, plural(sum(v.n for v in reading.levels), "unit")
    said = "; ".join(
        f"{r['label']} {share(float(str(r['value']))) if shares else format(float(str(r['value'])), ',.4g')}"
        for r in rows
    )
    return Figure(
        form="interval-dots",
        title=f"{name} by arm",
        subtitle=f"{'share' if shares else reading.metric.kind} per arm, with 95% intervals, {units}",
        unit="share" if shares else name,
        rows=tuple(rows),
        sentence=f"{name} by arm: {said}.",
    )
