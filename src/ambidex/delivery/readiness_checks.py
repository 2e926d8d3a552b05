"""The checks of the ML test score that a machine runs: each looks at one subject and says what it saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambidex.bundle.columns import columns_of
from ambidex.bundle.open import OpenBundle
from ambidex.delivery.contract import TestCheck
from ambidex.delivery.gate_checks import latency, slices_gate
from ambidex.delivery.logged import Logged
from ambidex.delivery.material import Material, outcome
from ambidex.delivery.train import losses, repeated
from ambidex.records import Event, Judgement, VersionRecord
from ambidex.settings import GateSettings, ModelSettings, duration
from ambidex.stats.claim import Claim, decide, decide_all
from ambidex.stats.compare import Level, difference, paired_mean

__all__ = ["Subject"]

Outcome = tuple[bool, str]
PERMUTED_ROWS = 2_000
REPLAYED = 500
TOLERANCE = 0.02
"""By so much the loss on the newest rows may lie above the sealed one, on the scale of the loss."""
AGREE = 0.03
"""Within so much the losses of live and of held-out rows agree: both are samples, a few hundred rows must suffice."""


@dataclass(frozen=True)
class Subject:
    """What the checks look at.

    Attributes:
        bundle: The version, opened.
        version: Its record.
        material: The newest data, split.
        contract: Its contract tests, by name.
        settings: ``[models.NAME]``.
        gates: ``[gates]``.
        events: The model's events, and those of people's answers.
        judgement: Its newest judgement.
        earlier: The oldest other version that opens, and its record; None if there is none.
        back: Number of the version that a rollback would reach, opened and sound; None if there is none.
        logged: What it has answered, and labels that came.
        drift: The newest data held against its reference, as ``drift`` tells it.
        environment: Versions of the libraries that run here.
        now: Time of the test.
    """

    bundle: OpenBundle
    version: VersionRecord
    material: Material
    contract: Mapping[str, TestCheck]
    settings: ModelSettings
    gates: GateSettings
    events: Sequence[Event]
    judgement: Judgement | None
    now: datetime
    earlier: tuple[VersionRecord, OpenBundle] | None = None
    back: int | None = None
    logged: Logged = field(default_factory=Logged)
    drift: Mapping[str, Any] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


def schema(s: Subject) -> Outcome:
    return _all(s, "schema fits the data", "reference of every input")


def useful_inputs(s: Subject) -> Outcome:
    """Each input's values shuffled among the held-out rows must cost something; BH over the inputs."""
    task = s.bundle.recipe.task
    if _unlabelled(s):
        return True, "not applicable: no row's label says what its inputs were worth"
    rows = s.material.table.take(np.flatnonzero(s.material.held_out)[:PERMUTED_ROWS])
    columns, _ = columns_of(rows, s.bundle.schema.relaxed())
    y, spread = outcome(rows, s.bundle.recipe), s.bundle.evaluation["spread"]
    whole = losses(y, s.bundle.scorer.score_columns(columns, rows.rows), task, spread=spread)
    rng = np.random.default_rng(s.bundle.recipe.seed)
    names = list(s.bundle.schema.names)
    claims, estimates = [], []
    for name in names:
        order = rng.permutation(rows.rows)
        worse = s.bundle.scorer.score_columns({**columns, name: columns[name][order]}, rows.rows)
        words = f"loss with {name} shuffled"
        claims.append(Claim(measure=words, relation="above", alpha=s.gates.alpha))
        estimates.append(paired_mean(losses(y, worse, task, spread=spread) - whole, name=words))
    verdicts = decide_all(claims, estimates, family="bh")
    idle = [n for n, v in zip(names, verdicts, strict=True) if v.outcome != "supported"]
    if not idle:
        return True, f"each of {len(names)} inputs, shuffled, makes the loss larger on {rows.rows:,} held-out rows"
    shown = ", ".join(idle[:6]) + (", …" if len(idle) > 6 else "")
    return False, f"{len(idle)} of {len(names)} inputs are not shown to help: {shown}"


