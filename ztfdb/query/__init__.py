"""The questions an archive answers: cones, light curves, which images saw a spot, and read-only SQL."""

from ztfdb.query.catcone import catalogue_cone
from ztfdb.query.complete import (
    How,
    complete_light_curve,
    complete_light_curve_on_path,
    complete_light_curves,
    iter_complete_light_curves,
)
from ztfdb.query.cone import MAX_CONE_RADIUS, cone
from ztfdb.query.conesql import cone_sql
from ztfdb.query.coverage import images_covering
from ztfdb.query.cutouts import cutout, image_pixels
from ztfdb.query.explain import Explanation, explain
from ztfdb.query.irsa import IRSA_PHOTS, irsa_light_curve, irsa_light_curves, iter_irsa_light_curves
from ztfdb.query.lightcurve import MAX_RADIUS, LightCurve, iter_light_curves, light_curve, light_curves
from ztfdb.query.matched import catalogues, matched_entries
from ztfdb.query.psfcat import (
    complete_psf_light_curve,
    complete_psf_light_curves,
    iter_complete_psf_light_curves,
    iter_psf_light_curves,
    psf_cone,
    psf_light_curve,
    psf_light_curves,
)
from ztfdb.query.psfcheck import psf_checks
from ztfdb.query.readonly import read_only_sql
from ztfdb.query.stamps import StampSeries, stamp, stamps, stamps_on_image, stamps_on_path
from ztfdb.query.status import status
from ztfdb.query.tables import column_list, table_list
from ztfdb.query.verify import verify

__all__ = [
    "IRSA_PHOTS",
    "MAX_CONE_RADIUS",
    "MAX_RADIUS",
    "Explanation",
    "How",
    "LightCurve",
    "StampSeries",
    "catalogue_cone",
    "catalogues",
    "column_list",
    "complete_light_curve",
    "complete_light_curve_on_path",
    "complete_light_curves",
    "complete_psf_light_curve",
    "complete_psf_light_curves",
    "cone",
    "cone_sql",
    "cutout",
    "explain",
    "image_pixels",
    "images_covering",
    "irsa_light_curve",
    "irsa_light_curves",
    "iter_complete_light_curves",
    "iter_complete_psf_light_curves",
    "iter_irsa_light_curves",
    "iter_light_curves",
    "iter_psf_light_curves",
    "light_curve",
    "light_curves",
    "matched_entries",
    "psf_checks",
    "psf_cone",
    "psf_light_curve",
    "psf_light_curves",
    "read_only_sql",
    "stamp",
    "stamps",
    "stamps_on_image",
    "stamps_on_path",
    "status",
    "table_list",
    "verify",
]
