"""Model references: `churn@4`, `churn@live`, `churn`."""

from __future__ import annotations

import re

from ambidex.errors import NotFound, UsageError, did_you_mean
from ambidex.ports import Store
from ambidex.records import POINTERS, check_name

__all__ = ["parse", "resolve", "version_number"]


def parse(reference: str, *, default: str | None = None) -> tuple[str, int | str]:
    """Name and version number or pointer.

    Args:
        reference: As typed.
        default: Pointer meant by a bare name; None if a bare name is not enough.

    Raises:
        UsageError: ``usage.reference`` or ``usage.name``.

    >>> parse("churn@4"), parse("churn@live"), parse("churn", default="live")
    (('churn', 4), ('churn', 'live'), ('churn', 'live'))
    """
    if not isinstance(reference, str):
        raise UsageError("usage.type", f"a model reference is text such as churn@4, not {type(reference).__name__}")
    name, at, which = reference.partition("@")
    check_name(name)
    if not at and default is not None:
        return name, default
    if re.fullmatch(r"[1-9][0-9]{0,8}", which):
        return name, int(which)
    if which in POINTERS:
        return name, which
    shown = f"version {which!r}" if which else "no version"
    raise UsageError(
        "usage.reference",
        f"{reference!r} names {shown}{did_you_mean(which, POINTERS) if which else ''}",
        found=f"a number, or one of {', '.join(POINTERS)}",
        do=f"ambidex models show {name}@live",
    )


def resolve(store: Store, reference: str, *, default: str | None = None) -> tuple[str, int]:
    """Name and number of a version that exists.

    Raises:
        NotFound: ``data.no-model``, ``data.no-version`` or ``data.no-pointer``.
    """
    name, which = parse(reference, default=default)
    state = store.model(name)
    if isinstance(which, int):
        return name, store.version(name, which).number
    number: int | None = getattr(state, which)
    if number is None:
        carried = [f"@{p} is {getattr(state, p)}" for p in POINTERS if getattr(state, p) is not None]
        raise NotFound(
            "data.no-pointer",
            f"nothing is {name}@{which} at the moment",
            found=", ".join(carried) or f"{state.versions} versions, no pointer set",
            do=f"ambidex promote {name}@{state.newest} --to live" if which == "live" else "ambidex models ls",
        )
    return name, number


def version_number(to: int | str | None) -> int | None:
    """The number in ``3`` or ``churn@3``.

    Raises:
        UsageError: ``usage.reference``.
    """
    if to is None or isinstance(to, int):
        return to
    digits = to.rpartition("@")[2]
    if not digits.isdigit() or not int(digits):
        raise UsageError("usage.reference", f"{to!r} is no version number", found="a number such as 3", do="--to 3")
    return int(digits)
