"""The real quadrant from its files to its rows."""

from __future__ import annotations

import numpy as np
from sqlalchemy import func, select

from ztfdb.ingest.run import ingest_paths
from ztfdb.schema import Image, ImageCell, Source
from ztfdb.store.detection_rows import count_orphans
from ztfdb.store.detections import OURS, rows_of_image
from ztfdb.store.engine import make_engine, sessions
from ztfdb.store.image_files import find_files


def test_the_real_quadrant_is_stored_under_its_pid(engine_url, quadrant):
    science, _ = quadrant
    engine = make_engine(engine_url)
    maker = sessions(engine)
    report = ingest_paths(maker, [science])
    assert report.failures == ()
    assert report.stored == 1
    with maker.begin() as session:
        image = session.execute(select(Image.__table__)).one()
        n_cell = session.scalar(select(func.count()).select_from(ImageCell))
        files = {file.role: file for file in find_files(session, image.image_id)}
        found = rows_of_image(session, OURS, image.image_id)
        assert count_orphans(session, OURS) == 0
        assert session.scalar(select(func.count(Source.mask_bits))) == image.n_source
    assert (image.kind, image.field, image.rcid, image.fid) == ("sci", 655, 50, 2)
    assert image.image_id == image.pid == image.expid * 10_000 + 5015
    assert image.n_source == len(found["ra"]) > 9_000
    assert 72 <= n_cell <= 86
    assert files["sci"].facts.sha256 == "0884728fcf98cb81c95961987c940069b00fe496552030f7610f6d6390b4dee4"
    assert files["msk"].facts.sha256 == "dd636f16779a9aaadfab035243dadbed686ebaae8ffac157a60f5e30916ba8f2"
    np.testing.assert_array_equal(found["source_id"], (image.image_id << 18) + np.arange(image.n_source))
    assert ingest_paths(maker, [science]).unchanged == 1
    engine.dispose()


def test_a_worker_measures_it_within_its_memory(databases, quadrant):
    engine = make_engine(databases.migrated("sqlite"))
    report = ingest_paths(sessions(engine), [quadrant[0]], jobs=2, memory_mb=1024)
    assert [one.reason for one in report.failures] == []
    assert report.stored == 1
    engine.dispose()
