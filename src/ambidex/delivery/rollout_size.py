"""How long a roll-out takes: shadow days, canary share, deadline, from traffic, margin, power and the label's age.

The differences of the two versions' losses on the newest held-out rows are drawn again as roll-outs of a candidate
that is as good as the live version, and judged as the watcher will judge them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambidex.bundle.open import OpenBundle
from ambidex.data.frames import log_files, read_frames, rider_text
from ambidex.delivery import release
from ambidex.delivery.gates import score_rows
from ambidex.delivery.material import outcome
from ambidex.delivery.rollout_plan import RolloutPlan, dated
from ambidex.delivery.train import losses
from ambidex.errors import DataError, NotFound, UsageError
from ambidex.ports import Place
from ambidex.settings import duration
from ambidex.stats.rollouts import units_to_act

__all__ = ["SHARES", "plan_rollout", "traffic_of"]

SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
LOOK_BACK = timedelta(days=14)
LATE = 0.95
"""Power that the deadline is set for."""
SHORTEST_DAYS, LONGEST_DAYS = 7, 365


def plan_rollout(
    place: Place,
    name: str,
    number: int,
    *,
    traffic: float | None = None,
    margin: float | None = None,
    alpha: float | None = None,
    power: float = 0.8,
    horizon: str | None = None,
) -> RolloutPlan:
    """The plan of a version's roll-out, not yet written.

    Args:
        place: The workspace.
        name: Model's name.
        number: The candidate.
        traffic: Units a day; from the prediction log if None.
        margin: How much worse is still good enough; ``[rollout]`` says it if None. So ``alpha``.
        power: Chance that a candidate which is as good is shown to be not worse by then.
        horizon: Age at which a label counts; the model's settings say it if None.

    Raises:
        NotFound: ``data.no-pointer`` if nothing is live.
        UsageError: ``usage.value``, ``usage.option``.
        DataError: ``data.too-few-rows``.
    """
    state, settings = place.store.model(name), place.settings.rollout
    if state.live is None:
        raise NotFound(
            "data.no-pointer", f"nothing of {name} is live, so there is nothing to roll {name}@{number} out against",
            do=f"ambidex promote {name}@{number} --to live",
        )  # fmt: skip
    if state.live == number:
        raise UsageError("usage.value", f"{name}@{number} is live already", do="ambidex models ls")
    margin = settings.margin if margin is None else margin
    alpha = settings.alpha if alpha is None else alpha
    for option, value in (("margin", margin), ("alpha", alpha), ("power", power)):
        if not 0 < value < 1:
            raise UsageError("usage.value", f"--{option} {value} is not between 0 and 1", where=f"--{option}")
    model = place.settings.models.get(name)
    said = horizon if horizon is not None else (model.horizon if model is not None else None)
    horizon_days = 0.0 if said is None else duration(said) / 86_400
    candidate, live = release.open_version(place, name, number), release.open_version(place, name, state.live)
    units_a_day, coverage = traffic_of(place, name, live, now=place.clock())
    if traffic is not None:
        units_a_day = traffic
    if units_a_day is None or not 0 < units_a_day < math.inf:
        raise UsageError(
            "usage.option", f"the log says nothing of how many units {name} is asked about a day",
            where="--traffic", do="--traffic 1000",
        )  # fmt: skip
    mine, theirs = _losses(place, name, candidate, live)
    cap = 1.0 if model is None else model.loss_cap
    if not margin < cap:
        raise UsageError("usage.value", f"--margin {margin} is not below the largest loss {cap:g}", where="--margin")
    mine, theirs = np.minimum(mine, cap), np.minimum(theirs, cap)
    d = mine - theirs
    units = units_to_act(d, margin=margin, alpha=alpha, power=power, reach=cap)
    late = units_to_act(d, margin=margin, alpha=alpha, power=max(power, LATE), reach=cap, seed=1)
    if units is None or late is None:
        raise UsageError(
            "usage.value", f"a margin of {margin:g} cannot be shown in 200,000 units", where="--margin",
            found=f"the losses of the two versions differ by {float(d.std()):.3g} from row to row",
            do="a wider --margin",
        )  # fmt: skip
    a_day = units_a_day * coverage
    shadow_days = math.ceil(units / a_day + horizon_days)
    deadline_days = max(SHORTEST_DAYS, shadow_days + 1, math.ceil(late / a_day + horizon_days) + 1)
    share, canary_days = _share(
        mine,
        theirs,
        a_day,
        horizon_days,
        within=max(deadline_days, 28),
        usual=settings.share,
        margin=margin,
        alpha=alpha,
        power=power,
        reach=cap,
    )
    return RolloutPlan(
        model=name,
        version=number,
        against=state.live,
        dated=dated(place.clock()),
        margin=margin,
        alpha=alpha,
        power=power,
        traffic=round(units_a_day, 3),
        coverage=round(coverage, 4),
        horizon_days=horizon_days,
        units=units,
        harm_units=units_to_act(
            d, margin=0.0, alpha=alpha, power=power, truth=margin, relation="above", reach=cap, seed=2
        ),
        shadow_days=shadow_days,
        share=share,
        canary_days=canary_days,
        looks="anytime",
        deadline_days=deadline_days,
        decides="watch" if model is not None and model.policy == "live" else "person",
    )


def _losses(
    place: Place, name: str, candidate: OpenBundle, live: OpenBundle
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Loss of each version on each held-out row of the newest data."""
    material, recipe, _ = release.newest(place, name, candidate.recipe)
    if recipe.task == "segments":
        raise UsageError(
            "usage.value", f"{name} gives segments, and no label says which one is right: no loss to plan with",
            do=f"ambidex promote {name}@2 --to shadow",
        )  # fmt: skip
    rows = material.table.take(material.held_out)
    y, spread = outcome(rows, recipe), candidate.evaluation["spread"]
    mine = losses(y, score_rows(candidate, rows), recipe.task, spread=spread)
    theirs = losses(y, score_rows(live, rows), recipe.task, spread=spread)
    known = np.isfinite(mine) & np.isfinite(theirs)
    if known.sum() < 30:
        raise DataError(
            "data.too-few-rows", f"{int(known.sum())} held-out rows say too little of the two versions' losses",
            do="bring more labelled rows",
        )  # fmt: skip
    return np.asarray(mine[known], dtype=np.float64), np.asarray(theirs[known], dtype=np.float64)


