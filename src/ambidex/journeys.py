"""The main road: each verb, top to bottom.

Every verb is a command and a function of the same name with the same options. Explore verbs return an
``Answer``, the others a ``Result`` whose ``to_dict()`` is ``data`` of the JSON contract.
"""

from __future__ import annotations

import json
import re
import secrets
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from ambidex.errors import EnvironmentProblem, UsageError, did_you_mean
from ambidex.report.answer import Answer, Mark, Result
from ambidex.workspace import Workspace, create, find, open_workspace

__all__ = [
    "demo", "doctor", "drift", "drivers", "experiment", "feedback", "gate", "help", "init", "models", "monitor",
    "next", "package", "profile", "promote", "report", "resume", "retrain", "rollback", "score", "serve", "status",
    "test", "train",
]  # fmt: skip

At = Path | str | None

BATCH = 10_000
"""Rows that go into the prediction log with one write: a single write takes at most 2 GB."""


# ---------------------------------------------------------------- explore


def profile(table: Any, *, target: str | None = None, at: At = None) -> Answer:
    """What is in this table, and what is wrong with it."""
    from ambidex.insight.profile import profile as ask

    workspace, source = _table(table, at)
    return _kept(ask(source, target=target), workspace)


def drivers(
    table: Any,
    *,
    target: str,
    positive: str | None = None,
    exclude: Sequence[str] = (),
    keep: Sequence[str] = (),
    time: str | None = None,
    at: At = None,
) -> Answer:
    """What factors go with the outcome."""
    from ambidex.insight.drivers import drivers as ask

    workspace, source = _table(table, at)
    return _kept(ask(source, target=target, positive=positive, exclude=exclude, keep=keep, time=time), workspace)


def experiment(
    table: Any,
    *,
    group: str,
    metric: str | Sequence[str],
    control: str | None = None,
    unit: str | None = None,
    shares: str | dict[str, float] | None = None,
    alpha: float = 0.05,
    anytime: bool = False,
    margin: float | None = None,
    secondary: Sequence[str] = (),
    guardrail: Sequence[str] = (),
    notes: Sequence[tuple[str, str]] = (),
    at: At = None,
) -> Answer:
    """Is there a difference between treatment groups?

    Args:
        notes: (code, text) cautions that only people know and the page must carry.
    """
    from ambidex.insight.experiment import experiment as ask

    workspace, source = _table(table, at)
    answer = ask(
        source, group=group, metric=metric, control=control, unit=unit, shares=shares, alpha=alpha,
        anytime=anytime, margin=margin, secondary=secondary, guardrail=guardrail, notes=notes,
    )  # fmt: skip
    return _kept(answer, workspace)


def report(*answers: Any, to: str | Sequence[str] = ("html",), out: str | Path | None = None, at: At = None) -> Result:
    """A page for stakeholders, from one or several answers."""
    from ambidex.report.page import write_report

    if not answers:
        raise UsageError("usage.value", "report takes at least one answer", do="ambidex report answer/1")
    kinds = [to] if isinstance(to, str) else list(to)
    for kind in kinds:
        if kind not in ("html", "md"):
            raise UsageError("usage.value", f"cannot write a report as {kind!r}", found="html, md", do="--to html")
    workspace = _workspace_or_none(at)
    documents = [_answer_document(a, workspace) for a in answers]
    names = [str(d["answer"] or d["verb"]).replace("/", "-") for d in documents]
    files = []
    for kind in kinds:
        if out is not None and len(kinds) == 1:
            path = Path(out)
        elif out is not None:
            path = Path(out).with_suffix(f".{kind}")
        elif workspace is not None:
            (workspace.folder / "reports").mkdir(exist_ok=True)
            path = workspace.folder / "reports" / f"{'-'.join(names)}.{kind}"
        else:
            path = Path(f"{'-'.join(names)}.{kind}")
        files.append(write_report(documents, path))
    lines: list[tuple[Mark, str]] = [
        ("✓", f"{f} ({f.stat().st_size / 1024:.0f} KB{', opens offline, prints' if f.suffix == '.html' else ''})")
        for f in files
    ]
    return Result(verb="report", data={"files": [str(f) for f in files]}, lines=tuple(lines))


