"""What operators do to a workspace: other spellings, spoilt versions, lost files, two at once, moves overtaken."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ambidex as amb
from ambidex.bundle.open import open_bundle
from ambidex.bundle.seal import seal
from ambidex.delivery import release
from ambidex.errors import AmbidexError, DataError, EnvironmentProblem, Refused, UsageError
from ambidex.workspace import Workspace, open_workspace

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def rows(n: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    y = rng.random(n) < 1 / (1 + np.exp(-2 * x))
    return [f"u{seed}-{i},{x[i]:.4f},{rng.choice(['a', 'b'])},{'yes' if y[i] else 'no'}" for i in range(n)]


def write(path: Path, lines: list[str], head: str = "id,x,plan,y") -> None:
    path.write_text("\n".join([head, *lines]) + "\n")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """m@1 is live, trained on data/a.csv."""
    w = tmp_path_factory.mktemp("days") / "w"
    amb.init(w)
    write(w / "data" / "a.csv", rows(800, 1))
    amb.package(amb.drivers(w / "data", target="y", positive="yes", keep=["x"], at=w), name="m", at=w)
    amb.promote("m@1", to="live", at=w)
    open_workspace(w).store.close()  # type: ignore[attr-defined]
    return w


@pytest.fixture
def w(sealed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sealed, tmp_path / "copied elsewhere"))


def live(w: Path) -> int | None:
    return open_workspace(w).store.model("m").live


def test_the_same_rows_are_never_new(w: Path) -> None:
    lines = rows(800, 1)
    write(w / "data" / "a.csv", lines[300:][::-1])
    write(w / "data" / "b.csv", [",".join(reversed(line.split(","))) for line in lines[:300]], head="y,plan,x,id")
    assert amb.retrain("m", at=w).data["state"] == "nothing-new"
    (w / "data" / "b.csv").unlink()
    write(w / "data" / "a.csv", [f"{line},{i}" for i, line in enumerate(lines)], head="id,x,plan,y,extra")
    assert amb.retrain("m", at=w).data["state"] == "nothing-new"


def test_rows_without_a_label_are_told(w: Path) -> None:
    write(w / "data" / "b.csv", [line.rpartition(",")[0] + "," for line in rows(300, 2)])
    done = amb.retrain("m", at=w)
    assert done.data["state"] == "nothing-new"
    assert "300 rows have no label" in done.lines[0][1]


@pytest.mark.parametrize(("old", "new"), [("yes", "YES"), ("no", "No")])
def test_a_label_spelled_otherwise_is_no_silent_no(w: Path, old: str, new: str) -> None:
    write(w / "data" / "b.csv", [line.replace(f",{old}", f",{new}") for line in rows(300, 2)])
    with pytest.raises(DataError) as error:
        amb.retrain("m", at=w)
    assert error.value.code == "data.no-label" and f"'{new}'" in error.value.message
    assert open_workspace(w).store.model("m").versions == 1


def test_a_file_of_another_kind_or_half_a_file_is_named(w: Path) -> None:
    for text, code in (("a,b\n1,2\n", "data.schema"), ("id,x,plan,y\nu1,0.1\n", "data.ragged"), ("", "data.empty")):
        (w / "data" / "odd.csv").write_text(text)
        with pytest.raises(DataError, match=r"odd\.csv") as error:
            amb.retrain("m", at=w)
        assert error.value.code == code


def test_a_trial_on_another_table_makes_no_row_new(w: Path) -> None:
    write(w / "trial.csv", rows(400, 8))
    amb.train("m", data=w / "trial.csv", at=w)
    write(w / "data" / "b.csv", rows(5, 2))
    done = amb.retrain("m", at=w)
    assert (done.data["state"], done.data["missing"]["have"]) == ("waiting", 5)


def test_the_same_model_again_is_not_worse(w: Path) -> None:
    made = amb.train("m", at=w).data
    assert amb.gate(f"m@{made['version']}", at=w).passed
    register = [e for e in open_workspace(w).store.events(model="m") if e.verb == "register"][-1]
    assert (made["event"], register.version) == (register.seq, made["version"])


def forged(w: Path, change: Any, *, golden: Any = None) -> str:
    workspace = open_workspace(w)
    first = workspace.store.version("m", 1)
    files = dict(open_bundle(workspace.blobs, first.digest).files)
    model = json.loads(files["model.json"])
    change(model)
    files["model.json"] = json.dumps(model).encode()
    if golden is not None:
        kept = json.loads(files["golden.json"])
        pairs = [(r, e) for r, e in zip(kept["rows"], kept["expected"], strict=True) if golden(r)]
        files["golden.json"] = json.dumps({"rows": [r for r, _ in pairs], "expected": [e for _, e in pairs]}).encode()
    return workspace.store.register(
        model="m", digest=seal(workspace.blobs, files), data=first.data, code=first.code, key="forged",
        summary=first.summary,
    ).ref  # fmt: skip


def test_a_version_that_gives_nan_is_refused_and_the_next_is_made(w: Path) -> None:
    ref = forged(w, lambda model: model.update(intercept=float("nan")))
    for refused in (
        lambda: amb.gate(ref, at=w),
        lambda: amb.promote(ref, to="live", at=w),
        lambda: amb.score(ref, w / "data" / "a.csv", out=w / "s.csv", at=w),
    ):
        with pytest.raises(Refused) as error:
            refused()
        assert error.value.code == "check.opens"
    assert not (w / "s.csv").exists() and live(w) == 1
    write(w / "data" / "b.csv", rows(800, 2))
    assert amb.retrain("m", at=w).data["version"] == 3


def test_a_version_whose_golden_rows_hide_its_nan_is_refused(w: Path) -> None:
    def spoil(model: dict[str, Any]) -> None:
        next(t for t in model["terms"] if t["column"] == "plan")["levels"]["b"] = float("nan")

    ref = forged(w, spoil, golden=lambda row: row["plan"] != "b")
    verdicts = {g["name"]: g["outcome"] for g in amb.gate(ref, at=w).data["gates"]}
    assert verdicts["finite"] == "refuted"
    with pytest.raises(Refused):
        amb.promote(ref, to="live", at=w)
    with pytest.raises(Refused, match="no finite number"):
        amb.score(ref, w / "data" / "a.csv", out=w / "s.csv", at=w)
    assert live(w) == 1


def test_a_lost_blob_is_an_altered_file(w: Path) -> None:
    sha = amb.models("show", "m@1", at=w).data["files"]["model.json"]["sha256"]
    (w / ".ambidex" / "blobs" / sha[:2] / sha).unlink()
    with pytest.raises(Refused) as error:
        amb.promote("m@1", to="staging", at=w)
    assert error.value.code == "check.altered"
    assert not amb.doctor(at=w).data["healthy"]


def test_an_altered_event_stops_promotions(w: Path) -> None:
    import sqlite3

    with sqlite3.connect(w / ".ambidex" / "meta.sqlite") as database:
        name = next(n for (n,) in database.execute("SELECT name FROM sqlite_master") if n.startswith("event"))
        database.execute(f"UPDATE {name} SET by = 'mallory' WHERE seq = 3")
    database.close()
    with pytest.raises(Refused) as error:
        amb.promote("m@1", to="staging", at=w)
    assert error.value.code == "check.doctor"


@pytest.mark.parametrize("empty", [True, False])
def test_a_lost_database_is_no_new_workspace(w: Path, empty: bool) -> None:
    for file in (w / ".ambidex").glob("meta.sqlite*"):
        file.unlink()
    (w / ".ambidex" / "head").unlink(missing_ok=True)
    if empty:
        (w / ".ambidex" / "meta.sqlite").touch()
    with pytest.raises(EnvironmentProblem) as error:
        amb.status(at=w)
    assert error.value.code == "env.broken-workspace"


def test_scores_go_neither_over_their_table_nor_among_the_training_rows(w: Path) -> None:
    before = (w / "data" / "a.csv").read_bytes()
    shutil.copy(w / "data" / "a.csv", w / "in.csv")
    for out in (w / "in.csv", w / "data" / "scores.csv"):
        with pytest.raises(UsageError):
            amb.score("m", w / "in.csv", out=out, at=w)
    assert (w / "data" / "a.csv").read_bytes() == (w / "in.csv").read_bytes() == before
    amb.score("m", w / "in.csv", out=w / "out.csv", at=w)
    assert (w / "out.csv").read_text().startswith('"prediction_id","id","prediction"')


def test_a_policy_that_a_kill_cut_short_goes_on(w: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toml = w / "ambidex.toml"
    toml.write_text(toml.read_text() + 'policy = "live"\n')
    write(w / "data" / "b.csv", rows(800, 2))

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(release, "promote", killed)
        amb.retrain("m", at=w)
    assert live(w) == 1
    assert amb.retrain("m", at=w).data["state"] == "promoted"
    assert live(w) == 2
    amb.rollback("m", at=w)
    amb.resume("m", at=w)
    assert amb.retrain("m", at=w).data["state"] == "nothing-new"
    assert live(w) == 1


def test_a_promotion_that_was_overtaken_says_so(w: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(w / "data" / "b.csv", rows(800, 2))
    amb.retrain("m", at=w)
    amb.train("m", at=w)
    judge = release.judge

    def overtaken(place: Workspace, name: str, number: int, **how: Any) -> Any:
        judged = judge(place, name, number, **how)
        monkeypatch.setattr(release, "judge", judge)
        amb.promote("m@2", to="live", at=w)
        return judged

    monkeypatch.setattr(release, "judge", overtaken)
    with pytest.raises(Refused) as error:
        amb.promote("m@3", to="live", at=w)
    assert (error.value.code, error.value.do) == ("check.moved", "run it again")
    assert live(w) == 2


def test_a_horizon_that_was_declared_holds_from_the_first_package(w: Path) -> None:
    from datetime import UTC, datetime, timedelta

    today = datetime.now(UTC).date()
    lines = [f"{today - timedelta(days=i % 60)},{line}" for i, line in enumerate(rows(800, 3))]
    write(w / "dated.csv", lines, head="day,id,x,plan,y")
    toml = w / "ambidex.toml"
    declared = '\n[models.t]\ndata = "dated.csv"\ntarget = "y"\npositive = "yes"\ntime = "day"\nhorizon = "30d"\n'
    toml.write_text(toml.read_text() + declared)
    amb.package(amb.drivers(w / "dated.csv", target="y", positive="yes", time="day", keep=["x"], at=w), name="t", at=w)
    assert 300 < amb.models("show", "t@1", at=w).data["evaluation"]["immature"] < 450


def at_once(*works: Any) -> list[int]:
    pids = []
    for work in works:
        pid = os.fork()
        if pid == 0:
            try:
                work()
                os._exit(0)
            except AmbidexError as error:
                os._exit(100 + error.exit_code)
            except BaseException:
                import traceback

                traceback.print_exc()
                os._exit(1)
        pids.append(pid)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def test_two_at_once(w: Path) -> None:
    ends = at_once(*[lambda n=n: amb.package("answer/1", name=n, at=w) for n in ("one", "two", "one")])
    assert ends == [0, 0, 0]
    workspace = open_workspace(w)
    assert set(workspace.settings.models) == {"m", "one", "two"}
    assert {s.name: s.versions for s in workspace.store.models()} == {"m": 1, "one": 1, "two": 1}
    assert sorted(p.name for p in (w / "packages").iterdir()) == ["m", "one", "two"]
    write(w / "data" / "b.csv", rows(800, 2))
    assert at_once(*[lambda: amb.retrain("m", at=w)] * 2) == [0, 0]
    assert open_workspace(w).store.model("m").versions == 2
    out = w / "scores.csv"
    assert at_once(*[lambda: amb.score("m", w / "data", out=out, at=w)] * 2) == [0, 0]
    assert len(out.read_text().splitlines()) == 1601
    assert not [p for p in w.iterdir() if p.name.endswith(".tmp")]


def test_everything_at_once_keeps_the_pointer_with_the_log(w: Path) -> None:
    write(w / "data" / "b.csv", rows(800, 2))
    amb.retrain("m", at=w)
    amb.promote("m@2", to="live", at=w)
    until = time.monotonic() + 5
    verbs = [
        lambda n: amb.promote("m@1", to="live", at=w), lambda n: amb.promote("m@2", to="live", at=w),
        lambda n: amb.rollback("m", at=w), lambda n: amb.resume("m", at=w), lambda n: amb.retrain("m", at=w),
        lambda n: amb.score("m", w / "data" / "a.csv", out=w / f"s{n}.csv", at=w),
        lambda n: amb.monitor("m", at=w), lambda n: amb.gate("m@1", at=w),
    ]  # fmt: skip

    def work(seed: int) -> None:
        rng = random.Random(seed)
        while time.monotonic() < until:
            try:
                rng.choice(verbs)(seed % 2)
            except Refused as error:
                assert error.code in ("check.moved", "check.gate", "check.no-previous"), error

    assert at_once(*[lambda s=s: work(s) for s in range(3)]) == [0, 0, 0]
    store = open_workspace(w).store
    moves = [
        e
        for e in store.events(model="m", verbs=("promote", "rollback"))
        if e.verb == "rollback" or e.body["to"] == "live"
    ]
    assert store.model("m").live == moves[-1].version
    assert amb.doctor(at=w).data["healthy"]
