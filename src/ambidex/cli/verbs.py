"""Every verb of the command line: its group, its one line, its options, its examples.

One table, read by the parser, by ``--help`` and by ``ambidex help``. Only what the road
implements stands here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

__all__ = ["EVERYWHERE", "GROUPS", "VERBS", "Verb", "everywhere"]

GROUPS = ("Explore", "Deliver", "Run", "Advise")
EVERYWHERE = "-C DIR, --json, --quiet, --verbose, --debug, --no-color"


# Click's own base is generic to the type checker only from 8.2 on, and never at run time.
if TYPE_CHECKING:
    _Type = click.ParamType[Any]
else:
    _Type = click.ParamType


class Number(_Type):
    """A finite number, strictly between two bounds where they are given."""

    name = "number"

    def __init__(self, above: float | None = None, below: float | None = None) -> None:
        self.above, self.below = above, below

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError):
            self.fail(f"{value!r} is not a number", param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        if self.above is not None and self.below is not None and not self.above < number < self.below:
            self.fail(f"{value} is not between {self.above:g} and {self.below:g}", param, ctx)
        if self.above is not None and not self.above < number:
            self.fail(f"{value} is not above {self.above:g}", param, ctx)
        return number


class Whole(_Type):
    """A whole number between two bounds, both allowed."""

    name = "whole number"

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = int(value)
        except (TypeError, ValueError):
            self.fail(f"{value!r} is not a whole number", param, ctx)
        if not self.low <= number <= self.high:
            self.fail(f"{value} is not in {self.low} to {self.high}", param, ctx)
        return number


class Shares(_Type):
    """`A=.5,B=.5`, the planned share of each arm, or `unknown`; handed on as text once it reads."""

    name = "shares"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "unknown" or isinstance(value, dict):
            return value
        shares: dict[str, float] = {}
        for part in str(value).split(","):
            arm, _, share = part.rpartition("=")
            try:
                number = float(share)
            except ValueError:
                number = math.nan
            if not arm or arm in shares or not 0 < number < math.inf:
                self.fail(f"{value!r} does not read as A=.5,B=.5", param, ctx)
            shares[arm] = number
        if abs(sum(shares.values()) - 1) > 0.01:
            self.fail(f"the shares add up to {sum(shares.values()):g}, not to 1", param, ctx)
        return value


class Forms(_Type):
    """`html,md`: file forms, at least one."""

    name = "forms"
    known = ("html", "md", "pdf", "pptx", "notebook")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        forms = tuple(dict.fromkeys(part.strip() for part in str(value).split(",")))
        for form in forms:
            if form not in self.known:
                self.fail(f"{form!r} is none of {', '.join(self.known)}", param, ctx)
        return forms


class Fact(_Type):
    """`ID=VALUE`: an answer to a question of ``next --ask``."""

    name = "fact"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        name, equals, said = str(value).partition("=")
        if not (name and equals and said):
            self.fail(f"{value!r} does not read as ID=VALUE", param, ctx)
        return str(value)


@dataclass(frozen=True)
class Verb:
    """A verb of the command line.

    Attributes:
        name: As typed; the Python function has the same name.
        group: Heading in ``--help``.
        summary: One line.
        params: Its arguments and options; arguments go to the function by position.
        examples: Commands that show it.
        notes: What the reader must know beside the options, a line each.
        markdown: True if ``--md`` prints the answer as Markdown.
    """

    name: str
    group: str
    summary: str
    params: Sequence[click.Parameter] = ()
    examples: Sequence[str] = ()
    notes: Sequence[str] = ()
    markdown: bool = False


def _argument(name: str, *, required: bool = True, many: bool = False) -> click.Argument:
    return click.Argument([name], required=required, nargs=-1 if many else 1, metavar=name.upper())


def _option(name: str, metavar: str | None, text: str, **settings: Any) -> click.Option:
    return click.Option([name], metavar=metavar, help=text, **settings)


def _flag(name: str, text: str) -> click.Option:
    return click.Option([name], is_flag=True, help=text)


def _many(name: str, metavar: str, text: str, **settings: Any) -> click.Option:
    return click.Option([name], metavar=metavar, help=f"{text} Repeat for more.", multiple=True, **settings)


def _table(explore: bool = True) -> list[str]:
    text = ["TABLE is a CSV, Parquet or Arrow file, a folder or glob of them, or a SELECT in quotes."]
    if explore:
        text.append("In a workspace the answer is kept under a name, answer/12.")
    return text


REF = "REF is NAME@4, NAME@live, NAME@candidate or NAME@previous."

VERBS: dict[str, Verb] = {
    verb.name: verb
    for verb in (
        Verb(
            "profile",
            "Explore",
            "what is in this table, and what is wrong with it",
            [
                _argument("table", many=True),
                _option("--target", "COL", "The outcome: look at the others with it in mind."),
            ],
            [
                "ambidex profile customers.csv",
                "ambidex profile customers.csv --target Churn",
                "ambidex profile orders.csv customers.csv",
            ],
            _table(),
            markdown=True,
        ),
        Verb(
            "drivers",
            "Explore",
            "what factors go with the outcome, and would changing one help",
            [
                _argument("table"),
                _option("--target", "COL", "The outcome.", required=True),
                _option("--positive", "VALUE", "The label that counts as yes, as the file writes it."),
                _many("--exclude", "COL", "Leave this column out."),
                _many("--keep", "COL", "Keep this column though it looks like an id or a leak."),
                _option("--time", "COL", "When the row was known: the fit is measured on the last 30%."),
                _option("--duration", "COL", "How long until the end, or until last seen: asks when, not whether."),
                _many("--levers", "COL", "Would changing this column help?"),
                _option("--group", "COL", "Who a row belongs to, where one has several rows."),
            ],
            [
                "ambidex drivers customers.csv --target Churn --positive Yes",
                "ambidex drivers customers.csv --target Churn --duration tenure",
                "ambidex drivers customers.csv --target Churn --levers PaperlessBilling",
            ],
            _table(),
            markdown=True,
        ),
        Verb(
            "experiment",
            "Explore",
            "is there a difference between the groups of a test",
            [
                _argument("table"),
                _option("--group", "COL", "The column that holds the arm. Required without --plan."),
                _many("--metric", "SPEC", "Compared: col, col:share, num/den. Required without --plan."),
                _option("--control", "LABEL", "The arm that the others are compared with."),
                _option("--unit", "COL", "Who was assigned, where one has several rows."),
                _option("--cluster", "COL", "What units share, such as a village: intervals count clusters."),
                _many("--covariate", "COL", "Known before the start; the comparison is adjusted for it."),
                _option(
                    "--shares",
                    "A=.5,B=.5",
                    "Planned share of each arm; equal if not said, or `unknown`.",
                    type=Shares(),
                ),
                _option("--alpha", "A", "Error rate, between 0 and 1; 0.05 if not said.", type=Number(0, 1)),
                _flag("--anytime", "Bounds that hold however often you look."),
                _option("--margin", "M", "A difference smaller than this does not matter.", type=Number()),
                _many("--secondary", "SPEC", "Reported beside the metric, decides nothing."),
                _many("--guardrail", "SPEC:MARGIN", "Must not be worse by more than the margin."),
                _option("--exposure", "COL", "What a unit really saw; disagreement with the arm is counted."),
                _option("--time", "COL", "When a row was measured: does the effect change with days?"),
                _many("--by", "COL", "Groups of customers: is the effect another in some?"),
                _option("--plan", "PLAN.json", "What `plan --out` wrote; its options hold."),
            ],
            [
                "ambidex experiment cookie_cats.csv --group version --metric retention_7:share --control gate_30",
                "ambidex experiment shop.csv --group arm --metric spend --unit user --guardrail refund:share:0.01",
            ],
            [
                *_table(),
                "SPEC: col (mean, or share of yes), col:mean, col:share, plan=gold:share, col:count, col:q90, num/den,",
                "num/den:share (counts of yes and of trials).",
            ],
            markdown=True,
        ),
        Verb(
            "plan",
            "Explore",
            "how big must the test be",
            [
                _option("--metric", "SPEC", "What will be compared: col, col:share, col:mean, num/den."),
                _option("--baseline", "B", "What the control shows; a share as 0.2.", type=Number()),
                _option(
                    "--difference", "D", "Smallest effect that matters, absolute: 0.05 is 5 points.", type=Number()
                ),
                _option("--lift", "L", "The same, relative to the baseline: 0.05 is 5% more.", type=Number()),
                _option("--effect", "E", "The same for a mean, with --sd.", type=Number()),
                _option("--sd", "S", "Standard deviation between units.", type=Number()),
                _option("--power", "P", "Chance to find it.", type=Number(0, 1), default=0.8, show_default=True),
                _option("--alpha", "A", "Error rate.", type=Number(0, 1), default=0.05, show_default=True),
                _option("--arms", "N", "Arms, with the control.", type=Whole(2, 20), default=2, show_default=True),
                _option("--looks", "N", "Planned looks.", type=Whole(1, 100), default=1, show_default=True),
                _flag("--anytime", "Plan for bounds that hold however often you look."),
                _option("--table", "TABLE", "A table of the past: level, spread and traffic are read from it."),
                _option("--group", "COL", "The column that will hold the arm; a table is read in its control."),
                _option("--control", "LABEL", "The arm that the others will be compared with."),
                _option("--unit", "COL", "Who will be assigned, where one has several rows."),
                _option("--cluster", "COL", "What is assigned as one, such as a village; its correlation is read."),
                _many("--covariate", "COL", "Known before the start; what it explains is read from the table."),
                _option("--time", "COL", "When a unit came in: gives the days until done."),
                _option("--shares", "A=.8,B=.2", "Planned share of each arm; equal if not said."),
                _option("--icc", "R", "Correlation within clusters, without a table.", type=Number()),
                _option("--cluster-size", "M", "Units per cluster, without a table.", type=Number()),
                _option("--r2", "R", "What covariates explain, without a table.", type=Number()),
                _option("--size", "N", "Units per arm: what can such a test see?", type=Number()),
                _many("--guardrail", "SPEC:MARGIN", "Must be shown not to be worse by more than the margin."),
                _option("--rollout", "NAME@7", "Plan the roll-out of this version instead; writes ROLLOUT.json."),
                _option("--traffic", "N", "With --rollout: units a day; the log's if not said.", type=Number(0)),
                _option("--margin", "M", "With --rollout: how much worse is still good enough.", type=Number(0, 1)),
                _option("--horizon", "30d", "With --rollout: how old a label must be to count."),
                _option("--out", "PLAN.json", "Write the plan down, dated and hashed, for `experiment --plan`."),
            ],
            [
                "ambidex plan --baseline 0.20 --difference 0.02 --looks 5",
                "ambidex plan --table last_month.csv --metric spend --lift 0.03 --time day --covariate spend_before",
                "ambidex plan --metric paid:share --baseline 0.2 --lift 0.1 --group arm --out PLAN.json",
                "ambidex plan --effect 2 --sd 12 --size 500",
            ],
            _table(),
            markdown=True,
        ),
        Verb(
            "campaign",
            "Explore",
            "what did the campaign return, and whom to treat next",
            [
                _argument("table"),
                _option("--treatment", "COL", "The column that says who got it."),
                _option("--outcome", "COL", "What it was to change: a number, or yes and no.", required=True),
                _option("--control", "LABEL", "The label of those who did not get it."),
                _option("--value", "V", "Margin per unit of outcome, in money (0.3 for 30% of spend).", type=Number()),
                _option("--cost", "C", "Cost per treated unit.", type=Number(), default=0.0),
                _option("--fixed-cost", "F", "Cost of the campaign as a whole.", type=Number(), default=0.0),
                _many("--covariate", "COL", "A column known before the campaign."),
                _flag("--observational", "Nobody drew lots: compare like with like, or refuse."),
                _option("--unit", "COL", "Who was assigned; with --start, who is followed over time."),
                _option("--time", "COL", "The column of the dates."),
                _option("--start", "DATE", "The first day or period with the campaign: compare before and after."),
                _option("--shares", "A=.9,B=.1", "Planned share of each arm.", type=Shares()),
                _option(
                    "--alpha",
                    "A",
                    "Error rate, between 0 and 1.",
                    type=Number(0, 1),
                    default=0.05,
                    show_default=True,
                ),
            ],
            [
                "ambidex campaign mail.csv --treatment segment --outcome spend --value 0.3 --cost 0.1",
                "ambidex campaign w.csv --treatment on --outcome sales --unit shop --time week --start 2024-03-04",
                "ambidex campaign crm.csv --treatment called --outcome spend --observational --covariate age",
            ],
            [*_table(), "Exit 4 if the design cannot show a return; the answer says what would."],
            markdown=True,
        ),
        Verb(
            "segments",
            "Explore",
            "what segments exist, and what each is worth",
            [
                _argument("table"),
                _option("--unit", "COL", "Who a row belongs to."),
                _option("--time", "COL", "When it was ordered: the table is an order log."),
                _option("--value", "COL", "The money; for a log also Quantity*UnitPrice."),
                _option("--approach", "NAMES", "rfm, tiers, kmeans, mixture, medoids, classes, hdbscan, with commas."),
                _option("--k", "K", "How many; looked for if not said.", type=Whole(2, 50)),
                _option(
                    "--scale",
                    "HOW",
                    "How numbers are read: auto, none, standard, log.",
                    type=click.Choice(["auto", "none", "standard", "log"]),
                    default="auto",
                ),
                _option("--out", "FILE", "Write unit and segment to this .csv or .parquet."),
            ],
            [
                "ambidex segments orders.csv --unit customer --time date --value paid --out segments.csv",
                "ambidex segments customers.csv --approach kmeans,mixture",
            ],
            [*_table(), "Types only where groups stand apart on rows that did not draw them; else tiers, or none."],
            markdown=True,
        ),
        Verb(
            "report",
            "Explore",
            "a page for stakeholders from one answer or several",
            [
                _argument("answer", many=True),
                _option(
                    "--to",
                    "FORMS",
                    "html, md, pdf, pptx, notebook; several with commas.",
                    type=Forms(),
                    default="html",
                    show_default=True,
                ),
                _option("--out", "FILE", "Where to write it; reports/ of the workspace if not said."),
            ],
            ["ambidex report answer/2", "ambidex report answer/2 answer/3 --to html,pptx"],
        ),
        Verb(
            "package",
            "Deliver",
            "turn an answer or a model into a package with tests, recipe and bundle",
            [
                _argument("source"),
                _option("--name", "NAME", "The model's name: a-z, 0-9, _ and -.", required=True),
                _option("--table", "TABLE", "Labelled rows, for a model file: they show what it takes."),
                _option("--target", "COL", "The outcome column of that table."),
                _option("--positive", "VALUE", "The label that counts as yes."),
                _option("--key", "COL", "Column that names a row's unit."),
                _option("--time", "COL", "Event-time column."),
                _flag("--run", "Let the cells of a notebook run, in a child of its own."),
                _flag("--allow-shell", "Let them start programs."),
                _option("--cwd", "DIR", "Where a notebook's relative paths start; its own folder if not said."),
                _option("--python", "PATH", "The Python that a notebook runs in; ours if not said."),
            ],
            [
                "ambidex package answer/2 --name churn",
                "ambidex package model.skops --name churn --table data/churn.csv --target churned",
                "ambidex package prototype.ipynb --name churn --run",
            ],
            ["SOURCE is an answer that carries a model (answer/2, from `drivers`), or a model file."],
        ),
        Verb(
            "train",
            "Deliver",
            "run the recipe, or look for a better one: a new version",
            [
                _argument("name"),
                _option("--data", "TABLE", "Other rows than the recipe's."),
                _option("--trials", "N", "Try so many recipes and keep the best.", type=Whole(1, 100_000)),
                _option("--budget", "TIME", "Begin no further one after this time, such as 10m."),
            ],
            ["ambidex train churn", "ambidex train churn --trials 20", "ambidex train churn --data data/march.csv"],
            ["Recipes are compared on training rows; what was tried before a kill is not tried again."],
        ),
        Verb(
            "test",
            "Deliver",
            "contract tests of a version, and its ML test score",
            [
                _argument("ref"),
                _flag("--ask", "Show only the checks that people are asked."),
                _many("--answer", "ID=WORD", "Answer one: yes (done and written down), automated, or no."),
                _option("--because", "TEXT", "Where it is written down."),
                _option("--against", "URL", "Test over HTTP on this running server instead."),
            ],
            [
                "ambidex test churn@1",
                'ambidex test churn@1 --answer data-5=yes --because "privacy.md"',
                "ambidex test churn@staging --against http://127.0.0.1:8377",
            ],
            [REF, "Answers are kept with their date and asked again after 180 days."],
        ),
        Verb(
            "gate",
            "Deliver",
            "may this version go live: a verdict per gate",
            [
                _argument("ref"),
                _option("--waive", "GATE", "Let this gate pass whatever it says; kept in the log."),
                _option("--reason", "TEXT", "Why it is waived."),
            ],
            ["ambidex gate churn@2", 'ambidex gate churn@2 --waive slices --reason "law changes on Monday"'],
            [REF, "Exit 4 unless every gate is supported or waived."],
        ),
        Verb(
            "promote",
            "Deliver",
            "move a pointer to a version that passed its gates",
            [
                _argument("ref"),
                _option(
                    "--to",
                    "WHERE",
                    "staging, shadow, canary or live.",
                    type=click.Choice(["staging", "shadow", "canary", "live"]),
                    required=True,
                ),
                _flag("--dry-run", "Say what would happen, change nothing."),
            ],
            ["ambidex promote churn@2 --to live"],
            [REF, "Exit 4, and nothing moves, unless the gates passed."],
        ),
        Verb(
            "rollback",
            "Deliver",
            "back to the last version that passed",
            [
                _argument("name"),
                _option("--to", "N", "To this version.", type=Whole(1, 10**9)),
                _flag("--dry-run", "Say what would happen, change nothing."),
            ],
            ["ambidex rollback churn"],
            ["Pauses retraining until `ambidex resume NAME`. Nothing is lost: promote goes forward again."],
        ),
        Verb(
            "serve",
            "Deliver",
            "answer over HTTP",
            [
                _argument("name", required=False, many=True),
                _option("--host", "HOST", "Address to bind.", default="127.0.0.1", show_default=True),
                _option(
                    "--port",
                    "PORT",
                    "0 takes a free one; AMBIDEX_PORT says it too.",
                    type=Whole(0, 65535),
                    envvar="AMBIDEX_PORT",
                    default=8377,
                    show_default=True,
                ),
                _option("--workers", "N", "Processes.", type=Whole(1, 1024), default=1, show_default=True),
            ],
            ["ambidex serve churn", "ambidex serve --port 9000 --workers 2"],
            ["Without a name every live model is served. Ctrl-C stops it."],
        ),
        Verb(
            "bench",
            "Deliver",
            "predictions a second on this machine, latency, ceiling, cores for a target",
            [
                _argument("name"),
                _option("--target", "N", "Predictions a second that are wanted.", type=float),
                _option("--seconds", "S", "Of each measurement.", type=float, default=3.0, show_default=True),
                _option(
                    "--rows", "N", "Rows of a request of many.", type=Whole(1, 10_000), default=1000, show_default=True
                ),
            ],
            ["ambidex bench churn --target 10000"],
            ["A private server is measured; nothing enters the prediction log."],
        ),
        Verb(
            "score",
            "Deliver",
            "predictions for every row of a table",
            [
                _argument("name"),
                _argument("table"),
                _option("--out", "FILE", "A .csv or .parquet file.", required=True),
            ],
            ["ambidex score churn customers.csv --out scores.parquet"],
            _table(explore=False),
        ),
        Verb(
            "export",
            "Deliver",
            "a version as an MLflow folder, an ONNX file or a Dockerfile",
            [
                _argument("ref"),
                _option(
                    "--to",
                    "FORM",
                    "mlflow, docker or onnx.",
                    type=click.Choice(["mlflow", "docker", "onnx"]),
                    required=True,
                ),
                _option("--out", "FOLDER", "A new folder.", required=True),
            ],
            ["ambidex export churn@1 --to mlflow --out churn-mlflow", "ambidex export churn@1 --to docker --out image"],
            [REF, "ONNX is written only if it predicts the same on golden and boundary rows; exit 4 otherwise."],
        ),
        Verb(
            "models",
            "Deliver",
            "versions, differences, who moved what and why",
            [
                click.Argument(
                    ["what"],
                    required=False,
                    default="ls",
                    type=click.Choice(["ls", "show", "diff", "log", "delete"]),
                    metavar="[ls|show|diff|log|delete]",
                ),
                _argument("ref", required=False),
                _argument("other", required=False),
                click.Option(
                    ["--at", "when"], metavar="TIME", help="With log: what was live then, who moved it, and why."
                ),
                click.Option(["--reason"], metavar="TEXT", help="With delete: why, for the log."),
                click.Option(["--dry-run"], is_flag=True, help="With delete: say what would go, and do nothing."),
            ],
            [
                "ambidex models ls",
                "ambidex models show churn@live",
                "ambidex models diff churn@1 churn@2",
                "ambidex models log churn",
                "ambidex models log churn --at 2026-11-24T14:32",
                "ambidex models delete churn@2 --dry-run",
            ],
        ),
        Verb(
            "monitor",
            "Run",
            "one pass over what was predicted: quality, drift, performance",
            [
                _argument("name"),
                _option("--ack", "ID", "Acknowledge this alert: it closes, its detectors start again."),
                _option("--mute", "ID", "Keep this alert open and counted, and page nobody for it."),
                _option("--reason", "TEXT", "With --mute: why."),
                _option("--until", "TIME", "With --mute: a date, or how long.", default="7d"),
                _flag("--replay", "What the detectors would have rung on the past; arms those that may ring."),
            ],
            [
                "ambidex monitor churn",
                "ambidex monitor churn --replay",
                "ambidex monitor churn --ack a7-2",
                'ambidex monitor churn --mute a7-2 --reason "known import fault" --until 3d',
            ],
            ["Exit 4 while a page is open that is not muted."],
        ),
        Verb(
            "investigate",
            "Run",
            "why was it slow or wrong: since when, which stage, which requests",
            [
                _argument("name"),
                _option("--since", "TIME", "When it began: 14:30, 2h, 2026-11-24T14:30; else it is looked for."),
                _option("--id", "ID", "Explain this one prediction instead."),
            ],
            [
                "ambidex investigate churn",
                "ambidex investigate churn --since 14:30",
                "ambidex investigate churn --id ID",
            ],
        ),
        Verb(
            "feedback",
            "Run",
            "what really happened, from a table of late labels",
            [
                _argument("name"),
                _argument("table"),
                _option("--id", "COL", "The column with the ids that predictions carry.", required=True),
                _option("--label", "COL", "The column with the outcome.", required=True),
            ],
            ["ambidex feedback churn outcomes.csv --id id --label churned"],
        ),
        Verb(
            "drift",
            "Run",
            "this table against what the live version was trained on",
            [_argument("name"), _argument("table")],
            ["ambidex drift churn data/march.csv"],
            ["Exit 4 if a column lies outside its margin."],
        ),
        Verb(
            "retrain",
            "Run",
            "one step of the loop: new rows, a new version, its gates",
            [_argument("name")],
            ["ambidex retrain churn"],
            ["Safe to repeat from cron: without new rows it says so and exits 0."],
        ),
        Verb(
            "watch",
            "Run",
            "the loop: monitor, roll-outs and retraining of every model, until stopped",
            [
                _flag("--once", "One step, safe to repeat; for cron and the like."),
                _option("--interval", "S", "Seconds between steps, or 5m.", default="60", show_default=True),
            ],
            ["ambidex watch", "ambidex watch --once"],
            ["An error in one model is told once and tried again later; it stops no other. Killed, it goes on."],
        ),
        Verb("resume", "Run", "end the pause of retraining", [_argument("name")], ["ambidex resume churn"]),
        Verb(
            "ui",
            "Run",
            "the dashboard: what needs attention, and the verbs to act",
            [
                _option(
                    "--host", "HOST", "Where to listen; a public address needs a token first.", default="127.0.0.1"
                ),
                _option(
                    "--port",
                    "PORT",
                    "The next free one from here on; 0 for any.",
                    type=Whole(0, 65535),
                    default=8377,
                    show_default=True,
                ),
                _option("--grafana", "DIR", "Write a Grafana dashboard and Prometheus rules there instead."),
            ],
            ["ambidex ui", "ambidex ui --port 9000", "ambidex ui --grafana monitoring/"],
            ["Prints its address, opens nothing by itself; Ctrl-C stops it. docs/dashboard.md"],
        ),
        Verb(
            "init",
            "Run",
            "make a workspace",
            [_argument("folder", required=False)],
            ["ambidex init churn", "cd churn"],
        ),
        Verb(
            "demo",
            "Run",
            "the whole road on real data, or on your table",
            [
                _argument("table", required=False),
                _option("--target", "COL", "The outcome in your table."),
                _option("--folder", "DIR", "Where to; a new folder in this one if not said."),
            ],
            ["ambidex demo", "ambidex demo customers.csv --target Churn"],
        ),
        Verb("status", "Run", "what is live, what rings, what is paused", (), ["ambidex status"]),
        Verb(
            "doctor",
            "Run",
            "is everything in the workspace what was written",
            (),
            ["ambidex doctor"],
            ["Exit 4 if anything is found."],
        ),
        Verb(
            "token",
            "Run",
            "who may ask the server: make, list and revoke tokens",
            [
                click.Argument(
                    ["what"],
                    required=False,
                    default="ls",
                    type=click.Choice(["new", "ls", "revoke"]),
                    metavar="[new|ls|revoke]",
                ),
                _argument("name", required=False),
                _option("--role", "ROLE", "viewer, caller, analyst, engineer or admin."),
                _many("--model", "NAME", "Only for this model."),
                _option("--expires", "TIME", "How long it holds; 90d if not said."),
            ],
            [
                "ambidex token new shop --role caller --model churn",
                "ambidex token ls",
                "ambidex token revoke shop",
            ],
            [
                "A viewer sees what is served, metrics and pages; a caller predicts and sends labels; an analyst both.",
                "An engineer also promotes and rolls back, an admin may all. A token is shown once, when it is made.",
                "Once a token was made, servers ask for one; a server that runs follows within 5 s.",
            ],
        ),
        Verb(
            "help",
            "Run",
            "what an error code means",
            [_argument("code", required=False)],
            ["ambidex help data.no-column", "ambidex help drivers"],
        ),
        Verb(
            "next",
            "Advise",
            "exploration or delivery, whose work it is, the first task",
            [
                _flag("--ask", "Ask only what could change the answer."),
                _many("--answer", "ID=VALUE", "Answer a question.", type=Fact()),
                _option("--team", "SHEET", "A skills sheet; says whether the team can do it. Not kept."),
                _option("--out", "FILE", "Also a page; .html, .md, .pdf or .pptx."),
            ],
            ["ambidex next", "ambidex next --ask", "ambidex next --answer A3=sustained"],
        ),
        Verb(
            "team",
            "Advise",
            "the people's skills against the work ahead",
            [
                _argument("sheet"),
                click.Option(["--for", "for_"], metavar="ROLE", help="data-scientist, ml-engineer, both, or next."),
                _option("--out", "FILE", "Also a page; .html, .md, .pdf or .pptx."),
            ],
            ["ambidex team skills.csv", "ambidex team skills.csv --for ml-engineer"],
            ["SHEET: person, eight areas (0 to 3, blank = not said), wants. Nothing of it is kept."],
        ),
        Verb(
            "role",
            "Advise",
            "whose work a job posting or brief really describes",
            [
                _argument("text"),
                _option("--kind", "KIND", "posting, cv or brief; told from the text if not said."),
                _option("--expect", "ROLE", "Exit 4 if it reads as another role."),
                _option("--rewrite", "md", "Also a cleaned posting, from the author's own sentences."),
                _option("--out", "FILE", "Also a page; .html, .md, .pdf or .pptx."),
            ],
            ["ambidex role posting.txt", "ambidex role - --expect ml-engineer"],
            ["Text, Markdown, HTML, or PDF with the pdf extra; - reads standard input. Nothing is kept."],
        ),
        Verb(
            "career",
            "Advise",
            "the way from somebody's levels to a role",
            [
                _argument("sheet"),
                _option("--person", "NAME", "Whose way, as the sheet names them.", required=True),
                _option("--to", "ROLE", "Where to: ml-engineer, staff-mle, architect and others.", required=True),
            ],
            ["ambidex career skills.csv --person Ada --to ml-engineer"],
        ),
    )
}


def everywhere(remember: Any) -> list[click.Option]:
    """The options that every verb takes, before it or after it.

    Args:
        remember: Callback ``(context, parameter, value)`` that keeps what was said.
    """
    settings: dict[str, Any] = {"expose_value": False, "callback": remember, "hidden": True}
    return [
        click.Option(["-C", "started_in"], metavar="DIR", help="Run as if started in DIR.", **settings),
        click.Option(["--json", "json"], is_flag=True, help="One JSON document.", **settings),
        click.Option(["--md", "markdown"], is_flag=True, help="The answer as Markdown.", **settings),
        click.Option(["--quiet", "quiet"], is_flag=True, help="The result only.", **settings),
        click.Option(["--verbose", "verbose"], is_flag=True, help="All the numbers.", **settings),
        click.Option(["--debug", "debug"], is_flag=True, help="Show where an error came from.", **settings),
        click.Option(["--no-color", "no_color"], is_flag=True, help="No colours.", **settings),
    ]
