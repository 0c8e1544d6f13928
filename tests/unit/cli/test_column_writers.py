"""Columns of an answer are written as pandas writes the same rows."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

from ztfdb.cli.column_writers import write_csv, write_json
from ztfdb.cli.table import text_table
from ztfdb.cli.writers import WRITERS
from ztfdb.query.answer import Answer, answer_of
from ztfdb.query.columns import Texts, masked_integers, words

N = 25_000
"""More than two chunks."""


@pytest.fixture
def answer():
    rng = np.random.default_rng(5)
    doubles = 10.0 ** rng.uniform(-320, 300, N) * rng.choice([-1.0, 1.0], N)
    doubles[:6] = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e16]
    numbers = rng.integers(-(1 << 62), 1 << 62, N)
    texts = np.array(["", None, 'a "quoted" one', "with,comma", "two\nlines", "é"], object)[rng.integers(0, 6, N)]
    columns = {
        "mag": doubles,
        "flux_aper4": doubles.clip(-3e38, 3e38).astype(np.float32),
        "field": rng.integers(0, 2000, N).astype(np.int32),
        "image_id": numbers,
        "expid": masked_integers(numbers, rng.random(N) < 0.3),
        "catflags": masked_integers(np.abs(numbers) % 7, rng.random(N) < 0.3),
        "good": rng.random(N) < 0.5,
        "filtercode": words(rng.integers(-1, 3, N), ("zg", "zr", "zi")),
        "path": Texts(texts),
    }
    return Answer(columns, {})


def written(write, answer):
    stream = io.BytesIO()
    write(list(answer.arrays.items()), len(answer), stream)
    return stream.getvalue()


def by_pandas(name, answer):
    stream = io.BytesIO()
    WRITERS[name](answer.to_pandas(), {}, stream)
    return stream.getvalue()


def test_csv_is_that_of_pandas(answer):
    assert written(write_csv, answer) == by_pandas("csv", answer)


def test_an_empty_answer_and_one_column_are_those_of_pandas(answer):
    empty = Answer({name: column[:0] for name, column in answer.arrays.items()}, {})
    for some in (empty, answer.only(["path"]), answer.only(["mag", "good"])):
        assert written(write_csv, some) == by_pandas("csv", some)


def test_json_is_the_same_and_loses_no_value(answer):
    content = written(write_json, answer)
    assert content == by_pandas("json", answer)
    records = json.loads(content, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert len(records) == N
    assert [int(row["image_id"]) for row in records] == answer.arrays["image_id"].tolist()
    assert [row["path"] for row in records] == answer.arrays["path"].tolist()
    finite = np.isfinite(answer.arrays["mag"])
    assert [row["mag"] for row in records] == [
        value if fine else None for value, fine in zip(answer.arrays["mag"].tolist(), finite.tolist(), strict=True)
    ]


def test_a_text_table_is_the_same(answer):
    some = Answer({name: column[:200] for name, column in answer.arrays.items()}, {})
    assert list(text_table(some, {"mag": "mag"})) == list(text_table(some.to_pandas(), {"mag": "mag"}))


def test_records_become_columns_of_one_kind():
    rows = [{"n": 1, "mjd": None, "name": "a", "x": 1}, {"n": 2, "mjd": 5.5, "name": None, "x": 2.5}]
    found = answer_of(rows).arrays
    assert (found["n"].dtype, found["mjd"].dtype, found["x"].dtype) == (np.int64, np.float64, np.float64)
    assert np.isnan(found["mjd"][0])
    assert found["name"].tolist() == ["a", None]
