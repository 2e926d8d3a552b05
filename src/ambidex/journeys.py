"""The main road: each verb, top to bottom.

Every verb is a command and a function of the same name with the same options. Explore verbs return an
``Answer``, the others a ``Result`` whose ``to_dict()`` is ``data`` of the JSON contract.
"""

from __future__ import annotations

import json
import re
import secrets
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from ambidex.errors import AmbidexError, DataError, NotFound, UsageError, did_you_mean
from ambidex.report.answer import Answer, Caution, Mark, Result
from ambidex.workspace import Workspace, create, find, now, open_workspace

__all__ = [
    "campaign", "career", "demo", "doctor", "drift", "drivers", "experiment", "export", "feedback", "gate", "help",
    "init", "models", "monitor", "next", "package", "plan", "profile", "promote", "report", "resume", "retrain", "role",
    "rollback", "score", "segments", "serve", "status", "team", "test", "token", "train", "ui", "watch",
]  # fmt: skip

At = Path | str | None


# ---------------------------------------------------------------- explore


def profile(table: Any, *others: Any, target: str | None = None, at: At = None) -> Answer:
    """What is in this table, what is wrong with it, and which columns join it to ``others``."""
    from ambidex.insight.profile import profile as ask

    workspace, source = _table(table, at)
    return _kept(ask(source, *(_table(o, at)[1] for o in others), target=target), workspace)


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

    workspace, source = _table(table, at)
    answer = ask(
        source, target=target, positive=positive, exclude=exclude, keep=keep, time=time, duration=duration,
        levers=levers, group=group,
    )  # fmt: skip
    return _kept(answer, workspace)


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
    workspace, source = _table(table, at)
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
    return _kept(answer, workspace, ledger.beside)


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
    workspace, source = _table(table, at) if table is not None else (_workspace_or_none(at), None)
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
    return _kept(answer, workspace)


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
    return _kept(answer, workspace)


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

    workspace, source = _table(table, at)
    answer = ask(
        source, outcome=outcome, treatment=treatment, control=control, value=value, cost=cost, fixed_cost=fixed_cost,
        covariate=covariate, observational=observational, unit=unit, time=time, start=start, shares=shares, alpha=alpha,
    )  # fmt: skip
    return _kept(answer, workspace)


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

    workspace, source = _table(table, at)
    now = None if workspace is None else workspace.clock()
    answer = ask(source, unit=unit, time=time, value=value, approach=approach, k=k, scale=scale, out=out, now=now)
    return _kept(answer, workspace)


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
    workspace = _workspace_or_none(at)
    documents = [_answer_document(a, workspace) for a in answers]
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


# ---------------------------------------------------------------- deliver


def package(
    source: Any,
    *,
    name: str,
    table: Any = None,
    target: str | None = None,
    positive: str | None = None,
    key: str | None = None,
    time: str | None = None,
    run: bool = False,
    allow_shell: bool = False,
    cwd: str | Path | None = None,
    python: str | None = None,
    at: At = None,
) -> Result:
    """A Python package with tests, a recipe and a sealed version, proven to predict the same as its source.

    Args:
        source: An answer or its name; a fitted estimator; the path of a model file.
        name: The model's name.
        table: Labelled rows, for an estimator or a file: they show what it takes, and it is judged on them.
        target: Outcome column of ``table``; so ``positive``, ``key`` (names a row's unit) and ``time``.
        run: Let the cells of a notebook run, in a child; without it they are only read.
        allow_shell: Let them start programs.
        cwd: Where a notebook's relative paths start; its own folder by default.
        python: The interpreter that it runs in; ours by default.
    """
    from ambidex.delivery.notebook.verb import is_notebook, package_notebook

    if is_notebook(source):
        from ambidex.records import check_name

        return package_notebook(
            open_workspace(at), source, name=check_name(name), run=run, allow_shell=allow_shell, cwd=cwd, python=python
        )
    from ambidex.edges.foreign import is_foreign

    if is_foreign(source):
        return _package_foreign(
            source, name=name, table=table, target=target, positive=positive, key=key, time=time, at=at
        )
    from ambidex.bundle.open import open_bundle
    from ambidex.bundle.seal import register, seal
    from ambidex.delivery import release, results
    from ambidex.delivery.material import load
    from ambidex.delivery.package import build_package, place_package, prove_against_prototype
    from ambidex.delivery.source import prototype_of, settings_of
    from ambidex.delivery.train import run_key, train
    from ambidex.records import check_name
    from ambidex.settings import add_model, duration

    check_name(name)
    workspace = open_workspace(at)
    recipe = prototype_of(source, workspace.store)
    settings = settings_of(recipe, name, workspace.settings)
    if name in workspace.settings.models:  # what people have declared already holds from the first version on
        recipe, settings = release.configured(workspace, name, recipe)
    horizon = duration(settings.horizon) if settings.horizon else None
    material = load(recipe, workspace.folder, horizon_s=horizon, now=workspace.clock())
    trained = train(material, recipe)
    bundle = seal(workspace.blobs, trained.files)
    opened = open_bundle(workspace.blobs, bundle)
    building = build_package(workspace.folder, name, trained.files, rows=opened.golden["rows"][:1])
    parity, notes = prove_against_prototype(building, name, opened, material, recipe)
    with workspace.alone("package"):
        home = place_package(building, workspace.folder, name)
        written = add_model(workspace.folder, name, settings)
        version = register(
            workspace.store, workspace.blobs, trained.files, model=name, data=material.manifest.fingerprint,
            code=run_key(material.manifest, recipe).split(":")[1], key=run_key(material.manifest, recipe),
            summary=trained.summary,
        )  # fmt: skip
    return results.packaged(version, home, workspace.folder, parity, trained.evaluation, written=written, notes=notes)


