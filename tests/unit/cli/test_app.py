from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import ztfdb
from tests.support.waiting import seconds_of_children
from ztfdb.cli import column_writers
from ztfdb.cli.app import application
from ztfdb.errors import DatabaseUnavailableError
from ztfdb.query.answer import Answer
from ztfdb.query.dataframes import columns_of


class Answers:
    """Stands where an archive would: keeps what it was asked, answers with `frame` or raises `error`."""

    def __init__(self):
        self.asked = None
        self.error = None
        self.frame = pd.DataFrame(
            {"ra": [12.5, 12.6], "dec": [-3.2, np.nan], "source_id": [1 << 60, 5], "flags": [0, 1]}
        )

    def open(self, url=None, **how):
        self.url, self.how = url, how
        return contextlib.nullcontext(self)

    def cone_answer(self, ra, dec, radius):
        self.asked = (ra, dec, radius)
        if self.error is not None:
            raise self.error
        return Answer(columns_of(self.frame), {})

    def sql(self, statement, **how):
        self.asked = (statement, how)
        return self.frame


@pytest.fixture
def answers(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # where no configuration lies
    monkeypatch.delenv("ZTFDB_URL", raising=False)
    made = Answers()
    monkeypatch.setitem(vars(ztfdb), "open", made.open)  # without the lazy import of what it stands for
    return made


def run(*words, **how):
    return CliRunner().invoke(application, words, **how)


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("12.5", "-3.2", "5"), (12.5, -3.2, 5.0)),
        (("12.5", "-.5", "5arcmin"), (12.5, -0.5, 300.0)),
        (("-12.5", "-3:12:00", "0.1deg"), (347.5, -3.2, 360.0)),
        (("00:50:00", "-03:12:00", "2"), (12.5, -3.2, 2.0)),
        (("00:50:00 -03:12:00", "2"), (12.5, -3.2, 2.0)),
        (("0", "50", "0", "-3", "12", "0", "2"), (12.5, -3.2, 2.0)),
        (("--format", "csv", "12.5", "-3.2", "5"), (12.5, -3.2, 5.0)),
    ],
)
def test_positions_and_radii_as_people_type_them(answers, words, asked):
    result = run("cone", *words)
    assert result.exit_code == 0, result.stderr
    assert answers.asked == pytest.approx(asked)


@pytest.mark.parametrize(
    "words",
    [("12.5", "5"), ("12.5", "-95", "5"), ("a", "b", "5"), ("12.5", "-3.2", "-5"), ("12.5", "-3.2", "5parsec"),
     ("12.5", "-3.2", "5", "--formt", "csv"), ("12.5", "-3.2", "5", "-o", "rows.dat"), (),
     ("12.5", "-3.2", "5", "--columns", "nonsense")],
)  # fmt: skip
def test_wrong_usage_exits_2_and_says_so_on_stderr(answers, words):
    result = run("cone", *words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Error: " in result.stderr


def test_what_the_question_refuses_is_wrong_usage(answers):
    answers.error = ValueError("radius is too odd")
    result = run("cone", "1", "2", "3")
    assert (result.exit_code, "radius is too odd" in result.stderr) == (2, True)


def test_an_error_is_one_line_without_a_traceback(answers):
    answers.error = DatabaseUnavailableError("cannot connect:\n  is the server\n  running?")
    result = run("cone", "1", "2", "3")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: cannot connect: is the server running?\n"


def test_interrupted_is_one_line_and_130(answers):
    answers.error = KeyboardInterrupt()
    result = run("cone", "1", "2", "3")
    assert (result.exit_code, result.stderr) == (130, "interrupted\n")


def test_a_reader_that_went_away_is_quiet(answers):
    answers.error = BrokenPipeError()
    result = run("cone", "1", "2", "3")
    assert (result.exit_code, result.stderr) == (141, "")


def test_an_empty_answer_is_its_header_and_a_word(answers):
    answers.frame = answers.frame.iloc[:0]
    result = run("cone", "1", "2", "3", "--format", "csv")
    assert (result.stdout, result.stderr) == ("ra,dec,source_id,flags\n", "no rows\n")
    assert json.loads(run("cone", "1", "2", "3", "--format", "json").stdout) == []


def test_a_table_shows_the_usual_columns_and_all_on_request(answers):
    answers.frame = answers.frame.assign(unusual=7)
    assert "unusual" not in run("cone", "1", "2", "3").stdout
    assert "unusual" in run("cone", "1", "2", "3", "--all").stdout
    assert "unusual" in run("cone", "1", "2", "3", "--format", "csv").stdout
    assert run("cone", "1", "2", "3", "--columns", "unusual, ra").stdout.split()[:2] == ["unusual", "ra"]


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("rows.csv", b"ra,dec"),
        ("rows.json", b"["),
        ("rows.vot", b"<?xml"),
        ("rows.PARQUET", b"PAR1"),
        ("rows.txt", b" "),
    ],
)
def test_the_suffix_tells_the_format(answers, tmp_path, name, begins):
    result = run("cone", "1", "2", "3", "-o", str(tmp_path / name))
    assert (result.exit_code, result.stdout) == (0, "")
    assert (tmp_path / name).read_bytes().startswith(begins)
    assert f"wrote 2 rows to {tmp_path / name}" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_format_wins_over_the_suffix(answers, tmp_path):
    run("cone", "1", "2", "3", "-o", str(tmp_path / "rows.csv"), "--format", "json")
    assert len(json.loads((tmp_path / "rows.csv").read_text())) == 2


