from __future__ import annotations

import io
import json
import logging
import warnings

import pytest

from ztfdb.errors import EmptyAnswerWarning
from ztfdb.logs import set_up_logs, warnings_logged


@pytest.fixture
def log():
    stream = io.StringIO()
    logger = logging.getLogger("ztfdb")
    before = logger.level, list(logger.handlers)
    yield lambda form, level="INFO": set_up_logs(level, form, stream) and stream
    logger.setLevel(before[0])
    logger.handlers[:] = before[1]


def ingested():
    extra = {"path": "/a b.fits", "n_source": 7, "image_id": None, "seconds": 1.25}
    logging.getLogger("ztfdb.ingest").info("image ingested", extra=extra)


def test_text_lines_carry_the_fields(log):
    stream = log("text")
    ingested()
    stamp, line = stream.getvalue().split(" ", 1)
    assert line == 'INFO image ingested path="/a b.fits" n_source=7 seconds=1.25\n'
    assert stamp.endswith("Z")


def test_json_lines_are_json(log):
    stream = log("json")
    ingested()
    facts = json.loads(stream.getvalue())
    assert facts.pop("time").endswith("Z")
    assert facts == {
        "level": "INFO",
        "logger": "ztfdb.ingest",
        "message": "image ingested",
        "path": "/a b.fits",
        "n_source": 7,
        "seconds": 1.25,
    }


@pytest.mark.parametrize("form", ["text", "json"])
def test_tracebacks_are_kept_and_passwords_are_not(log, form):
    stream = log(form)
    try:
        raise ValueError("cannot reach postgresql://op:s3cret@db/ztf")
    except ValueError:
        logging.getLogger("ztfdb.store").exception("failed at %s", "postgresql://op:s3cret@db/ztf")
    assert "s3cret" not in stream.getvalue()
    assert "ValueError" in stream.getvalue()
    assert "op:***@db" in stream.getvalue()


def test_setting_up_twice_writes_once(log):
    log("json")
    stream = log("text", "WARNING")
    ingested()
    logging.getLogger("ztfdb").warning("image failed")
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_name_can_neither_forge_a_line_nor_move_a_cursor(log, form):
    stream = log(form)
    name = "/a\n2026-01-01T00:00:00Z INFO all is well\x1b[2J\udcff\u202e.fits"
    logging.getLogger("ztfdb.ingest").info("image failed", extra={"path": name, "reason": "?password=s3cret"})
    written = stream.getvalue()
    assert written.count("\n") == 1
    assert written.rstrip("\n").isprintable()
    assert "s3cret" not in written
    if form == "json":
        assert json.loads(written)["path"] == name


def test_secrets_inside_lists_of_a_log_line_are_hidden(log):
    stream = log("json")
    logging.getLogger("ztfdb").info(
        "seen", extra={"roots": ["s3://key:s3cret@bucket/x"], "why": ValueError("token=s3cret")}
    )
    assert "s3cret" not in stream.getvalue()


@pytest.mark.filterwarnings("always")
def test_warnings_of_libraries_are_lines_of_the_log(log, capsys):
    stream = log("json")
    with warnings_logged():
        warnings.warn("two\nlines of postgresql://op:s3cret@db/ztf", RuntimeWarning, stacklevel=1)
        warnings.warn("no image covers this", EmptyAnswerWarning, stacklevel=1)
    facts = json.loads(stream.getvalue())
    assert (facts["level"], facts["category"]) == ("WARNING", "RuntimeWarning")
    assert facts["reason"].startswith("two\nlines")
    assert "s3cret" not in stream.getvalue()
    assert "test_logs.py:" in facts["place"]
    assert capsys.readouterr().err == ""


def test_a_driver_does_not_tell_of_a_lost_connection_beside_the_error():
    """psycopg warns "error ignored terminating <psycopg.Pipeline [BAD]>", which Python prints if nobody else does."""
    logger = logging.getLogger("psycopg")
    before = logger.level
    try:
        logger.setLevel(logging.NOTSET)
        handler = set_up_logs()
        assert not logger.isEnabledFor(logging.WARNING)
        assert logger.isEnabledFor(logging.ERROR)
        logging.getLogger("ztfdb").removeHandler(handler)
    finally:
        logger.setLevel(before)
