"""The shared cases of bad input, typed into the real command line."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ambidex import cli
from support import SHARED

CASES = SHARED / "badinput" / "cases.jsonl"
AMBIDEX = [sys.executable, "-m", "ambidex.cli"]
COLUMNS = "customer_id,age,income,n,plan,churned"


def cases() -> list[dict]:
    if not CASES.exists():
        return []
    listed = [json.loads(line) for line in CASES.read_text().splitlines()]
    return [c for c in listed if c["surface"] == "csv" or (c["surface"] == "cli" and c["id"] <= "cli-010z")]


def rows(n: int = 200, *, seed: int = 1, shuffled: bool = False) -> list[list[str]]:
    """The baseline table: age, income, n and plan, of which age and plan go with churned."""
    draw = random.Random(seed)
    out = []
    for i in range(n):
        age, plan = round(draw.uniform(18, 80), 1), draw.choice(["basic", "plus"])
        leaves = (age < 45) if draw.random() < 0.9 else (draw.random() < 0.5)
        label = draw.random() < 0.5 if shuffled else leaves
        out.append(
            [
                f"c{i:04}",
                str(age),
                str(round(draw.gauss(40000, 9000), 2)),
                str(draw.randint(0, 9)),
                plan,
                str(int(label)),
            ]
        )
    return out


def csv(columns: str, lines: list[list[str]]) -> str:
    return "\n".join([columns, *(",".join(line) for line in lines)]) + "\n"


def recipe(case: str) -> str:
    """Tables that the cases describe in words."""
    base = rows()
    if case == "csv-005a":
        text = csv(COLUMNS, base).split("\n")
        text[56] += ",x"
        return "\n".join(text)
    if case == "csv-013a":
        return csv(COLUMNS, [[*r[:-1], "0"] for r in base])
    if case == "csv-014a":
        return csv(COLUMNS, [[*r[:-1], "1" if i in (40, 160) else "0"] for i, r in enumerate(base)])
    if case == "csv-016a":
        return csv(COLUMNS + ",refunded", [[*r, r[-1]] for r in base])
    if case == "csv-017a":
        names = ",".join(f"c{i}" for i in range(20_000))
        return csv(names + ",churned", [[str((i * 7 + j) % 5) for i in range(20_000)] + [str(j % 2)] for j in range(5)])
    if case == "csv-018a":
        draw = random.Random(3)
        lines = [[f"u{i}", "AB"[i % 2], f"{draw.gauss(10, 2):.2f}"] for i in range(200)]
        return csv("user,arm,spend", [*lines, ["u7", "A", "11.0"]])
    raise AssertionError(f"no recipe for {case}")


# What `must` asks of a case beyond the form: patterns, all found in what is printed.
SAYS = {
    "csv-001a": [r"near_where\.csv"],
    "csv-004a": [r"\b0 rows"],
    "csv-005a": [r"\b57\b", r"\b6\b", r"\b7\b"],
    "csv-006a": [r"line 2\b"],
    "csv-007a": [r"\bage\b", r"\b1\b", r"\b2\b"],
    "csv-008a": [r"\b2\b"],
    "csv-009a": [r"(?i)latin-1|windows-1252|cp1252|utf-8"],
    "csv-010a": [r"PNG"],
    "csv-012a": [r"income", r"\b2\b"],
    "csv-013a": [r"200 of 200|all 200|200 rows"],
    "csv-014a": [r"\b2\b"],
    "csv-015a": [r"age", r"\b3\b"],
    "csv-016a": [r"refunded"],
    "csv-017a": [r"(?i)too few"],
    "csv-018a": [r"\b1 unit|\b1 of"],
    "csv-019a": [r"(?i)zone|utc"],
    "cli-001a": [r"ambidex promote churn@2"],
    "cli-002a": [r"--target"],
    "cli-003a": [r"churned"],
    "cli-006a": [r"a-z"],
    "cli-007a": [r"gate|better-than-constant|not-worse"],
}


def ambidex(folder: Path, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*AMBIDEX, *words], cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60
    )


def done(folder: Path, line: str) -> None:
    result = ambidex(folder, *shlex.split(line)[1:])
    assert result.returncode == 0, f"{line}\n{result.stdout}{result.stderr}"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A workspace of the real verbs: churn@1 and churn@3 have passed, churn@2 learnt shuffled labels."""
    folder = tmp_path_factory.mktemp("badinput") / "w"
    folder.mkdir()
    done(folder, "ambidex init")
    (folder / "data" / "t.csv").write_text(csv(COLUMNS, rows(5000)))
    (folder / "data-shuffled.csv").write_text(csv(COLUMNS, rows(5000, seed=2, shuffled=True)))
    (folder / "t.csv").write_text(csv(COLUMNS, rows()))
    for line in (
        "ambidex drivers data/t.csv --target churned --positive 1 --keep age --keep plan",
        "ambidex package answer/1 --name churn",
        "ambidex promote churn@1 --to live",
        "ambidex train churn --data data-shuffled.csv",
        "ambidex train churn",
        "ambidex promote churn@3 --to live",
    ):
        done(folder, line)
    return folder


