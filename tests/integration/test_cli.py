"""The command line on real archives: on both engines, in this process and as its own."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from click.testing import CliRunner, Result

import ztfdb
from tests.support.postgres import ENGINES, Databases
from ztfdb.cli.app import application
from ztfdb.cli.output import make_output
from ztfdb.query import targets
from ztfdb.simulate import make_science_image

RA, DEC = 57.9974, 35.7463
OFFSET_DEG = 20.0 / 3600.0


@dataclass
class Night:
    """An archive that the command line made, and the images in it."""

    url: str
    folder: Path

    def run(self, *words: str, **how: object) -> Result:
        return CliRunner().invoke(application, ["--db", self.url, *words], **how)

    def rows(self, *words: str) -> list[dict[str, object]]:
        result = self.run(*words, "--format", "json")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two exposures of one field in two filters, and a file that is no image."""
    folder = tmp_path_factory.mktemp("night")
    sky = ([RA, RA + OFFSET_DEG, RA], [DEC, DEC, DEC + OFFSET_DEG], [16.5, 17.0, 18.0])
    for k, filtercode in enumerate(("zr", "zg")):
        settings = {"obsmjd": 59116.25 + k, "filtercode": filtercode, "ra": RA, "dec": DEC}
        make_science_image(folder, sky_stars=sky, n_star=60, seed=k, shape=(300, 300), **settings)
    (folder / "ztf_20200924431759_000655_zr_c13_o_q3_sciimg.fits").write_text("<html>Not Found</html>")
    return folder


@pytest.fixture(scope="module", params=ENGINES)
def night(request: pytest.FixtureRequest, databases: Databases, images: Path) -> Night:
    made = Night(databases.empty(request.param), images)
    assert made.run("init").exit_code == 0
    result = made.run("ingest", str(images), "--list")
    assert result.exit_code == 1
    assert "3 found = 2 stored + 0 unchanged + 0 known copies + 1 failed" in result.stderr
    failed = [line for line in result.stderr.splitlines() if line.startswith("failed: ")]
    assert len(failed) == 1
    assert "000655_zr" in failed[0]
    assert failed[0].endswith(
        "not a FITS file but a web page, as a failed download leaves: it starts with b'<html>Not Found<'"
    )
    assert result.stderr.count("c13_o_q3_sciimg") == 1  # the log does not say it once more
    outcomes = sorted(line.split()[0] for line in result.stdout.splitlines())
    assert outcomes == ["failed", "stored", "stored"]
    return made


def test_init_again_changes_nothing(night):
    assert night.run("init").exit_code == 0
    assert json.loads(night.run("status", "--format", "json").stdout)["n_image"] == 2


def test_a_second_ingest_writes_nothing_and_reports_it(night, tmp_path):
    path = tmp_path / "outcomes.csv"
    listed = "\n".join(str(one) for one in night.folder.glob("*sciimg.fits"))
    result = night.run("ingest", "-", "--report", str(path), input=listed)
    assert result.exit_code == 1
    assert "2 unchanged" in result.stderr
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert sorted(row["outcome"] for row in rows) == ["failed", "unchanged", "unchanged"]
    assert all(row["reason"] for row in rows if row["outcome"] == "failed")


def test_other_settings_than_the_archive_s_are_refused(night, tmp_path):
    path = tmp_path / "other.toml"
    path.write_text("[extraction]\nthreshold = 3.0\n")
    result = night.run("ingest", str(night.folder), "--config", str(path))
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "threshold is 1.5 in the archive and 3.0 here" in result.stderr


def test_a_missing_mask_is_what_the_report_names(night):
    image = next(path for path in night.folder.glob("*sciimg.fits") if "20200924431759" not in path.name)
    result = night.run("ingest", str(image), "--mask", str(night.folder / "nowhere_mskimg.fits"))
    assert result.exit_code == 1
    assert "nowhere_mskimg.fits: there is no such file" in result.stderr


def test_ingest_without_failures_exits_0(night):
    good = [str(path) for path in night.folder.glob("*sciimg.fits") if "20200924431759" not in path.name]
    assert night.run("ingest", *good).exit_code == 0


