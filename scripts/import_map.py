"""Draw which room of ztfdb imports which, from the code, and list the imports that point the wrong way.

Usage: python scripts/import_map.py [folder of the package]
       python scripts/import_map.py --write    the picture and the list of modules into docs/architecture.md

The rooms stand in rows; imports point down. The pixel half and the row half never import each other. What a room
may take from outside is in OUTSIDE. Exit status 1 when there is something to list.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Top to bottom; rooms in one row do not import each other.
ROWS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("entries", ("cli",)),
    ("", ("daemon", "demo", "serve")),
    ("", ("archive",)),
    ("", ("client",)),
    ("", ("options",)),
    ("", ("config", "logs", "server", "quadrant")),
    ("workflows", ("hats",)),
    ("", ("ingest", "query", "adql")),
    ("", ("derive",)),
    ("halves", ("image", "simulate")),
    ("", ("extract", "stamps", "store")),
    ("", ("surveys",)),
    ("", ("frame", "dao", "schema")),
    ("", ("plot",)),
    ("foundation", ("sky", "phot")),
    ("", ("records", "spelling")),
    ("", ("arguments", "bits", "errors", "product", "wcs")),
    ("", ("arrays", "codes", "ids", "texts")),
)
LEVEL = {room: level for level, (_, rooms) in enumerate(ROWS) for room in rooms}
PIXEL_HALF = {"image", "simulate", "extract", "stamps", "frame", "dao", "plot"}
ROW_HALF = {"store", "schema"}
ENTRIES = {"cli", "client", "options", "daemon", "demo", "serve", "archive", "config", "logs", "server", "quadrant"}
WORKFLOWS = {"hats", "ingest", "query", "derive", "adql"}

# Which rooms (or modules of one) see a package from outside. Whatever is not named here is free.
OUTSIDE: dict[str, set[str]] = {
    "sqlalchemy": {"schema", "store"},
    "alembic": {"store"},
    "psycopg": {"store", "server"},
    "sqlite3": {"store"},
    "sep": {"extract", "frame.background"},
    "ztfdb_kernels": {"extract.kernels"},
    # simulate and demo make images; the reader reads catalogues, which are no pixels
    "astropy.io.fits": {
        "frame",
        "stamps",
        "simulate",
        "demo",
        "ingest.readers.fits_table",
        "cli.astropy_writers",
        "serve.tap.fits_table",
        "sky.moc",
    },
    "astropy_healpix": {"sky"},
    "pandas": {"image", "derive", "query"} | ENTRIES,
    "matplotlib": {"plot"},
    "loky": {"hats", "ingest", "derive"},
    "click": {"cli"},
    "rich": {"cli"},
    "watchdog": {"daemon"},
    "starlette": {"serve"},
    "sqlglot": {"adql", "serve.irsa.images", "serve.tap.schema"},
    "uvicorn": {"serve"},
    "fastapi": {"serve"},
    "pydantic": {"serve"},
    "fsspec": {"frame.remote", "surveys.files"},
}
# What the rooms above may take from the tables' definitions: descriptions of columns, and formulas of the views.
# Codes, ids and constants are in `ztfdb.codes`, `ztfdb.ids` and `ztfdb.sky`.
SCHEMA_SEEN = (
    "ColumnDescription",
    "describe_column",
    "describe_table",
    "describe_tables",
    "formulas.",
    "views.view_over",
)
# Words of a package that are types to hand on, not a way to do its work.
TYPES = {"sqlalchemy": {"Session", "sessionmaker", "URL", "Engine", "SQLAlchemyError"}}
# Numbers that are equal by chance: rounds of two fits, rows of two samples, sizes of two kinds of pieces, three waits.
COINCIDENCES = {"MAX_ROUNDS", "SAMPLE", "CHUNK", "TIMEOUT_S"}
TYPES_SEEN_BY = WORKFLOWS | ENTRIES


@dataclass(frozen=True)
class Import:
    """One imported name: where it stands, and whether that is inside a function or only for a type checker."""

    module: str
    line: int
    target: str
    inside: bool
    typing: bool

    @property
    def room(self) -> str:
        """The room that imports."""
        return self.module.partition(".")[0]

    @property
    def target_room(self) -> str | None:
        """The room that is imported; None for a package from outside and for ztfdb itself."""
        parts = self.target.split(".")
        return parts[1] if parts[0] == "ztfdb" and len(parts) > 1 and parts[1] in LEVEL else None

    def __str__(self) -> str:
        return f"ztfdb/{self.module.replace('.', '/')} line {self.line}: {self.target}"


def imports(package: Path) -> list[Import]:
    """Find every import of the package's modules; ``from a import b`` counts as ``a.b``."""
    found = []
    for path in sorted(package.rglob("*.py")):
        module = ".".join(path.relative_to(package).with_suffix("").parts).removesuffix(".__init__")
        if module not in ("__init__", "__main__") and not module.startswith("_migrations"):
            found += list(_walk(ast.parse(path.read_text(encoding="utf-8")), module))
    return found


