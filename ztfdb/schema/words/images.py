"""Unit, UCD and description of the columns about images and their files."""

from __future__ import annotations

from ztfdb.schema.words.facts import Facts

COLUMNS: dict[str, Facts] = {
    "image_id": ("", "meta.id;obs.image", "Identifier of the image, from its content: the same in every archive."),
    "kind": (
        "", "meta.code.class",
        "sci: a whole science quadrant; cutout: any other science window; ref: a reference image.",
    ),
    "simulated": ("", "meta.code;meta.modelled", "Whether the image is simulated."),
    "filefracday": (
        "", "meta.id.part;obs.exposure",
        "ZTF's name of the exposure's time: date and fraction of the day, UTC.",
    ),
    "field": ("", "meta.id;obs.field", "ZTF field of the sky grid."),
    "ccdid": ("", "meta.id;instr.det", "CCD, 1 to 16."),
    "qid": ("", "meta.id.part;instr.det", "Quadrant of the CCD, 1 to 4."),
    "rcid": ("", "meta.id;instr.det", "Readout channel, 0 to 63: 4 (ccdid - 1) + qid - 1."),
    "fid": ("", "meta.id;instr.filter", "Filter: 1 g, 2 r, 3 i."),
    "filtercode": ("", "meta.id;instr.filter", "Filter: zg, zr or zi."),
    "expid": ("", "meta.id;obs.exposure", "ZTF's number of the exposure."),
    "pid": ("", "meta.id;obs.image", "ZTF's number of the processed science image."),
    "rfid": ("", "meta.id;obs.image", "ZTF's number of the reference image."),
    "x0": (
        "pix", "pos.cartesian.x;instr.pixel",
        "Column of the first pixel, zero-based: of an image on its quadrant, of a stamp on its image.",
    ),
    "y0": (
        "pix", "pos.cartesian.y;instr.pixel",
        "Row of the first pixel, zero-based: of an image on its quadrant, of a stamp on its image.",
    ),
    "nx": ("pix", "pos.wcs.naxis", "Width of the image."),
    "ny": ("pix", "pos.wcs.naxis", "Height of the image."),
    "obsmjd": ("d", "time.start;obs.exposure", "Start of the exposure, MJD, UTC; empty for references."),
    "mjd_mid": ("d", "time.epoch;obs.exposure", "Middle of the exposure, MJD, UTC."),
    "exptime": ("s", "time.duration;obs.exposure", "Exposure time."),
    "seeing_pix": ("pix", "instr.obsty.seeing;stat.fwhm", "Seeing of the header, FWHM in pixels of 1.01 arcsec."),
    "seeing": ("arcsec", "instr.obsty.seeing;stat.fwhm", "Seeing, FWHM, from IRSA's table of images."),
    "maglim": ("mag", "instr.sensitivity;phot.mag", "Header MAGLIM: 5 sigma limiting AB magnitude."),
    "maglimit": ("mag", "instr.sensitivity;phot.mag", "5 sigma limiting AB magnitude from IRSA's table of images."),
    "magzp": (
        "mag", "phot.calib;arith.zp",
        "Header MAGZP: AB magnitude of 1 DN in PSF photometry, for a star of colour 0.",
    ),
    "magzpunc": ("mag", "stat.error;phot.calib", "Header MAGZPUNC: error of magzp."),
    "magzprms": ("mag", "stat.stdev;phot.calib", "Header MAGZPRMS: scatter of the calibrators about their fit."),
    "clrcoeff": (
        "", "stat.fit.param;phot.color",
        "Header CLRCOEFF: colour coefficient, times the PS1 colour to be added to the magnitude.",
    ),
    "clrcounc": ("", "stat.error;phot.color", "Header CLRCOUNC: error of clrcoeff."),
    "pcolor": ("", "meta.id;phot.color", "Header PCOLOR: the colour of clrcoeff."),
    "gain": ("electron / DN", "instr.param", "Header GAIN."),
    "readnoi": ("electron", "instr.det.noise", "Header READNOI: read noise."),
    "saturate": ("DN", "instr.saturation", "Header SATURATE: level at which pixels saturate."),
    "infobits": ("", "meta.code.qual;obs.image", "Quality bits of the image; usable if below 33554432."),
    "infobits_source": ("", "meta.ref", "Origin of infobits: header, or irsa (imported metadata)."),
    "status": ("", "meta.code.status", "Header STATUS: 1 if the pipeline succeeded."),
    "airmass": ("", "obs.airMass", "Airmass of the exposure."),
    "programid": ("", "meta.id;obs.proposal", "ZTF programme: 1 public, 2 partnership, 3 Caltech."),
    "procvsn": ("", "meta.version;meta.software", "Version of the processing, the higher the newer."),
    "created": ("", "time.creation", "Time when it was made, from its file or ztfdb, ISO 8601."),
    "nframes": ("", "meta.number;obs.image", "Images in the coadd of a reference."),
    "background": ("DN", "instr.background", "Level of the background: at the source, or the image's median."),
    "background_rms": (
        "DN", "stat.stdev;instr.background",
        "Noise of one pixel of the background: at the source, or the image's median.",
    ),
    "has_mask": ("", "meta.code;obs.image", "Whether the image has a mask."),
    "n_source": ("", "meta.number;src", "Sources stored of the image or catalogue."),
    "caveats": (
        "", "meta.code;obs.image",
        "Deficiencies of the image, the sum of: 1 no GAIN, 2 BUNIT is not DN, 4 no mask, 8 the mask is not a file, "
        "16 no sky free of sources.",
    ),
    "facts_checksum": ("", "meta.checksum", "64-bit checksum of the image's own row, headers, files and cells."),
    "row_checksum": ("", "meta.checksum", "64-bit checksum of the stored rows of the image or catalogue."),
    "role": (
        "", "meta.code.class;meta.file",
        "Role of the file: sci, msk, ref, psf, psfcat or refpsfcat.",
    ),
    "wcs_projection": ("", "pos.wcs.ctype", "Projection of the WCS: TAN or TPV."),
    "wcs": ("", "pos.wcs", "42 doubles, little-endian: crval, crpix, cd row by row, PV coefficients axis by axis."),
    "mesh_box_y": ("pix", "instr.background;instr.pixel", "Height of a box of the background mesh."),
    "mesh_box_x": ("pix", "instr.background;instr.pixel", "Width of a box of the background mesh."),
    "mesh_ny": ("", "meta.number;instr.background", "Boxes of the background mesh along y."),
    "mesh_nx": ("", "meta.number;instr.background", "Boxes of the background mesh along x."),
    "mesh_level": ("DN", "instr.background", "Level of each box, singles, little-endian, rows of mesh_nx."),
    "mesh_rms": (
        "DN", "stat.stdev;instr.background",
        "Pixel rms of each box, singles, little-endian, rows of mesh_nx.",
    ),
    "cards": ("", "meta.note;meta.fits", "Header cards as JSON."),
    "data_root_id": ("", "meta.id;meta.file", "Folder that the path is relative to, a row of data_root."),
    "data_root": ("", "meta.id;meta.file", "Name of the folder that the path is relative to."),
    "path": ("", "meta.id;meta.file", "Path of the file, relative to its data root if it has one."),
    "size": ("byte", "meta.number;meta.file", "Size of the file."),
    "mtime_ns": ("ns", "time.epoch;meta.file", "Modification time of the file, since 1970-01-01 UTC."),
    "sha256": ("", "meta.checksum;meta.file", "SHA-256 of the file's bytes, hexadecimal."),
    "hdu": ("", "meta.number;meta.fits", "Index of the HDU with the pixels, from 0."),
    "byte_offset": (
        "byte", "meta.number;meta.file",
        "Offset of the pixels in the file; empty if they are compressed.",
    ),
    "bitpix": ("", "meta.code;meta.fits", "BITPIX of the pixels as stored."),
    "bscale": ("", "arith.factor;meta.fits", "BSCALE of the pixels as stored."),
    "bzero": ("", "arith.zp;meta.fits", "BZERO of the pixels as stored."),
    "compression": ("", "meta.code;meta.file", "none, gzip, or the type of tile compression."),
    "cell9": ("", "pos.healpix", "HEALPix cell of order 9, NESTED, ICRS."),
}  # fmt: skip

