"""What leaves the checkout: the wheel, the source archive, and what tracked files may say."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

import ztfdb

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = "Scripts" if os.name == "nt" else "bin"


def build(source: Path, target: str, out: Path) -> Path:
    """Build with hatchling in this environment: nothing is fetched, and git is out of reach."""
    pytest.importorskip("hatchling", reason="hatchling builds the package (extra test)")
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(out)]
    environment = {**os.environ, "PATH": "", "GIT_DIR": str(out / "no-git")}
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel made by way of the source archive, unpacked where no repository is."""
    folder = tmp_path_factory.mktemp("build")
    sdist = build(ROOT, "sdist", folder / "sdist")
    with tarfile.open(sdist) as tar:
        # 3.11.4 brought the filter and 3.12 warns without one; Debian 12 has 3.11.2.
        tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
        tar.extractall(folder / "unpacked")
    (source,) = (folder / "unpacked").iterdir()
    return build(source, "wheel", folder / "wheel")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment with the wheel; dependencies are this environment's."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    scheme = {"base": str(folder), "platbase": str(folder)}
    packages = Path(sysconfig.get_path("purelib", scheme="venv", vars=scheme))
    python = folder / SCRIPTS / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([*command, "--quiet", "--disable-pip-version-check"], check=True)
    # After the wheel's own folder on the path; sitedir lines of the checkout's editable install are not followed.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / SCRIPTS


def run(program: Path, *arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ZTFDB_", "PYTHON"))}
    return subprocess.run(
        [program, *arguments], cwd=cwd, capture_output=True, text=True, env={**kept, **environment}, check=False
    )


def test_wheel_carries_the_revisions_once(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    revisions = {p.name for p in (ROOT / "migrations" / "versions").glob("*.py")}
    assert revisions
    assert {n.rpartition("/")[2] for n in names if n.startswith("ztfdb/_migrations/versions/")} == revisions
    assert "ztfdb/_migrations/env.py" in names
    assert {n.partition("/")[0] for n in names} == {"ztfdb", f"ztfdb-{ztfdb.__version__}.dist-info"}
    assert not [n for n in names if "__pycache__" in n or n.endswith((".fits", ".sqlite"))]


def test_wheel_carries_every_module(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {str(p.relative_to(ROOT)) for p in (ROOT / "ztfdb").rglob("*.py")} <= names
    assert "ztfdb/py.typed" in names  # without it a type checker takes everything for Any


def test_init_works_from_a_wheel_in_another_folder(installed: Path, tmp_path: Path) -> None:
    where = run(installed / "python", "-c", "import ztfdb; print(ztfdb.__file__)", cwd=tmp_path)
    assert Path(where.stdout.strip()).is_relative_to(installed.parent), where.stderr
    done = run(installed / "ztfdb", "init", cwd=tmp_path, ZTFDB_URL="sqlite:///night.db")
    assert done.returncode == 0, done.stderr
    with closing(sqlite3.connect(tmp_path / "night.db")) as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert {"image", "source", "archive_meta", "alembic_version"} <= tables


def test_version_is_told_everywhere_alike(installed: Path, tmp_path: Path) -> None:
    code = "import importlib.metadata as m; print(m.version('ztfdb'))"
    assert run(installed / "python", "-c", code, cwd=tmp_path).stdout.strip() == ztfdb.__version__
    assert ztfdb.__version__ in run(installed / "ztfdb", "--version", cwd=tmp_path).stdout
    assert ztfdb.__version__ in run(installed / "python", "-m", "ztfdb", "--version", cwd=tmp_path).stdout


def test_every_extra_but_test_is_in_all() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = re.fullmatch(r"ztfdb\[(.*)\]", extras["all"][0])
    assert named is not None
    assert set(named[1].split(",")) == set(extras) - {"all", "test"}


def pins(lock: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements" / lock).read_text(), re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


@pytest.mark.parametrize("lock", ["core.txt", "demo.txt", "all.txt"])
def test_locks_agree_so_that_an_environment_can_grow(lock: str) -> None:
    assert pins(lock).items() <= pins("test.txt").items()
    assert pins("core.txt").items() <= pins(lock).items()


def test_every_dependency_is_pinned_with_a_hash() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.match(r"[\w.-]+", r)[0] for r in project["dependencies"] + project["optional-dependencies"]["test"]}
    assert wanted - {"ztfdb"} <= set(pins("test.txt"))
    for block in re.split(r"\n(?=\S)", (ROOT / "requirements" / "test.txt").read_text()):
        assert block.startswith("#") or "--hash=sha256:" in block


def test_one_wheel_of_the_kernels_serves_every_python(tmp_path: Path) -> None:
    compiled = pytest.importorskip("ztfdb_kernels", reason="ztfdb-kernels is not installed: no C compiler")
    built_before = shutil.ignore_patterns("build", "*.egg-info")
    source = shutil.copytree(ROOT / "kernels", tmp_path / "kernels", ignore=built_before)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "wheel", *options, "-w", str(tmp_path / "out"), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = (tmp_path / "out").iterdir()
    assert wheel.name.startswith(f"ztfdb_kernels-{compiled.__version__}-cp311-abi3-")
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
    (module,) = tops - {f"ztfdb_kernels-{compiled.__version__}.dist-info"}
    assert module.startswith("ztfdb_kernels.")
    assert (ROOT / "kernels" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def tracked_files() -> list[Path]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: there is no list of tracked files")
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_tracked_file_names_a_package_host_or_a_machine_s_folders() -> None:
    # Put together here so that this file does not name them either.
    hosts = ["pypi" + ".org", "python" + "hosted", "conda" + ".anaconda"]
    folders = [rf"(?<![\w.~-])/{name}/" for name in ("work", "root", "home")]
    pattern = re.compile("|".join([*map(re.escape, hosts), *folders]))
    said = []
    for path in tracked_files():
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        said += [f"{path.relative_to(ROOT)}:{i}: {line}" for i, line in enumerate(lines, 1) if pattern.search(line)]
    assert said == []


def test_no_image_data_is_tracked() -> None:
    kinds = (".fits", ".fits.gz", ".fits.fz", ".sqlite", ".parquet", ".psf")
    data = [p for p in tracked_files() if p.name.endswith(kinds) and not p.is_relative_to(ROOT / "tests" / "data")]
    assert data == []
    assert [p.name for p in tracked_files() if p.stat().st_size > 1_000_000] == []
