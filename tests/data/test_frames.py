"""The log on disk: what was written comes back, what was torn is cut."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ambidex.data.frames import Frame, FrameWriter, log_files, read_frames

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
