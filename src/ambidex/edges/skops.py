"""Estimators as skops files: read only if every type inside is on the list below, and if it inflates to no more than
is allowed.

skops refuses what it does not know; what it knows by itself is scikit-learn's public estimators, numpy's numbers and
arithmetic. The list adds what fitted estimators hold inside. A function of the operating system is on neither.
"""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Sequence
from typing import Any

from ambidex.errors import MissingExtra, Refused

__all__ = ["ALLOWED", "check_archive", "dump", "read", "strangers"]

ALLOWED = frozenset({
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.compose._column_transformer._RemainderColsList",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.metrics._dist_metrics.MinkowskiDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
})  # fmt: skip
INFLATED = 512 << 20
RATIO = 200
"""A member that inflates to more than so many times its size, and to more than ``SMALL``, is no model."""
SMALL = 32 << 20
_CHUNK = 1 << 20


def dump(estimator: Any) -> bytes:
    """A fitted estimator as a skops file.

    Raises:
        MissingExtra: skops is not installed.
        Refused: ``check.types`` if reading it again would need types that are not allowed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data: bytes = _skops().dumps(estimator)
    unknown = strangers(data)
    if unknown:
        raise _refused(unknown)
    return data


def read(data: bytes) -> Any:
    """An estimator from a skops file.

    Raises:
        Refused: ``check.archive`` for an archive that is none, inflates too far or leaves its folder; ``check.types``
            for a type that is not allowed. Nothing inside has run then.
    """
    check_archive(data)
    unknown = strangers(data)
    if unknown:
        raise _refused(unknown)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _skops().loads(data, trusted=sorted(ALLOWED & set(_untrusted(data))))


def strangers(data: bytes) -> list[str]:
    """Types inside a skops file that are not allowed."""
    return sorted(set(_untrusted(data)) - ALLOWED)


def check_archive(data: bytes, *, most: int = INFLATED) -> None:
    """Inflate every member of a zip archive piece by piece, and stop where it is too much.

    The sizes that the archive states about itself are not believed.

    Raises:
        Refused: ``check.archive``.
    """
    total = 0
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.infolist():
                pieces = member.filename.replace("\\", "/").split("/")
                if member.filename.startswith(("/", "\\")) or ".." in pieces or ":" in pieces[0]:
                    raise Refused("check.archive", f"the archive names a file outside its folder: {member.filename!r}")
                if (member.external_attr >> 16) & 0o170000 == 0o120000:
                    raise Refused("check.archive", f"the archive holds a link: {member.filename!r}")
                size = 0
                with archive.open(member) as stream:
                    while chunk := stream.read(_CHUNK):
                        size += len(chunk)
                        total += len(chunk)
                        if total > most or (size > SMALL and size > RATIO * max(member.compress_size, 1)):
                            raise Refused(
                                "check.archive",
                                f"{member.filename} of the archive inflates to more than a model needs",
                                found=f"{len(data):,} bytes that inflate to more than {total:,}",
                            )
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, OSError) as error:
        raise Refused("check.archive", f"the archive cannot be read: {error}") from error
    except Exception as error:
        if isinstance(error, Refused):
            raise
        raise Refused("check.archive", f"the archive cannot be read: {type(error).__name__}: {error}") from error


def _untrusted(data: bytes) -> Sequence[str]:
    try:
        found: Sequence[str] = _skops().get_untrusted_types(data=data)
    except MissingExtra:
        raise
    except Exception as error:
        raise Refused("check.types", f"the skops file cannot be read: {type(error).__name__}: {error}") from error
    return found


def _refused(unknown: Sequence[str]) -> Refused:
    shown = ", ".join(unknown[:5]) + (f", … {len(unknown) - 5} more" if len(unknown) > 5 else "")
    return Refused(
        "check.types",
        f"the model holds types that are not allowed: {shown}",
        found=f"{len(unknown)} types beyond scikit-learn's own",
        do="build it of scikit-learn's parts, or package a function: ambidex package MODULE:FUNCTION",
    )


def _skops() -> Any:
    try:
        import skops.io
    except ModuleNotFoundError as error:
        raise MissingExtra("skops", "sklearn", "an estimator of scikit-learn") from error
    return skops.io
