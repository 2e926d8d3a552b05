"""Every bad CSV of the shared cases, and the kinds around them: what is said, with which code."""

from __future__ import annotations

import json
import os
import random
import resource
import time
from pathlib import Path

import numpy as np
import pytest

from ambidex.data.read import read
from ambidex.data.table import Table
from ambidex.errors import AmbidexError, DataError, NotFound, UsageError
from ambidex.insight.profile import profile
from support import shared


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(path: Path | str) -> AmbidexError:
    with pytest.raises(AmbidexError) as caught:
        read(path)
    error = caught.value
    assert error.exit_code == 3
    assert error.where and error.found and error.do, error
    return error


def said(table: Table) -> str:
    return "\n".join(c.text for c in profile(table).cautions)


def rows(count: int = 200) -> list[str]:
    return ["age,income,plan,churned"] + [f"{20 + i % 50},{1000 + i},basic,{i % 2}" for i in range(count - 1)]


def test_no_such_file_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, "customers.csv", "a,b\n1,2\n")
    error = refused(tmp_path / "costumers.csv")
    assert isinstance(error, NotFound)
    assert error.code == "data.no-file"
    assert "customers.csv" in error.message
    assert "customers.csv" in (error.do or "")


def test_no_such_folder(tmp_path: Path) -> None:
    assert "not there either" in (refused(tmp_path / "no" / "t.csv").found or "")


@pytest.mark.parametrize("kind", ["device", "pipe"])
def test_devices_and_pipes_are_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = Path("/dev/zero")
    if kind == "pipe":
        path = tmp_path / "p.csv"
        os.mkfifo(path)
    before = time.monotonic()
    error = refused(path)
    assert time.monotonic() - before < 2
    assert error.code == "data.not-a-file"
    assert ("character device" if kind == "device" else "FIFO") in error.message


def test_empty_file(tmp_path: Path) -> None:
    error = refused(write(tmp_path, "e.csv", ""))
    assert (error.code, error.found) == ("data.empty", "0 bytes")


@pytest.mark.parametrize("content", ["age,income\n", "age,income", "age,income\n\n\n", "﻿age,income\r\n"])
def test_header_only_says_0_rows(tmp_path: Path, content: str) -> None:
    error = refused(write(tmp_path, "h.csv", content))
    assert error.code == "data.empty"
    assert "0 rows" in error.message


def test_blank_lines_only(tmp_path: Path) -> None:
    assert refused(write(tmp_path, "b.csv", "\n\r\n\n")).code == "data.empty"


@pytest.mark.parametrize("extra", [",x", ",", ',"a,b"'])
def test_one_field_too_many_names_the_line_and_both_counts(tmp_path: Path, extra: str) -> None:
    lines = rows()
    lines[56] += extra
    error = refused(write(tmp_path, "r.csv", "\n".join(lines) + "\n"))
    assert error.code == "data.ragged"
    assert "line 57" in error.message
    assert "5 fields" in error.message and "4 of the header" in error.message


def test_one_field_too_few_after_quoted_line_breaks(tmp_path: Path) -> None:
    error = refused(write(tmp_path, "r.csv", 'a,b\n"two\nlines",1\n5\n'))
    assert error.code == "data.ragged"
    assert "line 4" in error.message
    assert "1 fields" in error.message or "1 field" in error.message


def test_quote_never_closed_names_the_line_it_opens_on(tmp_path: Path) -> None:
    error = refused(write(tmp_path, "q.csv", 'age,plan,churned\n1,"basic,0\n2,basic,1\n'))
    assert error.code == "data.quote"
    assert "line 2" in error.message


def test_quote_closed_by_a_later_one_names_the_line_it_opens_on(tmp_path: Path) -> None:
    error = refused(write(tmp_path, "q.csv", 'age,plan\n1,"basic\n2,"plus"\n3,basic\n'))
    assert error.code == "data.quote"
    assert "line 2" in error.message and "line 3" in (error.found or "")


def test_quote_open_in_the_header(tmp_path: Path) -> None:
    error = refused(write(tmp_path, "q.csv", 'age,"plan\n1,2\n'))
    assert error.code == "data.quote"
    assert "line 1" in error.message


def test_duplicate_column_names_both_positions(tmp_path: Path) -> None:
    error = refused(write(tmp_path, "d.csv", "age,age,churned\n1,2,0\n3,4,1\n"))
    assert error.code == "data.duplicate-column"
    assert "`age`" in error.message and "columns 1 and 2" in error.message


