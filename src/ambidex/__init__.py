"""ambidex: answer the question, ship the model, keep it right.

The public names and nothing else. Each is imported when it is first used, so that
``import ambidex`` costs nothing and starts nothing.

>>> import ambidex
>>> "drivers" in ambidex.__all__
True
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ambidex.version import __version__ as __version__

if TYPE_CHECKING:
    from ambidex.data.orders import customers_at
    from ambidex.errors import (
        AmbidexError,
        DataError,
        EnvironmentProblem,
        InternalError,
        MissingExtra,
        NotFound,
        Refused,
        UsageError,
    )
    from ambidex.journeys import (
        bench,
        campaign,
        career,
        demo,
        doctor,
        drift,
        drivers,
        experiment,
        export,
        feedback,
        gate,
        help,
        init,
        investigate,
        models,
        monitor,
        next,
        package,
        plan,
        profile,
        promote,
        report,
        resume,
        retrain,
        role,
        rollback,
        score,
        segments,
        serve,
        status,
        team,
        test,
        token,
        train,
        ui,
        watch,
    )
    from ambidex.report.answer import Answer, Result
    from ambidex.stats.claim import Claim, Verdict, decide
    from ambidex.stats.estimate import Estimate

__all__ = [
    "AmbidexError",
    "Answer",
    "Claim",
    "DataError",
    "EnvironmentProblem",
    "Estimate",
    "InternalError",
    "MissingExtra",
    "NotFound",
    "Refused",
    "Result",
    "UsageError",
    "Verdict",
    "bench",
    "campaign",
    "career",
    "customers_at",
    "decide",
    "demo",
    "doctor",
    "drift",
    "drivers",
    "experiment",
    "export",
    "feedback",
    "gate",
    "help",
    "init",
    "investigate",
    "models",
    "monitor",
    "next",
    "package",
    "plan",
    "profile",
    "promote",
    "report",
    "resume",
    "retrain",
    "role",
    "rollback",
    "score",
    "segments",
    "serve",
    "status",
    "team",
    "test",
    "token",
    "train",
    "ui",
    "watch",
]

_ELSEWHERE = {
    "Answer": "ambidex.report.answer",
    "Claim": "ambidex.stats.claim",
    "Estimate": "ambidex.stats.estimate",
    "Result": "ambidex.report.answer",
    "Verdict": "ambidex.stats.claim",
    "customers_at": "ambidex.data.orders",
    "decide": "ambidex.stats.claim",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'ambidex' has no attribute {name!r}")
    import importlib

    # Exceptions and the few nouns have homes of their own; every other public name is a verb.
    home = _ELSEWHERE.get(name, "ambidex.errors" if name[0].isupper() else "ambidex.journeys")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


class _Package(ModuleType):
    def __setattr__(self, name: str, value: Any) -> None:
        # `report` and `demo` are verbs here and rooms of the house as well. Importing a room binds it
        # to its parent's name, which would turn `ambidex.report(...)` into a call of a module.
        if name in __all__ and isinstance(value, ModuleType):
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
