"""The bad requests of the shared file, each followed by a good one; and every route."""

from __future__ import annotations

import gzip
import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.serving_support import JSON, ROW, VALID, Server, check_problem
from support import SHARED, shared

RANGE = [*range(1, 31), 35, 36]


def cases() -> dict[str, dict[str, Any]]:
    file = SHARED / "badinput" / "cases.jsonl"
    found = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return {c["id"]: c for c in found if c["surface"] == "http-predict" and int(c["id"][13:16]) in RANGE}


CASES = cases()
SAYS = {
    "http-predict-001a": "byte 58",
    "http-predict-005a": "income",
    "http-predict-008a": "shoe_size",
    "http-predict-010a": "null in age",
    "http-predict-011a": "NaN",
    "http-predict-012a": "out of range",
    "http-predict-013a": "n is",
    "http-predict-020a": "application/json",
    "http-predict-023a": "10,485,760",
    "http-predict-024a": "ambidex score",
    "http-predict-028a": "churn",
}
ROW_AND_COLUMN = {"http-predict-007a": ("income", None), "http-predict-009a": ("age", '"abc"')}


def wire(case: dict[str, Any]) -> tuple[str, str, dict[str, str], bytes | None]:
    """Method, path, headers and body of a case."""
    made = case["construct"]
    recipes = {
        "100,000 nested arrays": lambda: b'{"rows":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "gzip header and gzip body": lambda: gzip.compress(VALID),
        "body over the limit by Content-Length": lambda: b"",
        "a million rows in one request": lambda: json.dumps({"rows": [ROW] * 1_000_000}).encode(),
        "category of 1 MiB": lambda: json.dumps({"rows": [{**ROW, "plan": "x" * 1048576}]}).encode(),
        "one header of 100 KB": lambda: VALID,
    }
    headers = dict(made.get("headers", JSON))
    if "hex" in made:
        body: bytes | None = bytes.fromhex(made["hex"])
    elif made["kind"] == "recipe":
        body = recipes[case["description"]]()
    else:
        body = made["body"].encode() if "body" in made else None
    if "gzip" in case["description"]:
        headers["Content-Encoding"] = "gzip"
    if "by Content-Length" in case["description"]:
        headers["Content-Length"] = str((10 << 20) + 1)
    if "100 KB" in case["description"]:
        headers["X-Big"] = "a" * 100_000
    return made.get("method", "POST"), made.get("path", "/predict/churn"), headers, body


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("cases") / "s") as running:
        yield running


@pytest.mark.skipif(bool(CASES), reason="the shared cases are there")
def test_cases_are_there() -> None:
    shared("badinput/cases.jsonl")


@pytest.mark.parametrize("name", sorted(CASES))
def test_bad_request(server: Server, name: str) -> None:
    case = CASES[name]
    method, path, headers, body = wire(case)
    logged = len(server.frames())
    began = time.monotonic()
    try:
        status, said_headers, said = server.ask(method, path, body, headers)
    except (BrokenPipeError, ConnectionResetError):
        pytest.skip("the client lost the answer while it was still sending")
    took = time.monotonic() - began
    assert status in case["expect"]["http"], said
    if status != 200:
        if path.startswith("/v2"):
            problem = json.loads(said)
            assert said_headers["content-type"] == "application/json" and problem["error"] == problem["detail"]
        else:
            problem = check_problem(status, said_headers, said)
        assert len(server.frames()) == logged
        assert len(problem["detail"]) < 400
        assert SAYS.get(name, "") in json.dumps(problem)
        if name in ROW_AND_COLUMN:
            column, value = ROW_AND_COLUMN[name]
            assert column in problem["detail"] and "0" in problem["detail"]
            assert (problem["errors"][0]["row"], problem["errors"][0]["column"]) == (0, column)
            assert problem["errors"][0]["value"] == value
    else:
        answer = json.loads(said)
        assert len(answer["predictions"]) == len(answer["ids"]) == len(server.frames()) - logged
    if method == "GET":
        assert said_headers["allow"] == "POST"
    if "nested" in case["description"]:
        assert took < 1.0
    assert server.post("/predict/churn", VALID)[0] == 200


