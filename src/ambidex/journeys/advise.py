"""The workspace itself, and what to do next in it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ambidex.errors import DataError, NotFound, UsageError, did_you_mean
from ambidex.journeys.shared import At, workspace_or_none
from ambidex.report.answer import Result
from ambidex.workspace import create, open_workspace

__all__ = ["career", "demo", "doctor", "help", "init", "next", "role", "status", "team", "token"]


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

    workspace = workspace_or_none(at)
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

    workspace = workspace_or_none(at)
    matrix = matrix_of(workspace.settings.advice if workspace else None)
    goal = role_name(to, matrix.asked, option="--to")
    people, unread = read_sheet(read(sheet, argument="sheet"))
    here = {}
    if workspace is not None:
        here = way.work_here(gather(workspace.folder, workspace.store, workspace.settings, workspace.clock()))
    return way.as_result(way.career(find_person(people, person), goal, matrix, here=here), unread=unread)


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
    verbs = importlib.import_module("ambidex.journeys")
    return run(verbs, table, target=target, folder=base / (folder or "ambidex-demo"), say=say)


def status(*, at: At = None) -> Result:
    """Where everything stands."""
    from ambidex.delivery import listing

    return listing.status(open_workspace(at))


def doctor(*, at: At = None) -> Result:
    """Is the workspace sound: event chain, fold, bundles, prediction log."""
    from ambidex.delivery import soundness

    return soundness.doctor(open_workspace(at))


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
