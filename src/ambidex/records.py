"""Every dataclass that is written to disk, and the one way to write them.

What reaches disk is a promise: a changed shape keeps its old reader. Records are frozen,
turn into plain JSON by ``to_json`` and come back by ``from_json``; ``canonical`` gives the
bytes that are hashed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal, Self

from ambidex.errors import UsageError

__all__ = [
    "NAME",
    "POINTERS",
    "Column",
    "DataManifest",
    "Event",
    "FileEntry",
    "GateResult",
    "Judgement",
    "ModelState",
    "Prepare",
    "Recipe",
    "Record",
    "Rollout",
    "Schema",
    "VersionRecord",
    "canonical",
    "check_name",
    "digest",
]

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
POINTERS = ("live", "staging", "shadow", "canary", "candidate", "previous")


def canonical(value: Any) -> bytes:
    """The bytes that are hashed: JSON with sorted keys, no blanks, UTF-8, no NaN.

    A file name that is not UTF-8 reaches Python with lone surrogates; they are written as JSON escapes,
    so that what is read back gives the same bytes again.

    >>> canonical({"b": 1, "a": [True, None]})
    b'{"a":[true,null],"b":1}'
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain)
    return text.encode(errors="backslashreplace")


def digest(data: bytes) -> str:
    """Hex sha256."""
    return hashlib.sha256(data).hexdigest()


def check_name(name: str) -> str:
    """A model's name, or a usage error that shows the allowed characters.

    >>> check_name("churn")
    'churn'
    """
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise UsageError(
            "usage.name",
            f"{str(name)[:80]!r} is not a name for a model",
            found=f"allowed are a-z, 0-9, _ and -, 1 to 64 of them, a letter or digit first: {NAME.pattern}",
            do="--name churn",
        )
    return name


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset | Sequence):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


