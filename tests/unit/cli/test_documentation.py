"""The documentation and the command line say the same."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import astropy.units
import click
import pytest

from ztfdb.cli.app import application
from ztfdb.cli.columns import vo_unit
from ztfdb.cli.units import UNITS
from ztfdb.query.lightcurve import COLUMNS

TOP = Path(__file__).resolve().parents[3]
PAGES = ("README.md", "docs/commands.md", "docs/postgresql.md")
SHARED = {"--help", "--db", "--config", "--verbose", "--format", "--output", "--columns", "--all"}


def sections() -> dict[str, str]:
    parts = re.split(r"^## (.*)$", (TOP / "docs/commands.md").read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def command_lines() -> list[str]:
    """Every line that calls ztfdb: in shell blocks of the documentation and in the examples of --help."""
    lines = [line for command in (application, *application.commands.values()) for line in command.examples]
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", (TOP / page).read_text(), re.DOTALL):
            lines += block.splitlines()
    pieces = [piece.strip() for line in lines for piece in re.split(r"\s[|<]\s|\s#\s", line)]
    return sorted({piece for piece in pieces if piece.startswith("ztfdb ")})


@pytest.mark.parametrize("name", sorted(application.commands))
def test_every_command_and_each_of_its_options_is_documented(name):
    assert f"`ztfdb {name}`" in (TOP / "README.md").read_text()
    text = sections()[f"ztfdb {name}"]
    options = {
        max(param.opts, key=len) for param in application.commands[name].params if isinstance(param, click.Option)
    }
    missing = [option for option in options - SHARED if option not in text]
    assert not missing


def test_the_table_of_units_is_that_of_the_columns():
    documented = {}
    for line in (TOP / "docs/units.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) > 3 and "`" in cells[1]:
            documented |= dict.fromkeys(re.findall(r"`(\w+)`", cells[1]), cells[2])
    assert {name: UNITS[name] for name in documented} == documented
    assert {name for name in COLUMNS if name in UNITS} - set(documented) == set()


@pytest.mark.parametrize("unit", sorted(unit for unit in set(UNITS.values()) if "electron" not in unit))
def test_every_unit_has_a_vounit(unit):  # votlint takes electron, too, astropy's VOUnit does not know it
    assert astropy.units.Unit(vo_unit(unit), format="vounit") == astropy.units.Unit(unit.replace("DN", "adu"))


def test_no_command_is_documented_that_there_is_not():
    documented = {title.removeprefix("ztfdb ") for title in sections() if title.startswith("ztfdb ")}
    assert documented == set(application.commands)


@pytest.mark.parametrize("line", command_lines())
def test_every_example_can_be_parsed(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line)[1:]
    with application.make_context("ztfdb", words[:1], resilient_parsing=False) as ctx:
        command = application.commands[words[0]]
        with command.make_context(words[0], words[1:], parent=ctx):
            pass
