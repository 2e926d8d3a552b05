"""From an answer or a notebook to a version that may go live, and back."""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from ambidex.errors import AmbidexError, UsageError, did_you_mean
from ambidex.journeys.shared import At, read_table
from ambidex.report.answer import Result
from ambidex.workspace import Workspace, open_workspace

__all__ = ["bench", "export", "gate", "models", "package", "promote", "rollback", "score", "serve", "test", "train"]


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


def bench(name: str, *, target: float | None = None, seconds: float = 3.0, rows: int = 1000, at: At = None) -> Result:
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
    _, rows = read_table(table, workspace.folder)
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