# ---------------------------------------------------------------- deliver


def package(source: Any, *, name: str, at: At = None) -> Result:
    """An answer becomes a Python package with tests, a recipe and a sealed version, proven to predict the same."""
    from ambidex.bundle.open import open_bundle
    from ambidex.bundle.seal import seal
    from ambidex.delivery import release
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
        version = workspace.store.register(
            model=name, digest=bundle, data=material.manifest.fingerprint,
            code=run_key(material.manifest, recipe).split(":")[1], key=run_key(material.manifest, recipe),
            summary=trained.summary,
        )  # fmt: skip
    data = {
        "model": name, "version": version.number, "path": str(home), "equal": parity.equal, "of": parity.of,
        "largest_difference": parity.largest, "traps": [],
    }  # fmt: skip
    lines: list[tuple[Mark, str]] = [
        ("✓", f"{version.ref} in {_relative(home, workspace)}, {_fit(trained.evaluation)}"),
        ("✓", f"predicts the same as the prototype on {parity.equal:,} of {parity.of:,} rows, single and batched"),
    ]
    if written:
        lines.append((" ", f"ambidex.toml now has [models.{name}]: data, target, key"))
    return Result(
        verb="package", data=data, lines=tuple(lines), warnings=tuple(notes),
        next=(f"ambidex test {version.ref}", f"ambidex gate {version.ref}"),
    )  # fmt: skip


def train(name: str, *, data: Any = None, at: At = None) -> Result:
    """Run the recipe again: a new version."""
    from ambidex.bundle.seal import seal
    from ambidex.delivery import release
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
    trained = run(material, recipe, at_least=live.schema)
    version = workspace.store.register(
        model=name, digest=seal(workspace.blobs, trained.files), data=material.manifest.fingerprint,
        code=code_hash(recipe), key=f"{TRAINED if data is None else ELSEWHERE}:{secrets.token_hex(8)}",
        summary=trained.summary,
    )  # fmt: skip
    event = workspace.store.events(model=name, verbs=("register",))[version.number - 1].seq
    return Result(
        verb="train",
        data={"model": name, "version": version.number, "was": versions[-1].number, "event": event},
        lines=(("✓", f"{version.ref} on {material.manifest.rows:,} rows, {_fit(trained.evaluation)}"),),
        next=(f"ambidex test {version.ref}", f"ambidex gate {version.ref}"),
    )


def test(ref: str, *, at: At = None) -> Result:
    """Contract tests of a version."""
    from ambidex.delivery import release
    from ambidex.delivery.contract import SECTIONS, run_checks
    from ambidex.delivery.references import resolve

    workspace = open_workspace(at)
    name, number = resolve(workspace.store, ref)
    opened = release.open_version(workspace, name, number)
    material, _, _ = release.newest(workspace, name, opened.recipe)
    checks = run_checks(opened, material)
    failed = [c for c in checks if not c.passed]
    points = {s: sum(c.passed for c in checks if c.section == s) for s in SECTIONS}
    workspace.store.append(
        verb="test",
        model=name,
        version=number,
        body={"passed": not failed, "checks": len(checks), "failed": [c.name for c in failed]},
    )
    lines: list[tuple[Mark, str]] = [
        ("■" if failed else "✓", f"{name}@{number}: {len(checks) - len(failed)} of {len(checks)} checks passed")
    ]
    lines += [("✓" if c.passed else "■", f"{c.section:<14} {c.name}: {c.what}") for c in checks]
    return Result(
        verb="test",
        data={
            "model": name, "version": number, "passed": not failed, "score": min(points.values()),
            "sections": points, "checks": [c.to_dict() for c in checks],
        },
        lines=tuple(lines), passed=not failed, code="check.tests" if failed else None,
        next=(f"ambidex gate {name}@{number}",) if not failed else (),
    )  # fmt: skip


