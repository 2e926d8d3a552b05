"""Read ``.ipynb`` and ``# %%`` scripts: cells and their code, without outputs; magics and shell lines set apart."""

from __future__ import annotations

import ast
import json
import mmap
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ambidex.delivery.notebook.names import without_ours
from ambidex.errors import DataError, NotFound

__all__ = ["Cell", "Notebook", "read_notebook"]

_TOKEN = re.compile(rb'"(?:[^"\\]+|\\.)*"|[\[\]{}]', re.DOTALL)
_SHELL_CELLS = ("bash", "sh", "script", "system", "cmd", "powershell", "perl", "ruby")
_KEEP_UNDER = ("time", "timeit", "capture", "prun", "matplotlib")


@dataclass(frozen=True)
class Cell:
    """One cell of the page.

    Attributes:
        index: Place on the page, from 0.
        code: Python under magics and shell lines; empty for text cells.
        count: Execution count, or None.
        is_code: False for text.
        magics: Magics that were set aside, as written.
        shell: Shell lines, as written.
        ran: Has a count or an output.
    """

    index: int
    code: str
    count: int | None
    is_code: bool
    magics: tuple[str, ...] = ()
    shell: tuple[str, ...] = ()
    ran: bool = False


@dataclass(frozen=True)
class Notebook:
    """A notebook or a script with cells.

    Attributes:
        path: Where it lies.
        cells: In the order of the page.
        script: True for ``.py``: it has no counts, and the page is the order.
    """

    path: Path
    cells: tuple[Cell, ...]
    script: bool
    trees: dict[int, ast.Module] = field(default_factory=dict)

    @property
    def code_cells(self) -> list[Cell]:
        """Cells with code."""
        return [c for c in self.cells if c.is_code]

    def order(self) -> list[Cell]:
        """The cells that ran, by their counts; a script's cells by the page."""
        if self.script:
            return self.code_cells
        ran = [c for c in self.code_cells if c.count is not None]
        return sorted(ran, key=lambda c: (c.count or 0, c.index))


def read_notebook(path: Path) -> Notebook:
    """Read the cells; outputs are passed over without being parsed, however large.

    Raises:
        NotFound: ``data.no-file``.
        DataError: ``data.notebook`` for what is no notebook, has no code, or does not parse.
    """
    if not path.exists():
        raise NotFound("data.no-file", f"there is no file {path}", where=str(path))
    if not path.is_file():
        raise DataError("data.not-a-file", f"{path} is no file", where=str(path))
    script = path.suffix.lower() == ".py"
    cells = _script(path) if script else _document(path)
    book = Notebook(path=path, cells=tuple(cells), script=script)
    if not any(c.code.strip() or c.shell for c in book.code_cells):
        raise DataError(
            "data.notebook", f"{path.name} has no cell with code, so there is nothing to package",
            where=str(path), found=f"{len(cells)} text cells", do="name the notebook that fits the model",
        )  # fmt: skip
    for cell in book.code_cells:
        try:
            book.trees[cell.index] = ast.parse(cell.code)
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None) or 1
            if cell.count is None and not script:
                book.trees[cell.index] = ast.parse("")  # never ran: a draft
                continue
            raise DataError(
                "data.notebook", f"cell {cell.index} is no Python: {getattr(error, 'msg', error)}",
                where=f"{path.name}, cell {cell.index}, line {line}", do="mend the cell and run it again",
            ) from error  # fmt: skip
    without_ours(book.trees.values())
    return book


def _document(path: Path) -> list[Cell]:
    try:
        document = json.loads(_without_outputs(path))
    except (ValueError, RecursionError) as error:
        at = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise DataError(
            "data.notebook", f"{path.name} is no notebook: it is not JSON", where=f"{path}{at}",
            found=path.open("rb").read(24).decode(errors="replace"), do="save it again as .ipynb",
        ) from error  # fmt: skip
    listed = document.get("cells") if isinstance(document, dict) else None
    if not isinstance(listed, list) or not all(isinstance(c, dict) for c in listed):
        raise DataError("data.notebook", f"{path.name} is JSON, but has no list of cells", where=str(path),
                        do="save it again as .ipynb (format 4)")  # fmt: skip
    return [_cell(i, c) for i, c in enumerate(listed)]


