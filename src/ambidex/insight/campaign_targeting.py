"""Whom to treat next: a cross-fitted uplift model, money by depth, and whether choosing pays at all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.bundle.uplift import FORMAT, UpliftScorer, columns_of_both, fit_pair
from ambidex.data.facts import named_as_key
from ambidex.insight.campaign_ask import Ask, names_rows
from ambidex.insight.campaign_known import known_before, named
from ambidex.insight.campaign_money import Paid
from ambidex.insight.campaign_randomised import Measured
from ambidex.insight.campaign_words import said
from ambidex.insight.experiment_data import codes_of
from ambidex.insight.experiment_metrics import read_values
from ambidex.insight.experiment_words import roughly
from ambidex.records import Prepare, Recipe
from ambidex.report.answer import Caution, Figure, Finding
from ambidex.report.words import share, signed
from ambidex.stats.claim import Claim, Verdict, decide_all
from ambidex.stats.estimate import Estimate, finite
from ambidex.stats.money import Money, returns
from ambidex.stats.uplift import effect_among, out_of_fold, policy_curve, qini

__all__ = ["Targeting", "target"]

Floats = npt.NDArray[np.float64]

DEPTHS = tuple(round(0.1 * i, 1) for i in range(1, 11))
LEAST = 100
"""Units of each arm from which a model of who responds is tried."""
MOST_ROWS = 200_000
"""Units that the models are fitted and judged on; of more, as many drawn by lot."""
MOST_LEVELS = 30
MOST_ASKED = 200
"""Columns, the first of the table, that are looked through where none was declared."""


@dataclass(frozen=True, eq=False)
class Targeting:
    """Whom to treat.

    Attributes:
        rows: ``depth``, ``profit``, ``low``, ``high`` at each tenth, and the effect there.
        estimates: Qini, and the profit of choosing.
        verdicts: Of the claims on them.
        finding: For the page, or None.
        cautions: What was taken and left out.
        recipe: How the model is trained again, or None.
    """

    rows: list[dict[str, Any]]
    estimates: list[Estimate]
    verdicts: list[Verdict]
    finding: Finding | None
    cautions: list[Caution]
    recipe: Recipe | None


def target(ask: Ask, measured: Measured, lead: Paid, *, seed: int) -> Targeting:
    """Rank the units by a model that has not seen them, and reckon what treating the best would earn."""
    source, who = ask.source, measured.who
    nothing = Targeting([], [], [], None, [], None)
    if source.is_large or (who.unit is not None and len(who.arm) != source.rows):
        return replace(
            nothing, cautions=[Caution("targeting", "Whom to treat is asked of tables with one row a unit.")]
        )
    columns, cautions = _inputs(ask, measured)
    arm = who.labels.index(str(lead.arm.effect.arm))
    base = who.labels.index(measured.base)
    read = read_values(source, ask.outcome)
    of_unit = who.arm if who.unit is None else who.arm[who.unit]
    used = np.flatnonzero(((of_unit == arm) | (of_unit == base)) & np.isfinite(read.values))
    if len(used) > MOST_ROWS:
        used = np.sort(np.random.default_rng(seed).choice(used, MOST_ROWS, replace=False))
        cautions.append(Caution("sampled", f"Whom to treat was asked of {MOST_ROWS:,} units drawn by lot."))
    y, treated = read.values[used], of_unit[used] == arm
    if not columns or min(int(treated.sum()), int((~treated).sum())) < LEAST:
        if not columns:
            text = "No column is known from before the campaign, so nobody can be chosen: name some with --covariate."
        else:
            text = f"Fewer than {LEAST} units in an arm: too few to learn who responds."
        return replace(nothing, cautions=[*cautions, Caution("targeting", text)])
    values = {n: v[used] for n, v in columns.items()}

    def learn(fit: npt.NDArray[np.intp], score: npt.NDArray[np.intp]) -> Floats:
        pair = fit_pair({n: v[fit] for n, v in values.items()}, y[fit], treated[fit], binary=read.yes_no)
        inputs = [c.to_json() for c in columns_of_both(*pair)]
        model = {
            "format": FORMAT, "base": 0.0, "treated": pair[0], "control": pair[1],
            "schema": {"target": ask.outcome, "task": "regression", "columns": inputs},
        }  # fmt: skip
        return UpliftScorer(model).score_columns({n: v[score] for n, v in values.items()}, len(score))

    gains, ranks = out_of_fold(learn, treated, seed=seed)
    return _judged(ask, lead, y, treated, gains, ranks, list(columns), cautions, read.yes_no, measured.base, seed)


def _judged(
    ask: Ask,
    lead: Paid,
    y: Floats,
    treated: npt.NDArray[np.bool_],
    gains: Floats,
    ranks: Floats,
    names: list[str],
    cautions: list[Caution],
    yes_no: bool,
    base: str,
    seed: int,
) -> Targeting:
    n = lead.arm.treated
    money = ask.money or Money(1.0)
    sign = -1.0 if money.value < 0 else 1.0  # where each outcome costs money, who has fewer of them comes first
    ranks = ranks if sign > 0 else 1 - ranks
    labels: dict[str, Any] = {"arm": lead.arm.effect.arm, "control": base}
    rows = []
    for d in policy_curve(y, treated, ranks, depths=DEPTHS, alpha=ask.alpha, seed=seed):
        profit = returns(d.effect, max(1, round(d.depth * n)), money, alpha=ask.alpha).profit
        rows.append(
            {
                "depth": d.depth, "profit": finite(profit.value) if ask.money else None,
                "low": finite(profit.low) if ask.money else None, "high": finite(profit.high) if ask.money else None,
                "effect": finite(d.effect.value), "effect_low": finite(d.effect.low),
                "effect_high": finite(d.effect.high),
            }
        )  # fmt: skip
    ranking = qini(sign * y, treated, ranks, name="qini", alpha=ask.alpha, seed=seed, **labels)
    claims = [Claim(measure=f"Qini of the ranking for {lead.arm.arm}", alpha=ask.alpha)]
    estimates = [ranking]
    left = gains * money.value <= money.cost
    chosen = float((~left).mean())
    choose = None
    if ask.money is not None and 0.01 < chosen < 0.99:
        among = effect_among(y, treated, left, name="effect on those left out", alpha=ask.alpha, **labels)
        lost = returns(among, max(1, round((1 - chosen) * n)), replace(money, fixed=0.0), alpha=ask.alpha).profit
        choose = replace(
            lost, name="gain_of_choosing", kind="difference", value=-lost.value, low=-lost.high, high=-lost.low,
            n=len(y), method="profit of treating only those expected to pay, less that of treating all; out of fold",
        )  # fmt: skip
        estimates.append(choose)
        claims.append(
            Claim(measure=f"profit of choosing {share(chosen, 0)}, against {lead.arm.arm} to all", alpha=ask.alpha)
        )
    verdicts = decide_all(claims, estimates)
    finding = _finding(ask, lead, rows, verdicts, chosen, choose)
    return Targeting(rows, estimates, verdicts, finding, cautions, _recipe(ask, lead, names, base, yes_no, seed))


def _finding(
    ask: Ask, lead: Paid, rows: list[dict[str, Any]], verdicts: list[Verdict], chosen: float, choose: Estimate | None
) -> Finding:
    ranked, name = verdicts[0], lead.arm.arm
    key = ("profit", "low", "high") if ask.money is not None else ("effect", "effect_low", "effect_high")
    what = "profit" if ask.money is not None else f"effect on {ask.outcome}"
    points = tuple(
        {"x": r["depth"], "value": r[key[0]], "low": r[key[1]], "high": r[key[2]], "series": name}
        for r in rows
        if r[key[0]] is not None and r[key[1]] is not None
    )
    if ranked.outcome == "supported":
        title = f"Some respond more than others to {name}: the ranking finds them"
    elif ranked.outcome == "refuted":
        title = f"The ranking for {name} puts the wrong ones first: do not use it"
    else:
        title = f"No evidence that some respond more than others to {name}"
    text = f"Qini {said(ranked.estimate)} outcomes a head, by models that had not seen the unit."
    so_what = f"Treat all or none: nothing here says whom to leave out of {name}."
    if ranked.outcome == "supported":
        so_what = "If only a part can be treated, begin with the best-ranked."
    if choose is not None and len(verdicts) > 1:
        text += f" Treating the {share(chosen, 0)} expected to pay, instead of all, gains {said(choose)}."
        if verdicts[1].outcome == "supported":
            so_what = f"Treat the {share(chosen, 0)} whose expected gain is above the cost, not all."
        elif verdicts[1].outcome == "refuted":
            so_what = "Treat all: leaving out those not expected to pay loses money."
        elif more := roughly(verdicts[1].needed):
            so_what += f" About {more} more units would tell whether leaving the others out pays."
    best = max((r for r in rows if r[key[0]] is not None), key=lambda r: r[key[0]], default=None)
    at = "" if best is None else f" It is highest at {share(best['depth'], 0)}: {signed(best[key[0]])}."
    strength = "some" if ranked.outcome == "supported" else "weak"
    figure = Figure(
        form="line-band",
        title=f"{what[0].upper()}{what[1:]}, if only the best-ranked were treated",
        subtitle=f"by share of {lead.arm.treated:,} units, with the {100 * (1 - ask.alpha):.3g}% band of each depth",
        unit="money" if ask.money is not None else ask.outcome,
        rows=points,
        sentence=f"{what[0].upper()}{what[1:]} by depth.{at}",
        x_title="share treated, best-ranked first",
        x_unit="share",
        reference=0.0,
        reference_text="no gain",
    )
    sure = "The band is of each depth alone; the highest point is picked afterwards, so expect less there."
    return Finding(title, text, strength, so_what, sure, figure if len(points) > 1 else None)  # type: ignore[arg-type]


def _inputs(ask: Ask, measured: Measured) -> tuple[dict[str, npt.NDArray[Any]], list[Caution]]:
    """Columns for the model: those declared; else those that may be known before, which is said."""
    source = ask.source
    given = list(ask.covariates)
    taken: list[str] = []
    cautions: list[Caution] = []
    if not given:
        out = {ask.treatment, ask.outcome, ask.unit, ask.time}
        asked = [c for c in source.columns if c not in out and not named_as_key(c) and not names_rows(source, c)]
        known = known_before(source, asked[:MOST_ASKED], measured.who, read_values(source, ask.outcome).values)
        taken, cautions = list(known.names), list(known.cautions)
    columns: dict[str, npt.NDArray[Any]] = {}
    for name in given or taken[:40]:
        facts = source.facts(name)
        if facts.type in ("number", "integer"):
            numbers = source.number(name)
            if np.isfinite(numbers).any() and float(np.nanstd(numbers)) > 0:
                columns[name] = numbers
        elif 1 < len(codes_of(source, name)[1]) <= MOST_LEVELS:
            columns[name] = source.text(name)
    if given or not columns:
        return columns, cautions
    shown = named(list(columns))
    return columns, [
        *cautions,
        Caution(
            "inputs",
            f"No --covariate was named: {shown} {'was' if len(columns) == 1 else 'were'} taken as known before the "
            "campaign: the arms do not differ there and none tells the outcome by itself, which does not prove it. A "
            "column that was measured afterwards cannot say whom to treat next; name the right ones with --covariate.",
        ),
    ]


def _recipe(ask: Ask, lead: Paid, names: list[str], base: str, yes_no: bool, seed: int) -> Recipe | None:
    source = ask.source
    prepare = source.origin.get("prepare")
    positive = None
    if yes_no:
        read = read_values(source, ask.outcome)
        codes, labels = codes_of(source, ask.outcome)
        yes = {labels[c] for c in np.unique(codes[(codes >= 0) & (read.values == 1)]).tolist()}
        if len(yes) != 1:
            return None
        positive = yes.pop()
    return Recipe(
        data=str(source.origin.get("source") or source.source or ""),
        target=ask.outcome,
        task="regression",
        columns=tuple(names),
        positive=positive,
        time=ask.time,
        prepare=Prepare.from_json(prepare) if isinstance(prepare, dict) else prepare,
        estimator="uplift",
        seed=seed,
        options={"treatment": str(ask.treatment), "arm": str(lead.arm.effect.arm), "control": base},
    )