def test_a_file_that_cannot_be_written_is_known_before_the_work(answers, tmp_path):
    result = run("cone", "1", "2", "3", "-o", str(tmp_path / "nowhere" / "rows.csv"))
    assert (result.exit_code, answers.asked) == (1, None)
    assert result.stderr.startswith("error: ")


def test_a_failed_write_leaves_the_old_file(answers, tmp_path, monkeypatch):
    path = tmp_path / "rows.csv"
    path.write_text("old")
    monkeypatch.setitem(column_writers.WRITERS, "csv", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    result = run("cone", "1", "2", "3", "-o", str(path))
    assert (result.exit_code, path.read_text(), len(list(tmp_path.iterdir()))) == (1, "old", 1)


def test_missing_parquet_names_the_extra(answers, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    result = run("cone", "1", "2", "3", "--format", "parquet")
    assert result.exit_code == 1
    assert "ztfdb[parquet]" in result.stderr


def test_the_archive_is_named_before_or_after_the_command(answers):
    run("--db", "sqlite:///a.db", "cone", "1", "2", "3")
    assert answers.url == "sqlite:///a.db"
    run("cone", "--db", "sqlite:///b.db", "1", "2", "3")
    assert (answers.url, answers.how) == ("sqlite:///b.db", {"read_only": True})
    run("cone", "1", "2", "3")
    assert answers.url == "sqlite:///ztfdb.sqlite"
    run("cone", "1", "2", "3", env={"ZTFDB_URL": "sqlite:///c.db"})
    assert answers.url == "sqlite:///c.db"


def test_the_configuration_file_is_read(answers, tmp_path):
    path = tmp_path / "ztfdb.toml"
    path.write_text('url = "sqlite:///d.db"\n')
    run("cone", "1", "2", "3", "--config", str(path))
    assert answers.url == "sqlite:///d.db"
    path.write_text("nonsense = 1")
    result = run("--config", str(path), "cone", "1", "2", "3")
    assert (result.exit_code, "nonsense" in result.stderr) == (1, True)


def test_verbose_logs_the_traceback_of_an_error(answers):
    answers.error = DatabaseUnavailableError("cannot connect")
    stderr = run("cone", "1", "2", "3", "-v", "-v").stderr
    assert "Traceback" in stderr
    assert stderr.endswith("\nerror: cannot connect\n")
    assert not logging.getLogger("ztfdb").handlers


def test_sql_parameters_are_numbers_where_they_read_as_numbers(answers):
    run("sql", "select :a", "-p", "a=2", "-p", "b=-1.5e3", "-p", "c=zr", "-p", "d=nan", "--timeout", "3")
    assert answers.asked == (
        "select :a",
        {"timeout_s": 3.0, "force": False, "a": 2, "b": -1500.0, "c": "zr", "d": "nan"},
    )
    run("sql", "-", input="select 1")
    assert answers.asked == ("select 1", {"timeout_s": None, "force": False})


def test_a_cone_is_printed_as_sql_without_an_archive(answers):
    result = run("cone", "12.5", "-3.2", "5", "--sql", "--table", "light_curve_point")
    assert result.exit_code == 0
    assert result.stdout.startswith("select * from light_curve_point\nwhere (hpx29 between ")
    assert answers.asked is None
    assert run("cone", "12.5", "-3.2", "5", "--table", "source").exit_code == 2
    assert "no positions" in run("cone", "12.5", "-3.2", "5", "--sql", "--table", "config").stderr


def test_tables_and_columns_are_listed_without_an_archive(answers):
    tables = json.loads(run("sql", "--tables", "--format", "json").stdout)
    assert [one["kind"] for one in tables[:2]] == ["view", "view"]
    assert {"source", "light_curve_point"} <= {one["name"] for one in tables}
    columns = json.loads(run("sql", "--describe", "source", "--format", "json").stdout)
    assert columns[3] == {
        "name": "ra", "datatype": "double", "unit": "deg", "ucd": "pos.eq.ra;meta.main",
        "description": "Right ascension, ICRS, 0 to 360.",
    }  # fmt: skip
    assert answers.asked is None
    result = run("sql", "--describe", "sources")
    assert result.exit_code == 2
    assert "no table 'sources'; there are" in result.stderr
    for words in ((), ("select 1", "--tables"), ("--tables", "--describe", "source")):
        assert "take one of" in run("sql", *words).stderr


@pytest.mark.parametrize("param", ["a", "=2", "1a=2", "force=1", "timeout_s=9"])
def test_a_parameter_without_a_proper_name_is_wrong_usage(answers, param):
    assert run("sql", "select 1", "-p", param).exit_code == 2


def test_version():
    assert run("--version").stdout == f"ztfdb {ztfdb.__version__}\n"


@pytest.mark.parametrize("name", sorted(application.commands))
def test_every_command_has_help_with_an_example(name):
    result = run(name, "--help")
    assert result.exit_code == 0
    assert "\nExample" in result.stdout
    assert f"\n  ztfdb {name}" in result.stdout
    assert application.commands[name].get_short_help_str()


def test_help_is_there_at_once():
    def seconds():
        before = seconds_of_children()
        subprocess.run([sys.executable, "-m", "ztfdb.cli", "--help"], check=True, capture_output=True)
        return seconds_of_children() - before

    def loaded():
        code = "import sys; import ztfdb.cli; print(*sys.modules)"
        return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()

    assert not {"numpy", "pandas", "astropy", "sqlalchemy", "rich.progress"} & set(loaded())
    assert min(seconds() for _ in range(3)) < 1.0  # 0.2 s on an idle machine


def test_the_lists_of_commands_have_whole_sentences():
    """click ended them with dots: "Cut stamps of a position, or of a table of them, from..."."""
    for words in ((), ("catalog",), ("token",), ("export",)):
        assert "...\n" not in run(*words, "--help").stdout.partition("Options:")[2]


def test_without_a_name_the_error_says_how_an_archive_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ZTFDB_URL", raising=False)
    told = "error: there is no archive at sqlite:///{}.sqlite: run `ztfdb init`"
    assert run("status").stderr.strip() == told.format("ztfdb") + ", or name another in ZTFDB_URL"
    assert run("status", "--db", "sqlite:///x.sqlite").stderr.strip() == told.format("x")
