#!/bin/sh
# Python's sqlite3: `PRAGMA incremental_vacuum` removes one page a call, however many are asked for; unused pages are then copied by `serialize`.
#
# SQLite documents that `PRAGMA incremental_vacuum(N)` removes up to N pages from the freelist, and all of them without N. The statement does it step by
# step, one page for each step of the virtual machine, and returns no columns. The sqlite3 module of CPython 3.11 steps a statement without
# columns once, so that `execute("pragma incremental_vacuum")` and `execute("pragma incremental_vacuum(100)")` both remove one page and report nothing;
# fetching the rows changes nothing. apsw 3.54.1.0 steps to the end when its rows are fetched. `executescript` does, but commits first.
# `Connection.serialize` returns the unused pages too, so a database in memory from which everything was deleted is as large as ever.
# What follows: a program on the standard library repeats the statement `freelist_count` times, or its files and copies never become smaller.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet apsw==3.54.1.0
cd "$work"
"$work/env/bin/python" - <<'PY'
import sqlite3
import sys

import apsw

ROWS = "insert into t with recursive r(i) as (select 1 union all select i + 1 from r where i < 100000) select i from r"


def removed(connection) -> list[int]:
    """Pages that each way removes from the freelist, and what is left."""
    connection.execute("pragma auto_vacuum=incremental")
    connection.execute("create table t(x)")
    connection.execute(ROWS)
    connection.execute("delete from t")

    def free() -> int:
        return next(iter(connection.execute("pragma freelist_count")))[0]

    counts = [free()]
    for statement in ("pragma incremental_vacuum(100)", "pragma incremental_vacuum"):
        list(connection.execute(statement))
        counts.append(free())
    return counts


plain = sqlite3.connect(":memory:", isolation_level=None)
ours, theirs = removed(plain), removed(apsw.Connection(":memory:"))
print("Python", sys.version.split()[0], "sqlite3, SQLite", sqlite3.sqlite_version, "unused pages:", *ours)
print("apsw, SQLite", apsw.sqlite_lib_version(), "unused pages:", *theirs)
assert [a - b for a, b in zip(ours, ours[1:])] == [1, 1], "sqlite3 removes more than one page"
assert theirs[-1] == 0 and theirs[0] - theirs[1] == 100, "apsw no longer steps to the end"

full = len(plain.serialize())
(left,) = plain.execute("pragma freelist_count").fetchone()
for _ in range(left):
    plain.execute("pragma incremental_vacuum")
small = len(plain.serialize())
print("bytes of the empty database:", full, "and, after one call for each page,", small)
assert full > 50 * small, "serialize leaves unused pages out"
PY