def _walk(node: ast.AST, module: str, inside: bool = False, typing: bool = False) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(module, child.lineno, alias.name, inside, typing)
        elif isinstance(child, ast.ImportFrom):
            for alias in child.names:
                yield Import(module, child.lineno, f"{child.module}.{alias.name}", inside, typing)
        else:
            function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for_types = isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING")
            yield from _walk(child, module, inside or function, typing or for_types)


def _needs(found: list[Import]) -> dict[str, set[str]]:
    """Return the modules that each module imports."""
    needs: dict[str, set[str]] = {one.module: set() for one in found}
    for one in found:
        target = one.target.removeprefix("ztfdb.")
        while target and target not in needs:
            target = target.rpartition(".")[0]
        needs[one.module] |= {target} - {"", one.module}
    return needs


def _reached(needs: dict[str, set[str]], start: str) -> set[str]:
    """Return the modules that a module imports, directly or through others."""
    seen: set[str] = set()
    todo = [start]
    while todo:
        new = needs.get(todo.pop(), set()) - seen
        seen |= new
        todo += new
    return seen


def circles(found: list[Import]) -> list[str]:
    """List the circles of modules, one line each: imports inside functions and for type checkers count as well."""
    needs = _needs(found)
    reached = {module: _reached(needs, module) for module in needs}
    together = {frozenset(other for other in reached[one] if one in reached[other]) for one in needs}
    return sorted(f"{', '.join(sorted(group))}: a circle of imports" for group in together if group)


def wrong_way(found: list[Import]) -> list[str]:
    """List the imports between rooms that do not point down the picture, and the circles of modules."""
    wrong = circles(found)
    for one in found:
        target = one.target_room
        if one.room not in LEVEL:
            wrong.append(f"{one.module}: this room is not in the picture")
        elif target is None or target == one.room:
            continue
        elif target == "plot":
            if not (one.inside or one.typing):
                wrong.append(f"{one}: plot is imported when a plot is asked for, inside the function")
        elif LEVEL[target] <= LEVEL[one.room]:
            wrong.append(f"{one}: points up or sideways")
        elif (one.room in PIXEL_HALF and target in ROW_HALF) or (one.room in ROW_HALF and target in PIXEL_HALF):
            wrong.append(f"{one}: crosses from one half to the other")
        elif target == "schema" and one.room not in ROW_HALF and not one.target[13:].startswith(SCHEMA_SEEN):
            wrong.append(f"{one}: no description of a column; a word of both halves is in codes, ids or sky")
    return sorted(set(wrong))


def out_of_place(found: list[Import]) -> list[str]:
    """List the packages from outside seen in a room that has no business with them."""
    wrong = []
    for one in found:
        for package, rooms in OUTSIDE.items():
            if one.target != package and not one.target.startswith(f"{package}."):
                continue
            if one.room in rooms or one.module in rooms:
                continue
            if one.target.rpartition(".")[2] in TYPES.get(package, ()) and one.room in TYPES_SEEN_BY:
                continue
            if (package == "pandas" and one.inside) or (package in ("pandas", "matplotlib") and one.typing):
                continue  # .to_pandas() imports when called, .plot() hands it on to the room plot
            wrong.append(str(one))
    return sorted(set(wrong))


