"""Actions on a real model made from real rows: the verbs behind the buttons, and their refusals."""

from __future__ import annotations

import json
import re

import pyarrow.compute as pc
import pyarrow.csv
import pytest

import ambidex
from ambidex.workspace import open_workspace
from report.browser import needs_browser
from support import shared
from ui.rooms import now, shown, watched


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Telco churn: two versions, the second live."""
    folder = tmp_path_factory.mktemp("real") / "telco"
    table = shared("data/churn/telco_customer_churn.csv")
    ambidex.init(folder)
    (folder / "data" / "rows.csv").write_bytes(b"".join(table.read_bytes().splitlines(keepends=True)[:2501]))
    answer = ambidex.drivers(folder / "data" / "rows.csv", target="Churn", positive="Yes", at=folder)
    ambidex.package(answer.to_dict()["answer"], name="churn", at=folder)
    ambidex.promote("churn@1", to="live", at=folder)
    ambidex.train("churn", at=folder)
    ambidex.promote("churn@2", to="live", at=folder)
    return folder


@pytest.fixture(scope="module")
def site(real):
    with shown(real) as running:
        yield running


def sent(site, path: str, fields: dict[str, str] | None = None, *, session: dict[str, str]) -> tuple[int, str]:
    """Load a form and send it as a browser does, with some fields changed."""
    status, headers, text = site.ask(path, **session)
    if "set-cookie" in headers:
        session["Cookie"] = headers["set-cookie"].partition(";")[0]
    if status != 200:
        return status, text
    form = dict(re.findall(r'<input type="hidden" name="([a-z]+)" value="([^"]*)"', text))
    options = re.findall(r'<select name="to"><option value="(\d+)"', text)
    if options:
        form["to"] = options[0]
    action = re.search(r'<form method="post" action="(/models/[^"]*)"', text)[1]
    status, _, text = site.ask(action, method="POST", form={**form, **(fields or {})}, Origin=site.base, **session)
    return status, text


@needs_browser
def test_four_clicks_from_an_alert_to_its_cause_and_back(chrome, real, site):
    place = open_workspace(real)
    watched(place, "churn", 2, page=True, since=now().isoformat().replace("+00:00", "Z"))
    chrome.show(site.base + "/")
    assert "churn@2: errors above tolerance" in chrome.run("document.querySelector('h1').textContent")
    chrome.click("#needs .primary")
    chrome.loaded()
    assert "Why was churn slow or wrong?" in chrome.run("document.querySelector('h1').textContent")
    chrome.click(".need .primary")
    chrome.loaded()
    chrome.click("main button[type=submit]")
    chrome.loaded()
    assert "✓" in chrome.run("document.querySelector('[role=status] h2').textContent")
    assert place.store.model("churn").live == 1
    event = place.store.latest(model="churn", verbs=("rollback",), limit=1)[0]
    assert (event.body["was"], event.version) == (2, 1)
    chrome.show(site.base + "/insights/1")
    assert chrome.run("document.querySelectorAll('figure').length") > 0
    assert chrome.console == [] and chrome.outside(site.base) == []
    place.store.put_document("watch-page/churn", {"columns": [], "alerts": [], "history": []})


def test_a_promotion_resumes_where_the_rollback_paused(real, site):
    place = open_workspace(real)
    if place.store.model("churn").live == 2:
        ambidex.rollback("churn", at=real)
    session: dict[str, str] = {}
    assert "retraining is paused" in site.ask("/", **session)[2]
    status, text = sent(site, "/models/churn/resume", session=session)
    assert status == 200 and place.store.model("churn").paused is None
    status, text = sent(site, "/models/churn/2/promote?to=live", session=session)
    assert status == 200 and 'role="status"' in text
    assert place.store.model("churn").live == 2


def test_a_form_that_is_sent_twice_acts_once(real, site):
    place = open_workspace(real)
    session: dict[str, str] = {}
    assert place.store.model("churn").live == 2
    status, text = sent(site, "/models/churn/rollback", {"was": "1"}, session=session)
    assert status == 409 and "check.moved" in text and "is @2 by now" in text
    status, text = sent(site, "/models/churn/1/promote?to=live", {"was": "1"}, session=session)
    assert status == 409 and "check.moved" in text
    assert place.store.model("churn").live == 2


def test_a_refusal_shows_the_verdicts_and_the_code(real, site):
    place = open_workspace(real)
    toml = (real / "ambidex.toml").read_text()
    (real / "ambidex.toml").write_text(toml + "\n[gates]\nmargin = -0.2\n")
    try:
        status, text = sent(site, "/models/churn/1/promote?to=live", session={})
        assert status == 409
        assert "check.gate" in text and "not-worse-than-live" in text and ("refuted" in text or "open" in text)
        assert "may not go live" in text
        status, _, body = site.ask(
            "/models/churn/1/promote", method="POST", form={"to": "live"}, Accept="application/json", Origin=site.base
        )
        assert status in (403, 409) and "text/html" not in body
    finally:
        (real / "ambidex.toml").write_text(toml)
    assert place.store.model("churn").live == 2


def test_an_alert_that_monitor_raised_is_muted_and_acknowledged(real, site, tmp_path):
    rows = pyarrow.csv.read_csv(shared("data/churn/telco_customer_churn.csv"))
    moved = pc.add(rows["tenure"], 24)
    shifted = rows.set_column(rows.column_names.index("tenure"), "tenure", moved)
    pyarrow.csv.write_csv(shifted, tmp_path / "shifted.csv")
    ambidex.score("churn@live", tmp_path / "shifted.csv", out=tmp_path / "out.csv", at=real)
    ambidex.monitor("churn", at=real)
    data = site.json("/drift.json?model=churn")
    assert data["alerts"], data["watch"]
    alert = data["alerts"][0]["id"]
    assert next(c for c in data["columns"] if c["name"] == "tenure")["state"] == "drifted"
    session: dict[str, str] = {}
    path = f"/models/churn/alerts/{alert}"
    status, text = sent(site, path, {"do": "mute", "reason": "", "until": "7d"}, session=session)
    assert status == 400 and "needs its reason" in text
    status, text = sent(site, path, {"do": "mute", "reason": "known campaign", "until": "12h"}, session=session)
    assert status == 200, text
    muted = site.json("/drift.json?model=churn")["alerts"]
    assert next(a for a in muted if a["id"] == alert)["muted"]["reason"] == "known campaign"
    assert alert not in [n.get("id") for n in site.json("/overview.json")["needs"]]
    status, text = sent(site, path, {"do": "ack"}, session=session)
    assert status == 200, text
    assert alert not in [a["id"] for a in site.json("/drift.json?model=churn")["alerts"]]
    assert sent(site, path, session=session)[0] == 404


def test_a_token_s_holder_stands_in_the_log(real):
    from ambidex import access

    place = open_workspace(real)
    secret = access.fresh_secret()
    digest = access.secret_digest(secret)
    body = {"do": "new", "id": digest[:8], "name": "ada", "role": "engineer", "sha256": digest, "models": [],
            "expires": 4_000_000_000.0}  # fmt: skip
    place.store.append(verb=access.VERB, body=body)
    with shown(real) as site:
        status, _, text = site.ask(
            "/models/churn/rollback", method="POST", form={"was": "2"}, Authorization=f"Bearer {secret}",
            Accept="application/json",
        )  # fmt: skip
        assert status == 200, text
        assert json.loads(text)["data"]["done"]["data"]["was"] == 2
        event = place.store.latest(verbs=("rollback",), limit=1)[0]
        assert event.by == "token:ada"
        assert "token:ada" in site.ask("/models/churn", Authorization=f"Bearer {secret}")[2]
    assert secret not in json.dumps([e.to_json() for e in place.store.events()])
