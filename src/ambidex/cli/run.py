"""One run: parse, call the verb, show what came back, give the exit code."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TextIO

import click

from ambidex.cli import document, render
from ambidex.cli.errors import as_ours, command, completed, exit_code, form, placed
from ambidex.cli.parser import Settings, Shown, build, help_of
from ambidex.cli.progress import Waiting
from ambidex.cli.verbs import VERBS
from ambidex.errors import AmbidexError, EnvironmentProblem, Refused, UsageError, explain

__all__ = ["Run"]


class Run:
    """A command line and what comes of it.

    Args:
        words: What was typed after ``ambidex``.
        resolve: Gives the function of a verb.
    """

    def __init__(self, words: Sequence[str], resolve: Callable[[str], Callable[..., Any]]) -> None:
        self.words = list(words)
        self.resolve = resolve
        self.settings = Settings()
        self.verb = ""
        self.exit = 0
        self.titled = False
        # Known before parsing, so that a usage error is one JSON document as well.
        options = self.words[: self.words.index("--")] if "--" in self.words else self.words
        self.json = "--json" in options
        self.debug = "--debug" in options

    def code(self) -> int:
        """Run it."""
        if not self.debug:
            warnings.simplefilter("ignore")
        try:
            self._parse_and_call()
        except BrokenPipeError:
            self._no_reader()
        except BaseException as error:
            if isinstance(error, SystemExit):
                raise
            try:
                self._fail(error)
            except BrokenPipeError:
                self._no_reader()
        return self.exit

    def _parse_and_call(self) -> None:
        root = build(self._call)
        try:
            with root.make_context("ambidex", list(self.words), obj=self.settings) as ctx:
                root.invoke(ctx)
        except Shown as shown:
            self._say(shown.verb, shown.data, shown.text)

    def _call(self, verb: str, said: dict[str, Any]) -> None:
        self.verb = verb
        if self.settings.started_in is not None:
            _enter(self.settings.started_in)
        if verb == "help":
            self._help(said["code"])
            return
        _agree(verb, said)
        positional: list[Any] = []
        for param in VERBS[verb].params:
            if isinstance(param, click.Argument):
                value = said.pop(str(param.name))
                positional += value if param.nargs == -1 else [value]
        function = self.resolve(verb)
        with self._meanwhile(verb, said):
            outcome = function(*positional, **said, at=None)
        self._show(outcome)

    def _meanwhile(self, verb: str, said: dict[str, Any]) -> AbstractContextManager[Any]:
        """What is said while the verb works: serve and demo speak for themselves, others count seconds."""
        quiet = self.settings.quiet
        if verb == "serve":
            said["ready"] = None if quiet else self._ready
            return nullcontext()
        if verb == "ui":
            said["ready"] = self._address
            return nullcontext()
        if verb == "watch":
            said["say"] = None if self.json or quiet else self._watched
            return nullcontext()
        if verb == "demo":
            said["say"] = None if quiet else self._step
            return nullcontext()
        return Waiting(verb, None if quiet else sys.stderr)

    def _ready(self, *address: Any) -> None:
        """The server answers from now on."""
        text = " ".join(map(str, address)) or "listening"
        self._blocks([render.Line(f"{text}  Ctrl-C stops it", "✓")], sys.stderr)

    def _address(self, address: str, *more: str) -> None:
        """The dashboard listens: its address is what was asked for. With --json stdout is for the document."""
        if not self.settings.quiet:
            self._blocks([render.Line("; ".join([*more, "Ctrl-C stops it"]), "✓")], sys.stderr)
        self._blocks([render.Line(address)], sys.stderr if self.json else sys.stdout)

    def _watched(self, mark: str, text: str) -> None:
        """A model's line of one turn of the loop."""
        self._blocks([render.Line(text, mark)], sys.stdout)

    def _title(self) -> None:
        if not (self.settings.quiet or self.json):
            from ambidex.version import __version__

            text = "one run from question to production, on this computer, nothing sent anywhere"
            self._blocks([render.Line(f"ambidex {__version__}  {text}", tone="bold"), render.Line()], sys.stdout)

    def _step(self, mark: str, name: str, text: str, seconds: float | None) -> None:
        """A step of the demo has happened. With --json stdout is for the document."""
        if not self.titled:
            self.titled = True
            self._title()
        self._blocks([render.Step(mark, name, text, seconds)], sys.stderr if self.json else sys.stdout)

    def _help(self, code: str | None) -> None:
        if code is None or code in VERBS:
            raise help_of(code)
        said = explain(code)
        self._say("help", {"code": code, "text": said}, f"{code}  {said}\n")

    def _show(self, outcome: Any) -> None:
        """An Answer or a Result, on stdout; what a check refused, on stderr as well."""
        data = outcome.to_dict()
        following = list(getattr(outcome, "next", ()))
        if any("answer/N" in step for step in following):
            # Outside a workspace an answer has no name, so nothing can be done with it by name.
            following = [step for step in following if "answer/N" not in step] + ["ambidex init my-project"]
        following = [placed(step, self.settings.started_in) for step in following]
        if hasattr(outcome, "headline"):
            cautions = [(c["code"], c["text"]) for c in data["cautions"]]
            refused = None if outcome.passed else _design(data, following)
            shown = self._answer_text
        else:
            cautions = list(outcome.warnings)
            refused = None if outcome.passed else _check(outcome, following)
            shown = self._result_text
        said = [{"code": code, "text": text} for code, text in cautions]
        if refused is None:
            if self.json:
                self._document(document.success(self.verb, data, warnings=said, next=following))
            else:
                shown(outcome, data, following)
            return
        completed(refused, self.words)
        refused.do = placed(refused.do or "", self.settings.started_in)
        self.exit = exit_code(refused)
        if self.json:
            self._document(document.failure(self.verb, refused, data=data, warnings=said, next=following))
            return
        shown(outcome, data, [])
        self._error(refused)

    def _answer_text(self, outcome: Any, data: dict[str, Any], following: list[str]) -> None:
        if self.settings.markdown:
            from ambidex.report.markdown import markdown

            self._write(markdown([data]))
            return
        self._blocks(
            render.answer_blocks(data, following, quiet=self.settings.quiet, verbose=self.settings.verbose),
            sys.stdout,
        )

    def _result_text(self, outcome: Any, data: dict[str, Any], following: list[str]) -> None:
        if self.settings.markdown:
            self._write("".join(f"- {mark.strip()} {text}".replace("-  ", "- ") + "\n" for mark, text in outcome.lines))
            return
        self._blocks(
            render.result_blocks(outcome.lines, outcome.warnings, following, quiet=self.settings.quiet),
            sys.stdout,
        )

    def _fail(self, raised: BaseException) -> None:
        error = completed(as_ours(raised, self.words, self._named()), self.words)
        if error.where != "option -C":
            error.do = placed(error.do or "", self.settings.started_in)
        self.exit = exit_code(error)
        if self.debug:
            traceback.print_exception(raised, file=sys.stderr)
        if self.json:
            data = error.data if isinstance(error, Refused) else None
            self._document(document.failure(self._named(), error, data=data))
            return
        self._error(error)

    def _error(self, error: AmbidexError) -> None:
        if error.code == "env.interrupted":
            print(file=sys.stderr)
        blocks = render.error_blocks(form(error))
        if isinstance(error, Refused):
            blocks += [render.Line(v.because, "✓" if v.outcome == "supported" else "■") for v in error.verdicts]
        self._blocks(blocks, sys.stderr)

    def _named(self) -> str:
        """The verb that was meant, also where parsing never reached it."""
        if self.verb:
            return self.verb
        skip = False
        for word in self.words:
            if skip:
                skip = False
            elif word == "-C":
                skip = True
            elif not word.startswith("-"):
                return word
        return ""

    def _say(self, verb: str, data: dict[str, Any], text: str) -> None:
        if self.json:
            self._document(document.success(verb, data))
        else:
            self._write(text)

    def _document(self, content: dict[str, Any]) -> None:
        encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "")
        self._write(document.dumps(content, ascii_only=encoding != "utf8"))

    def _blocks(self, blocks: list[render.Block], stream: TextIO | None) -> None:
        if stream is None or not blocks:
            return
        if stream.isatty():
            render.colour(blocks, stream, no_color=self.settings.no_color)
        else:
            stream.write(render.text(blocks))
        stream.flush()

    def _write(self, text: str) -> None:
        if sys.stdout is not None:
            sys.stdout.write(text)
            sys.stdout.flush()

    def _no_reader(self) -> None:
        """The reader of a pipe has left: be quiet, also when the interpreter flushes at its end."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            try:
                os.dup2(nowhere, stream.fileno())
            except (OSError, ValueError, AttributeError):
                continue


def _enter(folder: str) -> None:
    try:
        os.chdir(folder)
    except OSError as error:
        raise EnvironmentProblem(
            "env.no-workspace",
            f"cannot go to folder {folder}: {error.strerror}",
            where="option -C",
            found=f"started in {Path.cwd()}",
            do=f"ambidex init {folder}" if not Path(folder).exists() else None,
        ) from error


def _agree(verb: str, said: dict[str, Any]) -> None:
    """Arguments that must go together."""
    if verb == "models":
        needed = {"ls": (0, 0), "show": (1, 1), "diff": (2, 2), "delete": (1, 1), "log": (0, 1)}[said["what"]]
        given = [v for v in (said["ref"], said["other"]) if v is not None]
        if not needed[0] <= len(given) <= needed[1]:
            raise _usage(
                f"`models {said['what']}` takes {_count(needed)}, not {len(given)}",
                {
                    "ls": "ambidex models ls",
                    "show": "ambidex models show churn@1",
                    "diff": "ambidex models diff churn@1 churn@2",
                    "log": "ambidex models log",
                    "delete": "ambidex models delete churn@2 --dry-run",
                }[said["what"]],
            )
    if verb == "experiment" and said.get("plan") is None and (lacking := _lacking(said)):
        raise UsageError(
            "usage.option", f"`experiment` needs {lacking}, or --plan PLAN.json", where=f"option {lacking}",
            do="ambidex experiment cookie_cats.csv --group version --metric retention_7:share",
        )  # fmt: skip
    if verb == "gate" and (said["waive"] is None) != (said["reason"] is None):
        raise _usage(
            "--waive and --reason go together: a waived gate is kept in the log with its reason",
            command(["gate", said["ref"], "--waive", said["waive"] or "GATE", "--reason", said["reason"] or "TEXT"]),
        )
    if verb == "demo" and said["target"] is not None and said["table"] is None:
        raise _usage("--target names a column of TABLE, and no TABLE was given", "ambidex demo TABLE --target COL")
    if verb == "demo" and said["table"] is not None and said["target"] is None:
        raise _usage("a demo on your own table needs its outcome", f"{command(['demo', said['table']])} --target COL")
    if verb == "report" and not said["answer"]:
        raise _usage("`report` needs an answer", "ambidex report answer/1")


def _lacking(said: dict[str, Any]) -> str:
    return "--group" if said["group"] is None else "" if said["metric"] else "--metric"


def _count(needed: tuple[int, int]) -> str:
    low, high = needed
    if low == high:
        return {0: "no reference", 1: "one reference", 2: "two references"}[low]
    return "a name or nothing"


def _usage(message: str, do: str) -> AmbidexError:
    return UsageError("usage.argument", message, where="the command line", do=do)


def _design(data: dict[str, Any], following: list[str]) -> Refused:
    stopping = [c for c in data["checks"] if not c["passed"]]
    return Refused(
        "check.design",
        data["headline"],
        where=", ".join(f"check {c['name']}" for c in stopping) or None,
        found="; ".join(c.get("text") or c["name"] for c in stopping) or data["recommendation"]["text"],
        do=following[0] if following else None,
    )


def _check(outcome: Any, following: list[str]) -> Refused:
    said = [text for _, text in outcome.lines]
    bad = [text for mark, text in outcome.lines[1:] if mark == "■"]
    return Refused(
        outcome.code or "check.gate",
        said[0] if said else f"{outcome.verb} says no",
        found="; ".join(bad[:3]) or None,
        do=outcome.do or (following[0] if following else None),
    )
