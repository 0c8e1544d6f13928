"""The position in README, docs and help is one that the demo's archive answers."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

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


def test_the_demo_archive_answers_the_documented_positions(quadrant, tmp_path):
    made = build_demo(tmp_path, quadrant[0], jobs=2)
    with ztfdb.open(f"sqlite:///{made.database}", read_only=True) as archive:
        for place, position in documented():
            if position in ELSEWHERE:
                continue
            ra, dec = parse_position(position.split())
            assert len(archive.light_curve(ra, dec)) == 1 + len(SIMULATED_EPOCHS), (place, position)
            assert separation(ra, dec, made.ra, made.dec) < 0.5, (place, position)  # 1.5 arcsec is the radius
            assert len(archive.images(ra, dec)) == 1 + len(SIMULATED_EPOCHS), (place, position)
