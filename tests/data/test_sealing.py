"""Sealing: every row once, whatever happened, for readers of dicts and of DuckDB alike."""

from __future__ import annotations

import json
import os
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ambidex.data import sealing as module
from ambidex.data.frames import Frame, FrameWriter, Stream, log_files, next_id
from ambidex.data.log import find_prediction, find_rows, log_view, open_log
from ambidex.data.run_folder import append_minute
from ambidex.data.sealing import erase, seal
from ambidex.data.segments import segment_files, segments
from ambidex.errors import Refused
from ambidex.records import Column, Schema

SCHEMA = Schema(
    columns=(Column(name="age", type="float"), Column(name="n", type="integer"), Column(name="plan", type="category")),
    target="y", task="binary", classes=("0", "1"), key="customer",
)  # fmt: skip
LIVE = Stream(model="churn", version=1, riders=("customer",))
CANARY = Stream(model="churn", version=2, arm="canary", riders=("customer",))
LISTED = Stream(model="churn", version=3, listed=True, riders=("customer",))
FAILED = Stream(model="churn", version=2, arm="shadow", riders=("customer",), error="http.model")


def requests(seed: int, count: int, *, start: int = 0) -> tuple[bytes, int]:
    """Awkward requests as frames, and their rows."""
    rng = random.Random(seed)
    parts, rows = [], 0
    for i in range(count):
        size = rng.choice((1, 1, 1, 3))
        stream = rng.choice((LIVE, LIVE, CANARY, LISTED, FAILED))
        body: Any = {
            "rows": [
                {
                    "age": rng.choice((None, 41, 41.5, rng.random())), "n": rng.choice((1, 2**60 + 1, -3)),
                    "plan": rng.choice(("é", "basic", '"')), "customer": rng.choice((None, 7, "007", 7.0)),
                }
                for _ in range(size)
            ]
        }  # fmt: skip
        if rng.random() < 0.2:
            del body["rows"][0]["customer"]
        if size == 1 and rng.random() < 0.1:
            body = body["rows"][0]
        if rng.random() < 0.05:
            body = {"rows": [{"other": 1, "age": "text"} for _ in range(size)]}
        width = 0 if stream is FAILED else 3 if stream is LISTED else 1
        scores = struct.pack(f"<{size * width}d", *(rng.random() for _ in range(size * width)))
        first = f"{start + i:019x}{rng.choice((0, 0xFFFFFFFF)):08x}".encode()
        parts.append(stream.frame(1_700_000_000_000_000 + i, first, size, scores, json.dumps(body).encode(), i))
        rows += size
    return b"".join(parts), rows


def write(place: Path, name: str, frames: bytes) -> FrameWriter:
    writer = FrameWriter(place / "churn" / f"{name}.frames")
    writer.write_bytes(frames)
    return writer


def everything(place: Path, cursor: Any = None) -> list[dict[str, Any]]:
    with open_log(place, "churn") as log:
        return [row for rows, _ in log.pages(cursor) for row in rows]


def sorted_rows(rows: list[dict[str, Any]]) -> list[str]:
    """JSON knows one kind of number: 41 of a float column may come back as 41.0."""
    for row in rows:
        cells = row.get("row", {})
        if type(cells.get("age")) is int:
            cells["age"] = float(cells["age"])
    return sorted(json.dumps(r, sort_keys=True) for r in rows)


def test_sealed_rows_are_what_the_frames_were(tmp_path: Path) -> None:
    frames, rows = requests(1, 300)
    old = [
        {"kind": "label", "at": "2026-11-24T16:00:00.000001Z", "model": "churn", "id": "a", "label": v}
        for v in ("1", 3.5, True, None)
    ] + [
        {"at": "yesterday", "model": "churn", "version": 1, "id": "b", "row": {"age": True, "n": 2**70, "z": [1]},
         "riders": {"customer": "7"}, "p": 1.0, "source": "score"},
        {"at": "2026-11-24T16:00:00.000001Z", "model": "churn", "version": 1, "id": "c", "row": {}, "riders": {},
         "p": None, "trace": "t"},
    ]  # fmt: skip
    write(tmp_path, "http-1", frames + b"".join(map(Frame.encode, old))).close()
    before = everything(tmp_path)
    assert len(before) == rows + len(old)
    said = seal(tmp_path, "churn")
    assert said.rows == rows + len(old) and said.files == 1 and not log_files(tmp_path, "churn")
    after = everything(tmp_path)
    assert sorted_rows(after) == sorted_rows(before)
    assert [r["id"] for r in after] == [r["id"] for r in before]
    assert seal(tmp_path, "churn") == module.Sealed()


