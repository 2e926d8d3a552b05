"""/openapi.json and /docs: true of the server, of local files only, readable by a small screen."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ambidex.records import Column, Schema
from ambidex.serving.docs_page import page
from ambidex.serving.loader import Served
from ambidex.serving.openapi import document, row_schema
from ambidex.serving.routes import ROUTES
from serving.serving_support import JSON, Server

HOSTILE = "<script>alert(1)</script>\"&'"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("openapi") / "s") as running:
        yield running


@pytest.fixture(scope="module")
def said(server: Server) -> dict[str, Any]:
    status, headers, body = server.ask("GET", "/openapi.json", None, {})
    assert (status, headers["content-type"]) == (200, "application/json")
    found: dict[str, Any] = json.loads(body)
    return found


def test_every_route_is_there_and_every_example_is_answered(server: Server, said: dict[str, Any]) -> None:
    assert said["openapi"].startswith("3.1")
    named = {r.path.replace("{model}", "churn") for r in ROUTES if r.name not in ("docs", "root")}
    assert set(said["paths"]) == named
    for path, operations in said["paths"].items():
        for method, operation in operations.items():
            media = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            body = json.dumps(media["example"]).encode() if media else None
            place = path.replace("{version}", "1")
            status, headers, answer = server.ask(method.upper(), place, body, JSON)
            assert status == 200, (place, answer)
            assert headers["content-type"].partition(";")[0] in operation["responses"]["200"]["content"]


def test_references_lead_somewhere(said: dict[str, Any]) -> None:
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(said))):
        place: Any = said
        for part in reference.split("/"):
            place = place[part]
        assert place


def test_rows_as_the_model_takes_them(said: dict[str, Any]) -> None:
    row = said["components"]["schemas"]["churn.row"]
    assert row["required"] == ["age", "income", "n", "plan"] and row["additionalProperties"] is False
    assert row["properties"]["n"]["type"] == ["integer"] and "customer_id" in row["properties"]
    schema = Schema(
        columns=(
            Column(name="t", type="float", nullable=True, low=-5.0, high=90.0),
            Column(name="c", type="category", levels=tuple(f"l{i}" for i in range(30))),
        ),
        target="y",
        task="regression",
    )
    made = row_schema(schema, {})
    assert made["properties"]["t"] == {"type": ["number", "null"], "minimum": -5.0, "maximum": 90.0}
    assert "l19, ..." in made["properties"]["c"]["description"]


def test_tokens_are_in_it_where_they_are_asked_for() -> None:
    closed = document([], closed=True)
    assert closed["security"] == [{"token": []}] and closed["components"]["securitySchemes"]
    assert "401" in closed["paths"]["/metrics"]["get"]["responses"]
    live = closed["paths"]["/v2/health/live"]["get"]
    assert live["security"] == [] and "401" not in live["responses"]
    assert "security" not in document([], closed=False)


def hostile() -> Served:
    schema = Schema(
        columns=(Column(name=HOSTILE, type="category", levels=(HOSTILE,)),), target=HOSTILE, task="binary",
        classes=("0", HOSTILE), key=f"k{HOSTILE}",
    )  # fmt: skip
    unused: Any = None
    return Served("m", 1, "d", schema, unused, unused, unused, {HOSTILE: HOSTILE})


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_names_are_text(server: Server) -> None:
    tags = Tags()
    tags.feed(page([hostile()], closed=True, host=HOSTILE).body.decode())
    scripts = [a for t, a in tags.found if t == "script"]
    assert scripts == [{"src": "/docs/docs.js", "defer": None}]
    assert not [a for _, attributes in tags.found for a in attributes if a.startswith("on") or a == "style"]
    assert json.dumps(document([hostile()], closed=True))


def test_the_page_asks_for_local_files_only(server: Server) -> None:
    status, headers, body = server.ask("GET", "/docs", None, {})
    assert status == 200
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'") and "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
    tags = Tags()
    tags.feed(body.decode())
    links = [v for _, a in tags.found for k, v in a.items() if k in ("src", "href")]
    assert all(v and (v.startswith(("#", "/")) or v == "data:,") for v in links)
    for place in {v.partition("#")[0] for v in links if v and v.startswith("/")}:
        assert server.ask("GET", place, None, {})[0] == 200, place
    assert server.ask("GET", "/docs/../app.py", None, {})[0] == 404
    assert server.ask("GET", "/docs/%2e%2e%2fapp.py", None, {})[0] == 404
    assert server.ask("GET", "/", None, {})[1]["location"] == "/docs"


def test_a_small_screen_reads_it_in_a_real_browser(server: Server, tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("CHROMIUM: no browser here")
    asked = [
        chromium, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}",
        "--window-size=390,844", "--virtual-time-budget=4000", "--enable-logging=stderr", "--dump-dom",
        f"http://127.0.0.1:{server.port}/docs",
    ]  # fmt: skip
    done = subprocess.run(asked, capture_output=True, text=True, timeout=90)
    assert "POST" in done.stdout and "/predict/churn" in done.stdout
    assert "Content Security Policy" not in done.stderr and "Refused to" not in done.stderr


def test_schemathesis_finds_no_unexpected_status(server: Server, tmp_path: Path) -> None:
    python = Path(os.environ.get("AMBIDEX_CLIENTS", sys.executable))
    program = python.parent / "schemathesis"
    if not program.exists():
        pytest.skip("SCHEMATHESIS: not installed (AMBIDEX_CLIENTS names an interpreter beside which it is)")
    checks = [
        "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
        "response_schema_conformance", "negative_data_rejection", "missing_required_header", "unsupported_method",
    ]  # fmt: skip
    asked = [
        str(program), "run", f"http://127.0.0.1:{server.port}/openapi.json", "--max-examples", "4", "--seed", "1",
        "--checks", ",".join(checks), "--no-color", "--phases", "examples,coverage,fuzzing",
    ]  # fmt: skip
    done = subprocess.run(asked, capture_output=True, text=True, timeout=150, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-500:]


def test_no_event_was_our_bug(server: Server) -> None:
    assert not [e for e in server.events() if e["event"] in ("request.failed", "worker.died", "worker.error")]
