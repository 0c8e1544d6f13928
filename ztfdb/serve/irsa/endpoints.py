"""The routes of IRSA's addresses."""

from __future__ import annotations

from starlette.routing import BaseRoute

from ztfdb.serve.irsa.lightcurves import light_curves
from ztfdb.serve.irsa.products import product
from ztfdb.serve.irsa.search import search
from ztfdb.serve.service import route


def routes() -> list[BaseRoute]:
    """Return the routes of this protocol."""
    return [
        route("/cgi-bin/ZTF/nph_light_curves", light_curves),
        route("/ibe/search/ztf/products/{kind}", search),
        route("/ibe/data/ztf/products/{path:path}", product, methods=("GET",)),
    ]
