"""ambidex.toml: what only people know and the tool must be told once. Unknown keys are errors."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec

from ambidex.errors import UsageError, did_you_mean
from ambidex.records import NAME, Prepare, canonical, digest
from ambidex.settings_watch import NotifySettings, RolloutSettings, check_notify

__all__ = [
    "FAMILIES", "FILE", "AdviceSettings", "GateSettings", "Limits", "LogSettings", "ModelSettings",
    "SearchSettings", "Settings", "add_model", "duration", "quoted", "read_settings", "replace_file", "size",
]  # fmt: skip

FILE = "ambidex.toml"

LONGEST = 100 * 366 * 86400.0
"""Seconds that a duration may have: later than that no calendar reaches."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def duration(text: str) -> float:
    """Seconds in a duration such as ``7d``, ``12h`` or ``30 m``.

    >>> duration("7d")
    604800.0
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhdw])\s*", text)
    if match is None:
        raise UsageError(
            "usage.config", f"{text!r} is not a duration", found="a number and s, m, h, d or w", do='write "7d"'
        )
    seconds = float(match[1]) * _UNITS[match[2]]
    if seconds > LONGEST:
        raise UsageError("usage.config", f"{text!r} is longer than a hundred years", do='write "7d"')
    return seconds


class GateSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """``[gates]``: what a version must show before a pointer moves to it.

    Attributes:
        margin: How much worse the mean paired loss may be than the live version's: Brier score for yes/no,
            share of the constant's squared error for numbers.
        alpha: Error rate of each claim, two-sided.
        max_age: How long a verdict stays fresh.
        max_changed: Largest share of rows whose decision may differ from the live version's (of a number: that
            moves by more than a tenth of the live outputs' standard deviation); None asks for no such gate.
        calibration: Largest root-mean-square gap between what is predicted and what happens, over tenths of the
            scores (of a number, in standard deviations of the target); None asks for no such gate.
        slice_margin: As ``margin``, for the worst level of the slices that ``[models.NAME]`` declares.
    """

    margin: float = 0.005
    alpha: float = 0.05
    max_age: str = "7d"
    max_changed: float | None = None
    calibration: float | None = None
    slice_margin: float = 0.02

    @property
    def hash(self) -> str:
        """Names this configuration; a verdict under another one is stale."""
        said: list[Any] = [self.margin, self.alpha, self.max_age]
        more = [self.max_changed, self.calibration, self.slice_margin]
        return digest(canonical(said if more == [None, None, 0.02] else [*said, *more]))[:16]


class Limits(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """``[models.NAME.limits]``: what one version may cost; None is no limit.

    Attributes:
        latency_ms: Milliseconds that 99 of 100 single rows may take to score, in this process.
        size_mb: Megabytes of all its files.
    """

    latency_ms: float | None = None
    size_mb: float | None = None


FAMILIES = ("additive", "linear", "boosted", "forest")
"""Families that a search may try."""


class SearchSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """``[models.NAME.search]``: ``train NAME`` tries several recipes and keeps the best.

    Attributes:
        trials: Most recipes that are tried.
        budget: Time after which no further one is begun, such as ``10m``; None: only ``trials`` ends the search.
        families: Which families.
    """

    trials: int = 20
    budget: str | None = None
    families: tuple[str, ...] = ("additive", "boosted", "forest")


class LogSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """``[models.NAME.log]``: what the prediction log keeps of a row.

    Attributes:
        hash: Columns that are logged as a keyed hash: still joined by, no longer read.
        drop: Columns that are not logged.
        retain: How long rows are kept, such as ``90d``; if not said, what ``[serving]`` says.
    """

    hash: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    retain: str | None = None


class ModelSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """``[models.NAME]``.

    Attributes:
        data: File, folder or glob of the rows, relative to the workspace.
        target: Outcome column.
        positive: Label that counts as yes.
        key: Column that names a row's unit; the same unit stays on one side of every split.
        time: Event-time column.
        entity: Entity column.
        horizon: How long after the event time a label is final; needs ``time``. Without it: on arrival.
        min_labels: New matured labels that make a retraining due.
        policy: How far ``retrain`` and ``watch`` move a version that passed.
        loss_cap: Largest loss of one unit in a roll-out; larger ones are clipped to it. 1 is what predicting the mean
            costs for numbers, and the most that a Brier loss can be.
        prepare: How the table is made from the data.
        slices: Columns whose every level must do about as well as under the live version.
        never: Columns that no version may take as an input.
        stale: Age of a version's data from which it counts as stale, such as ``30d``.
        limits: What one version may cost.
        search: How ``train`` looks for a better recipe; None: it runs the one that is sealed.
        log: What the prediction log keeps of its rows.
    """

    data: str
    target: str
    positive: str | None = None
    key: str | None = None
    time: str | None = None
    entity: str | None = None
    horizon: str | None = None
    min_labels: int = 200
    policy: Literal["candidate", "staging", "shadow", "canary", "live"] = "candidate"
    loss_cap: float = 1.0
    prepare: dict[str, Any] | None = None
    slices: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    stale: str | None = None
    limits: Limits = Limits()
    search: SearchSettings | None = None
    log: LogSettings = LogSettings()

    @property
    def recipe_prepare(self) -> Prepare | None:
        """The declared preparation as a record."""
        return None if self.prepare is None else Prepare.from_json(self.prepare)


class Question(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """``[questions.NAME]``: an open question; an answer that names it settles it."""

    wording: str
    who: str | None = None
    by: str | None = None


class WatchSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """``[watch]``: margins and the budget of false alarms.

    Attributes:
        margin: Distance from the reference that counts, in shares.
        tolerance: How much the loss may rise above the reference's upper limit.
        budget: False alarms allowed a year, pages and infos each.
        looks: Looks a year.
        availability: Share of requests that must be answered.
    """

    margin: float = 0.02
    tolerance: float = 0.02
    budget: float = 1.0
    looks: float = 365.0
    availability: float = 0.999


class AdviceThresholds(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """``[advice.thresholds]``: what advice counts with; None is the value that ships.

    Attributes:
        small_team: Most people for whom one person can do both jobs.
        can_specialise: Fewest people that can divide the jobs.
        strong: Level from which somebody counts as strong.
        stale_days: Days after which an answer to a question is forgotten.
    """

    small_team: int | None = None
    can_specialise: int | None = None
    strong: int | None = None
    stale_days: int | None = None

    def given(self) -> dict[str, int]:
        """What the file says."""
        return {k: v for k in self.__struct_fields__ if (v := getattr(self, k)) is not None}


class AdviceSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """``[advice]``: levels that the two roles need here.

    Attributes:
        areas: Area -> level of the data scientist and of the ML engineer, 0 to 3 or "any".
        thresholds: What advice counts with.
    """

    areas: dict[str, tuple[int | str, int | str]] = msgspec.field(default_factory=dict)
    thresholds: AdviceThresholds = AdviceThresholds()


class S3Settings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """``[s3]``: the server that keeps the artifacts; keys are read from the environment, never from here.

    Attributes:
        endpoint: Its address, where it is not Amazon's.
        region: The bucket's region.
        alone: True if no other workspace keeps its files under this address, a copy of this one neither: only then
            are files removed from it.
    """

    endpoint: str | None = None
    region: str | None = None
    alone: bool = False


class ServingSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """``[serving]``: what the server asks of its callers.

    Attributes:
        hosts: Names under which the server is reached, beside this machine's own: a request with another Host is
            refused. On a public address every name is taken unless some are said.
        tokens: ``on``: a caller needs one. ``off``: none is asked for, on this machine's own addresses only. Not
            said: as soon as one was ever made.
        rate: Requests a second that one token may make; no limit if not said.
        burst: Requests that a token may make at once, beyond its rate; twice the rate if not said.
        durable: Answers wait until their rows survive power loss.
        retain: How long the prediction log keeps rows, such as ``90d``; for ever if not said.
        memory: A worker that holds more is replaced by another, such as ``2GB``; 1 GB beyond four times what it held
            when it was ready if not said.
    """

    hosts: tuple[str, ...] = ()
    tokens: Literal["on", "off"] | None = None
    rate: float | None = None
    burst: int | None = None
    durable: bool = False
    retain: str | None = None
    memory: str | None = None


class Settings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The whole file.

    Attributes:
        name: What people call the workspace.
        database: URL of a Postgres that keeps the events; the workspace's own SQLite file if not said.
        artifacts: Address of a bucket that keeps the versions' files, ``s3://BUCKET/PREFIX``; the workspace's
            own folder if not said.
        s3: Its server.
    """

    name: str | None = None
    database: str | None = None
    artifacts: str | None = None
    s3: S3Settings = S3Settings()
    gates: GateSettings = GateSettings()
    watch: WatchSettings = WatchSettings()
    serving: ServingSettings = ServingSettings()
    rollout: RolloutSettings = RolloutSettings()
    notify: NotifySettings = NotifySettings()
    models: dict[str, ModelSettings] = msgspec.field(default_factory=dict)
    questions: dict[str, Question] = msgspec.field(default_factory=dict)
    advice: AdviceSettings = AdviceSettings()

    def gates_of(self, model: str) -> dict[str, Any]:
        """What a version of this model must show, as written down: gates, slices and limits."""
        said: dict[str, Any] = msgspec.to_builtins(self.gates)
        mine = self.models.get(model)
        if mine is not None:
            said |= {"slices": list(mine.slices), "limits": msgspec.to_builtins(mine.limits)}
        return said

    def gates_hash(self, model: str) -> str:
        """Names it; a verdict under another configuration is stale."""
        mine = self.models.get(model)
        if mine is None or (not mine.slices and mine.limits == Limits()):
            return self.gates.hash
        return digest(canonical([self.gates.hash, list(mine.slices), msgspec.to_builtins(mine.limits)]))[:16]


