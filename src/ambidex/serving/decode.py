"""Typed decoding: the bytes of a request against the schema of a model.

What a row may hold, in JSON:

- ``float`` column: any number (``41`` counts as ``41.0``), not ``true``, not text; 1e999 is out of range.
- ``integer`` column: a whole number of 64 bits. ``3.0`` is one (JSON knows a single kind of number, and tables
  with gaps write their integers so); ``3.7`` is refused, never rounded.
- ``category`` column: text of at most 4,096 characters; a number is refused. A level that training never saw
  is scored as "other".
- ``null`` only where training had missing values. Every input column must be there, null ones too.
- Declared key, entity and time columns may ride along as text or number: logged as text, never scored.
- Any other column is refused. A column twice in one object: the last one counts, scored and logged alike.

All rows or none. The fast way is one C decoder made for the schema; only when it refuses does the slow way
look for every fault, its row, column and value. A body beyond ``EXPLAINED`` bytes is refused for its first fault:
looking for all of them in 10 MB of ``[[],[],...`` held up the loop for 4 s.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from ambidex.errors import AmbidexError, DataError, UsageError, did_you_mean
from ambidex.records import Column, Schema
from ambidex.serving.problems import SHOWN, Fault, HttpRefusal, RowFaults, shortened

__all__ = ["NOT_DECODED", "ROWS", "RowDecoder", "Rows", "not_json"]

ROWS = 10_000
"""Rows of one request, at most; ``ambidex score`` takes tables."""
TEXT = 4_096
"""Characters of one text, at most."""
EXPLAINED = 256 << 10
"""Bytes of a refused body that are searched for every fault."""
FAULTS = 20
"""Faults that one answer lists, at most."""
INT_LOW, INT_HIGH = -(2**63), 2**63 - 1
WHOLE = 2**53
"""Beyond this a float64 is not every whole number, so one written with a point is out of range."""
NOT_DECODED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_MEANT = {
    "out of range": "http.range",
    ">=": "http.range",
    "<=": "http.range",
    "multiple of": "http.type",
    "got `null`": "data.null",
    "missing required": "http.column-missing",
    "unknown field": "http.column-unknown",
}
"""What msgspec's words mean."""
UNNAMEABLE = re.compile(r'["\\\x00-\x1f]')
_POSITION = re.compile(r"\(byte (\d+)\)")


class Rows(NamedTuple):
    """Decoded rows: inputs, and what rode along (text by column), row by row."""

    inputs: list[dict[str, Any]]
    riders: list[dict[str, str]]


