"""How the budget of false alarms is split. B is an expected count a year, so shares add up whatever depends on what."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["INFO", "PAGE", "share"]

INFO: Mapping[str, float] = {
    "beyond": 0.30,  # D2, against the fixed reference
    "sudden": 0.20,  # layer 1; D3 has the shares of both layers where it stands in for them
    "small": 0.20,  # layer 2
    "score": 0.10,
    "relations": 0.10,
    "calibration": 0.10,
}
PAGE: Mapping[str, float] = {
    "harm": 0.40,
    "slices": 0.10,
    "rules": 0.50,  # shares that lie exactly at their limits
}


def share(detector: str, rate: float) -> float:
    """A detector's part of B/L, false alarms a look.

    >>> share("harm", 0.01)
    0.004
    """
    return rate * (INFO[detector] if detector in INFO else PAGE[detector])
