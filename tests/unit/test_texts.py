from __future__ import annotations

import csv
import io
import os

import pytest

from ztfdb.errors import CatalogueFileError, ConfigError, ImageReadError
from ztfdb.texts import CsvLines, counted, hide_secrets, is_secret_key, one_line, printable, without_secrets

SECRET = "s3cret"


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://u:{SECRET}@h/d",
        f"postgresql://u:{SECRET}@x@h/d",
        f"postgresql://u:{SECRET}/x@h/d",
        f"postgresql://u@h/d?password={SECRET}",
        f"postgresql://u@h/d?sslmode=require&sslpassword={SECRET}&application_name=x",
        f"connection failed: host=h user=u password={SECRET} dbname=d",
        f"host=h password = '{SECRET} \\' {SECRET}' dbname=d",
        f"s3://AKIA:{SECRET}/{SECRET}@bucket/x.fits",
        f"https://h/x?X-Amz-Credential={SECRET}&X-Amz-Signature={SECRET}&X-Amz-Expires=5",
        f"https://account.blob.example/x?sv=2020&sig={SECRET}",
        f"https://h/x?access_token={SECRET}#top",
        f"https://h/x?api_key={SECRET}, and https://h/y?key={SECRET}",
        f"abfs://x?AccountKey={SECRET}; aws_secret_access_key={SECRET}",
        f"ftp://u:{SECRET}@h/a: no such file",
        f"PassWord={SECRET} PGPASSWORD={SECRET} passphrase={SECRET} PWD={SECRET}",
        f"pa\u017f\u017fword={SECRET}",
    ],
)
def test_secrets_of_every_kind_of_url_are_hidden(text):
    shown = hide_secrets(text)
    assert SECRET not in shown
    assert "***" in shown
    assert shown == hide_secrets(shown)


@pytest.mark.parametrize(
    "text",
    [
        "https://irsa.ipac.caltech.edu/a:b@c",
        "sqlite:///a.db",
        "postgresql://u@h:5432/d?host=/tmp&port=5",
        "no primary key=5 of image_id=7",
        "n_source=7 seconds=1.25",
    ],
)
def test_what_is_no_secret_stays(text):
    assert hide_secrets(text) == text


def test_secrets_are_found_in_what_holds_texts():
    held = {"a": [f"token={SECRET}", 5], "b": None}
    assert without_secrets(held) == {"a": ["token=***", 5], "b": None}
    assert [is_secret_key(key) for key in ("password", "sslpassword", "host", "options", "passfile")] == [
        True, True, False, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "error", [ConfigError, lambda text: ImageReadError(text, text), lambda text: CatalogueFileError(text, text)]
)
def test_no_typed_error_shows_a_secret(error):
    raised = error(f"postgresql://u:{SECRET}@h/d?password={SECRET}")
    assert SECRET not in str(raised)
    assert SECRET not in getattr(raised, "reason", "")


def test_a_path_with_a_secret_stays_usable():
    assert SECRET in ImageReadError(f"https://u:{SECRET}@h/x.fits", "is away").path


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 日本 🌌", "plain é 日本 🌌"),
        ("\x1b[2J\x07\x7f", "\\x1b[2J\\x07\\x7f"),
        ("\x9b31m\x85", "\\x9b31m\\x85"),
        (os.fsdecode(b"a\xffb"), "a\\xffb"),
        ("abc\u202egpj.exe\u2066\u200b\u2028", "abc\\u202egpj.exe\\u2066\\u200b\\u2028"),
        ("a\nb\tc\rd", "a\\x0ab\\x09c\\x0dd"),
        ("\ue000", "\\ue000"),
    ],
)
def test_nothing_acts_on_a_terminal(text, shown):
    assert printable(text) == shown
    assert printable(shown) == shown


def test_kept_characters_stay():
    assert printable("a\nb\r", keep="\n") == "a\nb\\x0d"
    assert one_line(" a\n\n b\x1b?password=s ") == "a b\\x1b?password=***"


def test_numbers_with_nouns() -> None:
    assert [counted(n, "image") for n in (0, 1, 2000)] == ["0 images", "1 image", "2,000 images"]
    assert counted(1, "match", "matches") == "1 match" and counted(2, "match", "matches") == "2 matches"


def test_lines_of_csv_are_read_back_with_carriage_returns():
    rows = [["a\rb", "c\r\nd"], ["", "e"]]
    stream = io.StringIO(newline="")
    csv.writer(CsvLines(stream)).writerows(rows)
    assert stream.getvalue() == '"a\rb","c\r\nd"\n,e\n'
    assert list(csv.reader(io.StringIO(stream.getvalue(), newline=""))) == rows
