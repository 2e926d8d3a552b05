"""The Open Inference Protocol: the shapes that its documents, MLServer's and Triton's write; Triton's own client."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.serving_support import JSON, ROW, VALID, Server

LENGTH = "Inference-Header-Content-Length"
KINDS = {"age": "FP64", "income": "FP64", "n": "INT64", "plan": "BYTES"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    prepared = Server(tmp_path_factory.mktemp("v2") / "s")
    prepared.point(churn={"live": 1, "staging": 2})
    with prepared as running:
        yield running


def tensors(count: int = 1, **changed: Any) -> list[dict[str, Any]]:
    made = [{"name": n, "shape": [count], "datatype": k, "data": [ROW[n]] * count} for n, k in KINDS.items()]
    return [{**t, **changed.get(t["name"], {})} for t in made if changed.get(t["name"], ()) is not None]


def infer(server: Server, body: Any, path: str = "/v2/models/churn/infer") -> tuple[int, dict[str, Any]]:
    status, headers, said = server.ask("POST", path, json.dumps(body).encode(), JSON)
    assert headers["content-type"] == "application/json"
    return status, json.loads(said)


def test_metadata_as_the_protocol_documents_it(server: Server) -> None:
    def get(path: str) -> Any:
        status, headers, said = server.ask("GET", path, None, {})
        assert (status, headers["content-type"]) == (200, "application/json")
        return json.loads(said)

    said = get("/v2")
    assert said["name"] == "ambidex" and said["version"] and said["extensions"] == ["binary_tensor_data"]
    for path, number in (("/v2/models/churn", "1"), ("/v2/models/churn/versions/2", "2")):
        model = get(path)
        assert model["name"] == "churn" and model["platform"] and model["versions"] == ["1", "2"]
        assert model["inputs"] == [{"name": n, "datatype": k, "shape": [-1]} for n, k in KINDS.items()]
        assert model["outputs"] == [
            {"name": "predictions", "datatype": "BYTES", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP64", "shape": [-1, 2]},
            {"name": "ids", "datatype": "BYTES", "shape": [-1]},
        ]
        assert model["parameters"]["version"] == number
    for path in (
        "/v2/models/churn/ready",
        "/v2/models/churn/versions/1/ready",
        "/v2/models/churn/versions/staging/ready",
    ):
        assert get(path) == {"name": "churn", "ready": True}


def test_inference_is_prediction(server: Server) -> None:
    request = {"id": "a1", "parameters": {"who": "me"}, "inputs": tensors(2)}
    status, said = infer(server, request)
    assert status == 200
    assert {k: said[k] for k in ("model_name", "model_version", "id", "parameters")} == {
        "model_name": "churn", "model_version": "1", "id": "a1", "parameters": {"who": "me"},
    }  # fmt: skip
    by_name = {o["name"]: o for o in said["outputs"]}
    plain = server.post("/predict/churn", {"rows": [ROW] * 2})[1]
    assert by_name["predictions"]["data"] == plain["predictions"] and by_name["predictions"]["shape"] == [2]
    assert by_name["probabilities"]["data"] == [p for row in plain["probabilities"] for p in row]
    assert by_name["probabilities"]["shape"] == [2, 2] and by_name["probabilities"]["datatype"] == "FP64"
    logged = {f["id"]: f for f in server.frames()}
    assert [logged[i]["row"] for i in by_name["ids"]["data"]] == [logged[i]["row"] for i in plain["ids"]]


def test_versions(server: Server) -> None:
    for ref, number in (("1", "1"), ("2", "2"), ("staging", "2"), ("live", "1")):
        status, said = infer(server, {"inputs": tensors()}, f"/v2/models/churn/versions/{ref}/infer")
        assert (status, said["model_version"]) == (200, number)
    status, said = infer(server, {"inputs": tensors()}, "/v2/models/churn/versions/999/infer")
    assert status == 404 and "churn@999" in said["error"] and said["code"] == "data.no-version"


@pytest.mark.parametrize(
    "inputs",
    [
        tensors(1, age={"shape": [1, 1]}), tensors(1, age={"shape": [1, 1], "data": [[41.5]]}),
        tensors(1, age={"datatype": "FP32"}), tensors(1, age={"datatype": "INT64", "data": [41]}),
        tensors(1, n={"datatype": "UINT8"}), tensors(1, n={"data": [3.0]}), tensors()[::-1],
        [*tensors(), {"name": "customer_id", "shape": [1], "datatype": "BYTES", "data": ["c7"]}],
        [*tensors(), {"name": "customer_id", "shape": [1], "datatype": "INT64", "data": [7]}],
        tensors(1, plan={"parameters": {"content_type": "str"}}), tensors(0),
    ],
)  # fmt: skip
def test_taken(server: Server, inputs: list[dict[str, Any]]) -> None:
    assert infer(server, {"inputs": inputs})[0] == 200


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"inputs": tensors(1, age={"shape": [2]})}, "age"),
        ({"inputs": tensors(2, age={"shape": [1], "data": [1.0]})}, "rows"),
        ({"inputs": tensors(1, age={"datatype": "BYTES", "data": ["x"]})}, "age is"),
        ({"inputs": tensors(1, n={"datatype": "FP64"})}, "n is"),
        ({"inputs": tensors(1, plan={"datatype": "BOOL", "data": [True]})}, "plan is"),
        ({"inputs": tensors(1, age={"datatype": "FP65"})}, "FP65"),
        ({"inputs": tensors(1, age={"shape": []})}, "shape"),
        ({"inputs": tensors(1, age={"shape": [1, 2], "data": [1.0, 2.0]})}, "shape"),
        ({"inputs": tensors(1, age={"shape": [-1]})}, "shape"),
        ({"inputs": tensors(1, age={"shape": ["1"]})}, "int"),
        ({"inputs": tensors(1, age={"data": None})}, "0 values"),
        ({"inputs": tensors(1, age=None)}, "age is missing"),
        ({"inputs": tensors(1, age={"name": "agge"})}, "did you mean `age`"),
        ({"inputs": tensors() + tensors()}, "twice"),
        ({"inputs": tensors(), "outputs": [{"name": "probability"}]}, "did you mean `probabilities`"),
        ({"inputs": tensors(1, age={"parameters": {"binary_data_size": 8}})}, "0 bytes are left"),
        ({"inputs": "x"}, "array"),
        ({}, "inputs"),
        ([], "object"),
    ],
)  # fmt: skip
def test_refused_with_its_own_form(server: Server, body: Any, says: str) -> None:
    logged = len(server.frames())
    status, said = infer(server, body)
    assert status == 400 and says in said["error"], said
    assert said["code"] in ("http.tensor", "http.json") and said["status"] == 400
    assert len(server.frames()) == logged


def test_values_are_refused_as_predict_refuses_them(server: Server) -> None:
    for column, value, code in (
        ("age", None, "data.null"), ("age", "x", "http.type"), ("age", True, "http.type"), ("n", 3.7, "http.type"),
        ("n", 2**70, "http.range"), ("plan", 3, "http.type"), ("age", [1.0], "http.type"), ("age", {}, "http.type"),
    ):  # fmt: skip
        status, said = infer(server, {"inputs": tensors(1, **{column: {"data": [value]}})})
        assert status in (400, 422), said
        assert status == 400 or (said["code"] == code and said["errors"][0]["column"] == column and said["error"])
    for raw in (b"{", b"NaN", b'{"inputs":[{"name":"\xff"}]}', b""):
        status, _, body = server.ask("POST", "/v2/models/churn/infer", raw, JSON)
        assert status == 400 and json.loads(body)["error"]
    status, said = infer(server, {"inputs": tensors(10_001)})
    assert (status, said["code"]) == (413, "http.too-many-rows")


def test_refusals_of_the_routes(server: Server) -> None:
    for method, path, status in (
        ("GET", "/v2/models/nobody", 404), ("GET", "/v2/models/nobody/ready", 404),
        ("POST", "/v2/models/nobody/infer", 404),
        ("GET", "/v2/models/churn/versions/999", 404), ("GET", "/v2/models/churn/versions/x/ready", 404),
        ("GET", "/v2/models/churn/infer", 405), ("POST", "/v2", 405), ("GET", "/v2/models", 404), ("GET", "/v2/x", 404),
        ("GET", "/v2/models/../churn", 404), ("GET", "/v2/models/%2e%2e", 404),
    ):  # fmt: skip
        got, headers, body = server.ask(method, path, VALID if method == "POST" else None, JSON)
        said = json.loads(body)
        assert got == status and said["error"] == said["detail"] and headers["content-type"] == "application/json", path
        assert status != 405 or headers["allow"]
    assert server.ask("POST", "/v2/models/churn/infer", b"x", {"Content-Type": "text/plain"})[0] == 415


def binary(server: Server, head: dict[str, Any], tail: bytes) -> tuple[int, dict[str, str], bytes]:
    data = json.dumps(head).encode()
    fields = {"Content-Type": "application/octet-stream", LENGTH: str(len(data))}
    return server.ask("POST", "/v2/models/churn/infer", data + tail, fields)


def test_tensors_behind_the_json(server: Server) -> None:
    def behind(kind: str, size: int) -> dict[str, Any]:
        return {"datatype": kind, "data": None, "parameters": {"binary_data_size": size}}

    tail = struct.pack("<2d", 41.5, 90.0) + struct.pack("<2q", 3, 4) + b"\5\0\0\0basic\4\0\0\0plus"
    head: dict[str, Any] = {
        "inputs": tensors(2, age=behind("FP64", 16), n=behind("INT64", 16), plan=behind("BYTES", 17)),
        "outputs": [{"name": "probabilities", "parameters": {"binary_data": True}}, {"name": "predictions"}],
    }
    status, headers, body = binary(server, head, tail)
    assert status == 200 and headers["content-type"] == "application/octet-stream"
    length = int(headers[LENGTH.lower()])
    outputs = json.loads(body[:length])["outputs"]
    assert [o["name"] for o in outputs] == ["probabilities", "predictions"]
    assert outputs[0]["parameters"] == {"binary_data_size": 32} and "data" not in outputs[0]
    assert struct.unpack("<4d", body[length:]) == (1 - 0.415, 0.415, 0.0, 1.0)
    assert outputs[1]["data"] == ["0", "1"]
    for wrong in (tail[:-1], tail + b"x", tail.replace(b"\5\0\0\0", b"\6\0\0\0"), tail.replace(b"basic", b"\xff" * 5)):
        assert binary(server, head, wrong)[0] == 400
    for value in (float("inf"), float("nan")):
        assert binary(server, head, struct.pack("<2d", value, 1.0) + tail[16:])[0] in (400, 422)
    for length_said in ("99999", "-1", "x", ""):
        fields = {"Content-Type": "application/octet-stream", LENGTH: length_said}
        assert server.ask("POST", "/v2/models/churn/infer", VALID, fields)[0] == 400


def test_tritons_own_client(server: Server) -> None:
    python = os.environ.get("AMBIDEX_CLIENTS", sys.executable)
    asked = [python, str(Path(__file__).parent / "clients.py"), f"127.0.0.1:{server.port}"]
    if subprocess.run([python, "-c", "import tritonclient.http"], capture_output=True).returncode:
        pytest.skip("TRITON: no tritonclient[http] here (AMBIDEX_CLIENTS names an interpreter that has it)")
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    assert [said[k] for k in ("live", "ready", "model_ready", "version_ready", "other_ready")] == [True] * 4 + [False]
    assert said["server"]["extensions"] and [i["name"] for i in said["model"]["inputs"]] == list(KINDS)
    for form in ("binary True", "binary False"):
        assert said[form] == {
            "predictions": ["0", "1"], "probabilities": [[1 - 0.415, 0.415], [0.0, 1.0]], "shape": [2, 2], "ids": 2,
            "id": "7", "version": "1", "packed": [[1 - 0.415, 0.415], [0.0, 1.0]], "packed outputs": ["probabilities"],
        }  # fmt: skip
    assert said["churn 999 4"][0] == "404" and "churn@999" in said["churn 999 4"][1]
    assert said["nobody  4"][0] == "404" and said["churn  0"][0] == "400"


def test_no_event_was_our_bug(server: Server) -> None:
    assert not [e for e in server.events() if e["event"] in ("request.failed", "worker.died", "worker.error")]
