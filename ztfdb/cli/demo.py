"""``ztfdb demo``: a small archive to look at, from one real image."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import ztfdb
from ztfdb.cli.cone import USUAL as CONE_COLUMNS
from ztfdb.cli.ingest import Follower, tell
from ztfdb.cli.lightcurve import save_plot
from ztfdb.cli.options import Command, configuration_options, shared
from ztfdb.cli.output import Output
from ztfdb.cli.progress import progress_bar
from ztfdb.cli.session import configuration
from ztfdb.errors import MissingExtraError

if TYPE_CHECKING:
    from ztfdb.demo import Demo

IMAGE_COLUMNS = (
    "image_id",
    "filtercode",
    "obsmjd",
    "kind",
    "simulated",
    "nx",
    "ny",
    "seeing_pix",
    "maglim",
    "n_source",
)
CURVE_COLUMNS = ("mjd", "filtercode", "mag", "magerr", "flux_ujy", "flux_ujy_err", "good", "simulated", "image_id")
CONE_RADIUS = 15.0


@click.command(cls=Command, examples=("ztfdb demo demo/", "ztfdb demo demo/ --quadrant-dir ~/ztf"))
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--quadrant-dir", type=click.Path(path_type=Path, file_okay=False), help="Cache of the real image.")
@click.option("-j", "--jobs", type=click.IntRange(min=1), default=2, show_default=True, help="Processes that measure.")
@configuration_options
@click.pass_context
def demo(ctx: click.Context, folder: Path, quadrant_dir: Path | None, jobs: int) -> None:
    """Build a small archive and query it.

    Measures a real ZTF quadrant (downloaded once with pip, 60 MB). Further epochs of its field are simulated; in them
    one star varies. They are labelled as simulated in header, archive and output. Then prints images, a cone and a
    light curve. DIR gets the archive, the simulated images and a plot (70 MB).
    """
    if shared(ctx).db is not None:
        raise click.UsageError("--db: the demo's archive is made in DIR")
    configuration(ctx)
    from ztfdb.quadrant import fetch_quadrant, find_quadrant  # imports what --help does not need

    if find_quadrant(quadrant_dir) is None:
        click.echo("fetching the real quadrant (60 MB)", err=True)
    made = run_demo(folder, fetch_quadrant(quadrant_dir)[0], jobs)
    ctx.exit(1 if any(report.failed for report in made.reports) else 0)


def run_demo(folder: Path, science: Path, jobs: int) -> Demo:
    """Build the demo's archive from a science image and print example queries."""
    made = build(folder, science, jobs)
    for report in made.reports:
        tell(report)
    with ztfdb.open(f"sqlite:///{made.database}", read_only=True) as archive:
        show(archive, made)
        picture = folder / "lightcurve.png"
        try:
            save_plot(archive.light_curve(made.ra, made.dec), picture)
        except MissingExtraError as exc:
            click.echo(f"no plot: {exc}", err=True)
    click.echo(next_commands(made, picture))
    return made


def build(folder: Path, science: Path, jobs: int) -> Demo:
    """Build the archive and show progress bars."""
    from ztfdb.demo import build_demo  # imports the pixel half

    with progress_bar("images") as bar:

        def painted(done: int, total: int) -> None:
            if done == 1:
                bar.begin("simulate", total)
            bar.step()

        return build_demo(folder, science, jobs=jobs, measured=Follower(bar), painted=painted)


def show(archive: Any, made: Demo) -> None:
    """Print images, cone and light curve of the variable star."""
    rows = Output("table", None, None, every=False)
    where = f"{made.ra:.6f} {made.dec:+.6f}"
    click.echo(f"\nImages that cover {where}  (simulated: yes = made up, its stars are the real image's)\n")
    rows.write(archive.images(made.ra, made.dec), usual=IMAGE_COLUMNS, hint=False)
    click.echo(f"\nDetections within {CONE_RADIUS:g} arcsec of it\n")
    rows.write(archive.cone(made.ra, made.dec, CONE_RADIUS), usual=CONE_COLUMNS, hint=False)
    click.echo("\nIts light curve: one real epoch, and simulated ones in which it varies\n")
    rows.write(archive.light_curve(made.ra, made.dec).to_pandas(), usual=CURVE_COLUMNS, hint=False)


def next_commands(made: Demo, picture: Path) -> str:
    """Return the paths of the results and the next commands to try."""
    position = f"{made.ra:.6f} {made.dec:.6f}"
    lines = [f"\narchive  {made.database}"]
    lines += [f"plot     {picture}"] if picture.exists() else []
    lines += [
        "\nNext:\n",
        f"  export ZTFDB_URL={shlex.quote(f'sqlite:///{made.database.absolute()}')}",
        "  ztfdb status",
        f"  ztfdb lightcurve {position} -o star.csv",
        f"  ztfdb cone {position} 1arcmin --format votable -o field.vot",
        '  ztfdb sql "select filtercode, simulated, count(*) as n from light_curve_point group by 1, 2 order by 1, 2"',
        f"  ztfdb serve  # and in a browser: http://127.0.0.1:8000/?q={made.ra:.6f}+{made.dec:.6f}",
    ]
    return "\n".join(lines)