def test_empty_column_name_is_named_by_position(tmp_path: Path) -> None:
    table = read(write(tmp_path, "n.csv", "age,,churned\n1,2,0\n3,4,1\n"))
    assert table.columns == ["age", "column_2", "churned"]
    assert "column 2" in said(table)


def test_latin_1_is_read_and_said(tmp_path: Path) -> None:
    table = read(
        write(tmp_path, "l.csv", bytes.fromhex("6e616d652c6167652c636875726e65640a4a6f73e92c312c300a416e612c322c310a"))
    )
    assert table.text("name").tolist() == ["José", "Ana"]
    assert "Latin-1" in said(table) and "line 2" in said(table)


def test_utf_16_is_read_and_said(tmp_path: Path) -> None:
    table = read(write(tmp_path, "u.csv", "name,age\nJosé,1\nAna,2\n".encode("utf-16")))
    assert table.text("name").tolist() == ["José", "Ana"]
    assert "UTF-16" in said(table)


def test_utf_8_cut_inside_a_character(tmp_path: Path) -> None:
    table = read(write(tmp_path, "c.csv", b"name,age\nAna,1\nJose,\xc3"))
    assert "Latin-1" in said(table)


@pytest.mark.parametrize(
    ("head", "word"),
    [
        (bytes.fromhex("89504e470d0a1a0a0000000d49484452"), "PNG"),
        (b"PK\x03\x04rest", "ZIP"),
        (b"\x1f\x8b\x08rest", "GZIP"),
        (b"%PDF-1.7\n", "PDF"),
        (b"SQLite format 3\x00", "SQLite"),
        (b"\x7fELF\x02\x01", "ELF"),
        (b"a,b\n1,\x002\n", "NUL"),
        (b"<!DOCTYPE html><html></html>", "HTML"),
        (b'[{"a": 1}]', "JSON"),
        (b'{"a": 1}\n{"a": 2}\n', "JSON"),
    ],
)
def test_other_formats_are_named(tmp_path: Path, head: bytes, word: str) -> None:
    error = refused(write(tmp_path, "p.csv", head))
    assert error.code == "data.format"
    assert word in error.message


def test_nul_far_into_the_file_is_found(tmp_path: Path) -> None:
    error = refused(write(tmp_path, "n.csv", b"a,b\n" + b"1,2\n" * 40_000 + b"1,\x00\n"))
    assert error.code == "data.format"
    assert "line 40002" in (error.where or "")


def test_injection_in_a_column_name_stays_text(tmp_path: Path) -> None:
    path = write(tmp_path, "i.csv", '"a""; DROP TABLE t; --",churned\n1,0\n2,1\n')
    table = read(path)
    assert table.columns == ['a"; DROP TABLE t; --', "churned"]
    assert table.number('a"; DROP TABLE t; --').tolist() == [1, 2]
    profile(table, target="churned")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["i.csv"]


def test_separator_in_a_path_that_needs_quoting(tmp_path: Path) -> None:
    assert read(write(tmp_path, "it's; odd.csv", "a;b\n1;2\n")).columns == ["a", "b"]


def test_grouped_numbers_and_words_for_missing_are_named_and_counted(tmp_path: Path) -> None:
    table = read(write(tmp_path, "t.csv", 'income,churned\n"1,234",0\nN/A,1\n-,0\n"2,000",1\n'))
    assert table.number("income").tolist()[0] == 1234
    assert [round(v) for v in table.number("income")[[0, 3]]] == [1234, 2000]
    facts = table.facts("income")
    assert (facts.type, facts.missing, facts.not_numbers) == ("integer", 2, {"N/A": 1, "-": 1})
    text = said(table)
    assert "`income` writes 2 numbers with thousands commas" in text and "read as 1234" in text
    assert "`N/A` 1, `-` 1" in text


def test_decimal_commas_are_not_taken_for_thousands(tmp_path: Path) -> None:
    table = read(write(tmp_path, "d.csv", "price;n\n1,5;1\n1,234;2\n3;3\n"))
    assert table.columns == ["price", "n"]
    assert table.number("price").tolist() == [1.5, 1.234, 3.0]
    assert [p["code"] for p in table.facts("price").problems] == ["decimal-commas"]


