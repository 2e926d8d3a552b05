"""What the deliver and run verbs say: from what was done to a ``Result``, figures and words in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ambidex.delivery.coded import Adopted
from ambidex.delivery.package import Parity
from ambidex.delivery.retrain import Step
from ambidex.delivery.score import Scored
from ambidex.records import Judgement, ModelState, Schema, VersionRecord
from ambidex.report.answer import Mark, Result
from ambidex.report.words import plural

__all__ = [
    "drifted", "fit_words", "gated", "labelled", "monitored", "packaged", "promoted", "replayed", "resumed",
    "retrained", "rolled_back", "scored", "trained",
]  # fmt: skip

Lines = list[tuple[Mark, str]]


def fit_words(evaluation: Mapping[str, Any]) -> str:
    """`AUC 0.845 on 1,409 rows not fitted`; of a model fitted elsewhere nobody knows which rows it has seen."""
    value = evaluation["value"]
    if value is None:
        return "no figure: the held-out rows have one class"
    names = {"auc": "AUC", "r2": "R²", "qini": "Qini", "fit": "share of differences taken up"}
    name = names.get(evaluation["metric"], evaluation["metric"])
    seen = "that it may have been fitted on" if evaluation.get("fitted") == "elsewhere" else "not fitted"
    return f"{name} {value:.3f} on {evaluation['held_out_rows']:,} rows {seen}"


def packaged(
    version: VersionRecord, home: Path, folder: Path, parity: Parity, evaluation: Mapping[str, Any], *,
    written: bool, notes: Sequence[tuple[str, str]],
) -> Result:  # fmt: skip
    """A package was proven, placed and registered."""
    shown = home.relative_to(folder) if home.is_relative_to(folder) else home
    lines: Lines = [
        ("✓", f"{version.ref} in {shown}, {fit_words(evaluation)}"),
        ("✓", f"predicts the same as the prototype on {parity.equal:,} of {parity.of:,} rows, single and batched"),
    ]
    if written:
        lines.append((" ", f"ambidex.toml now has [models.{version.model}]: data, target, key"))
    return Result(
        verb="package",
        data={
            "model": version.model, "version": version.number, "path": str(home), "equal": parity.equal,
            "of": parity.of, "largest_difference": parity.largest, "traps": [],
        },
        lines=tuple(lines), warnings=tuple(notes),
        next=(f"ambidex test {version.ref}", f"ambidex gate {version.ref}"),
    )  # fmt: skip


def adopted(taken: Adopted, home: Path, folder: Path, made: Any) -> Result:
    """A model that was fitted elsewhere was proven, placed and registered."""
    version = taken.version
    shown = home.relative_to(folder) if home.is_relative_to(folder) else home
    lines: Lines = [
        ("✓", f"{version.ref} in {shown}, {fit_words(taken.evaluation)}"),
        ("✓", f"predicts the same as the original on {made.equal:,} of {made.of:,} rows (the table's, missing, new and "
              f"boundary values), single and batched; largest difference {made.largest:.2g}"),
        (" ", f"runs as {made.runtime}"),
    ]  # fmt: skip
    if taken.written:
        lines.append((" ", f"ambidex.toml now has [models.{version.model}]: data, target, key"))
    notes = list(made.notes)
    if taken.evaluation.get("fitted") != "here":
        notes.append(
            ("fitted-elsewhere", "fitted elsewhere, perhaps on the very rows it was measured on: these figures may "
             f"flatter it; `ambidex train {version.model}` makes a version that was not fitted on them")
        )  # fmt: skip
    return Result(
        verb="package",
        data={
            "model": version.model, "version": version.number, "path": str(home), "equal": made.equal,
            "of": made.of, "largest_difference": made.largest, "traps": [],
        },
        lines=tuple(lines), warnings=tuple(notes),
        next=(f"ambidex test {version.ref}", f"ambidex gate {version.ref}"),
    )  # fmt: skip


def trained(
    version: VersionRecord, *, was: int, event: int, rows: int, evaluation: Mapping[str, Any],
    search: Mapping[str, Any] | None = None,
) -> Result:  # fmt: skip
    """A recipe was run again, or looked for."""
    lines: Lines = [("✓", f"{version.ref} on {rows:,} rows, {fit_words(evaluation)}")]
    if search is not None:
        best = next(t for t in search["trials"] if t["n"] == search["best"])
        lines.append((" ", f"search     {best['what']} is the best of {search['tried']} recipes tried in "
                           f"{search['seconds']:.0f} s on {search['split']}"))  # fmt: skip
    for base in evaluation.get("baselines", ()):
        span = "" if base["low"] is None else f" ({base['low']:+.4f} to {base['high']:+.4f})"
        mark: Mark = "▲" if base["low"] is not None and base["low"] > 0 else " "
        text = f"{base['name']:<10} loss {base['loss']:.4f}, the model's {evaluation['loss']:.4f}: "
        lines.append((mark, (text + f"{base['value']:+.4f}{span}").replace(" -", " −").replace("(-", "(−")))
    notes = []
    if search is not None and search["stopped"] == "budget":
        text = f"the time budget ended the search after {search['tried']} recipes, and another machine may try another "
        notes.append(("not-deterministic", text + f"number; --trials {search['tried'] - 2} alone gives these again"))
    return Result(
        verb="train",
        data={
            "model": version.model, "version": version.number, "was": was, "event": event,
            "baselines": evaluation.get("baselines", []), "search": None if search is None else dict(search),
        },
        lines=tuple(lines), warnings=tuple(notes),
        next=(f"ambidex test {version.ref}", f"ambidex gate {version.ref}"),
    )  # fmt: skip


WORN = 10
"""From so many versions on, the best of them is said to look better on the held-out fifth than it is."""


def gated(judgement: Judgement, *, worn: Mapping[str, int]) -> Result:
    """A version was judged; ``worn`` counts the judgements and versions that saw the same held-out units."""
    ref, rival = f"{judgement.model}@{judgement.version}", f"{judgement.model}@{judgement.against}"
    has_rival = judgement.against not in (None, judgement.version)
    supported = sum(g.outcome == "supported" for g in judgement.gates)
    marks: dict[str, Mark] = {"supported": "✓", "open": "▲", "refuted": "■"}
    head = (
        f"{ref} against {rival if has_rival else 'a constant'}: {supported} of {len(judgement.gates)} gates supported"
    )
    lines: Lines = [("✓" if judgement.passed else "■", head)]
    lines += [(marks[g.outcome], f"{g.name}: {g.outcome}; {g.because}") for g in judgement.gates]
    lines += [("▲", f"{gate} is waived: {why}") for gate, why in judgement.waived.items()]
    many = worn["versions"]
    used = f"the held-out fifth has judged {plural(many, 'version')} in {plural(worn['judgements'], 'judgement')}"
    if many >= WORN:
        used += "; the best of so many looks better on it than it is: bring newer rows, or let a roll-out decide"
    lines.append(("▲" if many >= WORN else " ", used))
    better = f"ambidex models diff {ref} {rival}" if has_rival else "bring more rows, or a better model"
    return Result(
        verb="gate",
        data={
            "model": judgement.model, "version": judgement.version, "against": judgement.against,
            "passed": judgement.passed, "gates": [g.to_json() for g in judgement.gates], "waived": judgement.waived,
            "holdout": dict(worn),
        },
        lines=tuple(lines), passed=judgement.passed, code=None if judgement.passed else "check.gate",
        do=None if judgement.passed else better,
        next=(f"ambidex promote {ref} --to live",) if judgement.passed else (),
    )  # fmt: skip


def promoted(ref: str, *, to: str, was: int | None, event: int | None, gates: int, dry_run: bool) -> Result:
    """A pointer moved, or would."""
    name, _, number = ref.partition("@")
    text = f"{to} is {ref}" + (f" (was @{was})" if was is not None else "")
    following: tuple[str, ...] = (f"ambidex promote {ref} --to {to if dry_run else 'live'}",)
    if dry_run:
        text = f"would be done: {text}; {plural(gates, 'gate')} supported"
    elif to == "live":
        following = (f"ambidex serve {name}", *((f"ambidex rollback {name}",) if was is not None else ()))
    return Result(
        verb="promote",
        data={"model": name, "version": int(number), "was": was, "event": event, "to": to},
        lines=(("✓", text),), next=following,
    )  # fmt: skip


def rolled_back(name: str, target: int, *, was: int, event: int | None, to: int | None, dry_run: bool) -> Result:
    """Live went back, or would."""
    text = f"live is {name}@{target} (was @{was}); retraining paused"
    again = f"ambidex rollback {name}" + (f" --to {to}" if to is not None else "")
    return Result(
        verb="rollback",
        data={"model": name, "version": target, "was": was, "event": event},
        lines=(("✓", f"would be done: {text}" if dry_run else text),),
        next=(again if dry_run else f"ambidex resume {name}",),
    )


def scored(model: str, number: int, done: Scored, schema: Schema, path: Path) -> Result:
    """A table was scored."""
    rows, mean = len(done.ids), float(done.scores.mean())
    shown = f"mean {schema.classes[1]} {mean:.1%}" if schema.task == "binary" else f"mean {mean:,.4g}"
    if schema.task in ("segments", "multiclass"):
        places = [int(p) for p in (done.scores if schema.task == "segments" else done.scores.argmax(axis=1))]
        shown = ", ".join(f"{name} {places.count(i):,}" for i, name in enumerate(schema.classes))
    return Result(
        verb="score",
        data={"model": model, "version": number, "rows": rows, "out": str(path), "mean": mean},
        lines=(("✓", f"{path}, {rows:,} rows by {model}@{number}, {shown}"),),
        warnings=tuple(done.notes),
        next=(f"ambidex monitor {model}",),
    )


def drifted(model: str, number: int, data: dict[str, Any]) -> Result:
    """A table was held against a version's reference."""
    marks: dict[str, Mark] = {"none": "✓", "open": "▲", "drifted": "■"}
    lines: Lines = [(marks[data["verdict"]], f"{model}@{number}: {data['text']}")]
    lines += [("■", f"{c['name']}: {c['what']}") for c in data["columns"] if c["drifted"]]
    bad = data["verdict"] == "drifted"
    return Result(
        verb="drift", data=data, lines=tuple(lines), passed=not bad, code="check.drift" if bad else None,
        do=f"ambidex retrain {model}" if bad else None, next=(f"ambidex monitor {model}",),
    )  # fmt: skip


