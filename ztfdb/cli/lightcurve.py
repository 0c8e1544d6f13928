"""``ztfdb lightcurve``: one position, or a table of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ztfdb.cli.options import (
    PositionCommand,
    cut_options,
    file_names,
    position_of,
    radius_value,
    shared,
    shared_options,
    table_of,
    table_options,
    times_of,
)
from ztfdb.cli.output import Output, new_picture, output_options, save_figure
from ztfdb.cli.progress import progress_bar
from ztfdb.cli.session import opened, wrong_usage
from ztfdb.sky.typed import plain_minus

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from ztfdb.archive import Archive
    from ztfdb.query.answer import LightCurve

USUAL = (
    "position", "mjd", "filtercode", "mag", "magerr", "flux_ujy", "flux_ujy_err", "good", "simulated", "catflags",
    "limitmag", "separation", "field", "ccdid", "qid", "image_id",
)  # fmt: skip
"""The columns of a text table, most important first."""

LABELS = ("kind", "reason", "upper_limit_mag")
"""Additional columns of a complete light curve, after the filter."""


def color_value(_ctx: click.Context, _param: click.Parameter, text: str | None) -> float | str | None:
    """Convert a number; other text names a column of the table (click callback)."""
    try:
        return None if text is None else float(plain_minus(text))
    except ValueError:
        return text


@click.command(
    cls=PositionCommand,
    examples=(
        "ztfdb lightcurve 58.0029 35.7365 --plot star.png",
        "ztfdb lightcurve 03:52:00.7 +35:44:11.5 --good --filter zr -o star.csv",
        "ztfdb lightcurve stars.csv --radius 2 -o curves.parquet",
        "ztfdb lightcurve 58.0029 35.7365 --complete --plot star.png --stamps",
        "ztfdb lightcurve 58.0029 35.7365 --phot both",
    ),
)
@click.argument("target", nargs=-1, required=True, metavar="RA DEC | TABLE", shell_complete=file_names)
@click.option("-r", "--radius", default="1.5", show_default="1.5 arcsec", callback=radius_value, help="Match radius.")
@click.option("--aperture", type=click.IntRange(1, 6), default=4, show_default=True, help="Aperture; 4 is 6 px wide.")
@click.option(
    "--phot",
    type=click.Choice(("aperture", "psfcat", "both", "irsa", "irsa-both")),
    default="aperture",
    show_default=True,
    help="Our apertures, ZTF's own PSF catalogues, or both; or IRSA's light curves (catalog add irsa).",
)
@click.option("--color", metavar="MAG", callback=color_value, help="PS1 colour for the colour term, or its column.")
@click.option("--calibration", type=click.Choice(("header", "ps1", "self")), default="header", help="Zero points.")
@cut_options
@click.option("--good", is_flag=True, help="Only good epochs.")
@click.option("--complete", is_flag=True, help="An epoch for every image, with forced photometry, limits, reasons.")
@click.option("--forced", is_flag=True, help="With --complete: measure every epoch at the position itself.")
@click.option("--psf", is_flag=True, help="With --complete: fit each exposure's PSF (sciimgdao.psf) at the position.")
@click.option("--bjd", is_flag=True, help="With --complete: add the barycentric date (TDB).")
@click.option("--mag", type=float, help="With --complete: p_detect of a star of this mag.  [default: its own]")
@click.option("-j", "--jobs", type=click.IntRange(1), default=1, show_default=True, help="Processes that measure.")
@click.option("--pmra", metavar="MAS/YR", callback=color_value, help="Proper motion (with cos dec), or its column.")
@click.option("--pmdec", metavar="MAS/YR", callback=color_value, help="Proper motion, or its column.")
@click.option("--epoch", metavar="YEAR", callback=color_value, help="Of the position, or its column.  [default: 2016]")
@click.option("--moving", is_flag=True, help="TABLE is the path of one body: time (MJD), ra, dec.")
@click.option("--stamps", is_flag=True, help="With --plot: a strip of stamps below.")
@click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), callback=new_picture, help="Draw it (.png, .pdf, .svg)."
)
@table_options
@click.option("--keep", multiple=True, metavar="NAME", help="Copy this column of TABLE to the answer; repeat.")
@output_options
@shared_options
@click.pass_context
def lightcurve(
    ctx: click.Context,
    /,
    target: tuple[str, ...],
    plot: Path | None,
    stamps: bool,
    moving: bool,
    ra_column: str | None,
    dec_column: str | None,
    keep: tuple[str, ...],
    output: Output,
    **options: Any,
) -> None:
    """Show the light curve of a position or a table.

    Prints the nearest detection within the radius on each image, ordered by time; with --complete one labelled epoch
    for every image that covers the position. TABLE is a CSV, VOTable, FITS, ECSV, IPAC or Parquet file with columns
    ra and dec (- reads CSV from stdin); "position" in the answer is its row number, from 0.
    """
    how = _question(**options)
    if stamps and plot is None:
        raise click.UsageError("--stamps goes with --plot")
    path = table_of(target)
    if moving and path is None:
        raise click.UsageError("--moving takes a table with the columns time, ra and dec")
    if path is None and (keep or ra_column is not None or dec_column is not None):
        raise click.UsageError("--keep, --ra-column and --dec-column go with a table")
    with asked(ctx, how) as archive, wrong_usage():
        if path is None:
            position = position_of(target)
            curve = archive.light_curve(*position, **how)
            drawn = archive.stamps(*position, **_cuts(how), places=shared(ctx).places) if stamps else None
            if len(curve) and not how.keys() & {"complete", "phot"} and (told := archive.hint(*position, **how)):
                click.echo(told, err=True)
        else:
            import numpy as np

            from ztfdb.cli.tables import read_positions, tell_empty  # imports pandas and astropy

            table = read_positions(path, ra_column, dec_column, _units(how))
            if moving and "phot" in how:
                raise click.UsageError("--phot needs fixed positions, --moving is a path")
            if not moving:
                if plot is not None:
                    raise click.UsageError("--plot draws one position, not a table")
                found = np.zeros(len(table), dtype=np.bool_)
                lacking = Lacking(how)
                if output.in_parts:
                    output.write_parts(
                        (
                            with_columns(part, table, keep)
                            for part in _followed(archive.iter_light_curves(table, **how), found, lacking)
                        ),
                        answer="light_curve",
                    )
                else:
                    (curves,) = _followed([archive.light_curves(table, **how)], found, lacking)
                    frame = with_columns(curves, table, keep)
                    output.write(frame, usual=(*keep, *usual(how)), answer="light_curve")
                tell_empty(found, "rows")
                lacking.tell()
                return
            curve = archive.light_curve_on_path(table, **{"complete": False, **how})
            drawn = archive.stamps_on_path(table, **_cuts(how), places=shared(ctx).places) if stamps else None
    if plot is not None:
        save_plot(curve, plot, drawn)
    output.write(curve, usual=(*keep, *usual(how)), answer="light_curve")
    lacking = Lacking(how)
    lacking.count(curve)
    lacking.tell()


@contextmanager
def asked(ctx: click.Context, how: dict[str, Any]) -> Iterator[Archive]:
    """Open the archive, for writing if forced measurements will be stored, and show their progress."""
    if not how.get("complete"):
        with opened(ctx, read_only=True) as archive:
            yield archive
        return
    with opened(ctx) as archive, progress_bar("images") as bar:

        def follow(done: int, total: int) -> None:
            if done == 1:
                bar.begin("measuring", total)
            bar.step()

        how |= {"progress": follow, "places": shared(ctx).places}
        yield archive


def _units(how: dict[str, Any]) -> dict[str, str]:
    """Return the units of the columns that options name."""
    units = {"pmra": "mas / yr", "pmdec": "mas / yr", "epoch": "yr", "color": "mag"}
    return {how[name]: unit for name, unit in units.items() if isinstance(how.get(name), str)}


class Lacking:
    """Counts the epochs without a magnitude because their images lack the requested calibration."""

    def __init__(self, how: dict[str, Any]) -> None:
        self.calibration = how["calibration"]
        self.n = self.n_epoch = 0

    def count(self, curve: LightCurve | pd.DataFrame) -> None:
        """Count the epochs of a light curve."""
        if self.calibration != "header":
            self.n += int((curve["calibration"] == "none").sum())
            self.n_epoch += len(curve)

    def tell(self) -> None:
        """Say on stderr how many there are."""
        if self.n:
            method = " --method self" if self.calibration == "self" else ""
            which = f"{self.n:,} of {self.n_epoch:,} epochs have no magnitude"
            why = f"their images are not calibrated by {self.calibration}"
            click.echo(f"{which}: {why}, see `ztfdb calibrate{method}`", err=True)


def _followed(parts: Iterable[pd.DataFrame], found: NDArray[np.bool_], lacking: Lacking) -> Iterator[pd.DataFrame]:
    """Yield light curves, mark the positions that have rows, and count the epochs without a calibration."""
    for part in parts:
        found[part["position"].to_numpy()] = True
        lacking.count(part)
        yield part


def usual(how: dict[str, Any]) -> tuple[str, ...]:
    """Return the columns of a text table."""
    phot = ("phot",) if "phot" in how else ()
    labels = LABELS if how.get("complete") else ()
    fit = ("chi", "sharp") if phot else ()
    return (*USUAL[:3], *phot, *labels, *USUAL[3:5], *fit, *USUAL[5:])


def _cuts(how: dict[str, Any]) -> dict[str, Any]:
    names = ("aperture", "filters", "mjd", "fields", "all_versions", "pmra", "pmdec", "epoch")
    return {name: how[name] for name in names if name in how}


def with_columns(frame: pd.DataFrame, table: pd.DataFrame, keep: tuple[str, ...]) -> pd.DataFrame:
    """Return the epochs, preceded by columns of the table of positions.

    Raises
    ------
    ValueError
        If the table has no such column, or the answer has one of that name.
    """
    for name in reversed(keep):
        if name not in table.columns:
            raise ValueError(f"--keep {name}: the table has no such column; there are {', '.join(table.columns)}")
        if name in frame.columns:
            raise ValueError(f"--keep {name}: the answer has a column of that name; rename the table's")
        frame.insert(0, name, table[name].to_numpy()[frame["position"]])
    return frame


def save_plot(curve: Any, path: Path, stamps: Any = None) -> None:
    """Draw a light curve, optionally with stamps below, into a file; its suffix selects the format.

    Raises
    ------
    MissingExtraError
        Where matplotlib is not installed.
    OutputError
        If the file cannot be written.
    """
    save_figure(curve.plot(stamps=stamps).figure, path, dpi=150)
    click.echo(f"drew {path}", err=True)


def _question(
    *,
    radius: float,
    aperture: int,
    phot: str,
    color: float | str | None,
    filters: tuple[str, ...],
    start: float | None,
    end: float | None,
    fields: tuple[int, ...],
    good: bool,
    all_versions: bool,
    calibration: str,
    complete: bool,
    forced: bool,
    psf: bool,
    bjd: bool,
    mag: float | None,
    jobs: int,
    **motion: float | str | None,
) -> dict[str, Any]:
    """Return the options as the arguments of `Archive.light_curve` and `light_curves`."""
    if (forced or psf or bjd or mag is not None) and not complete:
        raise click.UsageError("--forced, --psf, --bjd and --mag go with --complete")
    if forced and psf:
        raise click.UsageError("take one of --forced and --psf")
    if complete and phot.startswith("irsa"):
        raise click.UsageError("--complete does not go with IRSA's light curves, which have detections only")
    more: dict[str, Any] = {name: value for name, value in motion.items() if value is not None}
    if phot != "aperture":
        if forced or psf or more:
            raise click.UsageError("--phot goes neither with --forced and --psf nor with proper motion")
        more["phot"] = phot
    if complete:
        measure = {} if "phot" in more else {"measure": "psf" if psf else "forced" if forced else "auto"}
        more |= {"complete": True, **measure, "bjd": bjd, "mag": mag, "jobs": jobs}
    return more | {
        "radius": radius,
        "aperture": aperture,
        "color": color,
        "filters": list(filters) or None,
        "mjd": times_of(start, end),
        "fields": list(fields) or None,
        "good": good,
        "all_versions": all_versions,
        "calibration": calibration,
    }
