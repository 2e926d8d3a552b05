"""What segments exist: types, tiers of one ladder, or none; each with a rule and what it is worth."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.bundle.segments import SegmentScorer
from ambidex.data.read import read
from ambidex.data.record import record
from ambidex.data.table import Table
from ambidex.data.write import checked_out, write_columns
from ambidex.errors import DataError, UsageError, did_you_mean
from ambidex.insight import segments_words as say
from ambidex.insight.segments_buying import Buying, buying, summary_buying
from ambidex.insight.segments_rows import Rows, from_log, from_table
from ambidex.insight.segments_try import LABELS, Tried, try_approach
from ambidex.records import Prepare, Recipe
from ambidex.report.answer import Answer, Caution, Check
from ambidex.stats.claim import Claim, Verdict, decide, decide_all
from ambidex.stats.estimate import Estimate
from ambidex.stats.grouping import Board, between, beyond_chance
from ambidex.stats.rules import Rule, best_rule

__all__ = ["segments"]

SCALES = ("auto", "none", "standard", "log")
MOST = 50
Ints = npt.NDArray[np.int64]


def segments(
    table: Any,
    *,
    unit: str | None = None,
    time: str | None = None,
    value: str | None = None,
    approach: str | Sequence[str] | None = None,
    k: int | None = None,
    scale: str = "auto",
    out: str | Path | None = None,
    seed: int = 0,
    now: datetime | None = None,
    notes: Sequence[tuple[str, str]] = (),
) -> Answer:
    """What segments exist, and what each is worth.

    With ``unit``, ``time`` and ``value`` the table is an order log: customers are described by what was known at
    half time (recency, frequency, money, tenure, breadth), and segments are measured on the money of the second
    half. Else every row is a customer; ``value`` is then what segments are measured on, and no input.

    Existence comes before the number of groups: segments are *types* only where every pair of groups has a valley
    between them on rows that did not draw them, and where they come again in bootstrap samples. A ladder without
    steps is cut into *tiers*. Without either there are *none*.

    Args:
        table: What ``data.read.read`` takes.
        unit: Who a row belongs to.
        time: Time of the order, for a log.
        value: Money; for a log also two columns with ``*`` (``Quantity*UnitPrice``).
        approach: ``rfm``, ``tiers``, ``kmeans``, ``mixture``, ``medoids``, ``classes``, ``hdbscan``: one or several.
        k: Number of segments; looked for if None.
        scale: How numbers are read: ``auto``, ``none``, ``standard``, ``log``.
        out: A CSV or Parquet file for unit and segment.
        seed: Of halves, beginnings and bootstrap samples.
        now: Orders after it are in the future; the clock's time if None.
        notes: (code, text) cautions that only people know.

    Raises:
        UsageError: ``usage.value`` for an unknown approach or scale, or k outside 2 to 50.
        NotFound: ``data.no-column``.
        DataError: ``data.no-inputs``, ``data.too-few-rows``; for a log ``data.one-unit``, ``data.one-date``,
            ``data.future-dates``, ``data.negative-values``, ``data.column-type``.
    """
    source = read(table)
    chosen = _approaches(approach)
    _check(k, scale)
    if time is not None and (unit is None or value is None):
        raise UsageError(
            "usage.value", "an order log needs --unit, --time and --value", found="--time without the others",
            do="ambidex segments TABLE --unit COL --time COL --value COL",
        )  # fmt: skip
    path = checked_out(out, source.files) if out is not None else None
    if time is not None:
        assert unit is not None and value is not None
        rows = from_log(source, unit=unit, time=time, value=value, now=now or datetime.now(UTC))
    else:
        for name in (unit, value):
            if name is not None:
                source.require(name)
        rows = from_table(source, unit=unit, value=value)
    if rows.count < (k or 2) or rows.count < 4:
        raise DataError(
            "data.too-few-rows",
            f"{rows.count:,} {rows.noun}s cannot make {k or 2} segments",
            where=source.name,
            do="ask for fewer (--k 2), or bring more rows",
        )
    tries, failed = _tries(rows, chosen, k=k, scale=scale, seed=seed)
    board = _board(rows, tries, seed)
    gains = _gains(board)
    together = _together(rows, seed) if rows.log is None else None
    shipped = _ship(rows, tries, board, gains, explicit=bool(chosen), together=together)
    ladder = together if rows.log is None else _ladder(board, shipped)
    verdict = "types" if shipped.types else "tiers" if _is_ladder(rows, ladder, shipped) else "none"
    shown = verdict != "none" or bool(chosen) or k is not None
    scorer = SegmentScorer(shipped.model)
    today = scorer.score_columns(rows.today, len(next(iter(rows.today.values())))).astype(np.int64)
    rules = [best_rule(_used(rows, shipped), shipped.labels == g) for g in range(shipped.k)]
    bought = buying(rows.log, today, shipped.names) if rows.log is not None else summary_buying(rows.columns)
    listed = _listed(shipped, today, rules, board, bought) if shown else []
    if path is not None:
        _write(path, rows, unit, [shipped.names[g] for g in today] if shown else ["all"] * len(today))
    story = say.Story(rows, tries, shipped, board, gains, ladder, verdict, listed, rules, bought, k=k)
    options = {
        "unit": unit, "time": time, "value": value, "approach": ",".join(chosen) or None, "k": k,
        "scale": None if scale == "auto" else scale,
    }  # fmt: skip
    recipe = _recipe(source, rows, shipped, unit=unit, time=time, value=value, scale=scale, seed=seed)
    cautions = [*notes, *say.cautions(story), *(bought.notes if bought else ()), *failed, *rows.cautions]
    packable = shown and shipped.k > 1
    return Answer(
        verb="segments",
        question=say.question(story),
        headline=say.headline(story),
        strength=say.strength(story),
        recommendation=say.recommendation(story),
        numbers=say.tiles(story),
        estimates=tuple(_estimates(board, shipped, together, bought, shown)),
        verdicts=tuple(_verdicts(tries, gains, ladder, bought)),
        checks=tuple(_checks(story)),
        cautions=tuple(dict.fromkeys(Caution(*c) for c in cautions)),
        findings=say.findings(story),
        actions=say.actions(story),
        unknowns=say.unknowns(story),
        method=say.method(story, scale),
        tables=say.tables(story),
        record=record(source, verb="segments", options=options, seed=seed),
        extra={
            "verdict": verdict,
            "segments": listed,
            "scoreboard": say.scoreboard(story),
            **({"buying": bought.to_dict()} if bought else {}),
        },
        model={"recipe": recipe.to_json()} if packable else None,
        next=("ambidex report answer/N", *(("ambidex package answer/N --name NAME",) if packable else ())),
    )


def _approaches(approach: str | Sequence[str] | None) -> list[str]:
    if approach is None:
        return []
    parts = approach.split(",") if isinstance(approach, str) else [p for a in approach for p in str(a).split(",")]
    names = list(dict.fromkeys(p.strip() for p in parts if p.strip()))
    for name in names:
        if name not in LABELS:
            raise UsageError(
                "usage.value", f"there is no approach {name!r}{did_you_mean(name, LABELS)}", where="--approach",
                found=", ".join(LABELS), do="--approach rfm,kmeans,mixture",
            )  # fmt: skip
    return names


def _check(k: int | None, scale: str) -> None:
    if k is not None and (isinstance(k, bool) or not isinstance(k, int) or not 2 <= k <= MOST):
        raise UsageError("usage.value", f"k is {k!r}; it takes whole numbers from 2 to {MOST}", where="--k", do="--k 4")
    if scale not in SCALES:
        raise UsageError(
            "usage.value", f"there is no scale {scale!r}{did_you_mean(str(scale), SCALES)}", where="--scale",
            found=", ".join(SCALES), do="--scale standard",
        )  # fmt: skip


def _usual(rows: Rows) -> list[str]:
    if rows.log is not None:
        return ["rfm", "kmeans", "mixture"]
    if not rows.numbers:
        return ["classes"]
    mixed = len(rows.numbers) < len(rows.columns)
    return ["tiers", "kmeans", "mixture", *(["medoids"] if mixed else [])]


def _tries(
    rows: Rows, chosen: list[str], *, k: int | None, scale: str, seed: int
) -> tuple[list[Tried], list[tuple[str, str]]]:
    tries, failed = [], []
    for approach in chosen or _usual(rows):
        try:
            tries.append(try_approach(rows, approach, k=k, scale=scale, seed=seed))
        except DataError as error:
            if error.code != "data.no-inputs":
                raise
            failed.append(("not-tried", f"{LABELS[approach]}: {_why_not(approach)}"))
    if not tries:
        raise DataError(
            "data.no-inputs", f"no approach fits these columns: {'; '.join(t for _, t in failed)}",
            found=", ".join(rows.columns), do="choose another --approach, or leave it out",
        )  # fmt: skip
    return tries, failed


def _why_not(approach: str) -> str:
    if approach == "rfm":
        return "it needs an order log (--unit, --time, --value), or the columns recency, frequency and money"
    return "it needs categories" if approach == "classes" else "it needs numbers"


def _board(rows: Rows, tries: list[Tried], seed: int) -> Board | None:
    """All approaches on one value, the plain tiers first: they are what the others must beat."""
    if rows.value is None:
        return None
    first = sorted(tries, key=lambda t: t.approach not in ("rfm", "tiers"))
    known = rows.known
    return between(
        rows.value[known], {t.approach: t.labels[known] for t in first}, {t.approach: t.names for t in first},
        what=rows.what, unit="", seed=seed, ends={t.approach: _ends(rows, t) for t in first},
    )  # fmt: skip


def _ends(rows: Rows, tried: Tried) -> tuple[int, int]:
    """The segments that spent most and least up to half time: named before what comes after is looked at."""
    if tried.approach in ("rfm", "tiers") or rows.log is None:
        return 0, tried.k - 1
    past = rows.columns.get("money", rows.columns.get("frequency", next(iter(rows.columns.values()))))
    sums = np.bincount(tried.labels, weights=past, minlength=tried.k)
    means = sums / np.maximum(np.bincount(tried.labels, minlength=tried.k), 1)
    return int(means.argmax()), int(means.argmin())


def _gains(board: Board | None) -> dict[str, Verdict]:
    """For each approach but the first the claim that it tells more of the value than the first does."""
    if board is None or not board.gains:
        return {}
    ways = list(board.gains)
    claims = [Claim(measure=board.gains[w].name, relation="above", margin=0.0) for w in ways]
    return dict(zip(ways, decide_all(claims, [board.gains[w] for w in ways], family="holm"), strict=True))


def _together(rows: Rows, seed: int) -> Verdict:
    """The claim that the inputs share an axis beyond what chance would give them."""
    parts = [np.where(np.isfinite(v), v, np.nanmedian(v)) for v in rows.numbers.values()]
    for values in rows.columns.values():
        if values.dtype.kind == "O":
            labels, counts = np.unique([v for v in values.tolist() if v is not None], return_counts=True)
            if len(labels) > 1:
                parts.append((values == labels[counts.argmax()]).astype(np.float64))
    x = np.column_stack(parts) if parts else np.zeros((rows.count, 0))
    ranks = np.argsort(np.argsort(x, axis=0, kind="stable"), axis=0, kind="stable").astype(np.float64)
    distinct = np.array([len(np.unique(c)) > 2 for c in x.T], dtype=bool)
    x = np.where(distinct[None], ranks, x) if x.shape[1] else x
    estimate = beyond_chance(x, name="share of the columns' first common axis, beyond chance", seed=seed)
    return decide(Claim(measure=estimate.name, relation="above", margin=0.0), estimate)


def _ladder(board: Board | None, shipped: Tried) -> Verdict | None:
    """For a log: the claim that the highest segment brings more than the lowest afterwards."""
    if board is None:
        return None
    spread = board.spread[shipped.approach]
    return decide(Claim(measure=spread.name, relation="above", margin=0.0), spread)


def _is_ladder(rows: Rows, ladder: Verdict | None, shipped: Tried) -> bool:
    if rows.log is None and len(rows.columns) == 1:
        return shipped.k > 1  # one column is its own ladder
    return ladder is not None and ladder.outcome == "supported" and shipped.k > 1


def _ship(
    rows: Rows, tries: list[Tried], board: Board | None, gains: dict[str, Verdict], *, explicit: bool,
    together: Verdict | None,
) -> Tried:  # fmt: skip
    """The approach that is shown: what is not better than plain tiers, or does not come again, is not shipped."""
    by = {t.approach: t for t in tries}
    if rows.log is not None and board is not None:
        better = [w for w, v in gains.items() if v.outcome == "supported" and by[w].stable.outcome == "supported"]
        if better:
            return by[max(better, key=lambda w: board.explained[w].value)]
        return by[next(iter(board.explained))]
    types = [t for t in tries if t.types]
    if types:
        return types[0]
    if explicit:
        return tries[0]
    return by.get("tiers", tries[0])


def _used(rows: Rows, tried: Tried) -> dict[str, npt.NDArray[Any]]:
    return {i["column"]: rows.columns[i["column"]] for i in tried.model["inputs"]}


def _listed(
    shipped: Tried, today: Ints, rules: list[Rule], board: Board | None, bought: Buying | None
) -> list[dict[str, Any]]:
    counts = np.bincount(today, minlength=shipped.k)
    out = []
    for g, name in enumerate(shipped.names):
        worth = board.means[shipped.approach][g].to_dict() if board is not None else {}
        row: dict[str, Any] = {
            "name": name,
            "rule": say.rule_text(rules[g]),
            "accuracy": round(rules[g].accuracy, 6),
            "size": int(counts[g]),
            "share": round(float(counts[g]) / max(len(today), 1), 6),
            "value": worth.get("value"),
            "low": worth.get("low"),
            "high": worth.get("high"),
            "precision": round(rules[g].precision, 6),
            "recall": round(rules[g].recall, 6),
            "stability": round(float(shipped.each_stable[g]), 6),
        }
        coming = next((e for e in (bought.values if bought else ()) if e.name.endswith(f"weeks, {name}")), None)
        if coming is not None:
            figures = coming.to_dict()
            row |= {"ahead": figures["value"], "ahead_low": figures["low"], "ahead_high": figures["high"]}
        out.append(row)
    return sorted(out, key=lambda r: -r["value"] if r["value"] is not None else 0.0)


def _estimates(
    board: Board | None, shipped: Tried, together: Verdict | None, bought: Buying | None, shown: bool
) -> list[Estimate]:
    out: list[Estimate] = []
    if board is not None:
        out += board.means[shipped.approach] if shown else []
        out += [*board.explained.values(), *board.gains.values()]
    out.append(shipped.stability)
    if together is not None:
        out.append(together.estimate)
    if bought is not None:
        out += [*bought.estimates, *bought.values]
    return out


def _verdicts(
    tries: list[Tried], gains: dict[str, Verdict], ladder: Verdict | None, bought: Buying | None
) -> list[Verdict]:
    out = [v for t in tries for v in (t.valley, t.stable) if v is not None]
    out += list(gains.values())
    out += [ladder] if ladder is not None else []
    return out + ([bought.verdict] if bought is not None and bought.verdict is not None else [])


def _checks(story: say.Story) -> list[Check]:
    if not story.listed:
        return []
    shipped, checks = story.shipped, []
    worst = min(shipped.stability.value, 1.0)
    checks.append(
        Check("stability", shipped.stable.outcome == "supported", worst, 0.75,
              f"the least stable of {shipped.k} segments comes back with a mean Jaccard index of {worst:.2f}")
    )  # fmt: skip
    return checks


def _recipe(
    source: Table, rows: Rows, shipped: Tried, *, unit: str | None, time: str | None, value: str | None, scale: str,
    seed: int,
) -> Recipe:  # fmt: skip
    names = tuple(i["column"] for i in shipped.model["inputs"])
    prepare = None
    if rows.log is not None:
        prepare = Prepare(
            kind="customers", unit=str(unit), time=str(time), value=str(value), horizon_days=rows.log.window
        )
    target = "segment" if "segment" not in source.columns else "segment_found"
    kinds = {n: "number" if rows.columns[n].dtype.kind == "f" else "category" for n in names}
    return Recipe(
        data=str(source.origin.get("source") or source.source or ""), target=target, task="segments", columns=names,
        key=unit, prepare=prepare, estimator="segments", seed=seed,
        options={"approach": shipped.approach, "k": shipped.k, "scale": scale, "columns": kinds},
    )  # fmt: skip


def _write(path: Path, rows: Rows, unit: str | None, names: list[str]) -> None:
    who = rows.names.tolist() if rows.names is not None else list(range(1, len(names) + 1))
    write_columns(path, {unit or "row": who, "segment": names})
