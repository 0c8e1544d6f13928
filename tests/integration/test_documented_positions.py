"""The position in README, docs and help is one that the demo's archive answers."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import ztfdb
from ztfdb.cli.app import application
from ztfdb.demo import SIMULATED_EPOCHS, build_demo
from ztfdb.sky.angles import separation
from ztfdb.sky.typed import parse_position

ROOT = Path(__file__).resolve().parents[2]
ELSEWHERE = {"12:34:56.7 -03:12:00", "269.4521 4.6934"}
"""Positions that show a notation or a famous star, and that no demo can have."""


def documented() -> Iterator[tuple[str, str]]:
    """Yield each place and position of a command or a call in README, docs and help."""
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for found in re.findall(r"^ztfdb (?:lightcurve|cone|images|stamp) (\d\S* [-+\d]\S*)", text, re.MULTILINE):
            yield page.name, found
        for ra, dec in re.findall(r"\.(?:light_curve|cone|images|stamps?)\((\d+\.\d+), ([-+]?\d+\.\d+)", text):
            yield page.name, f"{ra} {dec}"
    for command in (application, *application.commands.values()):
        for example in getattr(command, "examples", ()):
            words = shlex.split(example)
            if words[1] in ("lightcurve", "cone", "images", "stamp") and words[2][0].isdigit():
                yield f"{command.name} --help", " ".join(words[2:4])


def test_every_documented_position_is_the_same_star():
    places = [(place, position) for place, position in documented() if position not in ELSEWHERE]
    assert {"README.md", "commands.md", "lightcurve --help", "stamp --help"} <= {place for place, _ in places}
    assert len({round(ra, 4) for _, p in places for ra, _ in [parse_position(p.split())]}) <= 2  # two notations


@pytest.fixture(scope="module")
def made(quadrant, tmp_path_factory):
    """The demo."""
    return build_demo(tmp_path_factory.mktemp("demo"), quadrant[0], jobs=2)


def test_the_demo_archive_answers_the_documented_positions(made):
    with ztfdb.open(f"sqlite:///{made.database}", read_only=True) as archive:
        for place, position in documented():
            if position in ELSEWHERE:
                continue
            ra, dec = parse_position(position.split())
            assert len(archive.light_curve(ra, dec)) == 1 + len(SIMULATED_EPOCHS), (place, position)
            assert separation(ra, dec, made.ra, made.dec) < 0.5, (place, position)  # 1.5 arcsec is the radius
            assert len(archive.images(ra, dec)) == 1 + len(SIMULATED_EPOCHS), (place, position)


def test_the_page_of_light_curves_shows_what_the_demo_archive_says(made):
    """Its columns, and the warning about swapped coordinates."""
    page = (ROOT / "docs" / "light_curves.md").read_text(encoding="utf-8")
    (listed,) = re.findall(r"Columns: IRSA's 24 in IRSA's order and units, then (.*?)\. Without", page, re.DOTALL)
    (shown,) = re.findall(
        r"^EmptyAnswerWarning: (no image covers .*?)\nEmptyAnswerWarning", page, re.DOTALL | re.MULTILINE
    )
    ra, dec = 58.0029, 35.7365
    with ztfdb.open(f"sqlite:///{made.database}", read_only=True) as archive:
        curve = archive.light_curve(ra, dec, complete=True, bjd=True).data
        names = [name for name in re.findall(r"`([^`]*)`", listed) if "=" not in name]
        assert list(curve)[24:] == names
        without = archive.light_curve(ra, dec).data
        assert list(without) == [one for one in curve if one in without] and list(without)[-1] == "simulated"
        with pytest.warns(ztfdb.EmptyAnswerWarning) as warned:
            archive.light_curve(dec, ra)
    assert " ".join(shown.split()) == str(warned[0].message)


def test_the_page_of_the_service_runs_from_its_top_to_its_end(made, tmp_path):
    """As somebody reads it who has nothing: the command of its top, then every example, on the demo's archive."""
    for package in ("starlette", "requests", "pyvo", "ztfquery"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    from tests.support.serving import Serving

    page = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
    assert f"--db sqlite:///demo/{made.database.name}" in page
    blocks = re.findall(r"^```(sh|python)\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert blocks[0][1].splitlines() == ["pip install 'ztfdb[serve]'", "ztfdb serve --db sqlite:///night.db"]
    environ = os.environ | {"HOME": str(tmp_path), "ZTFDATA": str(tmp_path), "PYTHONWARNINGS": "ignore"}
    with Serving(f"sqlite:///{made.database}") as service:
        code = ["import warnings", "warnings.simplefilter('ignore')"]
        for kind, block in blocks[1:]:
            block = block.replace("http://127.0.0.1:8000", service.base)
            if kind == "python":
                code.append(block)
                continue
            done = subprocess.run(["sh", "-ec", block], capture_output=True, timeout=120, cwd=tmp_path, env=environ)
            assert done.returncode == 0 and b"rror" not in done.stdout[:300], (block, done.stdout[:300], done.stderr)
        code.append("print(len(curve.data), len(many), len(query.metatable), len(images), len(cutouts), len(series))")
        done = subprocess.run(
            [sys.executable, "-c", "\n".join(code)], capture_output=True, text=True, timeout=300, env=environ
        )
        assert done.returncode == 0, done.stderr
        n = 1 + len(SIMULATED_EPOCHS)
        counts = [int(word) for word in done.stdout.split()]
        assert counts[0] == n and counts[2:4] == [n, n] and counts[4] == n and counts[5] >= n, counts
        assert counts[1] > n  # two positions
    assert (tmp_path / "stamps.png").read_bytes().startswith(b"\x89PNG")


def test_documented_commands_take_the_documented_words():
    """`ztfdb remove ID` was none: it is `ztfdb remove image ID`."""
    found = 0
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for name, word in re.findall(r"`?ztfdb (\w+) ([\w-]+)", page.read_text(encoding="utf-8")):
            command = application.commands.get(name)
            words = getattr(command, "commands", None)  # of a group
            if words is None and command is not None:
                first = next((one for one in command.params if isinstance(one, click.Argument)), None)
                words = getattr(getattr(first, "type", None), "choices", None)
            if words is not None and word not in ("and", "or", "of", "to", "with", "shows", "prints"):
                found += 1
                assert word in words, (page.name, name, word)
    assert found > 20
