"""Descriptions of tables and views, and of columns with a more specific meaning in one of them.

A name that is neither a table nor a view is an answer: ``cone``, ``psf_cone``, ``light_curve``, ``images``, …
"""

from __future__ import annotations

from ztfdb.schema.words.facts import Facts

TABLES: dict[str, str] = {
    "archive_meta": "Facts fixed when the archive was made.",
    "config": "Settings and software versions of measurements.",
    "data_root": "Folders that the paths of files are relative to.",
    "image": "Images: one row per quadrant exposure, cutout or reference.",
    "image_header": "Header cards of the files of images, their WCS and background mesh.",
    "image_file": "Files of images: their paths, and their facts when they were read.",
    "image_cell": "HEALPix cells of order 9 that images touch.",
    "source": "Sources: one row per detection on one image.",
    "forced_source": "Forced measurements: fluxes at given positions of images.",
    "psf_catalogue": "ZTF's own PSF catalogues (psfcat, refpsfcat): one row per file.",
    "psf_source": "Rows of ZTF's own PSF catalogues, as ZTF wrote them.",
    "psf_check": "Comparison of aperture magnitudes of images with ZTF's PSF catalogues of them.",
    "catalogue": "Reference catalogues of the archive.",
    "catalogue_file": "Imported files of reference catalogues.",
    "catalogue_cell": "HEALPix cells of order 9 that hold rows of a reference catalogue.",
    "ps1": "Pan-STARRS1 objects.",
    "gaia": "Gaia sources.",
    "reference_source": "Rows of all other reference catalogues.",
    "source_match": "Matches of sources with rows of reference catalogues.",
    "image_match": "Matching of images with reference catalogues, and the offsets of their positions.",
    "calibration": "Zero point and terms of each image and aperture, by stars of Pan-STARRS1 or the images' own.",
    "self_solution": "Solutions of images and the stars they share: one row per connected set and aperture.",
    "self_star": "Stars of these solutions, by which later images are calibrated.",
    "detection_limit": "Detection probability of artificial stars on images.",
    "object": "Objects: detections joined across epochs, fields and filters.",
    "object_source": "The object of each source.",
    "object_filter": "Statistics of each object in each filter.",
    "object_curve": "Detections of each object in each filter, packed.",
    "object_alias": "Former ids of objects.",
    "object_image": "Images with sources in the objects, and their fingerprints at that time.",
    "object_state": "Numbers that show whether the objects are up to date.",
    "object_oid": "ZTF's reference sources that objects are identical with.",
    "object_reference": "Reference catalogues that object_oid was made from, and their fingerprints at that time.",
    "ingest_job": "Queue of image files to ingest: one row per file, kept forever.",
    "light_curve_point": "Detections with calibrated magnitudes (6 px aperture) and the facts of their images.",
    "psf_light_curve_point": "Rows of ZTF's PSF catalogues with calibrated magnitudes and the facts of their images.",
    "self_light_curve_point": "Detections (6 px aperture) calibrated by the stars that images share.",
    "image_summary": "Images with their files, data roots and configurations.",
    "matched_source": "Sources, and the rows of reference catalogues that they match.",
    "image_calibration": "Fitted calibrations, and those of the headers.",
    "object_summary": "Objects with their statistics, one row per filter.",
    "object_oid_summary": "ZTF's reference sources that objects are identical with.",
    "image_psf_check": "Checks against ZTF's PSF catalogues, and the facts of their images.",
}

_CENTRE = {
    "ra": ("deg", "pos.eq.ra;meta.main", "Right ascension of the image's centre, ICRS."),
    "dec": ("deg", "pos.eq.dec;meta.main", "Declination of the image's centre, ICRS."),
}
_OBJECT = {
    "ra": ("deg", "pos.eq.ra;meta.main", "Right ascension of the object's best clean detection, ICRS."),
    "dec": ("deg", "pos.eq.dec;meta.main", "Declination of the object's best clean detection, ICRS."),
    "scatter": ("mag", "stat.stdev;phot.mag", "Standard deviation (n - 1) of the magnitudes."),
}
_PSF = {
    "flux": ("DN", "phot.count;src.net;meta.main", "PSF flux of ZTF's catalogue."),
    "flux_err": (
        "DN",
        "stat.error;phot.count",
        "sigflux of ZTF's catalogue, 1 sigma, with ZTF's own systematic floor.",
    ),
}
_PSF_BITS = ("", "meta.code.qual;instr.pixel", "Mask bits in a box of 5 x 5 px around the source.")
_APERTURE = {
    "flux": ("DN", "phot.count;src.net;meta.main", "Flux in the 6 px aperture, background-subtracted."),
    "flux_err": ("DN", "stat.error;phot.count", "Error of flux, 1 sigma."),
}
_CALIBRATION = {
    "magerr_sys": ("mag", "stat.error.sys;phot.mag", "Floor of the image (scatter) and error of its zero point."),
    "method": ("", "meta.id;phot.calib", "What it was fitted to: ps1 or self (the images' own stars)."),
    "x_gradient": ("mag", "stat.fit.param;phot.calib", "Change of the magnitude along x, from the middle to the edge."),
    "x_gradient_err": ("mag", "stat.error;phot.calib", "Error of x_gradient, 1 sigma."),
    "y_gradient": ("mag", "stat.fit.param;phot.calib", "Change of the magnitude along y, from the middle to the edge."),
    "y_gradient_err": ("mag", "stat.error;phot.calib", "Error of y_gradient, 1 sigma."),
}
_SOLUTION = {
    "n_image": ("", "meta.number;obs.image", "Images of the solution."),
    "n_star": ("", "meta.number;src.calib", "Stars of the solution."),
    "n_clipped": ("", "meta.number", "Epochs left out because they were far off."),
    "color": ("", "meta.id;phot.color", "The colour of the colour terms: g-r or r-i."),
    "color_term": ("", "stat.fit.param;phot.color", "Median colour term of the images."),
}
_CHECK = {
    "scatter": ("mag", "stat.stdev;phot.mag", "Robust scatter of the differences about their trends."),
    "n_match": ("", "meta.number;src", "Clean sources, not faint, that have a row in the catalogue."),
    "n_star": ("", "meta.number;src", "Bright, clean and isolated stars of the check."),
    "n_clipped": ("", "meta.number;src", "Stars left out because they were far off."),
    "warning": ("", "meta.code.qual;phot.mag", "0 none, 1 look at it, 2 wrong."),
}
_KIND = ("", "meta.code.class", "detection, forced, limit (an upper limit) or unavailable.")

