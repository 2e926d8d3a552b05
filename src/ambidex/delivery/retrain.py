"""One idempotent step of the loop: new data in, a judged candidate out, or a word on what is missing."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ambidex.bundle.open import OpenBundle
from ambidex.bundle.seal import register
from ambidex.data.fingerprint import new_rows
from ambidex.data.read import source_files
from ambidex.delivery import release, rollout
from ambidex.delivery.material import Material, resolve
from ambidex.delivery.train import ELSEWHERE, run_key, train
from ambidex.errors import NotFound
from ambidex.ports import Fence, Place
from ambidex.records import Judgement, VersionRecord, canonical, digest
from ambidex.settings import ModelSettings
from ambidex.version import __version__

__all__ = ["Step", "glance", "retrain"]

LEASE_SECONDS = 3600.0
FRESH_S, BETWEEN_S = 2.0, 0.25


@dataclass(frozen=True)
class Step:
    """What one call did.

    Attributes:
        state: ``paused``, ``busy``, ``nothing-new``, ``waiting``, ``candidate``, ``promoted`` or ``refused``.
        version: The new version, if there is one.
        missing: What is missing before a retraining is due.
        text: The same in one sentence.
        judgement: The new version's gates, if it was judged.
    """

    state: str
    text: str
    version: int | None = None
    missing: dict[str, Any] = field(default_factory=dict)
    judgement: Judgement | None = None


def retrain(place: Place, name: str) -> Step:
    """Train on new data if there is enough of it, judge, and move as far as the model's policy says.

    Every step is keyed by (data, code, configuration): a call after a crash goes on where it stopped, and a
    call with nothing new does nothing.

    Raises:
        DataError: The newest data cannot be read, or a column is missing or has another type.
    """
    state = place.store.model(name)
    if state.paused:
        return Step("paused", f"retraining of {name} is paused: {state.paused}", missing={"resume": name})
    token = place.store.lease(f"retrain/{name}", seconds=LEASE_SECONDS)
    if token is None:
        return Step("busy", f"another process is retraining {name}", missing={"lease": "held by another process"})
    fence = (f"retrain/{name}", token)
    try:
        writing = still_written(place, name)
        if writing is not None:
            return Step("waiting", f"{writing} is being written", missing={"file": writing})
        seen = _look(place, name)
        if seen is not None and (last := place.store.document(f"retrain/{name}")) is not None and last["seen"] == seen:
            return Step("nothing-new", str(last["text"]), missing={"rows": "no row that no version has seen"})
        step = _step(place, name, fence)
        if step.state == "nothing-new" and seen is not None and seen == _look(place, name):
            place.store.put_document(f"retrain/{name}", {"seen": seen, "text": step.text})
        return step
    finally:
        place.store.release(f"retrain/{name}", token)


def glance(place: Place, name: str) -> Step | None:
    """What a step would say, where files' sizes and times alone tell it; None where a step must look closer."""
    state = place.store.model(name)
    if state.paused:
        return Step("paused", f"retraining of {name} is paused: {state.paused}", missing={"resume": name})
    last = place.store.document(f"retrain/{name}")
    if last is None or last["seen"] != _look(place, name):
        return None
    return Step("nothing-new", str(last["text"]), missing={"rows": "no row that no version has seen"})


def still_written(place: Place, name: str) -> str | None:
    """The name of a file of the model's data that grew or changed within the last moments, or None.

    A file that was changed less than ``FRESH_S`` ago is looked at twice, ``BETWEEN_S`` apart.
    """
    settings = place.settings.models.get(name)
    if settings is None:
        return None
    before = _files(place, settings)
    if all(time.time() - changed / 1e9 > FRESH_S for _, changed in before.values()):
        return None
    time.sleep(BETWEEN_S)
    after = _files(place, settings)
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    return Path(changed[0]).name if changed else None


def _files(place: Place, settings: ModelSettings) -> dict[str, tuple[int, int]]:
    """Size and time of the last change of each file behind a model, by its path."""
    found = {}
    for path in source_files(resolve(settings.data, place.folder)):
        with suppress(OSError):
            info = path.stat()
            found[str(path)] = (info.st_size, info.st_mtime_ns)
    return found


