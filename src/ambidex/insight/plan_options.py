"""What was said to ``plan``, checked: the metric, the effect that matters, the design."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from ambidex.errors import UsageError

__all__ = ["Asked", "check_options", "effect_of", "kind_of", "planned_shares", "several"]

LEAST_ALPHA = 1e-9
MOST_ARMS, MOST_LOOKS = 20, 100

NUMBERS = ("baseline", "difference", "lift", "effect", "sd", "power", "alpha", "icc", "cluster_size", "r2", "size")
NAMES = ("metric", "group", "control", "unit", "cluster", "time")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options of ``plan``, by their Python names; None where nothing was said."""

    metric: str | None
    baseline: float | None
    difference: float | None
    lift: float | None
    effect: float | None
    sd: float | None
    power: float
    alpha: float
    arms: int
    looks: int
    anytime: bool
    group: str | None
    control: str | None
    unit: str | None
    cluster: str | None
    covariate: tuple[str, ...]
    time: str | None
    shares: dict[str, float] | None
    icc: float | None
    cluster_size: float | None
    r2: float | None
    size: float | None
    guardrail: tuple[str, ...]

    @property
    def has_effect(self) -> bool:
        """True if an effect was named."""
        return any(v is not None for v in (self.difference, self.lift, self.effect))


def check_options(said: Mapping[str, Any], *, table: bool) -> Asked:
    """The options, each in its range.

    Raises:
        UsageError: ``usage.type``, ``usage.value``, ``usage.option``.
    """
    said = dict(said)
    for name in NUMBERS:
        value = said[name]
        if value is not None and (isinstance(value, bool) or not isinstance(value, Real)):
            raise UsageError("usage.type", f"{name} must be a number, not {type(value).__name__} {value!r:.60}")
        if value is not None and not math.isfinite(value):
            raise UsageError("usage.value", f"{name} must be a finite number, not {value}")
        said[name] = None if value is None else float(value)
    for name in NAMES:
        if said[name] is not None and not isinstance(said[name], str):
            raise UsageError("usage.type", f"{name} must be text, not {type(said[name]).__name__} {said[name]!r:.60}")
    for name in ("arms", "looks"):
        if isinstance(said[name], bool) or not isinstance(said[name], Integral):
            raise UsageError("usage.type", f"{name} must be a whole number, not {said[name]!r:.60}")
        said[name] = int(said[name])
    if not isinstance(said["anytime"], bool):
        raise UsageError("usage.type", f"anytime must be True or False, not {said['anytime']!r:.60}")
    shares = planned_shares(said["shares"])
    arms = said["arms"] if shares is None or said["arms"] != 2 else len(shares)
    asked = Asked(
        **{
            **said,
            "arms": arms,
            "shares": shares,
            "covariate": several(said["covariate"], "covariate"),
            "guardrail": several(said["guardrail"], "guardrail"),
        }
    )
    _check_ranges(asked)
    _check_together(asked, table=table)
    return asked


def _check_ranges(a: Asked) -> None:
    if not LEAST_ALPHA <= a.alpha < 1:
        raise _value(f"alpha {a.alpha:g} is not between 0 and 1", "--alpha 0.05")
    if not 0 < a.power < 1:
        raise _value(f"power {a.power:g} is not between 0 and 1: no number of units finds an effect for sure",
                     "--power 0.8")  # fmt: skip
    if a.power <= a.alpha:
        raise _value(f"power {a.power:g} is not above alpha {a.alpha:g}: that is reached by chance", "--power 0.8")
    if not 2 <= a.arms <= MOST_ARMS:
        raise _value(f"arms {a.arms} is not in 2 to {MOST_ARMS}; the control is one of them", "--arms 2")
    if not 1 <= a.looks <= MOST_LOOKS:
        raise _value(f"looks {a.looks} is not in 1 to {MOST_LOOKS}; one look is the one at the end", "--looks 1")
    if a.looks > 1 and a.anytime:
        raise _value("planned looks and --anytime exclude each other", "--looks 1")
    for name in ("difference", "lift", "effect"):
        if getattr(a, name) == 0:
            raise _value(
                f"{name} 0: no number of units finds an effect of 0", f"--{name} {0.05 if name == 'lift' else 0.02:g}"
            )
    if a.sd is not None and not a.sd > 0:
        raise _value(f"sd {a.sd:g} is not above 0", "--sd 12")
    if a.lift is not None and a.lift <= -1:
        raise _value(f"lift {a.lift:g} would leave nothing or less", "--lift 0.05")
    if a.icc is not None and not 0 <= a.icc <= 1:
        raise _value(f"icc {a.icc:g} is not in 0 to 1", "--icc 0.05")
    if a.cluster_size is not None and not a.cluster_size >= 1:
        raise _value(f"cluster_size {a.cluster_size:g} is below 1", "--cluster-size 20")
    if a.r2 is not None and not 0 <= a.r2 < 1:
        raise _value(f"r2 {a.r2:g} is not in 0 to 1", "--r2 0.3")
    if a.size is not None and not 2 <= a.size <= 1e12:
        raise _value(f"size {a.size:g} is not in 2 to 1,000,000,000,000 units per arm", "--size 5000")
    if a.shares is not None and len(a.shares) != a.arms:
        raise _value(f"shares name {len(a.shares)} arms, and arms is {a.arms}", f"--arms {len(a.shares)}")


