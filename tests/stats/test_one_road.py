"""Many ways to an estimate, one way to a verdict."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src" / "ambidex"
HOME = SOURCE / "stats" / "claim.py"


def makers(tree: ast.AST) -> list[int]:
    """Lines that make a verdict: `Verdict(...)`, `claim.Verdict(...)`, or through an alias or a reference."""
    names = {"Verdict"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names |= {a.asname for a in node.names if a.name == "Verdict" and a.asname}
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Name) and node.value.id in names:
            names |= {t.id for t in node.targets if isinstance(t, ast.Name)}
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
            if name in names:
                lines.append(node.lineno)
        elif isinstance(node, ast.ClassDef):
            lines += [node.lineno for base in node.bases if getattr(base, "id", getattr(base, "attr", None)) in names]
    return lines


def test_only_claim_makes_verdicts() -> None:
    found = {
        str(path.relative_to(SOURCE)): lines
        for path in sorted(SOURCE.rglob("*.py"))
        if path != HOME and (lines := makers(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert found == {}, f"only stats/claim.py makes a Verdict: {found}"


def test_the_rule_sees_what_it_should() -> None:
    assert makers(ast.parse(HOME.read_text(encoding="utf-8")))
    assert makers(ast.parse("from ambidex.stats.claim import Verdict as V\nV(claim=1)"))
    assert makers(ast.parse("import ambidex.stats.claim as c\nc.Verdict(claim=1)"))
    assert makers(ast.parse("Make = Verdict\nMake(claim=1)"))
    assert not makers(ast.parse("from ambidex.stats.claim import Verdict\nx: Verdict | None = None"))
