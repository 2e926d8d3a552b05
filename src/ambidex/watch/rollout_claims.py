"""A stage of a roll-out as claims: harm, not worse, and what needs no label. Pure: rows in, verdicts out.

Harm and the trips together spend the error rate of a rollback, since any one of them rolls back; "not worse" has its
own, since it alone promotes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ambidex.bundle.reference import cells_of, mid_ranks
from ambidex.records import Rollout, Schema
from ambidex.settings_watch import RolloutSettings
from ambidex.stats.claim import Claim, Verdict, decide
from ambidex.stats.estimate import Estimate, exact
from ambidex.stats.rollouts import Race, above_limit, blocks, race, split_estimates
from ambidex.stats.sequences import Bets
from ambidex.watch.arms import Arms, Row, first_rows, outcomes, stamp
from ambidex.watch.harm import loss_of
from ambidex.watch.log import moment
from ambidex.watch.words import plain

__all__ = ["TRIPS_SHARE", "Judged", "Trip", "answered", "judge_stage", "loss_claims"]

TRIPS_SHARE = 0.2
"""Part of alpha that the trips share; harm has the rest."""
FIRST = 1000
"""Rows of the live version from which its p99 is taken, once and for all."""
FEWEST = 200
"""Rows of the live version below which no p99 is known."""
LEAST_US = 1000.0
"""Latencies below a millisecond over the limit are no reason to go back."""
HEARD_S = 5.0
"""After the canary's first answer every worker has opened it within so long; before, some still answered by live."""
SLOW_SHARE = 0.02
"""Largest share of a candidate's requests beyond the limit on the p99."""


