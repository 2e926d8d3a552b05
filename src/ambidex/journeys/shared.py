"""What several verbs do alike: read a table, keep an answer, find a version."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ambidex.report.answer import Answer
from ambidex.workspace import Workspace, find, open_workspace

__all__ = ["At", "answer_document", "kept", "read_table", "workspace_or_none"]

At = Path | str | None
"""A workspace's folder; None: the one that the current folder lies in."""


def workspace_or_none(at: At) -> Workspace | None:
    return open_workspace(at) if at is not None or find(None) is not None else None


def read_table(table: Any, at: At) -> tuple[Workspace | None, Any]:
    """The workspace, if there is one, and the table with its origin as the workspace names it."""
    from ambidex.data.read import read
    from ambidex.data.tables import keep_frame

    workspace = workspace_or_none(at)
    source = read(table)
    if workspace is None:
        return None, source
    return workspace, keep_frame(source, workspace.folder)


def kept(answer: Answer, workspace: Workspace | None, beside: dict[str, Any] | None = None) -> Answer:
    """The answer, numbered and kept if there is a workspace; with it what only the workspace needs."""
    if workspace is None:
        return answer
    document = {**answer.to_dict(), "model": answer.model, **(beside or {})}
    del document["answer"]
    number = workspace.store.record_answer(json.loads(json.dumps(document, allow_nan=False)))
    name = f"answer/{number}"
    next_steps = tuple(step.replace("answer/N", name) for step in answer.next)
    return replace(answer.named(name), next=next_steps)


def answer_document(answer: Any, workspace: Workspace | None) -> dict[str, Any]:
    from ambidex.delivery.source import answer_document

    if isinstance(answer, Answer):
        return answer.to_dict()
    if workspace is None:
        workspace = open_workspace(None)
    return answer_document(answer, workspace.store)
