"""Rows of the shared oracle table: published or independently computed figures, with their tolerances."""

from __future__ import annotations

import csv

from support import shared


def oracle(row_id: str) -> tuple[list[float], list[float]]:
    """Values and absolute tolerances of one row; one tolerance stands for all."""
    with shared("oracles.csv").open(newline="", encoding="utf-8") as file:
        row = next(r for r in csv.DictReader(file) if r["id"] == row_id)
    values = [float(v) for v in row["value"].split(";")]
    tolerances = [float(t) for t in row["tolerance"].split(";")]
    if len(tolerances) == 1:
        tolerances *= len(values)
    assert len(values) == len(tolerances), row_id
    return values, tolerances


def check(row_id: str, *got: float, of: slice | list[int] = slice(None)) -> None:
    """The figures equal the row's (or the part of it that ``of`` names), within its tolerances."""
    values, tolerances = oracle(row_id)
    places = range(len(values))[of] if isinstance(of, slice) else of
    values, tolerances = [values[i] for i in places], [tolerances[i] for i in places]
    assert len(got) == len(values), f"{row_id} has {len(values)} figures: {values}"
    for have, want, near in zip(got, values, tolerances, strict=True):
        # A stored figure is itself rounded: half its last place comes on top.
        assert abs(have - want) <= near + 1e-9 * abs(want), f"{row_id}: {have} is not {want} ± {near}"