COLUMNS: dict[str, dict[str, Facts]] = {
    "image": _CENTRE,
    "image_summary": _CENTRE,
    "images": _CENTRE
    | {
        "x": ("pix", "pos.cartesian.x;instr.pixel", "Column of the position on the image, zero-based."),
        "y": ("pix", "pos.cartesian.y;instr.pixel", "Row of the position on the image, zero-based."),
    },
    "psf_source": _PSF | {"flags": ("", _PSF_BITS[1], "Mask bits in a box of 5 x 5 px, as a signed 16-bit number.")},
    "psf_light_curve_point": _PSF | {"mask_bits": _PSF_BITS},
    "psf_cone": _PSF | {"flags": ("", _PSF_BITS[1], "Mask bits in a box of 5 x 5 px, as a signed 16-bit number.")},
    "psf_catalogue": {
        "magzp": ("mag", "phot.calib;arith.zp", "AB magnitude of 1 DN: of its header, else its image's.")
    },
    "light_curve_point": _APERTURE,
    "matched_source": _APERTURE,
    "light_curve": {
        "kind": _KIND,
        "color": ("mag", "phot.color", "PS1 colour of the star used for the colour term."),
        "path": ("", "meta.id;meta.file", "File of the image."),
    },
    "object": _OBJECT,
    "object_filter": _OBJECT,
    "object_summary": _OBJECT,
    "object_source": {
        "kind": ("", "meta.code.member", "How it became a member of its object: 1 linked, 2 absorbed, 3 attached."),
        "separation": ("arcsec", "pos.angDistance", "Great-circle distance from the object's position."),
    },
    "object_oid": {
        "source_id": ("", "meta.id;src", "Identifier of the reference source, a row of psf_source."),
        "separation": ("arcsec", "pos.angDistance", "Great-circle distance from the object's position."),
    },
    "object_state": {"value": ("", "meta.number", "The number.")},
    "catalogue": {"kind": ("", "meta.code.class", "ps1, gaia or reference: the table of its rows.")},
    "catalogue_file": {"n_row": ("", "meta.number", "Rows that the file added.")},
    "forced_source": {"method": ("", "meta.code", "1 sums in the six apertures, 2 PSF fit.")},
    "calibration": _CALIBRATION,
    "image_calibration": {name: _CALIBRATION[name] for name in ("method", "x_gradient", "y_gradient")},
    "self_light_curve_point": _APERTURE,
    "self_solution": _SOLUTION,
    "detection_limit": {
        "n_star": ("", "meta.number;src", "Artificial stars."),
        "n_source": ("", "meta.number;src", "Sources of the image."),
        "psf": ("", "meta.id", "Origin of the profile: dao (the PSF file of the exposure) or moffat (its stars)."),
        "measured": ("", "time.processing", "When it was measured, UTC."),
    },
    "self_star": {
        "number": ("", "meta.id", "Number of the star in its solution, from 0."),
        "mag": ("mag", "phot.mag;stat.mean", "Mean magnitude at the star's own colour."),
        "mag_err": ("mag", "stat.error;phot.mag", "Error of mag, 1 sigma, without that of the images' terms."),
        "n": ("", "meta.number", "Epochs of the star that were used."),
    },
    "image_match": {"warning": ("", "meta.code.qual;pos", "Warning of the astrometry: 0 none, 1 look at it, 2 wrong.")},
    "psf_check": _CHECK,
    "image_psf_check": _CHECK,
    "stamps": {
        "x0": ("pix", "pos.cartesian.x;instr.pixel", "Column of the image that is the stamp's first."),
        "y0": ("pix", "pos.cartesian.y;instr.pixel", "Row of the image that is the stamp's first."),
        "status": ("", "meta.code.status", "ok, or why the stamp has no pixels."),
    },
}
