"""The documentation and the command line say the same."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import click
import pytest

from ztfdb.cli.app import application

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
    words = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", sections()[f"ztfdb {name}"]))
    command = application.commands[name]
    every = [command, *command.commands.values()] if isinstance(command, click.Group) else [command]
    options = [set(param.opts) for one in every for param in one.params if isinstance(param, click.Option)]
    assert not [names for names in options if not names & (words | SHARED)]


def test_an_option_has_the_same_letter_in_every_command():
    letters: dict[str, set[str]] = {}
    commands = list(application.commands.values())
    for command in commands:
        commands += command.commands.values() if isinstance(command, click.Group) else ()
        for option in (param for param in command.params if isinstance(param, click.Option)):
            short = "".join(sorted(name for name in option.opts if len(name) == 2))
            letters.setdefault(max(option.opts, key=len), set()).add(short)
    assert not {name: found for name, found in letters.items() if len(found) > 1}


def test_the_page_of_units_is_made_of_the_schemas_words():
    namespace = runpy.run_path(str(TOP / "scripts" / "units_page.py"))
    assert (TOP / "docs/units.md").read_text(encoding="utf-8") == namespace["page"]()
    rows = namespace["table"]().splitlines()
    assert len(rows) > 300
    assert {row.count("|") for row in rows} == {6}


def test_the_python_of_the_page_of_units_runs():
    (block,) = re.findall(r"```python\n(.*?)```", (TOP / "docs/units.md").read_text(), re.DOTALL)
    lines = block.splitlines()
    namespace = {}
    exec("\n".join(lines[:2]), namespace)
    assert eval(lines[2], namespace) == "uJy"
    assert eval(lines[3], namespace) == "Right ascension of the image's centre, ICRS."
    assert eval(lines[4], namespace)[:2] == ["source_id", "image_id"]


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
