"""The Answer: what every explore verb returns, and the Result that the other verbs return.

One set of estimates and verdicts feeds page, terminal, JSON and tests: no number is typed twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ambidex.stats.claim import Verdict
from ambidex.stats.estimate import Estimate, finite

__all__ = [
    "Answer",
    "Caution",
    "Check",
    "Figure",
    "Finding",
    "Mark",
    "Recommendation",
    "Result",
    "StoredAnswer",
]

Strength = Literal["strong", "some", "weak"]


@dataclass(frozen=True, slots=True)
class Caution:
    """Something the reader must know. ``code`` is stable; ``text`` names column and count."""

    code: str
    text: str

    def to_dict(self) -> dict[str, str]:
        return {"code": self.code, "text": self.text}


@dataclass(frozen=True, slots=True)
class Check:
    """A check of the design. ``decides`` is True if its failure stops every verdict."""

    name: str
    passed: bool
    value: float | None
    threshold: float | None
    text: str = ""
    decides: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "passed": self.passed,
            "value": None if self.value is None else finite(self.value),
            "threshold": None if self.threshold is None else finite(self.threshold),
            "text": self.text,
        }


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to do. ``verdict`` is act, do-not-act, not-enough-evidence or cannot-answer."""

    verdict: Literal["act", "do-not-act", "not-enough-evidence", "cannot-answer"]
    text: str

    def to_dict(self) -> dict[str, str]:
        return {"verdict": self.verdict, "text": self.text}


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart as data: report/charts.py draws it, the table under it lists the same rows.

    Attributes:
        form: ``effect-bars`` (label, value, low, high: diverging bars from 0 with intervals),
            ``interval-dots`` (label, value, low, high, n: dots with thick intervals, any origin),
            ``bars`` (label, value: bars from 0), ``histogram`` (left, right, value),
            ``line-band`` (x, value, low, high, series: lines with bands; x is a number, an ISO date or
            a word in reading order; at most four series are drawn), ``scatter`` (x, value, label, series:
            points; the first twelve labels are written beside them), ``heatmap`` (x, y, value: a cell
            each; deeper is more, orange and blue where values have two signs), ``pips`` (label, value, of, side,
            text: so many of so many).
        title: What it shows, as a noun phrase.
        subtitle: Unit, and what the intervals are.
        unit: ``points`` (values are shares, shown times 100 as pts), ``share`` (shown as %), ``count`` or
            any unit text.
        rows: One dict a mark. ``clear`` (bool) False draws it grey ("unclear").
        sentence: One sentence that says the same, for people who cannot see it.
        less, more: Words at the two sides of zero, for effect-bars ("less churn", "more churn").
        x_title: What the horizontal axis measures, with its unit ("units per arm").
        x_unit: ``share`` if x is a share of one (shown as %), else empty.
        step: Lines as steps (survival curves).
        reference: A dashed level to compare with (a limit, no return), ``reference_text`` its words.
    """

    form: Literal["effect-bars", "interval-dots", "bars", "histogram", "line-band", "scatter", "heatmap", "pips"]
    title: str
    subtitle: str
    unit: str
    rows: tuple[dict[str, Any], ...]
    sentence: str
    less: str = ""
    more: str = ""
    x_title: str = ""
    x_unit: str = ""
    step: bool = False
    reference: float | None = None
    reference_text: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Its fields; those of lines and points only where they are used."""
        made: dict[str, Any] = {
            "form": self.form,
            "title": self.title,
            "subtitle": self.subtitle,
            "unit": self.unit,
            "rows": [dict(r) for r in self.rows],
            "sentence": self.sentence,
            "less": self.less,
            "more": self.more,
        }
        used = (
            ("x_title", self.x_title, bool(self.x_title)),
            ("x_unit", self.x_unit, bool(self.x_unit)),
            ("step", self.step, self.step),
            ("reference", self.reference, self.reference is not None),
            ("reference_text", self.reference_text, bool(self.reference_text)),
        )
        return made | {name: value for name, value, told in used if told}


