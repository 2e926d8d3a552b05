"""A text as a few counts, and whose work the counts look like."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

from ambidex.advice.lexicon import AREAS, OTHERS
from ambidex.advice.reading import Line

__all__ = ["READINGS", "area_scores", "balance", "features", "level_of", "likeness", "weights"]

READINGS = ("both_in_one", "data_scientist", "ml_engineer", "neither", "overlap")

MOST = 2.0
"""What one sentence can add to an area: a list of twenty tools is one wish, not twenty duties."""

LENT = 0.3
"""What delivery counts that the text gives to somebody else."""

_TRADES = {
    "named_data_scientist": re.compile(r"data scientist"),
    "named_ml_engineer": re.compile(r"(machine learning|ml|ai|mlops|deep learning|research) engineer"),
    "named_other": re.compile(
        r"(data|business|bi|reporting|insights?|analytics) analyst|data engineer|architect\b|"
        r"(analytics|program|project|product|engineering) manager|\bdeveloper\b"
    ),
}

_EXPLORE = ("statistics", "analysis", "communication")
_DELIVER = ("software", "mlops", "infrastructure")


def area_scores(lines: Sequence[Line]) -> dict[str, float]:
    """How much is asked of each area: duties count 1, requirements 1/2, wishes 1/4."""
    scores = dict.fromkeys(AREAS, 0.0)
    for line in lines:
        for area, weight in line.areas.items():
            lent = LENT if line.lent and area in ("mlops", "infrastructure") else 1.0
            scores[area] += line.count * min(weight * lent, MOST)
    return scores


def balance(lines: Sequence[Line]) -> float:
    """Exploration minus delivery, each area on a log scale: above 0 more exploration is asked for.

    Areas saturate, so that one long list of tools does not outweigh three duties.
    """
    scores = area_scores(lines)
    return sum(math.log1p(scores[a]) for a in _EXPLORE) - sum(math.log1p(scores[a]) for a in _DELIVER)


def features(lines: Sequence[Line], text: str) -> dict[str, float]:
    """The counts that the small linear model looks at; no company, place, school or name is among them."""
    total = sum(line.count for line in lines) or 1.0
    scores = {a: sum(line.count * min(line.areas.get(a, 0.0), MOST) for line in lines) for a in AREAS}
    out: dict[str, float] = {}
    for side in ("explore", "deliver", "model"):
        out[f"share_{side}"] = sum(line.count for line in lines if line.side == side) / total
    duties = {s: sum(line.side == s and line.force == "duty" for line in lines) for s in ("explore", "deliver")}
    out["lesser_side"] = math.log1p(min(duties.values()))
    for area in AREAS:
        out[f"mean_{area}"] = scores[area] / total
    for other in OTHERS:
        out[f"mean_{other}"] = sum(line.count * min(line.others.get(other, 0.0), MOST) for line in lines) / total
    for area in ("software", "statistics", "infrastructure"):
        out[f"log_{area}"] = math.log1p(scores[area])
    out["handed_over"] = float(sum(line.lent for line in lines))
    lowered = text.lower()
    for name, pattern in _TRADES.items():
        out[name] = math.log1p(len(pattern.findall(lowered)))
    return out


def likeness(counts: dict[str, float]) -> dict[str, float]:
    """Reading -> share, adding up to 1: how much the counts look like each."""
    model = weights()
    logits = [
        bias + sum(model["weights"][f][k] * counts[f] for f in model["features"])
        for k, bias in enumerate(model["intercept"])
    ]
    top = max(logits)
    parts = [math.exp(v - top) for v in logits]
    return {reading: p / sum(parts) for reading, p in zip(model["readings"], parts, strict=True)}


def level_of(area: str, score: float) -> int:
    """0 not asked, 1 mentioned, 2 a regular duty or requirement, 3 a core duty."""
    return sum(score > limit for limit in weights()["levels"][area])


@cache
def weights() -> dict[str, Any]:
    """Weights and thresholds as they ship; ``benchmarks/role_reading.py --write`` makes them."""
    found: dict[str, Any] = json.loads(resources.files("ambidex.advice").joinpath("weights.json").read_text("utf-8"))
    return found
