"""``package`` for notebooks and scripts with cells: look, say, run only when told to, prove, register."""

# ruff: noqa: E501  the sentences of the traps and the programs of the child
from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ambidex.delivery.coded import adopt
from ambidex.delivery.notebook.convert import convert, needed_steps
from ambidex.delivery.notebook.found import run_traps
from ambidex.delivery.notebook.place import write_package
from ambidex.delivery.notebook.product import find_product
from ambidex.delivery.notebook.reader import read_notebook
from ambidex.delivery.notebook.run import MEMORY, SECONDS
from ambidex.delivery.notebook.steps import Step, steps_of
from ambidex.delivery.notebook.traps import HOPELESS, Trap, reading_traps, secret_cells
from ambidex.delivery.package import place_package
from ambidex.errors import DataError, EnvironmentProblem, Refused
from ambidex.ports import Place
from ambidex.report.answer import Mark, Result

__all__ = ["is_notebook", "package_notebook"]

_HELP = {
    "spark": "save the joined table of features and label as Parquet, and read that",
    "closed-client": "a notebook that runs without the client",
    "missing-file": "the file that is missing, or a table that holds what was in it",
    "writes-production": "leave out the cells that register, deploy or overwrite",
    "never-run": "one complete run from top to bottom, saved with its outputs",
    "missing-module": "name the Python that has the module: --python PATH",
}


def is_notebook(source: Any) -> bool:
    """Whether a source is a notebook or a script, by its ending."""
    return isinstance(source, str | Path) and str(source).lower().endswith((".ipynb", ".py"))


def package_notebook(
    place: Place, source: str | Path, *, name: str, run: bool = False, allow_shell: bool = False,
    cwd: str | Path | None = None, python: str | None = None, seconds: float = SECONDS,
) -> Result:  # fmt: skip
    """A notebook becomes a package and a version.

    Args:
        place: The workspace.
        source: ``.ipynb``, or ``.py`` with ``# %%``.
        name: Model's name.
        run: Whether the cells may run, in a child.
        allow_shell: Whether the child may start programs.
        cwd: Where relative paths start; the notebook's folder by default.
        python: The interpreter; ours by default.
        seconds: Time limit.

    Raises:
        DataError: ``data.notebook``, ``data.notebook-cell``.
        Refused: ``check.notebook`` for one that cannot be packaged: nothing has run, nothing was written.
        EnvironmentProblem: ``env.child``, ``env.missing-extra``.
    """
    path = Path(source)
    book = read_notebook(path)
    folder = Path(cwd).resolve() if cwd is not None else path.resolve().parent
    if not folder.is_dir():
        raise DataError("data.no-file", f"there is no folder {folder}", where="--cwd")
    cells = book.order() or book.code_cells
    steps = steps_of(book, cells)
    product = find_product(steps)
    needed = needed_steps(steps, product) if product is not None else []
    traps = reading_traps(book, steps, product, needed, cwd=folder, ours=python is None)
    _refuse(path, name, traps, needed, book_secrets=secret_cells(book))
    if not run:
        return _looked(path, name, traps, needed, product is not None, folder)
    if product is None:
        raise DataError("data.notebook", f"nothing in {path.name} predicts: no fitted model and no function that scores",
                        where=str(path), do="fit a model in a cell and score some rows with it")  # fmt: skip
    made = convert(
        book, steps, product, name, cwd=folder, python=python, shell=allow_shell, seconds=seconds, memory=MEMORY
    )
    traps = _joined([*traps, *run_traps(made, steps, product)])
    data: dict[str, Any] = {
        "model": name, "version": None, "path": None, "equal": made.proof.equal, "of": made.proof.of,
        "largest_difference": made.proof.largest, "traps": [t.to_dict() for t in traps],
    }  # fmt: skip
    if made.proof.equal != made.proof.of or made.proof.single != made.proof.single_of:
        raise Refused(
            "check.tests",
            f"the package predicts {made.proof.equal:,} of {made.proof.of:,} rows as the notebook does, "
            f"{made.proof.single:,} of {made.proof.single_of:,} one by one",
            found=f"largest difference {made.proof.largest:.3g}", data=data,
            do="see the traps; what depends on other rows must be fitted once and kept",
        )  # fmt: skip
    building = write_package(place.folder, name, made, traps, notebook=path.name)
    try:
        table: Path = _table(folder, made.table)
        if made.others.get("labelled") is not None:
            table = place.folder / "data" / f"{name}-labelled.parquet"
            table.parent.mkdir(exist_ok=True)
            table.write_bytes(made.others["labelled"])
        taken = adopt(
            place, name, made.files, table=table, fitted="elsewhere",
            positive=made.schema.classes[1] if made.schema.task == "binary" else None, options={"notebook": path.name},
        )  # fmt: skip
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    home = place_package(building, place.folder, name)
    version = taken.version
    data |= {"version": version.number, "path": str(home)}
    unseeded = any(t.kind == "unseeded" for t in traps)
    run_words = (
        "its own run of the notebook (unseeded: another run gives another model)" if unseeded else "the notebook"
    )
    lines: list[tuple[Mark, str]] = [
        ("✓", f"{version.ref} in {home.relative_to(place.folder)}"),
        ("✓", f"predicts as {run_words} on {made.proof.equal:,} of {made.proof.of:,} raw rows at once, "
              f"and on {made.proof.single:,} of {made.proof.single_of:,} one by one"),
        (" ", f"largest difference {made.proof.largest:.2g}; {made.proof.to_the_bit:,} rows equal to the last bit"),
        (" ", f"product {product.name}, from cells {', '.join(map(str, made.cells))}"),
        *[("▲", f"{t.kind}{_at(t)}: {t.what}") for t in traps if t.kind != "dead-code"],
    ]  # fmt: skip
    return Result(
        verb="package",
        data=data,
        lines=tuple(lines),
        next=(f"ambidex test {version.ref}", f"ambidex gate {version.ref}"),
    )


