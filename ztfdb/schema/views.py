"""The views for users of SQL, in one portable text for both engines; SQLite gets hints in addition.

`ztfdb.store.views` creates them, and again if they or the tables have changed. REAL columns are cast to double before
arithmetic (PostgreSQL would compute in single precision, SQLite never does), logarithms are guarded, and the formulas
of `ztfdb.schema.formulas` give the same digits on both engines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from sqlalchemy import Connection, text

from ztfdb.bits import APERTURE_BROKEN, BAD_BITS, CATFLAG_UNUSABLE, INFOBITS_USABLE_BELOW
from ztfdb.ids import MAX_SOURCES
from ztfdb.phot.magnitudes import MICROJANSKY_MAG, POGSON
from ztfdb.schema.formulas import exact, hypot, log10, power10

_FLUX = "cast(source.flux_aper4 as double precision)"
_FLUX_ERR = "cast(source.flux_aper4_err as double precision)"
_ZEROPOINT = "(image.magzp + image.apcor4)"
_MAGERR = f"({exact(float(POGSON))} * {_FLUX_ERR} / {_FLUX})"
_FLOOR = "(select cast(value as double precision) from archive_meta where key = 'magerr_sys')"
_USABLE = f"(image.infobits is null or image.infobits < {INFOBITS_USABLE_BELOW})"


def _microjansky(zeropoint: str) -> str:
    """Return SQL for the flux density of 1 DN at a zero point."""
    return power10(f"{exact(0.4)} * ({exact(MICROJANSKY_MAG)} - {zeropoint})")


LIGHT_CURVE_POINT = f"""
create view light_curve_point as
select source.source_id, image.image_id, source.hpx29, source.ra, source.dec,
       image.obsmjd as mjd, image.mjd_mid, image.field, image.ccdid, image.qid, image.fid, image.filtercode,
       image.expid, image.exptime, image.maglim as limitmag,
       {_FLUX} as flux, {_FLUX_ERR} as flux_err,
       case when {_FLUX_ERR} > 0 then {_FLUX} / {_FLUX_ERR} end as snr,
       case when {_FLUX} > 0 then {_ZEROPOINT} - {exact(2.5)} * {log10(_FLUX)} end as mag,
       case when {_FLUX} > 0 and image.apcor4 is not null
            then {hypot(_MAGERR, _FLOOR)} end as magerr,
       {_FLUX} * {_microjansky(_ZEROPOINT)} as flux_ujy,
       {_FLUX_ERR} * {_microjansky(_ZEROPOINT)} as flux_ujy_err,
       source.flags, source.mask_bits,
       case when {_USABLE} then source.mask_bits
            else coalesce(source.mask_bits, 0) + {int(CATFLAG_UNUSABLE)} end as catflags,
       case when {_USABLE} and (source.mask_bits is null or (source.mask_bits & {int(BAD_BITS)}) = 0)
                 and (source.flags & {int(APERTURE_BROKEN)}) = 0 then 1 else 0 end as good,
       case when image.simulated then 1 else 0 end as simulated
from source join image on image.image_id = source.source_id >> 18
where image.kind <> 'ref'
"""

_SELF_U = "(2.0 * (source.x + 0.5) / image.nx - 1.0)"
_SELF_V = "(2.0 * (source.y + 0.5) / image.ny - 1.0)"
_SELF_ZEROPOINT = f"""(calibration.zeropoint
           + (coalesce(calibration.color_term, 0.0) - coalesce(self_solution.color_term, 0.0))
             * coalesce(self_solution.color_pivot, 0.0)
           + calibration.x_gradient * {_SELF_U} + calibration.y_gradient * {_SELF_V}
           + coalesce(calibration.map_xx, 0.0) * (1.5 * {_SELF_U} * {_SELF_U} - 0.5)
           + coalesce(calibration.map_xy, 0.0) * {_SELF_U} * {_SELF_V}
           + coalesce(calibration.map_yy, 0.0) * (1.5 * {_SELF_V} * {_SELF_V} - 0.5))"""

SELF_LIGHT_CURVE_POINT = f"""
create view self_light_curve_point as
select source.source_id, image.image_id, source.hpx29, source.ra, source.dec,
       image.obsmjd as mjd, image.mjd_mid, image.field, image.ccdid, image.qid, image.fid, image.filtercode,
       image.expid, image.exptime, {_FLUX} as flux, {_FLUX_ERR} as flux_err,
       case when {_FLUX} > 0 then {_SELF_ZEROPOINT} - {exact(2.5)} * {log10(_FLUX)} end as mag,
       case when {_FLUX} > 0 then {hypot(_MAGERR, "calibration.magerr_sys")} end as magerr,
       calibration.magerr_sys, calibration.solution_id, source.flags, source.mask_bits,
       case when {_USABLE} and (source.mask_bits is null or (source.mask_bits & {int(BAD_BITS)}) = 0)
                 and (source.flags & {int(APERTURE_BROKEN)}) = 0 then 1 else 0 end as good
