"""What ``watch`` does: a pass of the monitor, a step of the roll-out and one of retraining a model, then notices.

Retraining runs in a child of its own while the loop goes round, so that a long or hungry training neither delays a
rollback nor takes the watcher with it.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, Any

from ambidex.delivery.release import rollback
from ambidex.delivery.retrain import Step, glance
from ambidex.delivery.retrain import retrain as retrain_step
from ambidex.delivery.rollout import Mover
from ambidex.edges.notify import Sender
from ambidex.errors import AmbidexError, DataError, EnvironmentProblem, UsageError
from ambidex.report.answer import Mark, Result
from ambidex.report.words import plural
from ambidex.settings import duration
from ambidex.watch.arms import Kept
from ambidex.watch.guard import guard_step
from ambidex.watch.loop import Line, Part, Said, Turn, pause, turn
from ambidex.watch.notices import deliver
from ambidex.watch.rollout import rollout_step
from ambidex.watch.run import budget_spent, monitor
from ambidex.workspace import Workspace

__all__ = ["Stopped", "notify", "seconds_of", "watch"]

AGAIN_S = 600.0
"""Where only reading the data tells whether any of it is new, it is read so often at most."""
CHILD_S = 10.0
"""How long a training has to end when it is told to, before it is killed: it goes on where it stopped."""
SHOWN = 160


class Stopped(BaseException):
    """SIGTERM came. What was under way is repeated by the next step."""


def seconds_of(interval: Any) -> float:
    """Seconds between turns, from a number or a text such as ``5m``.

    >>> seconds_of("2m"), seconds_of(30), seconds_of("15")
    (120.0, 30.0, 15.0)
    """
    try:
        seconds = float(interval) if not isinstance(interval, bool) else -1.0
    except (TypeError, ValueError):
        seconds = duration(str(interval))
    if not 1 <= seconds <= 86_400:
        raise UsageError("usage.value", f"--interval {interval} is not between 1 s and a day", do="--interval 60")
    return seconds


def watch(
    opened: Callable[[], Workspace], *, once: bool, interval: float, say: Callable[[Mark, str], None] | None = None
) -> Result:
    """Turn after turn until SIGTERM (returns) or Ctrl-C (raises ``KeyboardInterrupt``); one turn with ``once``.

    Args:
        opened: Opens the workspace: anew every turn, since people edit ambidex.toml meanwhile.
        once: One turn, with retraining in this process, and what failed before tried at once.
        interval: Seconds from the end of a turn to the next.
        say: Told each line; without it the lines of one turn are in the result.
    """
    lines: list[tuple[Mark, str]] = []
    tell = say or (lambda mark, text: lines.append((mark, text)))
    if once:
        workspace = opened()
        done, sent = _turn(workspace, _parts(workspace, None, None), tell, again=True)
        return Result(verb="watch", data=_data(done, sent, 1), lines=tuple(lines), next=("ambidex status",))
    children, kept = _Children(), Kept()
    turns, done, sent = 0, Turn(()), {}
    try:
        with _stoppable():
            while True:
                try:
                    workspace = opened()
                    done, sent = _turn(workspace, _parts(workspace, children, kept), tell, again=False)
                except AmbidexError as error:  # the disk is full, the file is half edited: later it may not be
                    tell("▲", f"this turn could not be made: {error.message}")
                turns += 1
                pause(interval)
    except Stopped:
        pass
    finally:
        children.stop()
    return Result(
        verb="watch", data=_data(done, sent, turns), lines=(("✓", f"stopped after {plural(turns, 'turn')}"),)
    )  # fmt: skip


def notify(workspace: Workspace) -> dict[str, Any]:
    """Send what is due, if anything is configured; never raises for what a channel does."""
    return deliver(workspace, Sender(workspace.settings.notify, workspace.folder, workspace.hidden))


def _turn(
    workspace: Workspace, parts: Mapping[str, Part], tell: Callable[[Mark, str], None], *, again: bool
) -> tuple[Turn, dict[str, Any]]:
    names = [state.name for state in workspace.store.models()]
    width = max((len(name) for name in names), default=0)

    def said(line: Line) -> None:
        mark: Mark = "■" if line.mark == "■" else "▲" if line.mark == "▲" else "✓"
        tell(mark, f"{line.at:%H:%M} {line.model:<{width}} {line.text}")

    done = turn(workspace, names, parts, say=said, again=again)
    if not names:
        tell("▲", "no model yet: ambidex package SOURCE --name NAME")
    sent = notify(workspace)
    if sent["why"]:
        tell(
            "▲",
            f"notices: {sent['why']}; {plural(sent['waiting'], 'notice')} waiting, next try {str(sent['next'])[11:16]}",
        )
    return done, sent


def _data(done: Turn, sent: Mapping[str, Any], turns: int) -> dict[str, Any]:
    return {
        "turns": turns, "models": [line.to_dict() for line in done.lines], "failed": done.failed, "notices": dict(sent),
    }  # fmt: skip


def _parts(workspace: Workspace, children: _Children | None, kept: Kept | None) -> dict[str, Part]:
    def spent(model: str) -> bool:
        return budget_spent(workspace, model)

    def rollout(model: str) -> Said:
        stepped = rollout_step(workspace, model, Mover(workspace), spent=spent, kept=kept)
        return stepped.mark, stepped.text

    def back(model: str) -> tuple[int, int]:
        return rollback(workspace, model, to=None)[:2]

    def retrain(model: str) -> Said:
        return _retrain(workspace, model, children)

    return {
        "monitor": lambda model: _monitored(monitor(workspace, model)),
        "guard": lambda model: guard_step(workspace, model, back),
        "rollout": rollout,
        "retrain": retrain,
    }


def _monitored(data: Mapping[str, Any]) -> Said:
    """A pass in a few words."""
    pages = [a for a in data["alerts"] if a["level"] == "page"]
    if pages:
        more = f"; {len(pages) - 1} more" if len(pages) > 1 else ""
        return "■", f"{pages[0]['id']} {_short(pages[0]['text'])}{more}"
    if data["alerts"]:
        more = f"; {len(data['alerts']) - 1} more" if len(data["alerts"]) > 1 else ""
        return "▲", f"{data['alerts'][0]['id']} {_short(data['alerts'][0]['text'])}{more}"
    if data["state"] in ("busy", "nothing-yet"):
        return " ", "" if data["state"] == "busy" else "no prediction yet"
    return "✓", "quiet"


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


# ---------------------------------------------------------------- retraining


def _retrain(workspace: Workspace, model: str, children: _Children | None) -> Said:
    if model not in workspace.settings.models:
        return " ", ""
    if children is None:
        return _trained(workspace, model)
    running = children.look(model)
    if running is not None:
        return running
    seen = glance(workspace, model)
    if seen is not None:
        return _told(seen)
    children.start(workspace.folder, model)
    return " ", ""


def _trained(workspace: Workspace, model: str) -> Said:
    """A step of retraining in this process."""
    try:
        return _told(retrain_step(workspace, model))
    except DataError as error:
        if error.code == "data.no-recipe":  # a model that arrived fitted is watched, and trained where it was made
            return " ", ""
        raise


def _told(step: Step) -> Said:
    if step.state in ("nothing-new", "busy"):
        return " ", ""
    mark = "▲" if step.state in ("refused", "paused") else "✓"
    return mark, "retraining paused" if step.state == "paused" else _short(step.text)


class _Children:
    """Trainings that run beside the loop, one a model."""

    def __init__(self) -> None:
        self._running: dict[str, tuple[subprocess.Popen[bytes], IO[bytes], float]] = {}
        self._ended: dict[str, float] = {}

    def start(self, folder: Path, model: str) -> None:
        """Begin a step, unless the last one ended a moment ago."""
        if time.monotonic() - self._ended.get(model, -AGAIN_S) < AGAIN_S:
            return
        said = tempfile.TemporaryFile()  # noqa: SIM115  # a pipe that nobody reads would fill; closed when it has ended
        command = [sys.executable, "-P", "-m", "ambidex.rounds", str(folder), model]
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.DEVNULL)
        self._running[model] = (child, said, time.monotonic())

    def look(self, model: str) -> Said | None:
        """What a step says: that it runs, or what came of it; None where there is none. Raises what it raised."""
        if model not in self._running:
            return None
        child, said, began = self._running[model]
        if child.poll() is None:
            return "✓", f"retraining for {time.monotonic() - began:.0f} s"
        del self._running[model]
        self._ended[model] = time.monotonic()
        said.seek(0)
        text = said.read()
        said.close()
        try:
            document = json.loads(text)
        except ValueError:
            raise EnvironmentProblem("env.child", f"retraining ended with status {child.returncode}") from None
        if "code" in document:
            raise DataError(document["code"], document["message"])
        mark, words = document["said"]
        return (mark, words) if words else None

    def stop(self) -> None:
        """End them; the next step goes on where they stopped."""
        for child, _, _ in self._running.values():
            child.terminate()
        for child, said, _ in self._running.values():
            try:
                child.wait(CHILD_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            said.close()
        self._running.clear()


def _child(folder: str, model: str) -> dict[str, Any]:
    """The step of a child, as what it prints."""
    from ambidex.workspace import open_workspace

    try:
        return {"said": list(_trained(open_workspace(folder), model))}
    except AmbidexError as error:
        return {"code": error.code, "message": error.message}


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM ends what is under way at once: a kill costs nothing, so neither does this."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    print(json.dumps(_child(sys.argv[1], sys.argv[2])))