def constants(package: Path) -> dict[str, dict[str, str]]:
    """Return the public names that the package's modules assign at their top: for each, its modules and expressions."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(package.rglob("*.py")):
        module = ".".join(path.relative_to(package).with_suffix("").parts)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
            if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(target, ast.Name) and target.id[0] != "_":
                found.setdefault(target.id, {})[module] = ast.unparse(node.value) if node.value else ""
    return found


def ambiguous(package: Path) -> list[str]:
    """List the constants that are defined twice: with one value, or with two by which a room is known to others."""
    imported: dict[str, set[str]] = {}
    for one in imports(package):
        module, _, name = one.target.removeprefix("ztfdb.").rpartition(".")
        if one.target_room != one.room:
            imported.setdefault(name, set()).add(module)
    wrong = []
    for name, values in constants(package).items():
        if name in COINCIDENCES or len(values) == 1:
            continue
        for value in set(values.values()):
            equal = [module for module, other in values.items() if other == value]
            if len(equal) > 1 and not value.startswith(("logging.getLogger", "APIRouter", "TypeVar")):
                wrong.append(f"{name} = {value[:40]} in {', '.join(equal)}: one module should define it")
        for room in {module.partition(".")[0] for module in values}:
            shared = sorted(one for one in imported.get(name, set()) & set(values) if one.partition(".")[0] == room)
            if len({values[module] for module in shared}) > 1:
                wrong.append(f"{name} is imported from {', '.join(shared)}: two meanings of one name")
    return sorted(wrong)


def draw(found: list[Import]) -> str:
    """Draw each room with the rooms it imports; those that only functions import stand in brackets."""
    lines = []
    for title, rooms in ROWS:
        for i, room in enumerate(rooms):
            mine = [one for one in found if one.room == room and one.target_room not in (None, room)]
            always = {one.target_room for one in mine if not (one.inside or one.typing)}
            later = {one.target_room for one in mine} - always
            names = [t for t in LEVEL if t in always] + [f"({t})" for t in LEVEL if t in later]
            lines.append(f"{title if i == 0 else '':12}{room:10}-> {' '.join(names) or '-'}")
    return "\n".join(lines)


def _says(path: Path) -> str:
    """Return the first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def layers() -> str:
    """Draw the rooms row by row; a room imports only from rows below its own."""
    width = max(len(title) for title, _ in ROWS) + 2
    return "\n".join(f"{title:{width}}{'  '.join(rooms)}".rstrip() for title, rooms in ROWS)


def listing(package: Path) -> str:
    """List every room with its modules, each with the first line of its docstring, as Markdown."""
    parts = []
    for room in LEVEL:
        folder = package / room
        if not folder.is_dir():
            parts.append(f"### `{room}.py`\n\n{_says(folder.with_suffix('.py'))}\n")
            continue
        parts.append(f"### `{room}/`\n\n{_says(folder / '__init__.py')}\n\n| module | what it does |\n|---|---|")
        for path in sorted(folder.rglob("*.py")):
            if path.name != "__init__.py" or path.parent != folder:
                name = path.relative_to(folder).as_posix().removesuffix("/__init__.py")
                parts.append(f"| `{name}` | {_says(path).replace('|', chr(92) + '|')} |")
        parts[-1] += "\n"
    return "\n".join(parts)


def page(text: str, package: Path) -> str:
    """Put the picture and the list between the marks of the page."""
    made = f"```text\n{layers()}\n```\n\n```text\n{draw(imports(package))}\n```\n", listing(package)
    for name, block in zip(("picture", "modules"), made, strict=True):
        start, end = f"<!-- {name}: made by scripts/import_map.py --write -->\n", f"<!-- end of {name} -->"
        before, _, rest = text.partition(start)
        _, _, after = rest.partition(end)
        text = f"{before}{start}\n{block}\n{end}{after}"
    return text


def main() -> int:
    """Print the picture and what is wrong with it, or write it into the page."""
    top = Path(__file__).resolve().parents[1]
    if sys.argv[1:] == ["--write"]:
        path = top / "docs" / "architecture.md"
        path.write_text(page(path.read_text(encoding="utf-8"), top / "ztfdb"), encoding="utf-8")
        return 0
    package = Path(sys.argv[1]) if len(sys.argv) > 1 else top / "ztfdb"
    found = imports(package)
    print(draw(found))
    wrong = wrong_way(found) + out_of_place(found) + ambiguous(package)
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
