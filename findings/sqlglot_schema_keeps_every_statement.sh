#!/bin/sh
# sqlglot: a MappingSchema that is used again keeps the tree of every statement, and each new one is compared with all of them.
#
# sqlglot 30.30.0 takes a `MappingSchema` for `optimizer.qualify`, made once from the tables and then handed to every call. The schema notes each
# table node that it was asked about in a dictionary. The node hangs in the tree of its statement, so that all trees stay in memory. The key
# also holds a Dialect, which is a new object in each call of `qualify(..., dialect=NAME)` and equal to none before: the note is never found again,
# and since nodes of the same table have the same hash, each look-up walks along all earlier notes.
# What follows: a service that qualifies statements against one schema grows and slows down for ever. A class of one's own on `sqlglot.schema.Schema`
# (two methods that matter) keeps nothing.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet sqlglot==30.30.0
cd "$work"
"$work/env/bin/python" - <<'PY'
import gc
import sys

from sqlglot import exp, parse_one
from sqlglot.optimizer.qualify import qualify
from sqlglot.schema import MappingSchema

schema = MappingSchema({"source": {"ra": "DOUBLE", "dec": "DOUBLE"}}, normalize=False)


def compared(number: int) -> int:
    """Qualify one statement; how often one node of a table was compared with another."""
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        code = frame.f_code
        calls += event == "call" and code.co_name == "__eq__" and "sqlglot" in code.co_filename

    tree = parse_one(f"SELECT ra FROM source WHERE dec < {number}", dialect="sqlite")
    sys.setprofile(count)
    qualify(tree, schema=schema, dialect="sqlite")
    sys.setprofile(None)
    return calls


counts = [compared(number) for number in range(400)]
gc.collect()
kept = sum(type(one) is exp.Select for one in gc.get_objects())
print("statements still in memory:", kept, "of", len(counts))
print("comparisons for statement 10, 100, 400:", counts[9], counts[99], counts[399])
assert kept >= 390, "statements are no longer kept"
assert counts[399] > 3 * counts[99] > 9 * counts[9], "statements are no longer compared with earlier ones"
PY
