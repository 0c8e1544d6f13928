#!/bin/sh
# sqlglot's compiled package takes no dialect that has a parser or generator of its own, and says so only when it is used.
#
# sqlglotc 30.30.0 (`pip install "sqlglot[c]"`, "mypyc-compiled extensions for sqlglot") lays compiled modules over those of sqlglot 30.30.0. A custom
# dialect, which sqlglot's documentation shows as a Dialect with nested Tokenizer, Parser and Generator classes, can still be defined, imported and
# registered. The first `parse` with it raises TypeError "interpreted classes cannot inherit from compiled". A dialect that has only a tokenizer
# of its own works. Any other package in the environment that asks for the extra `c` switches this on.
# What follows: a program with a dialect of its own tries its parser when it starts; taking sqlglotc away restores the Python modules.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet sqlglot==30.30.0
cd "$work"
cat > dialect.py <<'PY'
from sqlglot import exp, parse_one
from sqlglot.dialects.dialect import Dialect
from sqlglot.generator import Generator
from sqlglot.parser import Parser
from sqlglot.tokens import Tokenizer, TokenType


class Top(Dialect):
    class Tokenizer(Tokenizer):
        KEYWORDS = {**Tokenizer.KEYWORDS, "TOP": TokenType.TOP}


class Whole(Top):
    class Parser(Parser):
        FUNCTIONS = {**Parser.FUNCTIONS, "TWICE": lambda args: exp.Mul(this=args[0], expression=exp.Literal.number(2))}

    class Generator(Generator):
        pass


def tried(dialect, text):
    try:
        return parse_one(text, read=dialect).sql()
    except TypeError as exc:
        return f"TypeError: {exc}"


print(tried(Top, "SELECT TOP 3 a FROM t"), "|", tried(Whole, "SELECT TWICE(a) FROM t"))
PY
before=$("$work/env/bin/python" dialect.py)
"$work/env/bin/python" -m pip install --quiet sqlglotc==30.30.0
after=$("$work/env/bin/python" dialect.py)
echo "sqlglot alone:    $before"
echo "with sqlglotc:    $after"
case $before in *TypeError*) echo "the dialect does not work in plain Python either" >&2; exit 1 ;; *"a * 2"*) ;; *) exit 1 ;; esac
case $after in
    "SELECT"*"TypeError: interpreted classes cannot inherit from compiled"*) ;;
    *) echo "sqlglotc takes the dialect now" >&2; exit 1 ;;
esac
