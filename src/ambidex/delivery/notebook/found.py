"""Traps that only a run shows: order, state that was not saved, columns that are no input, rows left out."""

# ruff: noqa: E501  the sentences of the traps and the programs of the child
from __future__ import annotations

from collections.abc import Sequence

from ambidex.delivery.notebook.convert import Converted
from ambidex.delivery.notebook.product import Product
from ambidex.delivery.notebook.steps import Step, calls_of
from ambidex.delivery.notebook.traps import Trap

__all__ = ["run_traps"]


def run_traps(made: Converted, steps: Sequence[Step], product: Product) -> list[Trap]:
    """Traps of a converted notebook."""
    out: list[Trap] = []
    inference = made.inference
    saving = [s.cell for s in steps if any(m in ("dump", "save_model", "dumps") for m, _ in calls_of(s.node))]
    needed = sorted(n for n in {*inference.state, *([] if product.is_function else [product.name])})
    helpers = sorted(inference.helpers)
    saved = {*product.saved, *(s for s in needed if s == product.name)}
    alias = {product.name}
    lacking = [n for n in needed if n not in saved and n not in alias]
    kept = sorted(made.inference.sites)
    constants = sorted(made.others["constants"])
    if saving and (lacking or kept or (product.is_function and helpers)):
        homes = [s.cell for s in steps if s.defines & set(lacking) and not s.is_import]
        homes += [int(site.split()[1].split(".")[0]) for site in kept]
        homes += [
            s.cell for s in steps if any(m == "fit_transform" for m, _ in calls_of(s.node)) and s.cell in made.cells
        ]
        what = [
            *lacking,
            *[f"what cell {site.split()[1].split('.')[0]} works out ({site.split()[0]})" for site in kept],
            *helpers,
        ]
        also = f", {', '.join(constants)}" if constants else ""
        out.append(Trap("state-not-saved", tuple(sorted({*homes, *saving})),
                        f"the saved file lacks {', '.join(what)}{also}; the package holds them"))  # fmt: skip
    absent = [c["name"] for c in made.others["columns"] if c["name"] not in made.others["inputs"]]
    label = made.target["column"] if made.target is not None else None
    after = [n for n in absent if n != label]
    if absent:
        table_cell = [int(s.split()[1].split(".")[0]) for s in made.tables]
        dropping = [
            s.cell for s in steps if s.cell in made.cells and any(repr(n) in s.source for n in after)
        ]  # fmt: skip
        out.append(
            Trap(
                "post-outcome-column",
                tuple(sorted({*dropping, *table_cell})),
                f"{', '.join(absent)} are in the file and are no input",
            )
        )
    for site, (before, left) in made.left.items():
        cell = int(site.split()[1].split(".")[0])
        if before - left and before >= 0.5 * max(t["rows"] for t in made.tables.values()):
            out.append(
                Trap(
                    "drops-rows",
                    (cell,),
                    f"{before - left:,} of {before:,} rows are left out of training; when predicting none is",
                )
            )
    if made.page is not None:
        page = made.page
        if "fails" in page:
            text = f"in the order of the page cell {page['fails']} fails: {page['error']}"
        else:
            text = f"the order of the page gives other predictions for {page['changed']:,} of {page['of']:,} rows, by up to {page['largest']:.3f}"
            if "threshold" in page:
                text += f", and the threshold {page['threshold']:g} instead of {page['threshold_here']:g}"
        if "fails" in page or page["changed"]:
            out.append(Trap("page-order", tuple(made.cells), text))
    if made.pickled:
        out.append(
            Trap(
                "pickled-state",
                (),
                f"{', '.join(made.pickled)} has no form but a pickle; it is read with the list of its names only, and marked",
            )
        )
    if made.target is None:
        out.append(Trap("no-raw-target", (), "no column of the file is the label, so gates need a table with one"))
    return out
