"""PLAN.json: what was decided before the data, dated and hashed, and how an experiment is held to it.

The hash is sha256 over the canonical JSON (keys sorted, no white space, UTF-8) of everything else in the file. It shows
that a file was edited after it was dated; it cannot show that the date is true.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ambidex.errors import DataError, NotFound, Refused, UsageError, did_you_mean
from ambidex.insight.plan_options import planned_shares
from ambidex.settings import replace_file

__all__ = ["SCHEMA", "Plan", "digest", "hold", "read_plan", "write_plan"]

SCHEMA = "ambidex-plan/1"
LARGEST = 1_000_000

TEXT, WHOLE, NUMBER, FLAG, NAMES = (str,), (int,), (int, float), (bool,), (list,)
FIELDS: dict[str, tuple[tuple[type, ...], bool]] = {
    "dated": (TEXT, False), "metric": (TEXT, False), "group": (TEXT, True), "unit": (TEXT, True),
    "cluster": (TEXT, True), "covariates": (NAMES, False), "control": (TEXT, True), "arms": (WHOLE, False),
    "shares": ((dict,), True), "baseline": (NUMBER, True), "effect": (NUMBER, False), "alpha": (NUMBER, False),
    "power": (NUMBER, False), "looks": (WHOLE, False), "anytime": (FLAG, False), "guardrails": (NAMES, False),
    "units_per_arm": (WHOLE, False), "units": (WHOLE, False),
}  # fmt: skip
"""Fields of a plan: their types, and whether null is one of their values."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan as it was written down.

    Attributes:
        name: The file as given.
        sha256: Of its content.
        dated: When it was written, ISO 8601 in UTC.
        metric: SPEC of the primary metric.
        group, unit, cluster, control: As ``experiment`` takes them; None where the plan leaves them open.
        covariates: Columns to adjust for.
        arms: Arms, the control among them.
        shares: Planned share of each arm; None for equal ones.
        alpha, power, effect: Of the primary claim.
        looks: Planned looks.
        anytime: True if it is watched instead.
        guardrails: ``SPEC:MARGIN``.
        units: Planned units of all arms.
    """

    name: str
    sha256: str
    dated: str
    metric: str
    group: str | None
    unit: str | None
    cluster: str | None
    control: str | None
    covariates: tuple[str, ...]
    arms: int
    shares: dict[str, float] | None
    alpha: float
    power: float
    effect: float
    looks: int
    anytime: bool
    guardrails: tuple[str, ...]
    units: int


def digest(content: Mapping[str, Any]) -> str:
    """sha256 of a plan's content, its own hash left out.

    >>> digest({"metric": "x"}) == digest({"metric": "x", "sha256": "anything"})
    True
    """
    rest = {k: v for k, v in content.items() if k != "sha256"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def write_plan(content: Mapping[str, Any], out: str | Path, *, moment: datetime) -> str:
    """Date, hash and write a plan; one that says the same already keeps its date.

    Args:
        content: The fields but date and hash.
        out: Where.
        moment: Now, with its zone.

    Returns:
        Date of another plan that this one replaced, or empty.

    Raises:
        DataError: ``data.no-out-folder``, ``data.not-a-file``.
    """
    path = Path(out)
    if not path.parent.is_dir():
        raise DataError("data.no-out-folder", f"the folder {path.parent} does not exist", where="--out",
                        do=f"mkdir -p {path.parent}")  # fmt: skip
    if path.is_dir():
        raise DataError("data.not-a-file", f"{path} is a folder", where="--out", do="--out PLAN.json")
    before = _there(path)
    same = {k: v for k, v in before.items() if k not in ("dated", "sha256")} == {"schema": SCHEMA, **content}
    if same and before.get("sha256") == digest(before):
        return ""
    body = {"schema": SCHEMA, "dated": moment.isoformat(timespec="seconds").replace("+00:00", "Z"), **content}
    replace_file(path, json.dumps({**body, "sha256": digest(body)}, indent=2, ensure_ascii=False) + "\n")
    return str(before.get("dated") or "") if before.get("schema") == SCHEMA else ""


def _there(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def read_plan(given: Any) -> Plan:
    """A plan from its file, unchanged since it was dated.

    Raises:
        NotFound: ``data.no-file``.
        DataError: ``data.plan`` if it is none.
        Refused: ``check.altered`` if it was edited after it was dated.
        UsageError: ``usage.type``.
    """
    if not isinstance(given, str | Path):
        raise UsageError("usage.type", f"plan must be the path of a PLAN.json, not {type(given).__name__}",
                         do="plan='PLAN.json'")  # fmt: skip
    path = Path(given)
    if not path.is_file():
        names = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise NotFound("data.no-file", f"there is no file {path}{did_you_mean(path.name, names)}", where="--plan",
                       do="ambidex plan --metric SPEC --baseline 0.2 --difference 0.02 --out PLAN.json")  # fmt: skip
    if path.stat().st_size > LARGEST:
        raise _no_plan(path, f"{path.stat().st_size:,} bytes")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise _no_plan(path, f"no JSON: {str(error)[:100]}") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        found = content.get("schema") if isinstance(content, dict) else type(content).__name__
        raise _no_plan(path, f"schema {str(found)[:60]!r}, not {SCHEMA}")
    if content.get("sha256") != digest(content):
        raise Refused(
            "check.altered", f"{path.name} was edited after it was dated ({str(content.get('dated'))[:40]})",
            where=str(path), found="its hash does not fit its content",
            do="restore the file, or judge without --plan and say so",
        )  # fmt: skip
    for name, (kinds, optional) in FIELDS.items():
        value = content.get(name)
        if (value is None and optional) or (
            isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
        ):
            continue
        raise _no_plan(path, f"{name} is {str(value)[:60]!r}")
    if not 0 < content["alpha"] < 1 or content["looks"] < 1 or content["units"] < 1 or content["arms"] < 2:
        raise _no_plan(path, "numbers outside their range")
    return Plan(
        name=str(given), sha256=content["sha256"], dated=content["dated"], metric=content["metric"],
        group=content["group"], unit=content["unit"], cluster=content["cluster"], control=content["control"],
        covariates=tuple(map(str, content["covariates"])), arms=content["arms"],
        shares=planned_shares(content["shares"]), alpha=float(content["alpha"]), power=float(content["power"]),
        effect=float(content["effect"]), looks=content["looks"], anytime=content["anytime"],
        guardrails=tuple(map(str, content["guardrails"])), units=content["units"],
    )  # fmt: skip


def hold(plan: Plan, said: Mapping[str, Any]) -> dict[str, Any]:
    """The options of ``experiment`` as the plan has them.

    Args:
        plan: The plan.
        said: What the analyst said beside it: ``group``, ``metric``, ``control``, ``unit``, ``cluster``,
            ``covariate``, ``shares``, ``alpha``, ``anytime``, ``guardrail``; None, False or empty where nothing.

    Raises:
        UsageError: ``usage.plan`` for another metric, group, unit, … than was planned; ``usage.option`` if neither
            names the group.
    """
    fixed: dict[str, Any] = {
        "metric": [plan.metric], "alpha": plan.alpha, "unit": plan.unit, "cluster": plan.cluster,
        "covariate": list(plan.covariates), "guardrail": list(plan.guardrails), "anytime": plan.anytime,
        "shares": plan.shares, "group": plan.group, "control": plan.control,
    }  # fmt: skip
    out = dict(fixed)
    for name, want in fixed.items():
        given = said.get(name)
        if given is None or given is False or given in ((), [], ""):
            continue
        if name in ("group", "control") and want is None:
            out[name] = given
        elif not _same(name, given, want):
            raise UsageError(
                "usage.plan", f"{name} {_text(given)} is not what was planned: {_text(want)}",
                where=f"{plan.name}, dated {plan.dated}",
                do=f"leave --{name} to the plan, or judge without --plan and say so",
            )  # fmt: skip
    if out["group"] is None:
        raise UsageError("usage.option", "neither the plan nor an option names the column of the arms",
                         where=plan.name, do="--group COL")  # fmt: skip
    return out


def _same(name: str, given: Any, want: Any) -> bool:
    if name in ("metric", "covariate", "guardrail"):
        listed = [given] if isinstance(given, str) else list(given) if isinstance(given, Sequence) else [given]
        return set(map(str, listed)) == set(want)
    if name == "shares":
        if want is None or given == "unknown":
            return False
        shares = planned_shares(given)
        assert shares is not None  # something was given
        return shares.keys() == want.keys() and all(math.isclose(shares[k], want[k], abs_tol=1e-9) for k in want)
    if name == "alpha":
        return isinstance(given, int | float) and math.isclose(given, want, rel_tol=1e-12)
    return bool(given == want)


def _text(value: Any) -> str:
    if value is None or value is False or value == []:
        return "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, Mapping):
        return ",".join(f"{k}={v}" for k, v in value.items())
    return str(value)


def _no_plan(path: Path, found: str) -> DataError:
    return DataError("data.plan", f"{path.name} is no plan", where=str(path), found=found,
                     do="ambidex plan --metric SPEC --baseline 0.2 --difference 0.02 --out PLAN.json")  # fmt: skip