def test_status_says_what_is_there(night):
    text = night.run("status").stdout
    assert "2 simulated" in text
    assert "secret" not in text
    filters = json.loads(night.run("status", "--format", "json").stdout)["filters"]
    assert [one["filtercode"] for one in filters] == ["zg", "zr"]


def test_answers_are_those_of_python(night):
    with ztfdb.open(night.url) as archive:
        assert night.rows("cone", str(RA), str(DEC), "30") == as_json(archive.cone(RA, DEC, 30.0))
        curve = archive.light_curve(RA, DEC, 2.0, filters=["zr"]).to_pandas()
        assert night.rows("lightcurve", str(RA), str(DEC), "--radius", "2", "--filter", "zr") == as_json(curve)
        assert night.rows("images", str(RA), str(DEC)) == as_json(archive.images(RA, DEC))
        statement = "select * from light_curve_point order by source_id"
        assert night.rows("sql", statement, *superuser(night)) == as_json(archive.sql(statement, force=True))


def superuser(night: Night) -> list[str]:
    """The tests' server knows only its superuser, whom ``sql`` refuses."""
    return ["--force"] if night.url.startswith("postgres") else []


def as_json(frame):
    from ztfdb.cli.writers import write_json

    stream = io.BytesIO()
    write_json(frame, {}, stream)
    return json.loads(stream.getvalue())


def test_a_sexagesimal_position_is_the_same_position(night):
    expected = night.rows("cone", str(RA), str(DEC), "5")
    assert len(expected) == 2
    for radius in (["0.0833333arcmin"], ["0.0833333", "arcmin"]):
        again = night.rows("cone", "03:51:59.376", "+35:44:46.68", *radius)
        assert [row["source_id"] for row in again] == [row["source_id"] for row in expected]


def test_a_table_of_positions_keeps_its_names(night, tmp_path):
    path = tmp_path / "stars.csv"
    path.write_text(f"star,RA,Dec\nnobody,10,-10\nfirst,{RA},{DEC}\nthird,{RA},{DEC + OFFSET_DEG}\n")
    rows = night.rows("lightcurve", str(path), "--keep", "star")
    assert [(row["star"], row["position"], row["filtercode"]) for row in rows] == [
        ("first", 1, "zr"), ("first", 1, "zg"), ("third", 2, "zr"), ("third", 2, "zg"),
    ]  # fmt: skip
    assert all(isinstance(row["oid"], str) for row in rows)
    out = tmp_path / "curves.csv"  # written piece by piece
    result = night.run("lightcurve", str(path), "--keep", "star", "-o", str(out))
    assert (result.exit_code, "wrote 4 rows" in result.stderr) == (0, True)
    read = list(csv.DictReader(out.read_text().splitlines()))
    assert [(row["star"], float(row["mag"])) for row in read] == [(row["star"], row["mag"]) for row in rows]


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_positions_without_rows_are_named_on_stderr(night, tmp_path, form):
    path = tmp_path / "stars.csv"
    path.write_text(f"ra,dec\n10,-10\n{RA},{DEC}\n{RA},{DEC + 0.001}\n")
    assert (
        "2 of 3 positions have no rows: 0, 2 (counted from 0)\n"
        in night.run("lightcurve", str(path), "--format", form).stderr
    )
    assert "1 of 3 positions have no stamps: 0 (counted from 0)\n" in night.run("stamp", str(path)).stderr
    path.write_text(f"ra,dec\n{RA / 15},{DEC}\n")
    said = night.run("lightcurve", str(path), "--format", form).stderr
    assert "is ra in hours? 2 images cover" in said and "positions have" not in said


def test_an_error_on_the_command_line_names_no_method_of_python(night):
    result = night.run("lightcurve", str(RA), str(DEC), "--phot", "both", "--calibration", "ps1")
    assert (result.exit_code, "Error: the zero points of calibration 'ps1'" in result.stderr) == (2, True)


