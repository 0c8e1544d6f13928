#!/bin/sh
# distributed: `LocalCluster(7)` does not start seven workers; it starts as many as the processors suggest, in a cluster named 7.
#
# The first parameter of `LocalCluster` is `name`, the second `n_workers`. A number in the first place is accepted as a name of type int, without an error or a
# warning, and the number of workers is chosen as if nothing had been given. Other pools of Python take the number of workers first: those of
# multiprocessing, concurrent.futures and loky. Who writes `LocalCluster(1)` to measure one worker measures something else:
# on a machine with two processors such a measurement compares two workers with two, and finds that a second one brings nothing.
# What follows: always `n_workers=`; a benchmark asserts the number of workers it got.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet distributed==2026.8.0
cd "$work"
cat >count.py <<'PY'
import os

import distributed


def workers(*given, **named):
    with distributed.LocalCluster(*given, processes=False, dashboard_address=None, **named) as cluster:
        return len(cluster.workers), cluster.name


if __name__ == "__main__":
    few = os.process_cpu_count() if hasattr(os, "process_cpu_count") else len(os.sched_getaffinity(0))
    asked = few + 6
    chosen, _ = workers()
    found, name = workers(asked)
    wanted, _ = workers(n_workers=asked)
    print("distributed", distributed.__version__, "on", few, "processors")
    print(f"LocalCluster(): {chosen} workers; LocalCluster({asked}): {found}, named {name!r}; n_workers={asked}: {wanted}")
    assert (found, name) == (chosen, asked), "a number in the first place is no name any more"
    assert wanted == asked
PY
"$work/env/bin/python" count.py