from source join image on image.image_id = source.source_id >> 18
join calibration on calibration.image_id = image.image_id and calibration.method = 'self' and calibration.aperture = 4
join self_solution on self_solution.solution_id = calibration.solution_id
where image.kind <> 'ref'
"""

_PSF_FLUX = "cast(psf_source.flux as double precision)"
_PSF_FLUX_ERR = "cast(psf_source.flux_err as double precision)"
_SIGMAG = "cast(psf_source.sigmag as double precision)"
_PSF_BITS = "(cast(psf_source.flags as integer) & 65535)"

PSF_LIGHT_CURVE_POINT = f"""
create view psf_light_curve_point as
select psf_source.source_id, image.image_id, psf_source.hpx29, psf_source.ra, psf_source.dec,
       image.obsmjd as mjd, image.mjd_mid, image.field, image.ccdid, image.qid, image.fid, image.filtercode,
       image.expid, image.exptime, image.maglim as limitmag,
       {_PSF_FLUX} as flux, {_PSF_FLUX_ERR} as flux_err,
       case when {_PSF_FLUX_ERR} > 0 then {_PSF_FLUX} / {_PSF_FLUX_ERR} end as snr,
       image.magzp + cast(psf_source.mag_inst as double precision) as mag,
       {hypot(_SIGMAG, _FLOOR)} as magerr,
       {_PSF_FLUX} * {_microjansky("image.magzp")} as flux_ujy,
       {_PSF_FLUX_ERR} * {_microjansky("image.magzp")} as flux_ujy_err,
       cast(psf_source.chi as double precision) as chi, cast(psf_source.sharp as double precision) as sharp,
       {_PSF_BITS} as mask_bits,
       case when {_USABLE} then {_PSF_BITS} else {_PSF_BITS} | {int(CATFLAG_UNUSABLE)} end as catflags,
       case when {_USABLE} and ({_PSF_BITS} & {int(BAD_BITS)}) = 0 then 1 else 0 end as good,
       case when image.simulated then 1 else 0 end as simulated
from psf_source join image on image.image_id = psf_source.source_id >> 18
where image.kind <> 'ref'
"""

IMAGE_SUMMARY = """
create view image_summary as
select image.image_id, image.kind, case when image.simulated then 1 else 0 end as simulated,
       image.field, image.ccdid, image.qid, image.fid, image.filtercode, image.obsmjd, image.exptime,
       image.ra, image.dec, image.seeing_pix, image.maglim, image.magzp, image.infobits, image.status,
       case when image.has_mask then 1 else 0 end as has_mask, image.n_source, image.background, image.background_rms,
       data_root.name as data_root, image_file.path, image_file.sha256, config.config_hash
from image
join image_file on image_file.image_id = image.image_id and image_file.role in ('sci', 'ref')
join data_root on data_root.data_root_id = image_file.data_root_id
join config on config.config_id = image.config_id
"""

MATCHED_SOURCE = """
create view matched_source as
select source_match.source_id, source.image_id, catalogue.name as catalogue, source_match.rank,
       source_match.reference_id, source_match.separation, source.hpx29, source.ra, source.dec, source.x, source.y,
       cast(source.flux_aper4 as double precision) as flux, cast(source.flux_aper4_err as double precision) as flux_err,
       source.flags, source.mask_bits