def test_a_cone_without_a_radius_says_so(night):
    result = night.run("cone", str(RA), str(DEC))
    assert (result.exit_code, "RA DEC RADIUS" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    "words",
    [
        ("export", "hats", ""), ("relocate", "data", ""), ("watch", ""), ("ingest", ""), ("backup", ""),
        ("cone", "1", "2", "3", "-o", ""), ("cone", "1", "2", "3", "--output="), ("remove", "night", ""),
    ],
)  # fmt: skip
def test_an_empty_word_is_not_the_current_folder(night, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    result = night.run(*words)
    assert (result.exit_code, "is a variable of the shell not set?" in result.stderr) == (2, True)
    assert words[-2] != "-o" or "an empty argument after -o:" in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        "ingest",
        "lightcurve",
        "stamp",
        "backup",
        "export hats",
        "relocate data",
        "images",
        "status --config",
        "--config",
    ],
)
def test_the_shell_completes_names_of_files(command):
    environ = {"_ZTFDB_COMPLETE": "bash_complete", "COMP_WORDS": f"ztfdb {command} da"}
    environ["COMP_CWORD"] = str(len(command.split()) + 1)
    assert CliRunner(env=environ).invoke(application, [], prog_name="ztfdb").stdout == "file,da\n"


def test_the_shell_completes_filters():
    environ = {"_ZTFDB_COMPLETE": "bash_complete", "COMP_WORDS": "ztfdb stamp --filter z", "COMP_CWORD": "3"}
    told = CliRunner(env=environ).invoke(application, [], prog_name="ztfdb").stdout
    assert told.split() == ["plain,zg", "plain,zr", "plain,zi"]


@pytest.mark.parametrize("words", [("-r", "5"), ("--radius", "5arcsec"), ("5", "arcsec")])
def test_the_radius_of_a_cone_is_a_word_or_an_option(night, words):
    expected = night.rows("cone", str(RA), str(DEC), "5")
    assert expected and night.rows("cone", str(RA), str(DEC), *words) == expected
    if words[0] != "5":
        assert night.rows("cone", *words, str(RA), str(DEC)) == expected
    assert night.run("cone", str(RA), str(DEC), "5", "-r", "5").exit_code == 2


def test_a_name_that_contains_a_position_is_one(night):
    expected = night.rows("lightcurve", str(RA), str(DEC), "--columns", "source_id")
    for words in (
        ["J035159.376+354446.68"], ["ZTF", "J035159.376+354446.68"],
        ["03:51:59.376+35:44:46.68"], [f"({RA}, {DEC})"],
    ):  # fmt: skip
        assert night.rows("lightcurve", *words, "--columns", "source_id") == expected
    result = night.run("cone", "J036159.376+354446.68", "3")
    assert (result.exit_code, "'03:61:59.376' has 60 or more" in result.stderr) == (2, True)


def test_a_votable_of_a_table_has_the_bytes_of_the_whole(night, tmp_path, monkeypatch):
    path = tmp_path / "stars.csv"
    path.write_text(f"ra,dec\n10,-10\n{RA},{DEC}\n10,-10\n{RA},{DEC + OFFSET_DEG}\n")
    made = []
    for n_position in (1, 1_000):
        monkeypatch.setattr(targets, "POSITIONS_PER_CHUNK", n_position)
        result = night.run("lightcurve", str(path), "-o", str(tmp_path / "x.vot"))
        assert (result.exit_code, "wrote 4 rows" in result.stderr) == (0, True)
        made.append((tmp_path / "x.vot").read_bytes())
    assert made[0] == made[1]
    assert b'<TABLE nrows="4">' in made[0]
    assert len(Table.read(tmp_path / "x.vot", format="votable")) == 4


@pytest.mark.parametrize("wrong", [("--keep", "nothing"), ("--plot", "x.png"), ("--color", "nothing")])
def test_what_a_table_cannot_do_is_wrong_usage(night, tmp_path, wrong):
    path = tmp_path / "stars.csv"
    path.write_text("ra,dec\n1,2\n")
    assert night.run("lightcurve", str(path), *wrong).exit_code == 2


def test_a_plot_is_drawn(night, tmp_path):
    path = tmp_path / "curve.png"
    result = night.run("lightcurve", str(RA), str(DEC), "--plot", str(path))
    assert result.exit_code == 0, result.stderr
    assert path.read_bytes().startswith(b"\x89PNG")
    assert night.run("lightcurve", str(RA), str(DEC), "--plot", str(tmp_path / "curve.xyz")).exit_code == 2


