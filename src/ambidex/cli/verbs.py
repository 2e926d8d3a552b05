"""Every verb of the command line: its group, its one line, its options, its examples.

One table, read by the parser, by ``--help`` and by ``ambidex help``. Only what the road
implements stands here.
"""

from __future__ import annotations

from typing import Any

import click

from ambidex.cli.kinds import Verb
from ambidex.cli.verbs_advise import ADVISE
from ambidex.cli.verbs_deliver import DELIVER
from ambidex.cli.verbs_explore import EXPLORE
from ambidex.cli.verbs_run import RUN

__all__ = ["EVERYWHERE", "GROUPS", "VERBS", "Verb", "everywhere"]

GROUPS = ("Explore", "Deliver", "Run", "Advise")
EVERYWHERE = "-C DIR, --json, --quiet, --verbose, --debug, --no-color"

VERBS: dict[str, Verb] = {verb.name: verb for verb in (*EXPLORE, *DELIVER, *RUN, *ADVISE)}


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
