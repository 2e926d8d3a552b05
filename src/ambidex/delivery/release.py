"""Judge, promote, roll back: the only way a pointer moves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ambidex.bundle.open import OpenBundle, open_bundle
from ambidex.delivery import material as rows
from ambidex.delivery.gates import judge as judge_gates
from ambidex.errors import DataError, Refused
from ambidex.journal import stale
from ambidex.ports import Fence, Place
from ambidex.records import Event, Judgement, ModelState, Recipe, VersionRecord
from ambidex.settings import GateSettings, ModelSettings, duration

__all__ = [
    "configured", "declare_gates", "fresh", "judge", "newest", "newest_sound", "open_version", "promote", "rollback",
    "stamp", "wear",
]  # fmt: skip


def stamp(moment: datetime) -> str:
    """UTC, ISO 8601, microseconds, Z."""
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def open_version(place: Place, name: str, number: int) -> OpenBundle:
    """Verify, try in a child and load a version."""
    return open_bundle(place.blobs, place.store.version(name, number).digest)


def newest_sound(place: Place, versions: Sequence[VersionRecord]) -> OpenBundle:
    """The newest of these versions that opens: one that was spoilt must not stop the next from being made.

    Raises:
        Refused: ``check.altered`` or ``check.opens`` of the newest, if none opens.
    """
    first: Refused | None = None
    for version in reversed(versions):
        try:
            return open_bundle(place.blobs, version.digest)
        except Refused as error:
            first = first or error
    assert first is not None
    raise first


def configured(place: Place, name: str, recipe: Recipe) -> tuple[Recipe, ModelSettings]:
    """The recipe with what ambidex.toml says today; the file wins over what was sealed.

    Raises:
        DataError: ``data.config`` if the file says nothing of this model.
    """
    settings = place.settings.models.get(name)
    if settings is None:
        raise DataError(
            "data.config",
            f"ambidex.toml has no [models.{name}], so there is no data to train and judge it on",
            found=", ".join(f"[models.{n}]" for n in place.settings.models) or "no model at all",
            do=f"write [models.{name}] with data and target",
        )
    changes = {
        "data": settings.data, "target": settings.target, "key": settings.key or recipe.key,
        "time": settings.time or recipe.time, "entity": settings.entity or recipe.entity,
        "positive": settings.positive or recipe.positive,
    }  # fmt: skip
    updated = Recipe.from_json({**recipe.to_json(), **changes})
    if settings.recipe_prepare is not None:
        updated = Recipe.from_json({**updated.to_json(), "prepare": settings.recipe_prepare.to_json()})
    return updated, settings


def newest(
    place: Place, name: str, recipe: Recipe, *, data: str | Path | None = None
) -> tuple[rows.Material, Recipe, ModelState]:
    """The newest matured data, made known in the log if it was not yet.

    Args:
        place: The workspace.
        name: Model's name.
        recipe: As sealed with a version.
        data: Another source, which then is not the model's newest data.
    """
    today, settings = configured(place, name, recipe)
    horizon = duration(settings.horizon) if settings.horizon else None
    material = rows.load(today, place.folder, data=data, horizon_s=horizon, now=place.clock())
    state = place.store.model(name)
    if data is None and state.data != material.manifest.fingerprint:
        place.store.append(
            verb="data",
            model=name,
            body={
                "fingerprint": material.manifest.fingerprint,
                "rows": material.manifest.rows,
                "source": material.manifest.source,
                "unlabelled": material.unlabelled,
                "immature": material.immature,
            },
        )
        state = place.store.model(name)
    return material, today, state


def declare_gates(place: Place, name: str) -> ModelState:
    """Write the gates' configuration into the log if it is not the one seen last; done before a version is made, so
    that what it must show is on record before anybody knows what it shows.
    """
    state = place.store.model(name)
    now = place.settings.gates_hash(name)
    if state.config != now:
        place.store.append(verb="config", model=name, body={"hash": now, "gates": place.settings.gates_of(name)})
        state = place.store.model(name)
    return state


def wear(place: Place, name: str) -> dict[str, int]:
    """How often the held-out fifth of a model's units has been looked at: its judgements, and versions judged.

    The same fifth judges every version, so that they can be compared; but the best of many versions looks better on it
    than it is, and that grows with the number.
    """
    judged = place.store.events(model=name, verbs=("judge",))
    return {"judgements": len(judged), "versions": len({e.version for e in judged})}


def _declared_before(place: Place, name: str, number: int) -> dict[str, Any] | None:
    """The gates that were on record when a version was made; None where none were (its model's first, old logs)."""
    log = place.store.events(model=name, verbs=("config", "register"))
    made = next((e.seq for e in log if e.verb == "register" and e.version == number), 0)
    said = [e.body.get("gates") for e in log if e.verb == "config" and e.seq < made]
    return said[-1] if said else None


def judge(place: Place, name: str, number: int, *, waived: dict[str, str] | None = None) -> Judgement:
    """Judge a version's gates against the live version on the newest data, and keep the verdicts."""
    version = place.store.version(name, number)
    challenger = open_bundle(place.blobs, version.digest)
    material, _, state = newest(place, name, challenger.recipe)
    gates: GateSettings = place.settings.gates
    state = declare_gates(place, name)
    champion = None
    if state.live is not None and state.live != number:
        champion = open_version(place, name, state.live)
    judgement = Judgement(
        model=name,
        version=number,
        digest=version.digest,
        against=state.live,
        gates=judge_gates(
            challenger,
            champion,
            material,
            gates,
            model=place.settings.models.get(name),
            declared=_declared_before(place, name, number),
            now=place.settings.gates_of(name),
        ),
        config=place.settings.gates_hash(name),
        data=material.manifest.fingerprint,
        at=stamp(place.clock()),
        waived=waived or {},
    )
    place.store.record_judgement(judgement)
    return judgement


def fresh(place: Place, judgement: Judgement, state: ModelState, newest_data: str) -> bool:
    """Whether a judgement still speaks of the world as it is; the store asks the same again when it moves."""
    gates = place.settings.gates
    why = stale(
        state,
        judgement,
        digest=place.store.version(judgement.model, judgement.version).digest,
        now=place.clock(),
        max_age_s=duration(gates.max_age),
    )
    return (
        why is None and judgement.config == place.settings.gates_hash(judgement.model) and judgement.data == newest_data
    )


def promote(
    place: Place, name: str, number: int, *, to: str, dry_run: bool = False, fence: Fence | None = None
) -> tuple[Judgement, Event | None]:
    """Move a pointer to a version whose gates passed, judged freshly if they are not fresh.

    Raises:
        Refused: ``check.gate`` with the verdicts; ``check.doctor`` if the log is not sound; ``check.altered`` or
            ``check.opens`` if the bundle is not; ``check.moved`` if the world changed meanwhile. Nothing moved then.
    """
    store = place.store
    unsound = [c for c in store.check() if not c["passed"]]
    if unsound:
        raise Refused(
            "check.doctor",
            f"{name}@{number} may not go {to}: the workspace's log is not sound",
            found="; ".join(f"{c['name']}: {c['what']}" for c in unsound),
            do="ambidex doctor",
            data={"model": name, "version": number, "was": getattr(store.model(name), to), "event": None},
        )
    opened = open_version(place, name, number)
    material, _, _ = newest(place, name, opened.recipe)
    judgement = store.judgement(name, number)
    if judgement is None or not fresh(place, judgement, store.model(name), material.manifest.fingerprint):
        judgement = judge(place, name, number)
    state = store.model(name)
    if not judgement.passed:
        live = f"{name}@{state.live} stays live" if state.live is not None else "nothing is live"
        failed = [g for g in judgement.gates if g.outcome != "supported" and g.name not in judgement.waived]
        raise Refused(
            "check.gate",
            f"{name}@{number} may not go {to}: {', '.join(f'{g.name} is {g.outcome}' for g in failed)}",
            verdicts=judgement.gates,
            data={
                "model": name, "version": number, "was": getattr(state, to), "event": None,
                "gates": [g.to_json() for g in judgement.gates],
            },
            where=f"gates of {name}@{number}",
            found="; ".join(f"{g.name}: {g.because}" for g in failed) + f"; {live}",
            do=f"ambidex gate {name}@{number}",
        )  # fmt: skip
    if dry_run:
        return judgement, None
    event = store.move(
        model=name,
        to=to,
        version=number,
        expected_revision=state.revision,
        verb="promote",
        judgement=judgement,
        max_age_s=duration(place.settings.gates.max_age),
        because=_because(judgement),
        fence=fence,
    )
    return judgement, event


def _because(judgement: Judgement) -> str:
    supported = sum(g.outcome == "supported" for g in judgement.gates)
    waived = [f"{name} waived ({why})" for name, why in judgement.waived.items()]
    return "; ".join([f"{supported} of {len(judgement.gates)} gates supported", *waived])


def rollback(place: Place, name: str, *, to: int | None, dry_run: bool = False) -> tuple[int, int, Event | None]:
    """Go back to a version that passed before, verified by its golden rows, and pause retraining.

    Returns:
        (version that is live now, version that was, the event).

    Raises:
        Refused: ``check.no-previous`` if no other version has passed.
    """
    state = place.store.model(name)
    earlier = [v for v in state.passed if v != state.live]
    target = to if to is not None else state.previous
    if target is not None:
        place.store.version(name, target)
    if state.live is None or target is None or target not in earlier:
        known = ", ".join(f"@{v}" for v in earlier) or "none"
        raise Refused(
            "check.no-previous",
            f"{name} cannot go back{f' to @{to}' if to is not None else ''}: "
            + ("nothing is live" if state.live is None else "no such version has been live with passed gates"),
            found=f"versions that passed before: {known}",
            do=f"ambidex models log {name}",
            data={"model": name, "version": state.live, "was": state.live, "event": None},
        )
    open_version(place, name, target)
    if dry_run:
        return target, state.live, None
    event = place.store.move(
        model=name,
        to="live",
        version=target,
        expected_revision=state.revision,
        verb="rollback",
        judgement=None,
        max_age_s=0.0,
        because=f"back from @{state.live}",
        pause=f"rolled back from @{state.live}",
    )
    return target, state.live, event
