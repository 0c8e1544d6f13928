"""Recipes and fetching, against a TAP service on this machine."""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import numpy as np
import pytest
from click.testing import CliRunner

import ztfdb
from tests.support.reference import make_image, open_sessions, store_image
from ztfdb.cli.app import application
from ztfdb.errors import CatalogueFileError, CatalogueServiceError
from ztfdb.ingest.catalogue_services import MAST_URL, fetch_catalogue, footprint_cones, recipe
from ztfdb.ingest.commit import commit_image
from ztfdb.sky.angles import separation
from ztfdb.sky.cells import cell_to_sky

pytest.importorskip("pyvo")

ANSWER = """<?xml version="1.0"?>
<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE type="results">
<INFO name="QUERY_STATUS" value="OK"/><TABLE>
<FIELD name="Source" datatype="long"/><FIELD name="RA_ICRS" datatype="double" unit="deg"/>
<FIELD name="DE_ICRS" datatype="double" unit="deg"/><FIELD name="pmRA" datatype="double"/>
<FIELD name="pmDE" datatype="double"/><FIELD name="Gmag" datatype="float"/>
<DATA><TABLEDATA>{rows}</TABLEDATA></DATA></TABLE>{after}</RESOURCE></VOTABLE>"""


class Service:
    """A TAP service that knows Gaia: it reads the cone out of the query and answers with what lies in it."""

    def __init__(self, stars, after=""):
        self.stars, self.after, self.queries, self.status = stars, after, [], 200
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                service.queries.append(form["QUERY"][0])
                self.send_response(service.status)
                self.send_header("Content-Type", "application/x-votable+xml")
                self.end_headers()
                self.wfile.write(service.answer(form["QUERY"][0]).encode())

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/tap"

    def answer(self, query):
        ra, dec, radius = map(float, re.search(r"CIRCLE\('ICRS', ([-\d.]+), ([-\d.]+), ([\d.]+)\)", query).groups())
        rows = [
            f"<TR><TD>{star}</TD><TD>{x!r}</TD><TD>{y!r}</TD><TD>1.5</TD><TD/><TD>15</TD></TR>"
            for star, x, y in self.stars
            if separation(ra, dec, x, y) < radius * 3600
        ]
        return ANSWER.format(rows="".join(rows), after=self.after)

    def close(self):
        if not self._thread.is_alive():
            return
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def service():
    two = (4472832130942575872, 10.0, 5.0), (4472832130942575873, 10.3, 5.2)
    made = Service([*two, (7, 200.0, 40.0), (8, 90.0, 0.0)])
    yield made
    made.close()


@pytest.fixture
def maker(engine_url):
    with open_sessions(engine_url) as made:
        yield made


def test_cones_cover_the_footprint_and_shrink_with_what_is_held(maker, service):
    store_image(maker, [10.0, 10.3], [5.0, 5.2])
    store_image(maker, [200.0], [40.0], expid=136243180)
    with maker() as session:
        cones = footprint_cones(session, "gaia")
    cells = np.concatenate([make_image(ra, dec).cells for ra, dec in (([10.0, 10.3], [5.0, 5.2]), ([200.0], [40.0]))])
    ra, dec = cell_to_sky(cells, 9)
    inside = [[separation(c.ra, c.dec, r, d) < 3600 * c.radius for c in cones] for r, d in zip(ra, dec, strict=True)]
    assert np.any(inside, axis=1).all() and len(cones) == 2 + (len(cones) == 3)
    fetch_catalogue(maker.kw["bind"], "gaia", url=service.url)
    with maker() as session:
        assert footprint_cones(session, "gaia") == []
        assert len(footprint_cones(session, "gaia", everything=True)) == len(cones)


def test_fetch_asks_once_for_each_patch_and_imports(maker, service, tmp_path):
    store_image(maker, [10.0, 10.3], [5.0, 5.2])
    store_image(maker, [200.0], [40.0], expid=136243180)
    steps = []
    files = fetch_catalogue(
        maker.kw["bind"], "gaia", url=service.url, folder=tmp_path / "kept", progress=lambda *step: steps.append(step)
    )
    assert sum(one.n_row for one in files) == 3 and len(list((tmp_path / "kept").iterdir())) == len(files)
    assert steps[-1] == (len(files), len(files)) and all('"I/355/gaiadr3"' in query for query in service.queries)
    assert fetch_catalogue(maker.kw["bind"], "gaia", url=service.url) == []


def test_an_answer_cut_short_is_refused(maker, service):
    store_image(maker, [10.0], [5.0])
    service.after = '<INFO name="QUERY_STATUS" value="OVERFLOW"/>'
    with pytest.raises(CatalogueFileError, match="OVERFLOW"):
        fetch_catalogue(maker.kw["bind"], "gaia", url=service.url)
    with ztfdb.open(str(maker.kw["bind"].url.render_as_string(hide_password=False)), create=True) as archive:
        assert archive.catalogues().empty


def test_a_service_that_fails_is_told_in_one_error(maker, service):
    store_image(maker, [10.0], [5.0])
    service.status = 503
    with pytest.raises(CatalogueServiceError, match="did not answer"):
        fetch_catalogue(maker.kw["bind"], "gaia", url=service.url)
    service.close()
    with pytest.raises(CatalogueServiceError, match="did not answer"):
        fetch_catalogue(maker.kw["bind"], "gaia", url=service.url)


def test_recipes_name_the_columns_that_imports_know(maker):
    store_image(maker, [10.0], [5.0])
    with maker() as session:
        cones = footprint_cones(session, "ps1")
    (address,) = recipe("ps1", cones, "mast")
    (query,) = recipe("ps1", cones, "vizier")
    assert address.startswith(f"{MAST_URL}?ra=") and "rMeanPSFMag" in address and "nDetections.gt=1" in address
    assert '"II/349/ps1"' in query and "CONTAINS" in query
    with pytest.raises(ValueError, match="no recipe for 'gaia' at 'mast'"):
        recipe("gaia", cones, "mast")


def test_the_command_line_from_recipe_to_removal(engine_url, service):
    def run(*words):
        return CliRunner().invoke(application, [*words, "--db", engine_url])

    with ztfdb.open(engine_url, create=True), open_sessions(engine_url) as maker:
        commit_image(maker, make_image([10.0, 10.3], [5.0, 5.2]))
    assert "CIRCLE" in run("catalog", "recipe", "gaia").stdout
    fetched = run("catalog", "fetch", "gaia", "--url", service.url)
    assert fetched.exit_code == 0 and "2 rows added" in fetched.stderr
    listed = run("catalog", "list", "--format", "csv")
    assert listed.stdout.splitlines()[1].startswith("gaia,2,")
    matched = run("crossmatch", "gaia", "--format", "csv", "--columns", "n_source,n_matched")
    assert matched.stdout == "n_source,n_matched\n2,2\n"
    assert "1 were matched already" in run("crossmatch", "gaia").stderr
    assert "would remove 2 matches" in run("crossmatch", "gaia", "--remove", "--dry-run").stderr
    assert "removed 2 matches" in run("crossmatch", "gaia", "--remove").stderr
    assert "would remove gaia: 2 rows" in run("catalog", "remove", "gaia", "--dry-run").stderr
    assert "removed gaia: 2 rows" in run("catalog", "remove", "gaia").stderr
    gone = run("crossmatch", "gaia")
    assert gone.exit_code == 1 and "no catalogue 'gaia'" in gone.stderr
