"""Hold the picture of the rooms: what may import what, and what an import may load."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load_import_map() -> ModuleType:
    spec = importlib.util.spec_from_file_location("import_map", ROOT / "scripts" / "import_map.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["import_map"] = module  # its dataclass looks itself up there
    spec.loader.exec_module(module)
    return module


import_map = load_import_map()


def loaded_by(statement: str) -> set[str]:
    """Packages in memory after `statement` in a fresh interpreter, and the packages directly below them."""
    code = f"{statement}; import sys; print(*{{'.'.join(m.split('.')[:2]) for m in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


def test_imports_point_down_the_picture() -> None:
    assert import_map.wrong_way(import_map.imports(ROOT / "ztfdb")) == []


def test_outside_packages_are_seen_where_they_belong() -> None:
    assert import_map.out_of_place(import_map.imports(ROOT / "ztfdb")) == []


def test_a_worker_loads_neither_sqlalchemy_nor_pandas() -> None:
    loaded = loaded_by("import ztfdb.extract.measure")
    assert loaded & {"sqlalchemy", "pandas", "alembic", "psycopg", "matplotlib"} == set()
    assert {"sep", "astropy"} <= loaded


HALF_OF_ASTROPY = {"astropy.coordinates", "astropy.table", "astropy.time", "astropy.wcs", "astropy_healpix"}
"""What doubles the start-up of a process and measures nothing."""


def test_a_worker_and_the_daemon_load_what_measures_an_image_and_no_more() -> None:
    loaded = loaded_by("from ztfdb.extract import measure; measure.measurement_config(measure.ExtractionSettings())")
    assert loaded & (HALF_OF_ASTROPY | {"scipy.spatial", "scipy.interpolate"}) == set()
    loaded = loaded_by("import ztfdb.daemon.service, ztfdb.ingest.run, ztfdb.cli.watch, ztfdb.cli.ingest")
    unwanted = HALF_OF_ASTROPY | {"pandas", "alembic", "psycopg", "scipy.special", "ztfdb.simulate", "ztfdb.query"}
    assert loaded & unwanted == set()


def test_a_service_loads_neither_astropy_s_tables_nor_the_driver_of_another_engine() -> None:
    loaded = loaded_by(
        "from importlib import import_module; import ztfdb.serve.run; from ztfdb.serve.app import PROTOCOLS; "
        "[import_module(one) for one in PROTOCOLS.values()]"
    )
    assert {"ztfdb.serve", "sqlglot", "fastapi"} <= loaded
    assert loaded & (HALF_OF_ASTROPY | {"alembic", "psycopg", "scipy", "matplotlib"}) == set()


def test_importing_ztfdb_costs_nothing() -> None:
    assert loaded_by("import ztfdb") & {"numpy", "astropy", "sqlalchemy", "pandas"} == set()


def test_opening_an_archive_loads_what_a_question_needs_and_no_more() -> None:
    loaded = loaded_by("import ztfdb.archive, ztfdb.cli.app")
    assert loaded & {"pandas", "astropy", "scipy", "sep", "loky", "alembic", "psycopg", "matplotlib"} == set()
    loaded = loaded_by("import ztfdb.query.lightcurve, ztfdb.query.cone, ztfdb.query.coverage, ztfdb.query.status")
    assert loaded & {"astropy", "scipy", "sep", "loky", "alembic", "psycopg", "matplotlib"} == set()


def test_the_picture_names_every_room() -> None:
    drawn = import_map.draw(import_map.imports(ROOT / "ztfdb"))
    rooms = {p.stem for p in (ROOT / "ztfdb").iterdir() if p.stem[0] not in "._" and (p.suffix == ".py" or p.is_dir())}
    assert rooms <= {word for line in drawn.splitlines() for word in line.partition("->")[0].split()}


def test_the_page_of_the_architecture_shows_the_code_as_it_is() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert import_map.page(text, ROOT / "ztfdb") == text, "python scripts/import_map.py --write brings it up to date"


def test_the_page_of_the_architecture_names_files_that_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:\w+/)*\w+\.py|(?:\w+/)+)`", text.partition("## Rooms and modules")[0]))
    assert len(named) > 60
    assert {name for name in named if not any((top / name).exists() for top in (ROOT / "ztfdb", ROOT))} == set()


URLS = {"cli/session.py", "ingest/cluster_worker.py", "store/backup.py", "store/engine.py"}
"""Modules that look at the scheme of a URL, before there is an engine."""


def test_only_backends_know_the_dialect() -> None:
    knowing = set()
    for path in (ROOT / "ztfdb").rglob("*.py"):
        module, source = path.relative_to(ROOT / "ztfdb").as_posix(), path.read_text()
        if "dialect.name" in source or ("get_backend_name" in source and module not in URLS):
            knowing.add(module)
    assert {module for module in knowing if not module.startswith("store/backends/")} == set()


@pytest.mark.parametrize(
    ("room", "source", "found"),
    [
        ("derive/objects.py", "from ztfdb.schema import Base", "a word of both halves"),
        ("store/engine.py", "from ztfdb.frame import read_frame", "crosses from one half"),
        ("extract/measure.py", "from ztfdb.schema import Source", "crosses from one half"),
        ("sky/cells.py", "import ztfdb.frame.wcs", "points up"),
        ("ingest/commit.py", "from ztfdb.query import cone", "points up or sideways"),
        ("frame/read.py", "def f():\n    from ztfdb.ingest import x", "points up"),
        ("image/science.py", "from ztfdb.plot import show", "inside the function"),
        ("mess/own.py", "import os", "not in the picture"),
        ("frame/read.py", "import sep", "sep"),
        ("frame/read.py", "from sqlalchemy.orm import Session", "sqlalchemy"),
        ("query/cone.py", "from sqlalchemy import select", "sqlalchemy"),
        ("query/cone.py", "from astropy.io import fits", "astropy.io.fits"),
        ("extract/measure.py", "import pandas as pd", "pandas"),
    ],
)
def test_a_wrong_import_is_seen(tmp_path: Path, room: str, source: str, found: str) -> None:
    path = tmp_path / room
    path.parent.mkdir()
    path.write_text(source)
    read = import_map.imports(tmp_path)
    wrong = import_map.wrong_way(read) + import_map.out_of_place(read)
    assert len(wrong) == 1
    assert found in wrong[0]


def test_a_constant_has_one_name_and_one_value() -> None:
    assert import_map.ambiguous(ROOT / "ztfdb") == []


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        ("NO_MASK = -1", "NO_MASK = -1", "NO_MASK = -1 in store.a, store.b: one module should define it"),
        ("MISSING = 0", "MISSING = 1", "MISSING is imported from store.a, store.b: two meanings of one name"),
    ],
)
def test_a_constant_that_is_defined_twice_is_seen(tmp_path: Path, first: str, second: str, found: str) -> None:
    for name, source in (("a", first), ("b", second)):
        (tmp_path / "store").mkdir(exist_ok=True)
        (tmp_path / f"store/{name}.py").write_text(source)
        (tmp_path / f"query_{name}.py").write_text(f"from ztfdb.store.{name} import {first.split()[0]}")
    assert import_map.ambiguous(tmp_path) == [found]


@pytest.mark.parametrize(
    "first",
    [
        "from ztfdb.frame.wcs import x",
        "def f():\n    from ztfdb.frame.wcs import x",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ztfdb.frame.wcs import x",
    ],
)
def test_a_circle_is_seen(tmp_path: Path, first: str) -> None:
    (tmp_path / "frame").mkdir()
    (tmp_path / "frame/read.py").write_text(first)
    (tmp_path / "frame/wcs.py").write_text("import math")
    assert import_map.wrong_way(import_map.imports(tmp_path)) == []
    (tmp_path / "frame/wcs.py").write_text("from ztfdb.frame.cards import x")
    (tmp_path / "frame/cards.py").write_text("from ztfdb.frame.read import y")
    circle = "frame.cards, frame.read, frame.wcs: a circle of imports"
    assert import_map.wrong_way(import_map.imports(tmp_path)) == [circle]


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("adql/tables.py", "from ztfdb.schema import describe_tables\nfrom ztfdb.schema.formulas import exact"),
        ("query/cone.py", "from sqlalchemy.orm import Session\nfrom ztfdb.store import sources\nimport pandas"),
        ("ingest/commit.py", "from ztfdb.extract import measure\nfrom ztfdb.store import images\nimport loky"),
        ("image/science.py", "def show():\n    from ztfdb.plot import show"),
        ("records.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pandas"),
        ("frame/background.py", "import sep"),
    ],
)
def test_a_right_import_passes(tmp_path: Path, room: str, source: str) -> None:
    path = tmp_path / room
    path.parent.mkdir(exist_ok=True)
    path.write_text(source)
    read = import_map.imports(tmp_path)
    assert import_map.wrong_way(read) + import_map.out_of_place(read) == []


TOP = {
    ".ci", ".gitignore", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "alembic.ini", "docs", "findings",
    "kernels", "migrations", "pyproject.toml", "requirements", "scripts", "tests", "ztfdb",
}  # fmt: skip


@pytest.mark.skipif(not (ROOT / ".git").exists() or shutil.which("git") is None, reason="not in a clone")
def test_nothing_is_left_at_the_top() -> None:
    """Figures of an experiment were once committed there."""
    words = ["git", "-c", "safe.directory=*", "ls-files"]  # a checkout may be another user's
    listed = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert {name.partition("/")[0] for name in listed.splitlines()} == TOP