@pytest.mark.skipif(shutil.which("stilts") is None, reason="stilts is not installed")
@pytest.mark.parametrize(
    "command", ["cone {} {} 30", "lightcurve {} {}", "images {} {}", "cone 1 2 3", "lightcurve 1 2"]
)
def test_votables_are_valid(night, tmp_path, command):
    path = tmp_path / "rows.vot"
    assert night.run(*command.format(RA, DEC).split(), "-o", str(path)).exit_code == 0
    done = subprocess.run(
        ["stilts", "votlint", "ucd=true", "unit=true", str(path)], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("", 0)


@pytest.mark.parametrize("command", ["cone", "lightcurve", "images"])
def test_an_empty_answer_has_its_columns(night, command):
    result = night.run(command, "200", "-60", *(["3"] if command == "cone" else []), "--format", "csv")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (0, "no rows")
    assert "no image covers (200.00000, -60.00000); the archive covers" in result.stderr
    full = night.run(command, str(RA), str(DEC), *(["3"] if command == "cone" else []), "--format", "csv")
    assert result.stdout.splitlines()[0] == full.stdout.splitlines()[0]


@pytest.mark.parametrize("words", [("cone", "1", "2", "1000deg"), ("lightcurve", "1", "2", "--radius", "2deg")])
def test_a_radius_beyond_the_maximum_is_refused(night, words):
    result = night.run(*words)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert "maximum" in result.stderr


@pytest.mark.parametrize("statement", ["delete from source", "select 1; drop table source", "attach 'x.db' as x"])
def test_sql_cannot_write(night, statement):
    result = night.run("sql", statement, *superuser(night))
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert json.loads(night.run("status", "--format", "json").stdout)["n_image"] == 2


def test_both_engines_print_the_same(databases, images):
    nights = [Night(databases.empty(engine), images) for engine in ENGINES]
    for night in nights:
        night.run("init")
        night.run("ingest", str(images))
    summary = "select filtercode, max(mag) as m, sum(good) as n from light_curve_point group by 1 order by 1"
    questions = (
        ["cone", str(RA), str(DEC), "60"],
        ["lightcurve", str(RA), str(DEC)],
        ["sql", summary],
    )
    for words in questions:
        for form in ("table", "csv", "json", "votable", "parquet", "fits", "ecsv", "ipac"):
            one, other = (asked(night, *words, "--format", form) for night in nights)
            assert one == other, (words, form)


def asked(night: Night, *words: str) -> bytes:
    result = night.run(*words, *(superuser(night) if words[0] == "sql" else ()))
    assert result.exit_code == 0, result.stderr
    return result.stdout_bytes


def test_without_an_archive_init_is_named(tmp_path):
    result = Night(f"sqlite:///{tmp_path / 'none.sqlite'}", tmp_path).run("cone", "1", "2", "3")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "ztfdb init" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_database_without_a_table_is_a_new_archive_for_ingest(images, tmp_path):
    """An ingest that was interrupted while it made its archive leaves such a file."""
    path = tmp_path / "interrupted é.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("create table one (a); drop table one;")
    result = Night(f"sqlite:///{path}", tmp_path).run("ingest", str(next(images.glob("*zg*sciimg.fits"))))
    assert result.exit_code == 0
    assert f"made the archive sqlite:///{path}" in result.stderr and "1 stored" in result.stderr


def test_a_folder_is_no_archive(tmp_path):
    result = Night(f"sqlite:///{tmp_path}", tmp_path).run("status")
    assert (result.exit_code, result.stderr) == (1, f"error: {tmp_path} is a folder; expected the file of an archive\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("region", "58", "35", "--box", "-1", "0.1"),
            "a box of -1 x 0.1 deg: expected sizes above 0 and up to 178 deg",
        ),
        (("region", "58", "35", "--box", "-x", "0.1"), "'-x' is not a valid float"),
        (("stamp", "58", "35", "--size", "-3"), "-3 is not in the range"),
        (("cone", "58", "-91", "3"), "-91"),
    ],
)
def test_a_negative_number_is_named_as_it_was_typed(night, words, message):
    result = night.run(*words)
    assert result.exit_code == 2
    assert message in result.stderr and "\N{MINUS SIGN}" not in result.stderr


