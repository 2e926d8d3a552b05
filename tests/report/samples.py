"""Answers made by hand: the shapes and sizes that a page must carry."""

from __future__ import annotations

from typing import Any

from ambidex.report.answer import Answer, Caution, Check, Figure, Finding, Recommendation
from ambidex.stats.claim import Claim, decide
from ambidex.stats.estimate import Estimate

HOSTILE = (
    '</svg></script><script>alert("x")</script><img src=x onerror=alert(1)> & "quotes" '
    "'single' fill=\"#1C5BC0\" {{7*7}}"
)
LONG = "customer_reported_reason_for_contacting_support_" * 21  # 1,008 characters


def _effect(label: str, value: float, half: float, *, clear: bool = True) -> dict[str, Any]:
    return {"label": label, "value": value, "low": value - half, "high": value + half, "clear": clear}


def _record(command: str, rows: int, source: str) -> dict[str, Any]:
    return {
        "fingerprint": "5f1c09e2a77b4d10",
        "rows": rows,
        "options": {"target": "Churn", "positive": "Yes"},
        "seed": 0,
        "versions": {"ambidex": "0.1.0", "numpy": "2.3.4", "python": "3.12.3"},
        "command": command,
        "origin": {"source": source},
    }


EFFECTS = (
    _effect("Contract: Two year", -0.143, 0.021),
    _effect("InternetService: Fiber optic", 0.121, 0.032),
    _effect("Contract: One year", -0.082, 0.017),
    _effect("PaymentMethod: Electronic check", 0.051, 0.014),
    _effect("tenure, per 12 months", -0.047, 0.008),
    _effect("OnlineSecurity: No", 0.041, 0.013),
    _effect("TechSupport: No", 0.036, 0.013),
    _effect("PaperlessBilling: Yes", 0.031, 0.012),
    _effect("SeniorCitizen: 1", 0.017, 0.015),
    _effect("Dependents: Yes", -0.011, 0.014, clear=False),
    _effect("Partner: Yes", 0.004, 0.012, clear=False),
    _effect("gender: Male", -0.002, 0.011, clear=False),
)

SUBTITLE = "Change in the chance of leaving, other columns equal, in percentage points; thin lines are the 95% interval"


def drivers() -> Answer:
    """A drivers answer with three findings."""
    effects = Figure(
        form="effect-bars",
        title="What goes with leaving",
        subtitle=SUBTITLE,
        unit="points",
        rows=EFFECTS,
        sentence="A two-year contract goes with 14 points less churn, fibre optic with 12 points more.",
        less="less churn",
        more="more churn",
    )
    shares = Figure(
        form="bars",
        title="Share of customers who left",
        subtitle="By kind of contract, without holding other columns equal",
        unit="share",
        rows=(
            {"label": "Month-to-month", "value": 0.427, "n": 3875},
            {"label": "One year", "value": 0.113, "n": 1473},
            {"label": "Two year", "value": 0.028, "n": 1695},
        ),
        sentence="43% of month-to-month customers left, 3% of those with two-year contracts.",
    )
    tenure = Figure(
        form="histogram",
        title="When customers left",
        subtitle="Months since joining, customers who left",
        unit="count",
        rows=tuple(
            {"left": 6.0 * i, "right": 6.0 * (i + 1), "value": v}
            for i, v in enumerate((784, 253, 189, 138, 126, 98, 82, 69, 56, 36, 25, 13))
        ),
        sentence="Most customers who left did so in the first six months.",
    )
    estimates = tuple(
        Estimate(
            name=r["label"].split(":")[0],
            kind="marginal-effect",
            value=100 * r["value"],
            low=100 * r["low"],
            high=100 * r["high"],
            n=7032,
            unit="points",
            method="average marginal effect, delta method",
            p_value=0.00004 if r["clear"] else 0.41,
            q_value=0.0001 if r["clear"] else 0.52,
            category=r["label"].partition(": ")[2] or None,
            adjusted=True,
        )
        for r in EFFECTS
    )
    return Answer(
        verb="drivers",
        question="What goes with churn, and what should we do about it?",
        headline="The kind of contract goes with churn more than anything else: customers on a two-year contract are "
        "14 points less likely to leave than alike customers who pay month to month.",
        strength="strong",
        recommendation=Recommendation(
            "act", "Test a one-year offer with new month-to-month customers before rolling it out."
        ),
        numbers=(
            ("Customers who left", "26.5%", "1,869 of 7,043"),
            ("Two-year contract", "−14.3 points", "−16.4 to −12.2 points"),
            ("How well the model ranks", "0.845", "AUC on rows not fitted, 0.836 to 0.854"),
        ),
        estimates=estimates,
        verdicts=tuple(decide(Claim(measure=e.name), e) for e in estimates[:4]),
        checks=(
            Check("events-per-term", True, 81.3, 10, "81 events for each term of the model"),
            Check("stability", True, 0.86, 0.75, "Four of the top five come back in every half of the data"),
        ),
        cautions=(
            Caution("missing", "TotalCharges is blank in 11 rows; those rows count as missing, none was dropped."),
            Caution("observational", "These customers chose their contracts, so an effect of changing it is untested."),
        ),
        findings=(
            Finding(
                "The contract matters more than everything else",
                "We compared customers who are alike in every other column. A two-year contract goes with a 14-point "
                "lower chance of leaving; fibre optic goes with a 12-point higher one.",
                "strong",
                "Work on contracts first. Gender and partner make no clear difference, so leave them alone.",
                "Seen in each of five repeats on rows that were not fitted.",
                effects,
            ),
            Finding(
                "Four in ten month-to-month customers left",
                "Of customers on two-year contracts 3% left.",
                "some",
                "The month-to-month group is where most of the loss sits.",
                "The groups differ in other ways too.",
                shares,
            ),
            Finding(
                "Most losses come in the first six months",
                "Nearly half of the customers who left did so within half a year of joining.",
                "some",
                "A welcome call in the second month reaches most of them.",
                "Only customers who left are counted here.",
                tenure,
            ),
        ),
        actions=(
            ("Test a one-year offer with new customers", "Marketing", "2 weeks", "up to −8 points churn"),
            ("Call new fibre customers in month two", "Support", "ongoing", "not known"),
        ),
        unknowns=(
            "Whether a customer who is moved to a longer contract stays: nobody was assigned one by lot.",
            "Why customers leave: no column says so.",
        ),
        method="A readable model (logistic regression with splines) of leaving, judged on rows it was not fitted on; "
        "effects are averages over customers with the other columns held equal.",
        tables={"effects": [dict(r) for r in EFFECTS]},
        record=_record("ambidex drivers telco_customer_churn.csv --target Churn --positive Yes", 7043, "telco.csv"),
        extra={"left_out": [{"name": "customerID", "code": "id"}], "fit": {"auc": 0.845, "low": 0.836, "high": 0.854}},
        name="answer/2",
        next=("ambidex report answer/2",),
    )


