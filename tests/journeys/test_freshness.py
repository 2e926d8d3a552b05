"""A promotion must have seen the world as it is: each part of it is changed in turn, and the move is refused."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ambidex as amb
from ambidex.delivery import release
from ambidex.errors import Refused
from ambidex.settings import duration, read_settings
from ambidex.workspace import Workspace, now, open_workspace


def rows(n: int, seed: int) -> str:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    y = rng.random(n) < 1 / (1 + np.exp(-2 * x))
    lines = [f"u{seed}-{i},{x[i]:.4f},{rng.choice(['a', 'b'])},{'yes' if y[i] else 'no'}" for i in range(n)]
    return "\n".join(["id,x,plan,y", *lines]) + "\n"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """m@1 and m@2, both judged and passed, nothing live."""
    folder = tmp_path / "w"
    amb.init(folder)
    (folder / "data" / "a.csv").write_text(rows(5000, 1))
    answer = amb.drivers(folder / "data", target="y", keep=["x"], positive="yes", at=folder)
    amb.package(answer, name="m", at=folder)
    amb.train("m", at=folder)
    for number in (1, 2):
        assert amb.gate(f"m@{number}", at=folder).passed
    return open_workspace(folder)


def move(workspace: Workspace, number: int, *, clock: Any = None) -> None:
    """The conditional move with the verdict as it was judged, as a promotion that was overtaken would try it."""
    state = workspace.store.model("m")
    judgement = workspace.store.judgement("m", number)
    workspace.store.move(
        model="m", to="live", version=number, expected_revision=state.revision, verb="promote", judgement=judgement,
        max_age_s=duration(workspace.settings.gates.max_age), because="test",
    )  # fmt: skip


def refused(workspace: Workspace, number: int) -> str:
    with pytest.raises(Refused) as error:
        move(workspace, number)
    assert error.value.code == "check.moved"
    return str(error.value)


def test_nothing_has_changed_and_it_moves(workspace: Workspace) -> None:
    move(workspace, 1)
    assert workspace.store.model("m").live == 1


def test_live_has_changed(workspace: Workspace) -> None:
    move(workspace, 1)
    assert "is live" in refused(workspace, 2)


def test_newer_data_is_known(workspace: Workspace) -> None:
    (workspace.folder / "data" / "b.csv").write_text(rows(300, 2))
    recipe = release.open_version(workspace, "m", 1).recipe
    release.newest(workspace, "m", recipe)
    assert "newer" in refused(workspace, 1)


def test_the_gates_are_configured_otherwise(workspace: Workspace) -> None:
    toml = workspace.folder / "ambidex.toml"
    toml.write_text(toml.read_text() + "\n[gates]\nmargin = 0.02\n")
    changed = Workspace(folder=workspace.folder, settings=read_settings(workspace.folder))
    changed.store.append(verb="config", model="m", body={"hash": changed.settings.gates.hash})
    assert "configured" in refused(changed, 1)


def test_the_verdict_is_too_old(workspace: Workspace) -> None:
    later = Workspace(folder=workspace.folder, settings=workspace.settings, clock=lambda: now() + timedelta(days=8))
    assert "days ago" in refused(later, 1)


def test_the_revision_is_another(workspace: Workspace) -> None:
    state = workspace.store.model("m")
    judgement = workspace.store.judgement("m", 1)
    with pytest.raises(Refused) as error:
        workspace.store.move(
            model="m", to="live", version=1, expected_revision=state.revision - 1, verb="promote", judgement=judgement,
            max_age_s=1e9, because="test",
        )  # fmt: skip
    assert error.value.code == "check.moved"


def test_promote_judges_again_when_the_verdict_is_stale(workspace: Workspace) -> None:
    """The verb itself does not refuse a stale verdict: it judges, and says what it saw."""
    before = workspace.store.judgement("m", 2)
    amb.promote("m@1", to="live", at=workspace.folder)
    amb.promote("m@2", to="live", at=workspace.folder)
    after = workspace.store.judgement("m", 2)
    assert before is not None and after is not None
    assert (before.against, after.against) == (None, 1)
    assert workspace.store.model("m").live == 2


def test_a_waiver_is_kept_with_its_reason(workspace: Workspace) -> None:
    amb.promote("m@1", to="live", at=workspace.folder)
    said = amb.gate("m@2", waive="not-worse-than-live", reason="law changes on Monday", at=workspace.folder)
    assert said.passed
    kept = workspace.store.judgement("m", 2)
    assert kept is not None and kept.waived == {"not-worse-than-live": "law changes on Monday"}


def test_a_waiver_for_no_gate_changes_nothing(workspace: Workspace) -> None:
    before = workspace.store.judgement("m", 2)
    with pytest.raises(amb.UsageError):
        amb.gate("m@2", waive="speed", reason="why not", at=workspace.folder)
    assert workspace.store.judgement("m", 2) == before