def _look(place: Place, name: str) -> str | None:
    """Names what a step would find, from the files' sizes and times alone; None where time itself changes it."""
    settings = place.settings.models.get(name)
    if settings is None or settings.horizon is not None or settings.prepare is not None:
        return None
    files = _files(place, settings)
    if not files:
        return None
    state = place.store.model(name)
    judged = place.store.judgement(name, state.versions)
    said = [
        files,
        state.to_json(),
        judged and judged.at,
        msgspec.to_builtins(settings),
        place.settings.gates_hash(name),
        __version__,
    ]
    return digest(canonical(json.loads(json.dumps(said))))


def _step(place: Place, name: str, fence: Fence) -> Step:
    versions = place.store.versions(name)
    if not versions:
        raise NotFound("data.no-version", f"{name} has no version yet", do=f"ambidex package answer/1 --name {name}")
    # A trial on another table says nothing of which of the model's own rows are new.
    own = [v for v in versions if not v.key.startswith(f"{ELSEWHERE}:")] or versions
    latest = release.newest_sound(place, own)
    material, recipe, state = release.newest(place, name, latest.recipe)
    same = [v for v in own if v.data == material.manifest.fingerprint]
    if same:
        made_here = [v for v in same if v.key == run_key(material.manifest, recipe)]
        return _known(place, made_here[-1], material, fence) if made_here else _nothing_new(same[-1], material)
    _, settings = release.configured(place, name, recipe)
    fresh = new_rows(material.hashes, np.frombuffer(latest.files["rows.u64"], dtype=np.uint64))
    if fresh < settings.min_labels:
        return Step(
            "waiting",
            f"{fresh:,} of {settings.min_labels:,} new matured labels{_left_out(material)}",
            missing={"labels": settings.min_labels - fresh, "have": fresh, "need": settings.min_labels},
        )
    release.declare_gates(place, name)
    live: OpenBundle | None = None if state.live is None else release.open_version(place, name, state.live)
    trained = train(material, recipe, at_least=live.schema if live else latest.schema, code=latest.files, anew=True)
    version = register(
        place.store,
        place.blobs,
        trained.files,
        model=name,
        data=material.manifest.fingerprint,
        code=run_key(material.manifest, recipe).split(":")[1],
        key=run_key(material.manifest, recipe),
        summary=trained.summary,
        fence=fence,
    )
    return _judged(place, version, fence)


def _known(place: Place, version: VersionRecord, material: Material, fence: Fence) -> Step:
    """The data has a version already: finish what a crash left, or say that nothing is new."""
    judgement = place.store.judgement(version.model, version.number)
    if version.number > 1 and judgement is None:
        return _judged(place, version, fence)
    if judgement is not None and judgement.passed and _unmoved(place, version):
        return _moved(place, version, judgement, fence)
    return _nothing_new(version, material)


def _nothing_new(version: VersionRecord, material: Material) -> Step:
    return Step(
        "nothing-new",
        f"nothing new: {version.ref} was trained on these rows{_left_out(material)}",
        missing={"rows": "no row that no version has seen"},
    )


def _left_out(material: Material) -> str:
    young = f"; {material.immature:,} rows are younger than the horizon" if material.immature else ""
    return young + (f"; {material.unlabelled:,} rows have no label" if material.unlabelled else "")


def _judged(place: Place, version: VersionRecord, fence: Fence) -> Step:
    name, number = version.model, version.number
    judgement = release.judge(place, name, number)
    if not judgement.passed:
        failed = [g.name for g in judgement.gates if g.outcome != "supported"]
        return Step("refused", f"{version.ref} did not pass: {', '.join(failed)}", number, {}, judgement)
    return _moved(place, version, judgement, fence)


def _moved(place: Place, version: VersionRecord, judgement: Judgement, fence: Fence) -> Step:
    name, number = version.model, version.number
    policy = place.settings.models[name].policy
    if policy == "candidate":
        return Step("candidate", f"{version.ref} passed its gates and waits as candidate", number, {}, judgement)
    running = rollout.open_rollout(place, name)
    if running is not None and running.version != number:
        text = f"{version.ref} passed its gates and waits: {running.ref} is in {running.stage}"
        return Step("candidate", text, number, {}, judgement)
    rollout.start(place, name, number, to=policy, fence=fence)
    return Step("promoted", f"{version.ref} passed its gates and is {policy}", number, {}, judgement)


def _unmoved(place: Place, version: VersionRecord) -> bool:
    """Whether the policy moves this version and nobody, person or step, has moved anything since it was made."""
    if place.settings.models[version.model].policy == "candidate" or version.number == 1:
        return False
    log = place.store.events(model=version.model, verbs=("register", "promote", "rollback"))
    return bool(log) and log[-1].verb == "register" and log[-1].version == version.number
