"""Fingerprints: the same rows are the same, whichever order, file or engine; new rows are counted."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from ambidex.data.fingerprint import holdout, manifest, new_rows, row_hash, row_hashes
from ambidex.data.read import read
from support import shared


def test_the_stated_function_is_the_one_computed() -> None:
    table = read(pa.table({"a": ["x", None], "b": [1, 2], "c": [0.5, 2.0]}))
    lines = ["x\x1f1\x1f0.5", "\x1e\x1f2\x1f2"]
    expected = [int.from_bytes(hashlib.md5(v.encode()).digest()[8:], "little") for v in lines]
    assert row_hashes(table).tolist() == expected
    assert row_hash(row_hashes(table)) == f"2-{sum(expected) % 2**64:016x}"


def test_duckdb_computes_the_same() -> None:
    import duckdb

    table = read(pa.table({"a": ["x", "é"], "b": ["1", "2"]}))
    found = duckdb.sql("SELECT md5_number_lower(v) FROM (VALUES ('x\x1f1'), ('é\x1f2')) t(v)").fetchall()
    assert row_hashes(table).tolist() == [r[0] for r in found]


def test_order_and_files_do_not_matter_but_every_cell_does(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("a,b\n1,x\n2,\n3,z\n")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "1.csv").write_text("a,b\n3,z\n")
    (tmp_path / "two" / "2.csv").write_text("a,b\n2,\n1,x\n")
    parquet.write_table(pa.table({"a": [1, 2, 3], "b": ["x", None, "z"]}), tmp_path / "three.parquet")
    prints = {manifest(read(tmp_path / n)).fingerprint for n in ("one.csv", "two", "three.parquet")}
    assert len(prints) == 1
    (tmp_path / "one.csv").write_text("a,b\n1,x\n2,\n3,Z\n")
    assert manifest(read(tmp_path / "one.csv")).fingerprint not in prints
    (tmp_path / "one.csv").write_text("a,b\n1,x\n2,\n3,z\n3,z\n")
    assert manifest(read(tmp_path / "one.csv")).fingerprint not in prints


def test_manifest_names_files_relative_to_the_base(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "t.csv"
    path.write_text("a\n1\n")
    m = manifest(read(path), base=tmp_path, parent="p")
    assert (m.source, m.files[0].name, m.files[0].size, m.parent) == ("data/t.csv", "data/t.csv", 4, "p")
    assert m.files[0].sha256 == hashlib.sha256(b"a\n1\n").hexdigest()
    assert type(m).from_json(m.to_json()) == m


def test_holdout_is_a_fifth_and_keeps_every_unit_on_its_side() -> None:
    telco = read(shared("data/churn/telco_customer_churn.csv"))
    side = holdout(telco, "customerID")
    assert abs(side.mean() - 0.2) < 0.02
    shuffled = np.random.default_rng(0).permutation(telco.rows)[:4000]
    assert (holdout(telco.take(shuffled), "customerID") == side[shuffled]).all()
    log = read(shared("data/segments/cdnow_master.csv"))
    units = log.text("customer_id")
    of = holdout(log, "customer_id")
    assert len(set(units[of]) & set(units[~of])) == 0
    assert abs(holdout(log, None).mean() - 0.2) < 0.01


def test_holdout_key_as_number_or_text_is_the_same_side() -> None:
    text, number = read(pa.table({"k": ["1", "2", "3"]})), read(pa.table({"k": [1.0, 2.0, 3.0]}))
    assert holdout(text, "k").tolist() == holdout(number, "k").tolist()
    assert not holdout(read(pa.table({"k": pa.array([None, None], pa.string())})), "k").any()


def test_new_rows_count_repeats() -> None:
    def h(*values: int) -> np.ndarray:
        return np.array(values, dtype=np.uint64)

    assert new_rows(h(), h()) == 0
    assert new_rows(h(1, 2), h()) == 2
    assert new_rows(h(1, 1, 9), h(1)) == 2
    assert new_rows(h(1), h(1, 1, 5)) == 0


def test_100_000_rows_of_20_columns_in_about_a_second() -> None:
    rng = np.random.default_rng(0)
    columns = {f"c{i}": rng.normal(size=100_000) if i % 2 else rng.integers(0, 99, 100_000) for i in range(20)}
    table = read(pa.table(columns))
    before = time.process_time()
    assert len(np.unique(row_hashes(table))) == 100_000
    assert time.process_time() - before < 3  # measured 0.9 s; the rest is for a slow machine
