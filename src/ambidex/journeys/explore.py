"""What is true: a table and a question in, an ``Answer`` out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ambidex.errors import UsageError, did_you_mean
from ambidex.journeys.shared import At, answer_document, kept, read_table, workspace_or_none
from ambidex.report.answer import Answer, Caution, Mark, Result
from ambidex.workspace import now, open_workspace

__all__ = ["campaign", "drivers", "experiment", "plan", "profile", "report", "segments"]


def profile(table: Any, *others: Any, target: str | None = None, at: At = None) -> Answer:
    """What is in this table, what is wrong with it, and which columns join it to ``others``."""
    from ambidex.insight.profile import profile as ask

    workspace, source = read_table(table, at)
    return kept(ask(source, *(read_table(o, at)[1] for o in others), target=target), workspace)


def drivers(
    table: Any,
    *,
    target: str,
    positive: str | None = None,
    exclude: Sequence[str] = (),
    keep: Sequence[str] = (),
    time: str | None = None,
    duration: str | None = None,
    levers: Sequence[str] = (),
    group: str | None = None,
    at: At = None,
) -> Answer:
    """What factors go with the outcome, and would changing one (``levers``) help."""
    from ambidex.insight.drivers import drivers as ask

    workspace, source = read_table(table, at)
    answer = ask(
        source, target=target, positive=positive, exclude=exclude, keep=keep, time=time, duration=duration,
        levers=levers, group=group,
    )  # fmt: skip
    return kept(answer, workspace)


def experiment(
    table: Any,
    *,
    group: str | None = None,
    metric: str | Sequence[str] = (),
    control: str | None = None,
    unit: str | None = None,
    shares: str | dict[str, float] | None = None,
    alpha: float | None = None,
    anytime: bool = False,
    margin: float | None = None,
    secondary: Sequence[str] = (),
    guardrail: Sequence[str] = (),
    cluster: str | None = None,
    covariate: str | Sequence[str] = (),
    exposure: str | None = None,
    time: str | None = None,
    by: str | Sequence[str] = (),
    plan: str | Path | None = None,
    notes: Sequence[tuple[str, str]] = (),
    at: At = None,
) -> Answer:
    """Is there a difference between treatment groups?

    In a workspace a table that has grown since an earlier answer to the same claim is a further look, and judged so.

    Args:
        alpha: Error rate of the primary claims; 0.05, or the plan's.
        plan: A PLAN.json: options come from it, and other ones are refused.
        notes: (code, text) cautions that only people know and the page must carry.
    """
    from ambidex.insight.experiment import experiment as ask
    from ambidex.insight.ledger import open_ledger
    from ambidex.insight.plan_file import hold, read_plan

    said: dict[str, Any] = {
        "group": group, "metric": metric, "control": control, "unit": unit, "shares": shares, "alpha": alpha,
        "anytime": anytime, "guardrail": guardrail, "cluster": cluster, "covariate": covariate,
    }  # fmt: skip
    planned = None if plan is None else read_plan(plan)
    if planned is not None:
        said = hold(planned, said)
    elif group is None or metric == ():
        raise UsageError(
            "usage.option", f"`experiment` needs {'--group COL' if group is None else '--metric SPEC'}",
            do="ambidex experiment TABLE --group COL --metric SPEC, or --plan PLAN.json",
        )  # fmt: skip
    said["alpha"] = 0.05 if said["alpha"] is None else said["alpha"]
    workspace, source = read_table(table, at)
    if workspace is None:
        return ask(
            source, **said, margin=margin, secondary=secondary, exposure=exposure, time=time, by=by, notes=notes,
            plan=planned,
        )  # fmt: skip
    ledger = open_ledger(
        workspace.store.answers(), source, group=said["group"], metric=said["metric"], unit=said["unit"]
    )
    answer = ask(
        source, **said, margin=margin, secondary=secondary, exposure=exposure, time=time, by=by, notes=notes,
        plan=planned, earlier=ledger.earlier,
    )  # fmt: skip
    return kept(answer, workspace, ledger.beside)


def plan(
    *,
    table: Any = None,
    metric: str | None = None,
    baseline: float | None = None,
    difference: float | None = None,
    lift: float | None = None,
    effect: float | None = None,
    sd: float | None = None,
    power: float = 0.8,
    alpha: float = 0.05,
    arms: int = 2,
    looks: int = 1,
    anytime: bool = False,
    group: str | None = None,
    control: str | None = None,
    unit: str | None = None,
    cluster: str | None = None,
    covariate: str | Sequence[str] = (),
    time: str | None = None,
    shares: str | dict[str, float] | None = None,
    icc: float | None = None,
    cluster_size: float | None = None,
    r2: float | None = None,
    size: float | None = None,
    guardrail: str | Sequence[str] = (),
    rollout: str | None = None,
    traffic: float | None = None,
    margin: float | None = None,
    horizon: str | None = None,
    out: str | Path | None = None,
    at: At = None,
) -> Answer:
    """How big must the test be, or what can a test of this size see? With ``rollout``, how a version is rolled out.

    Args:
        rollout: `NAME@7`: plan its roll-out instead, from ``traffic`` (units a day; the log's if None), ``margin``,
            ``power``, ``alpha`` and ``horizon`` (age of a label, such as ``30d``); writes ROLLOUT.json.
        difference: Smallest effect that matters, absolute; ``lift`` is relative, ``effect`` goes with ``sd``.
        table: A table of the past: level, spread, traffic, clusters and covariates are read from it.
        size: Units per arm, to ask what they can see.
        out: Writes the dated, hashed plan that ``experiment`` holds the analyst to.
    """
    from ambidex.insight.plan import plan as ask
    from ambidex.insight.plan_file import write_plan

    if rollout is not None:
        given = {"table": table, "metric": metric, "baseline": baseline, "difference": difference, "lift": lift,
                 "effect": effect, "sd": sd, "group": group, "size": size}  # fmt: skip
        return _plan_rollout(rollout, traffic, margin, alpha, power, horizon, out, at, beside=given)
    if traffic is not None or margin is not None or horizon is not None:
        raise UsageError(
            "usage.option", "--traffic, --margin and --horizon plan a roll-out", do="ambidex plan --rollout NAME@7"
        )
    workspace, source = read_table(table, at) if table is not None else (workspace_or_none(at), None)
    answer = ask(
        table=source, metric=metric, baseline=baseline, difference=difference, lift=lift, effect=effect, sd=sd,
        power=power, alpha=alpha, arms=arms, looks=looks, anytime=anytime, group=group, control=control, unit=unit,
        cluster=cluster, covariate=covariate, time=time, shares=shares, icc=icc, cluster_size=cluster_size, r2=r2,
        size=size, guardrail=guardrail, out=None if out is None else str(out),
    )  # fmt: skip
    if out is not None:
        replaced = write_plan(answer.extra["plan"], out, moment=now() if workspace is None else workspace.clock())
        if replaced:
            noted = Caution("plan-replaced", f"{out} held another plan, dated {replaced}; this one took its place.")
            answer = replace(answer, cautions=(*answer.cautions, noted))
    return kept(answer, workspace)


def campaign(
    table: Any,
    *,
    outcome: str,
    treatment: str | None = None,
    control: str | None = None,
    value: float | None = None,
    cost: float = 0.0,
    fixed_cost: float = 0.0,
    covariate: str | Sequence[str] = (),
    observational: bool = False,
    unit: str | None = None,
    time: str | None = None,
    start: str | None = None,
    shares: str | dict[str, float] | None = None,
    alpha: float = 0.05,
    at: At = None,
) -> Answer:
    """What a campaign returned, and whom to treat next."""
    from ambidex.insight.campaign import campaign as ask

    workspace, source = read_table(table, at)
    answer = ask(
        source, outcome=outcome, treatment=treatment, control=control, value=value, cost=cost, fixed_cost=fixed_cost,
        covariate=covariate, observational=observational, unit=unit, time=time, start=start, shares=shares, alpha=alpha,
    )  # fmt: skip
    return kept(answer, workspace)


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
    at: At = None,
) -> Answer:
    """What segments exist, and what each is worth."""
    from ambidex.insight.segments import segments as ask

    workspace, source = read_table(table, at)
    now = None if workspace is None else workspace.clock()
    answer = ask(source, unit=unit, time=time, value=value, approach=approach, k=k, scale=scale, out=out, now=now)
    return kept(answer, workspace)


def report(*answers: Any, to: str | Sequence[str] = ("html",), out: str | Path | None = None, at: At = None) -> Result:
    """A page, slides or a notebook for stakeholders, from one or several answers.

    Args:
        answers: Names in the workspace (`answer/12`) or answers.
        to: ``html``, ``md``, ``pdf``, ``pptx``, ``notebook``; one, several, or several with commas.
        out: File to write; with several forms its ending is that of each.
    """
    from ambidex.report.page import FORMS, write_report

    if not answers:
        raise UsageError("usage.value", "report takes at least one answer", do="ambidex report answer/1")
    words = [to] if isinstance(to, str) else list(to)
    kinds = list(dict.fromkeys(k.strip() for word in words for k in str(word).split(",")))
    for kind in kinds:
        if kind not in FORMS:
            raise UsageError(
                "usage.value", f"cannot write a report as {kind!r}{did_you_mean(kind, FORMS)}", found=", ".join(FORMS),
                do="--to html",
            )  # fmt: skip
    workspace = workspace_or_none(at)
    documents = [answer_document(a, workspace) for a in answers]
    names = "-".join(str(d["answer"] or d["verb"]).replace("/", "-") for d in documents)
    files = []
    for kind in kinds:
        if out is not None and (len(kinds) == 1 and Path(out).suffix):
            path = Path(out)
        elif out is not None:
            path = Path(out).with_suffix(FORMS[kind])
        elif workspace is not None:
            (workspace.folder / "reports").mkdir(exist_ok=True)
            path = workspace.folder / "reports" / f"{names}{FORMS[kind]}"
        else:
            path = Path(f"{names}{FORMS[kind]}")
        files.append(write_report(documents, path))
    told = {".html": ", opens offline, prints", ".ipynb": ", asks the same again and compares"}
    lines: list[tuple[Mark, str]] = [
        ("✓", f"{f} ({f.stat().st_size / 1024:.0f} KB{told.get(f.suffix, '')})") for f in files
    ]
    return Result(verb="report", data={"files": [str(f) for f in files]}, lines=tuple(lines))


def _plan_rollout(
    ref: str, traffic: float | None, margin: float | None, alpha: float, power: float, horizon: str | None,
    out: str | Path | None, at: At, *, beside: dict[str, Any],
) -> Answer:  # fmt: skip
    """The plan of a roll-out, written, and in the log that ``watch`` is held to."""
    from ambidex.delivery.references import resolve
    from ambidex.delivery.rollout_plan import write_rollout_plan
    from ambidex.delivery.rollout_size import plan_rollout
    from ambidex.delivery.rollout_words import plan_answer

    for option, value in beside.items():
        if value is not None:
            do = f"ambidex plan --rollout {ref}"
            raise UsageError("usage.option", f"--{option} plans a test, not a roll-out", do=do)
    workspace = open_workspace(at)
    name, number = resolve(workspace.store, ref)
    made = plan_rollout(
        workspace, name, number, traffic=traffic, margin=margin, alpha=None if alpha == 0.05 else alpha, power=power,
        horizon=horizon,
    )  # fmt: skip
    planned, path, replaced = write_rollout_plan(workspace, made, out)
    answer = plan_answer(planned, path, replaced=replaced, command=f"ambidex plan --rollout {name}@{number}")
    return kept(answer, workspace)
