"""Write the table of docs/units.md from the words of `ztfdb.schema`.

Usage: python scripts/units_page.py

What stands above the marker is written by hand and kept.
"""

from __future__ import annotations

from pathlib import Path

from ztfdb.schema.words import GENERAL, PARTICULAR, Facts

PAGE = Path(__file__).resolve().parents[1] / "docs" / "units.md"
MARKER = "<!-- from here on written by scripts/units_page.py -->\n"


def table() -> str:
    """Return the table of all columns, by name; under it what is particular to a table, view or answer."""
    rows = ["| column | in | unit | UCD | what it is |", "|---|---|---|---|---|"]
    for name in sorted(GENERAL):
        rows.append(_row(name, "", GENERAL[name]))
        rows += [_row(name, f"`{where}`", facts[name]) for where, facts in PARTICULAR.items() if _held(where, name)]
    return "\n".join(rows) + "\n"


def page() -> str:
    """Return the page as it should be."""
    return PAGE.read_text(encoding="utf-8").partition(MARKER)[0] + MARKER + "\n" + table()


def _held(where: str, name: str) -> bool:
    """Tell whether a table has words of its own for a column; objects share theirs, and not every one has each."""
    from ztfdb.schema import describe_column

    return name in PARTICULAR[where] and describe_column(name, where) is not None


def _row(name: str, where: str, facts: Facts) -> str:
    unit, ucd, description = facts
    return f"| `{name}` | {where} | {unit} | {ucd.replace(';', '; ')} | {description} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