def tree(folder: Path) -> dict[str, int | str]:
    """Every file and its bytes; the log aside, in which a verdict that said no is kept."""
    return {
        str(p.relative_to(folder)): p.read_bytes().hex() if p.is_file() and p.stat().st_size < 100_000 else 0
        for p in sorted(folder.rglob("*"))
        if not p.name.endswith(("-wal", "-shm", ".lock", "lock")) and "sqlite" not in p.name and p.name != "head"
    }


def live(folder: Path) -> list[dict]:
    """Every model with its pointers, read in this process."""
    out = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out):
        assert cli.main(["models", "ls", "--json"]) == 0
    return json.loads(out.getvalue())["data"]["models"]


def prepared(case: dict, tmp_path: Path) -> tuple[Path, list[str]]:
    """A folder with the case's file, and the words after ``ambidex``."""
    construct = case["construct"]
    name = construct.get("file") or ("wide.csv" if "wide.csv" in construct.get("run", "") else "f.csv")
    if construct["kind"] == "hex":
        (tmp_path / name).write_bytes(bytes.fromhex(construct["hex"]))
    elif "content" in construct:
        (tmp_path / name).write_text(construct["content"], encoding=construct["encoding"])
    elif construct["kind"] == "recipe":
        (tmp_path / name).write_text(recipe(case["id"]))
    if case["id"] == "csv-001a":
        (tmp_path / "near_where.csv").write_text(csv(COLUMNS, rows()))
    if case["surface"] == "cli":
        (tmp_path / "t.csv").write_text(csv(COLUMNS, rows()))
    line = construct.get("run", f"ambidex profile {name}").replace("</dev/null", "").replace("FILE", name)
    return tmp_path, shlex.split(line)[1:]


NEEDS_MODEL = {"cli-005a", "cli-006a", "cli-007a", "cli-008a", "cli-009a", "cli-010a"}


MISSING = pytest.param(None, id="none", marks=pytest.mark.skip(reason="AMBIDEX_SHARED: no badinput/cases.jsonl"))


@pytest.mark.parametrize("case", [pytest.param(c, id=c["id"]) for c in cases()] or [MISSING])
def test_case(case, tmp_path, request, capsys, monkeypatch):
    if case["id"] in NEEDS_MODEL:
        folder = request.getfixturevalue("workspace")
        words = shlex.split(case["construct"]["run"].replace("</dev/null", ""))[1:]
    else:
        folder, words = prepared(case, tmp_path)
    before = tree(folder), live(folder) if case["id"] in NEEDS_MODEL else None

    result = ambidex(folder, *words)
    said = result.stdout + result.stderr
    expected = case["expect"]
    assert result.returncode in expected["exit"], said
    assert "Traceback" not in said
    for pattern in SAYS.get(case["id"], []):
        assert re.search(pattern, said), f"nothing like {pattern} in:\n{said}"

    if case["id"] == "cli-009a":
        return
    monkeypatch.chdir(folder)
    assert cli.main(["--json", *words]) == result.returncode
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    document = json.loads(out, parse_constant=pytest.fail)
    assert document["ok"] is (result.returncode == 0)

    if result.returncode == 0:
        check_accepted(case, document["data"])
        return
    check_refused(result, document)
    assert tree(folder) == before[0]
    if before[1] is not None:
        assert live(folder) == before[1]


def check_refused(result: subprocess.CompletedProcess, document: dict) -> None:
    lines = result.stderr.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("error "))
    form = {line.split()[0]: line for line in lines[start:] if line.strip()}
    assert {"error", "do", "code"} <= set(form), result.stderr
    assert {"where", "found"} & set(form), result.stderr
    code = form["code"].split()[1]
    assert document["error"]["code"] == code
    assert document["error"]["do"]


def check_accepted(case: dict, data: dict) -> None:
    if "caution" in case["expect"]["outcome"] and case["expect"]["exit"] == [0]:
        assert data["cautions"], data
    if case["id"] == "csv-016a":
        assert "refunded" in [x["name"] for x in data["left_out"] if x["code"] == "leak"]
        assert "refunded" not in data["headline"]
    if case["id"] == "csv-014a":
        assert data["recommendation"]["verdict"] == "not-enough-evidence" or data["strength"] == "weak"
    if case["id"] == "csv-011a":
        assert [c["name"] for c in data["columns"]] == ['a"; DROP TABLE t; --', "churned"]
    if case["id"] == "csv-018a":
        assert any("1" in c["text"] for c in data["cautions"]) or any(not c["passed"] for c in data["checks"])


def test_a_missing_file_answers_at_once(tmp_path):
    """A device is refused before a byte of it is read."""
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = ambidex(tmp_path, "profile", "/dev/zero")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert result.returncode == 3
    assert after.ru_utime - before.ru_utime < 2
    assert os.listdir(tmp_path) == []
