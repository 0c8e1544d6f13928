#!/bin/sh
# `import numpy` takes nearly twice its time of processor where there are two cores, because of a thread that has nothing to do.
#
# numpy 2.4.6 (wheel, with its own OpenBLAS): when the module is imported, OpenBLAS starts a thread for each core beyond the first, and each looks for work in a loop before it goes to sleep.
# No matrix has been multiplied yet. The wall time is that of the import alone, so a timer shows nothing; the processor time of the process shows it, and so does the count of threads.
# On two cores: 0.15 s of processor by default, 0.08 s with OPENBLAS_NUM_THREADS=1, set before the import. Set after it, the variable changes nothing.
# What follows: small programs that start often, and pools of processes, are better off with the variable. Whoever compares start-up times should count processor seconds, and know that everything which
# imports numpy has this in it. Needs two cores or more, and Linux to count threads.
set -eu
[ "$(getconf _NPROCESSORS_ONLN)" -ge 2 ] || { echo "needs two cores" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet numpy==2.4.6
cd "$work"
cat >imports.py <<'PY'
import os
import subprocess
import sys

COUNT = "import os, numpy; print(len(os.listdir('/proc/self/task')))"
AFTER = "import os, numpy; os.environ['OPENBLAS_NUM_THREADS'] = '1'; print(len(os.listdir('/proc/self/task')))"


def spent(env):
    """Processor seconds of a process that imports numpy, the least of nine."""
    found = []
    for _ in range(9):
        process = subprocess.Popen([sys.executable, "-c", "import numpy"], env=env)
        _, status, used = os.wait4(process.pid, 0)
        assert status == 0
        found.append(used.ru_utime + used.ru_stime)
    return min(found)


def threads(code, env):
    return int(subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout)


names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "GOTO_NUM_THREADS")
default = {name: value for name, value in os.environ.items() if name not in names}
one = default | {"OPENBLAS_NUM_THREADS": "1"}
spent(default)  # compiles the modules
n_default, n_one, n_after = threads(COUNT, default), threads(COUNT, one), threads(AFTER, default)
s_default, s_one = spent(default), spent(one)
print(f"by default            {n_default} threads, {s_default:.3f} s of processor")
print(f"OPENBLAS_NUM_THREADS=1 {n_one} thread,  {s_one:.3f} s; set after the import {n_after} threads")
assert n_one == 1 < n_default == n_after, "this has changed"
assert s_default > 1.25 * s_one, "the thread no longer takes time"
print("as described")
PY
"$work/env/bin/python" imports.py
