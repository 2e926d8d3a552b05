"""The rows that a recipe trains on and is judged on, as one data version."""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ambidex.data import fingerprint
from ambidex.data.customers import customer_table
from ambidex.data.orders import customers_at
from ambidex.data.read import read
from ambidex.data.sql import literal
from ambidex.data.table import Table
from ambidex.errors import DataError, did_you_mean
from ambidex.records import DataManifest, Recipe

__all__ = ["Material", "class_labels", "compared", "load", "outcome", "scorable", "treated"]


@dataclass(frozen=True)
class Material:
    """One data version, split.

    Attributes:
        table: Rows with a known, matured label.
        manifest: Names the data version.
        held_out: True for the fifth of the units that no version ever trains on, shape (rows,).
        hashes: Row hashes, shape (rows,).
        unlabelled: Rows left out because their label is missing.
        immature: Rows left out because their label is not final yet.
    """

    table: Table
    manifest: DataManifest
    held_out: NDArray[np.bool_]
    hashes: NDArray[np.uint64]
    unlabelled: int = 0
    immature: int = 0


def load(
    recipe: Recipe,
    folder: Path,
    *,
    data: str | Path | Table | None = None,
    horizon_s: float | None = None,
    now: datetime | None = None,
    parent: str | None = None,
) -> Material:
    """Read, prepare, drop what has no final label, split.

    Args:
        recipe: Which rows and columns.
        folder: The workspace; a relative source lies in it.
        data: Another source than the recipe's.
        horizon_s: Seconds after the event time at which a label is final; None: on arrival.
        now: Needed with ``horizon_s``.
        parent: Fingerprint of the data version before.

    Raises:
        DataError: What reading raises; ``data.schema`` if a column of the recipe is missing;
            ``data.too-few-rows`` if nothing with a label is left.
    """
    source = read(data if data is not None else resolve(recipe.data, folder))
    table = prepared(source, recipe, now=now)
    unlabelled = recipe.task == "segments"
    for name in (*(() if unlabelled else (recipe.target,)), *recipe.columns):
        if name not in table.columns:
            raise DataError(
                "data.schema",
                f"{table.name} has no column {name}, which the recipe needs{did_you_mean(name, table.columns)}",
                where=table.name,
                found=", ".join(table.columns[:8]) + (", …" if len(table.columns) > 8 else ""),
                do=f"rename the column back to {name}, or package the model anew",
            )
    labelled = recipe.task in ("binary", "multiclass") or recipe.positive is not None
    known = np.ones(table.rows, dtype=bool)
    if not unlabelled:
        labels = table.text(recipe.target) if labelled else table.number(recipe.target)
        known = np.fromiter((v is not None and v == v and v != "" for v in labels), dtype=bool, count=table.rows)
    if recipe.estimator == "uplift":
        known &= compared(table, recipe)
    mature = _mature(table, recipe, horizon_s, now)
    usable = table.take(known & mature)
    if usable.rows < 2:
        raise DataError(
            "data.too-few-rows",
            f"{usable.rows} rows of {table.name} have a final label in {recipe.target}",
            where=table.name,
            found=f"{int((~known).sum())} without a label, {int((known & ~mature).sum())} younger than the horizon",
        )
    # Only what the recipe uses names the rows: a column added or moved in the file makes no row new.
    treatment = recipe.options.get("treatment")
    used = dict.fromkeys((*recipe.columns, recipe.target, recipe.key, recipe.time, recipe.entity, treatment))
    named = usable.select([name for name in used if name in usable.columns])
    hashes = fingerprint.row_hashes(named)
    manifest = fingerprint.manifest(named, base=folder, parent=parent)
    if data is None and recipe.data.lstrip().upper().startswith("SELECT"):
        manifest = replace(manifest, source=recipe.data)  # as ambidex.toml names it, wherever the folder lies
    if recipe.prepare is not None:
        manifest = replace(manifest, files=fingerprint.manifest(source, base=folder).files)
    return Material(
        table=usable,
        manifest=manifest,
        held_out=fingerprint.holdout(named, recipe.key if recipe.key in usable.columns else None),
        hashes=hashes,
        unlabelled=int((~known).sum()),
        immature=int((known & ~mature).sum()),
    )


def prepared(source: Table, recipe: Recipe, *, now: datetime | None = None) -> Table:
    """The training table: the source itself, or what the recipe makes of it."""
    prepare = recipe.prepare
    if prepare is None:
        return source
    if prepare.kind == "customers":
        return customer_table(source, prepare, now=now or datetime.now(UTC), training=True)
    return customers_at(
        source,
        unit=prepare.unit,
        time=prepare.time,
        value=prepare.value,
        horizon_days=prepare.horizon_days,
        target=recipe.target,
    )