def rules(s: Subject) -> Outcome:
    inside = [c for c in s.settings.never if c in s.bundle.schema.names]
    if inside:
        return False, f"ambidex.toml says never {', '.join(inside)}, and the model takes it"
    names = [n for n in ("target is no input", "treatment is no input", "key is no input") if n in s.contract]
    passed, what = _all(s, *names)
    if not s.settings.never:
        return False, f"{what}; no column is declared that a model may never take"
    return passed, f"{what}; never taken: {', '.join(s.settings.never)}"


def inputs_tested(s: Subject) -> Outcome:
    return _all(s, "one by one and all at once agree", "golden rows")


def offline_and_online(s: Subject) -> Outcome:
    """The loss on live rows whose label came lies within the tolerance of the sealed one."""
    if _unlabelled(s):
        return True, "not applicable: no label ever says what a live row should have come out as"
    sealed = s.bundle.reference.get("loss") or {}
    if not sealed.get("n"):
        return False, "the version has no sealed loss to compare with"
    found = _live_losses(s, sealed)
    if len(found) < 2:
        return False, "no live prediction of this version has its label yet"
    claim = Claim(
        measure="live loss less the sealed one", relation="outside", margin=AGREE, alpha=s.gates.alpha,
    )  # fmt: skip
    before = Level(float(sealed["mean"]), float(sealed["sd"]) / float(sealed["n"]) ** 0.5, int(sealed["n"]), "mean")
    live = Level(float(found.mean()), float(found.std(ddof=1)) / len(found) ** 0.5, len(found), "mean")
    verdict = decide(claim, difference(live, before, name="live loss less the sealed one", alpha=s.gates.alpha))
    return verdict.outcome == "refuted", f"{verdict.because}, on {len(found):,} labelled live rows, ±{AGREE:g}"


def tuned(s: Subject) -> Outcome:
    search = s.bundle.lineage.get("search") or {}
    tried = int(search.get("tried", 0))
    if tried < 2:
        return False, "no search is in its lineage: one recipe was tried"
    return True, f"{tried} recipes of {len(search.get('families', ()))} families were tried on training rows"


def staleness_known(s: Subject) -> Outcome:
    """An older version, trained on other rows, scored on the newest held-out rows."""
    if s.earlier is None or s.earlier[0].data == s.version.data:
        return False, "no earlier version was trained on older rows, so nobody knows what age costs"
    record, older = s.earlier
    rows = s.material.table.take(s.material.held_out)
    found = [_losses_on(bundle, s, rows) for bundle in (older, s.bundle)]
    e = paired_mean(found[0] - found[1], name="loss", alpha=s.gates.alpha)
    days = (datetime.fromisoformat(s.version.at) - datetime.fromisoformat(record.at)).total_seconds() / 86400
    more = f"{e.value:+.4f} ({e.low:+.4f} to {e.high:+.4f})".replace("-", "−")
    return True, f"{record.ref}, {days:.0f} days older, loses {more} more on the newest held-out rows"


def not_simpler(s: Subject) -> Outcome:
    passed, what = _all(s, "better than a constant")
    if not passed:
        return False, what
    for base in s.bundle.evaluation.get("baselines", ()):
        if base["name"] == "linear" and base["low"] is not None and base["low"] > 0:
            return False, f"straight lines are better: loss lower by {base['value']:.4f} (at least {base['low']:.4f})"
    return True, what


def slices(s: Subject) -> Outcome:
    if s.bundle.recipe.task == "segments":
        return True, "not applicable: segments are slices themselves"
    if not s.settings.slices:
        return False, "no slice is declared that matters"
    rows = s.material.table.take(s.material.held_out)
    task, spread = s.bundle.recipe.task, s.bundle.evaluation["spread"]
    constant = losses(outcome(rows, s.bundle.recipe), repeated(s.bundle.evaluation["constant"], rows.rows), task,
                      spread=spread)  # fmt: skip
    found = slices_gate(
        rows, s.settings.slices, _losses_on(s.bundle, s, rows) - constant, margin=s.gates.slice_margin,
        alpha=s.gates.alpha, against="a constant",
    )  # fmt: skip
    return found.outcome == "supported", found.because


