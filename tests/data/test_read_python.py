"""Dataframes, Arrow tables, SELECTs and what is none of these."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from ambidex.data.read import read
from ambidex.errors import DataError, NotFound, UsageError
from ambidex.insight.profile import profile

ROWS = {"age": [41, 30, 22], "plan": ["plus", None, "basic"], "income": [1.5, float("nan"), 2.0]}


@pytest.mark.parametrize(
    ("frame", "caller"),
    [
        (pd.DataFrame(ROWS), "pandas"),
        (pl.DataFrame(ROWS), "polars"),
        (pl.DataFrame(ROWS).lazy(), "polars"),
        (pa.table(ROWS), "pyarrow"),
        (pa.table(ROWS).to_batches()[0], "pyarrow"),
        (pa.table(ROWS).to_reader(), "pyarrow"),
    ],
)
def test_dataframes_come_in_and_the_caller_is_remembered(frame: Any, caller: str) -> None:
    table = read(frame)
    assert (table.rows, table.columns, table.caller) == (3, ["age", "plan", "income"], caller)
    assert table.text("age").tolist() == ["41", "30", "22"]
    assert table.text("plan").tolist() == ["plus", None, "basic"]
    assert table.number("income")[[0, 2]].tolist() == [1.5, 2.0]
    assert np.isnan(table.number("income")[1])
    assert table.source is None


def test_a_table_is_itself() -> None:
    table = read(pa.table(ROWS))
    assert read(table) is table


def test_duckdb_relation() -> None:
    import duckdb

    table = read(duckdb.sql("SELECT 1 AS a, 'x' AS b"))
    assert table.columns == ["a", "b"]


@pytest.mark.parametrize(
    ("what", "hint"),
    [
        (42, "path"),
        (None, "path"),
        ([{"a": 1}], "pandas.DataFrame(rows)"),
        ({"a": [1]}, "pandas.DataFrame(columns)"),
        ((r for r in [{"a": 1}]), "list(rows)"),
        (np.zeros((2, 2)), "columns="),
        (pd.Series([1, 2]), "to_frame"),
        (pl.Series([1, 2]), "to_frame"),
        (object(), "path"),
        (b"t.csv", "path"),
    ],
)
def test_anything_else_is_a_usage_error_that_says_what_a_table_may_be(what: Any, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(what)
    assert caught.value.code == "usage.type"
    assert "`table`" in caught.value.message
    assert hint in (caught.value.do or "")


def test_generator_is_not_consumed() -> None:
    rows = (r for r in [{"a": 1}])
    with pytest.raises(UsageError):
        profile(read(rows))
    assert next(rows) == {"a": 1}


def test_frame_without_rows() -> None:
    frame = pd.DataFrame(ROWS).head(0)
    with pytest.raises(DataError) as caught:
        read(frame)
    assert caught.value.code == "data.empty" and "0 rows" in caught.value.message


def test_frame_without_columns() -> None:
    with pytest.raises(DataError, match=r"data\.empty"):
        read(pd.DataFrame())


def test_integer_column_names_become_text_and_are_found_as_integers() -> None:
    table = read(pd.DataFrame(np.arange(6.0).reshape(3, 2)))
    assert table.columns == ["0", "1"]
    assert table.number(0).tolist() == [0, 2, 4]  # type: ignore[arg-type]


def test_numbers_and_texts_in_one_object_column_are_counted() -> None:
    frame = pd.DataFrame({"age": pd.Series([1, "two", 3.0, None] * 50, dtype=object)})
    before = frame.copy()
    table = read(frame)
    facts = table.facts("age")
    assert (facts.type, facts.missing, facts.not_numbers) == ("integer", 100, {"two": 50})
    assert "`age` holds 50 texts among numbers" in profile(table).cautions[0].text
    pd.testing.assert_frame_equal(frame, before)


def test_two_columns_of_one_name_in_a_frame() -> None:
    with pytest.raises(DataError, match=r"columns 1 and 2"):
        read(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_a_named_index_is_not_lost_silently() -> None:
    table = read(pd.DataFrame({"a": [1, 2]}, index=pd.Index([7, 8], name="user")))
    assert "reset_index" in table.cautions[0][1]


def test_categories_lists_and_binary_become_plain() -> None:
    arrow = pa.table(
        {
            "c": pa.array(["x", "y", "x"]).dictionary_encode(),
            "l": pa.array([[1, 2], None, []]),
            "b": pa.array([b"\x00", b"\x01", None]),
            "n": pa.nulls(3),
            "s": pa.array(["a", "b", None], pa.large_string()),
        }
    )
    table = read(arrow)
    assert table.text("c").tolist() == ["x", "y", "x"]
    assert table.text("l").tolist() == ["[1, 2]", None, "[]"]
    assert table.facts("n").type == "empty"
    assert len(table.cautions) == 2


def test_intervals_periods_and_durations_of_pandas() -> None:
    frame = pd.DataFrame(
        {
            "i": pd.cut([1, 2, 3], 2),
            "p": pd.period_range("2024-01", periods=3, freq="M"),
            "d": pd.to_timedelta([1, 2, 3], unit="D"),
        }
    )
    table = read(frame)
    assert table.text("i").tolist()[2] == "(2.0, 3.0]"
    assert table.text("p").tolist()[0] == "2024-01"
    assert table.number("d").tolist() == [86400, 172800, 259200]


def test_objects_and_impossible_times_are_refused() -> None:
    with pytest.raises(DataError, match="Python objects"):
        read(pl.DataFrame({"a": [object()]}, schema={"a": pl.Object}))
    with pytest.raises(DataError, match=r"data\.range"):
        read(pa.table({"a": pa.array([10**18], pa.timestamp("s"))}))


def test_spelling_of_typed_cells() -> None:
    arrow = pa.table(
        {
            "bool": [True, False, None],
            "whole": [1.0, -2.0, 1e15],
            "float": [0.1, 1e-7, 1.5e300],
            "decimal": pa.array([Decimal("1.50"), Decimal("2.00"), None], pa.decimal128(6, 2)),
            "day": [date(2024, 1, 31), None, date(1969, 12, 31)],
            "naive": [datetime(2024, 1, 31, 10, 0), datetime(2024, 1, 31, 10, 0, 0, 250_000), None],
            "zoned": [datetime(2024, 1, 31, 10, 0, tzinfo=UTC), None, None],
        }
    )
    table = read(arrow)
    assert {c: table.text(c).tolist() for c in table.columns} == {
        "bool": ["True", "False", None],
        "whole": ["1", "-2", "1000000000000000"],
        "float": ["0.1", "1e-07", "1.5e+300"],
        "decimal": ["1.50", "2", None],
        "day": ["2024-01-31", None, "1969-12-31"],
        "naive": ["2024-01-31T10:00:00", "2024-01-31T10:00:00.25", None],
        "zoned": ["2024-01-31T10:00:00Z", None, None],
    }


def test_floats_are_spelled_as_python_spells_them() -> None:
    rng = np.random.default_rng(5)
    values = np.concatenate([rng.normal(size=2000) * 10.0 ** rng.integers(-12, 18, 2000), [-0.0, 5e-324, 2.0**63]])
    expected = [str(int(v)) if v.is_integer() and abs(v) < 2**63 else repr(v) for v in values.tolist()]
    assert read(pa.table({"v": values})).text("v").tolist() == expected


def test_booleans_are_numbers_too_but_labels_first(tmp_path: Path) -> None:
    path = tmp_path / "b.csv"
    path.write_text("f,g\nTRUE,yes\nFALSE,no\n,\n")
    table = read(path)
    assert table.number("f")[:2].tolist() == [1, 0]
    assert table.text("f").tolist() == ["TRUE", "FALSE", None]
    assert np.isnan(table.number("g")).all()


def test_table_methods() -> None:
    table = read(pa.table({"a": [1, 2, 3], "b": ["x", "y", "z"]}))
    assert table.take(np.array([True, False, True])).text("b").tolist() == ["x", "z"]
    assert table.take([2, 0]).text("b").tolist() == ["z", "x"]
    assert table.take([]).rows == 0
    assert table.head(1).rows == 1
    assert table.select(["b"]).columns == ["b"]
    assert table.without(["b"]).columns == ["a"]
    assert table.with_column("c", np.array([1.0, np.nan, 3.0])).facts("c").missing == 1
    assert table.with_column("a", ["p", "q", "r"]).columns == ["a", "b"]
    with pytest.raises(DataError):
        table.with_column("c", [1])
    with pytest.raises(NotFound) as caught:
        table.number("aa")
    assert caught.value.code == "data.no-column" and "`a`" in caught.value.message


def test_select_over_files(tmp_path: Path) -> None:
    path = tmp_path / "it's.csv"
    path.write_text("age,plan\n1,a\n2,b\n3,b\n")
    other = tmp_path / "secret.csv"
    other.write_text("k\n1\n")
    quoted = str(path).replace("'", "''")
    table = read(f"select plan, sum(age) as total from '{quoted}' group by plan order by plan")
    assert table.number("total").tolist() == [1, 5]
    assert table.files == (str(path),)
    for statement, word in [
        (f"SELECT 1; DROP TABLE t; SELECT * FROM '{quoted}'", "one SELECT"),
        ("SELECT * FROM nowhere", "nowhere"),
        (f"SELECT * FROM read_csv('{tmp_path}/*.csv')", "glob"),
        ("SELECT * FROM glob('/etc/*')", "SELECT"),
        ("WITH x AS (SELECT 1) INSERT INTO y SELECT * FROM x", "SELECT"),
        ("SELECT getenv('HOME') FROM", "SELECT"),
    ]:
        with pytest.raises(DataError) as caught:
            read(statement)
        assert caught.value.code == "data.sql", statement
        assert word in str(caught.value)
    with pytest.raises(NotFound, match="no such file"):
        read(f"SELECT * FROM '{tmp_path}/its.csv'")


def test_select_sees_no_python_variable() -> None:
    frame = pd.DataFrame({"a": [1]})
    with pytest.raises(DataError):
        read("SELECT * FROM frame")
    assert len(frame) == 1


def test_arrow_files(tmp_path: Path) -> None:
    arrow = pa.table({"a": [1, 2]})
    with pa.OSFile(str(tmp_path / "f.arrow"), "wb") as sink, pa.ipc.new_file(sink, arrow.schema) as writer:
        writer.write_table(arrow)
    with pa.OSFile(str(tmp_path / "s.arrow"), "wb") as sink, pa.ipc.new_stream(sink, arrow.schema) as writer:
        writer.write_table(arrow)
    for name in ("f.arrow", "s.arrow"):
        assert read(tmp_path / name).number("a").tolist() == [1, 2]
    whole = (tmp_path / "f.arrow").read_bytes()
    (tmp_path / "f.arrow").write_bytes(whole[:-20])
    with pytest.raises(DataError, match="cut off"):
        read(tmp_path / "f.arrow")


def test_reading_leaves_the_locked_connection_locked() -> None:
    import duckdb

    from ambidex.data.sql import connect

    connection = connect()
    for statement in (
        "SET enable_external_access = true",
        "SELECT * FROM read_csv('/etc/passwd')",
        "COPY (SELECT 1) TO '/tmp/ambidex-should-not-exist.csv'",
        "INSTALL httpfs",
        "ATTACH '/tmp/ambidex-should-not-exist.db'",
    ):
        with pytest.raises(duckdb.Error):
            connection.execute(statement)
    connection.close()
    assert not Path("/tmp/ambidex-should-not-exist.csv").exists()


def test_a_column_cannot_be_changed_by_who_asked_for_it(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a\n1\n2\n")
    table = read(path)
    for values in (table.number("a"), table.text("a")):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 9
