"""Rows of SQL in parts: the frame, and the bytes of the files, of the whole answer."""

from __future__ import annotations

import io
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io.votable import parse_single_table

import ztfdb
from tests.support.archives import Plan, same_archives
from ztfdb.cli import sql_writers
from ztfdb.cli.app import application
from ztfdb.cli.writers import WRITERS
from ztfdb.errors import StoreError
from ztfdb.store import spool
from ztfdb.store.backends import readonly_postgresql, readonly_sqlite, sqlite_pages

BIG = 9_007_199_254_740_993
"""No double has this value."""

LATE = f"""with recursive t(n) as (select 1 union all select n + 1 from t where n < {{n}})
select n + {BIG} as source_id, n, -n as below,
    case when n > 25000 then n + {BIG} end as late_id, case when n > 25000 then n * 0.5 end as late_number,
    case when n > 25000 then 'zr' end as late_text, case when n < 9 then 'é' end as early_text,
    cast(null as integer) as never, case when n % 7 > 0 then n end as sometimes,
    case when n > 25000 then cast(n as double precision) + 0.5 else n end as fractions_late,
    cast(n as double precision) / 3 as third, case when n % 5 > 0 then cast(n as double precision) end as whole,
    case n % 3 when 0 then '' when 1 then 'a <b> & "c"' end as word,
    case when n = 28000 then '{"long " * 30}' else 'x' end as long_text
from t order by n"""
"""Columns whose type only later rows show: the first 25,000 fill several pieces."""


@pytest.fixture(scope="module")
def urls(databases):
    """The same archive on both engines."""
    yield from same_archives(databases, Plan(300, 20, trouble=0.2))


@pytest.fixture
def small_pieces(monkeypatch):
    """Several pieces on both engines, in a file."""
    monkeypatch.setattr(sqlite_pages, "PAGES_AT_ONCE", 4)
    monkeypatch.setattr(readonly_sqlite, "MOST_FETCHED", 2_000)
    monkeypatch.setattr(readonly_postgresql, "PIECE", 2_000)
    monkeypatch.setattr(spool, "IN_MEMORY", 1_000)


def whole_and_parts(url, statement, **params):
    with ztfdb.open(url, read_only=True) as archive:
        whole = archive.sql(statement, force=True, **params)
        with archive.sql_parts(statement, force=True, params=params) as parts:
            found = list(parts)
            assert parts.n_row == sum(map(len, found)) == len(whole)
            assert [len(part) for part in parts] == [len(part) for part in found]  # they can be read again
    return whole, found


def status_of(url, statement, path, *more):
    """The exit status of the command."""
    with pytest.raises(SystemExit) as ended:
        application.main(["sql", statement, "--db", url, "--force", "-o", str(path), *more])
    return ended.value.code


def command(url, statement, path, *more):
    """The bytes of the file that the command wrote."""
    assert status_of(url, statement, path, *more) == 0
    return path.read_bytes()


def written(frame, form):
    stream = io.BytesIO()
    WRITERS[form](frame, {}, stream)
    return stream.getvalue()


@pytest.mark.parametrize("n", [0, 1, 1_999, 2_000, 2_001, 30_000])
@pytest.mark.usefixtures("small_pieces")
def test_joined_parts_are_the_whole_frame(urls, n):
    statement = LATE.format(n=n) if n else f"select * from ({LATE.format(n=1)}) as q where n > 1"
    wholes = []
    for url in urls.values():
        whole, parts = whole_and_parts(url, statement)
        assert len(parts) > 4 or n < 30_000
        for part in parts:
            assert part.dtypes.tolist() == whole.dtypes.tolist()
        pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True) if n else parts[0], whole)
        wholes.append(whole)
    if n in (0, 30_000):  # PostgreSQL knows that fractions may come, SQLite only if they do
        pd.testing.assert_frame_equal(*wholes)


@pytest.mark.parametrize("n", [1, 30_000])
@pytest.mark.usefixtures("small_pieces")
def test_files_have_the_bytes_of_the_whole_frame(urls, tmp_path, n):
    for form, suffix in (("parquet", "parquet"), ("votable", "vot")):
        made = []
        for name, url in urls.items():
            with ztfdb.open(url, read_only=True) as archive:
                wanted = written(archive.sql(LATE.format(n=n), force=True), form)
            made.append(command(url, LATE.format(n=n), tmp_path / f"{name}.{suffix}"))
            assert made[-1] == wanted
        assert made[0] == made[1] or n == 1


@pytest.mark.usefixtures("small_pieces")
def test_ids_are_exact_and_null_integers_stay_null(urls, tmp_path):
    for url in urls.values():
        command(url, LATE.format(n=30_000), tmp_path / "rows.parquet")
        table = pq.read_table(tmp_path / "rows.parquet")
        kinds = {field.name: field.type for field in table.schema}
        assert kinds["source_id"] == kinds["late_id"] == kinds["sometimes"] == pa.int64()
        assert kinds["late_number"] == kinds["fractions_late"] == kinds["whole"] == pa.float64()
        assert kinds["late_text"] == kinds["never"] == kinds["word"] == pa.string()
        n = range(1, 30_001)
        assert table["source_id"].to_pylist() == [k + BIG for k in n]
        assert table["late_id"].to_pylist() == [k + BIG if k > 25_000 else None for k in n]
        assert table["late_text"].to_pylist() == ["zr" if k > 25_000 else None for k in n]
        assert table["late_number"].to_pylist() == [k * 0.5 if k > 25_000 else None for k in n]
        assert table["sometimes"].to_pylist() == [k if k % 7 else None for k in n]
        assert table["fractions_late"].to_pylist() == [k + 0.5 if k > 25_000 else float(k) for k in n]
        assert table["never"].null_count == 30_000

        command(url, LATE.format(n=30_000), tmp_path / "rows.vot")
        read = parse_single_table(tmp_path / "rows.vot")
        assert read.nrows == 30_000
        late = read.array["late_id"]
        np.testing.assert_array_equal(late.mask, [k <= 25_000 for k in n])
        assert late.compressed().tolist() == [k + BIG for k in n if k > 25_000]
        assert [field.datatype for field in read.fields][:6] == [*["long"] * 4, "double", "unicodeChar"]