def read_settings(folder: Path) -> Settings:
    """Read and validate the workspace's ambidex.toml.

    Raises:
        UsageError: ``usage.config`` for a file that is not TOML, an unknown key, or a wrong type.
    """
    return _validated((folder / FILE).read_bytes())


def _validated(data: bytes) -> Settings:
    try:
        raw = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError("usage.config", f"{FILE} is not TOML: {error}", where=FILE) from error
    try:
        settings = msgspec.convert(raw, Settings, strict=True)
    except msgspec.ValidationError as error:
        raise UsageError(
            "usage.config", _explain(str(error)), where=FILE, do=f"mend {FILE} and run the command again"
        ) from error
    for name, model in settings.models.items():
        if not NAME.fullmatch(name):
            raise UsageError("usage.config", f"[models.{name}]: {name!r} is not a name for a model", where=FILE)
        if model.horizon is not None:
            duration(model.horizon)
            if model.time is None and model.prepare is None:  # prepared rows are mature as they are made
                raise UsageError(
                    "usage.config",
                    f"[models.{name}] horizon needs time: the column from which a row's age is counted",
                    where=FILE,
                    found=f"horizon = {quoted(model.horizon)} and no time",
                    do=f'write time = "COLUMN" under [models.{name}], or remove horizon',
                )
        _check_prepare(name, model.prepare)
        _check_log(name, model.log)
        _in_range(f"models.{name}.loss_cap", model.loss_cap, 0, 1e9)
        _check_model(name, model)
    _check_addresses(settings)
    duration(settings.gates.max_age)
    _in_range("gates.alpha", settings.gates.alpha, 0, 1)
    _in_range("gates.margin", settings.gates.margin, -1, 1)
    _in_range("gates.slice_margin", settings.gates.slice_margin, -1, 1)
    for limit in ("max_changed", "calibration"):
        if (value := getattr(settings.gates, limit)) is not None:
            _in_range(f"gates.{limit}", value, 0, 1)
    _in_range("watch.budget", settings.watch.budget, 0, 1e6)
    _in_range("watch.looks", settings.watch.looks, 0, 1e9)
    _in_range("watch.margin", settings.watch.margin, 0, 1)
    _in_range("watch.tolerance", settings.watch.tolerance, 0, 1)
    _in_range("watch.availability", settings.watch.availability, 0, 1)
    _check_serving(settings.serving)
    for key, high in (("margin", 1), ("alpha", 1), ("share", 1), ("errors", 1), ("mix", 1)):
        _in_range(f"rollout.{key}", getattr(settings.rollout, key), 0, high)
    _in_range("rollout.slower", settings.rollout.slower, 1, 1e6)
    duration(settings.rollout.deadline)
    duration(settings.rollout.settle)
    check_notify(settings.notify, FILE)
    return settings


