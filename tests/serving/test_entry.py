"""The one door: tokens, roles, scopes, rates, hosts. Every route is walked without a token."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ambidex import access
from ambidex.errors import EnvironmentProblem
from ambidex.records import Event
from ambidex.serving.entry import Asks, Entry
from ambidex.serving.routes import ROUTES, Route
from ambidex.serving.supervisor import run
from serving.serving_support import JSON, VALID, Server, check_problem, free_port

FAR = 4e9
SECRETS = {role: f"amb_{role}" for role in access.ROLES}


def made(secret: str, role: str, models: tuple[str, ...] = (), expires: float = FAR) -> dict[str, Any]:
    digest = access.secret_digest(secret)
    body = {"do": "new", "id": digest[:8], "name": role, "role": role, "models": models, "expires": expires}
    return {**body, "sha256": digest}


def write(folder: Path, *bodies: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    temporary = folder / "tokens.new"
    temporary.write_text(json.dumps(bodies))
    temporary.replace(folder / "tokens.json")


def bearer(secret: str) -> dict[str, str]:
    return {**JSON, "Authorization": f"Bearer {secret}"}


EVERYBODY = [
    *(made(secret, role) for role, secret in SECRETS.items()),
    made("amb_other", "caller", ("other",)),
    made("amb_churn", "caller", ("churn",)),
    made("amb_old", "admin", expires=1e9),
    made("amb_gone", "admin"),
    {"do": "revoke", "id": access.secret_digest("amb_gone")[:8]},
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("entry") / "s"
    write(folder, *EVERYBODY)
    with Server(folder) as running:
        yield running


def place(route: Route) -> str:
    return route.path.replace("{model}", "churn").replace("{version}", "1").replace("{file}", "docs.css")


def ask(server: Server, route: Route, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    bodies = {"feedback": b'{"labels":[]}', "v2_infer": INFER}
    body = bodies.get(route.name, VALID) if "POST" in route.methods else None
    return server.ask(route.methods[0], place(route), body, headers)


INFER = json.dumps({"inputs": [
    {"name": n, "shape": [1], "datatype": d, "data": [v]}
    for n, d, v in (("age", "FP64", 41.5), ("income", "FP64", 1.0), ("n", "INT64", 3), ("plan", "BYTES", "basic"))
]}).encode()  # fmt: skip


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: r.path)
def test_every_route_needs_a_token(server: Server, route: Route) -> None:
    logged = len(server.frames())
    if route.action is None:
        assert route.path.startswith("/v2/health/") and ask(server, route, JSON)[0] == 200
        return
    for headers in (
        JSON, bearer(""), bearer("amb_nobody"), bearer("amb_gone"), bearer("amb_old"),
        {**JSON, "Authorization": "amb_admin"}, {**JSON, "Authorization": "Basic amb_admin"},
        {**JSON, "Authorization": "Bearer amb_admin x"},
    ):  # fmt: skip
        status, said, body = ask(server, route, headers)
        assert status == 401 and said["www-authenticate"].startswith("Bearer"), headers
        assert json.loads(body)["code"] in ("http.no-token", "http.token")
        assert b"amb_admin" not in body
    if route.methods[0] == "GET":
        assert server.ask("HEAD", place(route), None, JSON)[0] == 401
    for method in ("OPTIONS", "DELETE", "PUT"):
        assert server.ask(method, place(route), None, JSON)[0] == 401
    assert server.ask(route.methods[0], place(route) + "?token=amb_admin&access_token=amb_admin", None, JSON)[0] == 401
    assert len(server.frames()) == logged


def test_paths_without_a_route_need_one_too(server: Server) -> None:
    for path in ("/x", "/predict", "/predict/churn/x", "/predict/..%2fchurn", "//", "/v2/health", "/v2/health/live/x"):
        assert server.ask("GET", path, None, JSON)[0] == 401, path
        assert server.ask("GET", path, None, bearer("amb_admin"))[0] in (404, 405), path


@pytest.mark.parametrize("route", [r for r in ROUTES if r.action], ids=lambda r: r.path)
def test_roles_may_what_they_may(server: Server, route: Route) -> None:
    for role, secret in SECRETS.items():
        status, _, body = ask(server, route, bearer(secret))
        if access.allowed(role, route.action or ""):
            assert status in (200, 303), (role, body)
        else:
            assert status == 403 and json.loads(body)["code"] == "http.forbidden"
            assert f"{role}'s" in json.loads(body)["found"]


def test_a_token_for_some_models(server: Server) -> None:
    assert server.ask("POST", "/predict/churn", VALID, bearer("amb_churn"))[0] == 200
    assert server.ask("POST", "/predict/churn@1", VALID, bearer("amb_churn"))[0] == 200
    for path in ("/predict/churn", "/predict/churn@1", "/predict/%63hurn", "/feedback/churn", "/v2/models/churn/infer"):
        status, headers, body = server.ask("POST", path, VALID, bearer("amb_other"))
        assert status == 403, path
        if not path.startswith("/v2"):
            check_problem(status, headers, body)
    assert server.ask("GET", "/v2/models/churn", None, bearer("amb_other"))[0] == 403
    assert b"/predict/churn" in server.ask("GET", "/openapi.json", None, bearer("amb_churn"))[2]
    assert b"/predict/churn" not in server.ask("GET", "/openapi.json", None, bearer("amb_other"))[2]


def test_the_scheme_is_read_in_any_case(server: Server) -> None:
    for scheme in ("bearer", "BEARER", "Bearer "):
        headers = {**JSON, "Authorization": f"{scheme} amb_caller"}
        assert server.ask("POST", "/predict/churn", VALID, headers)[0] == 200


def test_refused_tokens_are_told_without_their_secret(server: Server) -> None:
    time.sleep(1.1)
    server.ask("POST", "/predict/churn", VALID, bearer("amb_nobody_at_all"))
    assert server.told("token.token")
    assert "amb_nobody_at_all" not in (server.folder / "stderr").read_text()


def test_revoked_on_running_servers(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    with Server(folder, workers=2) as running:
        for _ in range(6):
            assert running.ask("POST", "/predict/churn", VALID, JSON)[0] == 200
        write(folder, made("amb_a", "caller"))
        until(lambda: all(running.ask("POST", "/predict/churn", VALID, JSON)[0] == 401 for _ in range(6)))
        for _ in range(6):
            assert running.ask("POST", "/predict/churn", VALID, bearer("amb_a"))[0] == 200
        write(folder, made("amb_a", "caller"), {"do": "revoke", "id": access.secret_digest("amb_a")[:8]})
        until(lambda: all(running.ask("POST", "/predict/churn", VALID, bearer("amb_a"))[0] == 401 for _ in range(6)))
        # A store that cannot be read opens nothing.
        (folder / "tokens.json").write_text("no JSON")
        assert running.told("tokens.unreadable")
        assert running.ask("POST", "/predict/churn", VALID, JSON)[0] == 401
        assert running.ask("POST", "/predict/churn", VALID, bearer("amb_a"))[0] == 401


def until(true: Any, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_token_asks_as_often_as_it_may_on_all_workers_together(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    write(folder, made("amb_a", "caller"), made("amb_b", "caller"))
    with Server(folder, workers=2, rate=0.2, burst=10) as running:
        said = [running.ask("POST", "/predict/churn", VALID, bearer("amb_a")) for _ in range(20)]
        statuses = [s for s, _, _ in said]
        assert 10 <= statuses.count(200) <= 15 and statuses.count(429) == 20 - statuses.count(200)
        status, headers, body = said[-1]
        assert check_problem(status, headers, body)["code"] == "http.rate" and int(headers["retry-after"]) >= 1
        assert running.ask("POST", "/predict/churn", VALID, bearer("amb_b"))[0] == 200
        assert running.ask("GET", "/v2/health/ready", None, {})[0] == 200


def test_a_name_of_another_is_refused(tmp_path: Path) -> None:
    with Server(tmp_path / "s", hosts=["ml.example"]) as running:
        for host in ("127.0.0.1", f"127.0.0.1:{running.port}", "localhost", "LocalHost:80", "[::1]:99", "ml.example"):
            assert running.ask("POST", "/predict/churn", VALID, {**JSON, "Host": host})[0] == 200, host
        for host in ("evil.example", "evil.example:8377", "127.0.0.1.evil.example", "ml.example.", "", "127.0.0.2"):
            status, headers, body = running.ask("POST", "/predict/churn", VALID, {**JSON, "Host": host})
            assert status == 421 and check_problem(status, headers, body)["code"] == "http.host", host
            assert running.ask("GET", "/", None, {"Host": host})[0] == 421
        assert running.ask("GET", "/v2/health/live", None, {"Host": "10.0.0.7"})[0] == 200


def test_a_public_address_needs_a_token_before_anything_listens(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", ""):
        running = Server(tmp_path / "s", host=host)
        process = running.spawn()
        said = json.loads(process.communicate(timeout=20)[0])
        assert (process.returncode, said["code"]) == (5, "env.public-bind"), host
        assert "token" in said["do"] and "127.0.0.1" in said["do"]
        assert not (tmp_path / "s" / "pids").exists(), "no worker was started"


def test_a_public_address_with_a_token_answers_nobody_without(tmp_path: Path) -> None:
    write(tmp_path / "s", made("amb_a", "caller"))
    with Server(tmp_path / "s", host="0.0.0.0", hosts=["ml.example"], port=free_port()) as running:
        assert running.ask("POST", "/predict/churn", VALID, JSON)[0] == 401
        assert running.ask("POST", "/predict/churn", VALID, bearer("amb_a"))[0] == 200
        assert running.ask("POST", "/predict/churn", VALID, {**bearer("amb_a"), "Host": "evil.example"})[0] == 421
        write(tmp_path / "s")  # no token any more: still nobody
        time.sleep(1.5)
        assert running.ask("POST", "/predict/churn", VALID, JSON)[0] == 401


def test_what_the_settings_say_of_tokens(tmp_path: Path) -> None:
    unused: Any = None
    with pytest.raises(EnvironmentProblem) as caught:  # tokens exist, but none would be asked for
        run(unused, host="0.0.0.0", port=0, log_folder=tmp_path, asks=Asks(tokens="off"), tokens=True)
    assert caught.value.code == "env.public-bind"
    some = access.fold([Event(seq=1, at="", by="", verb="token", body=made("amb_a", "admin"))])
    nothing: Any = lambda *_: None  # noqa: E731
    assert [Entry(Asks(tokens=t), k, nothing).closed for t in ("on", "off", None) for k in (access.Tokens(), some)] == [
        True, True, False, False, False, True,
    ]  # fmt: skip
    revoked = access.fold(
        [Event(seq=2, at="x", by="", verb="token", body={"do": "revoke", "id": next(iter(some)).id})], some
    )
    assert Entry(Asks(), revoked, nothing).closed, "the last token gone opens nothing"
