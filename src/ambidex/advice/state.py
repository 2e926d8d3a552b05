"""What a workspace looks like to an adviser: plain data, read once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ambidex.advice.facts import STALE, Fact
from ambidex.advice.matrix import matrix_of
from ambidex.ports import Store
from ambidex.records import Event
from ambidex.settings import FILE, Question, Settings

__all__ = ["AlertState", "AnswerState", "ModelView", "ProjectState", "QuestionState", "gather"]

TABLES = (".csv", ".tsv", ".parquet", ".arrow", ".feather")
SKIPPED = {".git", ".ambidex", ".venv", "venv", "node_modules", "__pycache__", ".ipynb_checkpoints"}
SCHEDULES = (".github/workflows", ".gitlab-ci.yml", "Jenkinsfile", ".circleci", "azure-pipelines.yml", "crontab")
MOST_FILES = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionState:
    """A question of ambidex.toml.

    Attributes:
        name, wording, who, by: As the file says.
        settled_by: The answer that settles it, or None.
        line: Where the file declares it, counted from 1; 0 if that is not found.
    """

    name: str
    wording: str
    who: str | None = None
    by: str | None = None
    settled_by: str | None = None
    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerState:
    """An answer that was kept.

    Attributes:
        name: `answer/12`.
        verb: What made it.
        headline: Its sentence.
        verdict: act, do-not-act, not-enough-evidence or cannot-answer.
        at: When, ISO 8601.
        source: The table, as the workspace names it.
        command: The command that asks it again.
        target: Outcome column, where the verb has one.
        positive: Label that counts as yes.
        failing: Names of checks that failed.
        validated: True if it carries a model whose figure on rows not fitted beats chance.
        two_levels: Columns with two values, of a profile.
    """

    name: str
    verb: str
    headline: str
    verdict: str
    at: str
    source: str = ""
    command: str = ""
    target: str | None = None
    positive: str | None = None
    failing: tuple[str, ...] = ()
    validated: str = ""
    two_levels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelView:
    """A model and how it is kept.

    Attributes:
        name: Model's name.
        versions: How many versions there are.
        live: Version that answers, or None.
        previous: Version to go back to, or None.
        passed: Versions whose newest judgement passed.
        refused: Versions whose newest judgement did not pass, with the gate that said no.
        unjudged: Versions that were never judged.
        rolled_back: Versions that live was taken away from.
        tested: Event of the live version's last passed test, or None.
        monitored: Event of the last monitor pass since the live version went live, or None.
        by_hand: Events that trained or moved a version.
        data_versions: How many different data versions were trained on.
        target: Outcome column of the model.
        arrived: Files of its data that are newer than its newest version.
    """

    name: str
    versions: int = 0
    live: int | None = None
    previous: int | None = None
    passed: tuple[int, ...] = ()
    refused: tuple[tuple[int, str], ...] = ()
    unjudged: tuple[int, ...] = ()
    rolled_back: tuple[int, ...] = ()
    tested: int | None = None
    monitored: int | None = None
    by_hand: tuple[int, ...] = ()
    data_versions: int = 0
    target: str | None = None
    arrived: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertState:
    """An alert that is open and that nobody has acknowledged. ``level`` is page or info."""

    model: str
    id: str
    level: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectState:
    """Everything that the signals are read from.

    Attributes:
        now: When it was read.
        questions: Declared in ambidex.toml.
        answers: Kept in the workspace, oldest first.
        models: Registered.
        alerts: Open and not acknowledged.
        tables: Tables in data/, relative to the workspace.
        notebooks: Notebooks in the workspace, relative.
        packages: Packages under src/ and packages/, relative.
        schedules: Schedule and CI files that name ambidex, relative.
        facts: What people said.
        stale: After which what they said is forgotten.
    """

    now: datetime
    stale: timedelta = STALE
    questions: tuple[QuestionState, ...] = ()
    answers: tuple[AnswerState, ...] = ()
    models: tuple[ModelView, ...] = ()
    alerts: tuple[AlertState, ...] = ()
    tables: tuple[str, ...] = ()
    notebooks: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    schedules: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()


def gather(folder: Path, store: Store, settings: Settings, now: datetime) -> ProjectState:
    """Read a workspace.

    Args:
        folder: Where ambidex.toml lies.
        store: Its events and their fold.
        settings: ambidex.toml.
        now: The time, with a zone.
    """
    events = store.events()
    answers = _answers(store, {int(e.body["number"]): e.at for e in events if e.verb == "answer"})
    notebooks, schedules = _files(folder)
    return ProjectState(
        now=now,
        stale=timedelta(days=matrix_of(settings.advice).stale_days),
        questions=tuple(_question(n, q, answers, folder) for n, q in sorted(settings.questions.items())),
        answers=answers,
        models=tuple(_model(store, folder, state.name, events, settings) for state in store.models()),
        alerts=tuple(
            AlertState(model=s.name, id=str(a["id"]), level=str(a["level"]), text=str(a["text"]))
            for s in store.models()
            for a in (store.document(f"watch/{s.name}") or {}).get("alerts", ())
            if not a.get("acknowledged")
        ),
        tables=_tables(folder),
        notebooks=notebooks,
        packages=_packages(folder),
        schedules=schedules,
        facts=tuple(
            Fact(str(e.body.get("id")), str(e.body.get("value")), datetime.fromisoformat(e.at))
            for e in events
            if e.verb == "fact"
        ),
    )


def _answers(store: Store, times: Mapping[int, str]) -> tuple[AnswerState, ...]:
    out = []
    for number, body in store.answers():
        record = body.get("record") or {}
        options = record.get("options") or {}
        origin = record.get("origin") or {}
        out.append(
            AnswerState(
                name=f"answer/{number}",
                verb=str(body.get("verb", "")),
                headline=str(body.get("headline", "")),
                verdict=str((body.get("recommendation") or {}).get("verdict", "")),
                at=times.get(number, ""),
                source=str(origin.get("source") or ""),
                command=str(record.get("command") or ""),
                target=_text(options.get("target")),
                positive=_text(options.get("positive")),
                failing=tuple(str(c["name"]) for c in body.get("checks") or () if not c.get("passed")),
                validated=_validated(body),
                two_levels=tuple(
                    str(c["name"])
                    for c in body.get("columns") or ()
                    if c.get("unique") == 2 and c.get("role") not in ("id", "constant")
                ),
            )
        )
    return tuple(out)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _validated(body: Mapping[str, Any]) -> str:
    """The figure that shows an answer's model to be better than chance on rows not fitted, or empty."""
    fit = body.get("fit") or {}
    low = fit.get("low")
    if not body.get("model") or low is None:
        return ""
    for name, chance in (("auc", 0.5), ("r2", 0.0), ("concordance", 0.5)):
        if fit.get(name) is not None and low > chance:
            return f"{'AUC' if name == 'auc' else 'R²' if name == 'r2' else name} {fit[name]:.3f}"
    return ""