def _refuse(
    path: Path,
    name: str,
    traps: Sequence[Trap],
    needed: Sequence[Step],
    *,
    book_secrets: Sequence[tuple[int, int, str]],
) -> None:
    live = {s.cell for s in needed}
    never = any(t.kind == "never-run" for t in traps)
    hard = [
        t for t in traps
        if t.kind in HOPELESS and (never or not needed or set(t.cells) & live or t.kind in ("spark", "closed-client"))
    ]  # fmt: skip
    missing = [t for t in hard if t.kind == "missing-module"]
    if missing and len(hard) == len(missing):
        trap = missing[0]
        raise EnvironmentProblem("env.missing-extra", f"cell {trap.cells[0]}: {trap.what}", where=f"{path.name}, cell {trap.cells[0]}",
                                 do=_HELP["missing-module"])  # fmt: skip
    data = {"model": name, "version": None, "path": None, "equal": 0, "of": 0, "largest_difference": None,
            "traps": [t.to_dict() for t in traps]}  # fmt: skip
    if hard:
        kinds = [t for t in traps if t.kind in {*HOPELESS, "never-run", "credentials"}]
        helps = [_HELP[k] for k in dict.fromkeys(t.kind for t in kinds) if k in _HELP]
        raise Refused(
            "check.notebook", f"{path.name} cannot be packaged: nothing has run, nothing was written", where=str(path),
            found="; ".join(f"{t.kind}{_at(t)}: {t.what}" for t in kinds), do="; ".join(helps), data=data,
        )  # fmt: skip
    for cell, line, masked in book_secrets:
        if cell in live:
            raise Refused("check.notebook", f"cell {cell} line {line} holds what looks like a credential ({masked}), and the model needs that cell",
                          where=f"{path.name}, cell {cell}, line {line}", do="read it from the environment, outside the cells that the model needs", data=data)  # fmt: skip
    import ast

    for step in needed:
        for node in ast.walk(step.node):
            endless = isinstance(node, ast.While) and isinstance(node.test, ast.Constant) and bool(node.test.value)
            if endless and not any(isinstance(n, ast.Break | ast.Return | ast.Raise) for n in ast.walk(node)):
                raise DataError("data.notebook-cell", f"cell {step.cell} never ends (the limit would be {SECONDS} s)",
                                where=f"{path.name}, cell {step.cell}", do="take the loop out of the cell")  # fmt: skip


def _looked(
    path: Path, name: str, traps: Sequence[Trap], needed: Sequence[Step], product: bool, folder: Path
) -> Result:
    cells = sorted({s.cell for s in needed})
    told = (
        f"would run cells {', '.join(map(str, cells))} in {folder}, in a child"
        if product
        else "found nothing that scores"
    )
    lines: list[tuple[Mark, str]] = [
        ("▲", f"{path.name}: nothing has run and nothing was written; {told}"),
        *[("▲", f"{t.kind}{_at(t)}: {t.what}") for t in traps if t.kind != "dead-code"],
    ]  # fmt: skip
    return Result(
        verb="package",
        data={"model": name, "version": None, "path": None, "equal": 0, "of": 0, "largest_difference": None,
              "traps": [t.to_dict() for t in _joined(traps)]},
        lines=tuple(lines), next=(f"ambidex package {path.name} --name {name} --run",) if product else (),
    )  # fmt: skip


def _joined(traps: Sequence[Trap]) -> list[Trap]:
    """One line for each kind at the same cells."""
    out: dict[tuple[str, tuple[int, ...]], Trap] = {}
    for trap in traps:
        out.setdefault((trap.kind, trap.cells), trap)
    return list(out.values())


def _at(trap: Trap) -> str:
    shown = ", ".join(map(str, trap.cells[:8])) + (", …" if len(trap.cells) > 8 else "")
    return f" (cells {shown})" if len(trap.cells) > 1 else f" (cell {shown})" if trap.cells else ""


def _table(folder: Path, named: str) -> Path:
    path = folder / named
    beside = folder / named.replace("\\", "/").rsplit("/", 1)[-1]
    return path if path.exists() else beside