class RowDecoder:
    """Decodes requests for one version of a model.

    Args:
        schema: What the version takes.
        limit: Rows of one request, at most.

    >>> schema = Schema(columns=(Column(name="age", type="float"),), target="quiet", task="binary", key="id")
    >>> RowDecoder(schema).decode(b'{"rows": [{"age": 41, "id": 7}]}')
    Rows(inputs=[{'age': 41.0}], riders=[{'id': '7'}])
    """

    def __init__(self, schema: Schema, *, limit: int = ROWS) -> None:
        self.schema = schema
        self.limit = limit
        self._columns = {c.name: c for c in schema.columns}
        self._names = schema.names
        self._integers = [c.name for c in schema.columns if c.type == "integer"]
        self._riders = schema.riders
        kinds: dict[str, Any] = {c.name: _kind(c) for c in schema.columns}
        extra = [r for r in self._riders if r not in kinds]
        labels = {name: f"c{i}" for i, name in enumerate([*kinds, *extra])}
        fields: list[Any] = [(labels[n], k) for n, k in kinds.items()]
        fields += [(labels[r], Annotated[str, Meta(max_length=TEXT)] | int | float | None, None) for r in extra]
        # msgspec cannot carry a quote, a backslash or a control character in a field's name; such a model is
        # decoded by the slow way alone.
        self._fast = not any(UNNAMEABLE.search(name) for name in labels)
        row: Any = msgspec.defstruct(
            "Row",
            fields,
            rename={v: k for k, v in labels.items()} if self._fast else None,
            forbid_unknown_fields=True,
            gc=False,
        )
        body: Any = msgspec.defstruct(
            "Body", [("rows", Annotated[list[row], Meta(max_length=limit)])], forbid_unknown_fields=True
        )
        self._record = row
        self._body = msgspec.json.Decoder(body)
        self._row = msgspec.json.Decoder(row)
        self._inputs_of = _getter([labels[n] for n in self._names])
        self._riders_of = _getter([labels[r] for r in self._riders])

    def decode(self, body: bytes) -> Rows:
        """Rows of a request: ``{"rows": [{…}, …]}`` or one bare object.

        Raises:
            AmbidexError: ``http.json`` (400); ``http.too-many-rows`` (413); ``http.shape``,
                ``http.column-missing``, ``http.column-unknown``, ``http.type``, ``http.range``,
                ``data.null`` (422).
        """
        if not self._fast:
            return self._explain(body)
        try:
            return self._plain(self._body.decode(body).rows)
        except NOT_DECODED as error:
            first = error
        try:
            return self._plain([self._row.decode(body)])
        except NOT_DECODED as error:
            if len(body) <= EXPLAINED:
                return self._explain(body)
            said = str(first)
            bare = said.startswith("Object ") and " - at " not in said and "`rows`" not in str(error)
            raise self._first_fault(body, error if bare else first, bare) from None

    @property
    def fast(self) -> bool:
        """Whether there is a C decoder for this schema."""
        return self._fast

    def records(self, body: bytes) -> list[Any]:
        """Rows of a request as records whose attributes ``c0``, ``c1``, … are the columns in the schema's order.

        Raises:
            One of ``NOT_DECODED``: the body does not fit; ``decode`` says what is wrong with it, or takes it.
        """
        try:
            rows: list[Any] = self._body.decode(body).rows
        except NOT_DECODED:
            return [self._row.decode(body)]
        return rows

    def as_records(self, rows: Rows) -> list[Any]:
        """Decoded rows as such records."""
        labels = [f"c{i}" for i in range(len(self._names))]
        return [
            self._record(**{label: row[name] for label, name in zip(labels, self._names, strict=True)})
            for row in rows.inputs
        ]

    def _plain(self, rows: list[Any]) -> Rows:
        names, inputs_of = self._names, self._inputs_of
        inputs = [dict(zip(names, inputs_of(r), strict=True)) for r in rows]
        for name in self._integers:
            for row in inputs:
                if type(row[name]) is float:
                    row[name] = int(row[name])
        if not self._riders:
            return Rows(inputs, [{} for _ in rows])
        ridden = [zip(self._riders, self._riders_of(r), strict=True) for r in rows]
        return Rows(inputs, [{n: _text(v) for n, v in some if v is not None} for some in ridden])

    # The slow way: find what is wrong. It decides; where it finds nothing (an earlier value of a column that
    # stands twice in one object was wrong, the last is right), its rows are scored.

    def _explain(self, body: bytes) -> Rows:
        value = read_json(body, self._typed_path)
        rows = self._shape(value)
        faults: list[Fault] = []
        inputs: list[dict[str, Any]] = []
        riders: list[dict[str, str]] = []
        for index, row in enumerate(rows):
            if not isinstance(row, dict):
                what = f"row {index} is {_kind_of(row)}, not an object"
                faults.append(Fault("http.shape", what, index, None, shortened(row)))
            else:
                faults += self._faults(index, row)
            if len(faults) >= FAULTS:
                raise RowFaults(faults[:FAULTS], more=True)
            if not faults:
                inputs.append({n: _as(self._columns[n], row[n]) for n in self._names})
                riders.append({r: _text(row[r]) for r in self._riders if row.get(r) is not None})
        if faults:
            raise RowFaults(faults)
        return Rows(inputs, riders)

    def _shape(self, value: Any) -> list[Any]:
        columns, do = ", ".join(self._names)[:500], self._do()
        if not isinstance(value, dict):
            raise DataError("http.shape", f'the body is {_kind_of(value)}, not {{"rows": [...]}} or one object', do=do)
        if "rows" not in value:
            if value:
                return [value]
            raise DataError("http.shape", f"the body is an empty object: it has neither rows nor {columns}", do=do)
        rows = value["rows"]
        beside = [k for k in value if k != "rows"]
        if beside:
            raise DataError(
                "http.shape", f"the body has {shortened(beside[0])} beside rows", do=f"leave out all but rows; {do}"
            )
        if not isinstance(rows, list):
            raise DataError("http.shape", f"rows is {_kind_of(rows)}, not an array", found=shortened(rows), do=do)
        if len(rows) > self.limit:
            raise self._too_many(len(rows))
        return rows

    def _faults(self, index: int, row: Mapping[str, Any]) -> list[Fault]:
        found: list[Fault] = []
        for name, column in self._columns.items():
            if name not in row:
                what = f"row {index} lacks the column {name}"
                found.append(Fault("http.column-missing", what, index, name))
                continue
            wrong = _wrong(column, row[name])
            if wrong is not None:
                code, what = wrong
                found.append(Fault(code, f"row {index}: {what}", index, name, _shown(row[name])))
        for name, value in row.items():
            if name in self._columns:
                continue
            if len(found) > FAULTS:
                break
            if name not in self._riders:
                what = f"row {index} has a column {shortened(name)} that the model does not take"
                if name == self.schema.target:
                    what += ": it is the outcome"
                near = did_you_mean(name[:100], self._names)
                found.append(Fault("http.column-unknown", what + near, index, name[:100], shortened(value)))
            elif isinstance(value, bool | dict | list | _TooLarge):
                what = f"row {index}: {name} is {_kind_of(value)}, not text or a number"
                found.append(Fault("http.type", what, index, name, shortened(value)))
            elif isinstance(value, str) and len(value) > TEXT:
                found.append(
                    Fault("http.range", f"row {index}: {_too_long(name, value)}", index, name, shortened(value))
                )
        return found

    def _first_fault(self, body: bytes, error: Exception, bare: bool) -> AmbidexError:
        """Where the decoder for the schema stopped, as an error of ours."""
        if not isinstance(error, msgspec.ValidationError):
            return not_json(body, error)
        said, _, place = str(error).partition(" - at ")
        place = place.strip("`").removeprefix("$")
        index = re.match(r"\.rows\[(\d+)\]", place)
        row, column = int(index[1]) if index else 0, place[index.end() + 1 if index else 1 :] or None
        if "array` of length" in said:
            return self._too_many(None)
        if index is None and not bare:
            return DataError(
                "http.shape", f"the body does not fit: {said[:200]}", where=place[1:] or None, do=self._do()
            )
        code = "http.type"
        for words, meant in _MEANT.items():
            if words in said:
                code = meant
        if code in ("http.column-missing", "http.column-unknown"):
            column = said.partition("`")[2].rpartition("`")[0][:100]
        at = f", column {column[:100]}" if column else ""
        return RowFaults([Fault(code, f"row {row}{at}: {said[:200]}", row, column)])

    def _typed_path(self, body: bytes) -> str:
        """Where the decoder for the schema stopped: ``$.rows[0].age``."""
        if not self._fast:
            return ""
        try:
            self._body.decode(body)
        except NOT_DECODED as error:
            return str(error).partition(" - at ")[2].strip("`")
        return ""

    def _do(self) -> str:
        return f'send {{"rows": [{{...}}]}} with the columns {", ".join(self._names)[:500]}'

    def _too_many(self, count: int | None) -> AmbidexError:
        said = "more than" if count is None else f"{count:,} rows, the limit is"
        return HttpRefusal(
            "http.too-many-rows",
            f"the request has {said} {self.limit:,}{' rows' if count is None else ''}",
            status=413,
            do="send fewer rows at a time, or score a table: ambidex score NAME TABLE --out FILE",
        )


