"""The verbs that keep a live model right, and the workspace's own."""

from __future__ import annotations

import click

from ambidex.cli.kinds import Verb, Whole, argument, flag, many, option

__all__ = ["RUN"]

RUN: tuple[Verb, ...] = (
    Verb(
        "monitor",
        "Run",
        "one pass over what was predicted: quality, drift, performance",
        [
            argument("name"),
            option("--ack", "ID", "Acknowledge this alert: it closes, its detectors start again."),
            option("--mute", "ID", "Keep this alert open and counted, and page nobody for it."),
            option("--reason", "TEXT", "With --mute: why."),
            option("--until", "TIME", "With --mute: a date, or how long.", default="7d"),
            flag("--replay", "What the detectors would have rung on the past; arms those that may ring."),
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
            argument("name"),
            option("--since", "TIME", "When it began: 14:30, 2h, 2026-11-24T14:30; else it is looked for."),
            option("--id", "ID", "Explain this one prediction instead."),
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
            argument("name"),
            argument("table"),
            option("--id", "COL", "The column with the ids that predictions carry.", required=True),
            option("--label", "COL", "The column with the outcome.", required=True),
        ],
        ["ambidex feedback churn outcomes.csv --id id --label churned"],
    ),
    Verb(
        "drift",
        "Run",
        "this table against what the live version was trained on",
        [argument("name"), argument("table")],
        ["ambidex drift churn data/march.csv"],
        ["Exit 4 if a column lies outside its margin."],
    ),
    Verb(
        "retrain",
        "Run",
        "one step of the loop: new rows, a new version, its gates",
        [argument("name")],
        ["ambidex retrain churn"],
        ["Safe to repeat from cron: without new rows it says so and exits 0."],
    ),
    Verb(
        "watch",
        "Run",
        "the loop: monitor, roll-outs and retraining of every model, until stopped",
        [
            flag("--once", "One step, safe to repeat; for cron and the like."),
            option("--interval", "S", "Seconds between steps, or 5m.", default="60", show_default=True),
        ],
        ["ambidex watch", "ambidex watch --once"],
        ["An error in one model is told once and tried again later; it stops no other. Killed, it goes on."],
    ),
    Verb("resume", "Run", "end the pause of retraining", [argument("name")], ["ambidex resume churn"]),
    Verb(
        "ui",
        "Run",
        "the dashboard: what needs attention, and the verbs to act",
        [
            option("--host", "HOST", "Where to listen; a public address needs a token first.", default="127.0.0.1"),
            option(
                "--port",
                "PORT",
                "The next free one from here on; 0 for any.",
                type=Whole(0, 65535),
                default=8377,
                show_default=True,
            ),
            option("--grafana", "DIR", "Write a Grafana dashboard and Prometheus rules there instead."),
        ],
        ["ambidex ui", "ambidex ui --port 9000", "ambidex ui --grafana monitoring/"],
        ["Prints its address, opens nothing by itself; Ctrl-C stops it. docs/dashboard.md"],
    ),
    Verb(
        "init",
        "Run",
        "make a workspace",
        [argument("folder", required=False)],
        ["ambidex init churn", "cd churn"],
    ),
    Verb(
        "demo",
        "Run",
        "the whole road on real data, or on your table",
        [
            argument("table", required=False),
            option("--target", "COL", "The outcome in your table."),
            option("--folder", "DIR", "Where to; a new folder in this one if not said."),
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
            argument("name", required=False),
            option("--role", "ROLE", "viewer, caller, analyst, engineer or admin."),
            many("--model", "NAME", "Only for this model."),
            option("--expires", "TIME", "How long it holds; 90d if not said."),
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
        [argument("code", required=False)],
        ["ambidex help data.no-column", "ambidex help drivers"],
    ),
)