def test_same_column_twice_is_scored_as_it_is_logged(server: Server) -> None:
    _, answer = server.post("/predict/churn", b'{"rows":[{"age":10,"age":90,"income":1,"n":3,"plan":"basic"}]}')
    assert answer["probabilities"][0][1] == 0.9
    frame = next(f for f in server.frames() if f["id"] == answer["ids"][0])
    assert frame["row"]["age"] == 90.0 and frame["p"] == 0.9


def test_answer_and_frame(server: Server) -> None:
    rows = [{**ROW, "customer_id": 7}, {**ROW, "age": 80, "plan": "never seen"}]
    status, answer = server.post("/predict/churn", {"rows": rows})
    assert status == 200
    assert (answer["model"], answer["version"]) == ("churn", 1)
    assert answer["predictions"] == ["0", "1"] and answer["classes"] == ["0", "1"]
    assert answer["probabilities"] == [[1 - 0.415, 0.415], [1 - 0.8, 0.8]]
    assert sorted(set(answer["ids"])) == answer["ids"]
    frames = {f["id"]: f for f in server.frames()}
    first, second = (frames[i] for i in answer["ids"])
    assert first["row"] == ROW and first["riders"] == {"customer_id": "7"} and second["riders"] == {}
    assert first["p"] == 0.415 and first["version"] == 1 and first["model"] == "churn" and first["source"] == "http"
    assert first["at"].endswith("Z") and len(first["at"]) == 27


def test_one_bare_object(server: Server) -> None:
    assert server.post("/predict/churn", ROW)[1]["predictions"] == ["0"]


def test_ten_thousand_rows_do_not_hold_up_others(server: Server) -> None:
    import threading

    seen: list[int] = []
    body = {"rows": [ROW] * 10_000}
    thread = threading.Thread(target=lambda: seen.append(len(server.post("/predict/churn", body)[1]["ids"])))
    thread.start()
    waits = []
    while thread.is_alive():
        began = time.monotonic()
        assert server.post("/predict/churn", VALID)[0] == 200
        waits.append(time.monotonic() - began)
    thread.join()
    assert seen == [10_000]
    assert max(waits) < 1.0
    status, said = server.post("/predict/churn", {"rows": [ROW] * 10_001})
    assert status == 413 and said["code"] == "http.too-many-rows"


def test_versions_by_number_and_pointer(server: Server) -> None:
    server.point(churn={"live": 1, "staging": 2, "shadow": None})
    time.sleep(0.5)
    assert server.post("/predict/churn@2", VALID)[1]["version"] == 2
    assert server.post("/predict/churn@staging", VALID)[1]["version"] == 2
    assert server.post("/predict/churn@live", VALID)[1]["version"] == 1
    for path, code in (
        ("/predict/churn@99", "data.no-version"),
        ("/predict/churn@shadow", "data.no-pointer"),
        ("/predict/churn@x", "data.no-pointer"),
        ("/predict/chrun", "data.no-model"),
        ("/predict/", "http.not-found"),
        ("/nothing", "http.not-found"),
        ("/predict/a/b", "http.not-found"),
    ):
        status, headers, body = server.ask("POST", path, VALID)
        assert (status, check_problem(status, headers, body)["code"]) == (404, code)


def test_a_version_that_does_not_open_answers_a_problem_without_a_path(server: Server) -> None:
    status, headers, body = server.ask("POST", "/predict/churn@13", VALID)
    assert status == 409
    assert check_problem(status, headers, body)["code"] == "check.opens"