def train(
    name: str, *, data: Any = None, trials: int | None = None, budget: str | None = None, say: Any = None, at: At = None
) -> Result:
    """Run the recipe again, or look for a better one: a new version.

    Args:
        name: The model.
        data: Other rows than the recipe's.
        trials: Try so many recipes; so does ``[models.NAME.search]``.
        budget: Begin no further one after this time, such as ``10m``.
        say: Called with one line a recipe tried; standard error by default.
    """
    from ambidex.bundle.seal import register
    from ambidex.delivery import release, results
    from ambidex.delivery.train import ELSEWHERE, TRAINED, code_hash
    from ambidex.delivery.train import train as run
    from ambidex.records import check_name

    check_name(name)
    workspace = open_workspace(at)
    versions = workspace.store.versions(name)
    latest = release.newest_sound(workspace, versions)
    source = None if data is None else str(Path(data).resolve()) if isinstance(data, str | Path) else data
    material, recipe, state = release.newest(workspace, name, latest.recipe, data=source)
    live = release.newest_sound(workspace, [v for v in versions if v.number == state.live]) if state.live else latest
    release.declare_gates(workspace, name)
    tried = _searched(workspace, name, material, recipe, trials=trials, budget=budget, say=say)
    recipe = recipe if tried is None else tried.recipe
    record = None if tried is None else tried.record
    trained = run(material, recipe, at_least=live.schema, code=latest.files, anew=True, search=record)
    version = register(
        workspace.store, workspace.blobs, trained.files, model=name, data=material.manifest.fingerprint,
        code=code_hash(recipe), key=f"{TRAINED if data is None else ELSEWHERE}:{secrets.token_hex(8)}",
        summary=trained.summary,
    )  # fmt: skip
    event = workspace.store.events(model=name, verbs=("register",))[version.number - 1].seq
    return results.trained(
        version, was=versions[-1].number, event=event, rows=material.manifest.rows, evaluation=trained.evaluation,
        search=record,
    )  # fmt: skip


def test(
    ref: str, *, ask: bool = False, answer: Sequence[str] | str = (), because: str | None = None,
    against: str | None = None, at: At = None,
) -> Result:  # fmt: skip
    """Contract tests of a version, and its ML test score.

    Args:
        ref: `NAME@7`.
        against: Address of a running server: golden, boundary, schema, latency and feedback tests over HTTP there.
        ask: Show only the checks that people are asked.
        answer: ``ID=yes``, ``ID=automated`` or ``ID=no``: what is so; kept, dated, and asked again after half a year.
        because: Where it is written down.
    """
    from ambidex.delivery import readiness, tested
    from ambidex.delivery.references import resolve
    from ambidex.watch.drift import drift as look

    workspace = open_workspace(at)
    name, number = resolve(workspace.store, ref)
    if against is not None:
        from ambidex.delivery import against as over_http

        found = over_http.against(workspace, name, number, against)
        missed = [c.name for c in found if not c.passed]
        body = {"passed": not missed, "checks": len(found), "failed": missed, "against": against}
        workspace.store.append(verb="test", model=name, version=number, body=body)
        return over_http.told(f"{name}@{number}", against, found)
    tested.answer(workspace, name, [answer] if isinstance(answer, str) else list(answer), because)
    margin = workspace.settings.watch.margin
    subject = tested.subject_of(
        workspace, name, number, log_folder=workspace.log_folder,
        drift=lambda opened, rows: look(opened.reference, opened.schema, rows, margin=margin),
    )  # fmt: skip
    contract, checks = list(subject.contract.values()), readiness.judge(subject)
    failed = [c.name for c in contract if not c.passed]
    points = readiness.points_of(checks)
    body = {
        "passed": not failed, "checks": len(contract), "failed": failed, "score": min(points.values()),
        "sections": points,
    }  # fmt: skip
    workspace.store.append(verb="test", model=name, version=number, body=body)
    return tested.tested(f"{name}@{number}", contract, checks, ask=ask)


def gate(ref: str, *, waive: str | None = None, reason: str | None = None, at: At = None) -> Result:
    """Judge a version against the live one, or against a fitted constant where nothing is live."""
    from ambidex.delivery import release, results
    from ambidex.delivery.gates import GATES
    from ambidex.delivery.references import resolve

    workspace = open_workspace(at)
    name, number = resolve(workspace.store, ref)
    if (waive is None) != (reason is None):
        raise UsageError("usage.value", "a waiver needs both --waive GATE and --reason TEXT", do="--reason 'why'")
    if waive is not None and waive not in GATES:
        raise UsageError(
            "usage.value",
            f"there is no gate {waive!r}{did_you_mean(waive, GATES)}",
            where="--waive",
            found=", ".join(GATES),
        )
    waived = {waive: str(reason)} if waive is not None else {}
    judgement = release.judge(workspace, name, number, waived=waived)
    return results.gated(judgement, worn=release.wear(workspace, name))


