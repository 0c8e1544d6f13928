"""``ztfdb stamp``: cut stamps of a position from the image files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ztfdb.cli.options import (
    PositionCommand,
    cut_options,
    file_names,
    given,
    motion_options,
    position_of,
    shared,
    shared_options,
    table_of,
    table_options,
    times_of,
)
from ztfdb.cli.output import check_folder, new_picture, save_figure, whole_file
from ztfdb.cli.session import opened, wrong_usage
from ztfdb.errors import OutputError

if TYPE_CHECKING:
    from ztfdb.options import ImageCutOptions
    from ztfdb.query.stamps import StampSeries

PICTURES = (".png", ".pdf", ".svg", ".jpg", ".gif")


def _new_file(ctx: click.Context, param: click.Parameter, path: Path | None) -> Path | None:
    """Check before any work is done that stamps can be written into a file (click callback)."""
    if path is None or path.suffix.lower() in PICTURES:
        return new_picture(ctx, param, path)
    if path.suffix.lower() not in (".fits", ".npy"):
        raise click.UsageError(f"the suffix of {path} tells no format: .fits, .npy, {', '.join(PICTURES)}")
    check_folder(path)
    return path


@click.command(
    cls=PositionCommand,
    examples=(
        "ztfdb stamp 58.0029 35.7365",
        "ztfdb stamp 58.0029 35.7365 -o sheet.png --north-up",
        "ztfdb stamp 58.0029 35.7365 -o stamps.fits --size 51 --filter zr",
        "ztfdb stamp stars.csv -o stamps.fits",
    ),
)
@click.argument("position", nargs=-1, required=True, metavar="RA DEC | TABLE", shell_complete=file_names)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=_new_file,
    help="FITS, PNG, PDF, SVG, GIF or NPY file.",
)
@click.option("--image", "image_id", type=click.IntRange(0), metavar="ID", help="Only from this image.")
@click.option("--size", type=click.IntRange(1), default=23, show_default=True, help="Width in pixels.")
@click.option("--aperture", type=click.IntRange(1, 6), default=4, show_default=True, help="Aperture to draw.")
@cut_options
@motion_options
@click.option("--calibration", type=click.Choice(("header", "ps1", "self")), help="Zero point shown for each stamp.")
@click.option("--north-up", is_flag=True, help="North up and east left, by flips.")
@table_options
@shared_options
@click.pass_context
def stamp(
    ctx: click.Context,
    /,
    position: tuple[str, ...],
    output: Path | None,
    image_id: int | None,
    filters: tuple[str, ...],
    start: float | None,
    end: float | None,
    fields: tuple[int, ...],
    all_versions: bool,
    pmra: float | None,
    pmdec: float | None,
    epoch: float | None,
    ra_column: str | None,
    dec_column: str | None,
    **how: Any,
) -> None:
    """Cut stamps of a position, or of a table of them, from every image that covers it.

    TABLE is a CSV, VOTable, FITS, ECSV, IPAC or Parquet file with columns ra and dec; each image file is opened once
    for all of them. Without -o, lists the stamps. A file that is missing or is not the one that was ingested gives no
    pixels but a status, and exit status 1.
    """
    path = table_of(position)
    if path is None and (ra_column is not None or dec_column is not None):
        raise click.UsageError("--ra-column and --dec-column go with a table")
    if path is not None:
        import numpy as np

        from ztfdb.cli.tables import read_positions, tell_empty  # imports pandas and astropy

        table: Any = read_positions(path, ra_column, dec_column)
    else:
        ra, dec = position_of(position)
        table = {"ra": [ra], "dec": [dec]}
    if image_id is not None and (filters or fields or all_versions or start is not None or end is not None):
        raise click.UsageError("--image goes with neither --filter, --from, --to, --field nor --all-versions")
    motion = given({"pmra": pmra, "pmdec": pmdec, "epoch": epoch})
    with opened(ctx, read_only=True) as archive, wrong_usage():
        how["places"] = shared(ctx).places
        if image_id is not None:
            series = archive.stamps_on_image(table, image_id=image_id, **motion, **how)
        else:
            cuts: ImageCutOptions = {
                "filters": list(filters) or None,
                "mjd": times_of(start, end),
                "fields": list(fields) or None,
                "all_versions": all_versions,
            }
            if path is not None:
                series = archive.stamps_at(table, **cuts, **motion, **how)
            else:
                series = archive.stamps(ra, dec, **cuts, **motion, **how)
    if output is not None:
        save(series, output)
    else:
        from ztfdb.cli.table import text_table  # imports pandas

        for line in text_table(series.to_pandas(), {"ra": "deg", "dec": "deg", "mjd": "d", "x": "pix", "y": "pix"}):
            click.echo(line)
    if path is not None and image_id is None:
        found = np.zeros(len(table), dtype=np.bool_)
        found[[(one.facts or {})["position"] for one in series]] = True
        tell_empty(found, "stamps")
    wrong = [one for one in series if one.status != "ok"]
    for one in wrong:
        click.echo(f"image {one.image_id}: {one.problem or one.status}", err=True)
    if wrong:
        ctx.exit(1)


def save(series: StampSeries, path: Path) -> None:
    """Write stamps to a file; its suffix selects the format.

    Raises
    ------
    OutputError
        If there is no stamp, or the file cannot be written.
    """
    if not len(series):
        raise OutputError("no image covers this position: there is no stamp to write")
    suffix = path.suffix.lower()
    if suffix not in (".fits", ".npy", ".gif"):
        save_figure(series.plot(), path, dpi=150)
    else:
        with whole_file(path) as stream:
            if suffix == ".fits":
                series.write_fits(stream.name)
            elif suffix == ".npy":
                import numpy as np

                np.save(stream, series.data)
            else:
                series.write_gif(stream.name)
    click.echo(f"wrote {len(series)} {'stamp' if len(series) == 1 else 'stamps'} to {path}", err=True)
