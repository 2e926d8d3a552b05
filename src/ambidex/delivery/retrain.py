"""One idempotent step of the loop: new data in, a judged candidate out, or a word on what is missing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ambidex.bundle.open import OpenBundle
from ambidex.bundle.seal import seal
from ambidex.data.fingerprint import new_rows
from ambidex.delivery import release
from ambidex.delivery.material import Material
from ambidex.delivery.train import ELSEWHERE, run_key, train
from ambidex.errors import NotFound
from ambidex.ports import Place
from ambidex.records import Judgement, VersionRecord

__all__ = ["Step", "retrain"]

LEASE_SECONDS = 3600.0


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
    try:
        return _step(place, name)
    finally:
        place.store.release(f"retrain/{name}", token)


def _step(place: Place, name: str) -> Step:
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
        return _known(place, made_here[-1], material) if made_here else _nothing_new(same[-1], material)
    _, settings = release.configured(place, name, recipe)
    fresh = new_rows(material.hashes, np.frombuffer(latest.files["rows.u64"], dtype=np.uint64))
    if fresh < settings.min_labels:
        return Step(
            "waiting",
            f"{fresh:,} of {settings.min_labels:,} new matured labels{_left_out(material)}",
            missing={"labels": settings.min_labels - fresh, "have": fresh, "need": settings.min_labels},
        )
    live: OpenBundle | None = None if state.live is None else release.open_version(place, name, state.live)
    trained = train(material, recipe, at_least=live.schema if live else latest.schema, code=latest.files, anew=True)
    version = place.store.register(
        model=name,
        digest=seal(place.blobs, trained.files),
        data=material.manifest.fingerprint,
        code=run_key(material.manifest, recipe).split(":")[1],
        key=run_key(material.manifest, recipe),
        summary=trained.summary,
    )
    return _judged(place, version)


def _known(place: Place, version: VersionRecord, material: Material) -> Step:
    """The data has a version already: finish what a crash left, or say that nothing is new."""
    judgement = place.store.judgement(version.model, version.number)
    if version.number > 1 and judgement is None:
        return _judged(place, version)
    if judgement is not None and judgement.passed and _unmoved(place, version):
        return _moved(place, version, judgement)
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


def _judged(place: Place, version: VersionRecord) -> Step:
    name, number = version.model, version.number
    judgement = release.judge(place, name, number)
    if not judgement.passed:
        failed = [g.name for g in judgement.gates if g.outcome != "supported"]
        return Step("refused", f"{version.ref} did not pass: {', '.join(failed)}", number, {}, judgement)
    return _moved(place, version, judgement)


def _moved(place: Place, version: VersionRecord, judgement: Judgement) -> Step:
    name, number = version.model, version.number
    policy = place.settings.models[name].policy
    if policy == "candidate":
        return Step("candidate", f"{version.ref} passed its gates and waits as candidate", number, {}, judgement)
    release.promote(place, name, number, to=policy)
    return Step("promoted", f"{version.ref} passed its gates and is {policy}", number, {}, judgement)


def _unmoved(place: Place, version: VersionRecord) -> bool:
    """Whether the policy moves this version and nobody, person or step, has moved anything since it was made."""
    if place.settings.models[version.model].policy == "candidate" or version.number == 1:
        return False
    log = place.store.events(model=version.model, verbs=("register", "promote", "rollback"))
    return bool(log) and log[-1].verb == "register" and log[-1].version == version.number
