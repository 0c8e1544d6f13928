"""``ztfdb images``: which images cover a position."""

from __future__ import annotations

import click

from ztfdb.cli.options import PositionCommand, file_names, given, motion_options, position_of, shared_options
from ztfdb.cli.output import Output, output_options
from ztfdb.cli.session import opened, wrong_usage

USUAL = (
    "image_id", "obsmjd", "filtercode", "kind", "simulated", "field", "ccdid", "qid", "x", "y", "magzp", "maglim",
    "seeing_pix", "n_source", "infobits", "path",
)  # fmt: skip
"""The columns of a text table, most important first."""

IMPORT = "import-metadata"


@click.command(
    cls=PositionCommand,
    examples=(
        "ztfdb images 58.0029 35.7365",
        "ztfdb images 03:52:00.7 +35:44:11.5 --format csv",
        "ztfdb images import-metadata irsa.csv",
    ),
)
@click.argument("position", nargs=-1, required=True, metavar="RA DEC | import-metadata FILE", shell_complete=file_names)
@motion_options
@output_options
@shared_options
@click.pass_context
def images(ctx: click.Context, /, position: tuple[str, ...], output: Output, **motion: float | None) -> None:
    """Find which images cover a position.

    Coverage is exact (by each image's own WCS); images are in order of time. import-metadata fills infobits, maglimit
    and seeing from IRSA's table of images (FILE: CSV, VOTable or FITS with a column pid).
    """
    if position[0] == IMPORT:
        if len(position) != 2:
            raise click.UsageError(f"{IMPORT} takes one file")
        with opened(ctx) as archive, wrong_usage():
            report = archive.import_metadata(position[1])
        click.echo(str(report))
        return
    ra, dec = position_of(position)
    with opened(ctx, read_only=True) as archive, wrong_usage():
        found = archive.images_answer(ra, dec, **given(motion))
    output.write(found, usual=USUAL, answer="images")