def add_model(folder: Path, name: str, settings: ModelSettings) -> bool:
    """Append ``[models.NAME]`` to ambidex.toml, unless it is there; what people wrote is left as it is.

    Returns:
        True if it was written.
    """
    if name in read_settings(folder).models:
        return False
    lines = [f"\n[models.{name}]"]
    for field in ("data", "target", "positive", "key", "time", "entity"):
        if (value := getattr(settings, field)) is not None:
            lines.append(f"{field} = {quoted(value)}")
    if settings.prepare is not None:
        lines.append(f"\n[models.{name}.prepare]")
        lines += [f"{k} = {quoted(v) if isinstance(v, str) else v}" for k, v in settings.prepare.items()]
    path = folder / FILE
    text = path.read_text(encoding="utf-8").rstrip("\n") + "\n" + "\n".join(lines) + "\n"
    try:
        _validated(text.encode())
    except UsageError as error:
        raise UsageError(
            "usage.config",
            f"[models.{name}] cannot be added to {FILE} as it is written: {error.message}",
            where=FILE,
            do=f"write [models.{name}] with data = {quoted(settings.data)} and target = {quoted(settings.target)}",
        ) from error
    replace_file(path, text)
    return True


def replace_file(path: Path, text: str) -> None:
    """Put a whole text file in its place: other processes, and the one after a power loss, see the old or the new.

    The temp file has one name, so that a killed writer leaves one at most; writers take turns.
    """
    temporary = path.with_name(f"{path.name}.new")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def quoted(text: str) -> str:
    """A TOML basic string.

    >>> quoted('say "no"')
    '"say \\\\"no\\\\""'
    """
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    escaped = "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in escaped)
    return f'"{escaped}"'