def _share(
    mine: NDArray[np.float64], theirs: NDArray[np.float64], a_day: float, horizon_days: float, *,
    within: int, usual: float, margin: float, alpha: float, power: float, reach: float,
) -> tuple[float, int | None]:  # fmt: skip
    """The smallest share under which a canary alone is decided within the days, and its days.

    Where none is, the declared share: a canary that comes from the shadow needs no claim of its own.
    """
    rng = np.random.default_rng(3)
    taken: dict[float, int] = {}
    for share in dict.fromkeys([*SHARES, usual]):
        beside = max(1, round((1 - share) / share))
        drawn = rng.choice(theirs, size=(len(mine), min(beside, 100))).mean(axis=1)
        blocks = units_to_act(mine - drawn, margin=margin, alpha=alpha, power=power, reach=reach, seed=4, runs=200)
        if blocks is None:
            continue
        taken[share] = math.ceil(blocks * (1 / share + 1 / (1 - share) - 1) / a_day + horizon_days)
        if taken[share] <= within and share in SHARES:
            return share, taken[share]
    days = taken.get(usual)
    return usual, days if days is not None and days <= LONGEST_DAYS else None


def traffic_of(place: Place, name: str, live: OpenBundle, *, now: datetime) -> tuple[float | None, float]:
    """Units a day in the last two weeks of the prediction log (None if it has none), and the share that has a label."""
    since = release.stamp(now - LOOK_BACK)
    units: set[tuple[str, str]] = set()
    ids: set[str] = set()
    labelled: set[str] = set()
    first = last = ""
    for frame in _frames(place, name, (now - LOOK_BACK).timestamp()):
        if frame.get("kind") == "label":
            labelled.add(str(frame.get("id")))
            continue
        at = str(frame.get("at", ""))
        if at < since or frame.get("arm") == "shadow" or frame.get("source", "http") != "http":
            continue
        riders = frame.get("riders") or {}
        schema = live.schema
        named = next(
            (riders[c] for c in (schema.entity, schema.key) if c and riders.get(c) is not None), frame.get("id")
        )
        units.add((at[:10], rider_text(named)))
        ids.add(str(frame.get("id")))
        first, last = min(first or at, at), max(last, at)
    if not units:
        return None, 1.0
    span = (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds() / 86_400
    seen = len(ids & labelled)
    return len(units) / max(span, 1.0), seen / len(ids) if seen else 1.0


def _frames(place: Place, name: str, oldest: float) -> Sequence[dict[str, Any]]:
    frames: list[dict[str, Any]] = []
    for path in log_files(place.folder / ".ambidex" / "log", name):
        if path.stat().st_mtime >= oldest:
            frames += read_frames(path)[0]
    return frames
