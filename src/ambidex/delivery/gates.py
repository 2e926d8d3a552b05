"""Gates: the claims that a version must support before a pointer moves to it.

Every gate is a claim decided by ``stats.decide``: losses on the same held-out rows, paired with the live
version's, and counts of things that must not happen at all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ambidex.bundle.columns import columns_of, missing_columns
from ambidex.bundle.open import OpenBundle, replay
from ambidex.data.table import Table
from ambidex.delivery.material import Material, outcome
from ambidex.delivery.train import losses
from ambidex.delivery.unlabelled import misfit, steady
from ambidex.errors import DataError
from ambidex.records import GateResult, Schema
from ambidex.settings import GateSettings
from ambidex.stats.claim import Claim, Verdict, decide
from ambidex.stats.compare import paired_mean
from ambidex.stats.estimate import Estimate, exact, finite

__all__ = ["GATES", "judge", "loss_gate", "paired_claim", "score_rows"]

GATES = ("golden-rows", "schema", "finite", "steady", "better-than-constant", "not-worse-than-live")
"""Every gate there is; the last only where another version is live. Segments have no label: their loss is how unlike
its segment a row is, the constant is one segment for all, and they must come again (steady)."""


def judge(
    challenger: OpenBundle, champion: OpenBundle | None, material: Material, settings: GateSettings
) -> tuple[GateResult, ...]:
    """All gates of one version.

    Args:
        challenger: The version to judge.
        champion: The live version, scored again on the same rows; None where nothing is live.
        material: The newest data version; its held-out fifth is what they are judged on.
        settings: Margin and alpha, written down before the version existed.
    """
    rows = material.table.take(material.held_out)
    recipe, spread = challenger.recipe, challenger.evaluation["spread"]
    y = outcome(rows, recipe)
    differs, _ = replay(challenger.scorer, challenger.golden)
    gates = [_counted("golden-rows", "golden rows that come out otherwise", differs, len(challenger.golden["rows"]))]
    try:
        scores = score_rows(challenger, rows)
    except DataError as error:
        gates.append(_counted("schema", f"what does not fit the newest data: {error.message}", 1, rows.rows))
        return tuple(gates)
    gates.append(_counted("schema", *_schema_breaks(challenger.schema, champion, material)))
    broken = int((~np.isfinite(scores)).sum())
    gates.append(_counted("finite", "outputs that are no finite number", broken, rows.rows))
    if broken:
        return tuple(gates)
    same = champion is not None and champion.digest == challenger.digest
    if recipe.task == "segments":
        own, constant = misfit(challenger.scorer, rows)
        gates.append(_result("steady", steady(challenger.evaluation, alpha=settings.alpha)))
    else:
        own = losses(y, scores, recipe.task, spread=spread)
        constant = losses(y, np.full(len(y), challenger.evaluation["constant"]), recipe.task, spread=spread)
    against_constant = f"loss against a fitted constant{_may_have_seen(challenger)}"
    gates.append(loss_gate("better-than-constant", against_constant, own - constant, 0.0, settings))
    if same:
        claim = paired_claim("loss against the live version, which is the same bundle", settings.margin, settings)
        gates.append(_result("not-worse-than-live", decide(claim, exact("difference", 0, n=rows.rows))))
    elif champion is not None:
        try:
            if recipe.task == "segments":
                theirs, _ = misfit(champion.scorer, rows)
            else:
                theirs = losses(y, score_rows(champion, rows), recipe.task, spread=spread)
        except DataError:
            # The live version cannot score the newest rows at all; being better than a constant is the claim left.
            return tuple(gates)
        gates.append(
            loss_gate(
                "not-worse-than-live",
                f"loss against the live version{_may_have_seen(challenger, champion)}",
                own - theirs,
                settings.margin,
                settings,
            )
        )
    return tuple(gates)


def _may_have_seen(*bundles: OpenBundle) -> str:
    """A word on versions that were fitted elsewhere: they may know the rows that they are judged on."""
    words = ("this version was", "the live version was")
    seen = [w for w, b in zip(words, bundles, strict=False) if b.evaluation.get("fitted") == "elsewhere"]
    return f" ({' and '.join(seen)} fitted elsewhere, perhaps on these rows)" if seen else ""


def score_rows(bundle: OpenBundle, rows: Table) -> NDArray[np.float64]:
    """A version's outputs on a table's rows. Shape (rows,)."""
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
    return _result(name, decide(claim, paired_mean(differences, name=measure)))


def _counted(name: str, measure: str, count: int, n: int) -> GateResult:
    claim = Claim(measure=measure, relation="below", margin=1)
    return _result(name, decide(claim, exact(measure, count, n=n)))


def _result(name: str, verdict: Verdict) -> GateResult:
    e: Estimate = verdict.estimate
    return GateResult(
        name=name,
        outcome=verdict.outcome,
        because=f"{verdict.claim.measure}: {verdict.because}",
        value=finite(e.value),
        low=finite(e.low),
        high=finite(e.high),
        limit=verdict.claim.margin,
    )


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
