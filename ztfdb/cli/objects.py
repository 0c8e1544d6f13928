"""``ztfdb objects``: detections joined across epochs."""

from __future__ import annotations

import click

from ztfdb.cli.options import Command, shared_options
from ztfdb.cli.output import Output, output_options
from ztfdb.cli.progress import progress_bar
from ztfdb.cli.session import opened

USUAL = (
    "object_id", "ra", "dec", "filtercode", "n", "median_mag", "scatter", "chi2", "stetson_j", "eta", "first_mjd",
    "last_mjd", "ps1_id",
)  # fmt: skip
"""The columns of a text table, most telling first."""


@click.command(
    cls=Command,
    examples=(
        "ztfdb objects build",
        "ztfdb objects update",
        "ztfdb objects show 1683299887203447296",
    ),
)
@click.argument("action", type=click.Choice(("build", "update", "show")))
@click.argument("object_id", required=False, type=click.IntRange(min=0), metavar="[ID]")
@output_options
@shared_options
@click.pass_context
def objects(ctx: click.Context, action: str, object_id: int | None, output: Output) -> None:
    """Join detections across epochs, fields and filters.

    build makes all objects, update brings them up to date with the images, show prints the statistics of the object of
    this ID (or that had it), one row per filter.
    """
    if (action == "show") != (object_id is not None):
        raise click.UsageError("show takes the ID of an object, build and update take none")
    if object_id is not None:
        with opened(ctx, read_only=True) as archive:
            frame = archive.object(object_id)
        output.write(frame, usual=USUAL)
        return
    with opened(ctx) as archive, progress_bar("tiles" if action == "build" else "images") as bar:
        work = archive.build_objects if action == "build" else archive.update_objects

        def follow(done: int, total: int) -> None:
            if done == 1:
                bar.begin(action, total)
            bar.step()

        report = work(progress=follow)
    click.echo(str(report), err=True)