def test_a_model_that_fails_fails_its_request_only(server: Server) -> None:
    logged = len(server.frames())
    status, said = server.post("/predict/churn@12", VALID)
    assert (status, said["code"]) == (500, "http.model") and said["incident"]
    status, said = server.post("/predict/churn@11", {"rows": [{**ROW, "n": 1}, {**ROW, "n": 50}]})
    assert (status, said["code"]) == (500, "http.model") and "row 1" in said["detail"]
    failed = server.frames()[logged:]  # a roll-out is judged by the log: failures are in it, with no score
    assert [(f["version"], f["p"], f["error"]) for f in failed] == [(n, None, "http.model") for n in (12, 11, 11)]
    assert server.post("/predict/churn@11", VALID)[0] == 200
    assert said["incident"] in {e["incident"] for e in server.told("model.failed", 2)}


def test_health(server: Server) -> None:
    for path, body in (("/v2/health/live", {"live": True}), ("/v2/health/ready", {"ready": True})):
        status, _, said = server.ask("GET", path)
        assert (status, json.loads(said)) == (200, body)
        assert server.ask("POST", path, b"{}")[0] == 405


def test_feedback(server: Server) -> None:
    identity = server.post("/predict/churn", VALID)[1]["ids"][0]
    labels = [{"id": identity, "label": "1"}, {"id": "no-such-id", "label": 0}, {"id": "run-1", "label": 0}]
    said = {"model": "churn", "accepted": 2, "unknown": ["no-such-id"], "unknown_count": 1}
    assert server.post("/feedback/churn", {"labels": labels}) == (200, said)
    kept = [f for f in server.frames() if f.get("kind") == "label"][-2:]
    assert [(f["id"], f["label"], f["model"]) for f in kept] == [(identity, "1", "churn"), ("run-1", "0", "churn")]
    for body, status in (
        ({"labels": [{"id": identity, "label": {"a": 1}}]}, 422),
        ({"labels": [{"id": identity, "label": "maybe"}]}, 422),
        ({"labels": [{"id": identity, "label": True}]}, 422),
        ({"labels": [{"id": identity}]}, 422),
        ({"labels": [{"id": 5, "label": "1"}]}, 422),
        ({"labels": "x"}, 422),
        ({}, 422),
        (b"{", 400),
        (b"[" * 100_000, 422),
        (b'{"labels":[{"id":"\xff"}]}', 400),
        (b'{"labels":[{"id":"a","label":1e999}]}', 422),
    ):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        got, headers, said = server.ask("POST", "/feedback/churn", data)
        assert got == status, said
        check_problem(got, headers, said)
    assert len([f for f in server.frames() if f.get("kind") == "label"]) == 2


def test_media_types(server: Server) -> None:
    for headers, status in (
        ({"Content-Type": "application/json; charset=UTF-8"}, 200),
        ({}, 200),
        ({"Origin": "http://elsewhere.example"}, 415),  # a page in a browser, without asking first
        ({"Content-Type": "text/plain", "Origin": "http://elsewhere.example"}, 415),
        ({"Content-Type": "application/json; charset=latin-1"}, 415),
        ({"Content-Type": "application/json", "Content-Encoding": "identity"}, 200),
    ):
        assert server.ask("POST", "/predict/churn", VALID, headers)[0] == status, headers


def test_head_has_no_body(server: Server) -> None:
    connection = server.connect()
    for path, status in (("/v2/health/live", 200), ("/predict/churn", 405), ("/nothing", 404)):
        connection.request("HEAD", path)
        response = connection.getresponse()
        assert response.status == status and response.read() == b""
    connection.request("GET", "/v2/health/live")
    assert connection.getresponse().read() == b'{"live":true}'
    connection.close()


def test_thousand_requests_on_one_connection(server: Server) -> None:
    connection: http.client.HTTPConnection = server.connect()
    ids = set()
    for _ in range(1000):
        connection.request("POST", "/predict/churn", VALID, JSON)
        response = connection.getresponse()
        assert response.status == 200
        ids.add(json.loads(response.read())["ids"][0])
    connection.close()
    assert len(ids) == 1000
    assert ids <= {f["id"] for f in server.frames()}


def test_log_files_are_the_owners_only(server: Server) -> None:
    files = list((Path(server.folder) / "log").rglob("*.frames"))
    assert files and all(f.stat().st_mode & 0o077 == 0 for f in files)