@pytest.mark.usefixtures("small_pieces")
def test_chosen_columns_are_written_in_parts_too(urls, tmp_path):
    for url in urls.values():
        with ztfdb.open(url, read_only=True) as archive:
            wanted = archive.sql(LATE.format(n=30_000), force=True)[["late_text", "n"]]
        for form, suffix in (("csv", "csv"), ("parquet", "parquet"), ("votable", "vot")):
            found = command(url, LATE.format(n=30_000), tmp_path / f"x.{suffix}", "--columns", "late_text,n")
            assert found == written(wanted, form), form


@pytest.mark.usefixtures("small_pieces")
def test_row_groups_are_bounded_and_hold_the_same_rows(urls, tmp_path, monkeypatch):
    statement = LATE.format(n=30_000)
    whole = pq.read_table(io.BytesIO(command(urls["sqlite"], statement, tmp_path / "x.parquet")))
    monkeypatch.setattr(sql_writers, "GROUP_ROWS", 7_000)
    found = pq.ParquetFile(io.BytesIO(command(urls["sqlite"], statement, tmp_path / "x.parquet")))
    rows = [found.metadata.row_group(k).num_rows for k in range(found.num_row_groups)]
    assert rows == [7_000] * 4 + [2_000]
    assert found.read().equals(whole)
    monkeypatch.setattr(sql_writers, "GROUP_BYTES", 200_000)
    found = pq.ParquetFile(io.BytesIO(command(urls["sqlite"], statement, tmp_path / "x.parquet")))
    assert found.num_row_groups > len(rows)
    assert found.read().equals(whole)


@pytest.mark.usefixtures("small_pieces")
def test_a_column_of_numbers_and_later_texts_is_an_error_for_parquet_and_no_file(urls, tmp_path, capsys):
    statement = "with recursive t(n) as (select 1 union all select n + 1 from t where n < 9000)"
    statement += " select case when n > 8000 then 'late' else n end as mixed from t order by n"
    path = tmp_path / "x.parquet"
    path.write_bytes(b"before")
    assert status_of(urls["sqlite"], statement, path) == 1
    assert re.search("cannot be written as Parquet.*mixed", capsys.readouterr().err)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]
    with ztfdb.open(urls["sqlite"], read_only=True) as archive:
        wanted = written(archive.sql(statement), "votable")
    assert command(urls["sqlite"], statement, tmp_path / "x.vot") == wanted


def test_two_columns_of_one_name_are_an_error_for_parquet(urls, tmp_path, capsys):
    for url in urls.values():
        assert status_of(url, "select 1 as a, 2 as a", tmp_path / "x.parquet") == 1
        assert "two columns are named a: name them with AS" in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("small_pieces")
def test_dates_and_blobs_have_the_type_that_fits_every_part(urls, tmp_path):
    late = "with recursive t(n) as (select 1 union all select n + 1 from t where n < 9000) select n, {} as v from t"
    cases = {
        "postgresql": ["case when n > 8000 then date '2020-09-24' end", "case when n > 8000 then array[n] end"],
        "sqlite": ["case when n > 8000 then x'00ff' end"],
    }
    for name, values in cases.items():
        for value in values:
            statement = late.format(value)
            with ztfdb.open(urls[name], read_only=True) as archive:
                wanted = written(archive.sql(statement, force=True), "parquet")
            assert command(urls[name], statement, tmp_path / "x.parquet") == wanted, value


def test_a_statement_that_fails_on_the_way_leaves_no_file(urls, tmp_path, capsys):
    endless = "with recursive t(n) as (select 1 union all select n + 1 from t) select n from t"
    for url in urls.values():
        assert status_of(url, endless, tmp_path / "x.parquet", "--timeout", "0.5") == 1
        assert "time limit" in capsys.readouterr().err
        assert status_of(url, "select nope from source", tmp_path / "x.vot") == 1
        assert "nope" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_full_temporary_folder_is_a_typed_error(urls, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spool.pickle, "dump", full)
    for url in urls.values():
        with ztfdb.open(url, read_only=True) as archive, pytest.raises(StoreError, match="No space left on device"):
            archive.sql_parts("select 1 as a", force=True)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("form", ["csv", "votable", "parquet"])
def test_progress_counts_every_written_row_once(urls, form):
    for url in urls.values():
        with ztfdb.open(url, read_only=True) as archive:
            parts = archive.sql_parts(LATE.format(n=30_000), force=True)
        counts: list[int] = []
        with parts:
            sql_writers.write_sql(parts.__iter__, parts.n_row, form, io.BytesIO(), counts.append)
        assert sum(counts) == 30_000
        assert len(counts) > 4


@pytest.mark.usefixtures("small_pieces")
def test_progress_counts_every_row(urls):
    for url in urls.values():
        counts: list[int] = []
        with ztfdb.open(url, read_only=True) as archive:
            archive.sql_parts(LATE.format(n=30_000), force=True, progress=counts.append).close()
        assert sum(counts) == 30_000
        assert len(counts) > 1