def _question(name: str, said: Question, answers: tuple[AnswerState, ...], folder: Path) -> QuestionState:
    """A question is settled by an answer that names it, in its headline or in the command that made it."""
    settled = (
        a.name
        for a in reversed(answers)
        if a.verdict in ("act", "do-not-act")
        and (name in a.command.split() or name in re.findall(r"[\w-]+", a.headline))
    )
    return QuestionState(
        name=name,
        wording=said.wording,
        who=said.who,
        by=said.by,
        settled_by=next(settled, None),
        line=_line(folder, name),
    )


def _line(folder: Path, question: str) -> int:
    """Line of ambidex.toml that opens a question's table; 0 if there is none (it may be written in another way)."""
    head = re.compile(rf"\s*\[\s*questions\s*\.\s*[\"']?{re.escape(question)}[\"']?\s*\]")
    try:
        lines = (folder / FILE).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return 0
    return next((i for i, line in enumerate(lines, start=1) if head.match(line)), 0)


def _model(store: Store, folder: Path, name: str, events: Sequence[Event], settings: Settings) -> ModelView:
    state = store.model(name)
    own = [e for e in events if e.model == name]
    versions = store.versions(name)
    judged = {v.number: store.judgement(name, v.number) for v in versions}
    went_live = max(
        (e.seq for e in own if e.version == state.live and (e.verb == "rollback" or e.body.get("to") == "live")),
        default=0,
    )
    tests = [e for e in own if e.verb == "test" and e.version == state.live]
    declared = settings.models.get(name)
    return ModelView(
        name=name,
        versions=state.versions,
        live=state.live,
        previous=state.previous,
        passed=tuple(n for n, j in judged.items() if j is not None and j.passed),
        refused=tuple(
            (n, next((g.name for g in j.gates if g.outcome != "supported"), "no gate"))
            for n, j in judged.items()
            if j is not None and not j.passed
        ),
        unjudged=tuple(n for n, j in judged.items() if j is None),
        rolled_back=tuple({int(e.body["was"]) for e in own if e.verb == "rollback" and e.body.get("was") is not None}),
        tested=tests[-1].seq if tests and tests[-1].body.get("passed") else None,
        monitored=max((e.seq for e in own if e.verb == "monitor" and e.seq > went_live), default=None),
        by_hand=tuple(e.seq for e in own if e.verb in ("promote", "rollback")),
        data_versions=len({v.data for v in versions}),
        target=declared.target if declared is not None else None,
        arrived=_arrived(folder, declared.data, max(v.at for v in versions)) if declared and versions else (),
    )


