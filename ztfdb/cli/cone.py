"""``ztfdb cone``: every detection within a radius."""

from __future__ import annotations

from typing import Any

import click

from ztfdb.cli.options import (
    PositionCommand,
    given,
    motion_options,
    optional_radius,
    position_of,
    radius_value,
    shared_options,
)
from ztfdb.cli.output import Output, output_options
from ztfdb.cli.session import opened, wrong_usage

USUAL = (
    "ra", "dec", "separation", "obsmjd", "filtercode", "flux_aper4", "flux_aper4_err", "flags", "mask_bits",
    "image_id", "source_id",
)  # fmt: skip
"""The columns of a text table, most important first."""

USUAL_CATALOGUE = ("reference_id", "ra", "dec", "separation", "mag", "g_mag", "r_mag", "i_mag", "pmra", "pmdec")
"""The columns for reference catalogues, as far as a catalogue has them."""

USUAL_PSF = (
    "ra", "dec", "separation", "obsmjd", "filtercode", "role", "mag", "sigmag", "snr", "chi", "sharp", "flags",
    "image_id", "source_id",
)  # fmt: skip
"""The columns for ZTF's own catalogues."""


def _with_radius(ctx: click.Context, param: click.Parameter, words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words of the position; the last words are the radius and its unit, unless --radius gave it."""
    if ctx.params.get("radius") is not None:
        return words
    if not words:
        raise click.MissingParameter(ctx=ctx, param=param)
    n = 2 if words[-1].isalpha() and len(words) > 2 else 1
    ctx.params["radius"] = radius_value(ctx, param, "".join(words[-n:]))
    return words[:-n]


@click.command(
    cls=PositionCommand,
    examples=(
        "ztfdb cone 58.0029 35.7365 5",
        "ztfdb cone 58.0029 35.7365 60 --phot psfcat",
        "ztfdb cone 58.0029 35.7365 60 --catalog gaia",
        "ztfdb cone 12:34:56.7 -03:12:00 2arcmin -o field.vot",
    ),
)
@click.argument("position", nargs=-1, metavar="RA DEC RADIUS", callback=_with_radius)
@click.option(
    "-r",
    "--radius",
    callback=optional_radius,
    is_eager=True,
    metavar="RADIUS",
    help="The radius, in place of the last word.",
)
@click.option(
    "--phot",
    type=click.Choice(("aperture", "psfcat")),
    default="aperture",
    show_default=True,
    help="Our sources, or the rows of ZTF's own PSF catalogues.",
)
@click.option("--catalog", metavar="NAME", help="Search this reference catalogue.")
@click.option("--sql", is_flag=True, help="Print an equivalent SQL statement, for any client.")
@click.option("--table", metavar="NAME", help="With --sql: the table or view to search, as light_curve_point.")
@motion_options
@output_options
@shared_options
@click.pass_context
def cone(
    ctx: click.Context,
    /,
    position: tuple[str, ...],
    radius: float,
    phot: str,
    catalog: str | None,
    sql: bool,
    table: str | None,
    output: Output,
    **motion: float | None,
) -> None:
    """Find every detection near a position.

    Rows within RADIUS are printed, nearest first. RA and DEC are decimal degrees or sexagesimal (hours and degrees),
    ICRS. RADIUS is in arcsec unless it ends in arcmin or deg; --radius may give it, too.
    """
    try:
        ra, dec = position_of(position)
    except click.UsageError as exc:
        more = "" if len(position) > 1 else "; a cone takes RA DEC RADIUS"
        raise click.UsageError(f"{exc.message}{more}") from exc
    if table is not None and not sql:
        raise click.UsageError("--table goes with --sql")
    if catalog is not None:
        if sql or phot != "aperture" or given(motion):
            raise click.UsageError("--catalog goes with neither --phot, --sql nor proper motion")
        with opened(ctx, read_only=True) as archive, wrong_usage():
            frame = archive.catalogue_cone(catalog, ra, dec, radius)
        output.write(frame, usual=[name for name in USUAL_CATALOGUE if name in frame])
        return
    if sql and given(motion):
        raise click.UsageError("--sql prints one fixed cone: it does not support proper motion")
    if sql and not output.is_plain:
        raise click.UsageError("--sql prints a statement: it goes with neither -o, --format, --columns nor --all")
    if sql:
        from ztfdb.query.cone_sql import cone_sql  # imports pandas

        with wrong_usage():
            click.echo(cone_sql(ra, dec, radius, table or ("source" if phot == "aperture" else "psf_source")))
        return
    with opened(ctx, read_only=True) as archive, wrong_usage():
        whose: dict[str, Any] = {} if phot == "aperture" else {"phot": phot}
        found = archive.cone_answer(ra, dec, radius, **whose, **given(motion))
    ours = phot == "aperture"
    output.write(found, usual=USUAL if ours else USUAL_PSF, answer="cone" if ours else "psf_cone")
