"""Checks of a design, before anything is made of its outcome."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["SampleRatio", "sample_ratio"]


class SampleRatio(NamedTuple):
    """Whether the arms have the sizes that were planned.

    Attributes:
        chi2: Pearson's statistic.
        p: Its p-value; small if the sizes would hardly come from the planned shares.
    """

    chi2: float
    p: float


def sample_ratio(counts: Mapping[str, int], shares: Mapping[str, float] | None = None) -> SampleRatio:
    """Do the arm sizes fit the planned shares?

    A misfit means that units were lost or added after assignment, and no result can be trusted.

    Source: Fabijan et al. (2019), KDD, sample ratio mismatch; Pearson's chi-square goodness of fit.

    Args:
        counts: Arm -> units.
        shares: Arm -> planned share, in any proportion, positive; equal if None.

    Raises:
        ValueError: If there are fewer than two arms or no units, or a share is missing or not positive.

    >>> chi2, p = sample_ratio({"gate_30": 44700, "gate_40": 45489})
    >>> round(chi2, 4), round(p, 4)
    (6.9024, 0.0086)
    """
    total = sum(counts.values())
    if len(counts) < 2 or total <= 0:
        raise ValueError(f"a ratio needs two arms and units in them, not {dict(counts)}")
    planned = dict.fromkeys(counts, 1.0) if shares is None else dict(shares)
    if set(planned) != set(counts) or any(not v > 0 for v in planned.values()):
        raise ValueError(f"each arm needs a positive share: arms {sorted(counts)}, shares {planned}")
    whole = sum(planned.values())
    expected = {arm: total * share / whole for arm, share in planned.items()}
    chi2 = sum((counts[arm] - e) ** 2 / e for arm, e in expected.items())
    from scipy import special

    return SampleRatio(float(chi2), float(special.chdtrc(len(counts) - 1, chi2)))