def gate(ref: str, *, waive: str | None = None, reason: str | None = None, at: At = None) -> Result:
    """Judge a version against the live one, or against a fitted constant where nothing is live."""
    from ambidex.delivery import release
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
    against = f"against {name}@{judgement.against}" if judgement.against not in (None, number) else "against a constant"
    passed_count = sum(g.outcome == "supported" for g in judgement.gates)
    marks: dict[str, Mark] = {"supported": "✓", "open": "▲", "refuted": "■"}
    lines: list[tuple[Mark, str]] = [
        ("✓" if judgement.passed else "■",
         f"{name}@{number} {against}: {passed_count} of {len(judgement.gates)} gates supported")
    ]  # fmt: skip
    lines += [(marks[g.outcome], f"{g.name}: {g.outcome}; {g.because}") for g in judgement.gates]
    return Result(
        verb="gate",
        data={
            "model": name, "version": number, "against": judgement.against, "passed": judgement.passed,
            "gates": [g.to_json() for g in judgement.gates], "waived": judgement.waived,
        },
        lines=tuple(lines), passed=judgement.passed, code=None if judgement.passed else "check.gate",
        do=None if judgement.passed else f"ambidex models diff {name}@{number} {name}@{judgement.against}"
        if judgement.against not in (None, number) else "bring more rows, or a better model",
        next=(f"ambidex promote {name}@{number} --to live",) if judgement.passed else (),
    )  # fmt: skip


def promote(ref: str, *, to: str, dry_run: bool = False, at: At = None) -> Result:
    """Move a pointer, if the gates passed; never otherwise."""
    from ambidex.delivery import release
    from ambidex.delivery.references import resolve
    from ambidex.report.words import plural

    places = ("staging", "shadow", "canary", "live")
    if to not in places:
        raise UsageError("usage.value", f"cannot promote to {to!r}", found=", ".join(places), do="--to live")
    workspace = open_workspace(at)
    name, number = resolve(workspace.store, ref)
    was = getattr(workspace.store.model(name), to)
    judgement, event = release.promote(workspace, name, number, to=to, dry_run=dry_run)
    text = f"{to} is {name}@{number}" + (f" (was @{was})" if was is not None else "")
    following: tuple[str, ...] = (f"ambidex promote {name}@{number} --to {to}",)
    if dry_run:
        text = f"would be done: {text}; {plural(len(judgement.gates), 'gate')} supported"
    elif to == "live":
        following = (f"ambidex serve {name}", *((f"ambidex rollback {name}",) if was is not None else ()))
    else:
        following = (f"ambidex promote {name}@{number} --to live",)
    return Result(
        verb="promote",
        data={"model": name, "version": number, "was": was, "event": event.seq if event else None, "to": to},
        lines=(("✓", text),),
        next=following,
    )


def rollback(name: str, *, to: int | str | None = None, dry_run: bool = False, at: At = None) -> Result:
    """Back to the last version that passed; retraining pauses until ``resume``."""
    from ambidex.delivery import release
    from ambidex.records import check_name

    check_name(name)
    workspace = open_workspace(at)
    target, was, event = release.rollback(workspace, name, to=_version_number(to), dry_run=dry_run)
    text = f"live is {name}@{target} (was @{was}); retraining paused"
    return Result(
        verb="rollback",
        data={"model": name, "version": target, "was": was, "event": event.seq if event else None},
        lines=(("✓", f"would be done: {text}" if dry_run else text),),
        next=(f"ambidex rollback {name}" + (f" --to {to}" if to is not None else "") if dry_run
              else f"ambidex resume {name}",),
    )  # fmt: skip


