#!/bin/sh
# ADBC reads a column of SQLite as the type of its first 1,024 rows, whatever the table says, and fails at the first row of another type.
#
# adbc-driver-sqlite 1.13.0, which `polars.read_database_uri(..., engine="adbc")` 2.1.0 and `pandas.read_sql` 3.1.1 use, takes the type of a column from the values of the first
# batch. A column declared REAL or TEXT that is NULL in all of these rows becomes int64, and the first number or text after them is "Type mismatch in column 1: expected
# INT64 but got DOUBLE". The same query with ORDER BY, or of the newest rows, works. A CAST in the statement changes nothing, as the value is still NULL. If no other value
# comes, the column of texts arrives as int64.
# What follows: magnitudes that are NULL for the first bad images, or limits that detections do not have, make a light-curve table unreadable for these two, depending on
# the order of its rows. A larger batch helps (`adbc.sqlite.query.batch_rows`, set on the cursor's statement), as long as it holds one value of each column; sqlite3 and
# `polars.read_database` with its connection need none.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet adbc-driver-sqlite==1.13.0 adbc-driver-manager==1.13.0 polars==2.1.0 pandas==3.1.1 pyarrow==25.0.1
cd "$work"
"$work/env/bin/python" -W error - <<'PY'
import sqlite3
from contextlib import closing

import adbc_driver_sqlite.dbapi as adbc
import pandas
import polars

with closing(sqlite3.connect("curve.sqlite")) as made, made:
    made.execute("create table point (id integer primary key, mag real, band text)")
    made.executemany("insert into point values (?, ?, ?)", [
        (k, None if k < 2000 else 18.0 + k / 1000, None if k < 2000 else "zg") for k in range(3000)
    ])
ALL, NEWEST, CAST = (
    "select * from point order by id",
    "select * from point order by id desc",
    "select id, cast(mag as real) as mag from point order by id",
)


def told(read):
    """The last line of an error, or the number of rows and the types."""
    try:
        frame = read()
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[-1]}"
    return f"{len(frame)} rows, {[str(one) for one in frame.dtypes]}"


def by_pandas(text):
    with closing(adbc.connect("curve.sqlite")) as connection:
        return pandas.read_sql(text, connection)


def by_batches(text, rows):
    with closing(adbc.connect("curve.sqlite")) as connection, closing(connection.cursor()) as cursor:
        cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(rows)})
        cursor.execute(text)
        return polars.from_arrow(cursor.fetch_arrow_table())


def by_polars(text):
    return polars.read_database_uri(text, "sqlite://curve.sqlite", engine="adbc")


said = {
    "polars": told(lambda: by_polars(ALL)),
    "polars, newest first": told(lambda: by_polars(NEWEST)),
    "polars, with a cast": told(lambda: by_polars(CAST)),
    "pandas": told(lambda: by_pandas(ALL)),
    "batches of 4096 rows": told(lambda: by_batches(ALL, 4096)),
    "only NULL": told(lambda: by_polars("select band from point where id < 1500")),
}
for name, one in said.items():
    print(f"{name}: {one}")
mismatch = "Type mismatch in column 1: expected INT64 but got DOUBLE"
for name in ("polars", "polars, with a cast", "pandas"):
    assert mismatch in said[name], "the declared type counts now"
assert said["polars, newest first"] == said["batches of 4096 rows"] == "3000 rows, ['Int64', 'Float64', 'String']"
assert said["only NULL"] == "1500 rows, ['Int64']"
with closing(sqlite3.connect("curve.sqlite")) as plain:
    frame = polars.read_database(ALL, plain, infer_schema_length=None)
assert frame["mag"].drop_nulls().len() == 1000
PY
echo "as described"