def labelled(name: str, data: dict[str, Any]) -> Result:
    """Labels came in."""
    text = (
        f"{data['matched']:,} labels matched, {data['unknown']:,} unknown, {data['duplicates']:,} given before; "
        f"{data['coverage']:.0%} of predictions have a label"
    )
    mark: Mark = "✓" if data["matched"] else "▲"
    return Result(verb="feedback", data=data, lines=((mark, text),), next=(f"ambidex monitor {name}",))


def monitored(state: ModelState, data: dict[str, Any]) -> Result:
    """One pass of the watcher."""
    name = state.name
    pages = [a for a in data["alerts"] if a["level"] == "page" and not a.get("muted")]
    head: Mark = "■" if pages else "▲" if data["alerts"] else "✓"
    lines: Lines = [(head, f"{data['ref']}: {plural(len(pages), 'page') + ' open' if pages else data['text']}")]
    for alert in data["alerts"]:
        muted = alert.get("muted")
        mark: Mark = " " if muted else "■" if alert["level"] == "page" else "▲"
        note = f" (muted until {muted['until'][:10]}: {muted['reason']})" if muted else ""
        lines.append((mark, f"{alert['id']} {alert['level']:<5} {alert['text']}{note}"))
    lines += [(" ", f"{what:<9} {text}") for what, text in _watched_words(data)]
    silent = [d["name"] for d in data.get("detectors", ()) if d["state"] == "silent"]
    following = (f"ambidex monitor {name} --replay",) if silent and data.get("arming") is None else ()
    return Result(
        verb="monitor", data=data, lines=tuple(lines), passed=not pages, code="check.page" if pages else None,
        do=_way_out(state, pages) if pages else None, next=(*following, f"ambidex retrain {name}"),
        warnings=tuple((c["code"], c["text"]) for c in data.get("cautions", ())),
    )  # fmt: skip