class _TooLarge(str):
    """A number that no float holds, as it was written."""

    __slots__ = ()


def read_json(body: bytes, where: Callable[[bytes], str] = lambda body: "") -> Any:
    """The value of a JSON text; numbers beyond float64 come back as ``_TooLarge``.

    Args:
        body: UTF-8.
        where: Names the place of a number that is too long to be read at all.

    Raises:
        AmbidexError: ``http.json`` with the position, ``http.range``.
    """
    try:
        return _ANY.decode(body)
    except msgspec.ValidationError:
        place = where(body)
        raise DataError(
            "http.range", f"a number{f' at {place[:100]}' if place else ''} is out of range: it has too many digits"
        ) from None
    except NOT_DECODED as error:
        raise not_json(body, error) from None


def not_json(body: bytes, error: Exception) -> AmbidexError:
    """``http.json`` with the position, from what the decoder raised."""
    match error:
        case UnicodeDecodeError():
            said = f"the body is not valid UTF-8: {error.reason}"
        case RecursionError():
            said = "the body nests arrays or objects too deeply"
        case _:
            said = _syntax(body, str(error))
    return UsageError("http.json", said, do="send UTF-8 JSON (RFC 8259)")


def _number(text: str) -> Any:
    value = float(text)
    return value if value - value == 0 else _TooLarge(text)


_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=_number)


