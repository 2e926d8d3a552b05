"""The dashboard in a real Chromium: light, dark, a phone, by keyboard alone, live, and without a fault that axe finds.

axe-core (MPL-2.0) is no part of this repository: ``npm install --prefix tests axe-core`` brings it, or
AMBIDEX_AXE names the folder or file; without it these checks skip.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from report.browser import needs_browser
from support import ROOT
from ui.chrome import Chrome
from ui.rooms import empty, many_models, one_model, shown, watched

pytestmark = needs_browser

PAGES = (
    "/", "/insights", "/models", "/models/churn", "/models/churn/4", "/models/churn/rollback",
    "/models/churn/5/promote?to=live", "/models/churn/alerts/a3-2", "/serving", "/drift", "/next", "/investigate/churn",
    "/nowhere",
)  # fmt: skip
VIEWS = {"light": (1280, False, False), "dark": (1280, True, False), "phone": (390, False, True)}


def axe() -> str:
    """The source of axe-core, or a skip that says how to bring it."""
    named = os.environ.get("AMBIDEX_AXE")
    places = [Path(named), Path(named) / "axe.min.js"] if named else []
    places.append(ROOT / "tests" / "node_modules" / "axe-core" / "axe.min.js")
    for place in places:
        if place.is_file():
            return place.read_text(encoding="utf-8")
    pytest.skip("axe-core is not here: npm install --prefix tests axe-core, or set AMBIDEX_AXE")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return one_model(tmp_path_factory.mktemp("incident") / "w", page=True)


@pytest.fixture(scope="module")
def site(place):
    with shown(place.folder) as running:
        yield running


def quiet(chrome: Chrome, base: str, *, error_page: bool = False) -> None:
    """Nothing on the console, nothing asked elsewhere."""
    said = [line for line in chrome.console if not (error_page and "404" in line)]
    assert said == []
    assert chrome.outside(base) == []
    chrome.console.clear()
    chrome.asked.clear()


# ---------------------------------------------------------------- every page, every view


@pytest.mark.parametrize("view", VIEWS)
def test_every_page_fits_and_says_nothing_on_the_console(chrome, site, view):
    width, dark, mobile = VIEWS[view]
    for path in PAGES if view != "dark" else PAGES[:3]:
        chrome.show(site.base + path, width=width, dark=dark, mobile=mobile)
        assert chrome.run("document.documentElement.scrollWidth") <= width, path
        assert chrome.run("document.querySelectorAll('h1').length") == 1, path
        ground = chrome.run("getComputedStyle(document.body).backgroundColor")
        assert ground == ("rgb(15, 19, 24)" if dark else "rgb(246, 247, 249)"), path
        quiet(chrome, site.base, error_page=path == "/nowhere")


@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_no_violation(chrome, site, view):
    source = axe()
    width, dark, mobile = VIEWS[view]
    for path in PAGES:
        chrome.show(site.base + path, width=width, dark=dark, mobile=mobile)
        chrome.run(source + ";undefined")
        found = chrome.run(
            "axe.run().then(r=>r.violations.map(v=>v.id+': '+v.nodes.map(n=>n.target+' '+n.failureSummary)))"
        )
        assert found == [], (path, found)
    chrome.console.clear()


def test_empty_and_full_workspaces_show(chrome, tmp_path):
    for name, make in (("empty", empty), ("many", many_models)):
        make(tmp_path / name)
        with shown(tmp_path / name) as running:
            for path in ("/", "/insights", "/models", "/serving", "/drift", "/next"):
                for width, dark in ((1280, True), (390, False)):
                    chrome.show(running.base + path, width=width, dark=dark, mobile=width == 390)
                    assert chrome.run("document.documentElement.scrollWidth") <= width, (name, path)
                    quiet(chrome, running.base)
            if name == "many":
                chrome.show(running.base + "/")
                assert "model-07@1: errors above tolerance" in chrome.run("document.querySelector('h1').textContent")
                assert chrome.run("document.querySelector('select[name=model]').value") == "model-07"
            chrome.show("about:blank")


def test_hostile_words_are_words(chrome, site):
    chrome.show(site.base + "/insights")
    text = chrome.run("document.querySelector('#answers').textContent")
    assert '<script>alert("x")</script>' in text and "{{7*7}}" in text
    assert chrome.run("document.scripts.length") == 1
    chrome.show(site.base + "/insights/2")
    assert '<script>alert("x")</script>' in chrome.run("document.body.textContent")
    quiet(chrome, site.base)


def test_it_prints(chrome, site):
    chrome.show(site.base + "/")
    chrome.send("Emulation.setEmulatedMedia", media="print", features=[])
    assert chrome.run("getComputedStyle(document.querySelector('.need .acts')).display") == "none"
    assert chrome.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    data = chrome.send("Page.printToPDF", preferCSSPageSize=True)["data"]
    assert len(data) > 20_000


# ---------------------------------------------------------------- the keyboard


def focused(chrome: Chrome) -> str:
    return chrome.run(
        "document.activeElement.textContent.trim()||document.activeElement.getAttribute('aria-label')||''"
    )


def test_the_keyboard_reaches_everything_and_shows_where_it_is(chrome, site):
    chrome.show(site.base + "/")
    chrome.key("Tab")
    assert focused(chrome) == "Skip to the page"
    seen = []
    for _ in range(60):
        chrome.key("Tab")
        if chrome.run("document.activeElement===document.body"):
            break
        seen.append(focused(chrome))
        chrome.run("ring=getComputedStyle(document.activeElement),0")
        ring = chrome.run("ring.outlineStyle!=='none'&&parseFloat(ring.outlineWidth)>=2")
        assert ring, seen[-1]
    order = [
        "ambidex",
        "Overview",
        "Models",
        "Investigate",
        "Roll back to @2",
        "6 h",
        "Show the numbers",
        "All versions",
    ]
    at = [seen.index(name) for name in order]
    assert at == sorted(at)
    chrome.console.clear()


def test_by_keyboard_alone_from_the_page_to_the_cause_and_the_way_back(chrome, site):
    def go(text: str) -> None:
        chrome.run("document.activeElement.blur()")
        for _ in range(80):
            chrome.key("Tab")
            if focused(chrome) == text:
                chrome.key("Enter")
                chrome.loaded()
                return
        raise AssertionError(f"no {text}")

    chrome.show(site.base + "/")
    go("Investigate")
    assert "Why was churn slow or wrong?" in chrome.run("document.querySelector('h1').textContent")
    assert "features takes" in chrome.run("document.body.textContent")
    go("Roll back to @2")
    assert chrome.run("document.querySelector('select[name=to]').value") == "2"
    assert "Live is @3" in chrome.run("document.body.textContent")
    quiet(chrome, site.base)


# ---------------------------------------------------------------- live


def test_the_page_renews_itself_and_keeps_focus_and_what_is_open(chrome, site, place):
    watched(place, "churn", 3, page=True)
    chrome.show(site.base + "/")
    chrome.run("document.querySelector('#time-numbers').open=true;document.querySelector('#versions a').focus()")
    before = chrome.run("document.activeElement.getAttribute('href')")
    watched(place, "churn", 3, quiet=True)
    end = time.monotonic() + 30
    while "errors above tolerance" in chrome.run("document.querySelector('#needs').textContent"):
        assert time.monotonic() < end, "the page did not renew itself"
        time.sleep(0.3)
    assert chrome.run("document.activeElement.getAttribute('href')") == before
    assert chrome.run("document.querySelector('#time-numbers').open") is True
    assert "Live" in chrome.run("document.querySelector('#pulse').textContent")
    quiet(chrome, site.base)
    watched(place, "churn", 3, page=True)


def test_a_server_that_is_gone_is_said(chrome, tmp_path):
    one_model(tmp_path / "w", quiet=True, serve=False)
    with shown(tmp_path / "w") as running:
        chrome.show(running.base + "/")
        assert chrome.run("document.querySelector('#pulse').textContent") == "● Live"
    end = time.monotonic() + 20
    while "Not reached since" not in chrome.run("document.querySelector('#pulse').textContent"):
        assert time.monotonic() < end
        time.sleep(0.3)
    assert "churn@5 passed and is not live" in chrome.run("document.body.textContent")
