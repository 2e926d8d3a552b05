"""The watcher's protocol: how often it rings though nothing changed, and how soon where something did.

    python benchmarks/monitor_protocol.py [--scale 1.0] [--only NAME] [--write]

20 mixed columns, a reference of 10,000 rows, 200 looks of 1,000 rows, the change at look 100; one false alarm a year,
365 looks a year, split over the detectors as the product splits it. Everything runs through the product's own passes
(`watch.monitor.advance`, `watch.harm`, `watch.labelled`). ``--scale .1`` takes a tenth of the seeds.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from ambidex.bundle.reference import cells_of, number_entry, slots
from ambidex.bundle.reference_rows import calibration_of, sample_of
from ambidex.records import Column, Schema
from ambidex.watch import harm, labelled
from ambidex.watch.budget import share
from ambidex.watch.incidents import acknowledge
from ambidex.watch.layers import new_layers
from ambidex.watch.log import Due
from ambidex.watch.look import ColumnLook, Look, binned
from ambidex.watch.monitor import advance, new_state

RATE = 1 / 365
LOOKS, CHANGE, ROWS, REFERENCE = 200, 100, 1_000, 10_000
NUMBERS = CATEGORIES = 10
LEVELS, SHARES = ("basic", "plus", "gold", "trial"), np.array([0.5, 0.3, 0.15, 0.05])
START = datetime(2026, 1, 5, tzinfo=UTC)
SCHEMA = Schema(
    columns=(
        *(Column(name=f"n{i}", type="float", nullable=True) for i in range(NUMBERS)),
        *(Column(name=f"c{i}", type="category", nullable=True, levels=LEVELS) for i in range(CATEGORIES)),
    ),
    target="y", task="binary", classes=("no", "yes"),
)  # fmt: skip


@dataclass
class World:
    """How rows are made; each change is one field.

    Numbers are N(0,1), n9 a quarter zeros, 2% of n8 missing; categories have four levels.
    """

    shift: dict[int, float] = field(default_factory=dict)
    correlation: float = 0.0
    missing: float = 0.0
    unseen: float = 0.0
    concept: bool = False
    season: float = 0.0


def rows_of(rng: np.random.Generator, n: int, world: World, day: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers (n, 10), places of levels (n, 10; 4 = never seen, 5 = missing), P(yes)."""
    x = rng.normal(size=(n, NUMBERS))
    if world.correlation:
        for j in (0, 2):
            x[:, j + 1] = world.correlation * x[:, j] + np.sqrt(1 - world.correlation**2) * x[:, j + 1]
    wave = world.season * np.sin(2 * np.pi * day / 7)
    x[:, :5] += wave
    for j, by in world.shift.items():
        x[:, j] += by
    x[:, 9] = np.where(rng.random(n) < 0.25, 0.0, x[:, 9])
    x[rng.random(n) < 0.02, 8] = np.nan
    u = rng.random((n, CATEGORIES))
    shares = SHARES.copy()
    if world.season:
        shares = np.clip(SHARES + np.array([1, -1, 0, 0]) * 0.1 * np.sin(2 * np.pi * day / 7), 0.01, 1)
    c = np.searchsorted(np.cumsum(shares)[:-1], u).astype(np.int64)
    if world.missing:
        x[rng.random(n) < world.missing, 4] = np.nan
        c[rng.random(n) < world.missing, 4] = 5
    if world.unseen:
        c[rng.random(n) < world.unseen, 5] = 4
    slope = np.nan_to_num(x) @ WEIGHTS + 0.5 * (c[:, 0] == 0) - 0.5 * (c[:, 1] == 1)
    return x, c, 1 / (1 + np.exp(-(slope - 0.5)))


WEIGHTS = np.array([0.9, -0.7, 0.5, 0.4, -0.4, 0.3, 0.0, 0.0, 0.2, 0.0])


def truth_of(rng: np.random.Generator, p: np.ndarray, x: np.ndarray, world: World) -> np.ndarray:
    """Outcomes; a concept change turns the strongest column's effect round."""
    if world.concept:
        logit = np.log(p / (1 - p)) - 1.35 * np.nan_to_num(x[:, 0])
        p = 1 / (1 + np.exp(-logit))
    return rng.random(len(p)) < p


