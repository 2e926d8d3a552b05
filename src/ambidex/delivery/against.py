"""Integration tests of a version over HTTP, on a running server: does it answer there as it did when it was sealed?

They call what callers call: ``/predict/NAME@staging`` (or where the version answers) and ``/feedback/NAME``. Every
answer is compared with what the version, opened here, gives for the same row.
"""

from __future__ import annotations

import http.client
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ambidex.bundle.open import OpenBundle
from ambidex.delivery import release
from ambidex.delivery.contract import TestCheck
from ambidex.errors import EnvironmentProblem, UsageError
from ambidex.ports import Place
from ambidex.records import ModelState, Schema
from ambidex.report.answer import Mark, Result
from ambidex.stats.claim import Claim, decide
from ambidex.stats.estimate import exact

__all__ = ["SECTIONS", "against", "told"]

SECTIONS = ("golden", "boundary", "schema", "latency", "feedback")
TOKEN = "AMBIDEX_TOKEN"  # noqa: S105  # the variable's name
TIMEOUT_S = 10.0
GOLDEN = 40
TIMED, WARM = 200, 20
LATENCY_MS = 250.0
"""Limit on the p99 where the model declares none."""
CLOSE = 1e-9
"""Largest difference from what the version gives here, as a share of max(1, value): another machine's libm."""
LARGEST = 64 << 20

Outcome = tuple[bool, str]


@dataclass
class _Client:
    """One connection, kept; opened again when the server closed it."""

    secure: bool
    host: str
    port: int
    base: str
    token: str
    connection: http.client.HTTPConnection | None = field(default=None)

    def ask(self, path: str, body: Any, *, raw: bytes | None = None) -> tuple[int, Any, str]:
        """(status, document, media type) of a POST.

        Raises:
            EnvironmentProblem: ``env.no-server``.
        """
        data = raw if raw is not None else json.dumps(body).encode()
        heads = {"Content-Type": "application/json"}
        if self.token:
            heads["Authorization"] = f"Bearer {self.token}"
        for attempt in (1, 2):
            try:
                if self.connection is None:
                    made = http.client.HTTPSConnection if self.secure else http.client.HTTPConnection
                    self.connection = made(self.host, self.port, timeout=TIMEOUT_S)
                self.connection.request("POST", self.base + path, data, heads)
                response = self.connection.getresponse()
                text = response.read(LARGEST)
                break
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if attempt == 2 or isinstance(error, TimeoutError):
                    raise EnvironmentProblem(
                        "env.no-server", f"{self.host}:{self.port} does not answer: {str(error)[:200] or 'it hung up'}",
                        where="--against", do="ambidex serve, and try again",
                    ) from error  # fmt: skip
        try:
            document = json.loads(text)
        except ValueError:
            document = None
        return response.status, document, str(response.headers.get("Content-Type", "")).partition(";")[0]

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def against(place: Place, name: str, number: int, url: str) -> list[TestCheck]:
    """Run the tests on a server.

    Args:
        place: The workspace, which knows what the version answers.
        name: Model's name.
        number: The version.
        url: Where the server listens, such as ``http://127.0.0.1:8377``; a token is taken from ``AMBIDEX_TOKEN``.

    Raises:
        UsageError: ``usage.value`` for what is no such address.
        EnvironmentProblem: ``env.no-server``.
    """
    client = _client(url)
    opened = release.open_version(place, name, number)
    model = place.settings.models.get(name)
    declared = None if model is None else model.limits.latency_ms
    path = _path(place.store.model(name), name, number)
    tests = _Tests(client, opened, name, number, path, LATENCY_MS if declared is None else declared)
    try:
        there = tests.there()
        if not there.passed:
            return [there]
        return [there, *(_run(section, title, test) for section, title, test in tests.all())]
    finally:
        client.close()


def _client(url: str) -> _Client:
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.scheme not in ("http", "https") or not host or parts.username or parts.query or parts.fragment:
        raise UsageError(
            "usage.value", f"{str(url)[:80]!r} is no address of a server", where="--against",
            do="--against http://127.0.0.1:8377",
        )  # fmt: skip
    secure = parts.scheme == "https"
    return _Client(secure, host, port or (443 if secure else 80), parts.path.rstrip("/"), os.environ.get(TOKEN, ""))


