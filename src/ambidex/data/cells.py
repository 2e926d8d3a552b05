"""A text column by its different values, so that each is looked at once however long the column is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ambidex.data.numbers import MISSING_WORDS

__all__ = ["Cells"]

Mask = np.ndarray[Any, np.dtype[np.bool_]]
WORDS = pa.array(MISSING_WORDS)


@dataclass(frozen=True)
class Cells:
    """The different values of a text column.

    Attributes:
        levels: Each different value, in order of first appearance. Shape (k,).
        counts: Rows that hold it. Shape (k,).
        codes: Which level a row holds, -1 for null. Shape (rows,).
    """

    levels: pa.Array
    counts: np.ndarray[Any, np.dtype[np.int64]]
    codes: np.ndarray[Any, np.dtype[np.int64]]

    @classmethod
    def of(cls, text: pa.Array) -> Cells:
        """From strings with null for missing."""
        encoded = text.dictionary_encode()
        codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
        counts = np.bincount(codes[codes >= 0], minlength=len(encoded.dictionary))
        return cls(encoded.dictionary, counts.astype(np.int64), codes)

    @property
    def rows(self) -> int:
        """Rows, missing ones included."""
        return len(self.codes)

    @property
    def known(self) -> bool:
        """True if any cell holds more than white space."""
        return bool((~self.is_blank).any())

    @cached_property
    def known_rows(self) -> int:
        """Rows that are not null; blank ones count."""
        return int(self.counts.sum())

    @cached_property
    def trimmed(self) -> pa.Array:
        """The levels without white space around them."""
        return pc.utf8_trim_whitespace(self.levels)

    @cached_property
    def folded(self) -> pa.Array:
        """The levels trimmed, in lower case."""
        return pc.utf8_lower(self.trimmed)

    @cached_property
    def is_blank(self) -> Mask:
        """Which levels are white space only."""
        return _numpy(pc.equal(self.trimmed, ""))

    @cached_property
    def is_word(self) -> Mask:
        """Which levels are words that commonly stand for missing; blanks not counted."""
        words: Mask = _numpy(pc.is_in(self.folded, value_set=WORDS)) & ~self.is_blank
        return words

    @property
    def distinct(self) -> int:
        """Different values, blank ones not counted."""
        return int((~self.is_blank).sum())

    @cached_property
    def looks_like_time(self) -> bool:
        """A cheap look at the first levels before the expensive one: digits, and marks that dates have."""
        sample = self.trimmed.slice(0, 50)
        hits = pc.match_substring_regex(
            sample, r"^(?:\d{4}[-/.]?\d{1,2}[-/.]?\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}|.*[A-Za-z]{3}.*\d{4})"
        )
        return bool(2 * _numpy(hits).sum() >= len(sample))

    @cached_property
    def mostly_sentences(self) -> bool:
        """True if most levels hold two blanks or more."""
        spaced = _numpy(pc.greater_equal(pc.count_substring(self.trimmed, " "), 2))
        return bool(2 * spaced.sum() > len(spaced))

    def known_texts(self, limit: int) -> list[str]:
        """The different values trimmed and folded, if there are at most ``limit``; else none."""
        if len(self.levels) > limit:
            return []
        return [v for v in self.folded.to_pylist() if v]

    def spread(self, values: Any, missing: Any) -> Any:
        """A value per level turned into a value per row, ``missing`` where the cell is null."""
        return np.append(values, missing)[self.codes]  # code -1 looks at the last

    def truth(self) -> Any:
        """1 and 0 a row, if the column says only true and false, in any case; else None."""
        texts = self.known_texts(limit=8)
        if not texts or set(texts) - {"true", "false"}:
            return None
        values = np.array([{"true": 1.0, "false": 0.0}.get(v, np.nan) for v in self.folded.to_pylist()])
        return self.spread(values, np.nan)

    def count(self, levels: Mask) -> int:
        """Rows that hold one of the levels in a mask over levels."""
        return int(self.counts[levels].sum())

    def first_row(self, levels: Mask) -> int:
        """First row (from 0) that holds one of them; -1 if none does."""
        hits = self.spread(levels, False)
        return int(hits.argmax()) if hits.any() else -1

    def tally(self, levels: Mask, limit: int = 1000) -> dict[str, int]:
        """Level -> rows for the levels in the mask, most frequent first, ties by first appearance."""
        at = np.flatnonzero(levels)
        if not len(at):
            return {}
        at = at[np.argsort(-self.counts[at], kind="stable")][:limit]
        names = self.levels.take(pa.array(at)).to_pylist()
        return dict(zip(names, self.counts[at].tolist(), strict=True))


def _numpy(flags: Any) -> Mask:
    out: Mask = pc.fill_null(flags, False).to_numpy(zero_copy_only=False)
    return out