def serve(
    *names: str, host: str = "127.0.0.1", port: int = 8377, workers: int = 1, ready: Any = None, at: At = None
) -> Result:
    """Answer predictions over HTTP until stopped."""
    from ambidex.desk import Desk
    from ambidex.records import check_name
    from ambidex.serving.supervisor import run

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
    run(
        lambda: Desk(folder, names), host=host, port=port, workers=workers, log_folder=workspace.log_folder, ready=ready
    )
    return Result(verb="serve", data={"host": host, "port": port, "workers": workers}, lines=(("✓", "stopped"),))


def score(name: str, table: Any, *, out: str | Path, at: At = None) -> Result:
    """Score a table; its rows enter the prediction log."""
    from ambidex.data.read import read
    from ambidex.delivery import release
    from ambidex.delivery.references import resolve
    from ambidex.delivery.score import check_out, log_payloads, score_table, written_scores

    workspace = open_workspace(at)
    model, number = resolve(workspace.store, name, default="live")
    check_out(out, data=[workspace.folder / declared.data for declared in workspace.settings.models.values()])
    source = read(table)
    path = check_out(out, source.files)
    opened = release.open_version(workspace, model, number)
    moment = release.stamp(workspace.clock())
    run = f"{re.sub('[^0-9]', '', moment)}-{secrets.token_hex(4)}"
    scored = score_table(opened, source, stamp=run)
    with written_scores(scored, opened.schema, path) as place:
        payloads = log_payloads(scored, schema=opened.schema, model=model, version=number, at=moment)
        _logged(workspace.log_folder / model / f"score-{run}.frames", payloads)
        place()
    workspace.store.append(verb="score", model=model, version=number, body={"rows": source.rows, "out": path.name})
    mean = float(scored.scores.mean())
    shown = f"mean {opened.schema.classes[1]} {mean:.1%}" if opened.schema.task == "binary" else f"mean {mean:,.4g}"
    return Result(
        verb="score",
        data={"model": model, "version": number, "rows": source.rows, "out": str(path), "mean": mean},
        lines=(("✓", f"{path}, {source.rows:,} rows by {model}@{number}, {shown}"),),
        warnings=tuple(scored.notes), next=(f"ambidex monitor {model}",),
    )  # fmt: skip


def models(what: str = "ls", ref: str | None = None, other: str | None = None, *, at: At = None) -> Result:
    """Versions, their records and differences, and who moved what and why."""
    from ambidex.delivery import listing

    workspace = open_workspace(at)
    match what:
        case "ls":
            return listing.list_models(workspace)
        case "show" if ref is not None:
            return listing.show_version(workspace, ref)
        case "diff" if ref is not None and other is not None:
            return listing.diff_versions(workspace, ref, other)
        case "log":
            return listing.log(workspace, ref)
    raise UsageError(
        "usage.value", f"models cannot do {what!r} with what was given", found="ls, show REF, diff REF REF, log [NAME]",
        do="ambidex models ls",
    )  # fmt: skip


# ---------------------------------------------------------------- run


def drift(name: str, table: Any, *, at: At = None) -> Result:
    """This table against the version's reference; nothing is kept."""
    from ambidex.data.read import read
    from ambidex.delivery import release
    from ambidex.delivery.references import resolve
    from ambidex.watch.drift import drift as look

    workspace = open_workspace(at)
    model, number = resolve(workspace.store, name, default="live")
    opened = release.open_version(workspace, model, number)
    data = look(opened.reference, opened.schema, read(table), margin=workspace.settings.watch.margin)
    return _drift_result(f"{model}@{number}", model, data)