def promote(ref: str, *, to: str, dry_run: bool = False, at: At = None) -> Result:
    """Move a pointer, if the gates passed; never otherwise. ``shadow`` and ``canary`` begin a roll-out."""
    from ambidex.delivery import results, rollout
    from ambidex.delivery.references import resolve

    places = ("staging", "shadow", "canary", "live")
    if to not in places:
        raise UsageError("usage.value", f"cannot promote to {to!r}", found=", ".join(places), do="--to live")
    workspace = open_workspace(at)
    name, number = resolve(workspace.store, ref)
    was = getattr(workspace.store.model(name), to)
    judgement, event, begun = rollout.start(workspace, name, number, to=to, dry_run=dry_run)
    moved = results.promoted(
        f"{name}@{number}", to=to, was=was, event=event.seq if event else None, gates=len(judgement.gates),
        dry_run=dry_run,
    )  # fmt: skip
    return moved if begun is None else rollout.told(moved, begun)


def rollback(name: str, *, to: int | str | None = None, dry_run: bool = False, at: At = None) -> Result:
    """Back to the last version that passed; retraining pauses until ``resume``."""
    from ambidex.delivery import release, results
    from ambidex.delivery.references import version_number
    from ambidex.records import check_name

    check_name(name)
    workspace = open_workspace(at)
    chosen = version_number(to)
    target, was, event = release.rollback(workspace, name, to=chosen, dry_run=dry_run)
    return results.rolled_back(name, target, was=was, event=event.seq if event else None, to=chosen, dry_run=dry_run)


def serve(
    *names: str, host: str = "127.0.0.1", port: int = 8377, workers: int = 1, ready: Any = None, at: At = None
) -> Result:
    """Answer predictions over HTTP until stopped."""
    from ambidex.access import VERB, fold
    from ambidex.desk import Desk
    from ambidex.records import check_name
    from ambidex.serving.entry import Asks
    from ambidex.serving.log import Logging
    from ambidex.serving.messages import Limits
    from ambidex.serving.supervisor import run
    from ambidex.settings import size

    for argument, value in (("port", port), ("workers", workers)):
        if type(value) is not int:
            raise UsageError(
                "usage.type", f"{argument} must be a whole number, not {type(value).__name__} {str(value)[:60]!r}",
                where=f"argument {argument}",
            )  # fmt: skip
    for name in names:
        check_name(name)
    workspace = open_workspace(at)
    for name in names:
        workspace.store.model(name)
    folder = workspace.folder
    said = workspace.settings.serving
    burst = said.burst if said.burst is not None else int(2 * (said.rate or 0))
    asks = Asks(frozenset(said.hosts), said.tokens, said.rate, max(1, burst))
    moment = workspace.clock().timestamp()
    tokens = any(t.state(moment) == "active" for t in fold(workspace.store.events(verbs=(VERB,))))
    known = [m.name for m in workspace.store.models()]
    logging = Logging.of(workspace.settings, workspace.log_folder.parent, known)
    limits = Limits(memory_bytes=size(said.memory) if said.memory else 0)
    run(
        lambda: Desk(folder, names), host=host, port=port, workers=workers, log_folder=workspace.log_folder,
        ready=ready, asks=asks, tokens=tokens, logging=logging, limits=limits,
    )  # fmt: skip
    return Result(verb="serve", data={"host": host, "port": port, "workers": workers}, lines=(("✓", "stopped"),))


def ui(*, host: str = "127.0.0.1", port: int = 8377, ready: Any = None, grafana: Any = None, at: At = None) -> Result:
    """The dashboard, until stopped: what needs attention, and the verbs to act.

    Args:
        host: Where to listen; a public address needs a token first.
        port: The next free one from here on is taken; 0 takes any.
        ready: Called with the address once it listens.
        grafana: Write a Grafana dashboard and Prometheus rules into this folder instead.
    """
    from ambidex.ui.grafana import write_grafana
    from ambidex.workspace import acting_as

    if type(port) is not int:
        raise UsageError(
            "usage.type", f"port must be a whole number, not {type(port).__name__} {str(port)[:60]!r}",
            where="argument port",
        )  # fmt: skip
    workspace = open_workspace(at)
    if grafana is not None:
        return write_grafana(grafana, workspace)
    from ambidex.ui.server import run

    address = run(
        lambda: open_workspace(workspace.folder), sys.modules[__name__], host=host, port=port, acting_as=acting_as,
        ready=ready,
    )  # fmt: skip
    return Result(verb="ui", data={"address": address, "host": host, "port": port}, lines=(("✓", "stopped"),))


