"""What ``package`` can start from."""

from __future__ import annotations

import re
from typing import Any

from ambidex.errors import DataError, NotFound, UsageError
from ambidex.ports import Store
from ambidex.records import Recipe
from ambidex.report.answer import Answer
from ambidex.settings import ModelSettings, Settings

__all__ = ["answer_document", "check_estimator", "prototype_of", "settings_of"]


def answer_document(name: Any, store: Store) -> dict[str, Any]:
    """A kept answer by its name, `answer/12`, as ``Answer.to_dict()`` with ``model`` beside it.

    Raises:
        UsageError: ``usage.value`` for another form.
        NotFound: ``data.no-answer``.
    """
    match = re.fullmatch(r"answer/([1-9][0-9]{0,8})", name) if isinstance(name, str) else None
    if match is None:
        raise UsageError(
            "usage.value",
            f"{str(name)[:60]!r} names no answer",
            found="names such as answer/2",
            do="ambidex report answer/1",
        )
    document = store.answer(int(match[1]))
    return {**document, "answer": name}


def prototype_of(source: Any, store: Store) -> Recipe:
    """The recipe behind an answer, its name, or what its ``prototype()`` gave.

    Raises:
        UsageError: ``usage.source`` for what cannot be packaged, ``usage.not-fitted`` and
            ``usage.not-importable`` for estimators that no package could hold.
        NotFound: ``data.no-answer``, ``data.no-prototype``.
    """
    if isinstance(source, Answer):
        model, shown = source.model, source.name or source.verb
    elif isinstance(source, str) and source.startswith("answer"):
        document = answer_document(source, store)
        model, shown = document.get("model"), source
    elif isinstance(source, dict) and "recipe" in source:
        model, shown = source, "this prototype"
    else:
        check_estimator(source)
        raise _unreadable(source)
    if not model or "recipe" not in model:
        raise NotFound(
            "data.no-prototype",
            f"{shown} carries no prototype",
            found="prototypes come from drivers",
            do="ambidex drivers TABLE --target COL",
        )
    recipe = Recipe.from_json(model["recipe"])
    if not recipe.data:
        raise NotFound(
            "data.no-prototype",
            f"{shown} was made from a dataframe that no workspace has kept, so nothing could train it again",
            do="ask inside the workspace: ambidex.drivers(df, target=…, at=FOLDER)",
        )
    return recipe


def settings_of(recipe: Recipe, name: str, settings: Settings) -> ModelSettings:
    """What ``[models.NAME]`` says of a recipe, or will say.

    Raises:
        DataError: ``data.config`` if the file says something else of this name already.
    """
    mine = ModelSettings(
        data=recipe.data,
        target=recipe.target,
        positive=recipe.positive,
        key=recipe.key,
        time=recipe.time,
        prepare=recipe.prepare.to_json() if recipe.prepare else None,
    )
    there = settings.models.get(name)
    if there is not None and (there.target, there.data) != (mine.target, mine.data):
        raise DataError(
            "data.config",
            f"[models.{name}] says {there.target} of {there.data}, this answer is about {mine.target} of {mine.data}",
            where="ambidex.toml",
            do=f"choose another --name, or mend [models.{name}]",
        )
    return mine if there is None else there


def check_estimator(source: Any) -> None:
    """Refuse an estimator that no package could hold.

    Raises:
        UsageError: ``usage.not-fitted``, ``usage.not-importable``.
    """
    if not (hasattr(source, "get_params") and hasattr(source, "fit")):
        return
    if (part := _not_importable(source)) is not None:
        raise UsageError(
            "usage.not-importable",
            f"{part} lives in __main__ or is a lambda, so no package could import it",
            found=type(source).__name__,
            do="move the function into a module of its own and import it from there",
        )
    if not _fitted(source):
        raise UsageError(
            "usage.not-fitted",
            f"{type(source).__name__} was not fitted, so there is nothing to package",
            where="argument source",
            do="fit it first: model.fit(X, y)",
        )


def _unreadable(source: Any) -> UsageError:
    shown = repr(source) if isinstance(source, str) else type(source).__name__
    return UsageError(
        "usage.source",
        f"package cannot start from {shown[:80]}",
        found="an answer with a prototype: answer/2, or the Answer that drivers returned; a fitted estimator; "
        "a model file: .skops, .onnx, LightGBM text, XGBoost .json and .ubj",
        do="ambidex drivers TABLE --target COL, then: ambidex package answer/N --name NAME",
    )


def _fitted(estimator: Any) -> bool:
    steps = getattr(estimator, "steps", None)
    last = steps[-1][1] if steps else estimator
    return any(name.endswith("_") and not name.startswith("_") for name in vars(last))


def _not_importable(estimator: Any, depth: int = 0) -> str | None:
    """The first function inside an estimator that cannot be imported by name."""
    if depth > 6:
        return None
    for name, value in sorted(estimator.get_params(deep=False).items()):
        parts = (
            [part[1] for part in value if isinstance(part, tuple) and len(part) > 1]
            if isinstance(value, list)
            else [value]
        )
        for part in parts:
            where = getattr(part, "__qualname__", "")
            if where and ("<lambda>" in where or "<locals>" in where or getattr(part, "__module__", "") == "__main__"):
                return f"{name}={where}"
            if hasattr(part, "get_params") and not isinstance(part, type):
                inner = _not_importable(part, depth + 1)
                if inner is not None:
                    return inner
    return None
