"""The log on disk: what was written comes back, what was torn is cut."""

from __future__ import annotations

import json
import os
import stat
import struct
from pathlib import Path

import pytest

from ambidex.data.frames import Frame, FrameWriter, Stream, log_files, read_frames
from ambidex.data.privacy import Privacy, log_key

PAYLOADS = [{"id": f"r{i}", "row": {"age": i, "plan": "é"}, "p": i / 7} for i in range(20)]


def test_written_frames_come_back_and_reading_goes_on_from_the_offset(tmp_path: Path) -> None:
    path = tmp_path / "churn" / "1.frames"
    with FrameWriter(path) as log:
        log.write(PAYLOADS[:5])
        frames, offset = read_frames(path)
        assert frames == PAYLOADS[:5]
        assert log.write([]) == 0
        log.write(PAYLOADS[5:])
        assert read_frames(path, offset) == (PAYLOADS[5:], path.stat().st_size)
        log.sync()
    log.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert log_files(tmp_path, "churn") == [path]
    assert log_files(tmp_path, "other") == []


def test_every_torn_tail_is_cut_at_the_last_whole_frame(tmp_path: Path) -> None:
    whole = b"".join(Frame.encode(p) for p in PAYLOADS[:2])
    first = len(Frame.encode(PAYLOADS[0]))
    path = tmp_path / "t.frames"
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        frames, offset = read_frames(path)
        assert frames == PAYLOADS[: 1 if cut >= first else 0]
        assert offset == (first if cut >= first else 0)


def test_every_flipped_bit_of_the_last_frame_is_found(tmp_path: Path) -> None:
    frame = Frame.encode(PAYLOADS[3])
    for bit in range(8 * len(frame)):
        broken = bytearray(frame)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match="one whole frame"):
            Frame.decode(bytes(broken))


def test_a_writer_cuts_what_a_killed_one_left(tmp_path: Path) -> None:
    path = tmp_path / "t.frames"
    path.write_bytes(Frame.encode(PAYLOADS[0]) + Frame.encode(PAYLOADS[1])[:-3])
    with FrameWriter(path) as log:
        log.write([PAYLOADS[2]])
    assert read_frames(path)[0] == [PAYLOADS[0], PAYLOADS[2]]


def test_a_short_write_is_an_error_and_leaves_no_torn_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.frames"
    write = os.write
    with FrameWriter(path) as log:
        log.write(PAYLOADS[:1])
        monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[: len(data) // 2]))
        with pytest.raises(OSError, match="bytes were taken"):
            log.write(PAYLOADS[1:3])
        monkeypatch.setattr(os, "write", write)
        log.write(PAYLOADS[3:4])
    assert read_frames(path)[0] == [PAYLOADS[0], PAYLOADS[3]]


def test_zeros_at_the_end_are_no_frames(tmp_path: Path) -> None:
    path = tmp_path / "t.frames"
    path.write_bytes(Frame.encode(PAYLOADS[0]) + bytes(64))
    assert read_frames(path)[0] == PAYLOADS[:1]


STREAM = Stream(model="churn", version=3, riders=("customer_id", "age"), inputs_too=("age",))


def test_a_request_frame_gives_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.frames"
    body = b'{"rows": [{"age": 41, "plan": "\xc3\xa9", "customer_id": 7.0}, {"age": null, "plan": "b"}]}'
    frame = STREAM.frame(
        1_700_000_000_000_001, b"0193a4f0000a1b2c3d4ffffffff", 2, struct.pack("<2d", 0.25, 0.5), body, 12
    )
    with FrameWriter(path) as log:
        log.write(PAYLOADS[:1])
        log.write_bytes(frame)
        log.write(PAYLOADS[1:2])
    rows, end = read_frames(path)
    assert end == path.stat().st_size
    assert rows[0] == PAYLOADS[0] and rows[3] == PAYLOADS[1]
    said = {
        "at": "2023-11-14T22:13:20.000001Z", "model": "churn", "version": 3, "source": "http", "arm": "live", "us": 12,
    }  # fmt: skip
    assert rows[1] == {
        **said, "id": "0193a4f0000a1b2c3d4ffffffff", "row": {"age": 41, "plan": "é"},
        "riders": {"customer_id": "7", "age": "41"}, "p": 0.25,
    }  # fmt: skip
    assert rows[2] == {
        **said, "id": "0193a4f0000a1b2c3d400000000", "row": {"age": None, "plan": "b"}, "riders": {}, "p": 0.5,
    }  # fmt: skip


def test_a_bare_row_a_list_of_scores_and_a_failure(tmp_path: Path) -> None:
    listed = Stream(model="iris", version=1, arm="canary", listed=True)
    frame = listed.frame(0, b"0" * 27, 1, struct.pack("<3d", 0.2, 0.3, 0.5), b'{"rows": "a column of that name"}')
    row = Frame.decode(frame)
    assert (row["p"], row["row"], row["arm"]) == ([0.2, 0.3, 0.5], {"rows": "a column of that name"}, "canary")
    failed = Stream(model="iris", version=2, arm="shadow", error="http.model")
    row = Frame.decode(failed.frame(0, b"0" * 27, 1, b"", b'{"a": 1}'))
    assert (row["p"], row["error"], row["row"]) == (None, "http.model", {"a": 1})


def test_every_flipped_bit_of_a_request_frame_is_found() -> None:
    frame = STREAM.frame(1, b"0" * 27, 1, struct.pack("<d", 0.5), b'{"age": 1}')
    for bit in range(8 * len(frame)):
        broken = bytearray(frame)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match="one whole frame"):
            Frame.decode(bytes(broken))


def test_one_writer_a_file(tmp_path: Path) -> None:
    with FrameWriter(tmp_path / "t.frames"), pytest.raises(OSError, match="unavailable"):
        FrameWriter(tmp_path / "t.frames")


def test_frames_larger_than_a_piece_of_reading(tmp_path: Path) -> None:
    large = [{"id": str(i), "text": "x" * size} for i, size in enumerate((3 << 20, 10, 1 << 20, 0))]
    with FrameWriter(tmp_path / "t.frames") as log:
        log.write(large)
    assert read_frames(tmp_path / "t.frames")[0] == large


def test_privacy(tmp_path: Path) -> None:
    key = log_key(tmp_path)
    assert key == log_key(tmp_path) and len(key) == 32
    rule = Privacy(hashed=frozenset({"email"}), dropped=frozenset({"ssn"}), key=key)
    kept = json.loads(rule.body(b'{"rows": [{"email": "a@b.c", "ssn": 1, "age": 4}, {"email": null, "age": 5}]}'))
    assert kept == {"rows": [{"email": rule.hash("a@b.c"), "age": 4}, {"email": None, "age": 5}]}
    assert json.loads(rule.body(b'{"ssn": 1, "age": 4}')) == {"rows": [{"age": 4}]}
    assert rule.hash("a@b.c") != Privacy(key=b"other").hash("a@b.c")
