"""What is wrong with the head of a request, where two readers might disagree about it."""

from __future__ import annotations

from collections.abc import Mapping

import httptools

__all__ = ["fault_of", "path_of"]


def fault_of(fields: Mapping[bytes, bytes], hosts: int, version: str, *, upgrade: bool) -> str | None:
    """Why a head is refused, or None.

    Args:
        fields: Header fields, names in lower case.
        hosts: How many Host fields there were.
        version: ``1.1``, ``1.0``, ...
        upgrade: True if the parser took it for a change of protocol.

    >>> fault_of({b"host": b"a", b"content-length": b"3", b"transfer-encoding": b"chunked"}, 1, "1.1", upgrade=False)
    'Content-Length and Transfer-Encoding together'
    """
    if version not in ("1.0", "1.1"):
        return f"HTTP/{version[:8]} is not spoken here"
    if hosts != 1 and (version == "1.1" or hosts > 1):
        return f"{hosts} Host fields where one is needed"
    if upgrade:
        return "the connection cannot be upgraded"
    if (coding := fields.get(b"transfer-encoding")) is not None:
        if b"content-length" in fields:
            return "Content-Length and Transfer-Encoding together"
        if version == "1.0" or coding.strip().lower() != b"chunked":
            return "Transfer-Encoding other than chunked"
    elif not fields.get(b"content-length", b"0").strip().isdigit():
        return "Content-Length is no number"
    return None


def path_of(url: bytes) -> str:
    """The path of a request line, without query and fragment; ``?`` where there is none to be found.

    >>> path_of(b"/predict/churn?x=1"), path_of(b"http://a/v2"), path_of(b"*")
    ('/predict/churn', '/v2', '*')
    """
    if url.startswith(b"/"):
        if b"?" not in url and b"#" not in url:
            return url.decode("latin-1")
    else:
        try:
            url = httptools.parse_url(url).path or b"/"
        except httptools.HttpParserInvalidURLError:
            return "?"
    return url.partition(b"?")[0].partition(b"#")[0].decode("latin-1")
