"""`verify --deep` compares the rows of each image with the checksum that was written with them."""

from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from sqlalchemy import select, text

import ztfdb
from tests.support.catalogues import make_epochs
from tests.support.measured import make_measured
from ztfdb.cli.app import application
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.schema import Image, PsfCatalogue, Source
from ztfdb.sky.cells import sky_to_cell
from ztfdb.store.columns import table_dtypes
from ztfdb.store.engine import make_engine, sessions, writing
from ztfdb.store.image_files import Stored
from ztfdb.store.images import store_image
from ztfdb.store.meta_rows import create_meta
from ztfdb.store.row_checksums import stored_checksum


def run(url, *words):
    return CliRunner().invoke(application, ["--db", url, *words])


@pytest.fixture
def stored(engine_url):
    """An archive of two images, with NULL, NaN, infinity and a negative zero among their numbers."""
    engine = make_engine(engine_url)
    maker = sessions(engine)
    with writing(maker) as session:
        create_meta(session, ExtractionSettings().to_dict())
        store_image(session, odd(make_measured("/data/a_sciimg.fits", n_source=300)))
        store_image(session, odd(make_measured("/data/b_sciimg.fits", content="b", mask=None, rcid=7, seed=1)))
    yield engine_url, maker
    engine.dispose()


def odd(measured):
    sources = measured.sources
    flux = sources.flux_auto.astype("f8")
    flux[:4] = np.inf, -np.inf, -0.0, 1e300
    # cells as verify computes them, so that checksums are all that can differ
    cells = sky_to_cell(sources.ra, sources.dec)
    return replace(measured, sources=replace(sources, flux_auto=flux, hpx29=cells))


def problems(url):
    with ztfdb.open(url) as archive:
        found = archive.verify(deep=True)
    told = found[found["problem"].str.contains("checksum")]
    return list(zip(told["image_id"], told["problem"], strict=True)), found.attrs["n_unknown"]


def change(maker, statement, **params):
    with writing(maker) as session:
        session.execute(text(statement), params)


def checksums(maker, table=Image):
    with maker() as session:
        return {row[0]: row[1] for row in session.execute(select(table.image_id, table.row_checksum))}


def test_rows_as_they_were_written_are_no_problem(stored):
    url, maker = stored
    assert problems(url) == ([], 0)
    assert None not in checksums(maker).values()
    assert len(set(checksums(maker).values())) == 2


def test_both_engines_keep_the_same_number(both_urls):
    found = []
    for url in both_urls.values():
        engine = make_engine(url)
        with writing(sessions(engine)) as session:
            store_image(session, odd(make_measured(n_source=300)))
        found.append(checksums(sessions(engine)))
        engine.dispose()
    assert found[0] == found[1]


def test_a_change_of_any_column_of_one_row_is_another_checksum(stored):
    _, maker = stored
    image_id, kept = max(checksums(maker).items())
    last = "(select max(source_id) from source where image_id = :image_id)"
    for column in set(table_dtypes(Source.__table__)) - {"source_id", "image_id"}:
        with maker() as session:
            statement = f"update source set {column} = {column} + 1 where source_id = {last}"
            session.execute(text(statement), {"image_id": image_id})
            assert stored_checksum(session, "source", image_id) != kept, column
            session.rollback()


def test_null_for_a_number_and_a_lost_row_are_found(stored):
    url, maker = stored
    first, second = sorted(checksums(maker))
    change(maker, "update source set flux_aper4 = null where image_id = :i", i=first)
    change(maker, "delete from source where source_id = (select max(source_id) from source)")
    problem = "rows of source differ from those that were written (checksum)"
    assert problems(url) == ([(first, problem), (second, problem)], 0)
    told = run(url, "verify", "--deep")
    assert told.exit_code == 1
    assert f"{first}" in told.output


def test_sqlite_is_compared_to_the_last_bit_that_it_keeps(databases):
    """A single-precision number has eight bytes in a SQLite file: damage of the last ones rounds away."""
    url = databases.migrated("sqlite")
    engine = make_engine(url)
    maker = sessions(engine)
    with writing(maker) as session:
        create_meta(session, ExtractionSettings().to_dict())
        store_image(session, odd(make_measured()))
    first = "(select min(source_id) from source)"
    change(maker, f"update source set background = background * (1 + 1e-14) where source_id = {first}")
    engine.dispose()
    assert len(problems(url)[0]) == 1


def test_images_stored_before_checksums_are_one_line_and_no_problem(stored):
    url, maker = stored
    change(maker, "update image set row_checksum = null, facts_checksum = null")
    change(maker, "update source set background = background + 1")
    assert problems(url) == ([], 2)
    told = run(url, "verify", "--deep").output
    assert told.count("2 images or PSF catalogues have rows without a checksum") == 1
    assert "without a checksum" not in run(url, "verify").output


def test_an_image_without_the_checksum_of_its_facts_is_counted(stored):
    """It is younger than that of sources: an archive may have one of them."""
    url, maker = stored
    assert problems(url) == ([], 0)
    change(maker, "update image set facts_checksum = null, magzp = magzp + 0.001 where image_id in "
                  "(select min(image_id) from image)")  # fmt: skip
    assert problems(url) == ([], 1)


def test_what_is_measured_anew_gets_the_number_of_its_rows(stored):
    url, maker = stored
    before = checksums(maker)
    measured = odd(make_measured("/data/a_sciimg.fits", n_source=200, seed=5))
    with writing(maker) as session:
        assert store_image(session, measured, force=True) is Stored.REPLACED
    after = checksums(maker)
    assert [one for one in before if before[one] != after[one]] == [measured.info.image_id]
    assert problems(url) == ([], 0)


def test_the_number_is_in_no_table_of_images(stored):
    url, _ = stored
    with ztfdb.open(url) as archive:
        assert "row_checksum" not in archive.images(256.0, 33.0).columns


def test_rows_of_psf_catalogues_are_compared(engine_url, tmp_path):
    make_epochs(tmp_path)
    with ztfdb.open(engine_url, create=True) as archive:
        archive.ingest(tmp_path)
    engine = make_engine(engine_url)
    maker = sessions(engine)
    image_id = min(checksums(maker, PsfCatalogue))
    assert None not in checksums(maker, PsfCatalogue).values()
    assert problems(engine_url) == ([], 0)
    change(maker, "update psf_source set chi = chi + 1 where source_id = (select min(source_id) from psf_source)")
    engine.dispose()
    assert problems(engine_url) == (
        [(image_id, "rows of psf_source differ from those that were written (checksum)")],
        0,
    )