class Record:
    """Base of the records: to plain JSON and back, unknown keys ignored on the way in."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, nested records included."""
        plain: dict[str, Any] = json.loads(canonical(self))
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote."""
        known = {f.name for f in fields(cls)}  # type: ignore[arg-type]  # subclasses are dataclasses
        return cls(**{k: v for k, v in data.items() if k in known})


@dataclass(frozen=True, slots=True, kw_only=True)
class Column(Record):
    """One input column of a model.

    Attributes:
        name: As in the table.
        type: ``float``, ``integer`` or ``category`` (text as the file writes it).
        nullable: True if training rows lacked values, so that null is an ordinary input.
        levels: Categories seen in training, most frequent first; others score as "other".
        low: Declared physical limit, not the training range; None if none was declared.
        high: As ``low``.
    """

    name: str
    type: Literal["float", "integer", "category"]
    nullable: bool = False
    levels: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema(Record):
    """What a model takes and gives.

    Attributes:
        columns: Inputs, in the order of the training table.
        target: The outcome column.
        task: ``binary``, ``multiclass`` (a probability per class), ``regression``, or ``segments``: the output is the
            place of a segment in ``classes``, and no label ever comes.
        classes: For ``binary``: the two labels, negative first, as the file writes them. For ``multiclass``: three or
            more, in the model's order. For ``segments``: their names.
        key: Declared key column; may ride along with a row, is logged, never scored.
        entity: Declared entity column; as ``key``.
        time: Declared event-time column; as ``key``.
    """

    columns: tuple[Column, ...]
    target: str
    task: Literal["binary", "multiclass", "regression", "segments"]
    classes: tuple[str, ...] = ()
    key: str | None = None
    entity: str | None = None
    time: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Input column names."""
        return tuple(c.name for c in self.columns)

    def relaxed(self) -> Schema:
        """The same schema with every column nullable and no number bound to be whole."""
        columns = tuple(
            replace(c, nullable=True, type="float" if c.type == "integer" else c.type) for c in self.columns
        )
        return replace(self, columns=columns)

    @property
    def riders(self) -> tuple[str, ...]:
        """Columns that may ride along: logged, never scored."""
        return tuple(dict.fromkeys(c for c in (self.key, self.entity, self.time) if c))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        columns = tuple(Column.from_json({**c, "levels": tuple(c.get("levels", ()))}) for c in data.get("columns", ()))
        rest = {k: v for k, v in data.items() if k not in ("columns", "classes")}
        known = {f.name for f in fields(cls)}
        return cls(
            columns=columns,
            classes=tuple(data.get("classes", ())),
            **{k: v for k, v in rest.items() if k in known},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry(Record):
    """A file of a data version: name relative to the source, bytes and their sha256."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DataManifest(Record):
    """A data version: which rows, byte for byte and in any order.

    Attributes:
        source: What was named (a path relative to the workspace where it lies inside).
        files: The files and their hashes, by name; empty for a dataframe.
        rows: Number of rows.
        columns: Column names in order.
        row_hash: Order-free: count, and sum modulo 2^64 of each row's low md5 half (hex); see data/fingerprint.py.
        parent: Fingerprint of the version before, if any.
        as_of: Last value of the declared event time, as the file writes it.
    """

    source: str
    files: tuple[FileEntry, ...]
    rows: int
    columns: tuple[str, ...]
    row_hash: str
    parent: str | None = None
    as_of: str | None = None

    @property
    def fingerprint(self) -> str:
        """Names the rows: the same rows in another order or other files give the same one."""
        return digest(canonical([self.rows, list(self.columns), self.row_hash]))[:16]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        known = {f.name for f in fields(cls)}
        values = {k: v for k, v in data.items() if k in known}
        values["files"] = tuple(FileEntry.from_json(f) for f in data.get("files", ()))
        values["columns"] = tuple(data.get("columns", ()))
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepare(Record):
    """How the training table is made from the source, when it is not the source itself.

    Attributes:
        kind: ``orders``: one row a customer from an order log, by ``data.orders.customers_at``. ``customers``:
            recency, frequency, money, tenure and breadth, by ``data.customers.customer_table``.
        unit: Customer column of the log.
        time: Date column of the log.
        value: Money column of the log.
        horizon_days: A customer is quiet if no order follows within so many days of the cut; the cut is
            the log's last day minus these days, so that every label is mature. For ``customers``: the days up to the
            log's last that are counted.
    """

    kind: Literal["orders", "customers"]
    unit: str
    time: str
    value: str
    horizon_days: int = 182


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe(Record):
    """What can be run again: from a data version to a model version.

    Attributes:
        data: Source of the rows, relative to the workspace folder where it lies inside.
        target: Outcome column.
        positive: Label that counts as yes, for a yes/no outcome.
        task: ``binary``, ``multiclass`` or ``regression``.
        columns: Input columns.
        key: Key column, or None.
        time: Event-time column, or None.
        entity: Entity column, or None.
        prepare: How the table is made from the source, or None.
        estimator: ``additive``: the readable spline model of ``drivers``; ``uplift``: the two models of
            ``campaign``, treated and not; ``bundle/fit.py`` lists them.
        seed: Seed of every random step.
        options: What this estimator needs besides (``uplift``: treatment, arm, control).
    """

    data: str
    target: str
    task: Literal["binary", "multiclass", "regression", "segments"]
    columns: tuple[str, ...]
    positive: str | None = None
    key: str | None = None
    time: str | None = None
    entity: str | None = None
    prepare: Prepare | None = None
    estimator: str = "additive"
    seed: int = 0
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        known = {f.name for f in fields(cls)}
        values = {k: v for k, v in data.items() if k in known}
        values["columns"] = tuple(data.get("columns", ()))
        if values.get("prepare") is not None:
            values["prepare"] = Prepare.from_json(values["prepare"])
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Record):
    """One line of the workspace's log. Append only; each carries the hash of the one before.

    Attributes:
        seq: 1, 2, 3, ... without a gap.
        at: UTC, ISO 8601 with microseconds and Z.
        by: Who: the operating system's user, or a service's name.
        verb: What was done; ``journal.VERBS`` lists them.
        model: Model's name, or empty.
        version: Version number, or None.
        body: The rest, by verb.
        prev: Hash of the event before; 64 zeros for the first.
        hash: sha256 of the canonical JSON of all the above.
    """

    seq: int
    at: str
    by: str
    verb: str
    model: str = ""
    version: int | None = None
    body: dict[str, Any] = field(default_factory=dict)
    prev: str = "0" * 64
    hash: str = ""

    def sealed(self) -> Event:
        """The event with its hash filled in."""
        return Event(**{**self._parts(), "hash": self.computed_hash()})

    def computed_hash(self) -> str:
        """What the hash must be."""
        return digest(canonical(self._parts()))

    def _parts(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "hash"}


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRecord(Record):
    """A registered version of a model.

    Attributes:
        model: Model's name.
        number: 1, 2, 3, ... without a gap within the model.
        digest: sha256 of the bundle's manifest: names the bundle and all its files.
        at: When it was registered.
        data: Fingerprint of the data it was trained on.
        code: Hash of recipe and code.
        key: Idempotency key of the run, from data, code and config; the same key is the same version.
        summary: A few figures for listings (rows, metric, value).
    """

    model: str
    number: int
    digest: str
    at: str
    data: str
    code: str
    key: str
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def ref(self) -> str:
        """`NAME@7`."""
        return f"{self.model}@{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult(Record):
    """One gate's verdict, as the contract shows it."""

    name: str
    outcome: str
    because: str
    value: float | None
    low: float | None
    high: float | None
    limit: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement(Record):
    """A version's gates, judged against one state of the world.

    Attributes:
        model: Model's name.
        version: Version judged.
        digest: Its bundle.
        against: Version that was live, or None (a fitted constant).
        gates: Each gate's verdict.
        config: Hash of the gates' configuration.
        data: Fingerprint of the rows it was judged on: the newest matured data known then.
        at: When.
        waived: Gates waived, with the reason.
    """

    model: str
    version: int
    digest: str
    against: int | None
    gates: tuple[GateResult, ...]
    config: str
    data: str
    at: str
    waived: dict[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """True if every gate that was not waived is supported."""
        return bool(self.gates) and all(g.outcome == "supported" or g.name in self.waived for g in self.gates)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        known = {f.name for f in fields(cls)}
        values = {k: v for k, v in data.items() if k in known}
        values["gates"] = tuple(GateResult.from_json(g) for g in data.get("gates", ()))
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelState(Record):
    """Where a model stands: the fold of its events.

    Attributes:
        name: Model's name.
        revision: Counts every event that a promotion must have seen; the conditional update compares it.
        versions: How many versions are registered.
        live: Version that answers, or None. So for the other pointers.
        paused: Why retraining is paused, or None.
        passed: Versions whose gates have passed when they went live, oldest first (rollback's way back).
        left: Versions that a rollback took from live and that have not been judged since: their verdicts are
            stale even where the version they were judged against is live again.
        data: Newest data fingerprint known.
        config: Hash of the gates' configuration last seen.
        deleted: Versions that were deleted; their numbers are never given again.
    """

    name: str
    revision: int = 0
    versions: int = 0
    live: int | None = None
    staging: int | None = None
    shadow: int | None = None
    canary: int | None = None
    candidate: int | None = None
    previous: int | None = None
    paused: str | None = None
    passed: tuple[int, ...] = ()
    left: tuple[int, ...] = ()
    data: str | None = None
    config: str | None = None
    deleted: tuple[int, ...] = ()

    @property
    def answering(self) -> int:
        """The live version; the newest one where nothing is live."""
        return self.live if self.live is not None else self.newest

    @property
    def newest(self) -> int:
        """The newest version that was not deleted; 0 without any."""
        return max(set(range(1, self.versions + 1)) - {*self.deleted}, default=0)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; ``deleted`` only where there are some, so that older workspaces read as they were."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        if not self.deleted:
            del plain["deleted"]
        return dict(json.loads(canonical(plain)))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        known = {f.name for f in fields(cls)}
        values = {k: v for k, v in data.items() if k in known}
        values["passed"] = tuple(data.get("passed", ()))
        values["left"] = tuple(data.get("left", ()))
        values["deleted"] = tuple(data.get("deleted", ()))
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout(Record):
    """A candidate on its way to live: what was declared when it started, and how far it is.

    Attributes:
        model: Model's name.
        version: The candidate.
        against: The live version it is compared with.
        stage: ``shadow`` (scored beside live, its answers unseen) or ``canary`` (answers a share of the units).
        share: Share of the units that the canary answers, in (0, 1).
        started: When the roll-out began, ISO 8601 in UTC.
        staged: When this stage began; only what was predicted from then on counts.
        deadline: When the champion stays because nothing was decided.
        margin: How much worse the mean loss may be and still count as not worse, in units of the loss.
        alpha: Error rate of each of the two claims.
        cap: Largest loss of a unit; larger ones are clipped to it.
        horizon_s: Age at which a unit's label counts, seconds; None: its first label counts on arrival.
        decides: ``watch`` moves the candidate on when it is shown to be not worse, or a ``person`` does.
        settle_s: How long a canary that was shown to be not worse in the shadow must go without a trip, seconds.
        proven: True once the candidate was shown to be not worse: then only trips take it back.
        plan: sha256 of the ROLLOUT.json it is held to, or None.
        state: ``running``; ``ready`` (not worse, and a person decides); ``acting`` (decided, the pointer follows);
            ``ended``.
        action: What was decided: ``canary``, ``live`` or ``withdraw``; None while it runs.
        outcome: How it ended: ``promoted``, ``rolled-back``, ``withdrawn``, ``replaced``, ``by-hand``.
        because: Why, in one sentence with the figures.
    """

    model: str
    version: int
    against: int
    stage: Literal["shadow", "canary"]
    share: float
    started: str
    staged: str
    deadline: str
    margin: float
    alpha: float
    cap: float = 1.0
    horizon_s: float | None = None
    decides: Literal["watch", "person"] = "person"
    settle_s: float = 86_400.0
    proven: bool = False
    plan: str | None = None
    state: Literal["running", "ready", "acting", "ended"] = "running"
    action: str | None = None
    outcome: str | None = None
    because: str = ""

    @property
    def ref(self) -> str:
        """`NAME@7`."""
        return f"{self.model}@{self.version}"

    @property
    def open(self) -> bool:
        """True until it has ended."""
        return self.state != "ended"

    def takes(self, unit: str) -> bool:
        """Whether the canary answers this unit: the same for every request, worker and restart.

        >>> some = dict(model="churn", version=8, against=7, stage="canary", started="", staged="", deadline="")
        >>> r = Rollout(**some, share=0.25, margin=0.02, alpha=0.05)
        >>> 180 < sum(r.takes(f"customer-{i}") for i in range(1000)) < 320
        True
        """
        named = hashlib.blake2b(f"{self.model}@{self.version}/{unit}".encode(errors="replace"), digest_size=8)
        return int.from_bytes(named.digest(), "big") < self.share * 2**64