def bench(
    name: str, *, target: float | None = None, seconds: float = 3.0, rows: int = 1000, at: At = None
) -> Result:
    """How many predictions a second a version gives on this machine, and how many cores a target needs.

    A private server on a loopback port is asked by a load generator; nothing enters the prediction log.

    Args:
        name: `NAME`, `NAME@7`; the live version by default.
        target: Predictions a second that are wanted.
        seconds: Of each measurement.
        rows: Rows of a request of many.
    """
    from ambidex.bench import bench as run

    for word, value, most in (("target", target, 1e9), ("seconds", seconds, 600), ("rows", rows, 10_000)):
        if value is not None and not 0 < value <= most:
            raise UsageError(
                "usage.value", f"{word} {value!r} is not between 0 and {most:,.0f}", where=f"argument {word}",
                do=f"ambidex bench {name}",
            )  # fmt: skip
    return run(open_workspace(at), name, target=target, seconds=seconds, batch=int(rows))


def score(name: str, table: Any, *, out: str | Path, at: At = None) -> Result:
    """Score a table; its rows enter the prediction log."""
    from ambidex.data.privacy import privacy_of
    from ambidex.data.read import read
    from ambidex.delivery import release, results
    from ambidex.delivery.material import scorable
    from ambidex.delivery.references import resolve
    from ambidex.delivery.score import (
        Run,
        append_log,
        check_out,
        log_payloads,
        run_key,
        score_table,
        unfinished,
        written_scores,
    )

    workspace = open_workspace(at)
    model, number = resolve(workspace.store, name, default="live")
    check_out(out, data=[workspace.folder / declared.data for declared in workspace.settings.models.values()])
    source = read(table)
    path = check_out(out, source.files)
    opened = release.open_version(workspace, model, number)
    table_read = source
    source = scorable(source, opened.recipe, now=workspace.clock())
    moment = release.stamp(workspace.clock())
    key = run_key(workspace.store.version(model, number).digest, table_read, path)
    token = workspace.store.lease(f"score/{key}", seconds=86400.0)
    if token is None:  # another process scores the same rows to the same file at the moment: that run is its own
        key = secrets.token_hex(6)
    try:
        events = workspace.store.events(model=model, verbs=("score",))
        run = unfinished(workspace.log_folder, model, key, (str(e.body.get("run")) for e in events))
        run = run or Run(f"{re.sub('[^0-9]', '', moment)}-{key}", moment)
        scored = score_table(opened, source, stamp=run.name)
        with written_scores(scored, opened.schema, path) as place:
            payloads = log_payloads(scored, schema=opened.schema, model=model, version=number, at=run.at)
            if rule := privacy_of(workspace.settings, workspace.log_folder.parent, model):
                payloads = map(rule.payload, payloads)
            append_log(workspace.log_folder / model / f"score-{run.name}.frames", islice(payloads, run.logged, None))
            place()
        body = {"rows": source.rows, "out": path.name, "run": run.name}
        workspace.store.append(verb="score", model=model, version=number, body=body)
    finally:
        if token is not None:
            workspace.store.release(f"score/{key}", token)
    return results.scored(model, number, scored, opened.schema, path)


def models(
    what: str = "ls", ref: str | None = None, other: str | None = None, *, when: str | None = None,
    reason: str | None = None, dry_run: bool = False, at: At = None,
) -> Result:  # fmt: skip
    """Versions, their records and differences, and who moved what and why; with ``when``, what was live then.

    ``delete`` takes a version that no pointer names out of use, and removes the files that only it needed.

    Args:
        when: A moment for ``log``, such as ``2026-11-24T14:32``; this machine's time unless it names its zone.
        reason: Why a version is deleted, for the log.
        dry_run: Say what would be deleted, and do nothing.
    """
    from ambidex.delivery import collect, differ, history, listing

    workspace = open_workspace(at)
    if when is not None and what != "log":
        raise UsageError("usage.value", f"models {what} knows no --at", do="ambidex models log --at TIME")
    match what:
        case "ls":
            return listing.list_models(workspace)
        case "show" if ref is not None:
            return listing.show_version(workspace, ref)
        case "diff" if ref is not None and other is not None:
            return differ.diff_versions(workspace, ref, other)
        case "delete" if ref is not None:
            return collect.delete_version(workspace, ref, because=reason, dry_run=dry_run)
        case "log":
            return listing.log(workspace, ref) if when is None else history.then(workspace, ref, when)
    raise UsageError(
        "usage.value", f"models cannot do {what!r} with what was given", do="ambidex models ls",
        found="ls, show REF, diff REF REF, log [NAME], delete REF",
    )  # fmt: skip


def export(ref: str, *, to: str, out: str | Path, at: At = None) -> Result:
    """A version in other people's forms: an MLflow folder, an ONNX file, a Dockerfile with a compose file."""
    from ambidex.delivery import export as forms
    from ambidex.delivery import release
    from ambidex.delivery.references import resolve

    if to not in forms.TO:
        near = did_you_mean(to, forms.TO)
        raise UsageError("usage.value", f"cannot export to {to!r}{near}", found=", ".join(forms.TO))
    workspace = open_workspace(at)
    name, number = resolve(workspace.store, ref)
    folder = forms.new_folder(out)
    opened = release.open_version(workspace, name, number)
    if to == "docker":
        files = forms.write_docker(opened, name, number, folder)
    elif to == "mlflow":
        files = forms.write_mlflow(opened, name, number, folder, at=release.stamp(workspace.clock()))
    else:
        from ambidex.edges.onnx_write import onnx_of

        data = onnx_of(opened)
        folder.mkdir(exist_ok=True)
        files = [folder / f"{name}-{number}.onnx"]
        files[0].write_bytes(data)
    workspace.store.append(verb="export", model=name, version=number, body={"to": to, "files": len(files)})
    return Result(
        verb="export",
        data={"files": [str(f) for f in files]},
        lines=(("✓", f"{name}@{number} as {to} in {folder}: {len(files)} files"),),
    )