def feedback(name: str, table: Any, *, id: str, label: str, at: At = None) -> Result:
    """Late labels from a table, matched to predictions by their id or by the declared key."""
    from ambidex.data.read import read
    from ambidex.delivery import release
    from ambidex.records import check_name
    from ambidex.watch.labels import match_labels
    from ambidex.watch.log import read_log

    check_name(name)
    workspace = open_workspace(at)
    workspace.store.model(name)
    source = read(table)
    frames, _ = read_log(workspace.log_folder, name)
    opened = release.open_version(workspace, name, _any_version(workspace, name))
    matched = match_labels(
        frames, source, id=id, label=label, schema=opened.schema, at=release.stamp(workspace.clock())
    )
    if matched.payloads:
        run = f"{re.sub('[^0-9]', '', release.stamp(workspace.clock()))}-{secrets.token_hex(4)}"
        _logged(workspace.log_folder / name / f"labels-{run}.frames", matched.payloads)
    data = matched.to_dict()
    workspace.store.append(verb="feedback", model=name, body=data)
    mark: Mark = "✓" if data["matched"] else "▲"
    text = (
        f"{data['matched']:,} labels matched, {data['unknown']:,} unknown, {data['duplicates']:,} given before; "
        f"{data['coverage']:.0%} of predictions have a label"
    )
    return Result(verb="feedback", data=data, lines=((mark, text),), next=(f"ambidex monitor {name}",))


def monitor(name: str, *, ack: str | None = None, at: At = None) -> Result:
    """One pass over what is new in the prediction log: rules, inputs, losses; alerts."""
    from ambidex.records import check_name
    from ambidex.report.words import plural
    from ambidex.watch import run

    check_name(name)
    workspace = open_workspace(at)
    data = run.acknowledge(workspace, name, ack) if ack is not None else run.monitor(workspace, name)
    pages = [a for a in data["alerts"] if a["level"] == "page"]
    head: Mark = "■" if pages else "▲" if data["alerts"] else "✓"
    summary = f"{plural(len(pages), 'page')} open" if pages else data["text"]
    lines: list[tuple[Mark, str]] = [(head, f"{data['ref']}: {summary}")]
    lines += [("■" if a["level"] == "page" else "▲", f"{a['id']} {a['level']:<5} {a['text']}") for a in data["alerts"]]
    return Result(
        verb="monitor", data=data, lines=tuple(lines), passed=not pages, code="check.page" if pages else None,
        do=_way_out(workspace, name, pages) if pages else None, next=(f"ambidex retrain {name}",),
    )  # fmt: skip


def retrain(name: str, *, at: At = None) -> Result:
    """At most one step of the loop: train on new data and judge, or say what is missing."""
    from ambidex.delivery.retrain import retrain as step
    from ambidex.records import check_name

    check_name(name)
    workspace = open_workspace(at)
    done = step(workspace, name)
    refused = done.state == "refused"
    mark: Mark = "■" if refused else "✓" if done.state in ("candidate", "promoted", "nothing-new") else "▲"
    data: dict[str, Any] = {
        "model": name, "state": done.state, "version": done.version, "missing": done.missing,
    }  # fmt: skip
    if done.judgement is not None:
        data["gates"] = [g.to_json() for g in done.judgement.gates]
    following = {
        "candidate": (f"ambidex promote {name}@{done.version} --to live",),
        "paused": (f"ambidex resume {name}",),
        "promoted": (f"ambidex models log {name}",),
    }
    return Result(
        verb="retrain", data=data, lines=((mark, done.text),), passed=not refused,
        code="check.gate" if refused else None, do=f"ambidex gate {name}@{done.version}" if refused else None,
        next=following.get(done.state, ()),
    )  # fmt: skip


def resume(name: str, *, at: At = None) -> Result:
    """End a pause of retraining."""
    from ambidex.records import check_name

    check_name(name)
    workspace = open_workspace(at)
    was = workspace.store.model(name).paused
    event = workspace.store.append(verb="resume", model=name) if was else None
    text = f"retraining of {name} goes on (was paused: {was})" if was else f"retraining of {name} was not paused"
    return Result(
        verb="resume", data={"model": name, "was": was, "event": event.seq if event else None},
        lines=(("✓", text),), next=(f"ambidex retrain {name}",),
    )  # fmt: skip


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


