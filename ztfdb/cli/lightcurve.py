"""``ztfdb lightcurve``: one position, or a table of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ztfdb.cli.options import PositionCommand, number_value, position_of, radius_value, shared_options
from ztfdb.cli.output import Output, OutputError, output_options
from ztfdb.cli.positions import plain_minus
from ztfdb.cli.session import opened, wrong_usage

if TYPE_CHECKING:
    import pandas as pd

USUAL = (
    "position", "mjd", "filtercode", "mag", "magerr", "flux_ujy", "flux_ujy_err", "good", "simulated", "catflags",
    "limitmag", "separation", "field", "ccdid", "qid", "image_id",
)  # fmt: skip
"""The columns of a text table, most telling first."""


def color_value(_ctx: click.Context, _param: click.Parameter, text: str | None) -> float | str | None:
    """Turn a colour into a number; what is none names a column of the table (click callback)."""
    try:
        return None if text is None else float(plain_minus(text))
    except ValueError:
        return text


@click.command(
    cls=PositionCommand,
    examples=(
        "ztfdb lightcurve 58.0021 35.7412 --plot star.png",
        "ztfdb lightcurve 03:52:00.5 +35:44:28 --good --filter zr -o star.csv",
        "ztfdb lightcurve stars.csv --radius 2 -o curves.parquet",
    ),
)
@click.argument("target", nargs=-1, required=True, metavar="RA DEC | TABLE")
@click.option("-r", "--radius", default="1.5", show_default="1.5 arcsec", callback=radius_value, help="Match radius.")
@click.option("--aperture", type=click.IntRange(1, 6), default=4, show_default=True, help="Aperture; 4 is 6 px wide.")
@click.option("--color", metavar="MAG", callback=color_value, help="PS1 colour for the colour term, or its column.")
@click.option("--filter", "filters", multiple=True, type=click.Choice(("zg", "zr", "zi")), help="Only this; repeat.")
@click.option("--from", "start", metavar="MJD", callback=number_value, help="Only exposures from here on.")
@click.option("--to", "end", metavar="MJD", callback=number_value, help="Only exposures before.")
@click.option("--field", "fields", multiple=True, type=int, help="Only this field; repeat.")
@click.option("--good", is_flag=True, help="Only epochs without known trouble.")
@click.option("--all-versions", is_flag=True, help="Also cutouts and older versions of an exposure.")
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="Draw it (.png, .pdf, .svg).")
@click.option("--ra-column", metavar="NAME", help="Column of right ascensions in TABLE.")
@click.option("--dec-column", metavar="NAME", help="Column of declinations in TABLE.")
@click.option("--keep", multiple=True, metavar="NAME", help="Copy this column of TABLE to the answer; repeat.")
@output_options
@shared_options
@click.pass_context
def lightcurve(
    ctx: click.Context,
    /,
    target: tuple[str, ...],
    plot: Path | None,
    ra_column: str | None,
    dec_column: str | None,
    keep: tuple[str, ...],
    output: Output,
    **options: Any,
) -> None:
    """Show the light curve of a position or a table.

    Per image the nearest detection within the radius, ordered by time. TABLE is a CSV, VOTable, FITS, ECSV or Parquet
    file with columns ra and dec (- reads CSV from stdin); "position" in the answer is its row, counted from 0.
    """
    how = _question(**options)
    if (path := table_of(target)) is not None:
        if plot is not None:
            raise click.UsageError("--plot draws one position, not a table")
        from ztfdb.cli.tables import read_positions  # imports pandas and astropy

        table = read_positions(path, ra_column, dec_column)
        with opened(ctx, read_only=True) as archive, wrong_usage():
            frame = with_columns(archive.light_curves(table, **how), table, keep)
    else:
        ra, dec = position_of(target)
        with opened(ctx, read_only=True) as archive, wrong_usage():
            curve = archive.light_curve(ra, dec, **how)
        frame = curve.to_pandas()
        if plot is not None:
            save_plot(curve, plot)
    output.write(frame, usual=(*keep, *USUAL))


def with_columns(frame: pd.DataFrame, table: pd.DataFrame, keep: tuple[str, ...]) -> pd.DataFrame:
    """Return the epochs with columns of the table of positions in front of them.

    Raises
    ------
    ValueError
        If the table has no such column, or the answer has one of that name.
    """
    for name in reversed(keep):
        if name not in table.columns or name in frame.columns:
            raise ValueError(f"--keep {name}: not a column of the table, or one that the answer has itself")
        frame.insert(0, name, table[name].to_numpy()[frame["position"]])
    return frame


def table_of(target: tuple[str, ...]) -> str | None:
    """Return the table that the words name, None where they are a position."""
    if len(target) != 1 or len(target[0].replace(",", " ").split()) > 1:
        return None
    if target[0] != "-" and not Path(target[0]).is_file():
        raise click.UsageError(f"{target[0]} is neither a position (RA DEC) nor a file")
    return target[0]


def save_plot(curve: Any, path: Path) -> None:
    """Draw a light curve into a file, whose suffix tells the format.

    Raises
    ------
    MissingExtraError
        Where matplotlib is not installed.
    OutputError
        If the file cannot be written.
    """
    figure = curve.plot().figure
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as exc:  # ValueError: a suffix matplotlib does not know
        raise OutputError(f"{path} cannot be written: {exc}") from exc
    click.echo(f"drew {path}", err=True)


def _question(
    *,
    radius: float,
    aperture: int,
    color: float | str | None,
    filters: tuple[str, ...],
    start: float | None,
    end: float | None,
    fields: tuple[int, ...],
    good: bool,
    all_versions: bool,
) -> dict[str, Any]:
    """Return the options as the arguments of `Archive.light_curve` and `light_curves`."""
    mjd = None if start is None and end is None else (start, end)
    return {
        "radius": radius,
        "aperture": aperture,
        "color": color,
        "filters": list(filters) or None,
        "mjd": mjd,
        "fields": list(fields) or None,
        "good": good,
        "all_versions": all_versions,
    }
