"""What a body is and how it is packed: media types, gzip in both directions, what the caller would read."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from ambidex.serving.messages import Request
from ambidex.serving.problems import HttpRefusal, shortened

__all__ = ["ARROW", "WORTH", "coding_of", "inflated", "only_json", "pack", "takes_gzip", "wants"]

ARROW = "application/vnd.apache.arrow.stream"
WORTH = 1400
"""Bytes from which packing an answer spares a packet."""
MEMBERS = 8
"""Parts that a gzip body may have: each costs a copy of what is left."""
LEVEL = 1


def coding_of(request: Request) -> bool:
    """Whether the body is packed with gzip.

    Raises:
        HttpRefusal: ``http.media-type`` (415) for any other coding.
    """
    coding = request.fields.get(b"content-encoding", b"").strip().lower()
    if coding in (b"", b"identity"):
        return False
    if coding in (b"gzip", b"x-gzip"):
        return True
    said = shortened(coding.decode("latin-1"), 40)
    raise HttpRefusal(
        "http.media-type", f"Content-Encoding {said} is not accepted", status=415,
        headers={"Accept-Encoding": "gzip, identity"}, do="send the body packed with gzip, or as it is",
    )  # fmt: skip


def inflated(body: bytes, most: int) -> bytes | None:
    """A gzip body, unpacked; None as soon as it turns out to be larger than ``most`` bytes.

    Raises:
        HttpRefusal: ``http.coding`` (400): it is not gzip, or ends before it should.

    >>> inflated(pack(b"x" * 100), 100) == b"x" * 100, inflated(pack(b"x" * 100), 99) is None
    (True, True)
    """
    parts: list[bytes] = []
    size = members = 0
    while body or not members:
        stream = zlib.decompressobj(wbits=31)
        members += 1
        try:
            part = stream.decompress(body, most - size + 1)
        except zlib.error as error:
            raise _not_gzip(str(error)[:100]) from None
        size += len(part)
        if size > most:
            return None
        if not stream.eof:
            raise _not_gzip("it ends before it is whole")
        parts.append(part)
        body = stream.unused_data
        if members >= MEMBERS and body:
            raise _not_gzip(f"it has more than {MEMBERS} parts")
    return b"".join(parts)


def _not_gzip(why: str) -> HttpRefusal:
    return HttpRefusal(
        "http.coding", f"the body is not what Content-Encoding: gzip promises: {why}", status=400,
        do="send the body packed with gzip, or leave Content-Encoding out",
    )  # fmt: skip


def pack(body: bytes) -> bytes:
    """A body as gzip, quickly."""
    stream = zlib.compressobj(LEVEL, wbits=31)
    return stream.compress(body) + stream.flush()


def takes_gzip(fields: Mapping[bytes, bytes]) -> bool:
    """Whether the caller takes answers packed with gzip.

    >>> takes_gzip({b"accept-encoding": b"br, gzip;q=0.5"}), takes_gzip({b"accept-encoding": b"gzip;q=0"})
    (True, False)
    """
    said = fields.get(b"accept-encoding")
    return said is not None and any(_takes(p, ("gzip", "x-gzip")) for p in said.decode("latin-1").lower().split(","))


def _takes(part: str, names: tuple[str, ...]) -> bool:
    """Whether one entry of an Accept list names one of these and does not weigh it with 0."""
    name, *rest = (p.strip() for p in part.split(";"))
    zero = any(r.replace(" ", "").startswith("q=0") and not r.strip("q=0. \t") for r in rest)
    return name in names and not zero


def wants(request: Request, media: str) -> bool:
    """Whether the caller names this media type in Accept."""
    said = request.fields.get(b"accept")
    return said is not None and any(_takes(p, (media,)) for p in said.decode("latin-1").lower().split(","))


def only_json(request: Request) -> None:
    """JSON in UTF-8. A request without a media type counts as JSON, except a browser's: a page of another origin
    may send such a body without asking.

    Raises:
        HttpRefusal: ``http.media-type`` (415).
    """
    if request.fields.get(b"content-type") == b"application/json":
        return
    media, _, rest = request.fields.get(b"content-type", b"").decode("latin-1").lower().partition(";")
    media, charset = media.strip(), rest.replace(" ", "").replace('"', "")
    fits = media == "application/json" or (media == "" and b"origin" not in request.fields)
    if not fits or (charset.startswith("charset=") and charset not in ("charset=utf-8", "charset=utf8")):
        said = shortened(f"{media}; {rest.strip()}" if fits else media, 60) if media else "of no stated type"
        raise HttpRefusal(
            "http.media-type", f"the body is {said}; accepted is application/json in UTF-8", status=415,
            headers={"Accept": "application/json"}, do="send Content-Type: application/json",
        )  # fmt: skip
