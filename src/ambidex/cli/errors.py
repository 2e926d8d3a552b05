"""Errors as people read them: every failure becomes one of ours, and one form shows them all."""

from __future__ import annotations

import errno
import re
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ambidex.errors import (
    AmbidexError,
    EnvironmentProblem,
    InternalError,
    UsageError,
    did_you_mean,
    nearest,
)

if TYPE_CHECKING:
    import click

__all__ = ["as_ours", "command", "completed", "exit_code", "form", "mended", "one_line", "placed"]

_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
    errno.EFBIG: "the file would be larger than allowed",
}


def one_line(text: str) -> str:
    """Text that cannot move the cursor: control characters become visible escapes.

    Names of columns and labels come from other people's files.

    >>> one_line("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def command(argv: Sequence[str]) -> str:
    """The line to type, quoted for a shell where that is needed."""
    return "ambidex " + shlex.join(argv)


def placed(line: str, start: str | None) -> str:
    """A command of ours that runs from where the person is, if they said ``-C``.

    >>> placed("ambidex report answer/1", "churn")
    'ambidex -C churn report answer/1'
    """
    if start is None or not line.startswith("ambidex ") or " -C " in line or line.startswith("ambidex help "):
        return line
    return f"ambidex -C {shlex.quote(start)} {line.removeprefix('ambidex ')}"


def mended(argv: Sequence[str], wrong: str, right: str) -> str | None:
    """The command that was typed, with one name put right; None where the name was not typed.

    >>> mended(["drivers", "t.csv", "--targt", "y"], "--targt", "--target")
    'ambidex drivers t.csv --target y'
    >>> mended(["promote", "chrn@2", "--to", "live"], "chrn", "churn")
    'ambidex promote churn@2 --to live'
    """
    for i, word in enumerate(argv):
        parts = [word] if word == wrong else re.split(r"([=:@,/])", word)
        if wrong in parts:
            mended_word = "".join(right if part == wrong else part for part in parts)
            return command([*argv[:i], mended_word, *argv[i + 1 :]])
    return None


def exit_code(error: AmbidexError) -> int:
    """The process's exit code for an error."""
    return 130 if error.code == "env.interrupted" else error.exit_code


def as_ours(error: BaseException, argv: Sequence[str], verb: str) -> AmbidexError:
    """The error of our tree that says what this one means to the person at the keyboard.

    Args:
        error: What was raised.
        argv: What was typed after ``ambidex``.
        verb: The verb among them, or empty.
    """
    if isinstance(error, AmbidexError):
        _suggest(error, argv)
        return error
    if isinstance(error, KeyboardInterrupt):
        return EnvironmentProblem(
            "env.interrupted",
            "stopped",
            found="every request that was answered is in the prediction log"
            if verb == "serve"
            else "what was finished before is saved, what was under way is not",
            do=command(argv),
        )
    if isinstance(error, OSError) and error.errno in _FULL:
        return EnvironmentProblem(
            "env.disk",
            f"{_FULL[error.errno]}: {error.strerror}",
            where=str(error.filename) if error.filename else None,
            do="ambidex doctor",
        )
    import click

    if isinstance(error, click.ClickException):
        return _of_click(error, argv, verb)
    return InternalError(
        "internal.bug",
        f"this is our bug, not yours: {type(error).__name__}: {str(error)[:300]}",
        do=f"{command(argv)} --debug",
    )


def completed(error: AmbidexError, argv: Sequence[str]) -> AmbidexError:
    """The error with every line of its form: a room below does not know what was typed, or had nothing to add.

    >>> completed(UsageError("usage.value", "alpha 2 is not between 0 and 1"), ["experiment"]).do
    'ambidex help usage.value'
    """
    typed = command(argv)
    if not error.where:
        error.where = typed if error.found else "the command line"
    error.found = error.found or typed
    error.do = error.do or f"ambidex help {error.code}"
    return error


def _suggest(error: AmbidexError, argv: Sequence[str]) -> None:
    """Make ``do`` a line to copy: the rooms below know the right name, only we know what was typed."""
    before, asks, after = error.message.rpartition("; did you mean `")
    if asks:
        right = after.removesuffix("?").removesuffix("`")
        from difflib import SequenceMatcher

        named = re.findall(r"[`'\"](.+?)[`'\"]", before) or before.split()
        for wrong in sorted(named, key=lambda w: -SequenceMatcher(None, w, right).ratio()):
            if (line := mended(argv, wrong, right)) is not None:
                error.do = line
                return
    do = error.do or ""
    if error.code == "usage.name" and "--name" not in " ".join(argv):
        error.do = do = "ambidex models ls"
    if not do.startswith("--"):
        return
    try:
        words = shlex.split(do)
    except ValueError:
        return
    kept, skip = [], False
    for word in argv:
        if skip:
            skip = False
        elif word == words[0]:
            skip = len(words) > 1
        elif not word.startswith(f"{words[0]}="):
            kept.append(word)
    error.do = command([*kept, *words])


