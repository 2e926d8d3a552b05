"""When requests became slow, whether that is more than noise, in which stage, and which requests: arrays in, facts out.

Requests are counted in buckets of their whole time, minute by minute. *Slow* is what lies above the bucket of an
ordinary minute's p99; the stretch in which slow requests pile up is found by the largest sum (Bentley 1984,
Programming pearls), and judged as a claim on their share against the minutes around it, whose own variation from
minute to minute widens the bounds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambidex.data.run_folder import BOUNDS, RECORD, STAGES
from ambidex.stats.claim import Claim, Verdict, decide
from ambidex.stats.compare import share_difference
from ambidex.stats.families import benjamini_hochberg

__all__ = ["FLOOR", "Minutes", "Stretch", "attributes_of", "find_stretch", "minutes_of", "records_of", "stage_changes"]

FLOOR = 0.01
"""How much the share of slow requests must have risen, at least: a p99 allows one in a hundred."""
FEWEST_MINUTES = 5
FALSE_RATE = 0.05
Q_VALUE = 0.05
_EDGES = (*BOUNDS, 2 * BOUNDS[-1])


@dataclass(frozen=True, eq=False)
class Minutes:
    """A model's minutes, summed over versions and workers; minutes without requests are left out.

    Attributes:
        at: First second of each since 1970, shape (m,).
        totals: Requests by bucket of their whole time, shape (m, buckets).
        stages: Seconds in each stage, shape (m, stages).
        rows: Rows, shape (m,).
        shed: Requests turned away, shape (m,).
        workers: By worker: its own ``totals``.
    """

    at: NDArray[np.int64]
    totals: NDArray[np.int64]
    stages: NDArray[np.float64]
    rows: NDArray[np.int64]
    shed: NDArray[np.int64]
    workers: Mapping[int, NDArray[np.int64]]

    @property
    def requests(self) -> NDArray[np.int64]:
        """Answered requests, shape (m,)."""
        return np.asarray(self.totals.sum(axis=1))


@dataclass(frozen=True, eq=False)
class Stretch:
    """Minutes in which requests were slower than in those around them.

    Attributes:
        inside: Which minutes, shape (m,).
        before: Those that it is compared with, shape (m,).
        bucket: Requests in buckets beyond this one are slow.
        limit: Its upper bound, seconds.
        verdict: "The share of slow requests is above the baseline's by more than ``FLOOR``".
    """

    inside: NDArray[np.bool_]
    before: NDArray[np.bool_]
    bucket: int
    limit: float
    verdict: Verdict


def minutes_of(records: Iterable[Mapping[str, Any]]) -> Minutes:
    """Records of ``read_minutes`` of one model, summed."""
    kept = [r for r in records if r.get("requests")]
    at = sorted({int(r["minute"]) for r in kept})
    place = {minute: i for i, minute in enumerate(at)}
    width = len(BOUNDS) + 1
    totals, stages = np.zeros((len(at), width), np.int64), np.zeros((len(at), len(STAGES)))
    rows, shed = np.zeros(len(at), np.int64), np.zeros(len(at), np.int64)
    workers: dict[int, NDArray[np.int64]] = {}
    for r in kept:
        i, counts = place[int(r["minute"])], list(r["total"][1:])
        totals[i, : len(counts)] += np.asarray(counts, np.int64)
        own = workers.setdefault(int(r["worker"]), np.zeros((len(at), width), np.int64))
        own[i, : len(counts)] += np.asarray(counts, np.int64)
        stages[i] += [float(r[s][0]) if r.get(s) else 0.0 for s in STAGES]
        rows[i] += int(r.get("rows", 0))
        shed[i] += int(r.get("shed", 0))
    return Minutes(np.asarray(at, np.int64), totals, stages, rows, shed, workers)


def quantile_bucket(counts: NDArray[Any], q: float) -> int:
    """Bucket that holds a quantile."""
    return int(np.searchsorted(np.cumsum(counts), q * counts.sum(), side="left"))


def quantile_seconds(counts: NDArray[Any], q: float) -> float:
    """A quantile of the whole time, linear inside its bucket; seconds."""
    k = quantile_bucket(counts, q)
    low = _EDGES[k - 1] if k else 0.0
    inside, below = float(counts[k]), float(counts[:k].sum())
    part = (q * counts.sum() - below) / inside if inside else 1.0
    return float(low + part * (_EDGES[min(k, len(_EDGES) - 1)] - low))


def find_stretch(minutes: Minutes, *, since: float | None = None) -> Stretch | None:
    """The stretch in which slow requests pile up most; None with too few minutes to compare.

    Args:
        minutes: Of one model.
        since: Seconds since 1970 before which all was well; None: looked for.
    """
    m = len(minutes.at)
    calm = np.ones(m, bool) if since is None else minutes.at + 60 <= since
    if m < FEWEST_MINUTES or calm.sum() < 3:
        return None
    # An ordinary minute: the median of the minutes' own p99, which a stretch shorter than half of them cannot move.
    bucket = int(np.median([quantile_bucket(minutes.totals[i], 0.99) for i in np.flatnonzero(calm)]))
    slow, asked = minutes.totals[:, bucket + 1 :].sum(axis=1), minutes.requests
    gain = slow - asked * (_share(slow, asked, calm) + FLOOR if since is not None else 2 * FLOOR)
    gain = np.where(calm, -np.inf, gain) if since is not None else gain
    start, end = _largest_sum(gain)
    inside = np.zeros(m, bool)
    inside[start : end + 1] = True
    before = ~inside & (calm if since is not None else np.ones(m, bool))
    if not inside.any() or before.sum() < 3:
        return None
    spread = _spread(slow[before], asked[before])
    counts = [round(float(v) / spread) for v in (slow[inside].sum(), asked[inside].sum(),
                                                 slow[before].sum(), asked[before].sum())]  # fmt: skip
    limit = BOUNDS[min(bucket, len(BOUNDS) - 1)]
    measure = f"share of requests slower than {1000 * limit:.3g} ms"
    alpha = FALSE_RATE / m  # the stretch was picked from as many beginnings
    estimate = share_difference(*counts, name=measure, alpha=alpha)
    return Stretch(inside, before, bucket, limit, decide(Claim(measure=measure, margin=FLOOR, alpha=alpha), estimate))


def _share(slow: NDArray[Any], asked: NDArray[Any], where: NDArray[np.bool_]) -> float:
    return float(slow[where].sum() / max(1, asked[where].sum()))


def _largest_sum(gain: NDArray[Any]) -> tuple[int, int]:
    """First and last place of the contiguous part with the largest sum."""
    best, found, total, start = -math.inf, (0, 0), 0.0, 0
    for i, value in enumerate(gain.tolist()):
        if total <= 0:
            total, start = 0.0, i
        total += value
        if total > best:
            best, found = total, (start, i)
    return found


def _spread(slow: NDArray[Any], asked: NDArray[Any]) -> float:
    """How many times the binomial variance the minutes' shares have; 1 at least."""
    share = slow.sum() / max(1, asked.sum())
    expected = asked * share * (1 - share)
    used = expected > 0
    if used.sum() < 2:
        return 1.0
    return max(1.0, float(((slow - asked * share)[used] ** 2 / expected[used]).sum() / (used.sum() - 1)))