@dataclass(frozen=True, slots=True)
class Finding:
    """A conclusion: ``title`` is the sentence, ``text`` at most two more, ``figure`` the picture."""

    title: str
    text: str
    strength: Strength
    so_what: str
    how_sure: str
    figure: Figure | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "text": self.text,
            "strength": self.strength,
            "so_what": self.so_what,
            "how_sure": self.how_sure,
            "figure": self.figure.to_dict() if self.figure else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Answer:
    """The answer to one question about one table.

    Attributes:
        verb: The verb that made it.
        question: The question as a title.
        headline: The finding in one sentence.
        strength: ``strong``, ``some`` or ``weak`` evidence.
        recommendation: What to do.
        numbers: Up to three (label, value as text, range as text) for the tiles of the page.
        estimates, verdicts, checks, cautions, findings: The contract's lists.
        actions: Rows (do this, who, effort, expected effect) for the page.
        unknowns: What this cannot tell, a sentence each.
        method: How it was made, a sentence or two.
        tables: Name -> list of rows (dicts), shown under the charts and in JSON.
        record: What reproduces it: data fingerprint, options, seed, versions, command, origin of the data.
        extra: Keys of ``data`` beyond the common ones (``columns``, ``fit``, ``left_out`` ...).
        name: Its name in the workspace (`answer/12`), or None.
        model: A prototype's JSON (bundle/additive.py) where the verb makes one.
        next: Commands to try next.
    """

    verb: str
    question: str
    headline: str
    recommendation: Recommendation
    strength: Strength = "some"
    numbers: tuple[tuple[str, str, str], ...] = ()
    estimates: tuple[Estimate, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    checks: tuple[Check, ...] = ()
    cautions: tuple[Caution, ...] = ()
    findings: tuple[Finding, ...] = ()
    actions: tuple[tuple[str, str, str, str], ...] = ()
    unknowns: tuple[str, ...] = ()
    method: str = ""
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    name: str | None = None
    model: dict[str, Any] | None = None
    next: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """False if the design cannot answer the question (exit 4)."""
        return self.recommendation.verdict != "cannot-answer"

    @property
    def charts(self) -> list[Any]:
        """The pictures as Altair charts, to take and change."""
        from ambidex.report.charts import altair_chart

        return [altair_chart(f.figure) for f in self.findings if f.figure is not None]

    def to_dict(self) -> dict[str, Any]:
        """``data`` of the JSON contract."""
        return {
            "answer": self.name,
            "verb": self.verb,
            "question": self.question,
            "headline": self.headline,
            "strength": self.strength,
            "recommendation": self.recommendation.to_dict(),
            "numbers": [list(n) for n in self.numbers],
            "verdicts": [v.to_dict() for v in self.verdicts],
            "estimates": [e.to_dict() for e in self.estimates],
            "checks": [c.to_dict() for c in self.checks],
            "cautions": [c.to_dict() for c in self.cautions],
            "findings": [f.to_dict() for f in self.findings],
            "actions": [list(a) for a in self.actions],
            "unknowns": list(self.unknowns),
            "method": self.method,
            "tables": self.tables,
            "record": self.record,
            **self.extra,
        }

    def to_frame(self) -> Any:
        """The estimates as rows, in the caller's dataframe type (pandas, polars, pyarrow), else Arrow."""
        from ambidex.report.frame import estimates_frame

        return estimates_frame(self)

    def report(self, path: str | Path) -> Path:
        """Write the page; the form follows the ending (.html or .md)."""
        from ambidex.report.page import write_report

        return write_report([self.to_dict()], Path(path))

    def prototype(self) -> dict[str, Any]:
        """The model that the answer rests on, as ``package`` takes it.

        Raises:
            NotFound: ``data.no-prototype`` if this answer carries none.
        """
        if self.model is None:
            from ambidex.errors import NotFound

            raise NotFound("data.no-prototype", f"this answer ({self.verb}) carries no prototype")
        return self.model

    def named(self, name: str) -> Answer:
        """The same answer with its name in the workspace."""
        return replace(self, name=name)

    def __repr__(self) -> str:
        return f"<{self.name or 'Answer'} of {self.verb}: {self.headline}>"

    def _repr_html_(self) -> str:
        from ambidex.report.page import cell_html

        return cell_html(self.to_dict())


StoredAnswer = dict[str, Any]
"""An answer as kept in a workspace: ``to_dict()`` plus ``model``. The page is made from this."""

Mark = Literal["✓", "▲", "■", " "]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Result:
    """What the deliver and run verbs return; keys of ``data`` read as attributes.

    Attributes:
        verb: The verb.
        data: ``data`` of the JSON contract.
        lines: For the terminal: (mark, text) a line; the first is the answer.
        passed: False if a check said no (exit 4).
        code: The failed check's code (``check.gate``), if not passed.
        do: What to do about it, if not passed.
        warnings: (code, text) pairs.
        next: Commands to try next.
    """

    verb: str
    data: dict[str, Any]
    lines: tuple[tuple[Mark, str], ...] = ()
    passed: bool = True
    code: str | None = None
    do: str | None = None
    warnings: tuple[tuple[str, str], ...] = ()
    next: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<{self.verb}: {'; '.join(text for _, text in self.lines) or self.data}>"

    def __getattr__(self, key: str) -> Any:
        try:
            return object.__getattribute__(self, "data")[key]
        except KeyError:
            raise AttributeError(f"{self.verb} result has no {key!r}; it has {', '.join(self.data)}") from None

    def to_dict(self) -> dict[str, Any]:
        """``data`` of the JSON contract."""
        return self.data


Progress = Callable[[str], None]