@dataclass(frozen=True, slots=True)
class Trip:
    """A claim that rolls back at once, and never promotes.

    Attributes:
        name: ``numbers``, ``errors``, ``latency``, ``mix`` or ``split``.
        verdict: Of its claim.
        text: What was seen, with the figures.
    """

    name: str
    verdict: Verdict
    text: str

    @property
    def tripped(self) -> bool:
        """Whether it rolls back."""
        return self.verdict.outcome == "supported"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A stage as it stands.

    Attributes:
        harm: "The candidate's loss is above the live version's"; None without a loss.
        better: "It is less than the margin above", None without a loss.
        first: Which of the two was supported first.
        units: Units (in a canary: blocks) that it rests on.
        labelled: Units with a label that counts.
        waiting: Units whose label is still to come or too young.
        trips: What needs no label.
        rows: Rows of each arm: ``live``, ``candidate``.
    """

    harm: Verdict | None
    better: Verdict | None
    first: Literal["harm", "better"] | None
    units: int
    labelled: int
    waiting: int
    trips: list[Trip] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)

    @property
    def tripped(self) -> Trip | None:
        """The first trip that rolls back."""
        return next((t for t in self.trips if t.tripped), None)


def loss_claims(rollout: Rollout) -> tuple[Claim, Claim]:
    """Harm and not worse, as they were stated before the first row."""
    about = f"loss of {rollout.ref} less that of @{rollout.against}"
    harm = Claim(
        measure=about, relation="above", margin=0.0, alpha=rollout.alpha * (1 - TRIPS_SHARE), sides=1, looks="anytime"
    )
    better = Claim(
        measure=about, relation="below", margin=rollout.margin, alpha=rollout.alpha, sides=1, looks="anytime"
    )
    return harm, better


def judge_stage(
    arms: Arms, rollout: Rollout, schema: Schema, reference: Mapping[str, Any], settings: RolloutSettings, *,
    now: datetime,
) -> Judged:  # fmt: skip
    """Everything that a stage's rows say by now.

    Args:
        arms: The stage's rows and labels.
        rollout: What was declared.
        schema: The live version's.
        reference: The live version's, from its bundle.
        settings: Limits of the trips.
        now: Time of this look.
    """
    firsts = first_rows(arms, rollout)
    counted, waiting = outcomes(arms, rollout, firsts, now=now)
    result: Race | None = None
    if schema.task != "segments" and not rollout.proven:
        d = differences(arms, rollout, schema, reference, counted)
        harm_claim, better_claim = loss_claims(rollout)
        result = race(
            d, margin=rollout.margin, harm_alpha=harm_claim.alpha, better_alpha=better_claim.alpha, reach=rollout.cap
        )
    harm = better = None
    if result is not None:
        harm_claim, better_claim = loss_claims(rollout)
        harm, better = decide(harm_claim, result.harm), decide(better_claim, result.better)
    return Judged(
        harm=harm,
        better=better,
        first=None if result is None else result.first,
        units=0 if result is None else result.units,
        labelled=len(counted),
        waiting=waiting,
        trips=_trips(arms, rollout, schema, reference, settings, firsts),
        rows={"live": len(arms.live), "candidate": len(arms.candidate)},
    )


def differences(
    arms: Arms, rollout: Rollout, schema: Schema, reference: Mapping[str, Any], counted: Sequence[Any]
) -> NDArray[np.float64]:
    """Candidate's loss less live's: one value a unit in the shadow, one a block in the canary.

    A loss is clipped to the declared cap. What failed costs the cap: an answer that never came is the worst one.
    """
    scale = {**(reference.get("loss") or {}), "cap": rollout.cap}

    def loss(row: Row, label: str) -> float | None:
        if row.p is None or not _finite(row.p):
            return rollout.cap
        one = loss_of(schema, scale, row.p, label)
        return None if one is None else min(one, rollout.cap)

    values: list[float] = []
    canary: list[bool] = []
    for unit in counted:
        if rollout.stage == "shadow":
            mine, theirs = loss(arms.candidate[unit.id], unit.label), loss(arms.live[unit.id], unit.label)
            if mine is not None and theirs is not None:
                values.append(mine - theirs)
        else:
            one = loss((arms.candidate if unit.canary else arms.live)[unit.id], unit.label)
            if one is not None:
                values.append(one)
                canary.append(unit.canary)
    if rollout.stage == "shadow":
        return np.array(values, dtype=np.float64)
    return blocks(canary, values)


# ---------------------------------------------------------------- what needs no label


def _trips(
    arms: Arms, rollout: Rollout, schema: Schema, reference: Mapping[str, Any], settings: RolloutSettings,
    firsts: Sequence[tuple[bool, str, Row]],
) -> list[Trip]:  # fmt: skip
    moves = _mix(arms, rollout, schema, reference, firsts)
    tests = 2 + 2 * len(moves) + (2 if rollout.stage == "canary" else 0)
    alpha = rollout.alpha * TRIPS_SHARE / tests
    trips = answered(arms, schema, settings, alpha=alpha)
    for name, values in moves:
        trips += _moved(name, values, settings.mix, alpha)
    if rollout.stage == "canary":
        trips += _split(arms, rollout, firsts, alpha)
    return trips


def answered(arms: Arms, schema: Schema, settings: RolloutSettings, *, alpha: float) -> list[Trip]:
    """The trips that only need a candidate's answers: ``numbers``, ``errors``, ``latency``.

    Args:
        arms: Rows of the candidate, and of the live version that its latency is compared with.
        schema: Of the model.
        settings: Limits.
        alpha: Error rate of each.
    """
    rows = list(arms.candidate.values())
    return [_numbers(rows, schema), _errors(rows, settings.errors, alpha), _latency(arms, rows, settings, alpha)]


def _numbers(rows: Sequence[Row], schema: Schema) -> Trip:
    """An output that is no number, or no probability, is one too many."""
    bad = sum(_odd(row, schema) for row in rows)
    claim = Claim(measure="outputs that are no number or out of range", relation="above", margin=0.0)
    verdict = decide(claim, exact(claim.measure, bad, n=len(rows)))
    return Trip("numbers", verdict, f"{bad:,} of {len(rows):,} outputs are no number or out of range")


def _odd(row: Row, schema: Schema) -> bool:
    if row.p is None:
        return row.error is not None and ("nan" in row.error or "range" in row.error)
    if not _finite(row.p):
        return True
    if schema.task == "binary":
        return not 0.0 <= float(row.p) <= 1.0
    return False


def _errors(rows: Sequence[Row], limit: float, alpha: float) -> Trip:
    failed = [row.error or "no output" for row in rows if row.p is None]
    estimate = above_limit(len(failed), len(rows), limit, name="failed answers")
    claim = Claim(measure="failed answers", relation="above", margin=limit, alpha=alpha, sides=1, looks="anytime")
    most = Counter(failed).most_common(1)
    named = f", mostly {most[0][0]}" if most else ""
    share = f"{len(failed) / len(rows):.1%}" if rows else "none"
    return Trip("errors", decide(claim, estimate), f"error rate {share}{named}; limit {limit:.1%}")


def _latency(arms: Arms, rows: Sequence[Row], settings: RolloutSettings, alpha: float) -> Trip:
    """The share of requests beyond the limit that the live version's first requests set."""
    theirs = _requests(arms.live.values())
    mine = _requests(rows)
    limit, known = math.inf, len(theirs) >= FEWEST
    if known:
        first = [us for _, us in theirs[:FIRST]]
        limit = max(settings.slower * float(np.quantile(first, 0.99)), float(np.quantile(first, 0.99)) + LEAST_US)
    slow = sum(us > limit for _, us in mine)
    estimate = above_limit(slow, len(mine) if known else 0, SLOW_SHARE, name="slow answers")
    claim = Claim(measure="slow answers", relation="above", margin=SLOW_SHARE, alpha=alpha, sides=1, looks="anytime")
    if not known or not mine:
        return Trip("latency", decide(claim, estimate), "latency: too few requests of the live version to compare with")
    p99 = float(np.quantile([us for _, us in mine], 0.99)) / 1000
    text = f"p99 {p99:.3g} ms; {slow / len(mine):.1%} of requests beyond {limit / 1000:.3g} ms"
    return Trip("latency", decide(claim, estimate), text)


