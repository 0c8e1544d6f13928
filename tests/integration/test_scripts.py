"""What scripts/test and scripts/demo do before Python runs, with stand-ins for python3 and uv."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import seconds_of_children

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("sh", "dirname", "cat", "cksum", "rm", "flock", "mktemp")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the scripts are for a POSIX shell")

OLD_PYTHON = 'case "$2" in *print*) echo 3.8.18 ;; *) exit 1 ;; esac'
WITHOUT_ENSUREPIP = 'case "$2" in *ensurepip*) exit 1 ;; *print*) echo 3.11 ;; esac'
# "Makes" an environment whose python says what it is asked to do, and whose version is enough for the stamp.
WORKING_PYTHON = """
case "$2" in
    *print*) echo 3.11.2 ;;
    venv) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && : >"$3/pyvenv.cfg" ;;
    pip | pytest) echo "$*" ;;
esac
"""


class Checkout:
    """A copy of what the scripts read, and a PATH with nothing but what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkout"
        self.path = folder / "bin"
        self.path.mkdir()
        for name in ("scripts", "requirements", "kernels"):
            shutil.copytree(ROOT / name, self.folder / name)
        shutil.copy(ROOT / "pyproject.toml", self.folder)
        for name in (*TOOLS, "mkdir", "cp"):
            if found := shutil.which(name):
                (self.path / name).symlink_to(found)

    def add(self, name: str, body: str) -> None:
        program = self.path / name
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)

    def run(self, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.folder / "scripts" / script, *arguments],
            capture_output=True,
            text=True,
            cwd=self.folder.parent,
            env={"PATH": str(self.path), "HOME": str(self.folder), **environment},
            check=False,
        )


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@pytest.mark.parametrize("script", ["test", "demo"])
def test_no_python_is_told(checkout: Checkout, script: str) -> None:
    done = checkout.run(script)
    assert done.returncode == 1
    assert "there is no python3 on PATH" in done.stderr
    assert "apt install python3 python3-venv" in done.stderr


@pytest.mark.parametrize("script", ["test", "demo"])
def test_old_python_is_told_with_its_version(checkout: Checkout, script: str) -> None:
    checkout.add("python3", OLD_PYTHON)
    done = checkout.run(script)
    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr
    assert "3.8.18" in done.stderr


def test_newer_python_is_found_behind_an_old_one(checkout: Checkout) -> None:
    checkout.add("python3", OLD_PYTHON)
    checkout.add("python3.12", WORKING_PYTHON)
    done = checkout.run("test", "-k", "cone")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "-m pytest -k cone"


def test_missing_ensurepip_is_told_even_after_uv_failed(checkout: Checkout) -> None:
    checkout.add("python3", WITHOUT_ENSUREPIP)
    checkout.add("uv", "exit 2")
    done = checkout.run("test")
    assert done.returncode == 1
    assert "going on without it" in done.stderr
    assert "apt install python3-venv" in done.stderr


def test_pip_takes_over_from_a_failing_uv(checkout: Checkout) -> None:
    checkout.add("python3", WORKING_PYTHON)
    checkout.add("uv", "exit 2")
    done = checkout.run("test")
    assert done.returncode == 0, done.stderr
    assert "--require-hashes --no-deps -r requirements/test.txt" in done.stdout


def test_the_kernels_are_built_where_there_is_a_compiler(checkout: Checkout) -> None:
    checkout.add("python3", WORKING_PYTHON)
    without = checkout.run("test")
    assert without.returncode == 0, without.stderr
    assert "No C compiler" in without.stderr
    assert "/kernels" not in without.stdout
    checkout.add("cc", "exit 0")
    (checkout.folder / ".venv" / "stamp").unlink()
    built = checkout.run("test")
    assert built.returncode == 0, built.stderr
    (line,) = (line for line in built.stdout.splitlines() if line.endswith("/kernels"))
    assert "install --quiet --no-deps --no-build-isolation --no-index" in line


def test_kernels_that_cannot_be_built_are_an_error_where_there_is_a_compiler(checkout: Checkout) -> None:
    checkout.add(
        "python3", WORKING_PYTHON.replace("pip | pytest)", "pip) case $* in */kernels) exit 1 ;; esac ;;\n    pytest)")
    )
    checkout.add("cc", "exit 0")
    done = checkout.run("test")
    assert done.returncode == 1
    assert "kernels/ could not be built" in done.stderr


def test_a_ready_environment_is_used_at_once_until_something_changes(checkout: Checkout) -> None:
    checkout.add("python3", WORKING_PYTHON)
    assert "Making the environment" in checkout.run("test").stderr
    before = seconds_of_children()
    assert "Making" not in checkout.run("test").stderr
    assert seconds_of_children() - before < 1.0
    assert "Making" not in (demo := checkout.run("demo")).stderr, "the demo's packages are among the tests'"
    assert demo.returncode != 0  # the stand-in has no ztfdb
    with (checkout.folder / "pyproject.toml").open("a") as file:
        file.write("\n")
    assert "Making the environment" in checkout.run("test").stderr


def test_an_environment_that_no_longer_runs_is_made_again(checkout: Checkout) -> None:
    checkout.add("python3", WORKING_PYTHON)
    checkout.run("test")
    python = checkout.folder / ".venv" / "bin" / "python"
    python.unlink()
    done = checkout.run("test")
    assert "Making the environment" in done.stderr
    assert os.access(python, os.X_OK)


def test_the_demo_s_environment_is_not_enough_for_the_tests(checkout: Checkout) -> None:
    checkout.add("python3", WORKING_PYTHON)
    checkout.run("demo")
    assert "Making the environment" in checkout.run("test").stderr


def test_the_environment_can_lie_elsewhere(checkout: Checkout, tmp_path: Path) -> None:
    checkout.add("python3", WORKING_PYTHON)
    checkout.run("test", ZTFDB_VENV=str(tmp_path / "elsewhere"))
    assert (tmp_path / "elsewhere" / "stamp").exists()
    assert not (checkout.folder / ".venv").exists()


def test_a_folder_that_is_no_environment_is_left_alone(checkout: Checkout, tmp_path: Path) -> None:
    checkout.add("python3", WORKING_PYTHON)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis").write_text("years")
    done = checkout.run("test", ZTFDB_VENV=str(tmp_path / "mine"))
    assert done.returncode == 1
    assert "left alone" in done.stderr
    assert (tmp_path / "mine" / "thesis").read_text() == "years"
