"""Statements that are refused before a database sees them."""

import pytest

from ztfdb.errors import QueryError
from ztfdb.store.readonly import parse


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("drop table source", "DROP"),
        (".tables", ".tables"),
        ("\\d source", r"\\d"),
        ("", "an empty statement"),
        (" \n", "an empty statement"),
    ],
)
def test_what_is_refused_is_named_by_its_first_word(text, first):
    with pytest.raises(QueryError, match=rf"^{first} is refused: only statements that return rows are run$"):
        parse(text, {}, 1.0)
