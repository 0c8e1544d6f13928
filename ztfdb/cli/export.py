"""``ztfdb export``: export an archive to formats of other programs."""

from __future__ import annotations

from pathlib import Path

import click

from ztfdb.cli.options import Command, CommandGroup, Number, file_names, shared_options
from ztfdb.cli.progress import progress_bar
from ztfdb.cli.session import opened, wrong_usage

PRODUCTS = ("detections", "objects", "psf_sources", "forced", "images")


@click.group(cls=CommandGroup, examples=("ztfdb export hats /data/ztf-hats",))
def export() -> None:
    """Export an archive for other programs."""


def _products(_ctx: click.Context, _param: click.Parameter, text: str | None) -> list[str] | None:
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in PRODUCTS]
    if unknown or not names:
        raise click.BadParameter(f"{text!r}: expected some of {','.join(PRODUCTS)}")
    return names


def _target(_ctx: click.Context, _param: click.Parameter, text: str) -> str:
    if "://" not in text and Path(text).is_file():
        raise click.BadParameter(f"{text!r} is a file")
    return text


@export.command(
    cls=Command,
    examples=(
        "ztfdb export hats /data/ztf-hats",
        "ztfdb export hats /data/ztf-hats --update --jobs 4",
        "ztfdb export hats /data/ztf-hats --products detections,objects --threshold 1000000",
        "ztfdb export hats s3://bucket/ztf-hats --layout directory",
    ),
)
@click.argument("folder", metavar="DIR", callback=_target, shell_complete=file_names)
@click.option("--update", is_flag=True, help="Write only the partitions that have changed since the last export.")
@click.option(
    "--products",
    callback=_products,
    metavar="NAMES",
    help=f"Some of {','.join(PRODUCTS)}.  [default: all with rows in the archive]",
)
@click.option(
    "--threshold",
    type=click.IntRange(min=1),
    metavar="N",
    help="Maximum rows of a partition; epochs for objects.  [default: 500000]",
)
@click.option(
    "--margin",
    type=Number(min=0.0),
    metavar="ARCSEC",
    help="Width of the margin caches; 0 for none.  [default: 10]",
)
@click.option(
    "--calibration",
    type=click.Choice(("header", "ps1", "self")),
    help="Zero points of the magnitudes.  [default: header]",
)
@click.option(
    "--layout",
    type=click.Choice(("file", "directory")),
    help="A partition is a file, or a folder to which updates add files.  [default: file]",
)
@click.option("-j", "--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
@shared_options
@click.pass_context
def hats(
    ctx: click.Context,
    folder: str,
    update: bool,
    products: list[str] | None,
    threshold: int | None,
    margin: float | None,
    calibration: str | None,
    layout: str | None,
    jobs: int,
) -> None:
    """Write an archive as HATS collections, which LSDB reads.

    DIR is a folder or a URL such as s3://bucket/folder. It gets one collection per product: detections, objects (each
    with its light curve nested in its row), psf_sources, forced and images. Readers see the previous export until the
    new one is complete; a stopped run resumes.
    """
    with opened(ctx, read_only=True) as archive, progress_bar("files") as bar, wrong_usage():

        def follow(name: str, done: int, total: int) -> None:
            if done == 0:
                bar.begin(name, total)
            else:
                bar.step()

        report = archive.export_hats(
            folder,
            update=update,
            products=products,
            threshold=threshold,
            margin=margin,
            calibration=calibration,
            layout=layout,
            jobs=jobs,
            progress=follow,
            tell=lambda line: click.echo(line, err=True),
        )
    click.echo(str(report), err=True)