def reproducible(s: Subject) -> Outcome:
    return _all(s, "trained again, the same model")


def unit_tested(s: Subject) -> Outcome:
    return _all(s, "golden rows", "opens in a child of its own", "missing, new and extreme values")


def integrated(s: Subject) -> Outcome:
    mine = [e for e in _of(s, "test") if e.body.get("against")]
    if not mine:
        return False, "never tested over HTTP on a running server"
    last = mine[-1]
    return bool(last.body.get("passed")), f"tested over HTTP on {last.at[:10]}, " + (
        "passed" if last.body.get("passed") else "not passed"
    )


def judged(s: Subject) -> Outcome:
    if s.judgement is None:
        return False, "its gates were never judged"
    failed = [g.name for g in s.judgement.gates if g.outcome != "supported"]
    waived = f"; waived: {', '.join(s.judgement.waived)}" if s.judgement.waived else ""
    shown = f"judged {s.judgement.at[:10]}: {len(s.judgement.gates)} gates, " + (
        "all supported" if not failed else f"not supported: {', '.join(failed)}"
    )
    return not failed, shown + waived


def explained(s: Subject) -> Outcome:
    explain = getattr(s.bundle.scorer, "contributions", None)
    if explain is None:
        return False, "the model has no part per input that adds up to its output"
    parts = explain(s.bundle.golden["rows"][0])
    return bool(
        parts
    ), f"{len(parts)} parts of one golden row, the largest of {max(parts, key=lambda n: abs(parts[n]))}"


def canaried(s: Subject) -> Outcome:
    ran = sorted({str(e.body.get("to")) for e in _of(s, "promote")} & {"shadow", "canary"})
    return bool(ran), f"ran as {' and '.join(ran)}" if ran else "never ran as shadow or canary"


def way_back(s: Subject) -> Outcome:
    if s.back is None:
        return False, "no earlier version has passed, so there is none to go back to"
    return True, f"@{s.back} has passed, opens, and gives its golden rows"


def dependencies(s: Subject) -> Outcome:
    sealed = s.bundle.lineage.get("environment")
    if not sealed:
        return False, "the version does not say under which libraries it was made"
    moved = [f"{k} {v} → {s.environment.get(k, 'none')}" for k, v in sealed.items() if s.environment.get(k) != v]
    return not moved, "changed since: " + ", ".join(
        moved[:4]
    ) if moved else f"{len(sealed)} libraries as when it was made"


def invariants(s: Subject) -> Outcome:
    if s.drift is None:
        return False, "the newest data could not be held against the version's reference"
    broken = [a["text"] for a in s.drift.get("alerts", ())]
    return not broken, "; ".join(broken[:3]) if broken else "every rule on missing, new and odd values holds"


def no_skew(s: Subject) -> Outcome:
    """What was answered in the past comes out again from the row that was logged."""
    frames = [f for f in s.logged.frames if isinstance(f.get("row"), dict)][-REPLAYED:]
    names = s.bundle.schema.names
    whole = [f for f in frames if all(n in f["row"] for n in names)]
    if not whole:
        return False, "nothing that it answered is in the log" + (" with all inputs" if frames else "")
    tolerance = max(float(s.bundle.golden.get("tolerance", 0.0)), 1e-9)
    off = 0
    for frame in whole:
        again = np.asarray(s.bundle.scorer.score({n: frame["row"][n] for n in names}), dtype=np.float64)
        said = np.asarray(frame["p"], dtype=np.float64)
        off += bool((np.abs(again - said) > tolerance * np.maximum(1.0, np.abs(said))).any())
    return not off, f"{len(whole) - off:,} of {len(whole):,} logged rows come out as they were answered"