def test_a_file_that_is_still_written_is_sealed_as_far_as_it_goes(tmp_path: Path) -> None:
    frames, first = requests(1, 100)
    more, second = requests(2, 50, start=1000)
    with write(tmp_path, "http-1", frames) as writer:
        cursors = []
        with open_log(tmp_path, "churn") as log:
            for _, cursor in log.pages():
                cursors.append(cursor)
        assert seal(tmp_path, "churn", least_bytes=1 << 20, wait_s=60).rows == 0
        assert seal(tmp_path, "churn").rows == first
        assert log_files(tmp_path, "churn")
        assert everything(tmp_path, cursors[-1]) == []
        writer.write_bytes(more)
        assert len(everything(tmp_path, cursors[-1])) == second
        assert len(everything(tmp_path)) == first + second
        assert seal(tmp_path, "churn").rows == second
        assert len(everything(tmp_path, cursors[-1])) == second
    assert seal(tmp_path, "churn").files == 1
    assert len(everything(tmp_path, cursors[-1])) == second
    assert len(everything(tmp_path)) == first + second


def test_a_torn_tail_goes_and_an_altered_frame_stays(tmp_path: Path) -> None:
    frames, rows = requests(3, 20)
    path = tmp_path / "churn" / "http-1.frames"
    write(tmp_path, "http-1", frames).close()
    path.write_bytes(frames + frames[:30])
    other = bytearray(frames)
    other[len(frames) // 2] ^= 1
    (tmp_path / "churn" / "http-2.frames").write_bytes(other)
    seal(tmp_path, "churn")
    assert [p.name for p in log_files(tmp_path, "churn")] == ["http-2.frames"]
    assert rows < len(everything(tmp_path)) < 2 * rows


def test_small_segments_become_one_and_cursors_go_on(tmp_path: Path) -> None:
    total, cursor, seen = 0, None, 0
    for i in range(10):
        frames, rows = requests(i, 20, start=i * 100)
        write(tmp_path, f"http-{i}", frames).close()
        total += rows
        seal(tmp_path, "churn")
        if i % 3 == 0:
            with open_log(tmp_path, "churn") as log:
                for page, place in log.pages(cursor):
                    seen += len(page)
                    cursor = place
    assert len(segment_files(tmp_path, "churn")) < 8
    assert len(everything(tmp_path)) == total == seen + len(everything(tmp_path, cursor))


class Killed(BaseException):
    pass


@pytest.mark.parametrize("files", [3, 9])
def test_killed_at_every_step_and_at_every_write_no_row_is_lost_or_twice(
    tmp_path: Path, files: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROWS", 60)
    expected: list[str] = []
    step = 0
    while True:
        place = tmp_path / str(step)
        total = 0
        for i in range(files):
            frames, rows = requests(i, 20, start=i * 100)
            write(place, f"http-{i}", frames).close()
            total += rows
        expected = expected or sorted_rows(everything(place))
        pid = os.fork()
        if pid == 0:
            left = step

            def die(name: str) -> None:
                nonlocal left
                if left == 0:
                    os._exit(9)
                left -= 1

            _dying_disk(die)
            seal(place, "churn", step=die)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert sorted_rows(everything(place)) == expected, step
        with log_view(place, "churn", SCHEMA) as view:
            assert view.connection.execute("SELECT count(*) FROM log").fetchone() == (total,)
        seal(place, "churn")
        assert sorted_rows(everything(place)) == expected, step
        assert not log_files(place, "churn") and not list((place / "churn").glob("*.new"))
        if status == 0:
            break
        step += 1
    assert step > 15


def _dying_disk(die: Callable[[str], None]) -> None:
    """The steps between writing a segment, naming it and the rest."""
    for owner, name in ((Path, "replace"), (os, "fsync"), (Path, "unlink")):
        before = getattr(owner, name)

        def dying(*args: Any, _before: Any = before, _name: str = name, **kwargs: Any) -> Any:
            die(_name)
            return _before(*args, **kwargs)

        setattr(owner, name, dying)


def test_duckdb_sees_what_readers_of_dicts_see(tmp_path: Path) -> None:
    frames, rows = requests(5, 200)
    more, others = requests(6, 30, start=1000)
    with write(tmp_path, "http-1", frames) as writer:
        with log_view(tmp_path, "churn", SCHEMA) as view:
            assert (view.segments, view.fresh) == (0, rows)
            cursor = view.cursor
        seal(tmp_path, "churn")
        writer.write_bytes(more)
        dicts = everything(tmp_path)
        with log_view(tmp_path, "churn", SCHEMA) as view:
            assert (view.segments, view.fresh) == (1, others)
            cells = '"c:age", "c:n", "c:plan", "r:customer"'
            found = view.connection.execute(f"SELECT id, version, arm, p, ps, {cells}, us, error FROM log").fetchall()
        with log_view(tmp_path, "churn", SCHEMA, cursor=cursor) as view:
            assert view.connection.execute("SELECT count(*) FROM log").fetchone() == (others,)
            assert view.segments == 0
        with log_view(tmp_path, "churn", cursor=view.cursor) as view:
            assert view.connection.execute("SELECT count(*) FROM log").fetchone() == (0,)

    def number(value: Any) -> float | None:
        return float(value) if isinstance(value, int | float) else None

    wanted = [
        (
            r["id"], r["version"], r["arm"], None if isinstance(r["p"], list) else r["p"],
            r["p"] if isinstance(r["p"], list) else None, number(r["row"].get("age")), r["row"].get("n"),
            r["row"].get("plan"), r["riders"].get("customer"), r.get("us"), r.get("error"),
        )
        for r in dicts
    ]  # fmt: skip
    assert sorted(map(repr, found)) == sorted(map(repr, wanted))


def test_a_cursor_within_a_segment(tmp_path: Path) -> None:
    frames, _ = requests(7, 40)
    more, others = requests(8, 40, start=500)
    with write(tmp_path, "http-1", frames) as writer:
        with log_view(tmp_path, "churn") as view:
            cursor = view.cursor
        writer.write_bytes(more)
        seal(tmp_path, "churn")
        with log_view(tmp_path, "churn", cursor=cursor) as view:
            assert view.segments == 1
            assert view.connection.execute("SELECT count(*) FROM log").fetchone() == (others,)
        assert len(everything(tmp_path, cursor)) == others


@pytest.mark.parametrize("seed", range(6))
def test_whatever_order_writing_sealing_and_reading_come_in_every_row_is_seen_once(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ambidex.data.log.PAGE", 7)
    monkeypatch.setattr("ambidex.data.segments.BATCH", 7)
    rng = random.Random(seed)
    writers = [write(tmp_path, f"http-{i}", b"") for i in range(3)]
    cursor: Any = None
    view_cursor: Any = None
    seen: list[str] = []
    counted = total = start = 0
    for _ in range(60):
        match rng.choice(("write", "write", "seal", "read", "some", "view", "leave")):
            case "write":
                frames, rows = requests(start, rng.randint(1, 12), start=start)
                start += 100
                total += rows
                rng.choice(writers).write_bytes(frames)
            case "seal":
                seal(tmp_path, "churn")
            case "leave":
                place = rng.randrange(3)
                writers[place].close()
                start += 1
                writers[place] = write(tmp_path, f"http-{start:06d}-{place}", b"")
            case "view":
                with log_view(tmp_path, "churn", SCHEMA, cursor=view_cursor) as view:
                    (new,) = view.connection.execute("SELECT count(*) FROM log").fetchone()
                    counted += new
                    view_cursor = view.cursor
            case how:
                with open_log(tmp_path, "churn") as log:
                    for page, after in log.pages(cursor):
                        seen += [json.dumps(r, sort_keys=True) for r in page]
                        cursor = after
                        if how == "some":
                            break
    for writer in writers:
        writer.close()
    seal(tmp_path, "churn")
    with open_log(tmp_path, "churn") as log:
        for page, _ in log.pages(cursor):
            seen += [json.dumps(r, sort_keys=True) for r in page]
    with log_view(tmp_path, "churn", SCHEMA, cursor=view_cursor) as view:
        (new,) = view.connection.execute("SELECT count(*) FROM log").fetchone()
    assert counted + new == total == len(seen)
    ids = sorted((json.loads(s)["id"], json.loads(s)["at"]) for s in seen)
    assert ids == sorted((r["id"], r["at"]) for r in everything(tmp_path))


def test_rows_are_found_by_id(tmp_path: Path) -> None:
    body = b'{"rows": [{"age": 1, "n": 1, "plan": "a"}, {"age": 2, "n": 1, "plan": "a"}]}'
    first = f"{5000:019x}ffffffff"
    frame = LIVE.frame(1, first.encode(), 2, struct.pack("<2d", 0.1, 0.2), body)
    label = Frame.encode({"kind": "label", "at": "x", "model": "churn", "id": next_id(first, 1), "label": "1"})
    with write(tmp_path, "http-1", requests(1, 20)[0] + frame + label):
        for _ in range(2):
            row, given = find_rows(tmp_path, "churn", [next_id(first, 1)])
            assert (row["row"]["age"], row["p"], given["label"]) == (2, 0.2, "1")
            assert find_rows(tmp_path, "churn", ["nowhere"]) == []
            seal(tmp_path, "churn")


def test_old_rows_leave_and_do_not_come_back(tmp_path: Path) -> None:
    write(tmp_path, "http-1", requests(1, 20)[0]).close()
    kept = write(tmp_path, "http-2", requests(2, 20, start=99)[0])
    seal(tmp_path, "churn")
    day = 86400.0
    late = 1_700_000_000 + 100 * day
    with kept:  # its frames are still there: nothing of it may leave before they do
        assert seal(tmp_path, "churn", retain_s=90 * day, now=late).expired == 0
    seal(tmp_path, "churn")
    assert seal(tmp_path, "churn", retain_s=101 * day, now=late).expired == 0
    assert seal(tmp_path, "churn", retain_s=90 * day, now=late).expired > 0
    assert everything(tmp_path) == []


def test_erased_ids_are_gone_from_readers_and_from_the_disk(tmp_path: Path) -> None:
    frames, rows = requests(1, 20)
    more, others = requests(2, 20, start=500)
    with write(tmp_path, "http-1", frames) as writer:
        seal(tmp_path, "churn")
        writer.write_bytes(more)
        sealed, fresh = everything(tmp_path)[3]["id"], everything(tmp_path)[rows + 3]["id"]
        with log_view(tmp_path, "churn") as view:
            cursor = view.cursor
        gone = sum(r["id"] in (sealed, fresh) for r in everything(tmp_path))
        assert erase(tmp_path, "churn", [sealed, fresh]) >= 1
        assert len(everything(tmp_path)) == rows + others - gone
        assert find_rows(tmp_path, "churn", [sealed, fresh]) == []
        with log_view(tmp_path, "churn") as view:
            assert view.connection.execute("SELECT count(*) FROM log").fetchone() == (rows + others - gone,)
        assert everything(tmp_path, cursor) == []
    seal(tmp_path, "churn")
    assert not log_files(tmp_path, "churn")
    for segment in segments(tmp_path, "churn")[0]:
        assert fresh.encode() not in segment.path.read_bytes()
    assert len(everything(tmp_path)) == rows + others - gone
    assert everything(tmp_path, cursor) == []


def test_an_altered_segment_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "http-1", requests(1, 100)[0]).close()
    seal(tmp_path, "churn")
    (path,) = segment_files(tmp_path, "churn")
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes(data)
    with pytest.raises(Refused, match=path.name) as caught:
        everything(tmp_path)
    assert caught.value.code == "check.altered"


def test_a_prediction_is_found_with_what_is_known_of_it(tmp_path: Path) -> None:
    body = b'{"age": 1, "n": 1, "plan": "a", "customer": 7}'
    first = f"{5000:019x}00000000"
    shadow = Stream(model="churn", version=2, arm="shadow", riders=("customer",))
    at = 1_700_000_000_000_000
    frames = shadow.frame(at, first.encode(), 1, struct.pack("<d", 0.9), body)
    frames += LIVE.frame(at, first.encode(), 1, struct.pack("<d", 0.1), body, 17)
    frames += Frame.encode({"kind": "label", "at": "x", "model": "churn", "id": first, "label": "1"})
    write(tmp_path / "log", "http-1", frames).close()
    (tmp_path / "run").mkdir()
    record = [at, first, "trace", 1, 2, 3, 4, 5, 6, 21, 1, 40, 0, 0, False, None]
    kept = {"model": "churn", "version": 1, "seen": 1, "slow": [record], "sample": []}
    append_minute(tmp_path / "run", at // 1_000_000 // 60 * 60, [], [kept])
    for _ in range(2):
        found = find_prediction(tmp_path / "log", "churn", first)
        assert found is not None and (found.version, found.p, found.arm, found.us) == (1, 0.1, "live", 17)
        assert found.row == {"age": 1, "n": 1, "plan": "a"} and found.riders == {"customer": "7"}
        assert [o["p"] for o in found.others] == [0.9] and [r["label"] for r in found.labels] == ["1"]
        assert found.stages is not None and found.stages["total_us"] == 21
        seal(tmp_path / "log", "churn")
    assert find_prediction(tmp_path / "log", "churn", "nowhere") is None
    assert find_prediction(tmp_path / "log", "other", first) is None