# ---------------------------------------------------------------- run


def drift(name: str, table: Any, *, at: At = None) -> Result:
    """This table against the version's reference; nothing is kept."""
    from ambidex.data.read import read
    from ambidex.delivery import release, results
    from ambidex.delivery.material import scorable
    from ambidex.delivery.references import resolve
    from ambidex.watch.drift import drift as look

    workspace = open_workspace(at)
    model, number = resolve(workspace.store, name, default="live")
    opened = release.open_version(workspace, model, number)
    source = scorable(read(table), opened.recipe, now=workspace.clock())
    data = look(opened.reference, opened.schema, source, margin=workspace.settings.watch.margin)
    return results.drifted(model, number, data)


def feedback(name: str, table: Any, *, id: str, label: str, at: At = None) -> Result:
    """Late labels from a table, matched to predictions by their id or by the declared key."""
    from ambidex.data.privacy import privacy_of
    from ambidex.data.read import read
    from ambidex.delivery import release, results
    from ambidex.delivery.score import append_log
    from ambidex.records import check_name
    from ambidex.watch.labels import match_labels, relevant

    check_name(name)
    workspace = open_workspace(at)
    workspace.store.model(name)
    source = read(table)
    opened = release.open_version(workspace, name, workspace.store.model(name).answering)
    rule = privacy_of(workspace.settings, workspace.log_folder.parent, name)
    logged = relevant(workspace.log_folder, name, source, id=id, schema=opened.schema, privacy=rule)
    matched = match_labels(
        logged, source, id=id, label=label, schema=opened.schema, at=release.stamp(workspace.clock())
    )
    if matched.payloads:
        run = f"{re.sub('[^0-9]', '', release.stamp(workspace.clock()))}-{secrets.token_hex(4)}"
        append_log(workspace.log_folder / name / f"labels-{run}.frames", matched.payloads)
    data = matched.to_dict()
    workspace.store.append(verb="feedback", model=name, body=data)
    return results.labelled(name, data)


def investigate(name: str, *, since: str | None = None, id: str | None = None, at: At = None) -> Result:
    """Why was it slow or wrong: since when, after which event, in which stage, for which requests; or one row.

    Args:
        name: Model's name.
        since: When it began, as ``14:30``, ``2h`` or an ISO time; looked for where it is not said.
        id: Explain this one prediction: replayed, its unusual values, its times.
    """
    from ambidex.delivery.release import open_version
    from ambidex.records import check_name
    from ambidex.watch.investigate import House, explain_row, since_of
    from ambidex.watch.investigate import investigate as look

    check_name(name)
    workspace = open_workspace(at)
    workspace.store.model(name)
    now = workspace.clock()
    house = House(workspace.log_folder, workspace.log_folder.parent / "run", workspace.store, now)
    if id is not None:
        return explain_row(house, name, id, lambda number: open_version(workspace, name, number))
    return look(house, name, since=None if since is None else since_of(since, now))


def monitor(
    name: str,
    *,
    ack: str | None = None,
    mute: str | None = None,
    reason: str | None = None,
    until: str = "7d",
    replay: bool = False,
    at: At = None,
) -> Result:
    """One pass over what is new in the prediction log: rules, inputs, losses, service levels; alerts."""
    from ambidex.data.sealing import seal_if_due
    from ambidex.delivery import results
    from ambidex.records import check_name
    from ambidex.serving.log import Logging
    from ambidex.watch import run

    check_name(name)
    if sum((ack is not None, mute is not None, replay)) > 1:
        raise UsageError("usage.value", "ack, mute and replay are done one at a time", do=f"ambidex monitor {name}")
    workspace = open_workspace(at)
    if replay:
        from ambidex.watch.replay import replay as past

        return results.replayed(name, past(workspace, name, _own_table(workspace, name)))
    if ack is not None:
        data = run.acknowledge(workspace, name, ack)
    elif mute is not None:
        data = run.mute(workspace, name, mute, reason=reason or "", until=until)
    else:
        data = run.monitor(workspace, name)
        retain = Logging.of(workspace.settings, workspace.log_folder.parent, [name]).retain_s.get(name)
        seal_if_due(workspace.log_folder, name, retain_s=retain)
        if workspace.settings.notify.channels:
            from ambidex.rounds import notify

            notify(workspace)
    return results.monitored(workspace.store.model(name), data)


