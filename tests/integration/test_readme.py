"""The examples of the README run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import ztfdb
from ztfdb.simulate import make_science_image

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
POSITION = (58.0029, 35.7365)
MAGNITUDE = 17.0


def example(name: str, language: str) -> str:
    """The code block that follows the comment ``example: name``."""
    found = re.search(rf"<!-- example: {name} -->\n```{language}\n(.*?)```", README, re.DOTALL)
    assert found is not None, f"the README lost its {name} example"
    return found[1]


@pytest.fixture
def archive_of_one_star(archive: ztfdb.Archive, tmp_path: Path) -> ztfdb.Archive:
    """Two epochs in g and two in r of a star at the README's position."""
    for k, filtercode in enumerate(("zg", "zr", "zg", "zr")):
        make_science_image(
            tmp_path,
            sky_stars=(np.array([POSITION[0]]), np.array([POSITION[1]]), np.array([MAGNITUDE])),
            shape=(160, 160),
            ra=POSITION[0],
            dec=POSITION[1],
            obsmjd=59116.2 + k,
            filtercode=filtercode,
            seed=k,
        )
    assert archive.ingest(tmp_path).stored == 4
    return archive


def test_the_python_example_prints_the_light_curve(archive_of_one_star, capsys, monkeypatch):
    monkeypatch.setattr(ztfdb, "open", lambda url: archive_of_one_star, raising=False)
    code = example("python", "python")
    assert len([line for line in code.splitlines() if line and "import" not in line]) <= 5
    exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert printed.count("zr") == 2
    assert printed.count("zg") == 2


def test_the_sql_example_summarises_by_filter(archive_of_one_star):
    answer = archive_of_one_star.sql(example("sql", "sql"), force=True)  # the tests' PostgreSQL role is a superuser
    assert list(answer["filtercode"]) == ["zg", "zr"]
    assert list(answer["n"]) == [2, 2]
    # A star of 17 mag has S/N > 100 here: the mean of two epochs is good to 0.02 mag.
    assert answer["mean_mag"].to_numpy() == pytest.approx(MAGNITUDE, abs=0.03)
