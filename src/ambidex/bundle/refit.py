"""Train a bundle's code anew: its ``train.py`` runs in a child with limits and writes the state again.

The package says ``train.py: fit(table: Path, state: Path) -> None``. ``table`` is a CSV where the rows came from one
(so that cells are spelled as in the file), else a Parquet file; ``state`` holds the files as they were sealed and is
where the new ones go, under the same names.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ambidex.bundle.code import parts_of
from ambidex.errors import DataError, Refused
from ambidex.records import canonical, digest

if TYPE_CHECKING:
    from ambidex.data.table import Table

__all__ = ["can_train", "refit"]

SECONDS = 1800.0
MEMORY = 8 << 30


def can_train(files: Mapping[str, bytes]) -> bool:
    """Whether the bundle's code brings a ``train.py``."""
    model = json.loads(files["model.json"])
    return f"code/{model.get('package')}/train.py" in files


def refit(
    files: Mapping[str, bytes], table: Table, *, seconds: float = SECONDS, memory: int = MEMORY
) -> dict[str, bytes]:
    """The bundle's files with the state fitted on these rows; golden predictions are still the old ones.

    Args:
        files: A bundle of code, verified.
        table: Training rows: raw inputs and the target.
        seconds: How long the child may take.
        memory: Bytes of address space it may take.

    Raises:
        DataError: ``data.no-recipe`` if the bundle cannot be trained.
        Refused: ``check.opens`` if training fails, dies or takes too long.
    """
    model = json.loads(files["model.json"])
    if not can_train(files):
        raise DataError(
            "data.no-recipe",
            "this model arrived fitted, without the code that trains it, so it cannot be trained here",
            do="train it where it was made, and package the new file under the same --name",
        )
    with tempfile.TemporaryDirectory(prefix="ambidex-") as made:
        folder = Path(made)
        for path, data in parts_of(model, files).items():
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        (folder / "state").mkdir(exist_ok=True)
        before = _state_of(folder)
        rows = _write(table, folder)
        ask = {"folder": made, "package": model["package"], "rows": rows.name, "memory": memory}
        command = [sys.executable, "-I", "-m", "ambidex.bundle.refit"]
        environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "2")}
        try:
            done = subprocess.run(
                command, input=canonical(ask), capture_output=True, timeout=seconds, check=False, cwd=made,
                env=environment,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise Refused("check.opens", f"training did not end within {seconds:g} s") from error
        if done.returncode:
            last = done.stderr.decode(errors="replace").strip().splitlines()
            raise Refused(
                "check.opens",
                f"training ended with status {done.returncode}: {last[-1][:300] if last else 'no message'}",
                where=f"{model['package']}/train.py",
                do="mend train.py, or package the model anew",
            )
        after = _state_of(folder)
        written = [path for path, when in after.items() if before.get(path) != when]
        # A document that names its files anew leaves behind those of before.
        kept = written if "state/state.json" in written else list(after)
        state = {path: (folder / path).read_bytes() for path in kept}
    formats = {path.removeprefix("state/"): _format(path, model) for path in state}
    model["state"], model["marks"] = formats, sorted({f for f in formats.values() if f == "pickle"})
    code = {path: data for path, data in files.items() if path.startswith("code/")}
    fresh = {**code, **state}
    model["files"] = {path: digest(data) for path, data in sorted(fresh.items())}
    others = {path: data for path, data in files.items() if not path.startswith(("code/", "state/"))}
    return {**others, **fresh, "model.json": canonical(model)}


def _state_of(folder: Path) -> dict[str, int]:
    """When each file of state was written, by its name in the bundle."""
    found = sorted((folder / "state").rglob("*"))
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in found if p.is_file()}


def _format(path: str, model: Mapping[str, Any]) -> str:
    """How a file of state is read; a new one is JSON, or a pickle in it."""
    known = dict(model.get("state", {})).get(path.removeprefix("state/"))
    return str(known or ("pickle" if path.endswith(".pickle.json") else "json"))


def _write(table: Table, folder: Path) -> Path:
    import pyarrow as pa
    import pyarrow.types as pt
    from pyarrow import csv, parquet

    from ambidex.data.csvfile import separator_of

    arrow = table.arrow if isinstance(table.arrow, pa.Table) else pa.table(table.select(table.columns).arrow)
    if all(pt.is_string(t) or pt.is_large_string(t) for t in arrow.schema.types):
        first = Path(table.files[0]) if table.files else None
        found = separator_of(first) if first is not None and first.is_file() else ","
        csv.write_csv(arrow, folder / "rows.csv", csv.WriteOptions(delimiter=found))  # as cells that read it expect
        return folder / "rows.csv"
    parquet.write_table(arrow, folder / "rows.parquet")
    return folder / "rows.parquet"


def main() -> None:
    """The child."""
    ask = json.loads(sys.stdin.buffer.read())
    resource.setrlimit(resource.RLIMIT_AS, (ask["memory"], ask["memory"]))
    folder = Path(ask["folder"])
    sys.path.insert(0, str(folder / "code"))
    sys.dont_write_bytecode = True
    importlib.import_module(f"{ask['package']}.train").fit(folder / ask["rows"], folder / "state")


if __name__ == "__main__":
    main()
