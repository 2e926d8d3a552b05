"""Several p-values at once: what is left of each after the others are counted."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["benjamini_hochberg", "holm"]


def benjamini_hochberg(p: ArrayLike) -> NDArray[np.float64]:
    """q-values: reject those at or below .10 and about a tenth of the rejections are expected to be false.

    Source: Benjamini & Hochberg (1995), JRSS B 57, 289-300, as adjusted p-values.

    Args:
        p: p-values, shape (m,); NaN (not tested) stays NaN and is not counted.

    Raises:
        ValueError: If a p-value lies outside [0, 1].

    >>> benjamini_hochberg([0.01, 0.02, 0.5]).round(4).tolist()
    [0.03, 0.03, 0.5]
    """
    values, out, tested = _checked(p)
    m = len(tested)
    order = tested[np.argsort(values[tested], kind="stable")]
    raw = values[order] * m / np.arange(1, m + 1)
    out[order] = np.minimum(np.minimum.accumulate(raw[::-1])[::-1], 1.0)
    return out


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p-values: reject those at or below .05 and any false rejection has a chance of at most 5%.

    Source: Holm (1979), Scandinavian Journal of Statistics 6, 65-70.

    Args:
        p: p-values, shape (m,); NaN (not tested) stays NaN and is not counted.

    Raises:
        ValueError: If a p-value lies outside [0, 1].

    >>> holm([0.01, 0.02, 0.5]).round(4).tolist()
    [0.03, 0.04, 0.5]
    """
    values, out, tested = _checked(p)
    m = len(tested)
    order = tested[np.argsort(values[tested], kind="stable")]
    out[order] = np.minimum(np.maximum.accumulate(values[order] * np.arange(m, 0, -1)), 1.0)
    return out


def _checked(p: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    values = np.asarray(p, dtype=np.float64).ravel()
    tested = np.flatnonzero(~np.isnan(values))
    if ((values[tested] < 0) | (values[tested] > 1)).any():
        raise ValueError("p-values lie in [0, 1]")
    return values, np.full(len(values), np.nan), tested
