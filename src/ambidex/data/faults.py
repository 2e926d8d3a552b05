"""What is wrong with a CSV file, and on which line: the slow second look."""

from __future__ import annotations

from pathlib import Path

from ambidex.errors import DataError

__all__ = ["find_fault"]


def find_fault(path: Path, shown: Path, separator: str, width: int | None) -> DataError | None:
    """The first fault, as an error that names its line; None if this look finds none.

    Args:
        path: The file in UTF-8.
        shown: The file as the user named it.
        separator: Field separator.
        width: Fields of the header; None if the header itself is in doubt.
    """
    start = line = 1
    fields = 1
    opened: int | None = None  # line on which the quote that is open now was opened
    after_quote = False
    at_start = True  # of a field
    blank = True  # nothing in this record yet
    with path.open(encoding="utf-8-sig", newline="") as file:
        for text in file:
            body = text.rstrip("\r\n")
            if opened is None and '"' not in body:  # most lines: no quote to follow
                fields, blank = body.count(separator) + 1, not body
                body = ""
            for character in body:
                if opened is not None and not after_quote:
                    if character == '"':
                        after_quote = True
                    continue
                if after_quote:
                    if character == '"' and opened is not None:
                        after_quote = False
                        continue
                    if character != separator:
                        return _quote(shown, opened or line, line, character)
                    after_quote, opened = False, None
                    fields += 1
                    at_start, blank = True, False
                elif character == separator:
                    fields += 1
                    at_start, blank = True, False
                elif character == '"' and at_start:
                    opened = line
                    at_start, blank = False, False
                else:
                    at_start, blank = False, False
            if opened is not None and not after_quote:
                line += 1
                continue
            if not blank:
                if width is None:
                    width = fields
                elif fields != width:
                    return _ragged(shown, start, fields, width, separator)
            opened, after_quote, at_start, blank = None, False, True, True
            fields = 1
            line += 1
            start = line
    if opened is not None:
        return DataError(
            "data.quote",
            f"a quote opens on line {opened} of {shown.name} and never closes",
            where=f"{shown}, line {opened}",
            found="the end of the file inside the quotes",
            do=f'close the quote on line {opened}, or double it ("") if it belongs to the text',
        )
    return None


def _quote(shown: Path, opened: int, line: int, character: str) -> DataError:
    return DataError(
        "data.quote",
        f"a quote opens on line {opened} of {shown.name} and is not closed properly",
        where=f"{shown}, line {opened}",
        found=f"{character!r} right after the next quote, on line {line}",
        do=f'close the quote on line {opened}, or double it ("") if it belongs to the text',
    )


def _ragged(shown: Path, line: int, fields: int, width: int, separator: str) -> DataError:
    more = "more" if fields > width else "fewer"
    names = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
    counted = f"{fields} field{'' if fields == 1 else 's'}"
    return DataError(
        "data.ragged",
        f"line {line} of {shown.name} has {counted}, {abs(fields - width)} {more} than the {width} of the header",
        where=f"{shown}, line {line}",
        found=f"{counted}, where the header has {width} (separator: {names[separator]})",
        do=(
            f"mend line {line}; a {names[separator]} inside a text needs quotes around the text"
            if width > 1
            else "the first line is taken as the header; remove what stands above the real one"
        ),
    )