def not_stale(s: Subject) -> Outcome:
    if s.settings.stale is None:
        return False, "no age is declared from which it counts as stale"
    age = (s.now - datetime.fromisoformat(s.version.at)).total_seconds()
    most = duration(s.settings.stale)
    return age <= most, f"made {age / 86400:.1f} days ago, {s.settings.stale} are allowed"


def stable(s: Subject) -> Outcome:
    return _all(s, "missing, new and extreme values")


def fast_enough(s: Subject) -> Outcome:
    limit = s.settings.limits.latency_ms
    if limit is None:
        return False, "no limits.latency_ms is declared"
    measure = "milliseconds for one row, 99th percentile"
    verdict = decide(
        Claim(measure=measure, relation="below", margin=limit, alpha=s.gates.alpha),
        latency(s.bundle, alpha=s.gates.alpha),
    )
    return verdict.outcome == "supported", f"{measure}: {verdict.because}, limit {limit:g}"


def quality_kept(s: Subject) -> Outcome:
    """On the newest held-out rows the loss is not above the sealed one by more than the tolerance.

    Most of these rows are those on which the loss was sealed, so its own error is not counted once more.
    """
    if _unlabelled(s):
        return True, "not applicable: no label ever says what a row should have come out as"
    sealed = s.bundle.reference.get("loss") or {}
    if not sealed.get("n"):
        return False, "no loss is sealed that the newest rows could be compared with"
    rows = s.material.table.take(s.material.held_out)
    found = np.minimum(_losses_on(s.bundle, s, rows), 1.0)
    claim = Claim(measure="loss less the sealed one", relation="below", margin=TOLERANCE, alpha=s.gates.alpha)
    verdict = decide(claim, paired_mean(found - float(sealed["mean"]), name="loss less the sealed one"))
    return verdict.outcome == "supported", f"{verdict.because}, on {rows.rows:,} newest held-out rows, +{TOLERANCE:g}"


def _unlabelled(s: Subject) -> bool:
    """Segments have no label, and nobody has seen a unit both with and without the treatment."""
    return s.bundle.recipe.task == "segments" or s.bundle.recipe.estimator == "uplift"


def _all(s: Subject, *names: str) -> Outcome:
    """Contract tests together: the first that failed, or what all saw."""
    mine = [s.contract[n] for n in names]
    failed = [c for c in mine if not c.passed]
    return not failed, "; ".join(c.what for c in failed or mine)


def _of(s: Subject, verb: str) -> list[Event]:
    return [e for e in s.events if e.verb == verb and e.version == s.version.number]


def _losses_on(bundle: OpenBundle, s: Subject, rows: Any) -> NDArray[np.float64]:
    columns, _ = columns_of(rows, bundle.schema.relaxed())
    scores = np.asarray(bundle.scorer.score_columns(columns, rows.rows), dtype=np.float64)
    y = outcome(rows, s.bundle.recipe)
    return losses(y, scores, s.bundle.recipe.task, spread=s.bundle.evaluation["spread"])


def _live_losses(s: Subject, sealed: Mapping[str, Any]) -> NDArray[np.float64]:
    """Losses of the logged predictions whose label came, as far as the label can be read. Shape (n,)."""
    task, classes = s.bundle.schema.task, s.bundle.schema.classes
    y, p = [], []
    for frame in s.logged.frames:
        label = s.logged.labels.get(str(frame["id"]))
        if label is None:
            continue
        text = f"{label:.0f}" if isinstance(label, float) and label.is_integer() else str(label)
        if task in ("binary", "multiclass"):
            if text in classes:
                y.append(float(classes.index(text)))
                p.append(frame["p"])
        else:
            try:
                y.append(float(text))
            except ValueError:
                continue
            p.append(frame["p"])
    if not y:
        return np.empty(0)
    spread = float(sealed.get("spread") or s.bundle.evaluation["spread"])
    return np.minimum(losses(np.array(y), np.array(p, dtype=np.float64), task, spread=spread), 1.0)