def next(*, ask: bool = False, answer: Sequence[str] | str = (), at: At = None) -> Result:
    """What the project needs now: exploration or delivery, whose work it is, and the first task."""
    from ambidex.advice import next_step
    from ambidex.advice.facts import check_fact

    workspace = open_workspace(at)
    given = [answer] if isinstance(answer, str) else list(answer)
    for item in given:
        identity, equals, value = item.partition("=")
        if not equals:
            raise UsageError("usage.value", f"{item!r} is no answer", found="ID=VALUE", do="--answer A2=software")
        identity, value = check_fact(identity, value)
        workspace.store.append(verb="fact", body={"id": identity, "value": value})
    data = next_step.read_and_advise(workspace.folder, workspace.store, workspace.settings, now=workspace.clock())
    return next_step.as_result(data, ask=ask)


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


def _way_out(workspace: Workspace, name: str, pages: Sequence[dict[str, Any]]) -> str:
    """What to do about a page: nobody goes back for the sake of a version that is not live."""
    state = workspace.store.model(name)
    if all(page.get("version") != state.live for page in pages):
        return f"ambidex monitor {name} --ack {pages[0]['id']}"
    return f"ambidex rollback {name}" if state.previous is not None else f"ambidex retrain {name}"


def _kept(answer: Answer, workspace: Workspace | None) -> Answer:
    """The answer, numbered and kept if there is a workspace."""
    if workspace is None:
        return answer
    document = {**answer.to_dict(), "model": answer.model}
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


def _drift_result(reference: str, model: str, data: dict[str, Any]) -> Result:
    drifted = [c for c in data["columns"] if c["drifted"]]
    marks: dict[str, Mark] = {"none": "✓", "open": "▲", "drifted": "■"}
    lines: list[tuple[Mark, str]] = [(marks[data["verdict"]], f"{reference}: {data['text']}")]
    lines += [("■", f"{c['name']}: {c['what']}") for c in drifted]
    bad = data["verdict"] == "drifted"
    return Result(
        verb="drift", data=data, lines=tuple(lines), passed=not bad, code="check.drift" if bad else None,
        do=f"ambidex retrain {model}" if bad else None, next=(f"ambidex monitor {model}",),
    )  # fmt: skip


def _version_number(to: int | str | None) -> int | None:
    if to is None or isinstance(to, int):
        return to
    digits = to.rpartition("@")[2]
    if not digits.isdigit() or not int(digits):
        raise UsageError("usage.reference", f"{to!r} is no version number", found="a number such as 3", do="--to 3")
    return int(digits)


def _logged(path: Path, payloads: Iterable[Any]) -> None:
    """A new file of the prediction log, on the disk when this returns; all of it or, where the disk refuses, nothing.

    A kill in the middle leaves whole frames: predictions that nobody was given, or labels that come again.
    """
    from ambidex.data.frames import FrameWriter

    rest = iter(payloads)
    try:
        with FrameWriter(path) as log:
            while batch := list(islice(rest, BATCH)):
                log.write(batch)
            log.sync()
    except OSError as error:
        path.unlink(missing_ok=True)
        raise EnvironmentProblem(
            "env.disk", f"the prediction log cannot be written: {error.strerror or 'the disk took a part of it only'}",
            where=path.name,
            do="free some space and run it again",
        ) from error  # fmt: skip


def _any_version(workspace: Workspace, name: str) -> int:
    state = workspace.store.model(name)
    return state.live if state.live is not None else state.versions


def _fit(evaluation: dict[str, Any]) -> str:
    value = evaluation["value"]
    if value is None:
        return "no figure: the held-out rows have one class"
    name = {"auc": "AUC", "r2": "R²"}[evaluation["metric"]]
    return f"{name} {value:.3f} on {evaluation['held_out_rows']:,} rows not fitted"


def _relative(path: Path, workspace: Workspace) -> str:
    return str(path.relative_to(workspace.folder)) if path.is_relative_to(workspace.folder) else str(path)
