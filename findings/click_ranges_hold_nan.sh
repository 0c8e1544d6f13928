#!/bin/sh
# click: an option with a range of numbers takes `nan`, whatever the range is.
#
# click 8.5.1 checks a FloatRange by comparing the value with the ends of the range, and refuses where the value is beyond one of them. NaN is beyond none, so
# `--days nan` passes `FloatRange(0, 30, min_open=True)`; with clamp=True it is not moved to an end either.
# What follows: a time limit that never ends, a record that is kept for ever (`now > end` is never true), a NaN in a column of settings. Who needs a number tests
# math.isfinite in a type of his own; a finite max refuses `inf`, and nothing refuses `nan`.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet click==8.5.1
cd "$work"
"$work/env/bin/python" - <<'PY'
from importlib.metadata import version

import click
from click.testing import CliRunner

RANGES = {
    "0 < x <= 30": click.FloatRange(0, 30, min_open=True),
    "0 <= x <= 30, clamped": click.FloatRange(0, 30, clamp=True),
    "x >= 0": click.FloatRange(min=0),
}


def given(kind, text):
    """What the command gets, or the last line of the refusal."""

    @click.command()
    @click.option("--days", type=kind)
    def command(days):
        click.echo(days)

    result = CliRunner().invoke(command, ["--days", text])
    return result.output.splitlines()[-1]


print("click", version("click"))
for name, kind in RANGES.items():
    found = {text: given(kind, text) for text in ("7", "nan", "inf", "-1")}
    print(name, found)
    assert found["7"] == "7.0" and found["nan"] == "nan", "NaN is in no range now"
assert "not in the range" in given(RANGES["0 < x <= 30"], "inf")
assert given(RANGES["0 <= x <= 30, clamped"], "inf") == "30"
print("as described")
PY