def _check_prepare(model: str, prepare: dict[str, Any] | None) -> None:
    if prepare is None:
        return
    where = f"[models.{model}.prepare]"
    kinds = {"kind": str, "unit": str, "time": str, "value": str, "horizon_days": int}
    for key, value in prepare.items():
        if key not in kinds:
            raise UsageError("usage.config", f"unknown key `{key}` in {where}{did_you_mean(key, kinds)}", where=FILE)
        if type(value) is not kinds[key]:
            raise UsageError("usage.config", f"{where} {key} = {value!r} is no {kinds[key].__name__}", where=FILE)
    lacking = [key for key in ("kind", "unit", "time", "value") if key not in prepare]
    if prepare.get("horizon_days", 1) < 1:
        raise UsageError("usage.config", f"{where} horizon_days must be 1 or more", where=FILE)
    if lacking or prepare["kind"] not in ("orders", "customers"):
        wrong = f"lacks {', '.join(lacking)}" if lacking else f"has kind {prepare['kind']!r}"
        raise UsageError("usage.config", f"{where} {wrong}", found='kind = "orders", unit, time, value', where=FILE)


def _check_model(name: str, model: ModelSettings) -> None:
    where = f"models.{name}"
    if model.stale is not None:
        duration(model.stale)
    for limit in ("latency_ms", "size_mb"):
        if (value := getattr(model.limits, limit)) is not None:
            _in_range(f"{where}.limits.{limit}", value, 0, 1e9)
    if (search := model.search) is None:
        return
    _in_range(f"{where}.search.trials", search.trials, 0, 100_000)
    if search.budget is not None:
        duration(search.budget)
    unknown = [f for f in search.families if f not in FAMILIES]
    if unknown or not search.families:
        raise UsageError(
            "usage.config",
            f"{where}.search.families: {unknown[0]!r} is no family{did_you_mean(unknown[0], FAMILIES)}"
            if unknown
            else f"{where}.search.families is empty",
            where=FILE,
            found=", ".join(FAMILIES),
        )


