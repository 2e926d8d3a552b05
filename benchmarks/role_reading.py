"""How well ``role`` reads postings: against labels of one reader, with baselines in the same run.

    python benchmarks/role_reading.py            prints the figures
    python benchmarks/role_reading.py --write    also writes src/ambidex/advice/weights.json, fitted on all rows

Needs the folder of shared data (AMBIDEX_SHARED, default ../shared). Two steps, both linear, so that one small
linear model ships: first, the counts of a text against the trade its *title* names (2,240 postings without a label,
none of the labelled rows among them; weights even out sources, which go together with trades); then, on labelled rows
only, that step's three scores and five counts against the label. No row is ever judged by weights that saw it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from scipy.stats import spearmanr
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from ambidex.advice import features as counts_of
from ambidex.advice.lexicon import AREAS, OTHERS
from ambidex.advice.reading import Line, read_lines
from ambidex.advice.role import shown

SHARED = Path(os.environ.get("AMBIDEX_SHARED", Path(__file__).parents[2] / "shared")) / "data" / "roles"
TRADES = {
    "data scientist": "data scientist", "ml engineer": "ml engineer", "ai engineer": "ml engineer",
    "analyst": "other", "data engineer": "other", "manager": "other", "software": "other",
}  # fmt: skip
TITLE_RULE = {
    "data scientist": "data_scientist", "ml engineer": "ml_engineer", "ai engineer": "ml_engineer",
    "ds + engineer title": "both_in_one", "research scientist": "overlap", "applied scientist": "overlap",
}  # fmt: skip
FIRST = (
    "share_explore", "share_deliver", "share_model", "lesser_side",
    *(f"mean_{a}" for a in AREAS if a != "domain"), *(f"mean_{o}" for o in OTHERS),
    "named_data_scientist", "named_ml_engineer", "named_other",
)  # fmt: skip
SECOND = ("log_software", "share_model", "log_statistics", "handed_over", "log_infrastructure")


def main() -> None:
    """Print the figures; with --write, ship the weights."""
    table = pq.read_table(SHARED / "postings.parquet").to_pydict()
    place = {id: i for i, id in enumerate(table["id"])}
    gold = [json.loads(line) for line in (SHARED / "gold.jsonl").read_text().splitlines()]
    began = time.process_time()
    lines = [read_lines(text)[0] for text in table["description"]]
    counts = [counts_of.features(read, text) for read, text in zip(lines, table["description"], strict=True)]
    print(f"{len(lines):,} postings read in {time.process_time() - began:.1f} s CPU")
    rows = np.array([place[g["id"]] for g in gold])
    weak = np.array([i for i, f in enumerate(table["family"]) if f in TRADES and i not in set(rows.tolist())])
    first = np.array([[c[f] for f in FIRST] for c in counts])
    second = np.array([[c[f] for f in SECOND] for c in counts])
    trade = np.array([TRADES.get(f, "") for f in table["family"]])
    source = np.array(table["source"])
    even = evened(source[weak], np.array(table["family"])[weak])
    label = np.array([g["label"] for g in gold])

    def judged(folds: Sequence[Any], *, by_source: bool) -> Any:
        out = np.empty(len(gold), dtype=object)
        for fold in np.unique(folds):
            test = folds == fold
            use = source[weak] != fold if by_source else np.ones(len(weak), bool)
            w, b = compose(first, second, weak[use], trade[weak[use]], even[use], rows[~test], label[~test])[:2]
            scores = np.hstack([first, second])[rows[test]] @ w + b
            out[test] = np.array(sorted(set(label)))[scores.argmax(axis=1)]
        return out

    loo = judged(np.arange(len(gold)), by_source=False)
    lso = judged(source[rows], by_source=True)
    title = np.array([TITLE_RULE.get(table["family"][i], "neither") for i in rows])
    tfidf = by_words(
        [table["description"][i] for i in weak],
        np.array([TITLE_RULE.get(table["family"][i], "neither") for i in weak]),
        [table["description"][i] for i in rows],
    )
    keywords = by_keywords([lines[i] for i in rows], label)
    print(f"{'':28}{'accuracy':>20}{'or also':>9}{'macro-F1':>10}{'swaps':>7}")
    for name, got in (
        ("leave one out", loo), ("leave one source out", lso), ("title rule", title),
        ("eight areas + LR, one out", keywords), ("TF-IDF + LR on titles", tfidf),
    ):  # fmt: skip
        print(f"{name:28}{figures(got, label, gold)}")
    asked = np.array([g["levels"][a] for g in gold for a in AREAS]).reshape(len(gold), -1)
    sign = np.array(
        [
            1 if a in ("statistics", "analysis", "communication") else 0 if a in ("modelling", "domain") else -1
            for a in AREAS
        ]
    )
    side = [counts_of.balance(lines[i]) for i in rows]
    print(f"rank correlation of exploration minus delivery: {spearmanr(side, asked @ sign)[0]:.3f}")
    scores = np.array([[counts_of.area_scores(lines[i])[a] for a in AREAS] for i in rows])
    found = np.zeros_like(asked)
    for fold in range(10):
        test = np.arange(len(gold)) % 10 == fold
        for j in range(len(AREAS)):
            found[test, j] = np.digitize(scores[test, j], limits(scores[~test, j], asked[~test, j]), right=True)
    print(
        f"levels within one, ten folds: {(abs(found - asked) <= 1).mean():.3f}; "
        f"mean error {abs(found - asked).mean():.2f}"
    )
    hit = []
    for g, i in zip(gold, rows, strict=True):
        text = table["description"][i]
        spans = [(text.find(e), text.find(e) + len(e)) for e in g["evidence"]]
        hit.append(any(s.sentence.start < b and a < s.sentence.end for s in shown(lines[i])[:3] for a, b in spans))
    print(f"labelled evidence among three shown sentences: {np.mean(hit):.3f}")
    if "--write" in sys.argv:
        w, b, readings = compose(first, second, weak, trade[weak], even, rows, label)
        write(w, b, readings, {a: limits(scores[:, j], asked[:, j]) for j, a in enumerate(AREAS)})


def evened(source: Any, family: Any) -> Any:
    """Weights under which no cell of source and trade outweighs the others by its size."""
    out = np.ones(len(source))
    for s in set(source):
        for f in set(family):
            cell = (source == s) & (family == f)
            if cell.sum() > 60:
                out[cell] = np.sqrt(60 / cell.sum())
    return out


def scaled(x: Any) -> tuple[Any, Any]:
    """Mean and spread of columns; 1 where a column does not vary."""
    spread = x.std(axis=0)
    return x.mean(axis=0), np.where(spread > 0, spread, 1.0)


def compose(
    first: Any, second: Any, weak: Any, trade: Any, even: Any, rows: Any, label: Any
) -> tuple[Any, Any, list[str]]:
    """Both steps as one linear map of the raw counts: weights (counts, readings), intercepts, readings."""
    m1, s1 = scaled(first[weak])
    one = LogisticRegression(C=0.3, max_iter=3000).fit((first[weak] - m1) / s1, trade, sample_weight=even)
    w1 = one.coef_.T / s1[:, None]
    b1 = one.intercept_ - m1 @ w1
    z = np.hstack([first[rows] @ w1 + b1, second[rows]])
    m2, s2 = scaled(z)
    two = LogisticRegression(C=0.3, max_iter=3000).fit((z - m2) / s2, label)
    w2 = two.coef_.T / s2[:, None]
    b2 = two.intercept_ - m2 @ w2
    k = w1.shape[1]
    return np.vstack([w1 @ w2[:k], w2[k:]]), b1 @ w2[:k] + b2, [str(c) for c in two.classes_]


def limits(score: Any, asked: Any) -> list[float]:
    """Three thresholds of an area's score that err least."""
    grid = np.unique(np.quantile(score, np.linspace(0, 1, 16)))

    def loss(t: Sequence[float]) -> float:
        off = abs(np.digitize(score, t, right=True) - asked)
        return float(off.mean() + 0.5 * (off > 1).mean())

    return [round(float(t), 2) for t in min(combinations(grid, 3), key=loss)]