def stage_changes(minutes: Minutes, stretch: Stretch) -> list[dict[str, Any]]:
    """How a request's mean time changed in each stage; those with the largest part of the change first.

    Keys: ``stage``, ``before``, ``now`` (seconds a request), ``part`` of all that became slower, ``times``.
    """

    def mean(where: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.asarray(minutes.stages[where].sum(axis=0) / max(1, minutes.requests[where].sum()))

    before, now = mean(stretch.before), mean(stretch.inside)
    more = np.maximum(now - before, 0.0)
    total = float(more.sum())
    told = [
        {
            "stage": stage, "before": float(before[i]), "now": float(now[i]),
            "part": float(more[i] / total) if total else 0.0,
            "times": float(now[i] / before[i]) if before[i] > 0 else math.inf if now[i] else 1.0,
        }
        for i, stage in enumerate(STAGES)
    ]  # fmt: skip
    return sorted(told, key=lambda s: -s["part"])


def records_of(kept: Iterable[Mapping[str, Any]], which: str, inside: tuple[float, float]) -> list[dict[str, Any]]:
    """Kept requests of some minutes, ``slow`` or ``sample``, by the names of ``RECORD``."""
    first, last = inside
    return [dict(zip(RECORD, r, strict=False)) for k in kept if first <= k["minute"] <= last for r in k[which]]


def attributes_of(slow: Sequence[Mapping[str, Any]], sample: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What slow requests have more often than the uniform sample of the same minutes, by Benjamini-Hochberg.

    Keys: ``name``, ``text``, ``slow``, ``rest`` (shares), ``value``, ``odds`` (log-odds ratio, a half added to each
    cell), ``q``. Only those with q below ``Q_VALUE`` and at least 10 points more often.
    """
    if len(slow) < 5 or len(sample) < 5:
        return []
    asked: list[tuple[str, str, Any, Any]] = []
    for name in ("rows", "bytes"):
        usual = _middle(sample, name, 0.5)
        for edge in sorted({_middle(slow, name, q) for q in (0.5, 0.75, 0.9)} - set(range(usual + 1))):
            asked.append((name, f"{edge:,} {name} or more", edge, lambda r, n=name, e=edge: int(r[n] or 0) >= e))
    for worker in sorted({int(r["worker"]) for r in (*slow, *sample)}):
        asked.append(("worker", f"worker {worker}", worker, lambda r, w=worker: int(r["worker"]) == w))
    asked.append(("cold", "a version that had just been loaded", True, lambda r: bool(r["cold"])))
    asked.append(("gc", "a pause of the garbage collector", True, lambda r: (r["gc_us"] or 0) > 0))
    asked.append(("connection", "a connection younger than a second", True,
                  lambda r: (r["connection_ms"] or 0) < 1000))  # fmt: skip
    found, p = [], []
    for name, text, value, has in asked:
        x1, x0 = sum(map(has, slow)), sum(map(has, sample))
        n1, n0 = len(slow), len(sample)
        if 0 < x1 + x0 < n1 + n0:
            e = share_difference(x1, n1, x0, n0, name=name)
            odds = math.log((x1 + 0.5) * (n0 - x0 + 0.5) / ((n1 - x1 + 0.5) * (x0 + 0.5)))
            found.append({"name": name, "text": text, "value": value, "slow": x1 / n1, "rest": x0 / n0, "odds": odds})
            p.append(1.0 if e.p_value is None else e.p_value)
    q = benjamini_hochberg(p) if p else np.zeros(0)
    told = [{**f, "q": float(v)} for f, v in zip(found, q, strict=True)]
    kept = sorted((f for f in told if f["q"] < Q_VALUE and f["slow"] - f["rest"] >= 0.1), key=lambda f: -f["odds"])
    first: dict[tuple[str, Any], dict[str, Any]] = {}
    for f in kept:  # of several edges the one that tells most
        first.setdefault((f["name"], f["value"] if f["name"] == "worker" else None), f)
    return list(first.values())


def _middle(records: Sequence[Mapping[str, Any]], name: str, q: float) -> int:
    values = sorted(int(r[name] or 0) for r in records)
    return values[int(q * (len(values) - 1))]
