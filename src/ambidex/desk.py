"""What a serving worker asks of the workspace: which version is live, and to open it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from ambidex.access import VERB, Tokens, fold
from ambidex.bundle.open import Served, open_served
from ambidex.records import POINTERS, Rollout
from ambidex.workspace import Workspace, open_workspace

__all__ = ["Desk"]


class Desk:
    """Made inside each worker, after the fork; opens its own connection.

    Attributes:
        folder: The workspace.
        names: Models to serve; empty for all that have a live version.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder = folder
        self.names = list(names)

    @cached_property
    def _workspace(self) -> Workspace:
        return open_workspace(self.folder)

    def resolve(self) -> dict[str, dict[str, int | None]]:
        """Each model's pointers, as they stand now."""
        wanted = set(self.names)
        return {
            state.name: {pointer: getattr(state, pointer) for pointer in POINTERS}
            for state in self._workspace.store.models()
            if not wanted or state.name in wanted
        }

    def tokens(self, before: Tokens) -> Tokens:
        """The tokens that exist by now."""
        return fold(self._workspace.store.events(after=before.seq, verbs=(VERB,)), before)

    def rollouts(self, models: Sequence[str]) -> dict[str, Rollout]:
        """The roll-outs under way of these models."""
        found = {name: self._workspace.store.document(f"rollout/{name}") for name in models}
        said = {name: Rollout.from_json(document) for name, document in found.items() if document}
        return {name: rollout for name, rollout in said.items() if rollout.open}

    def open_version(self, model: str, number: int) -> Served:
        """Verify, try in a child, load: slow, and never on the event loop."""
        workspace = self._workspace
        return open_served(workspace.blobs, workspace.store.version(model, number).digest)

    def __repr__(self) -> str:
        return f"Desk({self.folder.name}, {self.names or 'all'})"
