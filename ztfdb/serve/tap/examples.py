"""Examples of TAP, as DALI describes them: statements that find rows in this archive."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ztfdb.adql.translate import translate
from ztfdb.serve.params import Parameters
from ztfdb.serve.service import Service
from ztfdb.serve.tap.schema import published
from ztfdb.serve.vosi import HEAD
from ztfdb.serve.votable import text
from ztfdb.store.readonly_stream import Reader

VIEWS = ("light_curve_point", "psf_light_curve_point")
"""Views of detections: the examples use the first one that has some."""

SOUGHT = ((0.05, "mag BETWEEN 14 AND 17"), (0.05, "mag IS NOT NULL"), (0.3, "mag IS NOT NULL"))
"""Where a star is sought around the middle of an image, in this order: radius, deg, and condition."""

NOWHERE = (58.0029, 35.7365)
"""Position in the examples of an archive without images: the demo's, deg."""

EXAMPLES = (
    ("cone", "Detections around a position",
     "SELECT TOP 100 source_id, ra, dec, mjd, filtercode, mag, magerr\nFROM ztf.{view}\n"
     "WHERE 1 = CONTAINS(POINT('ICRS', ra, dec), CIRCLE('ICRS', {ra}, {dec}, 0.0005))\nORDER BY mjd"),
    ("filters", "Images of each filter", "SELECT filtercode, COUNT(*) AS n\nFROM ztf.image\nGROUP BY filtercode"),
    ("images", "Images of a position",
     "SELECT obs_publisher_did, t_min, em_min, em_max, s_resolution, access_url\nFROM ivoa.obscore\n"
     "WHERE 1 = CONTAINS(POINT('ICRS', {ra}, {dec}), s_region)\nORDER BY t_min"),
    ("columns", "Columns of a view",
     "SELECT column_name, unit, description\nFROM tap_schema.columns\nWHERE table_name = 'ztf.{view}'"),
    ("upload", "Detections around each position of your table (columns ra, dec in degrees)",
     "SELECT t1.*, d.source_id, d.mjd, d.filtercode, d.mag, d.magerr\n"
     "FROM tap_upload.t1 AS t1\nJOIN ztf.{view} AS d\n"
     "  ON 1 = CONTAINS(POINT('ICRS', d.ra, d.dec), CIRCLE('ICRS', t1.ra, t1.dec, 0.0005))"),
)  # fmt: skip


async def examples(request: Request, service: Service, params: Parameters) -> Response:
    """Answer DALI's examples, a page with RDFa."""
    view, ra, dec = await service.workers.run(request, _place, service.reader)
    words = {"view": view, "ra": f"{ra:.5f}", "dec": f"{dec:.5f}"}
    parts = "".join(
        f'<div id="{key}" resource="#{key}" typeof="example"><h2 property="name">{text(name)}</h2>'
        f'<pre property="query">{text(statement.format(**words))}</pre></div>\n'
        for key, name, statement in EXAMPLES
    )
    page = (
        f'{HEAD}<html xmlns="http://www.w3.org/1999/xhtml"><head><title>Examples</title></head>'
        f'<body vocab="http://www.ivoa.net/rdf/examples#"><h1>Examples</h1>\n{parts}</body></html>\n'
    )
    return Response(page, media_type="application/xhtml+xml")


def _place(reader: Reader) -> tuple[str, float, float]:
    """Return a view, and the position (deg) of a star in it near the middle of an image, if possible of 14 to 17 mag.

    Without detections there, it is the middle of the image.
    """
    ra, dec = _first(reader, "SELECT TOP 1 ra, dec FROM ztf.image") or NOWHERE
    for radius, wanted in SOUGHT:
        near = f"1 = CONTAINS(POINT('ICRS', ra, dec), CIRCLE('ICRS', {ra:.5f}, {dec:.5f}, {radius}))"
        for view in VIEWS:
            star = _first(reader, f"SELECT TOP 1 ra, dec FROM ztf.{view} WHERE {near} AND {wanted}")
            if star is not None:
                return view, *star
    return VIEWS[0], ra, dec


def _first(reader: Reader, statement: str) -> tuple[float, float] | None:
    made = translate(statement, published(), reader.engine, 1)
    rows = [row for piece in reader.pieces(made.sql, made.values) for row in piece]
    return (float(rows[0][0]), float(rows[0][1])) if rows else None