def test_infinities_are_named_and_counted(tmp_path: Path) -> None:
    table = read(write(tmp_path, "v.csv", "age,churned\ninf,0\n1e400,1\n-inf,0\n3,1\n"))
    assert [v == v for v in table.number("age")] == [False, False, False, True]
    assert "`age` holds 3 infinite values" in said(table)


def test_mixed_zones_say_how_naive_times_were_read(tmp_path: Path) -> None:
    lines = "t,churned\n2024-01-01T00:00:00Z,0\n2024-01-01T00:00:00,1\n2024-01-01T00:00:00+05:30,0\n"
    table = read(write(tmp_path, "z.csv", lines))
    assert table.facts("t").type == "time"
    text = said(table)
    assert "`t` mixes 2 times with a zone (Z, +05:30) and 1 without; those without are read as UTC" in text
    assert str(table.moments("t")[2]) == "2023-12-31T18:30:00.000000"


@pytest.mark.slow
def test_20_000_columns_within_a_minute_and_2_gib(tmp_path: Path) -> None:
    width = 20_000
    lines = [",".join([f"c{i}" for i in range(width)] + ["churned"])]
    lines += [",".join([str((i * 7 + r) % 10) for i in range(width)] + [str(r % 2)]) for r in range(5)]
    before = time.process_time()
    answer = profile(read(write(tmp_path, "wide.csv", "\n".join(lines))), target="churned")
    assert time.process_time() - before < 60
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 2 << 20
    assert any(c.code == "wide" and "too few" in c.text for c in answer.cautions)
    assert answer.recommendation.verdict == "not-enough-evidence"


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators(tmp_path: Path, separator: str) -> None:
    lines = ["name,age,note".replace(",", separator)] + [f"n{i}{separator}{i},5{separator}x" for i in range(30)]
    if separator == ",":
        lines = ["name,age,note"] + [f"n{i},{i},x;y|z" for i in range(30)]
    table = read(write(tmp_path, "s.csv", "\n".join(lines)))
    assert table.columns == ["name", "age", "note"]
    assert table.rows == 30


def test_quoted_line_breaks_and_doubled_quotes(tmp_path: Path) -> None:
    table = read(write(tmp_path, "q.csv", 'a,b\r\n"x\r\ny","he said ""no"""\r\n,""\r\n'))
    assert table.text("a").tolist() == ["x\r\ny", None]
    assert table.text("b").tolist() == ['he said "no"', None]


def test_byte_order_mark_of_cookie_cats() -> None:
    table = read(shared("data/experiments/cookie_cats.csv"))
    assert (table.rows, table.columns[0]) == (90_189, "userid")
    assert table.text("retention_7")[0] == "FALSE"


def test_semicolons_of_the_bank() -> None:
    table = read(shared("data/campaigns/bank_additional_full.csv"))
    assert (table.rows, len(table.columns)) == (41_188, 21)


def test_labels_keep_their_spelling(tmp_path: Path) -> None:
    table = read(write(tmp_path, "k.csv", "a,b,c,d\nYes,true,007,1.50\nNo,false,010,2\n"))
    spelled = [table.text(c).tolist() for c in "abcd"]
    assert spelled == [["Yes", "No"], ["true", "false"], ["007", "010"], ["1.50", "2"]]


