"""What a kill leaves of every verb, at every step that changes the disk, and that the verb then goes on.

SIGKILL leaves exactly the files that the kernel had at that moment. So each verb runs once in a fork, and
before each of its steps (a statement, commit, fsync or rename of the edges; any open for writing, rename,
mkdir or removal of Python's) the workspace is copied, if it has changed since: each copy is what a kill at
that step leaves. The last test kills for real.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ambidex as amb
from ambidex.edges.sql import SqlStore
from ambidex.journeys import advise, deliver, explore, operate
from ambidex.workspace import create, open_workspace

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.link", "os.symlink"}


def rows(n: int, seed: int) -> str:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    y = rng.random(n) < 1 / (1 + np.exp(-2 * x))
    lines = [f"u{seed}-{i},{x[i]:.4f},{rng.choice(['a', 'b'])},{'yes' if y[i] else 'no'}" for i in range(n)]
    return "\n".join(["id,x,plan,y", *lines]) + "\n"


def do_init(w: Path) -> Any:
    return amb.init(w)


def do_package(w: Path) -> Any:
    return amb.package("answer/1", name="m", at=w)


def do_train(w: Path) -> Any:
    return amb.train("m", at=w)


def do_gate(w: Path) -> Any:
    return amb.gate("m@1", at=w)


def do_promote(w: Path) -> Any:
    return amb.promote("m@1", to="live", at=w)


def do_score(w: Path) -> Any:
    return amb.score("m", w / "data", out=w / "scores.csv", at=w)


def do_feedback(w: Path) -> Any:
    return amb.feedback("m", w / "scores.csv", id="id", label="prediction", at=w)


def do_monitor(w: Path) -> Any:
    return amb.monitor("m", at=w)


def do_retrain(w: Path) -> Any:
    return amb.retrain("m", at=w)


def do_rollback(w: Path) -> Any:
    return amb.rollback("m", at=w)


VERBS = [
    do_init, do_package, do_train, do_gate, do_promote, do_score, do_feedback, do_monitor, do_retrain, do_rollback,
]  # fmt: skip


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The workspace before each verb."""
    home = tmp_path_factory.mktemp("states")
    w = home / "w"
    w.mkdir()
    before: dict[str, Path] = {}

    def keep(*verbs: Callable[[Path], Any]) -> None:
        for verb in verbs:
            before[verb.__name__] = home / f"before-{verb.__name__}" / "w"
            shutil.copytree(w, before[verb.__name__])

    def make() -> None:
        keep(do_init)
        do_init(w)
        (w / "data" / "a.csv").write_text(rows(600, 1))
        amb.drivers(w / "data", target="y", positive="yes", keep=["x"], at=w)
        keep(do_package)
        do_package(w)
        toml = w / "ambidex.toml"
        toml.write_text(toml.read_text() + 'policy = "live"\n')
        keep(do_train, do_gate, do_promote)
        do_promote(w)
        keep(do_score)
        do_score(w)
        keep(do_feedback)
        do_feedback(w)
        keep(do_monitor)
        (w / "data" / "b.csv").write_text(rows(600, 2))
        keep(do_retrain)
        assert do_retrain(w).data["state"] == "promoted"
        keep(do_rollback)

    code = forked(make)
    assert code == 0
    return {verb.__name__: home / f"before-{verb.__name__}" / "w" for verb in VERBS}


