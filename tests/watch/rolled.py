"""A small workspace with a version live and one beside it, and traffic written straight into its log."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

import ambidex as amb
from ambidex.data.frames import FrameWriter
from ambidex.delivery.rollout import Mover
from ambidex.records import Rollout
from ambidex.watch.arms import stamp
from ambidex.watch.rollout import Stepped, rollout_step
from ambidex.workspace import Workspace, open_workspace


def table(n: int, seed: int) -> str:
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=n), rng.normal(size=n)
    y = rng.random(n) < 1 / (1 + np.exp(-2 * x + z))
    lines = [f"u{i},{x[i]:.4f},{z[i]:.4f},{'yes' if y[i] else 'no'}" for i in range(n)]
    return "\n".join(["customer,x,z,y", *lines]) + "\n"


def make(folder: Path, *, policy: str = "live", more: str = "") -> Path:
    """m@1 live, m@2 a candidate that passed."""
    amb.init(folder)
    (folder / "data" / "a.csv").write_text(table(900, 1))
    answer = amb.drivers(folder / "data", target="y", positive="yes", keep=["x", "z"], at=folder)
    amb.package(answer, name="m", at=folder)
    toml = folder / "ambidex.toml"
    toml.write_text(toml.read_text() + f'policy = "{policy}"\n' + more)
    amb.promote("m@1", to="live", at=folder)
    amb.train("m", at=folder)
    assert amb.gate("m@2", at=folder).passed
    return folder


def step(folder: Path, *, days: float = 0.0, **more: Any) -> Stepped:
    """One step of the roll-out alone, some days from now."""
    place = open_workspace(folder, clock=lambda: datetime.now(UTC) + timedelta(days=days))
    return rollout_step(place, "m", Mover(place), **more)


def rollout_of(place: Workspace | Path, model: str = "m") -> Rollout:
    store = (place if isinstance(place, Workspace) else open_workspace(place)).store
    return Rollout.from_json(store.document(f"rollout/{model}") or {})


def told(folder: Path, verb: str = "rollout") -> list[tuple[int | None, Any]]:
    """(version, state) of each event."""
    events = open_workspace(folder).store.events(verbs=(verb,))
    return [(e.version, e.body.get("state") or e.body.get("id") or e.body.get("to")) for e in events]


def traffic(
    folder: Path, n: int, *, worse: float = 0.0, seed: int = 0, labels: bool = True, units: str = "u",
    at: datetime | None = None, fails: float = 0.0, us: int = 200, candidate_us: int | None = None, shift: float = 0.0,
    p: Any = None, model: str = "m",
) -> list[str]:  # fmt: skip
    """Requests as a server logs them in the roll-out's stage; the candidate's Brier loss is higher by ``worse``.

    Each row has one answer of probability .9 or .1 for the label that comes, so a loss of .01; the candidate's answer
    is moved so that its mean loss is .01 + ``worse``.
    """
    rollout = rollout_of(folder, model)
    rng = np.random.default_rng(seed)
    began = at or datetime.now(UTC)
    y = rng.random(n) < 0.4
    noise = rng.normal(0, 0.02, n)
    own = np.clip(np.where(y, 0.9, 0.1) + noise, 0, 1)
    far = np.sqrt(0.01 + worse)
    other = np.clip(np.where(y, 1 - far, far) + rng.normal(0, 0.02, n) + shift, 0, 1)
    failed = rng.random(n) < fails
    x, z = rng.normal(size=n), rng.normal(size=n)
    frames: list[dict[str, Any]] = []
    labelled: list[dict[str, Any]] = []
    ids = []
    for i in range(n):
        moment = stamp(began + timedelta(microseconds=10 * i))
        identity = f"{secrets.token_hex(8)}{i:08x}"
        ids.append(identity)
        unit = f"{units}{seed}-{i}"
        said = {"at": moment, "model": model, "id": identity, "row": {"x": float(x[i]), "z": float(z[i])},
                "riders": {"customer": unit}, "source": "http", "us": us}  # fmt: skip
        mine: dict[str, Any] = {**said, "version": rollout.version, "p": float(other[i]) if p is None else p,
                                "us": candidate_us or us}  # fmt: skip
        if failed[i]:
            mine |= {"p": None, "error": "http.model"}
        theirs = {**said, "version": rollout.against, "arm": "live", "p": float(own[i])}
        if rollout.stage == "shadow":
            frames += [theirs, {**mine, "arm": "shadow"}]
        else:
            frames.append({**mine, "arm": "canary"} if rollout.takes(unit) else theirs)
        if labels:
            label = "yes" if y[i] else "no"
            labelled.append({"kind": "label", "at": moment, "model": model, "id": identity, "label": label})
    place = folder / ".ambidex" / "log" / model
    name = f"{began:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    with FrameWriter(place / f"http-{name}.frames") as log:
        log.write(frames)
    if labelled:
        with FrameWriter(place / f"labels-{name}.frames") as log:
            log.write(labelled)
    return ids
