"""What a client is told of an error: ztfdb's own words, never a library's."""

from __future__ import annotations

import json
import logging
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("starlette", reason="the extra serve is not installed")

from ztfdb.codes import fid_of
from ztfdb.errors import (
    CatalogueFileError,
    DatabaseUnavailableError,
    ImageReadError,
    QueryError,
    SchemaVersionError,
    StatementStoppedError,
    StoreError,
    UnknownImageError,
)
from ztfdb.serve.errors import ServiceError, has_own_words, tell
from ztfdb.sky.typed import parse_position

SECRET = "/srv/archive/postgresql://reader:hunter2@db/ztf"


def raised(work):
    """What a call raises."""
    with pytest.raises(Exception) as info:  # noqa: PT011
        work()
    return info.value


def inside(code: str):
    """Code that runs as if it were a module of ztfdb."""

    def work():
        exec(compile(code, "inside", "exec"), {"__name__": "ztfdb.query.inside", "SECRET": SECRET})

    return work


OWN = [
    lambda: fid_of("u"),
    lambda: parse_position(["95", "99"]),
    inside("raise ValueError('mine')"),
    inside("try:\n    int('x')\nexcept ValueError as exc:\n    raise ValueError('mine') from exc"),
    lambda: ThreadPoolExecutor(1).submit(fid_of, "u").result(),
]
LIBRARIES = [
    inside("float(SECRET)"),
    inside("int(SECRET)"),
    inside("open(SECRET + chr(0))"),
    inside("import json; json.loads(SECRET)"),
    inside("SECRET.encode('utf-16').decode('ascii')"),
    inside("import datetime; datetime.datetime.fromisoformat(SECRET)"),
    inside("import numpy; numpy.array([SECRET]).astype(float)"),
    inside("try:\n    float(SECRET)\nexcept ValueError:\n    raise"),
    lambda: np.array([SECRET]).astype(float),
    lambda: json.loads(SECRET),
    lambda: ThreadPoolExecutor(1).submit(float, SECRET).result(),
]


@pytest.mark.parametrize("work", OWN)
def test_the_words_of_ztfdb_are_told(work):
    exc = raised(work)
    told = tell(exc, "0123")
    assert (told.status, told.message) == (400, str(exc))


@pytest.mark.parametrize("work", LIBRARIES)
def test_the_words_of_a_library_go_to_the_log(work, caplog):
    exc = raised(work)
    assert not has_own_words(exc)
    with caplog.at_level(logging.ERROR):
        told = tell(exc, "0123")
    assert told.status == 400
    assert "hunter2" not in told.message and "/srv" not in told.message
    assert "0123" in told.message
    (record,) = caplog.records
    assert record.exc_info[1] is exc and record.request == "0123"


def test_an_error_that_nobody_raised_is_not_told():
    assert not has_own_words(ValueError(SECRET))


@pytest.mark.parametrize(
    ("exc", "status", "words"),
    [
        (ServiceError("say so", 413), 413, "say so"),
        (UnknownImageError("no image 7 in this archive"), 404, "no image 7 in this archive"),
        (QueryError("the statement is too long"), 400, "the statement is too long"),
        (ImageReadError(Path(SECRET), "no such file"), 404, "the file of this image cannot be read here"),
        (CatalogueFileError(SECRET, "no such file"), 503, "a catalogue of this archive cannot be read here now"),
        (StatementStoppedError(SECRET), 400, "the database stopped the statement: narrow"),
        (DatabaseUnavailableError(SECRET), 503, "the database cannot be reached now"),
        (SchemaVersionError(SECRET), 503, "the archive was upgraded: the service must be updated and started again"),
        (StoreError(SECRET), 500, "0123"),
        (sqlite3.OperationalError(SECRET), 500, "0123"),
        (KeyError(SECRET), 500, "0123"),
        (TypeError(SECRET), 500, "0123"),
    ],
)
def test_every_kind_of_error_has_a_status(exc, status, words):
    told = tell(exc, "0123")
    assert (told.status, words in told.message) == (status, True)
    assert "hunter2" not in told.message and "/srv" not in told.message
    assert ("Retry-After" in told.headers) == (status == 503)