def category_entry(c: np.ndarray) -> dict[str, Any]:
    counts = np.bincount(c, minlength=6)
    return {
        "kind": "category", "levels": list(LEVELS), "others": [], "many": False, "counts": counts.tolist(),
        "limits": {"missing": float(counts[5] / len(c) + 0.05), "unseen": 0.01},
    }  # fmt: skip


def reference_of(rng: np.random.Generator, world: World, *, season: bool = False) -> dict[str, Any]:
    """The reference as a bundle keeps it; with a season its rows come from all days of the week."""

    def made(n: int) -> tuple[np.ndarray, ...]:
        if not season:
            return rows_of(rng, n, world)
        days = [rows_of(rng, n // 7 + 1, world, day) for day in range(7)]
        return tuple(np.concatenate([d[k] for d in days])[:n] for k in range(3))

    cut, (x, c, p) = made(REFERENCE), made(REFERENCE)
    columns: dict[str, Any] = {}
    for j in range(NUMBERS):
        columns[f"n{j}"] = number_entry(x[:, j], cut[0][:, j])
        columns[f"n{j}"]["limits"]["not_numbers"] = 0.01
    for j in range(CATEGORIES):
        columns[f"c{j}"] = category_entry(c[:, j])
    y = truth_of(rng, p, x, World())
    losses = (y - p) ** 2
    cells = np.stack(
        [cells_of(columns[f"n{j}"], x[:, j]) for j in range(NUMBERS)] + [c[:, j] for j in range(CATEGORIES)], axis=1
    )
    return {
        "rows": len(x), "columns": columns, "score": number_entry(p), "sample": sample_of(cells.astype(np.uint8)),
        "loss": {
            "n": len(x), "mean": float(losses.mean()), "sd": float(losses.std(ddof=1)), "cap": 1.0, "spread": None
        },
        "calibration": calibration_of(p, y.astype(float), task="binary", spread=None),
    }  # fmt: skip


def look_of(reference: dict[str, Any], x: np.ndarray, c: np.ndarray, p: np.ndarray, day: int, *, cells: bool) -> Look:
    """A look's counts, as the product's own counting would give them."""
    columns, kept = {}, []
    for j in range(NUMBERS):
        entry = reference["columns"][f"n{j}"]
        place = cells_of(entry, x[:, j])
        columns[f"n{j}"] = ColumnLook(counts=np.bincount(place, minlength=len(entry["counts"])).astype(np.int64))
        kept.append(place)
    for j in range(CATEGORIES):
        columns[f"c{j}"] = ColumnLook(counts=np.bincount(c[:, j], minlength=6).astype(np.int64))
        kept.append(c[:, j])
    began = (START + timedelta(days=day)).isoformat().replace("+00:00", "Z")
    score = np.bincount(cells_of(reference["score"], p), minlength=len(slots(reference["score"]))).astype(np.int64)
    return Look(
        rows=len(x), columns=columns, score=score, score_bins=binned(p), began=began, ended=began,
        cells=np.stack(kept, axis=1).astype(np.uint8) if cells else None,
    )  # fmt: skip


@dataclass
class Heard:
    """Rings of one run: detector -> looks at which it rang."""

    rang: dict[str, list[int]] = field(default_factory=dict)

    def add(self, detector: str, look: int) -> None:
        self.rang.setdefault(detector, []).append(look)


DETECTORS = (
    "beyond", "sudden", "small", "score", "relations", "swing", "rules", "harm", "calibration", "slices"
)  # fmt: skip


def run(
    seed: int, before: World, after: World, *, looks: int = LOOKS, change: int = CHANGE, trees: bool = False,
    labels: bool = True, period: str | None = None, swing: bool = False, late: float = 0.0, lag: int = 0,
    doubled: float = 0.0,
) -> Heard:  # fmt: skip
    """One stream through the product's passes; a detector that rings starts again at once."""
    rng = np.random.default_rng([2026, seed])
    season = bool(before.season)
    reference = reference_of(rng, before, season=season)
    state, heard = new_state(1), Heard()
    state["layers"] = new_layers(period, swing=swing)  # type: ignore[arg-type]
    if period:
        for day in range(7):
            x, c, p = rows_of(rng, REFERENCE // 7, before, day)
            seen = look_of(reference, x, c, p, day, cells=False)
            state["layers"]["pools"][str((START + timedelta(days=day)).weekday())] = {
                name: seen.columns[name].counts.tolist() for name in seen.columns
            } | {"(prediction)": seen.score.tolist()}
        state["layers"]["profiles"] = dict(state["layers"]["pools"])
    limits = harm.loss_limit(reference["loss"], 0.02, task="binary")
    assert limits is not None
    waiting: list[tuple[int, np.ndarray, np.ndarray]] = []
    held: tuple[np.ndarray, ...] | None = None
    for i in range(looks):
        world = after if i >= change else before
        x, c, p = rows_of(rng, ROWS, _grown(after, i - change) if i >= change else world, i)
        y = truth_of(rng, p, x, world)
        if late:  # a tenth of the rows of a look arrive with the next
            stay = rng.random(len(x)) < late
            now = tuple(a[~stay] for a in (x, c, p))
            shown = tuple(np.concatenate([a, b]) for a, b in zip(now, held, strict=True)) if held else now
            held = tuple(a[stay] for a in (x, c, p))
        else:
            shown = (x, c, p)
        look = look_of(reference, *shown, i, cells=trees)  # type: ignore[misc]
        _, rings = advance(
            state, reference, SCHEMA, look, margin=0.02, rate=RATE, when=look.began, silent=swing
        )  # D3 is what is armed where D2 would ring with the season
        for ring in rings:
            heard.add(ring.detector, i)
        waiting.append((i + lag, p, y))
        if labels:
            due = [w for w in waiting if w[0] <= i]
            waiting = [w for w in waiting if w[0] > i]
            if due:
                q, t = np.concatenate([w[1] for w in due]), np.concatenate([w[2] for w in due])
                if doubled:  # the product counts an id once: what comes twice does not get here twice
                    q, t = q[: len(q) - int(len(q) * doubled)], t[: len(t) - int(len(t) * doubled)]
                state["harm"] = harm.take_losses(state["harm"], (t - q) ** 2, limits[1], look.began)
                alpha = share("harm", RATE) + share("slices", RATE)
                if harm.judge_harm(state["harm"], limits[1], alpha).outcome == "supported":
                    heard.add("harm", i)
                    state["harm"] = harm.harm_state()
                labelled.calibration(
                    state, reference, (t - q).tolist(), tolerance=0.02, rate=share("calibration", RATE),
                    since=look.began, when=look.began,
                )  # fmt: skip
        for alert in list(state["alerts"]):
            for part in alert["parts"]:
                kind = {"drift": "beyond", "rule": "rules"}.get(part["kind"], part["kind"])
                heard.add(kind, i)
            state = acknowledge(state, alert["id"], now=START)
    return heard


def run_labels(seed: int, kind: str, *, worse: bool, looks: int = LOOKS, change: int = CHANGE) -> Heard:
    """Harm alone: numbers, three classes, or 100 declared segments, one of which gets worse."""
    rng, heard = np.random.default_rng([77, seed]), Heard()

    def drawn(n: int, bad: bool) -> tuple[Any, list[str], np.ndarray]:
        segment = rng.integers(0, 100, n)
        if kind == "regression":
            p = rng.normal(size=n)
            y = p + rng.normal(size=n) * (0.62 if bad else 0.5)
            return p.tolist(), [repr(float(v)) for v in y], segment
        if kind == "multiclass":
            logits = rng.normal(size=(n, 3))
            p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            q = p[:, [1, 2, 0]] * 0.25 + p * 0.75 if bad else p
            y = (rng.random((n, 1)) > np.cumsum(q, axis=1)[:, :2]).sum(axis=1)
            return p.tolist(), [("a", "b", "c")[int(k)] for k in y], segment
        p = 1 / (1 + np.exp(-rng.normal(size=n)))
        q = np.where((segment == 7) & bad, 1 - p, p)
        return p.tolist(), ["yes" if u else "no" for u in rng.random(n) < q], segment

    task = {"regression": "regression", "multiclass": "multiclass"}.get(kind, "binary")
    schema = Schema(
        columns=(Column(name="segment", type="category"),), target="y", task=task,  # type: ignore[arg-type]
        classes=("a", "b", "c") if task == "multiclass" else ("no", "yes") if task == "binary" else (),
    )  # fmt: skip
    loss = {"cap": 1.0, "spread": 1.25 if task == "regression" else None}
    p, y, segment = drawn(REFERENCE, False)
    losses = np.array([harm.loss_of(schema, loss, a, b) for a, b in zip(p, y, strict=True)])
    loss |= {"n": len(losses), "mean": float(losses.mean()), "sd": float(losses.std(ddof=1))}
    names = [f"s{k:02d}" for k in range(100)]
    count = np.bincount(segment, minlength=100)
    entry = {
        "kind": "category", "levels": names, "others": [], "counts": [*count.tolist(), 0, 0],
        "losses": {
            "n": [*count.tolist(), 0, 0], "sum": [*np.bincount(segment, losses, 100).tolist(), 0, 0],
            "squares": [*np.bincount(segment, losses**2, 100).tolist(), 0, 0],
        },
    }  # fmt: skip
    reference = {"loss": loss, "columns": {"segment": entry}}
    limits = harm.loss_limit(loss, 0.02, task=task)
    assert limits is not None
    state = new_state(1)
    for i in range(looks):
        p, y, segment = drawn(ROWS, worse and i >= change)
        when = (START + timedelta(days=i)).isoformat()
        due = [
            Due(id="", version=1, p=a, label=b, at=when, predicted_at=when, row={"segment": names[k]})
            for a, b, k in zip(p, y, segment, strict=True)
        ]
        each = [(d, harm.loss_of(schema, loss, d.p, d.label)) for d in due]
        if kind == "100 segments":
            _, opened = labelled.slices(
                state, reference, schema, ["segment"], each, tolerance=0.02, rate=share("slices", RATE), since=when,
                when=when,
            )  # fmt: skip
            if opened:
                heard.add("slices", i)
                state = acknowledge(state, opened[0], now=START)
            continue
        state["harm"] = harm.take_losses(state["harm"], [v for _, v in each], limits[1], when)
        if (
            harm.judge_harm(state["harm"], limits[1], share("harm", RATE) + share("slices", RATE)).outcome
            == "supported"
        ):
            heard.add("harm", i)
            state["harm"] = harm.harm_state()
    return heard


def _grown(world: World, since: int) -> World:
    """A gradual change grows by the look; others are there at once."""
    if -1 not in world.shift:
        return world
    by = min(1.0, (since + 1) / 50) * world.shift[-1]
    return World(shift=dict.fromkeys(range(4), by))


@dataclass
class Row:
    """One row of the table."""

    name: str
    looks: int
    rang: dict[str, int]
    first: dict[str, list[int]]
    judged: int


def scenario(name: str, seeds: int, before: World, after: World, **options: Any) -> Row:
    rang: dict[str, int] = {}
    first: dict[str, list[int]] = {d: [] for d in DETECTORS}
    looks, change = options.get("looks", LOOKS), options.get("change", CHANGE)
    kind = options.pop("kind", None)
    for seed in range(seeds):
        at = seed + 1_000 * hash_of(name)
        heard = run_labels(at, kind, **options) if kind else run(at, before, after, **options)
        for detector, at in heard.rang.items():
            rang[detector] = rang.get(detector, 0) + sum(t >= change for t in at)
        for detector in DETECTORS:
            after_ = [t for t in heard.rang.get(detector, ()) if t >= change]
            first[detector].append(after_[0] - change if after_ else 10**6)
        early = {d: sum(t < change for t in at) for d, at in heard.rang.items() if 0 < change < looks}
        for detector, k in early.items():
            rang[f"early {detector}"] = rang.get(f"early {detector}", 0) + k
    return Row(name, looks * seeds, rang, first, seeds * (looks - change if change else looks))


def hash_of(name: str) -> int:
    return sum(ord(ch) * (i + 1) for i, ch in enumerate(name)) % 997


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--only", default="")
    parser.add_argument("--write", action="store_true", help="put the table into docs/monitoring.md")
    given = parser.parse_args()
    started = time.process_time()

    def seeds(n: int) -> int:
        return max(1, round(n * given.scale))

    quiet = World()
    cases: list[tuple[str, int, World, World, dict[str, Any]]] = [
        ("no drift", 30, quiet, quiet, {"change": 0}),
        ("no drift, classifier", 4, quiet, quiet, {"change": 0, "looks": 150, "trees": True, "labels": False}),
        (".1 sd, one column", 12, quiet, World(shift={0: 0.1}), {"looks": 140}),
        ("four columns", 8, quiet, World(shift=dict.fromkeys(range(4), 0.25)), {"looks": 130}),
        ("gradual", 8, quiet, World(shift={-1: 0.5}), {"looks": 160}),
        ("quality", 8, quiet, World(missing=0.1, unseen=0.01), {"looks": 130}),
        ("correlation only", 3, quiet, World(correlation=0.6), {"looks": 60, "change": 40, "trees": True}),
        ("concept", 10, quiet, World(concept=True), {"looks": 120}),
        ("weekly, one pool", 2, World(season=0.3), World(season=0.3), {"change": 0, "looks": 100}),
        ("weekly, weekday pools", 15, World(season=0.3), World(season=0.3), {"change": 0, "period": "weekday"}),
        ("weekly, pools, shift on top", 8, World(season=0.3), World(season=0.3, shift={0: 0.5}),
         {"looks": 130, "period": "weekday"}),
        ("weekly, D3", 8, World(season=0.3), World(season=0.3), {"change": 0, "swing": True}),
        ("labels 7 looks late, 5% doubled; 10% late rows", 8, quiet, World(concept=True),
         {"looks": 130, "lag": 7, "doubled": 0.05, "late": 0.1}),
        *((f"{kind}, nothing", 6, quiet, quiet, {"kind": kind, "worse": False, "change": 0, "looks": looks})
          for kind, looks in (("regression", 200), ("multiclass", 200), ("100 segments", 60))),
        *((f"{kind}, worse", 4, quiet, quiet, {"kind": kind, "worse": True, "change": 20, "looks": 50})
          for kind in ("regression", "multiclass", "100 segments")),
    ]  # fmt: skip
    rows: list[tuple[Row, float]] = []
    for name, n, before, after, options in cases:
        if given.only and given.only not in name:
            continue
        at = time.process_time()
        row = scenario(name, seeds(n), before, after, **options)
        rows.append((row, time.process_time() - at))
        print(line(row) + f"  ({rows[-1][1]:.0f} s CPU)", flush=True)
    total = time.process_time() - started
    print(f"{total:.0f} s CPU in all")
    if given.write and not given.only:
        write([row for row, _ in rows], total)


def line(row: Row) -> str:
    """One row of the table: rings where nothing (more) changed, then looks to the first ring by detector."""
    change = row.judged < row.looks
    early = {d[6:]: k for d, k in row.rang.items() if d.startswith("early ") and k}
    rang = {d: k for d, k in row.rang.items() if not d.startswith("early ") and k}
    quiet = ", ".join(f"{d} {k}" for d, k in sorted((early if change else rang).items())) or "0"
    looks = row.looks - row.judged if change else row.looks
    medians = {d: np.median(v) for d, v in row.first.items()}
    first = ", ".join(f"{d} {m:.0f}" for d, m in sorted(medians.items(), key=lambda x: x[1]) if m < 10**5)
    return f"| {row.name} | {looks:,} | {quiet} | {(first or 'none') if change else ''} |"


def write(rows: list[Row], seconds: float) -> None:
    """Put the table between its marks in docs/monitoring.md."""
    page = Path(__file__).resolve().parent.parent / "docs" / "monitoring.md"
    text = page.read_text(encoding="utf-8")
    start, end = "<!-- protocol -->", "<!-- end of protocol -->"
    head, rest = text.split(start)
    table = "\n".join(
        ["| case | looks without a change | rang in them | median looks from the change to the first ring |",
         "|---|---|---|---|", *map(line, rows)]
    )  # fmt: skip
    page.write_text(
        f"{head}{start}\n{table}\n\n{seconds:.0f} s of CPU in all.\n{end}{rest.split(end)[1]}", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