def test_folder_with_differing_columns_names_file_and_column(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", "x,y\n1,2\n")
    write(tmp_path, "b.csv", "x,z\n1,2\n")
    error = refused(tmp_path)
    assert error.code == "data.schema"
    assert "b.csv lacks `y` and adds `z`" in error.message


def test_folder_and_glob_join_files_in_any_column_order(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", "x,y\n1,2\n")
    write(tmp_path, "b.csv", "y,x\n4,3\n")
    write(tmp_path, ".hidden.csv", "q\n1\n")
    for what in (tmp_path, str(tmp_path / "*.csv")):
        table = read(what)
        assert table.number("x").tolist() == [1, 3]
        assert len(table.files) == 2
    assert refused(str(tmp_path / "*.parquet")).code == "data.no-file"


def test_folder_without_tables(tmp_path: Path) -> None:
    write(tmp_path, "readme.md", "hello")
    assert "readme.md" in (refused(tmp_path).found or "")


def test_parquet_cut_off_and_damaged(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / "p.parquet"
    parquet.write_table(pa.table({"a": list(range(1000))}), path)
    whole = path.read_bytes()
    assert read(path).rows == 1000
    path.write_bytes(whole[: len(whole) // 2])
    error = refused(path)
    assert error.code == "data.format" and "cut off" in error.message
    path.write_bytes(whole[:4] + bytes(60) + whole[64:])
    assert "damaged" in refused(path).message


def test_file_that_changes_while_it_is_read(tmp_path: Path) -> None:
    from ambidex.data.files import snapshot

    path = write(tmp_path, "g.csv", "a\n1\n")
    before = snapshot(path)
    path.write_text("a\n1\n2\n")
    with pytest.raises(DataError, match=r"data\.changed"):
        before.verify()


def test_a_header_that_reads_like_values_is_said(tmp_path: Path) -> None:
    assert "is it missing?" in said(read(write(tmp_path, "n.csv", "1,2,x\n3,4,y\n5,6,z\n")))


def test_lines_above_the_header_are_said(tmp_path: Path) -> None:
    error = refused(write(tmp_path, "c.csv", "# made today\na,b\n1,2\n"))
    assert error.code == "data.ragged" and "above the real one" in (error.do or "")


@pytest.mark.parametrize("path", ["x" * 5000, "a\0b", "~nobody-here/t.csv", "no\nsuch.csv"])
def test_paths_that_no_system_takes(path: str) -> None:
    assert refused(path).code == "data.no-file"


def test_control_characters_do_not_reach_a_terminal(tmp_path: Path) -> None:
    table = read(write(tmp_path, "c.csv", '"a\nb",n\n1,\x1b[31mred\n2,5\n3,6\n'))
    assert "\x1b" not in said(table) and "\\x1b[31mred" in said(table)


def test_an_address_is_no_table() -> None:
    with pytest.raises(UsageError):
        read("postgresql://user:secret@host/db")
    try:
        read("postgresql://user:secret@host/db")
    except UsageError as e:
        assert "secret" not in str(e)


def test_cells_are_those_of_the_csv_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random small files: the same cells as Python's strict reader, or an error where that has one."""
    import csv
    import io

    from ambidex.data import shape

    pieces = ["1", "", "a b", " ", '""', '"a,b"', '"a""b"', '"l\nm"', 'a"b', '"a"b', '"', ";", "é", "NULL", '"\r\n"']
    rng = random.Random(11)
    path = tmp_path / "f.csv"
    for _ in range(250):
        monkeypatch.setattr(shape, "CHUNK", rng.choice([1, 7, 64, 1 << 20]))
        width, end = rng.randint(1, 4), rng.choice(["\n", "\r\n", "\r"])
        lines = [",".join(f"h{i}" for i in range(width))]
        for _ in range(rng.randint(0, 6)):
            fields = width if rng.random() < 0.93 else rng.randint(1, 5)
            lines.append(",".join(rng.choice(pieces) for _ in range(fields)) if rng.random() < 0.95 else "")
        text = end.join(lines) + (end if rng.random() < 0.7 else "")
        path.write_text(text, newline="", encoding="utf-8")
        try:
            expected = [r for r in csv.reader(io.StringIO(text, newline=""), strict=True) if r]
            sound = len(expected) > 1 and all(len(r) == width for r in expected)
        except csv.Error:
            sound = False
        if sound:
            got = [list(r.values()) for r in read(path).arrow.to_pylist()]
            assert got == [[c or None for c in r] for r in expected[1:]], text
        else:
            assert refused(path).code in ("data.ragged", "data.quote", "data.empty"), text


def test_the_shared_cases_are_all_here() -> None:
    path = shared("badinput/cases.jsonl")
    cases = [json.loads(line) for line in path.read_text().splitlines()]
    ids = {c["id"] for c in cases if c["surface"] == "csv"}
    # 013, 014, 016 and 018 are questions to drivers and experiment, tested there.
    assert ids == {f"csv-{i:03d}a" for i in range(1, 20)}


def test_dates_written_in_several_ways_are_told(tmp_path: Path) -> None:
    lines = [f"2024-01-{d:02};1\n{d:02}/01/2024;2\nJan {d}, 2024;3\n" for d in range(1, 29)]
    table = read(write(tmp_path, "t.csv", "day;n\n" + "".join(lines)))
    (problem,) = table.facts("day").problems
    assert problem["code"] == "mixed-dates" and "day first" in problem["text"]
    assert len(np.unique(table.times("day").values)) == 28
