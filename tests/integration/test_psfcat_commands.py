"""ZTF's own catalogues on the command line, and the example of their page."""

from __future__ import annotations

import io
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sqlalchemy import text

import ztfdb
from tests.support.catalogues import bright_star, make_epochs
from ztfdb.cli.app import application
from ztfdb.query.cone import cone
from ztfdb.simulate import make_psfcat, make_science_image
from ztfdb.sky.cells import cone_ranges
from ztfdb.store.backends import backend
from ztfdb.store.detections import ZTF_PSF, light_curve_statement, rows_of_image
from ztfdb.store.row_checksums import stored_checksum

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "psfcat.md").read_text(encoding="utf-8")


@pytest.fixture
def files(tmp_path):
    return tmp_path, make_epochs(tmp_path, 2)


def run(url, *words):
    return CliRunner().invoke(application, [*words, "--db", url])


def test_catalogues_are_ingested_and_asked(engine_url, files):
    folder, images = files
    ra, dec, _ = bright_star(images[0])
    ztfdb.open(engine_url, create=True).close()
    first = run(engine_url, "ingest", str(folder))
    assert (first.exit_code, "rows of PSF catalogues" in first.stderr) == (0, True), first.output
    shown = run(engine_url, "lightcurve", str(ra), str(dec), "--phot", "both", "--format", "csv")
    table = pd.read_csv(io.StringIO(shown.stdout))
    assert table["phot"].tolist() == ["psfcat", "aperture"] * 2
    complete = run(engine_url, "lightcurve", str(ra), str(dec), "--phot", "psfcat", "--complete")
    assert complete.exit_code == 0, complete.output
    assert "psfcat" in complete.stdout
    near = run(engine_url, "cone", str(ra), str(dec), "5", "--phot", "psfcat", "--format", "csv")
    assert set(pd.read_csv(io.StringIO(near.stdout))["role"]) == {"psfcat"}
    again = run(engine_url, "ingest", "--psfcat", str(folder))
    assert "2 found = 0 stored + 2 unchanged" in again.stderr
    late = next(folder.glob("*psfcat.fits"))
    late.write_bytes(late.read_bytes()[:5000])
    for words in (("ingest", str(folder)), ("ingest", "--psfcat", str(folder))):
        refused = run(engine_url, *words)
        assert refused.exit_code == 1
        assert "cut short" in refused.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("ingest", "x.fits", "--psfcat", "--mask", "m.fits"),
        ("lightcurve", "10", "10", "--phot", "psfcat", "--complete", "--psf"),
        ("lightcurve", "10", "10", "--phot", "both", "--pmra", "5"),
        ("lightcurve", "10", "10", "--phot", "dao"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(engine_url, words):
    ztfdb.open(engine_url, create=True).close()
    assert run(engine_url, *words).exit_code == 2


def test_the_example_of_the_page_runs(archive, tmp_path, capsys, monkeypatch):
    star = tuple(np.array([value]) for value in (58.0029, 35.7365, 17.0))
    for k in range(2):
        image = make_science_image(
            tmp_path, sky_stars=star, shape=(160, 160), ra=58.0029, dec=35.7365, obsmjd=59116.2 + k, seed=k
        )
        make_psfcat(image, seed=k)
    archive.ingest(tmp_path)
    monkeypatch.setattr(ztfdb, "open", lambda url: archive, raising=False)
    code = re.search(r"<!-- example: psfcat -->\n```python\n(.*?)```", PAGE, re.DOTALL)[1]
    exec(compile(code, "psfcat.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "psfcat" in printed
    assert "aperture" in printed
    assert len(re.findall(r"1[67]\.\d+ +1[67]\.\d+", printed)) == 2


def test_a_light_curve_is_answered_from_the_index_alone(engine_url, files):
    folder, images = files
    ra, dec, _ = bright_star(images[0])
    with ztfdb.open(engine_url, create=True) as archive:
        archive.ingest(folder)
        _, lo, hi = cone_ranges(ra, dec, 1.5)
        with archive._sessions() as session:
            statement, params = light_curve_statement(session, ZTF_PSF, lo=lo, hi=hi)
            explain = "explain query plan " if engine_url.startswith("sqlite") else "explain "
            plan = " ".join(map(str, backend(session).by_index().read_rows(explain + statement, params)))
    assert "USING COVERING INDEX ix_psf_source" in plan or "Index Only Scan using pk_psf_source" in plan


@pytest.fixture
def plans(monkeypatch):
    """Returns a list that gets the plan of each statement which a session's engine reads in bulk."""

    def begin(session):
        kind, found = type(backend(session)), []
        read, word = kind.read_bulk, "query plan " if session.get_bind().dialect.name == "sqlite" else ""

        def noted(self, statement, params, *rest, **more):
            found.append(" ".join(map(str, self.read_rows(f"explain {word}{statement}", params))))
            return read(self, statement, params, *rest, **more)

        monkeypatch.setattr(kind, "read_bulk", noted)
        return found

    return begin


@pytest.mark.parametrize("phot", ["aperture", "psfcat"])
def test_the_rows_of_a_cone_are_found_by_an_index(engine_url, files, plans, phot):
    folder, images = files
    ra, dec, _ = bright_star(images[0])
    with ztfdb.open(engine_url, create=True) as archive:
        archive.ingest(folder)
        with archive._sessions() as session:
            found = plans(session)
            assert len(cone(session, ra, dec, 60.0, phot=phot)) > 2
    found = [plan for plan in found if "source" in plan]
    assert len(found) == 2  # positions, then the rows of those inside
    for plan in found:
        if engine_url.startswith("sqlite"):
            assert "SEARCH source" in plan or "SEARCH psf_source" in plan
            assert "SCAN source" not in plan and "SCAN psf_source" not in plan
        else:
            assert re.search(r"Index Cond: \(+(source\.|psf_source\.)?hpx29", plan), plan
            assert "Filter" not in plan


def test_the_rows_of_an_image_are_found_after_a_light_curve(engine_url, files, plans):
    folder, images = files
    with ztfdb.open(engine_url, create=True) as archive:
        archive.ingest(folder)
        image_id = int(archive.images(*bright_star(images[0])[:2])["image_id"].iloc[0])
        with archive._sessions() as session:
            backend(session).by_index().read_rows("select 1")
            if engine_url.startswith("postgresql"):
                session.execute(text("set local enable_seqscan = off"))  # a handful of rows
            found = plans(session)
            assert len(rows_of_image(session, ZTF_PSF, image_id)["source_id"]) > 2
            assert stored_checksum(session, "psf_source", image_id)
    assert len(found) == 2
    for plan in found:
        assert "USING INTEGER PRIMARY KEY" in plan or "Bitmap Index Scan on ix_psf_source_image" in plan


def test_the_rows_of_an_image_are_found_by_an_index(engine_url, files):
    folder, _ = files
    with ztfdb.open(engine_url, create=True) as archive:
        archive.ingest(folder)
        with archive._sessions() as session:
            run = session.connection().exec_driver_sql
            if engine_url.startswith("postgresql"):
                run("set local enable_seqscan = off")  # a handful of rows is read faster without any index
            explain = "explain query plan" if engine_url.startswith("sqlite") else "explain"
            plan = " ".join(map(str, run(f"{explain} select * from psf_source where source_id between 1 and 9").all()))
    assert "USING INTEGER PRIMARY KEY" in plan or "Bitmap Index Scan on ix_psf_source_image" in plan


def test_a_folder_is_searched_for_one_of_each(archive, files):
    folder, _ = files
    for path in folder.glob("*psfcat.fits"):
        shutil.copy(path, path.with_name(path.name + ".gz"))  # a copy under another name is no second catalogue
    archive.ingest(folder)
    assert archive.ingest_psfcat(folder).found == 2
    assert archive.ingest_psfcat(str(folder / "*.nothing")).failures[0].reason == "no file matches"