from source_match
join source on source.source_id = source_match.source_id
join catalogue on catalogue.catalogue_id = source_match.catalogue_id
"""

_APCOR = "case calibration.aperture " + " ".join(f"when {k} then image.apcor{k}" for k in range(1, 7)) + " end"

IMAGE_CALIBRATION = f"""
create view image_calibration as
select calibration.image_id, image.field, image.ccdid, image.qid, image.filtercode, image.obsmjd,
       calibration.method, calibration.aperture, catalogue.name as catalogue, calibration.color,
       calibration.zeropoint, calibration.zeropoint_err, image.magzp + {_APCOR} as header_zeropoint,
       calibration.zeropoint - (image.magzp + {_APCOR}) as zeropoint_difference,
       calibration.color_term, calibration.color_term_err, image.clrcoeff as header_color_term,
       calibration.covariance, calibration.scatter, calibration.rms, calibration.n_star, calibration.n_clipped,
       calibration.apcor, calibration.apcor_err, {_APCOR} - image.apcor6 as header_apcor, calibration.n_apcor,
       image_match.ra_offset, image_match.dec_offset, image_match.ra_rms, image_match.dec_rms,
       image_match.n_astrometry, image_match.warning as astrometric_warning,
       calibration.failure, calibration.calibrated, calibration.solution_id, calibration.x_gradient,
       calibration.y_gradient, calibration.map_xx, calibration.map_xy, calibration.map_yy
from calibration
join image on image.image_id = calibration.image_id
left join catalogue on catalogue.catalogue_id = calibration.catalogue_id
left join image_match on image_match.image_id = calibration.image_id
    and image_match.catalogue_id = calibration.catalogue_id
"""

OBJECT_SUMMARY = """
create view object_summary as
select object.object_id, object.ra, object.dec, object.crowded, object.ps1_id, object.ps1_separation,
       object_filter.fid, case object_filter.fid when 1 then 'zg' when 2 then 'zr' when 3 then 'zi' end as filtercode,
       object_filter.n, object_filter.first_mjd, object_filter.last_mjd, object_filter.min_mag, object_filter.max_mag,
       object_filter.median_mag, object_filter.mean_mag, object_filter.mean_mag_err, object_filter.scatter,
       object_filter.chi2, object_filter.stetson_j, object_filter.eta,
       (select min(object_oid.oid) from object_oid where object_oid.object_id = object.object_id) as number,
       (select min(object_oid.oid) from object_oid where object_oid.object_id = object.object_id
        and object_oid.oid / 100000000000 % 10 = object_filter.fid) as oid
from object join object_filter on object_filter.object_id = object.object_id
"""

OBJECT_OID_SUMMARY = """
create view object_oid_summary as
select object_oid.object_id,
       (select min(own.oid) from object_oid as own where own.object_id = object_oid.object_id) as number,
       object_oid.oid, psf_catalogue.field, psf_catalogue.fid, psf_catalogue.filtercode, psf_catalogue.ccdid,
       psf_catalogue.qid, object_oid.oid % 100000000 as sourceid, object_oid.separation,
       psf_source.ra as reference_ra, psf_source.dec as reference_dec,
       psf_catalogue.magzp + cast(psf_source.mag_inst as double precision) as reference_mag,
       cast(psf_source.sigmag as double precision) as reference_mag_err,
       object_oid.source_id, psf_catalogue.image_id
from object_oid
join psf_source on psf_source.source_id = object_oid.source_id
join psf_catalogue on psf_catalogue.image_id = psf_source.image_id
"""

IMAGE_PSF_CHECK = """
create view image_psf_check as
select psf_check.image_id, image.field, image.ccdid, image.qid, image.filtercode, image.filefracday, image.obsmjd,
       image.seeing_pix, image.airmass, image.infobits, psf_check.aperture, psf_check.n_match, psf_check.n_star,
       psf_check.n_clipped, psf_check.median, psf_check.median_err, psf_check.scatter, psf_check.slope,
       psf_check.slope_err, psf_check.x_gradient, psf_check.x_gradient_err, psf_check.y_gradient,
       psf_check.y_gradient_err, psf_check.bright_limit, psf_check.faint_limit, psf_check.severity,
       psf_check.warning, psf_check.failure, psf_check.checked
