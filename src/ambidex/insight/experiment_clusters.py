"""Clusters of units: who sits in which, and whether whole clusters have one arm."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ambidex.data.table import Table
from ambidex.errors import DataError
from ambidex.insight.experiment_data import Assignment, unit_codes
from ambidex.report.answer import Caution, Check
from ambidex.report.words import count, plural

__all__ = ["FEW", "Clusters", "check_clusters", "find_clusters", "inside"]

Codes = NDArray[np.int64]

FEW = 40
"""Clusters below which CR1 with t(G-1) is replaced by permutation."""


@dataclass(frozen=True, eq=False)
class Clusters:
    """Units brought together.

    Attributes:
        column: Where it stands.
        codes: Cluster of each unit, shape (units,); -1 where unknown.
        count: Clusters with units in an arm.
        mixed: Clusters with units in two arms or more.
        sizes: Clusters with units in each arm, in the order of the assignment's labels.
        unknown: Units without a cluster; left out.
        moved: Units whose rows name two clusters; the first counts.
    """

    column: str
    codes: Codes
    count: int
    mixed: int
    sizes: tuple[int, ...]
    unknown: int
    moved: int

    @property
    def whole(self) -> bool:
        """True if every cluster has one arm: then clusters are what was assigned."""
        return self.mixed == 0


def find_clusters(table: Table, column: str, who: Assignment) -> Clusters:
    """Cluster of every unit in an arm.

    Raises:
        DataError: ``data.cluster`` if each unit is a cluster of its own, or no unit has a cluster.
    """
    codes, _, moved = unit_codes(table, column, who)
    there = (who.arm >= 0) & (codes >= 0)
    used, packed = np.unique(codes[there], return_inverse=True)
    units = int(there.sum())
    if len(used) == units:
        raise DataError(
            "data.cluster",
            f"`{column}` has {count(len(used))} values in {count(units)} units, so it brings no units together",
            where=f"{table.name}, column {column}",
            do="name a column that several units share, or leave --cluster out",
        )
    codes = np.full(len(codes), -1, dtype=np.int64)
    codes[there] = packed
    arms = np.zeros((len(used), len(who.labels)), dtype=bool)
    arms[packed, who.arm[there]] = True
    return Clusters(
        column=column,
        codes=codes,
        count=len(used),
        mixed=int((arms.sum(axis=1) > 1).sum()),
        sizes=tuple(int(n) for n in arms.sum(axis=0)),
        unknown=int(((who.arm >= 0) & ~there).sum()),
        moved=moved,
    )


def check_clusters(clusters: Clusters, who: Assignment, least: int = 6) -> tuple[Check, list[Caution]]:
    """Are there enough of them, and are they what was assigned?"""
    name, cautions = clusters.column, []
    sizes = ", ".join(f"{a} {count(n)}" for a, n in zip(who.labels, clusters.sizes, strict=True))
    if clusters.count < least:
        text = f"{plural(clusters.count, 'cluster')} of `{name}`; fewer than {least} cannot tell chance from effect"
    elif clusters.count < FEW:
        text = f"{count(clusters.count)} clusters of `{name}`; below {FEW} the arms are permuted"
    else:
        text = f"{count(clusters.count)} clusters of `{name}`"
    if clusters.mixed:
        cautions.append(
            Caution(
                "arm-inside-clusters",
                f"The arm varies inside {count(clusters.mixed)} of {count(clusters.count)} clusters of `{name}`, so it "
                f"was not assigned by `{name}`: arms are compared inside clusters too, and `{name}` serves for the "
                f"standard error.",
            )
        )
    else:
        text += f" ({sizes})"
    if clusters.unknown:
        cautions.append(Caution("cluster", f"{plural(clusters.unknown, 'unit')} without `{name}` were left out."))
    if clusters.moved:
        cautions.append(
            Caution("cluster", f"{plural(clusters.moved, 'unit')} with rows in two clusters; the first row's counts.")
        )
    if clusters.count < least:
        text = f"{text}. The verdict stays open."
        cautions.append(Caution("clusters", text))
    return Check("clusters", clusters.count >= least, float(clusters.count), float(least), text), cautions


def inside(who: Assignment, clusters: Clusters) -> Assignment:
    """The assignment without the units whose cluster is not known."""
    if not clusters.unknown:
        return who
    arm = np.where(clusters.codes < 0, -1, who.arm)
    counts = np.bincount(arm[arm >= 0], minlength=len(who.labels))
    return replace(who, arm=arm, counts=tuple(int(n) for n in counts))
