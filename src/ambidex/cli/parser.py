"""The command line as Click sees it: the verbs of the table, help in our form, settings anywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from ambidex.cli.errors import command
from ambidex.cli.verbs import EVERYWHERE, GROUPS, VERBS, Verb, everywhere
from ambidex.errors import UsageError, did_you_mean, nearest

__all__ = ["Settings", "Shown", "build", "help_of", "overview", "verb_help"]


@dataclass
class Settings:
    """What the options of every verb said."""

    started_in: str | None = None
    json: bool = False
    markdown: bool = False
    quiet: bool = False
    verbose: bool = False
    debug: bool = False
    no_color: bool = False


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value:
        setattr(ctx.obj, str(param.name), value)


class Shown(Exception):
    """Help or the version was asked for: the text to show, and its data."""

    def __init__(self, verb: str, text: str, data: dict[str, Any]) -> None:
        super().__init__(text)
        self.verb, self.text, self.data = verb, text, data


def _help_option() -> click.Option:
    def show(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        if value and not ctx.resilient_parsing:
            raise help_of(ctx.info_name if ctx.parent is not None else None)

    return click.Option(["-h", "--help"], is_flag=True, is_eager=True, expose_value=False, hidden=True, callback=show)


def _version_option() -> click.Option:
    def show(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        if value and not ctx.resilient_parsing:
            from ambidex.version import __version__

            raise Shown("version", f"ambidex {__version__}\n", {"version": __version__})

    return click.Option(["--version"], is_flag=True, is_eager=True, expose_value=False, callback=show)


def help_of(verb: str | None) -> Shown:
    """Help of a verb, or of all of them."""
    if verb is None:
        verbs = [{"verb": v.name, "group": v.group, "summary": v.summary} for v in VERBS.values()]
        return Shown("help", overview(), {"verbs": verbs})
    text = verb_help(VERBS[verb])
    return Shown("help", text, {"verb": verb, "text": text})


class _VerbCommand(click.Command):
    """A verb: Click's parsing, our help."""

    def __init__(self, verb: Verb, callback: Callable[..., Any]) -> None:
        super().__init__(
            verb.name,
            params=[*verb.params, *everywhere(_remember), _help_option()],
            callback=callback,
            short_help=verb.summary,
            help=verb.summary,
            add_help_option=False,
        )


class _Root(click.Group):
    """The verbs, made only when one is asked for."""

    def __init__(self, run: Callable[[str, dict[str, Any]], Any]) -> None:
        super().__init__(
            "ambidex",
            params=[*everywhere(_remember), _version_option(), _help_option()],
            invoke_without_command=True,
            no_args_is_help=False,
            add_help_option=False,
            callback=self._without_verb,
        )
        self.run = run

    def _without_verb(self) -> None:
        if click.get_current_context().invoked_subcommand is None:
            raise help_of(None)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        return _VerbCommand(VERBS[cmd_name], lambda **said: self.run(cmd_name, said))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if (name := args[0]) not in VERBS and not name.startswith("-"):
            near = nearest(name, VERBS, count=1)
            raise UsageError(
                "usage.command",
                f"there is no verb {name}{did_you_mean(name, VERBS)}",
                where="the verb on the command line",
                found=", ".join(VERBS),
                do=command([near[0], *args[1:]]) if near else "ambidex --help",
            )
        return super().resolve_command(ctx, args)


def overview() -> str:
    """The text of ``ambidex --help``: every verb, one line each, by what one wants to do."""
    lines = ["ambidex [-C DIR] VERB [WHAT] [--options]", ""]
    width = max(map(len, VERBS))
    for group in GROUPS:
        lines.append(group)
        lines += [f"  {v.name:<{width}}  {v.summary}" for v in VERBS.values() if v.group == group]
        lines.append("")
    lines += [
        "Every verb takes",
        *(
            f"  {'/'.join(o.opts) + (f' {o.metavar}' if o.metavar else ''):<{width}}  {o.help}"
            for o in everywhere(_remember)
        ),
        "",
        "ambidex VERB --help shows its options, ambidex help CODE explains an error.",
        "",
        "Start with  ambidex demo",
        "",
    ]
    return "\n".join(lines)


def verb_help(verb: Verb) -> str:
    """The text of ``ambidex VERB --help``."""
    words = ["ambidex", verb.name]
    options: list[tuple[str, str]] = []
    for param in verb.params:
        if isinstance(param, click.Argument):
            shown = str(param.metavar)
            if param.nargs == -1:
                shown += "…"
            words.append(shown if param.required or shown.startswith("[") else f"[{shown}]")
        elif isinstance(param, click.Option):
            left = f"{param.opts[0]} {param.metavar}" if param.metavar else param.opts[0]
            if param.required:
                words.append(left)
            right = param.help or ""
            if param.required:
                right += " Required."
            if param.show_default:
                right += f" Default {param.default}."
            options.append((left, right))
    if any(not param.required for param in verb.params if isinstance(param, click.Option)):
        words.append("[--options]")
    lines = [" ".join(words), "", f"{verb.summary[:1].upper()}{verb.summary[1:]}.", ""]
    if verb.notes:
        lines += [*verb.notes, ""]
    if options:
        width = max(len(left) for left, _ in options)
        lines += [f"  {left:<{width}}  {right}" for left, right in options] + [""]
    lines.append("Examples")
    lines += [f"  {example}" for example in verb.examples] + [""]
    lines.append(f"Also {EVERYWHERE}{', --md' if verb.markdown else ''}.")
    return "\n".join([*lines, ""])


def build(run: Callable[[str, dict[str, Any]], Any]) -> click.Group:
    """The whole command line.

    Args:
        run: Called with a verb's name and what was said to it.
    """
    return _Root(run)