def _own_table(workspace: Workspace, name: str) -> Any:
    """The rows that the model is declared to be made from, if they say when they happened; None if they cannot tell."""
    from ambidex.data.read import read
    from ambidex.delivery.material import resolve as located

    declared = workspace.settings.models.get(name)
    if declared is None or declared.time is None or declared.prepare is not None:
        return None
    try:
        return read(located(declared.data, workspace.folder))
    except AmbidexError:
        return None  # a log may be enough, and the verb that needs the file says what is wrong with it


def retrain(name: str, *, at: At = None) -> Result:
    """At most one step of the loop: train on new data and judge, or say what is missing."""
    from ambidex.delivery import results
    from ambidex.delivery.retrain import retrain as step
    from ambidex.records import check_name

    check_name(name)
    workspace = open_workspace(at)
    return results.retrained(name, step(workspace, name))


def resume(name: str, *, at: At = None) -> Result:
    """End a pause of retraining."""
    from ambidex.delivery import results
    from ambidex.records import check_name

    check_name(name)
    workspace = open_workspace(at)
    was = workspace.store.model(name).paused
    event = workspace.store.append(verb="resume", model=name) if was else None
    return results.resumed(name, was=was, event=event.seq if event else None)


def watch(*, once: bool = False, interval: float | str = 60, say: Any = None, at: At = None) -> Result:
    """Monitor, roll-outs and retraining of every model, from the log alone, until stopped.

    Args:
        once: One step, which may be repeated at any time.
        interval: Seconds between steps, or a text such as ``5m``.
        say: Called with (mark, text) for each line, one a model and step.
    """
    from ambidex.rounds import seconds_of
    from ambidex.rounds import watch as go

    seconds = seconds_of(interval)
    open_workspace(at)  # what is wrong with it shows at once; later it is tried again
    return go(lambda: open_workspace(at), once=once, interval=seconds, say=say)


def init(folder: str | Path | None = None, *, at: At = None) -> Result:
    """Make a workspace."""
    base = Path(at) if at is not None else Path()
    target = (base / folder if folder is not None else base).resolve()
    workspace = create(target)
    where = str(folder) if folder is not None else "."
    return Result(
        verb="init",
        data={"workspace": str(workspace.folder), "name": workspace.name},
        lines=(("✓", f"workspace {workspace.name}: put tables into {where}/data"),),
        next=(f"cd {where}", "ambidex profile data/TABLE.csv"),
    )


def demo(
    table: Any = None, *, target: str | None = None, folder: str | Path | None = None, say: Any = None, at: At = None
) -> Result:
    """The whole road on real data, one timed line a step.

    Args:
        say: Called with (mark, step, text, seconds) as each step has happened.
    """
    from ambidex.demo import run

    base = Path(at) if at is not None else Path()
    return run(sys.modules[__name__], table, target=target, folder=base / (folder or "ambidex-demo"), say=say)


def status(*, at: At = None) -> Result:
    """Where everything stands."""
    from ambidex.delivery import listing

    return listing.status(open_workspace(at))


def doctor(*, at: At = None) -> Result:
    """Is the workspace sound: event chain, fold, bundles, prediction log."""
    from ambidex.delivery import soundness

    return soundness.doctor(open_workspace(at))


# ---------------------------------------------------------------- advise


def next(
    *,
    ask: bool = False,
    answer: Sequence[str] | str = (),
    team: Any = None,
    out: str | Path | None = None,
    at: At = None,
) -> Result:
    """What the project needs now: exploration or delivery, whose work it is, and the first task."""
    from ambidex.advice import next_step
    from ambidex.advice.facts import check_fact
    from ambidex.advice.sheet import read_sheet
    from ambidex.data.read import read

    workspace = open_workspace(at)
    given = [answer] if isinstance(answer, str) else list(answer)
    for item in given:
        identity, equals, value = item.partition("=")
        if not equals:
            raise UsageError("usage.value", f"{item!r} is no answer", found="ID=VALUE", do="--answer A2=software")
        identity, value = check_fact(identity, value)
        workspace.store.append(verb="fact", body={"id": identity, "value": value})
    people = None if team is None else read_sheet(read(team))[0]
    data = next_step.read_and_advise(
        workspace.folder, workspace.store, workspace.settings, now=workspace.clock(), people=people
    )
    return _with_page(next_step.as_result(data, ask=ask), out)


def team(sheet: Any, *, for_: str | None = None, out: str | Path | None = None, at: At = None) -> Result:
    """The people's skills against the work ahead; nothing of the sheet is kept."""
    from ambidex.advice import next_step
    from ambidex.advice import team as skills
    from ambidex.advice.matrix import matrix_of, role_name
    from ambidex.advice.sheet import read_sheet
    from ambidex.data.read import read

    workspace = _workspace_or_none(at)
    people, unread = read_sheet(read(sheet, argument="sheet"))
    matrix = matrix_of(workspace.settings.advice if workspace else None)
    said = ""
    if for_ is not None and for_ != "next":
        role = role_name(for_, {**matrix.asked, "both": None}, option="--for")
    elif workspace is not None:
        found = next_step.read_and_advise(workspace.folder, workspace.store, workspace.settings, now=workspace.clock())[
            "role"
        ]
        role = next_step.SHEET_ROLES.get(found, "both")
        said = f"measured against what next found ({found.replace('_', ' ')})"
    elif for_ == "next":
        open_workspace(at)  # says that none is here
    else:
        role, said = "both", "no workspace here, so measured against both roles"
    return _with_page(skills.as_result(skills.coverage(people, matrix, role), unread=unread, said=said), out)


