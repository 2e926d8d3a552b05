"""Gates: the claims that a version must support before a pointer moves to it.

Every gate is a claim decided by ``stats.decide``: losses on the same held-out rows, paired with the live
version's, and counts of things that must not happen at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambidex.bundle.columns import columns_of, missing_columns
from ambidex.bundle.open import OpenBundle, replay
from ambidex.data.table import Table
from ambidex.delivery import gate_checks as further
from ambidex.delivery.gate_checks import counted, result
from ambidex.delivery.material import Material, outcome
from ambidex.delivery.train import losses, repeated
from ambidex.delivery.unlabelled import misfit, steady
from ambidex.errors import DataError
from ambidex.records import GateResult, Schema
from ambidex.settings import GateSettings, ModelSettings
from ambidex.stats.claim import Claim, decide
from ambidex.stats.compare import paired_mean
from ambidex.stats.estimate import exact

__all__ = ["GATES", "judge", "loss_gate", "paired_claim", "score_rows"]

GATES = (
    "declared", "golden-rows", "schema", "data", "parity", "finite", "steady", "better-than-constant",
    "not-worse-than-live", "slices", "calibration", "changed", "latency", "size",
)  # fmt: skip
"""Every gate there is. ``not-worse-than-live`` and ``changed`` only where another version is live; the last five only
where ambidex.toml asks for them. Segments have no label: their loss is how unlike its segment a row is, the constant is
one segment for all, and they must come again (steady)."""


FEWEST_NEW = 50
"""Fewest rows that a version fitted elsewhere cannot know, for a comparison on them alone."""


def judge(
    challenger: OpenBundle,
    champion: OpenBundle | None,
    material: Material,
    settings: GateSettings,
    *,
    model: ModelSettings | None = None,
    declared: Mapping[str, Any] | None = None,
    now: Mapping[str, Any] | None = None,
) -> tuple[GateResult, ...]:
    """All gates of one version.

    Args:
        challenger: The version to judge.
        champion: The live version, scored again on the same rows; None where nothing is live.
        material: The newest data version; its held-out fifth is what they are judged on.
        settings: Margins and alpha, written down before the version existed.
        model: Slices and limits of ``[models.NAME]``.
        declared: The gates as the log knows them from before the version was made; None if it knows none.
        now: The gates as ambidex.toml says them today.
    """
    rows = material.table.take(material.held_out)
    recipe, spread = challenger.recipe, challenger.evaluation["spread"]
    y = outcome(rows, recipe)
    differs, _ = replay(challenger.scorer, challenger.golden)
    model = model or ModelSettings(data="", target=recipe.target)
    gates = [further.declared_gate(declared, now or {})]
    gates.append(counted("golden-rows", "golden rows that come out otherwise", differs, len(challenger.golden["rows"])))
    try:
        scores = score_rows(challenger, rows)
    except DataError as error:
        gates.append(counted("schema", f"what does not fit the newest data: {error.message}", 1, rows.rows))
        return tuple(gates)
    gates.append(counted("schema", *_schema_breaks(challenger.schema, champion, material)))
    gates.append(further.data_gate(material.table, challenger.schema, challenger.reference, y))
    gates.append(further.parity_gate(challenger, rows))
    broken = int((~np.isfinite(scores).reshape(rows.rows, -1).all(axis=1)).sum())
    gates.append(counted("finite", "outputs that are no finite number", broken, rows.rows))
    if broken:
        return tuple(gates)
    if model.limits.latency_ms is not None:
        gates.append(further.latency_gate(challenger, limit=model.limits.latency_ms, alpha=settings.alpha))
    if model.limits.size_mb is not None:
        gates.append(further.size_gate(challenger, limit=model.limits.size_mb))
    if settings.calibration is not None and recipe.task in ("binary", "regression") and recipe.estimator != "uplift":
        scale = 1.0 if recipe.task == "binary" else max(float(np.sqrt(spread)), np.finfo(float).tiny)
        gates.append(further.calibration_gate(y, scores, limit=settings.calibration, scale=scale, alpha=settings.alpha))
    same = champion is not None and champion.digest == challenger.digest
    if recipe.task == "segments":
        own, constant = misfit(challenger.scorer, rows)
        gates.append(result("steady", steady(challenger.evaluation, alpha=settings.alpha)))
    else:
        own = losses(y, scores, recipe.task, spread=spread)
        constant = losses(y, repeated(challenger.evaluation["constant"], len(y)), recipe.task, spread=spread)
    against_constant = f"loss against a fitted constant{_may_have_seen(challenger)}"
    gates.append(loss_gate("better-than-constant", against_constant, own - constant, 0.0, settings))
    if same:
        claim = paired_claim("loss against the live version, which is the same bundle", settings.margin, settings)
        gates.append(result("not-worse-than-live", decide(claim, exact("difference", 0, n=rows.rows))))
    theirs: NDArray[np.float64] | None = None
    before: NDArray[np.float64] | None = None
    if champion is not None and not same:
        try:
            before = score_rows(champion, rows)
            theirs = misfit(champion.scorer, rows)[0] if recipe.task == "segments" else None
        except DataError:
            # The live version cannot score the newest rows at all; being better than a constant is the claim left.
            before = None
        else:
            if theirs is None:
                theirs = losses(y, before, recipe.task, spread=spread)
            new, words = _unknown_to(material, challenger, champion)
            measure = f"loss against the live version{words}"
            gates.append(loss_gate("not-worse-than-live", measure, (own - theirs)[new], settings.margin, settings))
    if model.slices and not same:
        gates.append(
            further.slices_gate(
                rows, model.slices, own - (constant if theirs is None else theirs), margin=settings.slice_margin,
                alpha=settings.alpha, against="a constant" if theirs is None else "the live version",
            )
        )  # fmt: skip
    if settings.max_changed is not None and before is not None:
        moved, words = further.changed(scores, before, challenger.schema, challenger.evaluation.get("base_rate"))
        gates.append(further.changed_gate(moved, words, limit=settings.max_changed, alpha=settings.alpha))
    return tuple(gates)


def _unknown_to(material: Material, *bundles: OpenBundle) -> tuple[NDArray[np.bool_], str]:
    """Held-out rows on which two versions are compared fairly, and the words for it. Shape (held-out rows,).

    A version that was fitted elsewhere may know the rows of the data version it came with: those are left out, as long
    as enough newer ones are there.
    """
    hashes = material.hashes[material.held_out]
    new = np.ones(len(hashes), dtype=bool)
    for bundle in bundles:
        if bundle.evaluation.get("fitted") == "elsewhere":
            new &= ~np.isin(hashes, np.frombuffer(bundle.files["rows.u64"], dtype=np.uint64))
    if new.all():
        return new, ""
    if new.sum() < FEWEST_NEW:
        return np.ones(len(hashes), dtype=bool), _may_have_seen(*bundles)
    return new, f" on the {int(new.sum()):,} rows that neither can know"


def _may_have_seen(*bundles: OpenBundle) -> str:
    """A word on versions that were fitted elsewhere: they may know the rows that they are judged on."""
    words = ("this version was", "the live version was")
    seen = [w for w, b in zip(words, bundles, strict=False) if b.evaluation.get("fitted") == "elsewhere"]
    return f" ({' and '.join(seen)} fitted elsewhere, perhaps on these rows)" if seen else ""


def score_rows(bundle: OpenBundle, rows: Table) -> NDArray[np.float64]:
    """A version's outputs on a table's rows. Shape (rows,), of several classes (rows, classes)."""
    columns, _ = columns_of(rows, bundle.schema)
    return np.asarray(bundle.scorer.score_columns(columns, rows.rows), dtype=np.float64)


def paired_claim(measure: str, margin: float, settings: GateSettings) -> Claim:
    """ "The mean paired loss is below +margin", stated before the version is scored."""
    return Claim(
        measure=measure, relation="below", margin=margin, alpha=settings.alpha, target=0.0 if margin > 0 else None
    )


def loss_gate(
    name: str, measure: str, differences: NDArray[np.float64], margin: float, settings: GateSettings
) -> GateResult:
    """The gate on paired losses.

    Args:
        name: Gate's name.
        measure: What is compared, in words.
        differences: Candidate's loss minus the other's, row by row, shape (rows,).
        margin: How much worse is still good enough; 0 asks for better.
        settings: Alpha.
    """
    claim = paired_claim(measure, margin, settings)
    return result(name, decide(claim, paired_mean(differences, name=measure)))


def _schema_breaks(schema: Schema, champion: OpenBundle | None, material: Material) -> tuple[str, int, int]:
    """What callers of the live version send and this one would refuse, and the other way round."""
    lacking = missing_columns(material.table, schema)
    if champion is None:
        return "columns that the newest data lacks", len(lacking), len(schema.columns)
    live = {c.name: c for c in champion.schema.columns}
    mine = {c.name: c for c in schema.columns}
    breaks = [name for name in mine if name not in live]
    breaks += [name for name in live if name not in mine]
    if schema.classes != champion.schema.classes:
        breaks.append(f"{schema.target} as {' or '.join(schema.classes)}")
    for name in mine.keys() & live.keys():
        narrower = live[name].nullable and not mine[name].nullable
        retyped = (mine[name].type == "category") != (live[name].type == "category")
        whole_only = mine[name].type == "integer" and live[name].type == "float"
        if narrower or retyped or whole_only:
            breaks.append(name)
    named = f" ({', '.join(sorted(breaks)[:4])})" if breaks else ""
    return f"columns where callers of the live version would be refused{named}", len(breaks), len(schema.columns)
