"""What customers will buy: BG/NBD and gamma-gamma on an order log, checked on the half that they have not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.data.customers import OrderLog
from ambidex.report import words
from ambidex.stats.claim import Claim, Verdict, decide
from ambidex.stats.estimate import Estimate
from ambidex.stats.laws import normal
from ambidex.stats.lifetimes import customer_value, fit_bgnbd, fit_gamma_gamma

__all__ = ["AHEAD", "Buying", "buying"]

Ints = npt.NDArray[np.int64]

AHEAD = 52.0
"""Weeks that customer value looks ahead."""

RELATED = 0.3
"""Correlation of order days and their mean value beyond which gamma-gamma, for which they are unrelated, is doubted."""


@dataclass(frozen=True)
class Buying:
    """What the models said.

    Attributes:
        estimates: Parameters, and the forecast of the second half.
        verdict: The claim that the forecast's interval holds what was seen; None without a forecast.
        expected: Forecast order days of the second half.
        seen: Order days of the second half, by the same customers.
        weeks: Its length.
        values: Expected money of a segment's mean customer in the ``AHEAD`` weeks after the log, by segment.
        notes: (code, text).
        log_likelihood: Of BG/NBD.
    """

    estimates: tuple[Estimate, ...]
    expected: Estimate | None
    seen: int
    weeks: float
    verdict: Verdict | None
    values: tuple[Estimate, ...]
    notes: tuple[tuple[str, str], ...]
    log_likelihood: float | None = None

    @property
    def miss(self) -> float:
        """Forecast over what was seen, less one."""
        return self.expected.value / self.seen - 1 if self.expected is not None and self.seen else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        e = self.expected
        return {
            "parameters": {p.name: p.value for p in self.estimates if p.kind == "parameter"},
            "log_likelihood": self.log_likelihood,
            "weeks": round(self.weeks, 2),
            "expected": e.value if e else None,
            "expected_low": e.low if e and np.isfinite(e.low) else None,
            "expected_high": e.high if e and np.isfinite(e.high) else None,
            "seen": self.seen,
            "miss": round(self.miss, 6) if e and self.seen else None,
        }


def buying(log: OrderLog, labels: Ints, names: list[str]) -> Buying:
    """Fit on the first half, forecast the second, then fit on the whole log and look ahead.

    Args:
        log: The cleaned log.
        labels: Segment of each customer as of the log's last day, in the order of ``log.features(log.last)``.
        names: Of the segments.
    """
    codes, x, tx, t, z = log.buying(log.middle)
    weeks = float((log.last - log.middle) / np.timedelta64(7, "D"))
    _, later = log.after(codes, log.middle)
    seen = int(later.sum())
    old = t > 0
    try:
        first = fit_bgnbd(x[old], tx[old], t[old])
    except ValueError as error:
        return Buying((), None, seen, weeks, None, (), (("no-forecast", f"no forecast of orders: {error}"),))
    expected = first.total(
        weeks, x[old], tx[old], t[old], name=f"order days in the {weeks:.0f} weeks after {log.middle}"
    )
    estimates = [replace(e, name=f"BG/NBD {e.name}") for e in first.estimates()]
    if not np.isfinite(expected.value):
        why = "no forecast of orders: these customers come as evenly as by lot, and nobody is seen to stay away"
        return Buying(tuple(estimates), None, seen, weeks, None, (), (("no-forecast", why),), first.log_likelihood)
    surplus = replace(
        expected, name="forecast less seen", value=expected.value - seen, low=expected.low - seen,
        high=expected.high - seen, law=normal() if expected.law is not None else None,
    )  # fmt: skip
    verdict = decide(Claim(measure="forecast order days less those seen", relation="above", margin=0.0), surplus)
    notes: list[tuple[str, str]] = []
    if verdict.outcome != "open" and seen:
        more = "more" if expected.value > seen else "fewer"
        notes.append(
            ("forecast-miss", f"the forecast of the second half misses: {expected.value:,.0f} order days expected "
             f"({words.span(expected.low, expected.high, lambda v: words.fixed(v, 0))}), {seen:,} seen "
             f"({100 * (expected.value / seen - 1):+.0f}%); customer values ahead rest on the same model and are as "
             f"likely to be {'too high' if more == 'more' else 'too low'}".replace("(-", "(−"))
        )  # fmt: skip
    values: tuple[Estimate, ...] = ()
    try:
        model = fit_gamma_gamma(x, z)
        estimates += [replace(e, name=f"gamma-gamma {e.name}") for e in model.estimates()]
        notes += _related(x, z)
        values = _ahead(log, labels, names)
    except ValueError as error:
        notes.append(("no-value-forecast", f"no forecast of money: {error}"))
    return Buying(
        (*estimates, expected), expected, seen, weeks, verdict, values, tuple(notes), first.log_likelihood
    )  # fmt: skip


def summary_buying(columns: Mapping[str, npt.NDArray[Any]]) -> Buying | None:
    """BG/NBD of customer rows that hold frequency (repeat days), recency and T (weeks), the usual summary of a log."""
    plain = {n.lower(): v for n, v in columns.items() if v.dtype.kind == "f"}
    names = next((t for t in (("frequency", "recency", "t"), ("x", "t_x", "t")) if set(t) <= set(plain)), None)
    if names is None:
        return None
    x, tx, t = (plain[n] for n in names)
    try:
        fit = fit_bgnbd(x, tx, t)
    except ValueError:
        return None
    estimates = tuple(replace(e, name=f"BG/NBD {e.name}") for e in fit.estimates())
    return Buying(estimates, None, 0, 0.0, None, (), (), fit.log_likelihood)


def _related(x: npt.NDArray[np.float64], z: npt.NDArray[np.float64]) -> list[tuple[str, str]]:
    use = (x >= 1) & (z > 0)
    n = int(use.sum())
    if n < 10 or np.ptp(x[use]) == 0 or np.ptp(z[use]) == 0:
        return []
    r = float(np.corrcoef(np.log(x[use]), np.log(z[use]))[0, 1])
    e = Estimate(
        name="correlation of order days with their mean value", kind="distance", value=r, low=-1, high=1, n=n,
        se=(1 - r * r) / n**0.5, law=normal(-1, 1), method="correlation of logarithms",
    )  # fmt: skip
    if decide(Claim(measure=e.name, relation="outside", margin=RELATED), e).outcome != "supported":
        return []
    return [
        ("frequency-value", f"how often customers order goes with what they spend an order day (correlation {r:.2f}): "
         "gamma-gamma takes the two as unrelated, so its money ahead is off for frequent customers")
    ]  # fmt: skip


def _ahead(log: OrderLog, labels: Ints, names: list[str]) -> tuple[Estimate, ...]:
    _codes, x, tx, t, z = log.buying(log.last)
    old = t > 0
    orders, money = fit_bgnbd(x[old], tx[old], t[old]), fit_gamma_gamma(x, z)
    if not money.q > 1:
        raise ValueError("the mean value of an order day is not finite under the fitted law")
    t = np.maximum(t, 1 / 7)
    out = []
    for g, name in enumerate(names):
        inside = labels == g
        if inside.sum() < 2:
            continue
        what = f"money ahead, {AHEAD:.0f} weeks, {name}"
        worth = customer_value(orders, money, AHEAD, x[inside], tx[inside], t[inside], z[inside], name=what)
        if not np.isfinite(worth.value):
            raise ValueError("nobody is seen to stay away, so the fitted law gives no number of orders ahead")
        out.append(worth)
    return tuple(out)
