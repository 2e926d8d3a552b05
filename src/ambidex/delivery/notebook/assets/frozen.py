"""What was worked out on the training rows, kept, so that one row is treated as it was among all of them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["Frozen"]


class Frozen:
    """Values by the place in the code that asks for them.

    Without ``kept`` it is fitting: it does what the code says and keeps the outcome. With ``kept`` it
    gives back what was kept.
    """

    def __init__(self, kept: dict[str, Any] | None = None) -> None:
        self.fitting = kept is None
        self.kept: dict[str, Any] = {} if kept is None else kept
        self.seen: dict[str, str] = {}
        self.left: dict[str, tuple[int, int]] = {}
        self.counts: set[int] = set()
        self.tables: dict[str, tuple[str, Any]] = {}
        self.find: Any = lambda path: path

    def row_like(self, value: Any) -> bool:
        """Whether a value has a row for each of (some of) the rows that were read."""
        index: Any = getattr(value, "index", None)
        if isinstance(value, pd.DataFrame | pd.Series):
            for _, table in self.tables.values():
                if (
                    index.name == table.index.name
                    and len(index) >= max(1, 0.02 * len(table))
                    and (index.isin(table.index).all())
                ):
                    self.counts.add(len(index))
                    return True
            return False
        shape = getattr(value, "shape", None)
        length = shape[0] if shape else len(value) if isinstance(value, list) else -1
        return length > 1 and length in self.counts

    def value(self, site: str, make: Any, *at: Any) -> Any:
        """A figure, list or table over all rows: a mean, the levels, a target rate by level."""
        key = _key(site, at)
        if self.fitting:
            made = make()
            if self.row_like(made):
                self.seen[site] = "rows"
            else:
                self.seen.setdefault(site, "value")
                self.kept.setdefault(key, made)
            return made
        return self.kept[key] if key in self.kept else make()

    def keep(self, site: str, base: Any, some: Any) -> Any:
        """Leaving rows out, or putting them in another order: for training only."""
        if not self.fitting:
            return base.copy() if hasattr(base, "copy") else base
        made = some(base)
        alike = self.row_like(base) and hasattr(made, "index") and _columns(base) == _columns(made)
        if alike and not made.index.equals(base.index):
            self.seen[site] = "keep"
            self.left[site] = (len(base), len(made))
        return made

    def split(self, site: str, parts: list[Any], make: Any) -> Any:
        """A split into training and test rows; when predicting, all rows are on both sides."""
        if self.fitting:
            self.seen[site] = "split"
            made = make()
            self.counts.update(len(m) for m in made)
            return made
        return [part.copy() if hasattr(part, "copy") else part for part in parts for _ in (0, 1)]

    def read(self, site: str, reader: Any, path: Any, *args: Any, **options: Any) -> Any:
        """Read a table, from where ``find`` says it lies."""
        made = reader(self.find(path), *args, **options)
        self.tables[site] = (str(path), made.copy())  # the notebook may change its own in place
        return made

    def quantile_bands(self, site: str, x: Any, q: Any, labels: Any = None, *, at: Any = (), **options: Any) -> Any:
        """``pd.qcut`` with the edges of the training rows; beyond them the outer bands go on."""
        key = _key(site, at)
        if self.fitting:
            made, edges = pd.qcut(x, q, labels=labels, retbins=True, **options)
            self.seen[site] = "bands"
            self.kept[key] = [float(e) for e in edges]
            return made
        return self._bands(x, self.kept[key], labels)

    def equal_bands(self, site: str, x: Any, bins: Any, labels: Any = None, *, at: Any = (), **options: Any) -> Any:
        """``pd.cut`` into a number of bands, with the edges of the training rows."""
        key = _key(site, at)
        if self.fitting:
            made, edges = pd.cut(x, bins, labels=labels, retbins=True, **options)
            self.seen[site] = "bands" if isinstance(bins, int) else "plain"
            self.kept[key] = [float(e) for e in edges] if isinstance(bins, int) else bins
            return made
        edges = self.kept[key]
        return self._bands(x, edges, labels) if isinstance(bins, int) else pd.cut(x, bins, labels=labels, **options)

    def _bands(self, x: Any, edges: list[float], labels: Any) -> Any:
        names = [str(i) for i in range(len(edges) - 1)] if labels is None else labels
        inside = pd.Series(np.asarray(x, dtype=float)).clip(edges[0], edges[-1])
        made = pd.cut(inside, edges, labels=False if labels is False else names, include_lowest=True)
        if labels is None:  # the words that qcut writes: (low, high]
            shown = pd.IntervalIndex.from_breaks(edges)
            made = made.cat.rename_categories(list(shown))
        made.index = getattr(x, "index", made.index)
        return made

    def dummies(self, site: str, data: Any, *, at: Any = (), **options: Any) -> Any:
        """``pd.get_dummies`` with the levels and the columns of the training rows."""
        key = _key(site, at)
        if self.fitting:
            frame = data.to_frame() if isinstance(data, pd.Series) else data
            named = options.get("columns")
            chosen = [c for c in frame.columns if _text(frame[c])] if named is None else list(named)
            levels = {c: list(pd.Categorical(frame[c]).categories) for c in chosen}
            made = pd.get_dummies(data, **options)
            self.seen[site] = "dummies"
            self.kept[key] = {"levels": levels, "columns": list(made.columns)}
            return made
        kept = self.kept[key]
        rest = {k: v for k, v in options.items() if k != "columns"}
        if isinstance(data, pd.Series):
            levels = next(iter(kept["levels"].values()))
            coded = pd.Series(_coded(data, levels), index=data.index, name=data.name)
            return pd.get_dummies(coded, **rest).reindex(columns=kept["columns"], fill_value=0)
        frame = data.copy()
        for column, levels in kept["levels"].items():
            frame[column] = _coded(frame[column], levels)
        made = pd.get_dummies(frame, columns=list(kept["levels"]), **rest)
        return made.reindex(columns=kept["columns"], fill_value=0)

    def codes(self, site: str, x: Any, *at: Any) -> Any:
        """``.cat.codes`` with the levels of the training rows; −1 for a level they did not have."""
        key = _key(site, at)
        if self.fitting:
            self.seen[site] = "codes"
            self.kept[key] = list(x.cat.categories)
            return x.cat.codes
        levels = _coded(x.astype(object), self.kept[key])
        return pd.Series(levels.codes, index=x.index, name=x.name)

    def factorize(self, site: str, x: Any, *at: Any) -> Any:
        """``pd.factorize`` with the levels of the training rows; −1 for a level they did not have."""
        key = _key(site, at)
        if self.fitting:
            codes, levels = pd.factorize(x)
            self.seen[site] = "codes"
            self.kept[key] = list(levels)
            return codes, levels
        levels = self.kept[key]
        return _coded(pd.Series(x).astype(object), levels).codes.astype("int64"), levels

    def fitted(self, site: str, thing: Any, x: Any, *rest: Any, at: Any = (), **options: Any) -> Any:
        """``fit_transform`` once, on the training rows; ``transform`` from then on."""
        key = _key(site, at)
        if self.fitting:
            made = thing.fit_transform(x, *rest, **options)
            self.seen[site] = "fitted"
            self.kept[key] = copy.deepcopy(thing)
            return made
        return self.kept[key].transform(x)


def _columns(value: Any) -> Any:
    return list(value.columns) if hasattr(value, "columns") else None


def _coded(values: Any, levels: Any) -> Any:
    """A categorical of these levels; another value is missing (pandas will raise on it)."""
    return pd.Categorical(values.where(values.isin(levels)), categories=levels)


def _key(site: str, at: Any) -> str:
    parts = at if isinstance(at, tuple) else (at,)
    return site if not parts else f"{site} {' '.join(str(p) for p in parts)}"


def _text(column: Any) -> bool:
    return bool(
        pd.api.types.is_object_dtype(column.dtype)
        or pd.api.types.is_string_dtype(column.dtype)
        or isinstance(column.dtype, pd.CategoricalDtype)
    )
