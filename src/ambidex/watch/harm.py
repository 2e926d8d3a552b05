"""Harm: do the labels say that the model's errors are above what its reference allows?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambidex.records import Schema
from ambidex.stats import laws
from ambidex.stats.claim import Claim, Verdict, decide
from ambidex.stats.detection import LAMBDAS, evidence_above, log_bets
from ambidex.stats.estimate import Estimate
from ambidex.stats.sequences import mean_evidence, step

__all__ = ["harm_state", "judge_harm", "loss_limit", "loss_of", "take_losses"]

BINS = 1000
_LOW = np.arange(BINS + 1) / BINS  # losses rounded down: the evidence for harm is never overstated
_HIGH = np.minimum(1.0, (np.arange(BINS + 1) + 1) / BINS)  # and up, for the evidence against it


def loss_of(schema: Schema, loss: Mapping[str, Any], p: Any, label: str) -> float | None:
    """Loss in [0, 1] of one prediction; None if the label is no class or number.

    Yes/no: (y - p)². Several classes: half the squared distance of the probabilities from the truth, Brier's score.
    Numbers: the squared error as a share of the training target's variance, at most 1.

    >>> s = Schema(columns=(), target="y", task="binary", classes=("no", "yes"))
    >>> loss_of(s, {}, 0.8, "yes") < 0.05, loss_of(s, {}, 0.8, "maybe")
    (True, None)
    """
    if schema.task == "binary":
        if label not in schema.classes:
            return None
        return float((p - schema.classes.index(label)) ** 2)
    if schema.task == "multiclass":
        if label not in schema.classes or not isinstance(p, list | tuple) or len(p) != len(schema.classes):
            return None
        truth = schema.classes.index(label)
        return float(min(1.0, sum((q - (k == truth)) ** 2 for k, q in enumerate(p)) / 2))
    spread = loss.get("spread")
    try:
        error = float(label) - p
    except (ValueError, TypeError):
        return None
    if not spread or not math.isfinite(error):
        return None
    return float(min(error * error / spread, loss.get("cap") or 1.0))


def loss_limit(loss: Mapping[str, Any], tolerance: float, *, task: str) -> tuple[float, float] | None:
    """(upper 97.5% confidence limit of the reference loss, that plus the tolerance).

    None where no loss can be judged: no reference, numbers without their spread, or a limit that no mean passes.
    """
    n, mean, sd = loss.get("n") or 0, loss.get("mean"), loss.get("sd")
    if task not in ("binary", "multiclass", "regression"):
        return None
    if n < 2 or mean is None or sd is None or (task == "regression" and not loss.get("spread")):
        return None
    upper = min(1.0, mean + laws.normal_quantile(0.975) * sd / math.sqrt(n))
    return (upper, upper + tolerance) if upper + tolerance < 1 else None


def harm_state() -> dict[str, Any]:
    """Evidence on the losses before the first label."""
    return {
        "log_r": [None] * len(LAMBDAS),
        "log_against": [0.0] * len(LAMBDAS),
        "rising": 0.0,
        "window": {"since": None, "n": 0, "sum": 0.0, "bins": {}},
        "total": {"n": 0, "sum": 0.0},
    }


def take_losses(state: Mapping[str, Any], losses: Sequence[float], limit: float, when: str) -> dict[str, Any]:
    """Evidence after one more look at the labels.

    Args:
        state: As ``harm_state`` made it.
        losses: In [0, 1], of the labels that arrived, shape (n,); at least one.
        limit: Largest mean loss allowed, below 1.
        when: The look's time.
    """
    values = np.asarray(losses, dtype=np.float64)
    counts = np.bincount(np.floor(values * BINS).astype(np.int64).clip(0, BINS), minlength=BINS + 1)
    log_e = log_bets(counts, _LOW, limit)
    before = np.array([-math.inf if v is None else v for v in state["log_r"]], dtype=np.float64)
    log_r = step(before, log_e)
    against = np.asarray(state["log_against"]) + log_bets(counts, 1 - _HIGH, 1 - limit)
    rising = max(state["rising"], 0.0) + mean_evidence(log_e)
    fresh: dict[str, Any] = {"since": None, "n": 0, "sum": 0.0, "bins": {}}
    window = fresh
    if rising > 0:
        old = state["window"] if state["window"]["since"] is not None else {**fresh, "since": when}
        bins = dict(old["bins"])
        for i in np.flatnonzero(counts):
            bins[str(i)] = bins.get(str(i), 0) + int(counts[i])
        window = {**old, "n": old["n"] + len(values), "sum": old["sum"] + math.fsum(values), "bins": bins}
    total = state["total"]
    return {
        "log_r": [float(v) for v in log_r],
        "log_against": against.tolist(),
        "rising": max(rising, 0.0),
        "window": window,
        "total": {"n": total["n"] + len(values), "sum": total["sum"] + math.fsum(values)},
    }


def judge_harm(state: Mapping[str, Any], limit: float, alpha: float) -> Verdict:
    """The claim "mean loss is above its limit", watched.

    Supported when the mean of R reaches 1/alpha; refuted when the evidence against it does; else open. The
    estimate's lower bound is the largest limit that the labels since the change began refute as well.

    Args:
        state: Evidence so far.
        limit: Largest mean loss allowed.
        alpha: B/L: false alarms over looks, in (0, 1).
    """
    for_ = mean_evidence([-math.inf if v is None else v for v in state["log_r"]])
    against = mean_evidence(state["log_against"])
    rang = for_ >= math.log(1 / alpha)
    kept = state["window"] if rang else state["total"]
    low = 0.0
    if rang:
        counts = _bins(state["window"])
        low = max(limit, evidence_above(counts, _LOW, math.log(1 / alpha)))
    estimate = Estimate(
        name="loss",
        kind="loss",
        value=kept["sum"] / kept["n"] if kept["n"] else math.nan,
        low=low,
        high=1.0,
        n=kept["n"],
        level=1 - alpha,
        method="betting e-detector",
        anytime=True,
        log_e_for=for_,
        log_e_against=against,
        about=("above", limit),
    )
    claim = Claim(measure="loss", relation="above", margin=limit, alpha=alpha, sides=1, looks="anytime")
    return decide(claim, estimate)


def _bins(window: Mapping[str, Any]) -> NDArray[np.int64]:
    counts = np.zeros(BINS + 1, dtype=np.int64)
    for i, n in window["bins"].items():
        counts[int(i)] = n
    return counts
