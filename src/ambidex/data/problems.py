"""What is wrong with a column, in words that name it and count it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow.compute as pc

from ambidex.data.cells import Cells, Mask
from ambidex.data.numbers import Parsed
from ambidex.data.oddities import Problem, odd_numbers
from ambidex.data.times import Times

__all__ = ["Problem", "mixed_types", "number_problems", "text_problems", "time_problems"]

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]

MOJIBAKE = "\ufffd|\u00c2[\u00a0-\u00bf]|\u00c3[\u0080-\u00bf]|\u00e2\u20ac"


def number_problems(
    name: str,
    values: Floats,
    counts: Ints,
    *,
    infinite: int = 0,
    cells: Cells | None = None,
    parsed: Parsed | None = None,
    words: Mask | None = None,
    first_line: int | None = None,
) -> tuple[Problem, ...]:
    """Problems of a number column.

    Args:
        name: Column name.
        values: Different finite values. Shape (k,).
        counts: Rows that hold each. Shape (k,).
        infinite: Infinite cells, where ``parsed`` is not given.
        cells: The text behind the numbers, if it was text; ``parsed`` and ``words`` go with it.
        parsed: What the levels of ``cells`` parsed to.
        words: Which levels are words for missing.
        first_line: Line of the file that row 0 stands on, where that is known.
    """
    out: list[Problem] = []
    if cells is not None and parsed is not None and words is not None:
        if not parsed.number.all():
            out += blank_cells(name, cells, first_line)
            out += _words(name, cells, words & ~parsed.number, first_line, "read as missing")
        odd = ~parsed.number & ~parsed.infinite & ~parsed.blank & ~words
        if odd.any():
            count = cells.count(odd)
            text = (
                f"`{name}` holds {_some(count, 'text')} among numbers ({_examples(cells, odd)}), "
                f"first {_place(cells, odd, first_line)}; read as missing"
            )
            out.append({"code": "text-in-numbers", "text": text, "count": count})
        if parsed.grouped.any():
            count = cells.count(parsed.grouped)
            text = (
                f"`{name}` writes {_some(count, 'number')} with thousands commas "
                f"({_examples(cells, parsed.grouped)}); `1,234` is read as 1234"
            )
            out.append({"code": "grouped-numbers", "text": text, "count": count})
        if parsed.decimal.any():
            count = cells.count(parsed.decimal)
            text = (
                f"`{name}` writes {_some(count, 'number')} with a decimal comma "
                f"({_examples(cells, parsed.decimal)}); `3,5` is read as 3.5"
            )
            out.append({"code": "decimal-commas", "text": text, "count": count})
        infinite = cells.count(parsed.infinite)
        if infinite:
            text = (
                f"`{name}` holds {_some(infinite, 'infinite value')} ({_examples(cells, parsed.infinite)}), "
                f"first {_place(cells, parsed.infinite, first_line)}; read as missing"
            )
            out.append({"code": "infinite", "text": text, "count": infinite})
    elif infinite:
        text = f"`{name}` holds {_some(infinite, 'infinite value')}; read as missing"
        out.append({"code": "infinite", "text": text, "count": infinite})
    told = _sentinels(name, values, counts) or _apart(name, values, counts)
    odd = [p for p in odd_numbers(name, values, counts) if not (told and p["code"] == "outliers")]
    return (*out, *told, *odd)


def text_problems(name: str, cells: Cells, first_line: int | None, *, labels: bool = True) -> tuple[Problem, ...]:
    """Problems of a text column; ``labels`` also looks for one label spelled in two ways."""
    out = blank_cells(name, cells, first_line)
    out += _words(name, cells, cells.is_word, first_line, "kept as a label; it may mean missing")
    out += _misread(name, cells, first_line)
    if labels:
        out += _variants(name, cells)
    return tuple(out)


def mixed_types(name: str, cells: Cells, parsed: Parsed, first_line: int | None) -> list[Problem]:
    """Numbers and texts in one column, and where the rarer kind begins."""
    known = cells.known_rows - cells.count(parsed.blank)
    share = cells.count(parsed.number) / known if known else 0.0
    texts = ~parsed.number & ~parsed.infinite & ~parsed.blank & ~cells.is_word
    if not 0.02 < share < 0.999 or not texts.any():
        return []
    rarer, what = (texts, "text") if share >= 0.5 else (parsed.number, "number")
    count = cells.count(rarer)
    other = "numbers" if what == "text" else "texts"
    text = (
        f"`{name}` mixes {_some(count, what)} with {other} ({_examples(cells, rarer)}), "
        f"first {_place(cells, rarer, first_line)}; read as text"
    )
    return [{"code": "mixed-types", "text": text, "count": count}]


def _misread(name: str, cells: Cells, first_line: int | None) -> list[Problem]:
    """Letters that went through the wrong encoding: `Â£` for `£`, `Ã©` for `é`, the replacement mark."""
    hits: Mask = pc.fill_null(pc.match_substring_regex(cells.levels, MOJIBAKE), False).to_numpy(zero_copy_only=False)
    if not hits.any():
        return []
    count = cells.count(hits)
    text = (
        f"`{name}` holds {_some(count, 'text')} in a wrong encoding ({_examples(cells, hits, 2)}), "
        f"first {_place(cells, hits, first_line)}"
    )
    return [{"code": "mis-encoded", "text": text, "count": count}]


def time_problems(name: str, times: Times, cells: Cells | None, first_line: int | None) -> tuple[Problem, ...]:
    """Problems of a time column: zones, order of day and month, cells that are no time.

    ``cells`` is None where the column holds times by its type.
    """
    out: list[Problem] = []
    if cells is not None:
        out += _not_times(name, times, cells, first_line)
    zoned, naive = int(times.zoned.sum()), int(times.naive.sum())
    if zoned and naive:
        text = (
            f"`{name}` mixes {_some(zoned, 'time')} with a zone ({', '.join(times.offsets[:4])}) and "
            f"{naive:,} without; those without are read as UTC"
        )
        out.append({"code": "mixed-zones", "text": text, "count": naive})
    elif len(times.offsets) > 1:
        text = (
            f"`{name}` mixes zones ({', '.join(times.offsets[:4])}) in {_some(zoned, 'time')}; all are turned into UTC"
        )
        out.append({"code": "mixed-zones", "text": text, "count": zoned})
    if times.guessed:
        count = int(times.read.sum())
        text = (
            f"`{name}` does not settle whether day or month comes first in {_some(count, 'date')}; "
            f"read as {times.order}"
        )
        out.append({"code": "ambiguous-dates", "text": text, "count": count})
    if len(times.forms) > 1:
        text = f"`{name}` writes its dates in {len(times.forms)} ways ({', '.join(times.forms)})"
        if times.order:
            text += f"; those with the year last are read as {times.order}"
        out.append({"code": "mixed-dates", "text": text, "count": int(times.read.sum())})
    return tuple(out)


def _not_times(name: str, times: Times, cells: Cells, first_line: int | None) -> list[Problem]:
    out = blank_cells(name, cells, first_line)
    out += _words(name, cells, cells.is_word, first_line, "read as missing")
    read = np.append(np.zeros(len(cells.levels), dtype=bool), False)
    read[cells.codes[times.read]] = True
    odd = ~read[:-1] & ~cells.is_blank & ~cells.is_word
    if odd.any():
        count = cells.count(odd)
        text = (
            f"`{name}` holds {_some(count, 'text')} that no date is read from ({_examples(cells, odd)}), "
            f"first {_place(cells, odd, first_line)}; read as missing"
        )
        out.append({"code": "text-in-times", "text": text, "count": count})
    return out


def blank_cells(name: str, cells: Cells, first_line: int | None) -> list[Problem]:
    """Cells that hold white space only: they look filled to a program and empty to a person."""
    blank = cells.is_blank
    if not blank.any():
        return []
    count = cells.count(blank)
    if not count:
        return []
    text = f"`{name}` holds {_some(count, 'blank cell')}, first {_place(cells, blank, first_line)}; read as missing"
    return [{"code": "blank-cells", "text": text, "count": count}]


def _words(name: str, cells: Cells, words: Mask, first_line: int | None, then: str) -> list[Problem]:
    if not words.any():
        return []
    count = cells.count(words)
    tally = cells.tally(words, limit=4)
    said = ", ".join(f"`{level.strip()}` {rows:,}" for level, rows in tally.items())
    text = f"`{name}` writes {said} times, first {_place(cells, words, first_line)}; {then}"
    return [{"code": "disguised-missing", "text": text, "count": count}]


def _variants(name: str, cells: Cells) -> list[Problem]:
    spellings: dict[str, list[tuple[str, int]]] = {}
    folded = cells.folded.to_pylist()
    if len(set(folded)) == len(folded):
        return []
    for key, level, count in zip(folded, cells.levels.to_pylist(), cells.counts.tolist(), strict=True):
        if key:
            spellings.setdefault(key, []).append((level, count))
    several = [sorted(s, key=lambda p: -p[1]) for s in spellings.values() if len(s) > 1]
    if not several:
        return []
    count = sum(c for s in several for _, c in s[1:])
    example = " and ".join(repr(level) for level, _ in several[0][:3])
    text = f"`{name}` spells {_some(len(several), 'label')} in more than one way ({example}); {count:,} cells differ"
    return [{"code": "spelling", "text": text, "count": count}]


def _sentinels(name: str, values: Floats, counts: Ints) -> list[Problem]:
    """A 999 or -1 far from all other values, several times: it may stand for missing."""
    if len(values) < 3:
        return []
    order = np.argsort(values)
    values, counts = values[order], counts[order]
    found: list[Problem] = []
    for at, rest in ((-1, values[:-1]), (0, values[1:])):
        value, count = values[at], int(counts[at])
        if count < 2 or value != np.trunc(value):
            continue
        spread = max(rest[-1] - rest[0], 1.0)
        gap = abs(value - (rest[-1] if at == -1 else rest[0]))
        nines = set(str(int(abs(value)))) == {"9"} and abs(value) >= 9
        lone_minus = value == -1 and rest[0] >= 0 and spread > 10
        if (nines and abs(value) >= 99 and gap > spread) or (nines and value < 0 <= rest[0]) or lone_minus:
            text = (
                f"`{name}` is {_number(value)} in {_some(count, 'row')}, far from all other values; it may mean missing"
            )
            found.append({"code": "sentinel", "text": text, "count": count})
    return found


def _apart(name: str, values: Floats, counts: Ints) -> list[Problem]:
    """One value, once, more than five times as large as the next: a slip of the pen, or a machine."""
    if len(values) < 20:
        return []
    size = np.abs(values)
    first, second = np.argsort(size)[[-1, -2]]
    if counts[first] != 1 or size[first] <= 5 * size[second]:
        return []
    text = (
        f"`{name}` is {_number(values[first])} in 1 row, more than five times the next value, {_number(values[second])}"
    )
    return [{"code": "stands-apart", "text": text, "count": 1}]


def _number(value: float) -> str:
    return (f"{value:,.0f}" if value == np.trunc(value) and abs(value) < 1e15 else f"{value:,.6g}").replace("-", "−")


def _examples(cells: Cells, levels: Mask, limit: int = 3) -> str:
    tally: Mapping[str, int] = cells.tally(levels, limit=limit)
    shown = ", ".join(f"`{level[:40]}`" for level in tally)
    return shown + (", …" if int(levels.sum()) > limit else "")


def _place(cells: Cells, levels: Mask, first_line: int | None) -> str:
    row = cells.first_row(levels)
    return f"on line {row + first_line:,}" if first_line is not None else f"in row {row + 1:,}"


def _some(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