def _requests(rows: Any) -> list[tuple[str, float]]:
    """(at, microseconds) of each request in order of time; the rows of one request share both."""
    return sorted({(row.at, row.us) for row in rows if row.us is not None})


def _mix(
    arms: Arms, rollout: Rollout, schema: Schema, reference: Mapping[str, Any],
    firsts: Sequence[tuple[bool, str, Row]],
) -> list[tuple[str, NDArray[np.float64]]]:  # fmt: skip
    """(name, differences) of the predictions of the two versions, each output as scores in [0, 1]."""
    firsts = [one for one in firsts if one[2].p is not None and _finite(one[2].p)]
    if rollout.stage == "shadow":
        firsts = [o for o in firsts if arms.candidate[o[1]].p is not None and _finite(arms.candidate[o[1]].p)]
    names = _score_names(schema)
    if not firsts:
        return [(name, np.empty(0)) for name in names]
    answered = _scores([row.p for _, _, row in firsts], schema, reference)
    if rollout.stage == "shadow":
        mine = _scores([arms.candidate[identity].p for _, identity, _ in firsts], schema, reference)
        return [(name, mine[:, i] - answered[:, i]) for i, name in enumerate(names)]
    canary = [one[0] for one in firsts]
    return [(name, blocks(canary, answered[:, i])) for i, name in enumerate(names)]


def _score_names(schema: Schema) -> list[str]:
    if schema.task == "binary":
        return [f"share of {schema.classes[1]} predicted" if schema.classes else "mean prediction"]
    if schema.task == "regression":
        return ["mean rank of the predictions"]
    return [f"share of {name} predicted" for name in schema.classes]


def _scores(outputs: Sequence[Any], schema: Schema, reference: Mapping[str, Any]) -> NDArray[np.float64]:
    if schema.task == "binary":
        return np.clip(np.asarray(outputs, dtype=np.float64), 0.0, 1.0)[:, None]
    if schema.task == "regression":
        entry = reference.get("score")
        if entry is None:
            return np.full((len(outputs), 1), 0.5)
        ranks: NDArray[np.float64] = mid_ranks(entry)[cells_of(entry, np.asarray(outputs, dtype=np.float64))]
        return ranks[:, None]
    if schema.task == "segments":
        places = np.asarray(outputs, dtype=np.int64).clip(0, len(schema.classes) - 1)
        flags: NDArray[np.float64] = np.eye(len(schema.classes))[places]
        return flags
    return np.clip(np.asarray(outputs, dtype=np.float64), 0.0, 1.0)


def _moved(name: str, values: NDArray[np.float64], margin: float, alpha: float) -> list[Trip]:
    """The mean prediction further from the live version's than the margin, to either side."""
    trips = []
    for sign in (1.0, -1.0):
        estimate = Bets.start("above", margin).add(sign * values).estimate(name=name, alpha=2 * alpha)
        claim = Claim(measure=name, relation="above", margin=margin, alpha=alpha, sides=1, looks="anytime")
        mean = float(values.mean()) if len(values) else 0.0
        text = f"{name} {mean:+.3f} against the live version, limit ±{plain(margin)}".replace("-", "−")
        trips.append(Trip("mix", decide(claim, estimate), text))
    return trips


def _split(arms: Arms, rollout: Rollout, firsts: Sequence[tuple[bool, str, Row]], alpha: float) -> list[Trip]:
    """The share of the units, of those that came when every worker had heard of the canary."""
    begun = moment(min((row.at for row in arms.candidate.values()), default=""))
    heard: list[bool] = []
    if begun is not None:
        since = stamp(begun + timedelta(seconds=HEARD_S))
        heard = [one[0] for one in firsts if one[2].at >= since]
    canary, total = sum(heard), len(heard)
    trips = []
    estimates: tuple[Estimate, Estimate] = split_estimates(canary, total - canary, rollout.share)
    share = f"{canary / total:.1%}" if total else "none"
    text = f"{share} of {total:,} units were the canary's, {rollout.share:.1%} were declared: the split is not sound"
    for estimate, limit in zip(estimates, (rollout.share, 1 - rollout.share), strict=True):
        claim = Claim(measure=estimate.name, relation="above", margin=limit, alpha=alpha, sides=1, looks="anytime")
        trips.append(Trip("split", decide(claim, estimate), text))
    return trips


def _finite(p: Any) -> bool:
    if isinstance(p, float):
        return math.isfinite(p)
    values = p if isinstance(p, list | tuple) else [p]
    return all(isinstance(v, int | float) and math.isfinite(v) for v in values)