def experiment() -> Answer:
    """Cookie Cats, with the ratio check as a caution."""
    figure = Figure(
        form="interval-dots",
        title="Players who came back on day 7",
        subtitle="Dots are the result, thick bars the 95% interval",
        unit="share",
        rows=(
            {"label": "gate_30", "value": 0.1902, "low": 0.1866, "high": 0.1938, "n": 44700, "clear": False},
            {"label": "gate_40", "value": 0.1820, "low": 0.1785, "high": 0.1856, "n": 45489},
        ),
        sentence="19.0% of players with gate 30 came back, 18.2% with gate 40.",
    )
    difference = Estimate(
        name="retention_7",
        kind="difference",
        value=-0.0082,
        low=-0.0133,
        high=-0.0031,
        n=90189,
        unit="share",
        method="Newcombe",
        p_value=0.0016,
        arm="gate_40",
        control="gate_30",
    )
    return Answer(
        verb="experiment",
        question="Does gate_40 change retention_7?",
        headline="gate_40 cut seven-day retention by 0.8 points, from 19.0% to 18.2%.",
        strength="some",
        recommendation=Recommendation("do-not-act", "Keep the gate at level 30."),
        numbers=(
            ("Difference", "−0.8 points", "−1.3 to −0.3 points"),
            ("Relative", "−4.3%", "−6.9% to −1.6%"),
            ("Players", "90,189", "44,700 with gate_30, 45,489 with gate_40"),
        ),
        estimates=(difference,),
        verdicts=(decide(Claim(measure="retention_7, gate_40 against gate_30"), difference),),
        checks=(
            Check("srm", False, 0.0086, 0.01, "44,700 and 45,489 players where equal arms were planned: p = 0.0086"),
        ),
        cautions=(
            Caution("srm", "The arms are a little uneven (44,700 : 45,489); chance gives this once in 116 tests."),
        ),
        findings=(
            Finding(
                "Fewer players came back with gate_40",
                "18.2% came back on day 7, against 19.0% with gate_30.",
                "some",
                "Moving the gate loses players.",
                "Players were assigned by lot; the arms are a little uneven.",
                figure,
            ),
        ),
        unknowns=("Whether later gates change what players spend.",),
        method="Players were compared as assigned. Interval by Newcombe's method.",
        record=_record(
            "ambidex experiment cookie_cats.csv --group version --metric retention_7:share --control gate_30",
            90189,
            "cookie_cats.csv",
        ),
        name="answer/3",
    )


def unanswerable() -> Answer:
    """A design that cannot answer: the arms do not have the planned sizes."""
    base = experiment()
    return Answer(
        verb="experiment",
        question="Does the new checkout change revenue?",
        headline="The arms have sizes that chance does not explain (9,120 and 10,880 where equal ones were planned), "
        "so no difference between them can be trusted.",
        strength="weak",
        recommendation=Recommendation("cannot-answer", "Find out where the lost visitors went, then run it again."),
        numbers=(("Arm A", "9,120", "10,000 planned"), ("Arm B", "10,880", "10,000 planned")),
        estimates=base.estimates,
        checks=(
            Check("srm", False, 1.2e-35, 0.001, "9,120 and 10,880 units where equal arms were planned", decides=True),
        ),
        cautions=(Caution("unit", "312 users are in both arms; they were left out."),),
        unknowns=("Which units are missing.",),
        method="Units were counted by arm and compared with the planned shares.",
        record=base.record,
    )