def test_two_columns_of_one_name_are_no_json(night):
    result = night.run("sql", "select 1 as a, 2 as a", "--force", "--format", "json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "two columns are named a: name them with AS" in result.stderr


def test_stamps_of_a_table(night, tmp_path):
    table = tmp_path / "stars.csv"
    table.write_text(f"ra,dec\n{RA},{DEC}\n{RA},{DEC + 0.002}\n")
    result = night.run("stamp", str(table), "-o", str(tmp_path / "stamps.npy"), "--size", "9")
    assert result.exit_code == 0, result.stderr
    each = [np.load(tmp_path / "stamps.npy")]
    for number, dec in enumerate((DEC, DEC + 0.002)):
        path = str(tmp_path / f"{number}.npy")
        assert night.run("stamp", str(RA), str(dec), "-o", path, "--size", "9").exit_code == 0
        each.append(np.load(path))
    np.testing.assert_array_equal(each[0], np.concatenate(each[1:]))
    assert "position" in night.run("stamp", str(table)).stdout
    assert night.run("stamp", str(tmp_path / "none.csv")).exit_code == 2


@pytest.mark.parametrize("statement", ["select * from lightcurve", "select filtercod from image"])
@pytest.mark.parametrize("form", ["table", "csv", "votable"])
def test_an_unknown_name_in_sql_says_where_names_are(night, statement, form):
    result = night.run("sql", statement, "--force", "--format", form)
    assert result.exit_code == 1
    assert "`ztfdb sql --tables` lists tables, `--describe TABLE` their columns" in result.stderr


@pytest.mark.parametrize("how", [[], ["--complete"], ["--format", "csv"]])
def test_epochs_without_the_calibration_are_told(night, how):
    result = night.run("lightcurve", str(RA), str(DEC), "--calibration", "ps1", *how)
    assert (
        "2 of 2 epochs have no magnitude: their images are not calibrated by ps1, see `ztfdb calibrate`"
        in result.stderr
    )
    assert "calibrated" not in night.run("lightcurve", str(RA), str(DEC), *how).stderr


def test_epochs_of_a_table_without_the_calibration_are_told(night, tmp_path):
    path = tmp_path / "stars.csv"
    path.write_text(f"ra,dec\n{RA},{DEC}\n{RA},{DEC + OFFSET_DEG}\n")
    for form in ("table", "csv"):
        result = night.run("lightcurve", str(path), "--calibration", "self", "--format", form)
        assert "4 of 4 epochs have no magnitude" in result.stderr and "`ztfdb calibrate --method self`" in result.stderr


def test_a_statement_may_begin_with_a_comment(night):
    assert night.rows("sql", "-- one\nselect 1 as a", "--force") == [{"a": 1}]


def test_parquet_says_in_words_what_it_cannot_hold(night, tmp_path):
    pytest.importorskip("pyarrow")
    path = str(tmp_path / "mixed.parquet")
    result = night.run("sql", "select 1 as a union all select 'x'", "--force", "-o", path)
    assert result.exit_code == 1 and not Path(path).exists()
    assert "('" not in result.stderr and '("' not in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("cone", "nan", "35.7", "3"), "'nan' is neither decimal degrees nor sexagesimal"),
        (("lightcurve", "nosuch.csv"), "nosuch.csv"),
    ],
)
def test_a_number_or_a_file_is_not_looked_up_as_a_name(night, words, message):
    result = night.run(*words)
    assert result.exit_code != 0
    assert message in result.stderr and "SkyCoord.from_name" not in result.stderr


def test_a_row_that_is_no_position_says_why(night, tmp_path):
    (tmp_path / "stars.csv").write_text("ra,dec\n58.0,35.0\n58.0,91.0\n58.0,\n")
    result = night.run("lightcurve", str(tmp_path / "stars.csv"))
    assert result.exit_code != 0
    said = "stars.csv, row 2: declination 91 is outside -90 to 90 deg; 2 of 3 rows have no valid declination"
    assert said in result.stderr


@pytest.mark.parametrize("word", ["status", "init"])
def test_a_file_that_is_no_archive_is_one_line(tmp_path, word):
    path = tmp_path / "notes.txt"
    path.write_text("not an archive, only words " * 50)
    result = Night(f"sqlite:///{path}", tmp_path).run(word)
    assert (result.exit_code, result.stderr) == (1, f"error: {path}: file is not a database\n")


