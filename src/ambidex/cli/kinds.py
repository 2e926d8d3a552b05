"""What a verb of the command line is, and the kinds of values that its options take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

__all__ = [
    "REF",
    "Fact",
    "Forms",
    "Number",
    "Shares",
    "Verb",
    "Whole",
    "argument",
    "flag",
    "many",
    "option",
    "table_notes",
]

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


def argument(name: str, *, required: bool = True, many: bool = False) -> click.Argument:
    return click.Argument([name], required=required, nargs=-1 if many else 1, metavar=name.upper())


def option(name: str, metavar: str | None, text: str, **settings: Any) -> click.Option:
    return click.Option([name], metavar=metavar, help=text, **settings)


def flag(name: str, text: str) -> click.Option:
    return click.Option([name], is_flag=True, help=text)


def many(name: str, metavar: str, text: str, **settings: Any) -> click.Option:
    return click.Option([name], metavar=metavar, help=f"{text} Repeat for more.", multiple=True, **settings)


def table_notes(explore: bool = True) -> list[str]:
    text = ["TABLE is a CSV, Parquet or Arrow file, a folder or glob of them, or a SELECT in quotes."]
    if explore:
        text.append("In a workspace the answer is kept under a name, answer/12.")
    return text


REF = "REF is NAME@4, NAME@live, NAME@candidate or NAME@previous."