def _path(state: ModelState, name: str, number: int) -> str:
    """Where the version answers: beside live at its pointer, as live, or by its number."""
    if state.live == number:
        return f"/predict/{name}"
    pointer = next((p for p in ("staging", "canary", "shadow") if getattr(state, p) == number), number)
    return f"/predict/{name}@{pointer}"


def _run(section: str, title: str, test: Callable[[], Outcome]) -> TestCheck:
    try:
        passed, what = test()
    except EnvironmentProblem as error:
        passed, what = False, error.message
    except (KeyError, TypeError, IndexError, ValueError) as error:
        passed, what = False, f"the answer has another form than promised: {type(error).__name__} {str(error)[:100]}"
    return TestCheck(section, title, passed, what)


@dataclass
class _Tests:
    """The tests of one version on one server."""

    client: _Client
    opened: OpenBundle
    name: str
    number: int
    path: str
    limit_ms: float

    @property
    def schema(self) -> Schema:
        return self.opened.schema

    @property
    def golden(self) -> list[dict[str, Any]]:
        return list(self.opened.golden["rows"][:GOLDEN])

    def there(self) -> TestCheck:
        """Whether this version answers at all."""
        status, document, _ = self.client.ask(self.path, {"rows": self.golden[:1]})
        if status != 200 or not isinstance(document, dict):
            why = document.get("detail") or document.get("title") if isinstance(document, dict) else "no JSON"
            return TestCheck("golden", "answers", False, f"{self.path} answers {status}: {str(why)[:200]}")
        said = f"{document.get('model')}@{document.get('version')}"
        named = said == f"{self.name}@{self.number}"
        return TestCheck("golden", "answers", named, f"{self.path} is answered by {said}")

    def all(self) -> Iterator[tuple[str, str, Callable[[], Outcome]]]:
        yield "golden", "golden rows one by one", self._one_by_one
        yield "golden", "golden rows in one request", self._together
        yield "golden", "every row has an id of its own", self._ids
        yield "boundary", "missing values", self._missing
        yield "boundary", "categories never seen", self._unseen
        yield "boundary", "far numbers", self._far
        yield "boundary", "declared limits", self._limits
        yield "schema", "a missing column is refused", self._lacking
        yield "schema", "an unknown column is refused", self._unknown
        yield "schema", "a wrong type is refused", self._retyped
        yield "schema", "what is no JSON is refused", self._no_json
        yield "schema", "keys ride along", self._riders
        yield "latency", "p99 of single rows", self._latency
        yield "feedback", "a label by id", self._label
        yield "feedback", "a label that is none is refused", self._no_label

    # ------------------------------------------------------------ golden

    def _one_by_one(self) -> Outcome:
        return self._same(self.golden, each=True)

    def _together(self) -> Outcome:
        return self._same(self.golden)

    def _ids(self) -> Outcome:
        _, document, _ = self.client.ask(self.path, {"rows": self.golden})
        ids = document["ids"]
        return len(set(ids)) == len(self.golden), f"{len(set(ids))} ids for {len(self.golden)} rows"

    def _same(self, rows: Sequence[Mapping[str, Any]], *, each: bool = False) -> Outcome:
        """Whether the server gives what the version gives here."""
        got: list[Any] = []
        for part in [[row] for row in rows] if each else [list(rows)]:
            status, document, _ = self.client.ask(self.path, {"rows": part})
            if status != 200:
                return False, f"answers {status}: {_why(document)}"
            if document["version"] != self.number:
                return False, f"answered by version {document['version']}"
            got += self._values(document)
        differs = largest = 0.0
        allowed = max(float(self.opened.golden.get("tolerance", 0.0)), CLOSE)
        for row, value in zip(rows, got, strict=True):
            gap = _gap(value, self.opened.scorer.score(row))
            differs += gap > allowed
            largest = max(largest, gap)
        return not differs, f"{differs:g} of {len(rows)} differ from what it gives here, by {largest:.3g} at most"

    def _values(self, document: Mapping[str, Any]) -> list[Any]:
        """The outputs of an answer, in the form of the scorer."""
        if self.schema.task == "binary":
            return [p[1] for p in document["probabilities"]]
        if self.schema.task == "multiclass":
            return list(document["probabilities"])
        if self.schema.task == "segments":
            return [float(self.schema.classes.index(p)) for p in document["predictions"]]
        return list(document["predictions"])

    # ------------------------------------------------------------ boundary

    def _missing(self) -> Outcome:
        base = self.golden[0]
        able = [c.name for c in self.schema.columns if c.nullable]
        rows = [{**base, name: None} for name in able]
        if able:
            rows.append({**base, **dict.fromkeys(able)})
        bare = [c.name for c in self.schema.columns if not c.nullable]
        for name in bare[:5]:
            status, document, _ = self.client.ask(self.path, {"rows": [{**base, name: None}]})
            if not 400 <= status < 500:
                return False, f"null in {name}, which never was, answers {status}: {_why(document)}"
        if not rows:
            return True, f"null is refused in {len(bare)} columns; no column takes it"
        return self._same(rows)

    def _unseen(self) -> Outcome:
        base = self.golden[0]
        names = [c.name for c in self.schema.columns if c.type == "category"]
        rows = [{**base, name: text} for name in names for text in ("", "never seen", "§ ∑ 漢字")]
        return self._same(rows) if rows else (True, "no column holds categories")

    def _far(self) -> Outcome:
        base = self.golden[0]
        rows = []
        for column in self.schema.columns:
            if column.type != "category" and column.low is None and column.high is None:
                rows += [{**base, column.name: value} for value in (0, -1, 1e15, -1e15)]
        rows = [{k: int(v) if self._whole(k) and v is not None else v for k, v in row.items()} for row in rows]
        return self._same(rows) if rows else (True, "no column takes any number")

    def _whole(self, name: str) -> bool:
        return any(c.name == name and c.type == "integer" for c in self.schema.columns)

    def _limits(self) -> Outcome:
        base, ends = self.golden[0], 0
        for column in self.schema.columns:
            for end, beyond in ((column.low, -1), (column.high, 1)):
                if end is None:
                    continue
                ends += 1
                value = int(end) if column.type == "integer" else end
                inside, _, _ = self.client.ask(self.path, {"rows": [{**base, column.name: value}]})
                outside, _, _ = self.client.ask(self.path, {"rows": [{**base, column.name: value + beyond}]})
                if inside != 200 or not 400 <= outside < 500:
                    return False, f"{column.name}: {value} answers {inside}, {value + beyond} answers {outside}"
        return True, f"{ends} ends hold" if ends else "no column declares a limit"

    # ------------------------------------------------------------ schema

    def _lacking(self) -> Outcome:
        name = self.schema.names[0]
        row = {k: v for k, v in self.golden[0].items() if k != name}
        return self._refused({"rows": [row]}, naming=name)

    def _unknown(self) -> Outcome:
        return self._refused({"rows": [{**self.golden[0], "no_such_column": 1}]}, naming="no_such_column")

    def _retyped(self) -> Outcome:
        column = self.schema.columns[0]
        value: Any = {"a": 1} if column.type == "category" else "many"
        return self._refused({"rows": [{**self.golden[0], column.name: value}]}, naming=column.name)

    def _no_json(self) -> Outcome:
        return self._refused(None, raw=b'{"rows": [')

    def _refused(self, body: Any, *, naming: str = "", raw: bytes | None = None) -> Outcome:
        status, document, media = self.client.ask(self.path, body, raw=raw)
        text = json.dumps(document)
        good = 400 <= status < 500 and media == "application/problem+json" and "Traceback" not in text
        good = good and (not naming or naming in text)
        code = document.get("code") if isinstance(document, dict) else None
        return good, f"{status} {code or _why(document)}"

    def _riders(self) -> Outcome:
        riders = dict.fromkeys(self.schema.riders, "1")
        if not riders:
            return True, "no key, entity or time is declared"
        status, document, _ = self.client.ask(self.path, {"rows": [{**self.golden[0], **riders}]})
        if status != 200:
            return False, f"{', '.join(riders)} answers {status}: {_why(document)}"
        gap = _gap(self._values(document)[0], self.opened.scorer.score(self.golden[0]))
        return gap <= CLOSE, f"{', '.join(riders)} change nothing: {gap:.3g}"

    # ------------------------------------------------------------ latency, feedback

    def _latency(self) -> Outcome:
        rows = self.golden
        times = []
        for i in range(WARM + TIMED):
            began = time.perf_counter()
            status, document, _ = self.client.ask(self.path, {"rows": [rows[i % len(rows)]]})
            times.append((time.perf_counter() - began) * 1000)
            if status != 200:
                return False, f"request {i} answers {status}: {_why(document)}"
        timed = sorted(times[WARM:])
        p99 = timed[math.ceil(0.99 * len(timed)) - 1]
        claim = Claim(measure="p99", relation="below", margin=self.limit_ms)
        verdict = decide(claim, exact("p99", p99, n=len(timed), unit="ms"))
        half = timed[len(timed) // 2]
        what = f"p50 {half:.2f} ms, p99 {p99:.2f} ms over {len(timed)} requests in a row; limit {self.limit_ms:g} ms"
        return verdict.outcome == "supported", what

    def _label(self) -> Outcome:
        if self.schema.task == "segments":
            return True, "segments have no label"
        _, document, _ = self.client.ask(self.path, {"rows": self.golden[:1]})
        label = document["predictions"][0]
        body = {"labels": [{"id": document["ids"][0], "label": label}]}
        status, said, _ = self.client.ask(f"/feedback/{self.name}", body)
        return status == 200, f"{status} {_why(said) if status != 200 else 'kept'}"

    def _no_label(self) -> Outcome:
        body = {"labels": [{"id": "never-given-out", "label": {"no": "label"}}]}
        status, said, media = self.client.ask(f"/feedback/{self.name}", body)
        return 400 <= status < 500 and media == "application/problem+json", f"{status} {_why(said)}"


def _gap(value: Any, expected: Any) -> float:
    """Largest difference of two outputs, as a share of max(1, expected); infinite where they cannot be compared."""
    mine = list(value) if isinstance(value, list | tuple) else [value]
    theirs = list(expected) if isinstance(expected, list | tuple) else [expected]
    if len(mine) != len(theirs):
        return math.inf
    gaps = [abs(float(a) - float(b)) / max(1.0, abs(float(b))) for a, b in zip(mine, theirs, strict=True)]
    return max((g if g == g else math.inf for g in gaps), default=0.0)


def _why(document: Any) -> str:
    if not isinstance(document, dict):
        return "no JSON"
    return str(document.get("detail") or document.get("title") or document.get("code") or "")[:160]


def told(ref: str, url: str, checks: Sequence[TestCheck]) -> Result:
    """What ``test --against`` says: the score is the passed checks of the least section."""
    name, _, number = ref.partition("@")
    failed = [c for c in checks if not c.passed]
    points = {s: sum(c.passed for c in checks if c.section == s) for s in SECTIONS}
    lines: list[tuple[Mark, str]] = [
        ("■" if failed else "✓", f"{ref} on {url}: {len(checks) - len(failed)} of {len(checks)} checks passed")
    ]
    lines += [("✓" if c.passed else "■", f"{c.section:<9} {c.name}: {c.what}") for c in checks]
    return Result(
        verb="test",
        data={
            "model": name, "version": int(number), "against": url, "passed": not failed,
            "score": min(points.values()), "sections": points, "checks": [c.to_dict() for c in checks],
        },
        lines=tuple(lines), passed=not failed, code="check.tests" if failed else None,
        do=f"ambidex models show {ref}" if failed else None,
        next=(f"ambidex promote {ref} --to canary",) if not failed else (),
    )  # fmt: skip