@pytest.mark.parametrize("place", ["/nowhere?host=/nonexistent", "127.0.0.1:1/nowhere"])
def test_an_unreachable_database_is_one_line_without_the_password(place):
    result = Night(f"postgresql://someone:secret@{place}", Path()).run("status")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert "secret" not in result.stderr


# As its own process


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "ztfdb.cli", *words]


def environment(night: Night) -> dict[str, str]:
    return {**os.environ, "ZTFDB_URL": night.url}


@pytest.mark.parametrize("night", ["sqlite"], indirect=True)
def test_the_environment_names_the_archive(night):
    done = subprocess.run(command("status"), env=environment(night), capture_output=True, text=True, check=True)
    assert "images    2" in done.stdout


@pytest.mark.parametrize("night", ["sqlite"], indirect=True)
@pytest.mark.parametrize("form", ["table", "json"])
def test_a_reader_that_goes_away_is_no_error(night, form):
    statement = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 100000) select i from n"
    words = command("sql", statement, "--format", form, *superuser(night))
    with subprocess.Popen(words, env=environment(night), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141


@pytest.mark.parametrize("night", ["sqlite"], indirect=True)
def test_on_a_terminal_the_table_fits_and_the_bar_shows(night):
    text, status = on_terminal(command("lightcurve", str(RA), str(DEC)), environment(night), columns=80)
    assert status == 0
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "--all shows every one" in text
    text, status = on_terminal(command("ingest", str(night.folder)), environment(night), columns=120)
    assert status == 1
    assert "3/3" in text
    assert "3 found = " in text


def on_terminal(words: list[str], env: dict[str, str], columns: int) -> tuple[str, int]:
    """Run a command with stdout and stderr on one pseudo-terminal."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {key: value for key, value in env.items() if key not in ("COLUMNS", "LINES")} | {"TERM": "xterm"}
    process = subprocess.Popen(words, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    pieces = []
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # Linux's end of file of a terminal whose other side has closed
            break
        if not piece:
            break
        pieces.append(piece)
    os.close(ours)
    return b"".join(pieces).decode(), process.wait()


def test_a_folder_without_images_says_what_was_left_out_and_fails(night, tmp_path):
    (tmp_path / "notes.txt").write_text("seeing was bad")
    result = night.run("ingest", str(tmp_path))
    assert result.exit_code == 1
    assert "1 file left out: 1 not FITS" in result.stderr
    assert "0 found" in result.stderr
    assert f"no image of ZTF in {tmp_path}; PSF catalogues are ingested with --psfcat" in result.stderr
    assert f"no PSF catalogue of ZTF in {tmp_path}\n" in night.run("ingest", "--psfcat", str(tmp_path)).stderr


POSITION = (str(RA), str(DEC))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("explain", "9" * 20), "source_id 99999999999999999999: expected a whole number of at most 64 bits"),
        (("lightcurve", *POSITION, "--keep", "name"), "--keep, --ra-column and --dec-column go with a table"),
        (("stamp", *POSITION, "--ra-column", "name"), "--ra-column and --dec-column go with a table"),
        (("lightcurve", *POSITION, "--complete", "--forced", "--psf"), "take one of --forced and --psf"),
        (("cone", *POSITION, "5", "--sql", "-o", "q.csv"), "--sql prints a statement: it goes with neither -o"),
        (("cone", *POSITION, "5", "--sql", "--format", "json"), "--sql prints a statement: it goes with neither -o"),
        (("cone", *POSITION, "5", "--catalog", "a b"), "name 'a b': expected the name of a catalogue"),
        (("cone", *POSITION, "5", "--columns", ","), "--columns ,: expected names of columns"),
        (("stamp", *POSITION, "--image", "5", "--filter", "zg"), "--image goes with neither --filter, --from"),
        (("stamp", *POSITION, "--image", "5", "--to", "59200"), "--image goes with neither --filter, --from"),
        (("completeness", "--at", *POSITION, "--again"), "--at prints stored limits: it goes with neither --image"),
        (("completeness", "--at", *POSITION, "--seed", "3"), "--at prints stored limits: it goes with neither --image"),
        (("objects", "build", "-o", "objects.csv"), "build and update print no rows: --format, -o, --columns"),
        (("objects", "update", "--format", "json"), "build and update print no rows: --format, -o, --columns"),
        (("watch", "--once", "--metrics-host", "0.0.0.0"), "--metrics-host goes with --metrics-port"),
        (("demo", "demo"), "--db: the demo's archive is made in DIR"),
        (("demo", "demo", "--db", "sqlite:///x"), "No such option '--db'"),
        (("diff", "sqlite:///a", "sqlite:///b"), "--db: the archives are URL_A and URL_B"),
        (("sql", "select :a as a", "-p", "a=1", "-p", "a=2"), "--param a is given twice"),
        (("sql", "select :force as a", "-p", "force=1", "--format", "json"), "--param force: take another name"),
    ],
)
def test_an_option_that_would_do_nothing_is_wrong_usage(night, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    result = night.run(*words)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ("watch", "--once", "--settle", "nan"),
        ("watch", "--once", "--lease", "nan"),
        ("ingest", "data", "--timeout", "nan"),
        ("sql", "select 1", "--timeout", "nan"),
        ("export", "hats", "hats", "--margin", "nan"),
    ],
)
def test_nan_is_in_no_range(night, words):
    result = night.run(*words)
    assert result.exit_code == 2, result.output
    assert f"Invalid value for '{words[-2]}': nan is not a number" in result.stderr


@pytest.mark.parametrize("name", ["-", "plot"])
def test_a_plot_needs_a_suffix(night, tmp_path, monkeypatch, name):
    """``--plot -`` wrote a file of the name ``-``."""
    monkeypatch.chdir(tmp_path)
    result = night.run("lightcurve", *POSITION, "--plot", name)
    assert result.exit_code == 2
    assert f"the suffix of {name} tells no format" in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "status"), [("nowhere/x.png", 1), ("x.csv", 2)])
@pytest.mark.parametrize("command", [("lightcurve", *POSITION, "--complete", "--plot"), ("stamp", *POSITION, "-o")])
def test_a_picture_that_cannot_be_drawn_is_told_first(night, tmp_path, monkeypatch, command, name, status):
    """A complete light curve was measured, and neither drawn nor printed."""
    monkeypatch.chdir(tmp_path)
    result = night.run(*command, name, "--db", "sqlite:///nowhere.db")
    assert result.exit_code == status
    assert name in result.stderr


@pytest.mark.parametrize("more", [(), ("--format", "csv")])
def test_files_are_not_packed(night, tmp_path, more):
    """``--format csv`` wrote plain text under a name that pandas unpacks."""
    result = night.run("lightcurve", *POSITION, "-o", str(tmp_path / "x.csv.gz"), *more)
    assert result.exit_code == 2
    assert "x.csv.gz: files are written as they are" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_replaced_keeps_its_mode_and_its_link(night, tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "x.csv").touch(mode=0o600)
    (tmp_path / "link.csv").symlink_to("far/x.csv")
    assert night.run("lightcurve", *POSITION, "-o", str(tmp_path / "link.csv"), "--format", "CSV").exit_code == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "far" / "x.csv").read_text().startswith("oid,")
    assert (tmp_path / "far" / "x.csv").stat().st_mode & 0o777 == 0o600
    assert [one.name for one in (tmp_path / "far").iterdir()] == ["x.csv"]


@pytest.mark.parametrize("name", ["/dev/fd/1", "/proc/self/fd/1"])
def test_an_open_file_is_written_and_not_replaced(night, tmp_path, name):
    words = ["lightcurve", *POSITION, "--columns", "mjd", "--format", "csv", "-o", name]
    with (tmp_path / "x.csv").open("wb") as file:
        subprocess.run([sys.executable, "-m", "ztfdb", *words, "--db", night.url], stdout=file, check=True)
    assert (tmp_path / "x.csv").read_text().startswith("mjd")


def test_dev_stdout_is_stdout():
    """With stdout in a file, root replaced the machine's ``/dev/stdout`` (so this test runs no command)."""
    assert make_output("csv", Path("/dev/stdout"), None, every=False).path is None
