"""What pages say: their JSON and CSV, fifty rows a page, and what they do when something beside them is dead."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
import time

import pytest

from ambidex.ui.advice import Later
from ambidex.ui.live import Live, Minute, course, last, quantile
from ambidex.ui.pictures import Line, histogram, interval, lines, pips, share_bar, sparkline
from ambidex.ui.render import asset, csv_text, link_to
from ui.rooms import minutes, one_model, shown, version, watched

PAGES = ("/overview", "/insights", "/models", "/models/churn", "/models/churn/3", "/serving", "/drift", "/next",
         "/investigate/churn")  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return one_model(tmp_path_factory.mktemp("pages") / "w", page=True)


@pytest.fixture(scope="module")
def site(place):
    with shown(place.folder) as running:
        yield running


# ---------------------------------------------------------------- forms


def test_each_page_is_also_json_and_csv(site):
    for path in PAGES:
        status, headers, text = site.ask(f"{path}.json")
        assert status == 200 and headers["content-type"] == "application/json", path
        document = json.loads(text)
        assert document["schema"] == "ambidex/1" and "<svg" not in text and "troubles" in document["data"]
        status, headers, text = site.ask(f"{path}.csv")
        assert status == 200 and headers["content-type"].startswith("text/csv"), path
        assert "attachment" in headers["content-disposition"]
        table = list(csv.reader(io.StringIO(text)))
        assert len(table) > 1 or path in ("/next",), path
        for cell in (c for row in table for c in row):
            assert not cell.startswith(("=", "@", "\t", "\r")), cell
            assert not cell.startswith(("+", "-")) or re.fullmatch(r"-\d+(\.\d+)?(e-\d+)?", cell), cell


def test_an_answer_s_estimates_as_csv_run_nothing(site):
    assert "'=1+1" in site.ask("/insights/2.csv")[2].splitlines()[1].split(",")
    assert site.json("/insights/2.json")["estimates"][0]["name"] == "=1+1"


def test_what_the_overview_says_of_an_incident(site):
    data = site.json("/overview.json")
    first = data["needs"][0]
    assert first["level"] == "bad" and first["title"].startswith("churn@3: errors above tolerance since ")
    assert "It began 6 minutes after @3 went live" in first["text"]
    assert [a["text"] for a in first["actions"]] == ["Investigate", "Roll back to @2"]
    tiles = {t["name"]: t for t in data["tiles"]}
    assert len(tiles) == 5
    assert tiles["p99 time"]["word"] == "over 25" and tiles["p99 time"]["tone"] == "bad"
    assert tiles["Drifting features"]["value"] == "2" and tiles["Drifting features"]["unit"] == "of 4"
    assert tiles["Model error"]["value"] == "0.291" and tiles["Model error"]["word"] == "over 0.247"
    assert data["time"]["limit"] == 25 and len(data["time"]["rows"]) > 50
    text = site.ask("/")[2]
    for words in ("@3 live", "over the limit", "limit 25 ms", "What this project needs next", "All 5 columns"):
        assert words in text, words


def test_filters_stand_in_the_address(site):
    drifted = site.json("/drift.json?model=churn&state=drifted")["columns"]
    assert {c["name"] for c in drifted} == {"contract", "monthly_charges"}
    assert [a["verb"] for a in site.json("/insights.json?verb=drivers")["answers"]] == ["drivers"]
    assert site.json("/insights.json?q=CONTRACT")["pages"]["count"] == 1
    assert site.json("/models.json?show=paused")["models"] == []
    assert len(site.json("/serving.json?model=churn&window=6h")["time"]["rows"]) >= 12


def test_fifty_rows_a_page(tmp_path):
    place = one_model(tmp_path / "w", quiet=True, serve=False)
    for i in range(55):
        version(place, "churn", value=0.8 + i / 1000)
    with shown(place.folder) as running:
        first = running.json("/models/churn.json")
        assert len(first["versions"]) == 50 and first["pages"]["pages"] == 2 and first["versions"][0]["version"] == 60
        second = running.json("/models/churn.json?page=2")
        assert [v["version"] for v in second["versions"]] == list(range(10, 0, -1))
        assert running.json("/models/churn.json?page=99")["pages"]["page"] == 2
        older = running.json(f"/models/churn.json?before={first['older']}")
        assert older["log"][0]["seq"] < first["log"][-1]["seq"]
        text = running.ask("/models/churn")[2]
        assert "1 to 50 of 60" in text and 'href="/models/churn?page=2"' in text


def test_a_fragment_is_the_inside_only_and_unchanged_costs_nothing(site):
    status, headers, text = site.ask("/models/churn", X_Fragment="1")
    assert status == 200 and "<nav aria-label" not in text and 'id="versions" data-part' in text
    again = site.ask("/models/churn", X_Fragment="1", If_None_Match=headers["etag"])
    assert again[0] == 304 and again[2] == ""


def test_a_cold_load_is_small(site):
    total = 0
    for path in ("/", *re.findall(r'(?:href|src)="(/assets/[^"]+)"', site.ask("/")[2])):
        total += len(site.ask(path)[2].encode())
    assert total < 150_000
    assert len(asset("app.js")) < 5000


# ---------------------------------------------------------------- what is dead beside it


def test_a_store_that_is_broken_is_said_and_the_page_still_comes(tmp_path):
    place = one_model(tmp_path / "w", quiet=True)
    with shown(place.folder) as running:
        assert running.json("/overview.json")["needs"][0]["level"] != "bad"
        place.store.close()
        with sqlite3.connect(place.hidden / "meta.sqlite") as database:
            database.execute("ALTER TABLE version RENAME TO gone")
            database.execute("ALTER TABLE model RENAME TO gone_too")
        status, _, text = running.ask("/")
        assert status == 200 and "could not be read, so this page is incomplete" in text
        for path in ("/models", "/drift", "/serving", "/next"):
            assert running.ask(path)[0] in (200, 503), path
        assert running.json("/overview.json")["troubles"]


def test_a_store_that_is_gone_altogether_is_said_too(tmp_path):
    place = one_model(tmp_path / "w", quiet=True)
    with shown(place.folder) as running:
        assert running.ask("/")[0] == 200
        place.store.close()
        for file in place.hidden.glob("meta.sqlite*"):
            file.write_bytes(b"not a database " * 1000)
        time.sleep(2.2)
        status, _, text = running.ask("/")
        assert status == 200 and "this page is incomplete" in text
        assert running.ask("/models")[0] == 200


def test_settings_that_are_broken_are_said_and_the_old_ones_hold(tmp_path):
    place = one_model(tmp_path / "w", quiet=True, serve=False)
    with shown(place.folder) as running:
        (place.folder / "ambidex.toml").write_text("nonsense = [")
        data = running.json("/overview.json")
        assert data["needs"][0]["code"] == "usage.config"
        assert data["models"] == ["churn"]


def test_monitoring_that_has_stopped_is_said(tmp_path):
    place = one_model(tmp_path / "w", quiet=True, extra="[watch]\nlooks = 87600\n")
    watched(place, "churn", 3, quiet=True)
    with shown(place.folder) as running:
        titles = [n["title"] for n in running.json("/overview.json")["needs"]]
        assert not any("monitor has not run" in t for t in titles)
        document = {**place.store.document("watch-page/churn"), "at": "2026-01-01T00:00:00Z"}
        place.store.put_document("watch-page/churn", document)
        titles = [n["title"] for n in running.json("/overview.json")["needs"]]
        assert "churn: monitor has not run since 1 Jan 00:00" in titles


def test_a_server_that_has_gone_is_said(tmp_path):
    place = one_model(tmp_path / "w", quiet=True)
    for snapshot in (place.hidden / "run").glob("worker-*"):
        snapshot.unlink()
    with shown(place.folder) as running:
        first = running.json("/overview.json")["needs"][0]
        assert first["title"].startswith("No server runs since ") and "churn answered until then" in first["text"]


def test_a_torn_minute_and_a_snapshot_of_nobody_hurt_nothing(tmp_path):
    place = one_model(tmp_path / "w", quiet=True)
    run = place.hidden / "run"
    file = next(run.glob("minutes-*.frames"))
    with file.open("ab") as out:
        out.write(b"\x10\x00\x00\x00torn")
    (run / "worker-1.json").write_text("{")
    with shown(place.folder) as running:
        assert len(running.json("/serving.json")["time"]["rows"]) > 50
        minutes(place, "churn", 3, count=2, index=1)
        assert len(running.json("/serving.json")["workers"]) == 1


# ---------------------------------------------------------------- pieces


def test_quantiles_come_from_buckets():
    assert quantile((1.0, 2.0), (0, 0, 5), 0.5) == 2.0
    assert quantile((1.0, 2.0), (), 0.5) is None
    assert quantile((1.0, 2.0), (4, 4, 0), 0.5) == 1.0
    assert last([None, None]) is None


def test_a_course_sums_workers_and_shows_gaps():
    class Two:
        def minutes(self, model: str, since: float) -> list[Minute]:
            return [Minute(at=m, version=1, requests=60, rows=120, failed=6, total=[60]) for m in (6000, 6000, 6120)]

    found = course(Live(run=Two()), "churn", "1h", 6180.5)
    assert found.rate[-3:] == [2.0, 0.0, 1.0]
    assert found.rows[-1] == 2.0 and found.errors[-3:] == [0.1, None, 0.1]
    assert found.p99[-2] is None and found.p99[-1] > found.p50[-1] > 0
    assert found.rate[0] is None


@pytest.mark.parametrize("values", [[], [None], [1.0], [1.0, 1.0], [0.0, None, 3.0], [float("nan"), 1.0, 2.0]])
def test_pictures_of_hardly_anything(values):
    said = '"><script>'
    drawn = [
        sparkline(values, said), histogram([0.5, 0.5], [1.0], said), histogram([], [], said),
        interval(None, None, None, 0.02, said, reach=0.0), share_bar([("a<b", 0.0)], said), pips([("c1", 0)], said),
        lines([0.0, 60.0], [Line("p<99", "worst", [None, 3.0])], said, labels=[(0.0, "<x>")]),
    ]  # fmt: skip
    for picture in drawn:
        assert "<script" not in picture and "nan" not in picture and "style=" not in picture
        assert picture.count("<svg") == picture.count("</svg>") <= 1


def test_cells_that_a_spreadsheet_would_run_are_quoted():
    rows = [{"a": text} for text in ("=1", "+1", "-1", "@x", "\tx", "\rx", "x=1", "")]
    cells = [r[0] for r in csv.reader(io.StringIO(csv_text(rows), newline=""))][1:]
    assert cells == ["'=1", "'+1", "'-1", "'@x", "'\tx", "'\rx", "x=1", ""] or cells[:7] == [
        "'=1", "'+1", "'-1", "'@x", "'\tx", "'\rx", "x=1",
    ]  # fmt: skip


def test_links_keep_the_query_and_forget_the_page():
    link = link_to("/models", {"show": "live", "page": "3"})
    assert link(page=4) == "/models?show=live&page=4"
    assert link(show="") == "/models"


def test_advice_is_read_beside_the_page_once_and_its_error_is_told():
    calls = []

    def read() -> dict[str, int]:
        calls.append(1)
        return {"n": len(calls)}

    later = Later(read)
    assert later.get(1, wait=5) == {"n": 1}
    assert later.get(1, wait=5) == {"n": 1}
    assert later.get(2, wait=5) == {"n": 1}  # a minute has not passed
    later.forget()
    later.get(2, wait=5)
    assert len(calls) <= 2

    def fail() -> dict[str, int]:
        raise ValueError("x")

    broken = Later(fail)
    with pytest.raises(Exception, match="the reading failed: ValueError"):
        broken.get(1, wait=5)
