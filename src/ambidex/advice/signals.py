"""From a project's state to its signals: one function a signal, each yes with what was seen."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from ambidex.advice.facts import Fact, Signal, Task, fresh
from ambidex.advice.state import AnswerState, ModelView, ProjectState

__all__ = ["signals"]

BY_HAND = 2
"""So many releases by hand make a habit; one may have been the first try."""


def signals(state: ProjectState) -> tuple[Signal, ...]:
    """Every signal of a project, in the order of the table."""
    said = fresh(state.facts, state.now, stale=state.stale)
    return (
        _no_data_arrives(state, said),
        _question_open(state),
        _nothing_validated(state),
        _last_answer_open(state),
        _data_in_doubt(state),
        _asked("A1", state, said, Task("write the page for them", _report(state))),
        _asked("A2", state, said, Task("write the page", _report(state))),
        _passed_not_live(state),
        _prototype_only(state),
        _limit(state, said),
        _by_hand(state, said),
        _live_unguarded(state),
        _asked("A5", state, said, _serve(state)),
        _asked("A3", state, said),
        _asked("A4", state, said),
        _asked("A6", state, said),
        _simple(state, said),
    )


def _asked(id: str, state: ProjectState, said: Mapping[str, Fact], task: Task | None = None) -> Signal:
    fact = said.get(id)
    if fact is None:
        old = [f for f in state.facts if f.id == id]
        evidence = (f"said on {max(f.at for f in old):%Y-%m-%d}, older than {state.stale.days} days",) if old else ()
        return Signal(id=id, state="unknown", evidence=evidence, source="asked")
    evidence = (f"said on {fact.at:%Y-%m-%d}: {fact.value}",)
    if fact.value == "no":
        return Signal(id=id, state="no", evidence=evidence, source="asked")
    value = "" if fact.value == "yes" else fact.value
    return Signal(id=id, state="yes", value=value, evidence=evidence, source="asked", task=task)


def _no_data_arrives(state: ProjectState, said: Mapping[str, Fact]) -> Signal:
    if "P0" in said:
        task = Task(
            "build the job that brings new rows into data/, then say that it is there",
            "ambidex next --answer P0=no",
        )
        return _asked("P0", state, said, task)
    grown = [m for m in state.models if m.data_versions >= 2]
    if grown:
        evidence = tuple(f"{m.name} was trained on {m.data_versions} data versions" for m in grown)
        return Signal(id="P0", state="no", evidence=evidence, source="registry")
    return _asked("P0", state, said)


def _question_open(state: ProjectState) -> Signal:
    if not state.questions:
        return Signal(id="E1", state="unknown", source="ambidex.toml")
    still = [q for q in state.questions if q.settled_by is None]
    if not still:
        evidence = tuple(f"{q.name} is settled by {q.settled_by}" for q in state.questions)
        return Signal(id="E1", state="no", evidence=evidence, source="ambidex.toml, answers")
    evidence = tuple(
        (f"ambidex.toml:{q.line} " if q.line else "")
        + f"[questions.{q.name}] {q.wording}"
        + (f", asked by {q.who}" if q.who else "")
        + (f", by {q.by}" if q.by else "")
        for q in still
    )
    task = _ask_the_data(state, f"answer it: {still[0].wording}")
    return Signal(id="E1", state="yes", evidence=evidence, source="ambidex.toml, answers", task=task)


def _nothing_validated(state: ProjectState) -> Signal:
    source = "registry"
    good = [f"{m.name}@{n} passed its gates" for m in state.models for n in m.passed]
    good += [f"{m.name}@{m.live} is live" for m in state.models if m.live is not None]
    if good:
        return Signal(id="E2", state="no", evidence=tuple(good[:3]), source=source)
    prototype = _prototype_only(state)
    if prototype.state == "yes":
        return Signal(id="E2", state="no", evidence=prototype.evidence, source="answers")
    refused = [(m, n, gate) for m in state.models for n, gate in m.refused]
    unjudged = [(m, n) for m in state.models for n in m.unjudged]
    if unjudged:
        model, number = unjudged[-1]
        task: Task | None = Task(f"judge {model.name}@{number}", f"ambidex gate {model.name}@{number}")
    elif refused:
        model, number, _ = refused[-1]
        task = Task(
            f"find out what keeps {model.name}@{number} from passing",
            f"ambidex models show {model.name}@{number}",
        )
    else:
        task = _ask_the_data(state, "see what the data can say")
    evidence = [f"{m.name}@{n}: gate {gate} did not pass" for m, n, gate in refused]
    evidence += [f"{m.name}@{n} was never judged" for m, n in unjudged]
    versions = sum(m.versions for m in state.models)
    return Signal(
        id="E2",
        state="yes",
        evidence=tuple(evidence or [f"the log has {versions} versions and no gate that passed"]),
        source=source,
        task=task,
    )


def _last_answer_open(state: ProjectState) -> Signal:
    questions = [a for a in state.answers if a.verb != "profile"]
    if not questions:
        return Signal(id="E3", state="unknown", source="answers")
    last = questions[-1]
    if last.verdict != "not-enough-evidence":
        return Signal(id="E3", state="no", evidence=(f"{last.name}: {last.headline}",), source="answers")
    again = last.command if last.command.startswith("ambidex ") else f"ambidex report {last.name}"
    return Signal(
        id="E3",
        state="yes",
        evidence=(f"{last.name}: {last.headline}",),
        source="answers",
        task=Task("bring more rows to the question that is open, and ask it again", again),
    )


def _data_in_doubt(state: ProjectState) -> Signal:
    source = "data/, answers, watch"
    evidence: list[str] = []
    task: Task | None = None
    unexplained = [a for a in state.alerts if a.level != "page"]
    for alert in unexplained:
        evidence.append(f"{alert.model}, alert {alert.id}: {alert.text}")
        why = f"find out what moved under {alert.model} (alert {alert.id})"
        task = task or Task(why, f"ambidex monitor {alert.model}")
    unprofiled = _unprofiled(state)
    evidence += [f"{table}: nobody has looked at it" for table in unprofiled[:3]]
    if unprofiled:
        task = task or Task("look at the data first", f"ambidex profile {shlex.quote(unprofiled[0])}")
    newest: dict[tuple[str, str], AnswerState] = {(a.verb, a.source): a for a in state.answers}
    for answer in newest.values():
        if answer.failing:
            evidence.append(f"{answer.name}: {', '.join(answer.failing)} failed")
            task = task or Task(f"see what failed in {answer.name}", f"ambidex report {answer.name}")
    if evidence:
        return Signal(id="E4", state="yes", evidence=tuple(evidence), source=source, task=task)
    if not state.tables and not state.answers and not any(m.monitored for m in state.models):
        return Signal(id="E4", state="unknown", source=source)
    looked = [f"{a.name} is about {a.source or 'a table'}" for a in state.answers]
    return Signal(id="E4", state="no", evidence=tuple(looked[-3:]), source=source)


def _unprofiled(state: ProjectState) -> list[str]:
    """Tables that no answer is about. Drivers and experiments look at a table as profile does."""
    seen = {a.source.rstrip("/") for a in state.answers}
    if seen & {"data", "data/*", "data/*.csv", "data/*.parquet"}:
        return []
    return [t for t in state.tables if t not in seen]


def _passed_not_live(state: ProjectState) -> Signal:
    if not state.models:
        return Signal(id="D1", state="no", evidence=("no version is registered",), source="registry")
    waiting = [(m, n) for m in state.models for n in m.passed if n > (m.live or 0) and n not in m.rolled_back]
    if not waiting:
        return Signal(id="D1", state="no", source="registry")
    model, number = waiting[-1]
    ref = f"{model.name}@{number}"
    live = f"live is {model.name}@{model.live}" if model.live else f"nothing of {model.name} is live"
    return Signal(
        id="D1",
        state="yes",
        evidence=(f"{ref} passed its gates, {live}",),
        source="registry",
        task=Task(f"put {ref} live", f"ambidex promote {ref} --to live"),
    )


def _prototype_only(state: ProjectState) -> Signal:
    source = "answers, notebooks, src/"
    targets = {m.target for m in state.models}
    prototypes = [a for a in state.answers if a.validated and a.target not in targets]
    if prototypes:
        best = prototypes[-1]
        name = _model_name(best.target or "model")
        return Signal(
            id="D2",
            state="yes",
            evidence=(f"{best.name} carries a model, {best.validated} on rows not fitted, and no package of it",),
            source=source,
            task=Task(f"make {best.name} a tested package", f"ambidex package {best.name} --name {name}"),
        )
    if state.notebooks and not state.packages and not state.models:
        # A notebook is not yet something that `package` reads, so the task is to ask its question here.
        return Signal(
            id="D2",
            state="yes",
            evidence=tuple(f"{n}, and no package under src/" for n in state.notebooks[:3]),
            source=source,
            task=_ask_the_data(state, f"ask the question of {state.notebooks[0]} of the data, then package the answer"),
        )
    return Signal(id="D2", state="no", source=source)


def _model_name(target: str) -> str:
    kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in target.lower()).strip("-")
    return kept[:64] or "model"


def _limit(state: ProjectState, said: Mapping[str, Fact]) -> Signal:
    pages = [a for a in state.alerts if a.level == "page"]
    if pages:
        return Signal(
            id="D3",
            state="yes",
            value="missed",
            evidence=tuple(f"{a.model}, page {a.id}: {a.text}" for a in pages),
            source="watch",
            task=Task("see what rings, then go back or mend it", f"ambidex monitor {pages[0].model}"),
        )
    if "D3" in said:
        task = Task("see where the limit stands", _monitor(state))
        return _asked("D3", state, said, task)
    watched = [m for m in state.models if m.live is not None and m.monitored is not None]
    if watched:
        evidence = tuple(f"{m.name}: monitor pass at event {m.monitored}, no page open" for m in watched)
        return Signal(id="D3", state="no", evidence=evidence, source="watch")
    return _asked("D3", state, said)


def _by_hand(state: ProjectState, said: Mapping[str, Fact]) -> Signal:
    source = "log, schedule, CI"
    live = [m for m in state.models if m.live is not None]
    loop = Task("let a schedule run this step", f"ambidex retrain {live[0].name}" if live else "ambidex status")
    if "D4" in said:
        return _asked("D4", state, said, loop)
    if state.schedules:
        return Signal(id="D4", state="no", evidence=state.schedules, source=source)
    habits = [m for m in live if len(m.by_hand) >= BY_HAND]
    if habits:
        evidence = tuple(
            f"{m.name}: {len(m.by_hand)} moves by hand (events {', '.join(map(str, m.by_hand[-4:]))}), "
            "no schedule or CI file here names ambidex"
            for m in habits
        )
        task = Task("let a schedule run this step", f"ambidex retrain {habits[0].name}")
        return Signal(id="D4", state="yes", evidence=evidence, source=source, task=task)
    return Signal(id="D4", state="unknown", source=source)


def _live_unguarded(state: ProjectState) -> Signal:
    source = "registry, log"
    live = [m for m in state.models if m.live is not None]
    if not live:
        return Signal(id="D5", state="no", evidence=("nothing is live",), source=source)
    evidence: list[str] = []
    task: Task | None = None
    for m in live:
        ref = f"{m.name}@{m.live}"
        for missing, what, command in _missing_guards(m):
            evidence.append(f"{ref} is live: {missing}")
            task = task or Task(what, command)
    if evidence:
        return Signal(id="D5", state="yes", evidence=tuple(evidence), source=source, task=task)
    looked = tuple(f"{m.name}@{m.live}: tested at event {m.tested}, monitored at event {m.monitored}" for m in live)
    return Signal(id="D5", state="no", evidence=looked, source=source)


def _missing_guards(m: ModelView) -> list[tuple[str, str, str]]:
    ref = f"{m.name}@{m.live}"
    out = []
    if m.tested is None:
        out.append(("no test of it has passed", f"test {ref}", f"ambidex test {ref}"))
    if m.monitored is None:
        out.append(("no monitor pass since it went live", f"watch {m.name}", f"ambidex monitor {m.name}"))
    return out


def _simple(state: ProjectState, said: Mapping[str, Fact]) -> Signal:
    live = [m for m in state.models if m.live is not None]
    if len(live) > 1:
        return Signal(id="A7", state="no", evidence=(f"{len(live)} models are live",), source="registry")
    return _asked("A7", state, said)


def _ask_the_data(state: ProjectState, what: str) -> Task:
    """The command that comes nearest to an answer: profile a table, then its drivers."""
    unprofiled = _unprofiled(state)
    if unprofiled:
        return Task(what, f"ambidex profile {shlex.quote(unprofiled[0])}")
    profiles = [a for a in state.answers if a.verb == "profile" and a.source]
    for profile in reversed(profiles):
        target = profile.target or (profile.two_levels[-1] if profile.two_levels else None)
        if target is not None:
            asked = f"{what}: what goes with {target}?"
            return Task(asked, f"ambidex drivers {shlex.quote(profile.source)} --target {shlex.quote(target)}")
    if profiles:
        return Task(what, f"ambidex profile {shlex.quote(profiles[-1].source)}")
    return Task(f"{what}: put a table into data/ and profile it", "ambidex next --ask")


def _report(state: ProjectState) -> str:
    if state.answers:
        return f"ambidex report {state.answers[-1].name}"
    return _ask_the_data(state, "").command


def _serve(state: ProjectState) -> Task:
    live = [m for m in state.models if m.live is not None]
    if live:
        return Task(f"serve {live[0].name} and measure it", f"ambidex serve {live[0].name}")
    return _ask_the_data(state, "find what is worth serving")


def _monitor(state: ProjectState) -> str:
    live = [m for m in state.models if m.live is not None]
    return f"ambidex monitor {live[0].name}" if live else "ambidex status"