from psf_check join image on image.image_id = psf_check.image_id
"""

VIEWS = {
    "light_curve_point": LIGHT_CURVE_POINT,
    "psf_light_curve_point": PSF_LIGHT_CURVE_POINT,
    "self_light_curve_point": SELF_LIGHT_CURVE_POINT,
    "image_summary": IMAGE_SUMMARY,
    "matched_source": MATCHED_SOURCE,
    "image_calibration": IMAGE_CALIBRATION,
    "object_summary": OBJECT_SUMMARY,
    "object_oid_summary": OBJECT_OID_SUMMARY,
    "image_psf_check": IMAGE_PSF_CHECK,
}


def view_statement(name: str, *, hints: bool) -> str:
    """Return the statement that makes a view, with or without hints for SQLite.

    SQLite can join the sources of an image to it only by a range of ``source_id``: else it would read all sources for
    each of a few images. It takes any column with an index for one with few equal values; a field has many images, so
    that their sources, or those of a cone, are read first, and ``field`` (with a cast, which hides its index) compared.
    """
    statement = VIEWS[name]
    if not hints or " >> 18" not in statement:
        return statement
    owner = statement.rpartition(".source_id >> 18")[0].rpartition(" ")[2]
    first = f"image.image_id * {MAX_SOURCES}"
    joined = f"{owner}.source_id >> 18 and {owner}.source_id between {first} and {first} + {MAX_SOURCES - 1}"
    return statement.replace(f"{owner}.source_id >> 18", joined).replace(
        " image.field,", " cast(image.field as integer) as field,"
    )


def view_over(name: str, columns: Iterable[str], rows: Callable[[str, list[str]], str]) -> str | None:
    """Return the SELECT of a view of detections, from some of them only; None for other views.

    Parameters
    ----------
    name : str
        One of `VIEWS`, or a table.
    columns : iterable of str
        Columns of the view that are read.
    rows : callable
        Returns the text that selects rows of the table of detections, from its name and the columns needed.
    """
    places = VIEWS.get(name, "").partition("\nfrom ")[2]
    found = re.search(r"^(.*join )?((?:psf_)?source)\b(?= join| on)", places, re.MULTILINE)
    if found is None:
        return None
    owner, expressions = found[2], dict(view_columns(name))
    shown = ", ".join(f'{expressions[column]} as "{column}"' for column in columns)
    needed = sorted(set(re.findall(rf"\b{owner}\.(\w+)", f"{shown} {places}")))
    chosen = f"({rows(owner, needed)}) as {owner}"
    return f"select {shown} from {places[: found.start(2)]}{chosen}{places[found.end(2) :]}"


def view_columns(name: str) -> list[tuple[str, str]]:
    """Return the columns of a view as pairs: name, and expression (``table.column`` for a plain column)."""
    listed = VIEWS[name].split("select", 1)[1].split("\nfrom ", 1)[0]
    items, depth = [""], 0
    for sign in listed:
        depth += (sign == "(") - (sign == ")")
        if sign == "," and depth == 0:
            items.append("")
        else:
            items[-1] += sign
    pairs = [" ".join(item.split()).rpartition(" as ") for item in items]
    return [(column if sign else column.rpartition(".")[2], origin or column) for origin, sign, column in pairs]


def drop_view(connection: Connection, name: str) -> None:
    """Drop a view if it exists."""
    connection.execute(text(f"drop view if exists {name}"))


def create_view(connection: Connection, name: str, *, hints: bool, replace: bool = False) -> None:
    """Create a view.

    Parameters
    ----------
    connection : Connection
    name : str
        One of `VIEWS`.
    hints : bool
        As for `view_statement`.
    replace : bool
        Replace the existing view, if its columns are the first of the new one's (PostgreSQL).
    """
    statement = view_statement(name, hints=hints)
    connection.execute(text(statement.replace("create view", "create or replace view", 1) if replace else statement))
