"""Which libraries run here: sealed with a version, and compared when it is tested."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib import metadata

__all__ = ["environment"]

ALWAYS = ("numpy", "scipy", "pyarrow", "duckdb")


def environment(also: Iterable[str] = ()) -> dict[str, str]:
    """Versions of Python and of the libraries that a model's figures hang on; what is not installed is left out.

    Args:
        also: Further packages, by the name that installs them.

    >>> sorted(environment())[:2]
    ['duckdb', 'numpy']
    """
    found = {"python": platform.python_version()}
    for name in dict.fromkeys((*ALWAYS, *also)):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