def _tables(folder: Path) -> tuple[str, ...]:
    home = folder / "data"
    if not home.is_dir():
        return ()
    return tuple(
        sorted(str(p.relative_to(folder)) for p in home.iterdir() if p.suffix.lower() in TABLES and p.is_file())
    )


def _arrived(folder: Path, source: str, trained: str) -> tuple[str, ...]:
    """Files of a model's data that are newer than its newest version. A time tells less than the rows do, but
    costs nothing; ``retrain`` looks at the rows."""
    since = datetime.fromisoformat(trained).timestamp()
    home = folder / source
    if source.lstrip().upper().startswith("SELECT") or "://" in source:
        return ()
    files = home.iterdir() if home.is_dir() else home.parent.glob(home.name) if home.parent.is_dir() else ()
    return tuple(
        sorted(os.path.relpath(p, folder) for p in files if p.suffix.lower() in TABLES and p.stat().st_mtime > since)
    )


def _packages(folder: Path) -> tuple[str, ...]:
    found = [*folder.glob("src/*/__init__.py"), *folder.glob("packages/*/src/*/__init__.py")]
    return tuple(sorted(str(p.parent.relative_to(folder)) for p in found))


def _files(folder: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Notebooks, and schedule or CI files that name ambidex; hidden and vendored folders aside."""
    notebooks, schedules, seen = [], [], 0
    for home, folders, files in os.walk(folder):
        here = Path(home)
        folders[:] = sorted(
            f for f in folders if f not in SKIPPED and (not f.startswith(".") or f in (".github", ".circleci"))
        )
        for name in sorted(files):
            path = here / name
            shown = str(path.relative_to(folder))
            if name.endswith(".ipynb"):
                notebooks.append(shown)
            elif (shown.startswith(SCHEDULES) or name.endswith((".timer", ".service"))) and _names_us(path):
                schedules.append(shown)
        seen += len(files)
        if seen > MOST_FILES:
            break
    return tuple(notebooks), tuple(schedules)


def _names_us(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return b"ambidex" in file.read(100_000)
    except OSError:
        return False