def _check_together(a: Asked, *, table: bool) -> None:
    named = [n for n in ("difference", "lift", "effect") if getattr(a, n) is not None]
    if len(named) > 1:
        raise _value(f"{' and '.join(named)} name the effect twice", f"--{named[0]} alone")
    if not named and a.size is None and not table:
        raise UsageError(
            "usage.option", "plan needs the smallest effect that matters, or a size",
            do="ambidex plan --baseline 0.20 --difference 0.05",
        )  # fmt: skip
    if not table:
        for name in ("cluster", "time"):
            if getattr(a, name) is not None and (name == "time" or a.icc is None):
                raise UsageError("usage.option", f"--{name} names a column, and no table was given",
                                 do=f"--table TABLE --{name} {getattr(a, name)}")  # fmt: skip
    if (a.icc is None) != (a.cluster_size is None) and a.cluster is None:
        raise UsageError("usage.option", "--icc and --cluster-size go together",
                         do="--icc 0.05 --cluster-size 20, or --table TABLE --cluster COL")  # fmt: skip


def kind_of(spec: str | None) -> str:
    """The kind that a SPEC says, ``""`` if it says none.

    Raises:
        UsageError: ``usage.metric`` for quantiles, which no formula plans, and for kinds that do not exist.
    """
    if spec is None:
        return ""
    if not spec.strip():
        raise UsageError("usage.metric", "metric is an empty text", do="--metric COLUMN:share")
    body, _, kind = spec.rpartition(":")
    if not body:
        return "ratio" if "/" in spec else ""
    if kind.startswith("q") and kind[1:].replace(".", "").isdigit():
        raise UsageError(
            "usage.metric", f"metric `{spec}` is a quantile: its error depends on the density there, which no formula "
            "knows beforehand", do=f"--metric {body}:mean",
        )  # fmt: skip
    if kind not in ("mean", "share", "count"):
        raise UsageError(
            "usage.metric", f"metric `{spec}` ends in `:{kind}`, which is not a kind",
            found="mean, share, count", do=f"--metric {body}:mean",
        )  # fmt: skip
    return "trials" if "/" in body and kind == "share" else kind


def effect_of(a: Asked, *, shares: bool, baseline: float | None) -> float | None:
    """The effect as a difference in the metric's unit; None if none was named.

    Raises:
        UsageError: ``usage.value`` if a share would leave 0 to 1, ``usage.option`` if the baseline is missing.
    """
    if shares:
        if baseline is None:
            raise UsageError("usage.option", "a share needs its baseline: what the control shows",
                             do="--baseline 0.20, or --table TABLE")  # fmt: skip
        if not 0 <= baseline <= 1:
            raise _value(f"baseline {baseline:g} is no share between 0 and 1; a mean needs its --sd as well",
                         "--baseline 0.2")  # fmt: skip
    if not a.has_effect:
        return None
    if a.lift is not None:
        if not baseline:
            raise UsageError("usage.option", "a lift is relative to a baseline other than 0", do="--baseline 20")
        effect = baseline * a.lift
    else:
        effect = float(a.difference if a.difference is not None else a.effect or 0.0)
    if shares and baseline is not None and not 0 <= baseline + effect <= 1:
        raise _value(f"{baseline:g} {effect:+g} = {baseline + effect:g} is no share between 0 and 1; "
                     "--difference is absolute (0.05 is 5 points), --lift relative (0.05 is 5% more)",
                     f"--difference {(min(1.0, max(0.0, baseline + effect)) - baseline) / 2:g}")  # fmt: skip
    return effect


def planned_shares(shares: Any) -> dict[str, float] | None:
    """``A=.5,B=.5`` or a mapping as label -> share, adding up to 1.

    Raises:
        UsageError: ``usage.value``, ``usage.type``.
    """
    if shares is None:
        return None
    if isinstance(shares, str):
        pairs: list[tuple[str, Any]] = [(a.strip(), b) for a, _, b in (p.rpartition("=") for p in shares.split(","))]
    elif isinstance(shares, Mapping):
        pairs = [(str(a), b) for a, b in shares.items()]
    else:
        raise UsageError("usage.type", f"shares must be text or a mapping, not {type(shares).__name__}")
    out: dict[str, float] = {}
    for label, text in pairs:
        try:
            share = float(text)
        except (TypeError, ValueError):
            share = math.nan
        if not label or label in out or not 0 < share < 1:
            raise _value(f"shares: cannot read {f'{label}=' if label else ''}{str(text)[:40]}", "--shares A=.5,B=.5")
        out[label] = share
    if abs(sum(out.values()) - 1) > 0.01 or len(out) < 2:
        raise _value(f"shares add up to {sum(out.values()):.4g}, not to 1", "--shares A=.5,B=.5")
    return out


def several(values: Any, name: str) -> tuple[str, ...]:
    """One text or several, each once.

    Raises:
        UsageError: ``usage.type``.
    """
    given: Sequence[Any] = (values,) if isinstance(values, str) else values
    if not isinstance(given, list | tuple) or not all(isinstance(v, str) for v in given):
        raise UsageError("usage.type", f"{name} must be text or a list of texts, not {values!r:.60}")
    return tuple(dict.fromkeys(given))


def _value(message: str, do: str) -> UsageError:
    return UsageError("usage.value", message, do=do)
