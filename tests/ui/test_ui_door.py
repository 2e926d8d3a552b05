"""Who is let in, and what is refused: every route, tokens, hosts, other pages, forms that were sent twice."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys

import pytest

from ambidex import access
from ambidex.errors import CODES
from ambidex.ui.guard import POLICY, Guard
from ambidex.ui.routes import ROUTES
from ambidex.workspace import open_workspace
from ui.rooms import one_model, shown

SAMPLES = {"name": "churn", "number": "3", "alert": "a3-2", "asset": "app.css"}


def paths() -> list[tuple[str, str, str | None]]:
    """Each route with a path that it takes: (method, path, action)."""
    out = []
    for route in ROUTES:
        path = route.path.pattern.replace("(?:overview)?", "")
        path = re.sub(r"\(\?P<(\w+)>[^)]*\)", lambda m: SAMPLES[m[1]], path)
        out.append((route.method, path, route.action))
    return out


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return one_model(tmp_path_factory.mktemp("door") / "w", page=True)


@pytest.fixture(scope="module")
def keys(place):
    """Tokens by role; made first, so that the dashboard asks for one."""
    made = {}
    for role, models in (("viewer", ()), ("caller", ()), ("engineer", ()), ("scoped", ("other",))):
        secret = access.fresh_secret()
        digest = access.secret_digest(secret)
        body = {
            "do": "new", "id": digest[: access.ID], "name": role, "role": "engineer" if role == "scoped" else role,
            "sha256": digest, "models": list(models), "expires": 4_000_000_000.0,
        }  # fmt: skip
        place.store.append(verb=access.VERB, body=body)
        made[role] = secret
    return made


@pytest.fixture(scope="module")
def locked(place, keys):
    with shown(place.folder) as site:
        yield site


# ---------------------------------------------------------------- every route


def test_every_route_names_an_action_that_a_role_may_do_or_is_the_way_in():
    public = {path for _, path, action in paths() if action is None}
    assert public == {"/sign-in", "/sign-out", "/health", "/assets/app.css"}
    assert {action for _, _, action in paths() if action} <= set(access.ACTIONS)
    assert all(action != "read" for method, _, action in paths() if method == "POST")


def test_every_route_without_a_token_is_refused(locked):
    for method, path, action in paths():
        for form in ("", ".json", ".csv"):
            status, headers, text = locked.ask(path + form, method=method, form={} if method == "POST" else None)
            if action is None:
                continue
            if method == "GET" and form == "":
                assert status == 303 and headers["location"].startswith("/sign-in?to="), path
                assert text == ""
            else:
                assert status in (401, 404), (method, path + form, status)
                assert "churn@" not in text and "tenure" not in text
    assert locked.ask("/sign-out", method="POST", form={})[0] == 401
    assert locked.ask("/sign-in")[0] == 200
    assert locked.ask("/health")[2] == '{"live":true}'


def test_roles_see_and_do_what_they_may(locked, keys):
    def status(role: str, path: str, **more) -> int:
        return locked.ask(path, Authorization=f"Bearer {keys[role]}", **more)[0]

    assert status("viewer", "/models/churn") == 200
    assert status("viewer", "/models/churn/rollback") == 403
    assert status("viewer", "/models/churn/rollback", method="POST", form={}) == 403
    assert status("caller", "/") == 403
    assert status("engineer", "/models/churn/rollback") == 200
    assert status("scoped", "/models/churn") == 403
    assert status("scoped", "/insights") == 403
    assert status("scoped", "/next") == 403
    shown_to_scoped = locked.json("/overview.json", Authorization=f"Bearer {keys['scoped']}")
    assert shown_to_scoped["models"] == [] and shown_to_scoped["next"] is None
    wrong = locked.ask("/models.json", Authorization="Bearer amb_wrong")
    assert wrong[0] == 401 and '"http.no-token"' in wrong[2] and wrong[1]["content-type"] == "application/problem+json"


def test_a_page_for_a_viewer_offers_no_action(locked, keys):
    text = locked.ask("/", Authorization=f"Bearer {keys['viewer']}")[2]
    assert "Investigate" in text and "Roll back" not in text and "Acknowledge" not in text


def test_a_token_that_is_revoked_is_refused_within_five_seconds(locked, place, keys):
    import time

    secret = access.fresh_secret()
    digest = access.secret_digest(secret)
    body = {"do": "new", "id": digest[:8], "name": "short", "role": "viewer", "sha256": digest, "models": [],
            "expires": 4_000_000_000.0}  # fmt: skip
    place.store.append(verb=access.VERB, body=body)
    time.sleep(2.2)
    assert locked.ask("/models", Authorization=f"Bearer {secret}")[0] == 200
    place.store.append(verb=access.VERB, body={"do": "revoke", "id": digest[:8]})
    end = time.monotonic() + 5
    while (status := locked.ask("/models.json", Authorization=f"Bearer {secret}")[0]) == 200:
        assert time.monotonic() < end
        time.sleep(0.2)
    assert status == 401


# ---------------------------------------------------------------- signing in


def signed_in(site, secret: str, to: str = "/") -> str:
    status, headers, _ = site.ask("/sign-in", method="POST", form={"token": secret, "to": to})
    assert status == 303, status
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Path=/" in cookie
    return cookie.partition(";")[0]


def test_signing_in_gives_a_strict_cookie_that_holds_no_token(locked, keys):
    cookie = signed_in(locked, keys["viewer"])
    assert keys["viewer"] not in cookie
    status, _, text = locked.ask("/models/churn", Cookie=cookie)
    assert status == 200 and "Sign out viewer" in text
    assert keys["viewer"] not in text
    ticket = re.search(r'name="ticket" value="([0-9a-f]{64})"', text)[1]
    out = locked.ask("/sign-out", method="POST", form={"ticket": ticket}, Cookie=cookie, Origin=locked.base)
    assert out[0] == 303
    assert locked.ask("/models/churn", Cookie=cookie)[0] == 303


def test_a_wrong_token_is_told_and_sends_nobody_elsewhere(locked, keys):
    status, headers, text = locked.ask("/sign-in", method="POST", form={"token": "amb_no"})
    assert status == 401 and "unknown, expired or revoked" in text and "set-cookie" not in headers
    for to in ("//evil.example/x", "https://evil.example", "/\\evil.example", "javascript:alert(1)"):
        _, headers, _ = locked.ask("/sign-in", method="POST", form={"token": keys["viewer"], "to": to})
        assert headers["location"] == "/"
    _, headers, _ = locked.ask("/sign-in", method="POST", form={"token": keys["viewer"], "to": "/drift?model=churn"})
    assert headers["location"] == "/drift?model=churn"


# ---------------------------------------------------------------- other pages, other names


def test_changes_from_another_page_are_refused(locked, keys, place):
    cookie = signed_in(locked, keys["engineer"])
    text = locked.ask("/models/churn/rollback", Cookie=cookie)[2]
    ticket = re.search(r'name="ticket" value="([0-9a-f]{64})"', text)[1]
    form = {"ticket": ticket, "was": "3", "to": "2"}

    def answer(form: dict[str, str], **headers: str) -> tuple[int, str]:
        status, _, text = locked.ask(
            "/models/churn/rollback", method="POST", form=form, Cookie=cookie, Accept="application/json", **headers
        )
        return status, text

    assert answer(form, Origin="http://evil.example") == (403, answer(form, Origin="http://evil.example")[1])
    assert "http.origin" in answer(form, Origin="http://evil.example")[1]
    assert "http.origin" in answer(form)[1]
    assert "http.form" in answer({**form, "ticket": "0" * 64}, Origin=locked.base)[1]
    assert "http.form" in answer({"was": "3"}, Origin=locked.base)[1]
    other = signed_in(locked, keys["engineer"])
    stolen = locked.ask("/models/churn/rollback", method="POST", form=form, Cookie=other, Origin=locked.base,
                        Accept="application/json")  # fmt: skip
    assert "http.form" in stolen[2]
    assert place.store.model("churn").live == 3


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::1", "", "@127.0.0.1"]
)
def test_a_server_answers_to_its_own_names_only(locked, host):
    status, _, text = locked.ask("/", Host=host)
    assert status == 403 and "http.host" in text and "churn" not in text


def test_its_own_names_are_known(locked):
    port = locked.base.rpartition(":")[2]
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", "127.0.0.1", f"127.0.0.1:{port}"):
        assert locked.ask("/sign-in", Host=host)[0] == 200, host


def test_every_answer_carries_the_policy(locked, keys):
    token = f"Bearer {keys['engineer']}"
    for method, path, _ in paths():
        _, headers, _ = locked.ask(path, method=method, form={} if method == "POST" else None, Authorization=token)
        assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY", path
        policy = headers["content-security-policy"]
        if path == "/insights/3":
            continue
        assert policy == POLICY, path
        assert "server" not in headers
    report = locked.ask("/insights/1", Authorization=token)[1]["content-security-policy"]
    assert "script-src 'sha256-" in report and "frame-ancestors 'none'" in report and "unsafe" not in report


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/models/CHURN", 404), ("/models/nobody", 404), ("/models/churn/99", 404), ("/models/churn/0", 404),
        ("/models/../../etc/passwd", 404), ("/models/%2e%2e", 404), ("/assets/app.py", 404), ("/assets/../app.py", 404),
        ("/insights/99", 404), ("/models/churn?page=x", 400), ("/models/churn?page=-1", 400), ("/drift?state=odd", 400),
        ("/serving?window=9h", 400), ("/?model=nobody", 400), ("/nowhere", 404),
        ("/models/churn?before=" + "9" * 40, 400), ("/investigate/churn?since=%00", 200),
        ("/models?page=999999999", 200), ("/models/churn/1/promote?to=moon", 400),
    ],
)  # fmt: skip
def test_what_is_not_there_is_named_and_never_a_crash(locked, keys, path, status):
    got, headers, text = locked.ask(path, Authorization=f"Bearer {keys['engineer']}")
    assert got == status, text[:300]
    assert "Traceback" not in text and str(os.getcwd()) not in text
    json_path = re.sub(r"(\?|$)", r".json\1", path, count=1)
    if status >= 400 and "/assets" not in path and "passwd" not in path:
        got, headers, text = locked.ask(json_path, Authorization=f"Bearer {keys['engineer']}")
        assert got == status and headers["content-type"] == "application/problem+json"
        assert re.search(r'"code": "([^"]+)"', text)[1] in CODES


def test_bodies_and_methods_that_no_form_has(locked, keys):
    token = f"Bearer {keys['engineer']}"
    assert locked.ask("/models/churn/rollback", method="DELETE", Authorization=token)[0] == 405
    assert locked.ask("/models", method="POST", form={}, Authorization=token)[0] == 405
    big = locked.ask("/models/churn/rollback", method="POST", form={"x": "y" * 20_000}, Authorization=token)
    assert big[0] == 413
    kind = {"Content_Type": "application/json"}
    assert locked.ask("/models/churn/rollback", method="POST", form={"a": "b"}, Authorization=token, **kind)[0] == 415
    assert locked.ask("/", method="HEAD", Authorization=token)[0] == 200


# ---------------------------------------------------------------- listening


def test_a_public_address_needs_a_token_first(tmp_path):
    folder = one_model(tmp_path / "w", quiet=True, serve=False).folder
    command = [sys.executable, "-m", "ambidex.cli", "-C", str(folder), "ui", "--host", "0.0.0.0", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 5
    assert "env.public-bind" in done.stderr and done.stdout == ""


def test_it_takes_the_next_free_port_says_so_and_ends_as_asked(place):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 0)):
            command = [sys.executable, "-m", "ambidex.cli", "-C", str(place.folder), "ui", "--port", str(port)]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            address = process.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address) and not address.endswith(f":{port}")
            process.send_signal(number)
            out, err = process.communicate(timeout=20)
            assert process.returncode == code, err
            assert f"port {port} was taken" in err
            assert "Traceback" not in out + err


def test_local_addresses_are_known_and_names_of_others_are_not():
    guard = Guard(lambda: None, False, frozenset({"localhost"}), 1)
    assert guard.known_host("127.0.0.1:8377", ("127.0.0.1", 8377))
    assert guard.known_host("[::1]:8377", None)
    assert not guard.known_host("10.0.0.7:8377", ("127.0.0.1", 8377))
    public = Guard(lambda: None, True, frozenset({"dash.example.org"}), 1)
    assert public.known_host("10.0.0.7:8377", ("10.0.0.7", 8377))
    assert public.known_host("Dash.Example.org", ("10.0.0.7", 8377))
    assert not public.known_host("10.0.0.8", ("10.0.0.7", 8377))


def test_the_workspace_opened_by_the_pages_is_the_one_that_was_named(locked, place):
    assert open_workspace(place.folder).name == "telco-churn"
