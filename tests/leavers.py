"""A small table of customers who leave or stay, drawn from a known law."""

from __future__ import annotations

import numpy as np

__all__ = ["HEAD", "rows"]

HEAD = "customer,age,plan,left\n"


def rows(n: int, seed: int) -> str:
    """CSV lines: the older and those on gold leave more often."""
    rng = np.random.default_rng(seed)
    age, plan = rng.normal(40, 9, n).round(1), rng.choice(["basic", "gold"], n)
    p = 1 / (1 + np.exp(-(1.4 * (age - 40) / 9 + np.where(plan == "gold", 1.6, -0.8))))
    left = np.where(rng.uniform(size=n) < p, "yes", "no")
    lines = [f"c{seed}-{i},{a},{b},{y}" for i, (a, b, y) in enumerate(zip(age, plan, left, strict=True))]
    return "\n".join(lines) + "\n"