for _k in range(1, 7):
    COLUMNS[f"apcor{_k}"] = ("mag", "phot.calib;arith.diff", f"Header APCOR{_k}: added to magzp for aperture {_k}.")
    COLUMNS[f"sky_noise{_k}"] = (
        "", "stat.stdev;instr.background;arith.ratio",
        f"Scatter of blank apertures {_k} relative to white noise.",
    )  # fmt: skip
for _k, _corner in enumerate(("lower left", "lower right", "upper right", "upper left"), 1):
    COLUMNS[f"ra{_k}"] = ("deg", "pos.eq.ra;instr.fov", f"Right ascension of the outer corner {_k} ({_corner}), ICRS.")
    COLUMNS[f"dec{_k}"] = ("deg", "pos.eq.dec;instr.fov", f"Declination of the outer corner {_k} ({_corner}), ICRS.")
for _body, _long, _ucd in (("sun", "the Sun", "pos.heliocentric"), ("ssb", "the barycentre", "pos.barycenter")):
    for _axis in "xyz":
        COLUMNS[f"{_body}_{_axis}"] = (
            "s", f"pos.cartesian.{_axis};{_ucd}",
            f"Light time from {_long} to the observatory at mid-exposure, component {_axis}, ICRS.",
        )  # fmt: skip
