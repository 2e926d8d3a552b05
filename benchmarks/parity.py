"""The compiled form against the model, kind by kind: ``python benchmarks/parity.py [ROWS]`` (10,000 rows a kind).

Hypothesis writes ten tables a kind. The table printed is the one of docs/serving.md.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from parity_tables import examine, kinds


def main() -> None:
    """Print the table."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    print("| model | compiled, of tables | rows | decisions changed | beyond tolerance | largest difference |")
    print("|---|---|---|---|---|---|")
    began, reasons = time.monotonic(), []
    for kind in kinds():
        found = examine(kind, rows=rows, tables=10)
        reasons += [f"{kind}: {reason}" for reason in dict.fromkeys(found.reasons)]
        wrong = found.differ + found.refused
        print(
            f"| {kind} | {found.compiled} of {found.tables} | {found.rows:,} | {found.changed} | {wrong} "
            f"| {found.largest:.1e} |",
            flush=True,
        )
    for reason in reasons:
        print(f"fallback: {reason}", file=sys.stderr)
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
