from __future__ import annotations

from ztfdb.ingest.report import ImageOutcome, IngestReport, Outcome, report

OUTCOMES = [
    ImageOutcome("e", Outcome.FAILED, reason="no MAGZP", error="HeaderError"),
    ImageOutcome("a", Outcome.STORED, 2**60, 7, 1.5),
    ImageOutcome("b", Outcome.REPLACED, 2, 5),
    ImageOutcome("c", Outcome.UNCHANGED, 3),
    ImageOutcome("d", Outcome.KNOWN_COPY, 3),
]


def test_the_numbers_add_up_and_the_order_is_that_of_finding():
    found = report(OUTCOMES, {path: k for k, path in enumerate("abcde")}, 3.0)
    assert [one.path for one in found.outcomes] == list("abcde")
    assert found.found == found.stored + found.unchanged + found.known_copies + found.failed == 5
    assert (found.stored, found.replaced, found.n_source) == (2, 1, 12)
    assert found.failures == (OUTCOMES[0],)
    assert str(found) == "5 found = 2 stored + 1 unchanged + 1 known copies + 1 failed"


def test_the_table_keeps_large_ids_and_its_columns():
    table = IngestReport(tuple(OUTCOMES), 1.0).to_pandas()
    assert table["image_id"].dtype == "Int64"
    assert table["image_id"][1] == 2**60
    assert table["outcome"].tolist() == ["failed", "stored", "replaced", "unchanged", "known copy"]
    empty = IngestReport((), 0.0).to_pandas()
    assert list(empty.columns) == list(table.columns)
    assert empty["n_source"].dtype == "Int64"