def _watched_words(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Labels, expected performance, service levels and what stays silent, a line each where there is something."""
    out, labels = [], data["labels"]
    if labels.get("matched") or labels.get("unknown"):
        said = [f"{labels.get('matched', 0):,} matched"]
        if labels.get("coverage") is not None:
            said.append(f"coverage {labels['coverage']:.0%}")
        if labels.get("lag_s"):
            said.append(f"lag {labels['lag_s'] / 86_400:.1f} d")
        said += [f"{labels[k]:,} {k}" for k in ("unknown", "repeated", "contradicting", "future") if labels.get(k)]
        out.append(("labels", ", ".join(said)))
    expected = data.get("performance")
    if expected and expected["auc"]["value"] is not None:
        auc = expected["auc"]
        low, high = (f"{auc[k]:.3f}" if auc[k] is not None else "?" for k in ("low", "high"))
        out.append(("expected", f"AUC {auc['value']:.3f} [{low}, {high}] without labels; {expected['blind']}"))
    out += [("service", level["text"]) for level in data.get("levels") or ()]
    silent = [d["name"] for d in data.get("detectors", ()) if d["state"] == "silent"]
    if silent:
        why = "not armed: no replay yet" if data.get("arming") is None else data["arming"]["text"]
        out.append(("silent", f"{', '.join(silent)}; {why}"))
    return out


def replayed(name: str, data: dict[str, Any]) -> Result:
    """The past was replayed."""
    armed = data["state"] == "armed"
    lines: Lines = [("✓" if armed else "▲", f"{data['ref']}: {data['text']}")]
    for detector, said in data["detectors"].items():
        lines.append(("✓" if said["armed"] else "▲", f"{detector:<10} {said['why']}"))
    for column, look in data["constant"]:
        lines.append((" ", f"{column} held one value up to look {look}, and no longer"))
    return Result(verb="monitor", data=data, lines=tuple(lines), next=(f"ambidex monitor {name}",))


def retrained(name: str, step: Step) -> Result:
    """One step of the loop."""
    refused = step.state == "refused"
    mark: Mark = "■" if refused else "✓" if step.state in ("candidate", "promoted", "nothing-new") else "▲"
    data: dict[str, Any] = {"model": name, "state": step.state, "version": step.version, "missing": step.missing}
    if step.judgement is not None:
        data["gates"] = [g.to_json() for g in step.judgement.gates]
    following = {
        "candidate": (f"ambidex promote {name}@{step.version} --to live",),
        "paused": (f"ambidex resume {name}",),
        "promoted": (f"ambidex models log {name}",),
    }
    return Result(
        verb="retrain", data=data, lines=((mark, step.text),), passed=not refused,
        code="check.gate" if refused else None, do=f"ambidex gate {name}@{step.version}" if refused else None,
        next=following.get(step.state, ()),
    )  # fmt: skip


def resumed(name: str, *, was: str | None, event: int | None) -> Result:
    """A pause ended, or there was none."""
    text = f"retraining of {name} goes on (was paused: {was})" if was else f"retraining of {name} was not paused"
    return Result(
        verb="resume",
        data={"model": name, "was": was, "event": event},
        lines=(("✓", text),),
        next=(f"ambidex retrain {name}",),
    )


def _way_out(state: ModelState, pages: Sequence[Mapping[str, Any]]) -> str:
    """What to do about a page: nobody goes back for the sake of a version that is not live."""
    if all(page.get("version") != state.live for page in pages):
        return f"ambidex monitor {state.name} --ack {pages[0]['id']}"
    return f"ambidex rollback {state.name}" if state.previous is not None else f"ambidex retrain {state.name}"
