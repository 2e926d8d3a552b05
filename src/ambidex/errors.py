"""Every error that ambidex raises on purpose.

    AmbidexError
    ├── UsageError            exit 2   a command or option that no run could satisfy
    ├── DataError             exit 3   a table, file, column, label, model or version
    │   └── NotFound          exit 3   a name that is not there (HTTP 404)
    ├── Refused               exit 4   a check said no; carries the data of the verb
    ├── EnvironmentProblem    exit 5   workspace, port, disk, missing extra
    │   └── MissingExtra      exit 5   an optional package, with its install line
    └── InternalError         exit 1   our bug

Each says what happened (with the value), where, what was found, and one thing to do, and
carries a stable code that ``ambidex help CODE`` explains. Codes live in ``CODES``; a test
keeps the table and the code base equal.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

__all__ = [
    "CODES",
    "AmbidexError",
    "DataError",
    "EnvironmentProblem",
    "InternalError",
    "MissingExtra",
    "NotFound",
    "Refused",
    "UsageError",
    "did_you_mean",
    "explain",
    "nearest",
]


class AmbidexError(Exception):
    """Base of the tree.

    Args:
        code: Stable code, ``area.what`` (a key of ``CODES``).
        message: What happened, with the value, in one line.
        where: File and line, column, cell, option or request.
        found: What was there instead.
        do: One command or one act that mends it.
        status: HTTP status where it differs from the class's own.

    Attributes:
        exit_code: Process exit code of the class.
        http_status: Status over HTTP.
    """

    exit_code: ClassVar[int] = 1
    http_status: int = 500

    def __init__(
        self,
        code: str,
        message: str,
        *,
        where: str | None = None,
        found: str | None = None,
        do: str | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.where = where
        self.found = found
        self.do = do
        if status is not None:
            self.http_status = status

    def __str__(self) -> str:
        parts = [f"{self.message} [{self.code}]"]
        parts += [f"{k}: {v}" for k, v in (("where", self.where), ("found", self.found), ("do", self.do)) if v]
        return "; ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """The ``error`` object of the JSON contract."""
        return {
            "code": self.code,
            "message": self.message,
            "where": self.where,
            "found": self.found,
            "do": self.do,
        }


class UsageError(AmbidexError):
    """A command or option that no run could satisfy."""

    exit_code = 2
    http_status = 400


class DataError(AmbidexError):
    """Something about a table, file, column, label or value."""

    exit_code = 3
    http_status = 422


class NotFound(DataError):
    """A name that is not there."""

    http_status = 404


class Refused(AmbidexError):
    """A check said no.

    Args:
        data: The verb's full ``data``, which is reported beside the error.
        verdicts: The verdicts that refused, where there were any.
    """

    exit_code = 4
    http_status = 409

    def __init__(
        self,
        code: str,
        message: str,
        *,
        data: Mapping[str, Any] | None = None,
        verdicts: Iterable[Any] = (),
        where: str | None = None,
        found: str | None = None,
        do: str | None = None,
    ) -> None:
        super().__init__(code, message, where=where, found=found, do=do)
        self.data: dict[str, Any] = dict(data or {})
        self.verdicts = list(verdicts)


class EnvironmentProblem(AmbidexError):
    """The machine or the workspace, not the question."""

    exit_code = 5
    http_status = 503


class MissingExtra(EnvironmentProblem):
    """An optional package is not installed.

    Args:
        package: The package to import.
        extra: The extra of ambidex that brings it.
        what: What needs it.
    """

    def __init__(self, package: str, extra: str, what: str) -> None:
        super().__init__(
            "env.missing-extra",
            f"{what} needs {package}, which is not installed",
            found=f"no package {package}",
            do=f"pip install 'ambidex[{extra}]'",
        )
        self.package = package
        self.extra = extra


class InternalError(AmbidexError):
    """Our bug."""

    exit_code = 1
    http_status = 500


def nearest(name: str, names: Iterable[str], *, count: int = 3) -> list[str]:
    """The names most like ``name``, best first.

    >>> nearest("plna", ["plan", "age", "income"])
    ['plan']
    """
    folded: dict[str, str] = {}
    for candidate in names:
        folded.setdefault(candidate.casefold(), candidate)
    hits = difflib.get_close_matches(name.casefold(), folded, n=count, cutoff=0.5)
    starts = [f for f in folded if f.startswith(name.casefold()) or name.casefold().startswith(f)] if name else []
    return [folded[h] for h in dict.fromkeys([*hits, *starts])][:count]


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """``"; did you mean `plan`?"``, or nothing where no name is near.

    >>> did_you_mean("plna", ["plan", "age"])
    '; did you mean `plan`?'
    """
    hits = nearest(name, names, count=1)
    return f"; did you mean `{hits[0]}`?" if hits else ""


CODES: dict[str, str] = {
    # usage, exit 2
    "usage.command": "There is no such verb. `ambidex --help` lists them.",
    "usage.option": "The verb has no such option, or the option lacks its value.",
    "usage.argument": "The verb lacks an argument, or there is one too many; `ambidex VERB --help` lists them.",
    "usage.value": "The option cannot take this value; the message names the range it takes.",
    "usage.type": "An argument has the wrong type; the message names what it may be.",
    "usage.name": "Names of models take a to z, 0 to 9, `_` and `-`, 1 to 64 of them.",
    "usage.reference": "A reference is NAME@NUMBER or NAME@live, @staging, @shadow, @canary, @candidate, @previous.",
    "usage.metric": "A metric is `col`, `col:mean`, `col:share`, `num/den`; see `ambidex experiment --help`.",
    "usage.plan": "The plan was made for another question: metric, group, unit, alpha or guardrails differ from it.",
    "usage.not-fitted": "The estimator was not fitted. Fit it, then package it.",
    "usage.not-importable": "A part of the estimator lives in __main__ or is a lambda; move it into a module.",
    "usage.source": "`package` cannot read this kind of source.",
    "usage.config": "ambidex.toml holds an unknown key or a value of the wrong type.",
    "usage.code": "There is no such error code.",
    # data, exit 3
    "data.no-file": "There is no such file. The nearest name in that folder is suggested.",
    "data.not-a-file": "The path is a device, pipe or socket. Tables are regular files.",
    "data.format": "The content is not a table: the first bytes say what it is.",
    "data.empty": "The table has no rows or no columns.",
    "data.too-few-rows": "Too few rows to say anything about this question.",
    "data.ragged": "A line has more or fewer fields than the header.",
    "data.quote": "A quote opens and never closes.",
    "data.duplicate-column": "Two columns carry one name. Rename one of them.",
    "data.no-column-name": "A column has no name.",
    "data.encoding": "The bytes are not valid in the encoding that was read.",
    "data.no-column": "There is no such column. The nearest names are suggested.",
    "data.no-label": "The column has no such value. The values found are listed.",
    "data.type": "Values have another type than the column was declared or trained with.",
    "data.column-type": "The column's type does not fit the question.",
    "data.target-constant": "The target has one value only, so nothing can predict it.",
    "data.target-missing": "The target is missing in every row.",
    "data.target-levels": "The target has more levels than the question takes; name the one with --positive.",
    "data.one-unit": "All rows of the order log are of one customer. Segments need several.",
    "data.one-date": "All rows of the order log are of one day, so nothing can be measured before or after it.",
    "data.future-dates": "Every date of the order log lies in the future.",
    "data.negative-values": "Most values of the order log are below 0. Turn the sign, or name another column.",
    "data.no-inputs": "No column is left by which rows could be alike: ids, constants and free text do not count.",
    "data.target-time": "The target holds points in time. Drivers takes yes/no, a number, or a time to an end.",
    "data.target-text": "The target is free text. Name a column of yes/no or of numbers.",
    "data.duration": "The time to the end is no number, negative, or 0 in every row.",
    "data.lever": "This column cannot be a lever: it has one value, or too many to set one against another.",
    "data.groups": "The column of --group does not group the rows: one group, or a missing name.",
    "data.one-arm": "An experiment needs two arms at least.",
    "data.no-treated": "Nobody got the treatment, so there is nothing to measure. Bring the treated rows too.",
    "data.start": "The start leaves too little before it, or the treated units start on another date.",
    "data.outcome-before-treatment": "Every outcome lies before the treatment, so none of it can be its effect.",
    "data.small-arm": "An arm has fewer than two units with a value.",
    "data.no-variance": "The metric has the same value in every unit.",
    "data.all-missing": "The column holds no value at all.",
    "data.infinite": "The column holds infinite values.",
    "data.cluster": "The cluster column brings no units together.",
    "data.zero-denominator": "The denominator of the ratio is zero.",
    "data.metric-values": "The metric's values do not fit its kind.",
    "data.plan": "The file is no plan that `ambidex plan --out` wrote, or the table does not fit it.",
    "data.schema": "The table lacks columns of the model or they have another type.",
    "data.null": "A value is missing in a column that had none in training.",
    "data.range": "A number is outside what the column can hold.",
    "data.sql": "The SELECT could not be run.",
    "data.changed": "The file changed while it was read.",
    "data.no-model": "There is no such model in this workspace.",
    "data.no-version": "The model has no such version.",
    "data.no-pointer": "Nothing carries this name of the model at the moment.",
    "data.no-id": "The prediction log has no such id.",
    "data.no-answer": "There is no such answer in this workspace.",
    "data.no-recipe": "The model arrived fitted, without the code that trains it: train it where it was made.",
    "data.no-prototype": "This answer carries no prototype.",
    "data.no-alert": "There is no such alert.",
    "data.no-token": "There is no such token. `ambidex token ls` lists them.",
    "data.no-out-folder": "The folder of the output file does not exist.",
    "data.notebook": "The file is no notebook, has no code, or holds nothing that scores.",
    "data.notebook-cell": "A cell that the model needs fails when it runs.",
    "data.config": "The model's settings in ambidex.toml name something that is not there.",
    # a check said no, exit 4
    "check.gate": "A gate's claim was refuted or is still open; nothing moved.",
    "check.parity": "No way of running the model predicts the same as the original.",
    "check.tests": "A contract test of the version failed.",
    "check.types": "A model file holds types that are not on the list of allowed ones.",
    "check.notebook": "The notebook cannot be packaged; the reasons and what would help are named. Nothing has run.",
    "check.drift": "A column lies outside its margin, or a rule is broken.",
    "check.page": "A page is open: something harms, or a rule is broken.",
    "check.design": "The design cannot answer the question.",
    "check.role": "The text reads as another role than expected.",
    "advice.empty": "There is no text to read.",
    "advice.too-large": "Far longer than a posting; give one at a time.",
    "advice.no-text": "The file holds no text that can be read.",
    "advice.private-column": "A skills sheet has a column that says something else about a person; it is not read.",
    "advice.level": "A level of a skills sheet is not 0, 1, 2, 3 or blank.",
    "advice.same-name": "Two people of a skills sheet have one name.",
    "advice.sheet": "The table is no skills sheet: columns are missing, or it names nobody.",
    "advice.no-person": "Nobody in the sheet has that name. The nearest one is suggested.",
    "advice.unread": "A warning: a column of the sheet that is no skill and was not read.",
    "check.archive": "An archive inflates too far, holds a link, or names a file outside its folder.",
    "check.altered": "A file is not what was sealed: its hash differs.",
    "check.doctor": "The workspace is not sound; the failed checks are named.",
    "check.in-use": "A pointer, or the way back, names this version: it stays.",
    "check.fenced": "The run lost its lease to another one, which finishes the step; nothing was changed by this one.",
    "check.moved": "The pointer moved, or the verdict went stale, while this ran. Nothing was changed; run it again.",
    "check.no-previous": "No earlier version has passed its gates, so there is nothing to go back to.",
    "check.opens": "The version does not open: it could not be loaded, or its golden rows do not come out.",
    # environment, exit 5
    "env.no-workspace": "This folder is not an ambidex workspace, nor is one above it. `ambidex init` makes one.",
    "env.newer-workspace": "The workspace was written by a newer ambidex than this one. Upgrade ambidex.",
    "env.workspace-exists": "There is a workspace here already.",
    "env.not-empty": "The folder holds other files already.",
    "env.port-taken": "Another process listens on this port.",
    "env.public-bind": "A public address needs a token first.",
    "env.missing-extra": "An optional package is not installed; the message has the install line.",
    "env.disk": "The disk is full, read-only, or refuses to write.",
    "env.busy": "Another process holds the lock.",
    "env.broken-workspace": "The workspace's database cannot be read.",
    "env.child": "A child process was killed or did not answer in time.",
    "env.interrupted": "You stopped it. The message says what is saved.",
    "env.no-server": "Nothing answers at this address.",
    "env.notify": "A notice could not be sent: the channel of [notify] is not allowed, not reached, or refuses.",
    "env.no-objects": "The bucket of `artifacts` in ambidex.toml does not answer, or refuses.",
    # HTTP only
    "http.json": "The body is not JSON; the position of the fault is given.",
    "http.shape": 'The body must be {"rows": [{...}]} or one object.',
    "http.column-missing": "A row lacks a column of the model.",
    "http.column-unknown": "A row has a column that the model does not know.",
    "http.type": "A value has another type than the model's column.",
    "http.range": "A number is outside what the column can hold.",
    "http.not-found": "There is no such path.",
    "http.method": "The path does not take this method.",
    "http.media-type": "The body must be application/json.",
    "http.too-large": "The request is larger than the limit.",
    "http.too-many-rows": "The request has more rows than the limit.",
    "http.malformed": "The request is not valid HTTP.",
    "http.timeout": "The request came too slowly.",
    "http.overload": "The server has no room at the moment; retry after the given seconds.",
    "http.model": "The model failed on these rows.",
    "http.deadline": "The answer took longer than the server allows; send fewer rows at a time, or try again.",
    "http.coding": "The body is not packed the way its Content-Encoding says.",
    "http.key": "The Idempotency-Key is no key, or came with another body before.",
    "http.tensor": "A tensor does not fit in name, shape, datatype or values. GET /v2/models/NAME shows them.",
    "http.host": "The server is not known by this name. Names are set by `hosts` under [serving] in ambidex.toml.",
    "http.no-token": "A token is needed: Authorization: Bearer TOKEN. `ambidex token new` makes one.",
    "http.token": "The token is unknown here, was revoked, or has expired.",
    "http.forbidden": "The token's role or models do not allow this.",
    "http.rate": "The token asks more often than `rate` under [serving] in ambidex.toml allows.",
    "http.origin": "A change was asked for by another page than the dashboard's own.",
    "http.form": "The form is older than the server or the session. Load the page again.",
    # our bug, exit 1
    "internal.bug": "This is our bug, not yours. Run again with --debug and report what it prints.",
}


def explain(code: str) -> str:
    """What a code means, and what to do.

    Raises:
        UsageError: ``usage.code`` with the nearest codes.

    >>> explain("data.no-column")
    'There is no such column. The nearest names are suggested.'
    """
    if code in CODES:
        return CODES[code]
    near = nearest(code, CODES)
    raise UsageError(
        "usage.code",
        f"there is no error code {code!r}{did_you_mean(code, CODES)}",
        found=f"near it: {', '.join(near)}" if near else f"{len(CODES)} codes, such as data.no-column",
        do=f"ambidex help {near[0] if near else 'data.no-column'}",
    )