def scorable(source: Table, recipe: Recipe, *, now: datetime | None = None) -> Table:
    """The table that a version scores: rows as they are, or customers counted where an order log was given."""
    prepare = recipe.prepare
    if prepare is None or prepare.kind != "customers" or all(c in source.columns for c in recipe.columns):
        return source
    if not {prepare.unit, prepare.time} <= set(source.columns):
        return source
    return customer_table(source, prepare, now=now or datetime.now(UTC))


def resolve(source: str, folder: Path) -> str:
    """A relative source as a path from here; in a SELECT, each name in single quotes that lies in the workspace."""
    if source.lstrip().upper().startswith("SELECT"):

        def placed(match: re.Match[str]) -> str:
            inside = folder / match[1].replace("''", "'")
            there = inside.exists() or (glob.has_magic(match[1]) and any(glob.iglob(str(inside))))  # noqa: PTH207
            return literal(str(inside)) if there else match[0]

        return re.sub(r"'((?:[^']|'')+)'", placed, source)
    if "://" in source:
        return source
    return str(folder / source)


def class_labels(table: Table, recipe: Recipe) -> tuple[str, ...]:
    """The labels of a recipe of several classes, in the order of its probabilities: as it was sealed, else sorted."""
    said = recipe.options.get("classes")
    return tuple(said) if said else tuple(sorted({str(v) for v in table.text(recipe.target) if v is not None}))


def outcome(table: Table, recipe: Recipe) -> NDArray[np.float64]:
    """The label as a number: 1 for the positive label and 0 for any other, or the value. Shape (rows,).

    Of several classes: the label's place among ``class_labels``.

    Raises:
        DataError: ``data.no-label`` for a label that the recipe does not know; ``data.one-arm``.

    For an uplift model nobody has seen a unit both with and without the treatment. What stands in is the transformed
    outcome (y - ȳ)(t - p)/(p(1 - p)), p the treated share: among units that are alike its mean is the effect.
    Squared errors against it compare two uplift models fairly, though each alone is mostly noise.

    Source: Athey & Imbens (2016), PNAS 113, 7353-7360, section 2.3.
    """
    if recipe.task == "segments":
        return np.zeros(table.rows)  # no row says which segment it belongs to
    if recipe.task == "multiclass":
        known = class_labels(table, recipe)
        place = {label: float(i) for i, label in enumerate(known)}
        labels = [str(v) for v in table.text(recipe.target)]
        new = next((v for v in labels if v not in place), None)
        if new is not None:
            raise DataError(
                "data.no-label",
                f"{new[:60]!r} in {recipe.target} is no label that the model knows{did_you_mean(new, known)}",
                where=f"{table.name}, column {recipe.target}",
                found=f"the model knows {', '.join(known[:12])}",
                do="write the labels as before, or package the model anew",
            )
        return np.fromiter((place[v] for v in labels), dtype=np.float64, count=table.rows)
    if recipe.task == "regression" and recipe.positive is None:
        y = table.number(recipe.target)
    else:
        texts = table.text(recipe.target)
        y = np.fromiter((v == recipe.positive for v in texts), dtype=np.float64, count=table.rows)
    if recipe.estimator != "uplift":
        return y
    t = treated(table, recipe).astype(np.float64)
    p = float(t.mean()) if len(t) else 0.0
    if not 0 < p < 1:
        missing = recipe.options["control"] if p else recipe.options["arm"]
        raise DataError(
            "data.one-arm",
            f"no row of {table.name} is {missing}: what the treatment adds is seen only beside a holdout",
            where=f"{table.name}, column {recipe.options['treatment']}",
            do="bring rows of a campaign with a holdout drawn by lot",
        )
    changed: NDArray[np.float64] = (y - float(y.mean())) * (t - p) / (p * (1 - p))
    return changed


def treated(table: Table, recipe: Recipe) -> NDArray[np.bool_]:
    """Who got the treatment of an uplift recipe. Shape (rows,)."""
    who = table.text(table.require(recipe.options["treatment"]))
    return np.fromiter((v == recipe.options["arm"] for v in who), dtype=bool, count=table.rows)


def compared(table: Table, recipe: Recipe) -> NDArray[np.bool_]:
    """Rows of the two arms that an uplift recipe compares. Shape (rows,).

    Raises:
        NotFound: ``data.no-column`` if the table does not say who got it.
    """
    who, two = (
        table.text(table.require(recipe.options["treatment"])),
        (recipe.options["arm"], recipe.options["control"]),
    )
    return np.fromiter((v in two for v in who), dtype=bool, count=table.rows)


def _mature(table: Table, recipe: Recipe, horizon_s: float | None, now: datetime | None) -> NDArray[np.bool_]:
    if horizon_s is None or recipe.time is None:
        return np.ones(table.rows, dtype=bool)
    if now is None:
        raise ValueError("a horizon needs the time of now")
    latest = np.datetime64((now - timedelta(seconds=horizon_s)).replace(tzinfo=None))
    mature: NDArray[np.bool_] = table.times(recipe.time).values <= latest
    return mature
