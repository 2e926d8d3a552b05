"""The verbs that say what comes next, and who can do it."""

from __future__ import annotations

import click

from ambidex.cli.kinds import Fact, Verb, argument, flag, many, option

__all__ = ["ADVISE"]

ADVISE: tuple[Verb, ...] = (
    Verb(
        "next",
        "Advise",
        "exploration or delivery, whose work it is, the first task",
        [
            flag("--ask", "Ask only what could change the answer."),
            many("--answer", "ID=VALUE", "Answer a question.", type=Fact()),
            option("--team", "SHEET", "A skills sheet; says whether the team can do it. Not kept."),
            option("--out", "FILE", "Also a page; .html, .md, .pdf or .pptx."),
        ],
        ["ambidex next", "ambidex next --ask", "ambidex next --answer A3=sustained"],
    ),
    Verb(
        "team",
        "Advise",
        "the people's skills against the work ahead",
        [
            argument("sheet"),
            click.Option(["--for", "for_"], metavar="ROLE", help="data-scientist, ml-engineer, both, or next."),
            option("--out", "FILE", "Also a page; .html, .md, .pdf or .pptx."),
        ],
        ["ambidex team skills.csv", "ambidex team skills.csv --for ml-engineer"],
        ["SHEET: person, eight areas (0 to 3, blank = not said), wants. Nothing of it is kept."],
    ),
    Verb(
        "role",
        "Advise",
        "whose work a job posting or brief really describes",
        [
            argument("text"),
            option("--kind", "KIND", "posting, cv or brief; told from the text if not said."),
            option("--expect", "ROLE", "Exit 4 if it reads as another role."),
            option("--rewrite", "md", "Also a cleaned posting, from the author's own sentences."),
            option("--out", "FILE", "Also a page; .html, .md, .pdf or .pptx."),
        ],
        ["ambidex role posting.txt", "ambidex role - --expect ml-engineer"],
        ["Text, Markdown, HTML, or PDF with the pdf extra; - reads standard input. Nothing is kept."],
    ),
    Verb(
        "career",
        "Advise",
        "the way from somebody's levels to a role",
        [
            argument("sheet"),
            option("--person", "NAME", "Whose way, as the sheet names them.", required=True),
            option("--to", "ROLE", "Where to: ml-engineer, staff-mle, architect and others.", required=True),
        ],
        ["ambidex career skills.csv --person Ada --to ml-engineer"],
    ),
)
