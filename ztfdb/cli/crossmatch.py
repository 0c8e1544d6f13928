"""``ztfdb crossmatch``: match sources with a catalogue."""

from __future__ import annotations

import click

from ztfdb.cli.options import PositionCommand, optional_radius, position_of, shared_options
from ztfdb.cli.output import Output, output_options
from ztfdb.cli.progress import progress_bar
from ztfdb.cli.session import opened, wrong_usage
from ztfdb.sky.typed import parse_radius, plain_minus
from ztfdb.texts import counted

USUAL = ("image_id", "n_source", "n_matched", "n_match", "ra_offset", "dec_offset", "ra_rms", "dec_rms", "warning")


@click.command(
    cls=PositionCommand,
    examples=(
        "ztfdb crossmatch ps1",
        "ztfdb crossmatch gaia --mode mutual --radius 0.7",
        "ztfdb crossmatch ps1 --image 1362431795015 --again",
        "ztfdb crossmatch ps1 --remove --dry-run",
    ),
)
@click.argument("name")
@click.option("--image", "image_ids", multiple=True, type=int, metavar="ID", help="Only this image; may be repeated.")
@click.option("--region", nargs=3, metavar="RA DEC RADIUS", help="Only images in this circle.")
@click.option("--mode", type=click.Choice(("nearest", "mutual", "all")), help="What counts as a match.")
@click.option("-r", "--radius", callback=optional_radius, help="Largest separation.")
@click.option("--again", is_flag=True, help="Also repeat existing matches.")
@click.option("--remove", is_flag=True, help="Remove matches instead.")
@click.option("--dry-run", is_flag=True, help="With --remove: only count the matches.")
@output_options
@shared_options
@click.pass_context
def crossmatch(
    ctx: click.Context,
    name: str,
    image_ids: tuple[int, ...],
    region: tuple[str, str, str] | None,
    mode: str | None,
    radius: float | None,
    again: bool,
    remove: bool,
    dry_run: bool,
    output: Output,
) -> None:
    """Match images that are not matched yet with the catalogue NAME.

    Mode nearest keeps the nearest row within the radius (1 arcsec), mutual only if the source is also the row's
    nearest, all keeps every row with its rank. A mode or radius given for all images is stored and also used for
    images ingested later. Prints one row per image: sources, matches, and position offsets (arcsec), with a warning
    of 1 (look at it) or 2 (wrong).
    """
    if dry_run and not remove:
        raise click.UsageError("--dry-run goes with --remove")
    ids = list(image_ids) or None
    with opened(ctx, read_only=dry_run) as archive, wrong_usage(), progress_bar("images") as bar:
        if remove:
            n = archive.remove_matches(name, image_ids=ids, dry_run=dry_run)
            click.echo(
                f"{'would remove' if dry_run else 'removed'} {counted(n, 'match', 'matches')} with {name}", err=True
            )
            return

        def follow(done: int, total: int) -> None:
            if done == 1:
                bar.begin("crossmatch", total)
            bar.step()

        where = None
        if region is not None:
            where = (*position_of(region[:2]), parse_radius(plain_minus(region[2])))
        report = archive.crossmatch(
            name, image_ids=ids, region=where, mode=mode, radius=radius, again=again, progress=follow
        )
    output.write(report.to_pandas(), usual=USUAL)
    done = f"{counted(len(report.images), 'image')} matched with {name} ({report.mode}, {report.radius:g} arcsec)"
    click.echo(f"{done}, {report.n_skipped:,} were matched already", err=True)