def role(
    text: Any,
    *,
    kind: str | None = None,
    expect: str | None = None,
    rewrite: str | None = None,
    out: str | Path | None = None,
    at: At = None,
) -> Result:
    """Whose work a job posting or brief really describes; the text is not kept."""
    from ambidex.advice import role as reading
    from ambidex.advice.posting import check_kind, read_posting

    del at
    if rewrite not in (None, "md"):
        raise UsageError("usage.value", f"cannot rewrite as {rewrite!r}", found="md", do="--rewrite md")
    expected = None if expect is None else reading.expected(expect)
    chosen = check_kind(kind)
    posting = read_posting(*_document_bytes(text))
    data = reading.read_role(posting, kind=chosen)
    rewritten = reading.rewrite(posting, data) if rewrite else None
    return _with_page(reading.as_result(data, expect=expected, rewritten=rewritten), out)


def career(sheet: Any, *, person: str, to: str, at: At = None) -> Result:
    """The way from somebody's levels to a role; nothing of the sheet is kept."""
    from ambidex.advice import career as way
    from ambidex.advice.matrix import matrix_of, role_name
    from ambidex.advice.sheet import find_person, read_sheet
    from ambidex.advice.state import gather
    from ambidex.data.read import read

    workspace = _workspace_or_none(at)
    matrix = matrix_of(workspace.settings.advice if workspace else None)
    goal = role_name(to, matrix.asked, option="--to")
    people, unread = read_sheet(read(sheet, argument="sheet"))
    here = {}
    if workspace is not None:
        here = way.work_here(gather(workspace.folder, workspace.store, workspace.settings, workspace.clock()))
    return way.as_result(way.career(find_person(people, person), goal, matrix, here=here), unread=unread)


def token(
    what: str = "ls",
    name: str | None = None,
    *,
    role: str | None = None,
    model: str | Sequence[str] = (),
    expires: str | None = None,
    at: At = None,
) -> Result:
    """Who may ask the server: make a token (``new``), list them (``ls``), revoke one (``revoke``).

    Args:
        what: ``new``, ``ls`` or ``revoke``.
        name: What people call the new token; id or name of the one to revoke.
        role: viewer, caller, analyst, engineer or admin.
        model: Only for these models; all if not said.
        expires: How long it holds, such as ``90d``.
    """
    from ambidex.delivery import tokens

    workspace = open_workspace(at)
    asked = (model,) if isinstance(model, str) else tuple(model)
    if what != "new" and (role is not None or asked or expires is not None):
        raise UsageError(
            "usage.value", f"token {what} knows no --role, --model or --expires", where=f"token {what}",
            do="ambidex token new --role caller",
        )  # fmt: skip
    match what:
        case "new":
            return tokens.new_token(
                workspace, role=role, models=asked, expires=tokens.EXPIRES if expires is None else expires, name=name
            )
        case "ls" if name is None:
            return tokens.list_tokens(workspace)
        case "revoke" if name is not None:
            return tokens.revoke_token(workspace, name)
    raise UsageError(
        "usage.value", f"token cannot do {what!r} with what was given", where="token",
        found="new [NAME] --role ROLE, ls, revoke ID", do="ambidex token ls",
    )  # fmt: skip


def help(code: str | None = None, *, at: At = None) -> Result:
    """What an error code means."""
    from ambidex.errors import CODES

    del at
    if code is None:
        return Result(verb="help", data={"codes": CODES}, lines=tuple((" ", f"{k:<24} {v}") for k, v in CODES.items()))
    if code not in CODES:
        raise UsageError("usage.code", f"there is no code {code!r}{did_you_mean(code, CODES)}", do="ambidex help")
    return Result(verb="help", data={"code": code, "text": CODES[code]}, lines=((" ", f"{code}: {CODES[code]}"),))


# ---------------------------------------------------------------- what the verbs share


def _searched(
    workspace: Workspace, name: str, material: Any, recipe: Any, *, trials: int | None, budget: str | None, say: Any
) -> Any:
    """What a search found, if the options or ambidex.toml ask for one; else None."""
    from ambidex.delivery.search import search
    from ambidex.delivery.train import run_key
    from ambidex.settings import SearchSettings, duration

    declared = workspace.settings.models[name]
    if trials is None and budget is None and declared.search is None:
        return None
    if trials is not None and not (type(trials) is int and 1 <= trials <= 100_000):
        raise UsageError("usage.value", f"cannot try {trials!r} recipes", where="--trials", do="--trials 20")
    if budget is not None:
        duration(budget)
    mine = declared.search or SearchSettings()
    settings = SearchSettings(
        trials=trials if trials is not None else mine.trials if budget is None else 100_000,
        budget=budget if budget is not None else mine.budget, families=mine.families,
    )  # fmt: skip
    horizon = duration(declared.horizon) if declared.horizon else None
    tell = say or (lambda line: print(line, file=sys.stderr))
    return search(
        workspace, name, material, recipe, settings, key=run_key(material.manifest, recipe), horizon_s=horizon, say=tell
    )