def _check_addresses(settings: Settings) -> None:
    """Schemes, where the file is read; whether anything answers there shows when it is used."""

    def refuse(key: str, value: str, schemes: str, do: str) -> None:
        scheme = value.partition("://")[0] if "://" in value else "no scheme"
        raise UsageError(
            "usage.config", f"{key} has an address of an unknown kind", where=f"{FILE}, {key}",
            found=f"{scheme[:40]}; known: {schemes}", do=do,
        )  # fmt: skip

    database, artifacts, endpoint = settings.database, settings.artifacts, settings.s3.endpoint
    if database is not None and "://" in database and not database.startswith(("postgresql://", "sqlite:///")):
        refuse("database", database, "postgresql://, sqlite:///", 'database = "postgresql://user@host/name"')
    if artifacts is not None and not artifacts.startswith("s3://"):
        refuse("artifacts", artifacts, "s3://", 'artifacts = "s3://BUCKET/PREFIX"')
    if endpoint is not None and not endpoint.startswith(("http://", "https://")):
        refuse("s3.endpoint", endpoint, "https://, http://", 'endpoint = "https://minio.example:9000"')


def size(text: str) -> int:
    """Bytes in a size such as ``512MB`` or ``2 GB``.

    >>> size("2GB")
    2000000000
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(MB|GB)\s*", text)
    if match is None or not 64e6 <= (found := float(match[1]) * {"MB": 1e6, "GB": 1e9}[match[2]]) <= 1e15:
        raise UsageError("usage.config", f"{text!r} is not a size", found="64MB or more", do='write "2GB"')
    return int(found)


def _check_log(name: str, log: LogSettings) -> None:
    both = sorted(set(log.hash) & set(log.drop))
    if both:
        raise UsageError(
            "usage.config", f"[models.{name}.log] both hashes and drops {both[0][:60]!r}", where=FILE,
            do="leave it in one of the two",
        )  # fmt: skip
    if log.retain is not None:
        duration(log.retain)


def _check_serving(serving: ServingSettings) -> None:
    if serving.retain is not None:
        duration(serving.retain)
    if serving.memory is not None:
        size(serving.memory)
    if serving.rate is not None:
        _in_range("serving.rate", serving.rate, 0, 1e7)
    if serving.burst is not None:
        _in_range("serving.burst", serving.burst, 0, 10**7)
        if serving.rate is None:
            raise UsageError("usage.config", "serving.burst needs serving.rate beside it", where=FILE, do="rate = 100")
    for host in serving.hosts:
        if re.fullmatch(r"[A-Za-z0-9_.:\[\]-]{1,255}", host) is None:
            raise UsageError(
                "usage.config", f"serving.hosts: {host[:60]!r} is no name of a host", where=FILE,
                found="a name or address as callers write it, without http:// and path", do='hosts = ["ml.example"]',
            )  # fmt: skip


def _in_range(name: str, value: float, low: float, high: float) -> None:
    if not low < value < high:
        raise UsageError("usage.config", f"{name} = {value} must lie between {low} and {high}", where=FILE)


def _explain(message: str) -> str:
    match = re.search(r"unknown field `([^`]+)`(?: - at `\$\.?([^`]*)`)?", message)
    if match is None:
        return message.replace("`$.", "`").replace("Object contains", "has")
    key, place = match[1], match[2] or ""
    known: tuple[str, ...] = Settings.__struct_fields__
    sections: dict[str, Any] = {
        "models": ModelSettings, "gates": GateSettings, "watch": WatchSettings, "s3": S3Settings,
        "rollout": RolloutSettings, "notify": NotifySettings, "serving": ServingSettings,
    }  # fmt: skip
    for prefix, struct in sections.items():
        if place.startswith(prefix) and (place != prefix or prefix != "models"):
            known = struct.__struct_fields__
    if place.startswith("models"):
        inner: dict[str, Any] = {"limits": Limits, "search": SearchSettings, "log": LogSettings}
        last = place.rpartition(".")[2]
        known = inner[last].__struct_fields__ if last in inner else known
    hint = did_you_mean(key, known) or f"; known here: {', '.join(sorted(known))}"
    return f"unknown key `{key}`{f' in [{place}]' if place else ''}{hint}"
