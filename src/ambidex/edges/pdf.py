"""Text of a PDF, by pypdf (the ``pdf`` extra)."""

from __future__ import annotations

import io

from ambidex.errors import DataError, MissingExtra

__all__ = ["text_of"]

MOST_PAGES = 50


def text_of(raw: bytes, name: str) -> str:
    """The text of all pages.

    Raises:
        MissingExtra: Without pypdf.
        DataError: ``advice.no-text`` if there is none (a scan), or if the file is broken or locked.
    """
    try:
        import pypdf
    except ImportError as missing:
        raise MissingExtra("pypdf", "pdf", "a posting in PDF") from missing
    try:
        reader = pypdf.PdfReader(io.BytesIO(raw))
        if len(reader.pages) > MOST_PAGES:
            raise DataError(
                "advice.too-large", f"{name} has {len(reader.pages)} pages, and a posting has a few", where=name,
                do="give one posting at a time",
            )  # fmt: skip
        text = "\n".join(page.extract_text() or "" for page in reader.pages)
    except DataError:
        raise
    except Exception as broken:  # whatever a hostile file makes the reader raise
        raise DataError(
            "advice.no-text", f"{name} is a PDF that cannot be read", where=name, found=type(broken).__name__,
            do="save the posting as text",
        ) from broken  # fmt: skip
    if not text.strip():
        raise DataError(
            "advice.no-text", f"{name} is a PDF without text, perhaps a scan", where=name, do="save the posting as text"
        )
    return text