def _package_foreign(
    source: Any, *, name: str, table: Any, target: str | None, positive: str | None, key: str | None, time: str | None,
    at: At,
) -> Result:  # fmt: skip
    """A model that was fitted elsewhere becomes a version."""
    from ambidex.delivery import results
    from ambidex.delivery.coded import adopt
    from ambidex.delivery.coded_package import build_coded
    from ambidex.delivery.package import place_package
    from ambidex.delivery.source import check_estimator
    from ambidex.edges.foreign import file_digest, made_from
    from ambidex.records import check_name

    check_name(name)
    check_estimator(source)
    workspace = open_workspace(at)
    declared = workspace.settings.models.get(name)
    if table is None and declared is not None:
        table, target = workspace.folder / declared.data, target or declared.target
        positive, key, time = positive or declared.positive, key or declared.key, time or declared.time
    if table is None or target is None:
        raise UsageError(
            "usage.option",
            f"`package` of a model fitted elsewhere needs {'--table TABLE' if table is None else '--target COL'}",
            found="rows show what it takes and gives, and it is judged on them",
            do="--table data/TABLE.csv --target COL",
        )
    _, rows = _table(table, workspace.folder)
    for column in (key, time):
        if column is not None:
            rows.require(column)
    try:
        made = made_from(
            source, name=name, table=rows, target=target, positive=positive, key=key, time=time,
            frame=table if hasattr(table, "dtypes") else None,
        )  # fmt: skip
    except AmbidexError as error:
        if isinstance(source, str | Path) and Path(source).is_file():
            body = {"file": Path(source).name, "sha256": file_digest(Path(source)), "code": error.code}
            body["because"] = error.message
            workspace.store.append(verb="package-refused", model=name, body=body)
        raise
    adopted = adopt(workspace, name, made.files, table=rows, positive=positive)
    building = build_coded(workspace.folder, name, adopted.opened.files)
    with workspace.alone("package"):
        home = place_package(building, workspace.folder, name)
    return results.adopted(adopted, home, workspace.folder, made)


def _with_page(result: Result, out: str | Path | None) -> Result:
    """The result, its page written where ``out`` says."""
    if out is None:
        return result
    from ambidex.advice.pages import page_of
    from ambidex.report.page import write_report

    path = write_report([page_of(result.verb, result.data).to_dict()], Path(out))
    return replace(result, lines=(*result.lines, (" ", f"page        {path}")))


def _document_bytes(text: Any) -> tuple[bytes, str]:
    """The bytes of a posting and its name: a file, standard input (``-``), or the text itself."""
    if isinstance(text, str) and text == "-":
        return sys.stdin.buffer.read(), "standard input"
    if isinstance(text, str) and ("\n" in text or len(text) > 400):
        return text.encode(), "text"
    if not isinstance(text, str | Path):
        raise UsageError(
            "usage.type", f"a posting is a file or text, not {type(text).__name__}", do="role('posting.txt')"
        )
    path = Path(text)
    try:
        raw = path.read_bytes()
    except FileNotFoundError as gone:
        raise NotFound("data.no-file", f"no file {text}", where=str(text), do="ambidex role posting.txt") from gone
    except OSError as closed:
        raise DataError("data.no-file", f"{text} cannot be read: {closed.strerror}", where=str(text)) from closed
    if raw.startswith(b"%PDF"):
        from ambidex.edges.pdf import text_of

        return text_of(raw, path.name).encode(), path.name
    return raw, path.name


def _workspace_or_none(at: At) -> Workspace | None:
    return open_workspace(at) if at is not None or find(None) is not None else None


def _table(table: Any, at: At) -> tuple[Workspace | None, Any]:
    """The workspace, if there is one, and the table with its origin as the workspace names it."""
    from ambidex.data.read import read
    from ambidex.data.tables import keep_frame

    workspace = _workspace_or_none(at)
    source = read(table)
    if workspace is None:
        return None, source
    return workspace, keep_frame(source, workspace.folder)


def _kept(answer: Answer, workspace: Workspace | None, beside: dict[str, Any] | None = None) -> Answer:
    """The answer, numbered and kept if there is a workspace; with it what only the workspace needs."""
    if workspace is None:
        return answer
    document = {**answer.to_dict(), "model": answer.model, **(beside or {})}
    del document["answer"]
    number = workspace.store.record_answer(json.loads(json.dumps(document, allow_nan=False)))
    name = f"answer/{number}"
    next_steps = tuple(step.replace("answer/N", name) for step in answer.next)
    return replace(answer.named(name), next=next_steps)


def _answer_document(answer: Any, workspace: Workspace | None) -> dict[str, Any]:
    from ambidex.delivery.source import answer_document

    if isinstance(answer, Answer):
        return answer.to_dict()
    if workspace is None:
        workspace = open_workspace(None)
    return answer_document(answer, workspace.store)


def _any_version(workspace: Workspace, name: str) -> int:
    state = workspace.store.model(name)
    return state.live if state.live is not None else state.versions
