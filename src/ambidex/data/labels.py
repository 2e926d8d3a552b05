"""Which class of a model a label names."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["class_of"]


def class_of(label: str, classes: Sequence[str]) -> str | None:
    """The class of a model that a label names, or None.

    A model trained on one label against all others has the classes ``not X`` and ``X``; what really happened is
    one of the others by its own name. Only a respelling of X itself is none of them: it is more likely X.

    Args:
        label: As the file or the request writes it.
        classes: Of a yes/no model the negative first.

    >>> class_of("retired", ("not left", "left")), class_of("left", ("not left", "left"))
    ('not left', 'left')
    >>> class_of("Left ", ("not left", "left")), class_of("maybe", ("no", "yes"))
    (None, None)
    >>> class_of("b", ("a", "b", "c")), class_of("d", ("a", "b", "c"))
    ('b', None)
    """
    if label in classes:
        return label
    if len(classes) != 2:
        return None
    negative, positive = classes
    plain = label.strip().casefold()
    if negative != f"not {positive}" or plain in ("", positive.strip().casefold()):
        return None
    return negative