def hostile() -> Answer:
    """Every text is an attack or 1,000 characters long."""
    rows = (
        _effect(HOSTILE, 0.2, 0.05),
        _effect(LONG, -0.1, 0.3, clear=False),
        _effect("日本語のとても長い名前のカテゴリー" * 5, 0.05, 0.01),
        _effect("line\nbreak\tand \x00 control", 0.05, 0.01),
    )
    figures = [
        Figure(
            form=form, title=HOSTILE, subtitle=LONG, unit="points", rows=rows, sentence=HOSTILE, less=HOSTILE, more=LONG
        )
        for form in ("effect-bars", "interval-dots", "bars")
    ]
    estimate = Estimate(name=HOSTILE, kind="difference", value=float("nan"), low=-float("inf"), high=1, n=3, arm=LONG)
    return Answer(
        verb="drivers",
        question=HOSTILE,
        headline=LONG,
        recommendation=Recommendation("not-enough-evidence", HOSTILE),
        numbers=((HOSTILE, LONG, HOSTILE),) * 3,
        estimates=(estimate,),
        checks=(Check(HOSTILE, False, None, None, LONG),),
        cautions=(Caution(HOSTILE, HOSTILE), Caution("x", LONG)),
        findings=tuple(Finding(HOSTILE, LONG, "weak", HOSTILE, HOSTILE, f) for f in figures),
        actions=((HOSTILE, LONG, HOSTILE, LONG),),
        unknowns=(HOSTILE,),
        method=HOSTILE,
        tables={HOSTILE: [{HOSTILE: HOSTILE, "b": None, "c": [1, 2], "d": True}]},
        record={"command": HOSTILE, "fingerprint": HOSTILE, "rows": 3, "versions": {HOSTILE: HOSTILE}},
    )


def long_names() -> Answer:
    """Twelve rows with names of 30 characters and more, five findings, an interval far wider than the rest."""
    names = [
        f"{word} with the {kind} plan"
        for word in ("Households", "Small firms", "Students")
        for kind in ("unlimited family", "prepaid basic", "premium business", "regional weekend")
    ]
    rows = tuple(_effect(n, 0.01 * (6 - i) + 0.003, 0.02 + 0.004 * i, clear=i % 4 != 3) for i, n in enumerate(names))
    dots = tuple(
        {**r, "value": r["value"] + 0.3, "low": r["low"] + 0.3, "high": r["high"] + 0.3, "n": 1200 + 37 * i}
        for i, r in enumerate(rows)
    )
    money = tuple({"label": n, "value": 1234.5 * (i + 1)} for i, n in enumerate(names))
    common = {"title": "Long names", "subtitle": SUBTITLE, "sentence": "Names are long here."}
    figures = [
        Figure(
            form="effect-bars",
            unit="points",
            rows=rows,
            less="customers who cancel in their first year with us",
            more="customers who cancel in their first year with us",
            **common,
        ),
        Figure(form="interval-dots", unit="share", rows=dots, **common),
        Figure(form="bars", unit="EUR", rows=money, **common),
        Figure(
            form="effect-bars",
            unit="doctor visits",
            rows=tuple(_effect(n, 0.2 + i / 7, 0.1) for i, n in enumerate(names[:4])),
            less="fewer visits",
            more="more visits",
            **common,
        ),
        Figure(
            form="interval-dots",
            unit="doctor visits",
            rows=tuple(
                {"label": n, "value": 2 + i / 3, "low": 1.9 + i / 3, "high": 2.1 + i / 3, "n": 5000}
                for i, n in enumerate(names[:3])
            ),
            **common,
        ),
    ]
    return Answer(
        verb="drivers",
        question="Which customers cancel in their first year, and does the plan they chose when they joined matter?",
        headline="Households with the unlimited family plan cancel most.",
        recommendation=Recommendation("not-enough-evidence", "Wait for 2,400 more customers."),
        findings=tuple(
            Finding(
                f"Finding with long names and a figure of kind {f.form}",
                "Two sentences. This is the second.",
                "weak",
                "Nothing to do yet.",
                "The intervals are wide.",
                f,
            )
            for f in figures
        ),
        record=_record("ambidex drivers customers.csv --target cancelled", 14000, "customers.csv"),
    )


def bare() -> Answer:
    """Only what is required."""
    return Answer(
        verb="profile",
        question="What is in this table?",
        headline="7,043 rows and 21 columns; one column has blanks.",
        recommendation=Recommendation("act", "Decide what the 11 blanks of TotalCharges mean."),
    )


ALL = {
    "drivers": drivers,
    "experiment": experiment,
    "unanswerable": unanswerable,
    "hostile": hostile,
    "long_names": long_names,
    "bare": bare,
}