def _syntax(body: bytes, said: str) -> str:
    if not body:
        return "the body is empty"
    found = _POSITION.search(said)
    if found is None:
        if _half_a_pair(body):
            return "the body is not JSON for UTF-8: a text holds half of a surrogate pair"
        return f"the body is not JSON: it ends at byte {len(body)}, before the value does"
    at = int(found[1])
    for word in (b"NaN", b"Infinity", b"-Infinity"):
        if body[at : at + len(word)] == word or (word[:1] == b"-" and body[at - 1 : at - 1 + len(word)] == word):
            return f"the body is not JSON: {word.decode()} at byte {at} is not JSON; send null where a value is missing"
    reason = said.partition(": ")[2].partition(" (byte")[0] or "malformed"
    line = body.count(b"\n", 0, at) + 1
    return f"the body is not JSON: {reason} at byte {at}" + (f", line {line}" if line > 1 else "")


def _half_a_pair(body: bytes) -> bool:
    # msgspec reads a lone \\ud800 before a quote as a text cut off.
    if len(body) > EXPLAINED:
        return False
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def _kind(column: Column) -> Any:
    low, high = column.low, column.high
    kind: Any
    match column.type:
        case "float":
            bounds: dict[str, Any] = {k: v for k, v in (("ge", low), ("le", high)) if v is not None}
            kind = Annotated[float, Meta(**bounds)] if bounds else float
        case "integer":
            # Ends of the 64 bits: beyond them float64 and every table format lose digits.
            least = INT_LOW if low is None else max(INT_LOW, -int(-low // 1))
            most = INT_HIGH if high is None else min(INT_HIGH, int(high // 1))
            bounds = {"ge": float(max(least, -WHOLE)), "le": float(min(most, WHOLE)), "multiple_of": 1.0}
            kind = Annotated[int, Meta(ge=least, le=most)] | Annotated[float, Meta(**bounds)]
        case _:
            kind = Annotated[str, Meta(max_length=TEXT)]
    return kind | None if column.nullable else kind


def _wrong(column: Column, value: Any) -> tuple[str, str] | None:
    """(code, what) of a value that does not fit its column, or None."""
    name, shown = column.name, _shown(value)
    if value is None:
        return None if column.nullable else ("data.null", f"null in {name}, which had no missing values in training")
    if column.type == "category":
        if isinstance(value, _TooLarge) or not isinstance(value, str):
            return "http.type", f"{name} is {shown}; the model takes text"
        return ("http.range", _too_long(name, value)) if len(value) > TEXT else None
    if isinstance(value, _TooLarge):
        return "http.range", f"{name} is {shown}, out of range of a 64-bit float"
    whole = column.type == "integer"
    wanted = "an integer" if whole else "a number"
    broken = whole and isinstance(value, float) and not value.is_integer()
    if isinstance(value, bool) or not isinstance(value, int | float) or broken:
        said = f"{shown}, text" if isinstance(value, str) else shown
        return "http.type", f"{name} is {said}; the model takes {wanted}"
    limit = WHOLE if isinstance(value, float) else INT_HIGH
    if whole and not -limit - isinstance(value, int) <= value <= limit:
        return "http.range", f"{name} is {shown}, out of range of a 64-bit integer"
    if not whole and isinstance(value, int):
        try:
            float(value)
        except OverflowError:
            return "http.range", f"{name} is {shown}, out of range of a 64-bit float"
    if (column.low is not None and value < column.low) or (column.high is not None and value > column.high):
        low = "" if column.low is None else f"{column.low:g}"
        high = "" if column.high is None else f"{column.high:g}"
        return "http.range", f"{name} is {shown}; declared are values from {low or 'any'} to {high or 'any'}"
    return None


def _as(column: Column, value: Any) -> Any:
    if value is None or column.type == "category":
        return value
    return float(value) if column.type == "float" else int(value)


def _shown(value: Any) -> str:
    return str(value)[:SHOWN] if isinstance(value, _TooLarge) else shortened(value)


def _too_long(name: str, value: str) -> str:
    return f"{name} has {len(value):,} characters, the limit is {TEXT:,}"


def _kind_of(value: Any) -> str:
    """A JSON value's kind, with its article."""
    if isinstance(value, bool):
        return "true or false"
    if value is None:
        return "null"
    if isinstance(value, _TooLarge | int | float):
        return "a number"
    return "text" if isinstance(value, str) else "an array" if isinstance(value, list) else "an object"


def _text(value: Any) -> str:
    """A rider as a CSV would write it: whole numbers without a point."""
    if isinstance(value, float) and value.is_integer():
        return f"{value:.0f}"
    return str(value)


def _getter(fields: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    if not fields:
        return lambda row: ()
    get = operator.attrgetter(*fields)
    return get if len(fields) > 1 else lambda row: (get(row),)