def forked(work: Callable[[], Any]) -> int:
    """Run in a process of its own; how it ended."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
    return os.waitpid(pid, 0)[1]


def watched(folder: Path, step: Callable[[str], None]) -> None:
    """From here on every change of the folder's files by this process is a step."""
    inside = False

    def hook(name: str) -> None:
        nonlocal inside
        if not inside:
            inside = True
            try:
                step(name)
            finally:
                inside = False

    def audit(event: str, args: tuple[Any, ...]) -> None:
        changes = event in CHANGES or (event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        if changes and str(args[0]).startswith(str(folder)):
            hook(f"{event} {args[0]}")

    sys.addaudithook(audit)
    for room in (explore, deliver, operate, advise):
        room.open_workspace = lambda at: open_workspace(at, hook=hook)  # type: ignore[attr-defined]
    advise.create = lambda at: create(at, hook=hook)  # type: ignore[assignment]


def tree(folder: Path) -> list[tuple[str, int, int]]:
    found = []
    for home, _, names in os.walk(folder):
        found.append((home, 0, 0))
        for name in names:
            stat = os.stat(f"{home}/{name}")
            found.append((f"{home}/{name}", stat.st_size, stat.st_mtime_ns))
    return sorted(found)


def left_by_kills(verb: Callable[[Path], Any], before: Path, home: Path) -> tuple[list[tuple[str, Path]], Path]:
    """(step, what a kill before it leaves) for each step that found a change, and the workspace when all was done."""
    w = home / "w"
    shutil.copytree(before, w)
    names = home / "names"

    def work() -> None:
        seen: Any = tree(w)
        count = 0

        def step(name: str) -> None:
            nonlocal seen, count
            now = tree(w)
            if now != seen:
                seen = now
                shutil.copytree(w, home / f"{count:03d}" / "w")
                with names.open("a") as file:
                    file.write(name.replace("\n", " ")[:100] + "\n")
                count += 1

        watched(w, step)
        verb(w)

    assert forked(work) == 0
    steps = names.read_text().splitlines()
    return [(step, home / f"{i:03d}" / "w") for i, step in enumerate(steps)], w


def sound(w: Path) -> dict[str, Any]:
    """The workspace opens, everything in it agrees, and nothing is under way for ever; what it holds."""
    workspace = open_workspace(w)
    store = workspace.store
    assert isinstance(store, SqlStore)
    doctor = amb.doctor(at=w)
    assert doctor.data["healthy"], [c for c in doctor.data["checks"] if not c["passed"]]
    for state in store.models():
        moves = [e for e in store.events(model=state.name) if e.verb in ("promote", "rollback")]
        live = [e.version for e in moves if e.verb == "rollback" or e.body["to"] == "live"]
        assert state.live == (live[-1] if live else None)
        for name in ("retrain", "watch"):
            token = store.lease(f"{name}/{state.name}", seconds=1)
            assert token is not None, f"{name} of {state.name} is leased by a dead process"
            store.release(f"{name}/{state.name}", token)
    held = {
        "models": [{k: v for k, v in s.to_json().items() if k != "revision"} for s in store.models()],
        "versions": {s.name: [v.digest for v in store.versions(s.name)] for s in store.models()},
        "settings": (w / "ambidex.toml").read_text(),
        "files": sorted(
            str(p.relative_to(w)) for p in w.rglob("*") if p.is_file() and ".ambidex" not in p.relative_to(w).parts
        ),
        "document": {k: v for k, v in (store.document("watch/m") or {}).items() if k in ("versions", "alerts")},
    }
    store.close()
    return held


def litter(w: Path) -> list[str]:
    return [
        str(p.relative_to(w)) for p in w.rglob("*")
        if p.name.endswith((".tmp", ".new", ".old")) or p.name.startswith(".tmp-")
    ]  # fmt: skip


def check(verb: Callable[[Path], Any], states: dict[str, Path], home: Path, *, every: int | None) -> None:
    before = states[verb.__name__]
    left, done = left_by_kills(verb, before, home)
    assert len(left) >= 3
    expected = sound(done)
    assert not litter(done)
    chosen: Iterator[int] | range = range(len(left))
    if every is not None:
        chosen = iter(sorted({round(i) for i in np.linspace(0, len(left) - 1, every)}))
    for i in chosen:
        step, w = left[i]
        # Copies lie elsewhere than the original; nothing in a workspace may depend on where it lies.
        try:
            if (w / "ambidex.toml").exists():
                sound(w)
            answer = verb(w)
            held = sound(w)
            assert answer is not None
            assert not litter(w)
            if verb is do_train:  # it was asked for twice: what the killed one had registered stays beside
                assert set(held["versions"]["m"]) == set(expected["versions"]["m"])
            elif verb is do_rollback and held["models"][0]["paused"]:
                assert held["models"][0]["live"] == 1
            elif verb is do_monitor:
                assert held["document"]["versions"].keys() == expected["document"]["versions"].keys()
            else:
                assert {**held, "document": None} == {**expected, "document": None}
        except amb.AmbidexError as error:
            # Going back twice is refused: the first call had gone back, and had said nothing yet.
            assert verb is do_rollback and error.code == "check.no-previous", (i, step, error)
            assert sound(w)["models"][0]["live"] == 1
            assert not litter(w)
        except BaseException as error:
            raise AssertionError(f"kill {i} of {len(left)}, before {step}") from error


@pytest.mark.parametrize("verb", VERBS, ids=lambda v: v.__name__[3:])
def test_a_kill_leaves_a_sound_workspace_and_the_verb_goes_on(verb, states, tmp_path):
    check(verb, states, tmp_path, every=4)


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS, ids=lambda v: v.__name__[3:])
def test_every_kill(verb, states, tmp_path):
    check(verb, states, tmp_path, every=None)


@pytest.mark.parametrize("verb", [do_package, do_promote, do_retrain], ids=lambda v: v.__name__[3:])
def test_killed_for_real(verb, states, tmp_path):
    """SIGKILL in the middle of the verb's steps, again and again in one workspace, until it comes through."""
    w = tmp_path / "w"
    shutil.copytree(states[verb.__name__], w)
    for point in (19, 90, None):

        def work(point: int | None = point) -> None:
            count = 0

            def step(name: str) -> None:
                nonlocal count
                count += 1
                if count == point:
                    os.kill(os.getpid(), signal.SIGKILL)

            watched(w, step)
            verb(w)

        code = forked(work)
        assert code in (0, signal.SIGKILL)
        sound(w)
    assert code == 0
    assert not litter(w)
    assert json.dumps(sound(w)["models"])
