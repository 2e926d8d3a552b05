"""The verbs from a prototype to a live version."""

from __future__ import annotations

import click

from ambidex.cli.kinds import REF, Verb, Whole, argument, flag, many, option, table_notes

__all__ = ["DELIVER"]

DELIVER: tuple[Verb, ...] = (
    Verb(
        "package",
        "Deliver",
        "turn an answer or a model into a package with tests, recipe and bundle",
        [
            argument("source"),
            option("--name", "NAME", "The model's name: a-z, 0-9, _ and -.", required=True),
            option("--table", "TABLE", "Labelled rows, for a model file: they show what it takes."),
            option("--target", "COL", "The outcome column of that table."),
            option("--positive", "VALUE", "The label that counts as yes."),
            option("--key", "COL", "Column that names a row's unit."),
            option("--time", "COL", "Event-time column."),
            flag("--run", "Let the cells of a notebook run, in a child of its own."),
            flag("--allow-shell", "Let them start programs."),
            option("--cwd", "DIR", "Where a notebook's relative paths start; its own folder if not said."),
            option("--python", "PATH", "The Python that a notebook runs in; ours if not said."),
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
            argument("name"),
            option("--data", "TABLE", "Other rows than the recipe's."),
            option("--trials", "N", "Try so many recipes and keep the best.", type=Whole(1, 100_000)),
            option("--budget", "TIME", "Begin no further one after this time, such as 10m."),
        ],
        ["ambidex train churn", "ambidex train churn --trials 20", "ambidex train churn --data data/march.csv"],
        ["Recipes are compared on training rows; what was tried before a kill is not tried again."],
    ),
    Verb(
        "test",
        "Deliver",
        "contract tests of a version, and its ML test score",
        [
            argument("ref"),
            flag("--ask", "Show only the checks that people are asked."),
            many("--answer", "ID=WORD", "Answer one: yes (done and written down), automated, or no."),
            option("--because", "TEXT", "Where it is written down."),
            option("--against", "URL", "Test over HTTP on this running server instead."),
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
            argument("ref"),
            option("--waive", "GATE", "Let this gate pass whatever it says; kept in the log."),
            option("--reason", "TEXT", "Why it is waived."),
        ],
        ["ambidex gate churn@2", 'ambidex gate churn@2 --waive slices --reason "law changes on Monday"'],
        [REF, "Exit 4 unless every gate is supported or waived."],
    ),
    Verb(
        "promote",
        "Deliver",
        "move a pointer to a version that passed its gates",
        [
            argument("ref"),
            option(
                "--to",
                "WHERE",
                "staging, shadow, canary or live.",
                type=click.Choice(["staging", "shadow", "canary", "live"]),
                required=True,
            ),
            flag("--dry-run", "Say what would happen, change nothing."),
        ],
        ["ambidex promote churn@2 --to live"],
        [REF, "Exit 4, and nothing moves, unless the gates passed."],
    ),
    Verb(
        "rollback",
        "Deliver",
        "back to the last version that passed",
        [
            argument("name"),
            option("--to", "N", "To this version.", type=Whole(1, 10**9)),
            flag("--dry-run", "Say what would happen, change nothing."),
        ],
        ["ambidex rollback churn"],
        ["Pauses retraining until `ambidex resume NAME`. Nothing is lost: promote goes forward again."],
    ),
    Verb(
        "serve",
        "Deliver",
        "answer over HTTP",
        [
            argument("name", required=False, many=True),
            option("--host", "HOST", "Address to bind.", default="127.0.0.1", show_default=True),
            option(
                "--port",
                "PORT",
                "0 takes a free one; AMBIDEX_PORT says it too.",
                type=Whole(0, 65535),
                envvar="AMBIDEX_PORT",
                default=8377,
                show_default=True,
            ),
            option("--workers", "N", "Processes.", type=Whole(1, 1024), default=1, show_default=True),
        ],
        ["ambidex serve churn", "ambidex serve --port 9000 --workers 2"],
        ["Without a name every live model is served. Ctrl-C stops it."],
    ),
    Verb(
        "bench",
        "Deliver",
        "predictions a second on this machine, latency, ceiling, cores for a target",
        [
            argument("name"),
            option("--target", "N", "Predictions a second that are wanted.", type=float),
            option("--seconds", "S", "Of each measurement.", type=float, default=3.0, show_default=True),
            option("--rows", "N", "Rows of a request of many.", type=Whole(1, 10_000), default=1000, show_default=True),
        ],
        ["ambidex bench churn --target 10000"],
        ["A private server is measured; nothing enters the prediction log."],
    ),
    Verb(
        "score",
        "Deliver",
        "predictions for every row of a table",
        [
            argument("name"),
            argument("table"),
            option("--out", "FILE", "A .csv or .parquet file.", required=True),
        ],
        ["ambidex score churn customers.csv --out scores.parquet"],
        table_notes(explore=False),
    ),
    Verb(
        "export",
        "Deliver",
        "a version as an MLflow folder, an ONNX file or a Dockerfile",
        [
            argument("ref"),
            option(
                "--to",
                "FORM",
                "mlflow, docker or onnx.",
                type=click.Choice(["mlflow", "docker", "onnx"]),
                required=True,
            ),
            option("--out", "FOLDER", "A new folder.", required=True),
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
            argument("ref", required=False),
            argument("other", required=False),
            click.Option(["--at", "when"], metavar="TIME", help="With log: what was live then, who moved it, and why."),
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
)