def _variable(param: click.Parameter | None, argv: Sequence[str]) -> str | None:
    """The environment's variable that an option's value came from, or None if it was typed."""
    name = getattr(param, "envvar", None)
    if not isinstance(name, str) or any(word.split("=")[0] in (param.opts if param else ()) for word in argv):
        return None
    return name


def _of_click(error: click.ClickException, argv: Sequence[str], verb: str) -> AmbidexError:
    import click

    from ambidex.cli.verbs import VERBS

    known = VERBS.get(verb)
    called = f"`{verb}`" if known else "ambidex"
    help_line = f"ambidex {verb} --help" if known else "ambidex --help"
    example = known.examples[0] if known else help_line
    typed = command(argv)

    if isinstance(error, click.NoSuchOption):
        options = _options(error.ctx)
        near = nearest(error.option_name, options, count=1)
        return UsageError(
            "usage.option",
            f"{called} has no option {error.option_name}{did_you_mean(error.option_name, options)}",
            where=f"option {error.option_name}",
            found=", ".join(o for o in options if o not in _EVERYWHERE) or "options of every verb only",
            do=(mended(argv, error.option_name, near[0]) if near else None) or help_line,
        )
    if isinstance(error, click.MissingParameter):
        name, kind = _shown(error.param)
        code = "usage.option" if kind == "option" else "usage.argument"
        return UsageError(code, f"{called} needs {name}", where=f"{kind} {name}", found=typed, do=example)
    if isinstance(error, click.BadParameter):
        name, kind = _shown(error.param)
        name = name.split(" ")[0]
        said = error.message.rstrip(".")
        variable = _variable(error.param, argv)
        if variable is not None:
            return UsageError(
                "usage.value",
                f"the variable {variable} cannot take this value: {said}",
                where=f"environment, {variable}",
                found=typed,
                do=f"unset {variable}, or say it on the command line: {name}",
            )
        return UsageError(
            "usage.value",
            f"{name} cannot take this value: {said}",
            where=f"{kind} {name}",
            found=typed,
            do=_allowed(argv, error.param, verb) or help_line,
        )
    if isinstance(error, click.BadOptionUsage):
        return UsageError(
            "usage.option",
            f"{error.option_name} needs a value"
            if "requires an argument" in error.message
            else f"{called}: {_lower(error.message.rstrip('.'))}",
            where=f"option {error.option_name}",
            found=typed,
            do=example,
        )
    said = _lower(error.format_message().rstrip("."))
    return UsageError("usage.argument", f"{called}: {said}", where="the command line", found=typed, do=example)


def _lower(said: str) -> str:
    return said[:1].lower() + said[1:]


_EVERYWHERE = (
    "-C", "--json", "--md", "--quiet", "--verbose", "--debug", "--no-color", "--help", "-h", "--version",
)  # fmt: skip


def _options(ctx: click.Context | None) -> list[str]:
    if ctx is None:
        return []
    return [o for p in ctx.command.get_params(ctx) for o in p.opts if o.startswith("-")]


def _shown(param: click.Parameter | None) -> tuple[str, str]:
    """A parameter as one types it, and whether it is an option or an argument."""
    if param is None:
        return "an argument", "argument"
    if param.param_type_name == "argument":
        return param.metavar or param.name or "an argument", "argument"
    return (f"{param.opts[0]} {param.metavar}" if param.metavar else param.opts[0]), "option"


def _allowed(argv: Sequence[str], param: click.Parameter | None, verb: str) -> str | None:
    """The command with a value that the option takes: the nearest choice, else the default."""
    if param is None:
        return None
    for i, word in enumerate(argv):
        option, equals, value = word.partition("=")
        if param.param_type_name == "argument":
            option, value, at = "", word, i
        elif option not in param.opts:
            continue
        else:
            at = i if equals else i + 1
            value = value if equals else argv[at] if at < len(argv) else ""
        choices = list(getattr(param.type, "choices", ()))
        near = nearest(value, choices, count=1)
        right = near[0] if near else None
        if right is None and param.param_type_name == "option" and isinstance(param.default, int | float | str):
            right = str(param.default)
        if right is None or value in choices or value == verb:
            continue
        return command([*argv[:at], f"{option}={right}" if equals else right, *argv[at + 1 :]])
    return None


def form(error: AmbidexError) -> list[tuple[str, str]]:
    """The error form as (label, text) lines, in order.

    >>> form(UsageError("usage.value", "alpha 2 is not between 0 and 1", do="--alpha .05"))[0]
    ('error', 'alpha 2 is not between 0 and 1')
    """
    lines = [("error", error.message)]
    lines += [
        (label, text) for label, text in (("where", error.where), ("found", error.found), ("do", error.do)) if text
    ]
    lines.append(("code", f"{error.code} · ambidex help {error.code}"))
    return [(label, one_line(text)) for label, text in lines]
