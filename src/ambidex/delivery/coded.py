"""Versions whose model is code and state: fitted elsewhere and taken over, or trained anew by their own train.py."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ambidex.bundle.code import FORMAT
from ambidex.bundle.open import OpenBundle, load_scorer, open_bundle
from ambidex.bundle.refit import refit
from ambidex.bundle.seal import register, seal
from ambidex.data.table import Table
from ambidex.delivery.material import Material, load
from ambidex.errors import DataError
from ambidex.ports import Place, Scorer
from ambidex.records import Recipe, Schema, VersionRecord, canonical, check_name, digest
from ambidex.settings import ModelSettings, add_model, duration

__all__ = ["Adopted", "adopt", "again", "is_code", "recipe_of"]


@dataclass(frozen=True)
class Adopted:
    """A model that was taken over as a version.

    Attributes:
        version: Its record.
        opened: The bundle, verified and tried.
        material: The rows that it was measured on.
        evaluation: Figures on the held-out rows; ``fitted`` says whether the model may have seen them.
        written: Whether ambidex.toml got a new ``[models.NAME]``.
    """

    version: VersionRecord
    opened: OpenBundle
    material: Material
    evaluation: Mapping[str, Any]
    written: bool


def is_code(files: Mapping[str, bytes]) -> bool:
    """Whether a bundle's files hold code."""
    return bool(json.loads(files["model.json"]).get("format") == FORMAT)


def recipe_of(
    files: Mapping[str, bytes],
    *,
    data: str,
    fitted: str,
    positive: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Recipe:
    """The recipe of a bundle of code.

    Args:
        files: What ``code_files`` gave.
        data: Source of labelled rows, as the workspace names it.
        fitted: ``here`` if the state was fitted on training rows only, ``elsewhere`` if nobody knows on which rows.
        positive: Label that counts as yes.
        options: What else the recipe is to remember (the notebook's name).
    """
    schema = Schema.from_json(json.loads(files["schema.json"]))
    code = {path: digest(part) for path, part in sorted(files.items()) if path.startswith("code/")}
    return Recipe(
        data=data,
        target=schema.target,
        task=schema.task,
        columns=schema.names,
        positive=positive if positive is not None else schema.classes[1] if schema.task == "binary" else None,
        key=schema.key,
        time=schema.time,
        entity=schema.entity,
        estimator="code",
        options={
            **(options or {}), "code": digest(canonical(code))[:16], "fitted": fitted,
            **({"classes": list(schema.classes)} if schema.task == "multiclass" else {}),
        },
    )  # fmt: skip


def again(code: Mapping[str, bytes], rows: Table, recipe: Recipe, *, anew: bool) -> tuple[dict[str, bytes], Scorer]:
    """The files of a bundle's code and state, trained anew on these rows where asked, with the golden rows' outputs.

    Raises:
        DataError: ``data.no-recipe`` if the bundle brings no train.py.
        Refused: ``check.opens`` if it does not train, or not load.
    """
    kept = {p: d for p, d in code.items() if p.startswith(("code/", "state/")) or p in _OWN}
    if not anew:
        return kept, load_scorer(json.loads(kept["model.json"]), kept)
    if "notebook" not in recipe.options:  # its cells name columns that the model does not take, if only to drop them
        used = dict.fromkeys((*recipe.columns, recipe.target, recipe.key, recipe.time, recipe.entity))
        rows = rows.select([name for name in used if name in rows.columns])
    made = refit(kept, rows)
    scorer = load_scorer(json.loads(made["model.json"]), made)
    golden = json.loads(made["golden.json"])
    golden["expected"] = [scorer.score(row) for row in golden["rows"]]
    return {**made, "golden.json": canonical(golden)}, scorer


def adopt(
    place: Place,
    name: str,
    files: Mapping[str, bytes],
    *,
    table: str | Path | Table,
    fitted: str = "elsewhere",
    positive: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Adopted:
    """Take a bundle of code over as a version: measure it on the workspace's rows, seal, try, register.

    Args:
        place: The workspace.
        name: Model's name.
        files: What ``code_files`` gave.
        table: Labelled rows, as the workspace names them (a path relative to it).
        fitted: ``here`` or ``elsewhere``; see ``recipe_of``.
        positive: Label that counts as yes; the schema's second class by default.
        options: What else the recipe is to remember.

    Raises:
        DataError: What reading raises; ``data.config`` if ambidex.toml says something else of this name.
        Refused: ``check.opens`` if the model does not open, or gives no number.
    """
    from ambidex.delivery.train import run_key, train

    check_name(name)
    source = table.origin.get("source", table.source) if isinstance(table, Table) else str(table)
    if not source:
        raise DataError("data.no-file", "a model is judged on rows that can be read again", do="--table data/TABLE.csv")
    recipe = recipe_of(files, data=_named(source, place.folder), fitted=fitted, positive=positive, options=options)
    settings = ModelSettings(
        data=recipe.data, target=recipe.target, positive=recipe.positive, key=recipe.key, time=recipe.time,
        entity=recipe.entity,
    )  # fmt: skip
    there = place.settings.models.get(name)
    if there is not None and there.target != recipe.target:
        raise DataError(
            "data.config", f"[models.{name}] says target {there.target}, this model is about {recipe.target}",
            where="ambidex.toml", do=f"choose another --name, or mend [models.{name}]",
        )  # fmt: skip
    horizon = duration(there.horizon) if there is not None and there.horizon else None
    material = load(recipe, place.folder, horizon_s=horizon, now=place.clock())
    trained = train(material, recipe, code=files)
    bundle = seal(place.blobs, trained.files)
    opened = open_bundle(place.blobs, bundle)
    with place.alone("package"):
        written = add_model(place.folder, name, settings)
        version = register(
            place.store, place.blobs, trained.files, model=name, data=material.manifest.fingerprint,
            code=run_key(material.manifest, recipe).split(":")[1], key=run_key(material.manifest, recipe),
            summary=trained.summary,
        )  # fmt: skip
    return Adopted(version, opened, material, trained.evaluation, written)


_OWN = ("model.json", "schema.json", "golden.json")


def _named(source: str, folder: Path) -> str:
    """A path as the workspace names it: relative where it lies inside."""
    if source.lstrip().upper().startswith("SELECT") or "://" in source:
        return source
    path = Path(source)
    inside = path if path.is_absolute() else (folder / path if (folder / path).exists() else path.absolute())
    resolved = inside.resolve()
    return str(resolved.relative_to(folder.resolve())) if resolved.is_relative_to(folder.resolve()) else str(resolved)
