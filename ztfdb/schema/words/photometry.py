"""Unit, UCD and description of the columns about sources: positions, shapes, fluxes, magnitudes, calibration."""

from __future__ import annotations

from ztfdb.schema.words.facts import Facts

APERTURES = {1: "2", 2: "3", 3: "4", 4: "6", 5: "10", 6: "14"}
"""Diameters of the six apertures, px."""

COLUMNS: dict[str, Facts] = {
    "source_id": ("", "meta.id;src", "Identifier of the source: image_id * 2^18 + its number on the image."),
    "hpx29": ("", "pos.healpix", "HEALPix cell of order 29, NESTED, ICRS: what positions are searched by."),
    "ra": ("deg", "pos.eq.ra;meta.main", "Right ascension, ICRS, 0 to 360."),
    "dec": ("deg", "pos.eq.dec;meta.main", "Declination, ICRS."),
    "x": ("pix", "pos.cartesian.x;instr.pixel", "Zero-based column: the first pixel is centred on 0."),
    "y": ("pix", "pos.cartesian.y;instr.pixel", "Zero-based row: the first pixel is centred on 0."),
    "a": ("pix", "phys.angSize.smajAxis;src", "Rms along the major axis."),
    "b": ("pix", "phys.angSize.sminAxis;src", "Rms along the minor axis."),
    "theta": ("rad", "pos.posAng;src", "Angle of the major axis from +x towards +y."),
    "npix": ("", "meta.number;instr.pixel", "Pixels above the threshold of the detection."),
    "peak": ("DN", "phot.count;stat.max", "Highest pixel above the background."),
    "flux_auto": ("DN", "phot.count;src.net", "Flux in the Kron ellipse."),
    "flux_auto_err": ("DN", "stat.error;phot.count", "Error of flux_auto, 1 sigma."),
    "kron_radius": ("", "arith.factor;phys.angSize;src", "Kron radius in units of a."),
    "flux_radius": ("pix", "phys.angSize;src", "Half-light radius."),
    "flux_psf": ("DN", "phot.count;src.net", "Flux of the PSF fitted at the position."),
    "flux_psf_err": ("DN", "stat.error;phot.count", "Error of flux_psf, 1 sigma."),
    "flags": ("", "meta.code.qual;src", "Bits of the extraction (ztfdb.bits.SourceFlag)."),
    "mask_bits": (
        "", "meta.code.qual;instr.pixel",
        "Mask bits inside the 6 px aperture, without those of sources; empty without a mask.",
    ),
    "chi": ("", "stat.fit.goodness", "Chi of the PSF fit: rms of the residuals over what the noise would give."),
    "sharp": ("", "src.morph.param", "Sharpness: 0 for a point source."),
    "flux": ("DN", "phot.count;src.net;meta.main", "Flux, background-subtracted."),
    "flux_err": ("DN", "stat.error;phot.count", "Error of flux, 1 sigma."),
    "snr": ("", "stat.snr;phot.count", "Flux over its error."),
    "mag_inst": ("mag", "phot.mag;stat.uncalib", "Instrumental magnitude; magzp is still to be added."),
    "sigmag": ("mag", "stat.error;phot.mag", "Error of the magnitude, with ZTF's own systematic floor."),
    "mag": (
        "mag", "phot.mag;meta.main",
        "Calibrated AB magnitude, empty where the flux is not positive; of a catalogue as it gives it.",
    ),
    "magerr": ("mag", "stat.error;phot.mag", "Error of mag, 1 sigma, with the archive's systematic floor."),
    "mag_err": ("mag", "stat.error;phot.mag", "Error of mag, 1 sigma."),
    "magerr_sys": ("mag", "stat.error.sys;phot.mag", "Systematic floor that magerr holds in quadrature."),
    "flux_ujy": ("uJy", "phot.flux.density", "Flux density on the AB scale, of which 3631 Jy is magnitude 0."),
    "flux_ujy_err": (
        "uJy", "stat.error;phot.flux.density",
        "Error of flux_ujy, 1 sigma, without the systematic floor.",
    ),
    "upper_limit_mag": ("mag", "phot.mag;stat.max", "Upper limit as an AB magnitude, where nothing was detected."),
    "upper_limit_nsigma": ("", "stat.confidenceLevel", "Sigma of upper_limit_mag."),
    "limitmag": ("mag", "instr.sensitivity;phot.mag", "5 sigma limiting AB magnitude of the image."),
    "mjd": ("d", "time.start;obs.exposure;meta.main", "Start of the exposure, MJD, UTC."),
    "hjd": ("d", "time.epoch;pos.heliocentric", "Heliocentric JD (UTC) of the middle of the exposure."),
    "bjd_tdb": ("d", "time.epoch;pos.barycenter", "Barycentric JD (TDB) of the middle of the exposure."),
    "catflags": (
        "", "meta.code.qual;src",
        "mask_bits, plus 32768 on an image that is not usable; empty without a mask.",
    ),
    "good": (
        "", "meta.code.qual;src",
        "1 where neither image, mask, aperture nor the sky of a small image speak against the measurement.",
    ),
    "aperture": ("", "meta.id;phot.count", "Aperture, 1 to 6: diameters 2, 3, 4, 6, 10, 14 px."),
    "calibration": ("", "meta.id;phot.calib", "What calibrates mag: header, ps1, with or without +colour, or none."),
    "reason": ("", "meta.note", "Why there is no measurement, or why a job waits or was set aside."),
    "phot": ("", "meta.id;phot.mag", "Whose photometry: aperture, psf (ours) or psfcat (ZTF's catalogue)."),
    "oid": ("", "meta.id;src", "ZTF's number of an object: field, fid, ccdid, qid, number; negative where it is ours."),
    "number": ("", "meta.id;src", "Smallest oid of the object."),
    "sourceid": ("", "meta.id.part;src", "Number of the source in its reference catalogue."),
    "n_within": ("", "meta.number;src", "Sources of the same image within the radius."),
    "blended": (
        "", "meta.code.multip;src",
        "Whether several sources of the image lie within the radius, or the detection was deblended.",
    ),
    "contaminated": (
        "", "meta.code.qual;src",
        "Whether the aperture of a source outside the radius overlaps that of the position.",
    ),
    "separation": (
        "arcsec", "pos.angDistance",
        "Great-circle distance: from the position asked for, or between the two that are paired.",
    ),
    "zeropoint": ("mag", "phot.calib;arith.zp", "AB magnitude of 1 DN in this aperture for a star of colour 0."),
    "zeropoint_err": ("mag", "stat.error;phot.calib", "Error of zeropoint, 1 sigma."),
    "header_zeropoint": ("mag", "phot.calib;arith.zp", "MAGZP + APCOR of the header, which zeropoint compares with."),
    "zeropoint_difference": ("mag", "phot.calib;arith.diff", "zeropoint - header_zeropoint."),
    "color": ("", "meta.id;phot.color", "The colour of the colour term: g-r or r-i."),
    "color_term": ("", "stat.fit.param;phot.color", "Factor of the colour in the magnitude."),
    "color_term_err": ("", "stat.error;phot.color", "Error of color_term, 1 sigma."),
    "header_color_term": ("", "stat.fit.param;phot.color", "CLRCOEFF of the header, which color_term compares with."),
    "covariance": ("mag2", "stat.covariance;phot.calib", "Covariance of zeropoint and color_term."),
    "scatter": ("mag", "stat.stdev;phot.mag", "Scatter that the errors leave unexplained."),
    "rms": ("mag", "stat.stdev;phot.calib", "Standard deviation of the residuals of the stars kept."),
    "n_star": ("", "meta.number;src.calib", "Stars that the fit is made of."),
    "n_clipped": ("", "meta.number;src.calib", "Stars left out because they were far off."),
    "color_min": ("mag", "phot.color;stat.min", "Smallest colour of the stars kept."),
    "color_max": ("mag", "phot.color;stat.max", "Largest colour of the stars kept."),
    "apcor": ("mag", "phot.calib;arith.diff", "Correction to the largest aperture, measured on isolated stars."),
    "apcor_err": ("mag", "stat.error;phot.calib", "Error of apcor, 1 sigma."),
    "header_apcor": ("mag", "phot.calib;arith.diff", "APCOR - APCOR6 of the header, which apcor compares with."),
    "n_apcor": ("", "meta.number;src.calib", "Stars that apcor is made of."),
    "failure": ("", "meta.note", "Why it failed; empty where it did not."),
    "calibrated": ("", "time.processing", "When it was calibrated, ISO 8601, UTC."),
    "median": ("mag", "phot.mag;arith.diff;stat.median", "Median of our magnitudes minus ZTF's."),
    "median_err": ("mag", "stat.error;phot.mag", "Error of median, 1 sigma."),
    "slope": ("", "arith.grad;phot.mag", "Change of the difference with magnitude, mag per mag."),
    "slope_err": ("", "stat.error;phot.mag", "Error of slope, 1 sigma."),
    "x_gradient": (
        "mag", "phot.mag;arith.diff",
        "Change of the difference from the image's left edge to its right edge.",
    ),
    "x_gradient_err": ("mag", "stat.error;phot.mag", "Error of x_gradient, 1 sigma."),
    "y_gradient": (
        "mag", "phot.mag;arith.diff",
        "Change of the difference from the image's lower edge to its upper edge.",
    ),
    "y_gradient_err": ("mag", "stat.error;phot.mag", "Error of y_gradient, 1 sigma."),
    "bright_limit": ("mag", "phot.mag;stat.min", "Magnitude of the brightest star of the check."),
    "faint_limit": ("mag", "phot.mag;stat.max", "Magnitude of the faintest star of the check."),
    "severity": (
        "", "stat.value",
        "Largest of the numbers of the check over its threshold; above 1 there is a warning.",
    ),
    "warning": ("", "meta.code.qual", "0 none, 1 look at it, 2 wrong."),
    "checked": ("", "time.processing", "When it was checked, ISO 8601, UTC."),
}  # fmt: skip

for _k, _diameter in APERTURES.items():
    COLUMNS[f"flux_aper{_k}"] = ("DN", "phot.count;src.net", f"Flux in aperture {_k}, {_diameter} px in diameter.")
    COLUMNS[f"flux_aper{_k}_err"] = ("DN", "stat.error;phot.count", f"Error of flux_aper{_k}, 1 sigma.")
