"""Decision trees of any library as a LightGBM text model.

A node sends a number at or below its threshold to the left. LightGBM reads numbers within 1e-35 of zero as zero
(``kZeroThreshold``), so a threshold of exactly zero needs its neighbours kept apart by whoever encodes the rows
(``near_zero``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Forest", "Tree", "near_zero", "text_of", "thresholds"]

MISSING, LEFT, CATEGORY = 8, 2, 1
BAND = 1e-30
"""A threshold this near to zero, other than zero, has no safe place on either side."""
_BELOW = -(2.0**-149)
"""The float32 before zero: at or below it are all negative ones, so ``-BAND`` may stand for it."""


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree; nodes by number, 0 the root.

    Attributes:
        feature: Feature a node asks, -1 for a leaf.
        threshold: At or below goes left. For a node by category: unused.
        left: Node to the left.
        right: Node to the right.
        missing_left: Whether a missing number goes left.
        value: Value of a leaf.
        categories: For nodes by category: the codes that go left.
    """

    feature: Sequence[int]
    threshold: Sequence[float]
    left: Sequence[int]
    right: Sequence[int]
    missing_left: Sequence[bool]
    value: Sequence[float]
    categories: dict[int, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Forest:
    """Trees and what is made of their values.

    Attributes:
        trees: Round by round, in each round one tree an output.
        features: Numbers a row.
        outputs: Outputs a row.
        average: Whether the values are averaged over the rounds instead of added.
    """

    trees: list[Tree]
    features: int
    outputs: int = 1
    average: bool = False


def text_of(forest: Forest, *, single: bool = False) -> bytes:
    """The forest as LightGBM reads it.

    Args:
        forest: The trees.
        single: Whether its inputs are float32.

    Raises:
        ValueError: A threshold lies so near to zero that LightGBM reads it as zero.
    """
    trees = [f"Tree={i}\n{_tree(tree, single)}\n\n" for i, tree in enumerate(forest.trees)]
    names = " ".join(f"f{i}" for i in range(forest.features))
    infos = " ".join(["[-1e308:1e308]"] * forest.features)
    head = [
        "tree", "version=v4", f"num_class={forest.outputs}", f"num_tree_per_iteration={forest.outputs}",
        "label_index=0",
        f"max_feature_idx={forest.features - 1}", *(["average_output"] if forest.average else []),
        f"feature_names={names}", f"feature_infos={infos}", f"tree_sizes={' '.join(str(len(t)) for t in trees)}",
        "", "",
    ]  # fmt: skip
    return ("\n".join(head) + "".join(trees) + "end of trees\n").encode()


def near_zero(forest: Forest) -> set[int]:
    """Features with a threshold at zero, or nearer to it than LightGBM can tell."""
    return {f for f, t in thresholds(forest) if abs(t) < BAND}


def thresholds(forest: Forest) -> Iterator[tuple[int, float]]:
    """(feature, threshold) of every node that compares."""
    for tree in forest.trees:
        for node, feature in enumerate(tree.feature):
            if feature >= 0 and node not in tree.categories:
                yield feature, tree.threshold[node]


def _tree(tree: Tree, single: bool) -> str:
    inner = [n for n, f in enumerate(tree.feature) if f >= 0]
    leaves = [n for n, f in enumerate(tree.feature) if f < 0]
    place: dict[int, int] = {n: i for i, n in enumerate(inner)} | {n: -1 - i for i, n in enumerate(leaves)}
    values = " ".join(repr(float(tree.value[n])) for n in leaves)
    if not inner:
        return f"num_leaves=1\nnum_cat=0\nleaf_value={values}\nis_linear=0\nshrinkage=1\n"
    split, bounds, words, kinds = [], [0], [], []
    for n in inner:
        codes = tree.categories.get(n)
        if codes is None:
            t = float(tree.threshold[n])
            t = -BAND if single and t == _BELOW else t
            if 0.0 < abs(t) < BAND:
                raise ValueError(f"a threshold of {t!r}, which LightGBM reads as zero")
            split.append(repr(t))
            kinds.append(MISSING | (LEFT if tree.missing_left[n] else 0))
        else:
            split.append(str(len(bounds) - 1))
            mask = [0] * (max(codes, default=0) // 32 + 1)
            for code in codes:
                mask[code // 32] |= 1 << (code % 32)
            words += mask
            bounds.append(len(words))
            kinds.append(CATEGORY | MISSING)
    lines: list[tuple[str, Sequence[Any]]] = [
        ("split_feature", [tree.feature[n] for n in inner]),
        ("split_gain", [1] * len(inner)),
        ("threshold", split),
        ("decision_type", kinds),
        ("left_child", [place[tree.left[n]] for n in inner]),
        ("right_child", [place[tree.right[n]] for n in inner]),
    ]
    text = [f"num_leaves={len(leaves)}", f"num_cat={len(bounds) - 1}"]
    text += [f"{name}={' '.join(map(str, some))}" for name, some in lines]
    text.append(f"leaf_value={values}")
    ones = " ".join(["1"] * len(leaves))
    text += [f"leaf_weight={ones}", f"leaf_count={ones}"]
    inside = " ".join(["1"] * len(inner))
    text += [f"internal_value={inside}", f"internal_weight={inside}", f"internal_count={inside}"]
    if len(bounds) > 1:
        text += [f"cat_boundaries={' '.join(map(str, bounds))}", f"cat_threshold={' '.join(map(str, words))}"]
    return "\n".join([*text, "is_linear=0", "shrinkage=1", ""])