def _cell(index: int, cell: dict[str, Any]) -> Cell:
    source = cell.get("source", "")
    text = source if isinstance(source, str) else "".join(str(s) for s in source)
    if cell.get("cell_type") != "code":
        return Cell(index, "", None, False)
    count = cell.get("execution_count")
    code, magics, shell = split_magics(text)
    number = count if isinstance(count, int) else None
    return Cell(index, code, number, True, magics, shell, number is not None or bool(cell.get("outputs")))


def _without_outputs(path: Path) -> bytes:
    """The file without what stands in ``outputs`` of its cells; ``[0]`` stands where something was."""
    if path.stat().st_size == 0:
        return b""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if not data[:64].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
            return data[:4096]
        parts, start, depth, skip = [], 0, 0, None
        for token in _TOKEN.finditer(data):
            first = data[token.start()]
            if first == 0x22:
                key = token.end() - token.start() == 9 and data[token.start() : token.end()] == b'"outputs"'
                if skip is None and depth == 3 and key and data[token.end() : token.end() + 16].lstrip()[:1] == b":":
                    skip = (-1, 0)
                continue
            if first in b"[{":
                depth += 1
                if skip == (-1, 0):
                    skip = (depth, token.end())
                    parts.append(data[start : token.end()])
            else:
                if skip is not None and skip[0] == depth:
                    parts.append(b"0" if data[skip[1] : min(skip[1] + 64, token.start())].strip() else b"")
                    start, skip = token.start(), None
                depth -= 1
        parts.append(data[start:])
    return b"".join(parts).lstrip(b"\xef\xbb\xbf")


def _script(path: Path) -> list[Cell]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError("data.encoding", f"{path.name} is not UTF-8", where=str(path)) from error
    blocks: list[tuple[bool, list[str]]] = [(True, [])]
    for line in text.splitlines():
        mark = re.match(r"#\s*%%(.*)", line)
        if mark:
            blocks.append(("[markdown]" not in mark[1] and "[md]" not in mark[1], []))
        else:
            blocks[-1][1].append(line)
    if not any(line.strip() for line in blocks[0][1]):
        blocks = blocks[1:]
    cells = []
    for index, (is_code, lines) in enumerate(blocks):
        code, magics, shell = split_magics("\n".join(lines)) if is_code else ("", (), ())
        cells.append(Cell(index, code, None, is_code, magics, shell, True))
    return cells


def split_magics(text: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Python, magics, shell lines. Lines keep their numbers.

    >>> split_magics("%%time\\nx = 1\\n!ls")
    ('\\nx = 1\\n', ('%%time',), ('!ls',))
    """
    magics: list[str] = []
    shell: list[str] = []
    lines = text.split("\n")
    first = next((i for i, line in enumerate(lines) if line.strip()), 0)
    if lines and lines[first].startswith("%%"):
        name = lines[first][2:].split(maxsplit=1)[0] if lines[first][2:].split() else ""
        if name in _SHELL_CELLS:
            return "", (), (text.strip(),)
        magics.append(lines[first].strip())
        if name not in _KEEP_UNDER:
            return "", tuple(magics), ()
        lines[first] = ""
    out = []
    for line in lines:
        bare = line.strip()
        indent = line[: len(line) - len(line.lstrip())]
        if bare.startswith("!") or re.match(r"[\w, ]+=\s*!", bare):
            shell.append(bare)
            out.append(indent + "pass" if indent else "")
        elif bare.startswith("%") and not _continued(out):
            (shell if bare[1:].split(maxsplit=1)[:1] in (["sx"], ["system"]) else magics).append(bare)
            out.append(indent + "pass" if indent else "")
        elif bare.endswith("?") and re.fullmatch(r"\??[\w.]+\?{1,2}", bare):
            magics.append(bare)
            out.append("")
        else:
            out.append(line)
    return "\n".join(out), tuple(magics), tuple(shell)


def _continued(lines: list[str]) -> bool:
    """Whether a bracket is open: then a leading % is the operator."""
    text = re.sub(r"'[^'\n]*'|\"[^\"\n]*\"|#.*", "", "\n".join(lines))
    return sum(text.count(c) for c in "([{") > sum(text.count(c) for c in ")]}") or text.rstrip().endswith("\\")
