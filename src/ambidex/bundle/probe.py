"""The child that opens a model first: ``python -m ambidex.bundle.probe`` with the bytes on standard input.

It answers one JSON document, ``{"ok": true}`` or ``{"ok": false, "why": "…"}``. Whatever a model does to a
process, it does it here.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Mapping
from typing import Any

from ambidex.bundle.compiled import PLAN, open_compiled
from ambidex.bundle.open import TOLERANCE, load_scorer, replay
from ambidex.errors import AmbidexError
from ambidex.ports import Scorer

__all__ = ["main"]

MEMORY = 4 << 30
CPU_SECONDS = 15
CODE_CPU_SECONDS = 60


def main() -> None:
    """Read, try, answer."""
    sizes = json.loads(sys.stdin.buffer.readline())
    cpu = CODE_CPU_SECONDS if sizes.get("files") else CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    model, golden = (sys.stdin.buffer.read(sizes[part]) for part in ("model", "golden"))
    files = {name: sys.stdin.buffer.read(size) for name, size in sizes.get("files", {}).items()}
    # What the model prints while it loads is not the answer.
    answer, sys.stdout = sys.stdout, sys.stderr
    print(json.dumps(_try(model, golden, files)), file=answer)


def _try(model: bytes, golden: bytes, files: Mapping[str, bytes]) -> dict[str, Any]:
    try:
        rows = json.loads(golden)
        if (
            PLAN in files and json.loads(files[PLAN])["runtime"] == "compiled"
        ):  # the compiled form is what is tried, to the tolerance that it was proven to
            scorer: Scorer = open_compiled({**files, "model.json": model})
            rows["tolerance"] = max(
                float(rows.get("tolerance", TOLERANCE)), float(json.loads(files[PLAN])["plan"]["tolerance"])
            )
        else:
            scorer = load_scorer(json.loads(model), files or None)
        differs, largest = replay(scorer, rows)
    except AmbidexError as error:
        return {"ok": False, "why": error.message}
    except Exception as error:
        return {"ok": False, "why": f"{type(error).__name__}: {error}"}
    if differs:
        return {"ok": False, "why": f"{differs} of {len(rows['rows'])} golden rows differ, by up to {largest:.3g}"}
    return {"ok": True, "rows": len(rows["rows"])}


if __name__ == "__main__":
    main()