def figures(got: Any, label: Any, gold: Sequence[dict[str, Any]]) -> str:
    """Accuracy with its bootstrap range, label or second reading, macro-F1, swaps of the two roles."""
    rng = np.random.default_rng(0)
    right = got == label
    draws = np.quantile([right[rng.integers(0, len(right), len(right))].mean() for _ in range(2000)], [0.05, 0.95])
    also = np.mean([p in (g["label"], g["also"]) for p, g in zip(got, gold, strict=True)])
    swaps = sum({p, t} == {"data_scientist", "ml_engineer"} for p, t in zip(got, label, strict=True))
    f1 = f1_score(label, got.astype(str), average="macro")
    return f"{right.mean():8.3f} ({draws[0]:.2f}-{draws[1]:.2f}){also:9.3f}{f1:10.3f}{swaps:7d}"


def by_words(texts: Sequence[str], label: Any, tests: Sequence[str]) -> Any:
    """Baseline: words and pairs of words, trained on the other rows' titles."""
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=3, max_features=50_000, sublinear_tf=True)
    model = LogisticRegression(C=3, max_iter=2000, class_weight="balanced").fit(words.fit_transform(texts), label)
    return model.predict(words.transform(tests))


def by_keywords(lines: Sequence[list[Line]], label: Any) -> Any:
    """Baseline: how often each area is named, logistic regression, leaving one out."""
    x = np.array([[np.log1p(sum(line.areas.get(a, 0) for line in read)) for a in AREAS] for read in lines])
    mean, spread = scaled(x)
    x = (x - mean) / spread
    out = np.empty(len(label), dtype=object)
    for i in range(len(label)):
        rest = np.arange(len(label)) != i
        out[i] = LogisticRegression(C=1, max_iter=2000).fit(x[rest], label[rest]).predict(x[[i]])[0]
    return out


def write(w: Any, b: Any, readings: list[str], levels: dict[str, list[float]]) -> None:
    """Ship the model: names and numbers only."""
    merged: dict[str, Any] = {}
    for name, row in zip((*FIRST, *SECOND), w, strict=True):
        merged[name] = merged.get(name, 0) + row
    body = {
        "card": "Linear model over counts of sentences; how it was made and how well it reads: docs/role.md. "
        "Made by benchmarks/role_reading.py --write. Holds no words of any posting.",
        "readings": readings,
        "intercept": [round(float(v), 6) for v in b],
        "features": list(merged),
        "weights": {name: [round(float(v), 6) for v in row] for name, row in merged.items()},
        "levels": levels,
    }
    path = Path(__file__).parents[1] / "src" / "ambidex" / "advice" / "weights.json"
    path.write_text(json.dumps(body, indent=1) + "\n")
    print(f"wrote {path.name}")


if __name__ == "__main__":
    main()
