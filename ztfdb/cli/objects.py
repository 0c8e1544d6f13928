"""``ztfdb objects``: detections grouped into objects."""

from __future__ import annotations

import click

from ztfdb.cli.options import Command, shared_options
from ztfdb.cli.output import Output, output_options
from ztfdb.cli.progress import progress_bar
from ztfdb.cli.session import opened, wrong_usage

USUAL = (
    "object_id", "number", "ra", "dec", "filtercode", "n", "median_mag", "scatter", "chi2", "stetson_j", "eta",
    "first_mjd", "last_mjd", "ps1_id", "oid",
)  # fmt: skip
"""The columns of a text table, most important first."""

USUAL_OIDS = ("oid", "field", "filtercode", "ccdid", "qid", "sourceid", "separation", "reference_mag", "object_id")


@click.command(
    cls=Command,
    examples=(
        "ztfdb objects build",
        "ztfdb objects update",
        "ztfdb objects show 1683299887203447296",
        "ztfdb objects show 686103400067717",
        "ztfdb objects oids 1683299887203447296",
    ),
)
@click.argument("action", type=click.Choice(("build", "update", "show", "oids")))
@click.argument("object_id", required=False, type=click.IntRange(min=0), metavar="[ID]")
@output_options
@shared_options
@click.pass_context
def objects(ctx: click.Context, action: str, object_id: int | None, output: Output) -> None:
    """Group detections into objects across epochs, fields and filters.

    build makes all objects. update applies changes of the images. show prints the statistics of the object with this
    (or formerly this) ID, one row per filter. If reference catalogues (refpsfcat) are stored, oids prints the
    reference sources of the object, and ID may be ZTF's oid.
    """
    if (action in ("show", "oids")) != (object_id is not None):
        raise click.UsageError("show and oids take the ID of an object, build and update take none")
    if object_id is None and not output.is_plain:
        raise click.UsageError(
            "build and update print no rows: --format, -o, --columns and --all go with show and oids"
        )
    if object_id is not None:
        with opened(ctx, read_only=True) as archive, wrong_usage():
            frame = archive.object(object_id) if action == "show" else archive.object_oids(object_id)
        output.write(frame, usual=USUAL if action == "show" else USUAL_OIDS)
        return
    with opened(ctx) as archive, progress_bar("tiles" if action == "build" else "images") as bar:
        work = archive.build_objects if action == "build" else archive.update_objects

        def follow(done: int, total: int) -> None:
            if done == 1:
                bar.begin(action, total)
            bar.step()

        report = work(progress=follow)
    click.echo(str(report), err=True)
