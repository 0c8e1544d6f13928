"""``ztfdb region``: every detection inside a polygon or a box."""

from __future__ import annotations

from typing import Any

import click

from ztfdb.cli.cone import USUAL, USUAL_PSF
from ztfdb.cli.options import PositionCommand, position_of, shared_options
from ztfdb.cli.output import Output, output_options
from ztfdb.cli.session import opened, wrong_usage

LEAST_WORDS = 6
"""Three corners, RA and DEC each."""

ORDERED = ("votable",)
"""Formats that are written in parts elsewhere, but ordered by source_id here."""


@click.command(
    cls=PositionCommand,
    examples=(
        "ztfdb region 58.0 35.7 58.1 35.7 58.1 35.8 -o corner.csv",
        "ztfdb region 58.0029 35.7365 --box 0.2 0.1 -o field.parquet",
    ),
)
@click.argument("corners", nargs=-1, required=True, metavar="RA DEC [RA DEC …]")
@click.option("--box", nargs=2, type=float, metavar="WIDTH HEIGHT", help="A box around RA DEC, deg.")
@click.option(
    "--phot",
    type=click.Choice(("aperture", "psfcat")),
    default="aperture",
    show_default=True,
    help="Our sources, or the rows of ZTF's own PSF catalogues.",
)
@output_options
@shared_options
@click.pass_context
def region(
    ctx: click.Context, /, corners: tuple[str, ...], box: tuple[float, float] | None, phot: str, output: Output
) -> None:
    """Find every detection inside a polygon or a box.

    Corners are RA and DEC in decimal degrees, ICRS, three or more; sides are great circles. CSV and Parquet are
    written in bounded memory, in no particular order; other formats are ordered by source_id.
    """
    area: dict[str, Any] = {"phot": phot}
    if box is not None:
        area["box"] = (*position_of(corners), *box)
    else:
        area["polygon"] = _pairs(corners)
    words = {"usual": USUAL, "answer": "cone"} if phot == "aperture" else {"usual": USUAL_PSF, "answer": "psf_cone"}
    with opened(ctx, read_only=True) as archive, wrong_usage():
        if output.in_parts and output.format not in ORDERED:
            output.write_parts(archive.iter_region(**area), answer=str(words["answer"]))
            return
        frame = archive.region(**area)
    output.write(frame, **words)  # type: ignore[arg-type]  # a name, and names


def _pairs(words: tuple[str, ...]) -> list[tuple[float, float]]:
    if len(words) < LEAST_WORDS or len(words) % 2:
        raise click.UsageError("a polygon has three corners or more, RA and DEC of each")
    return [position_of(words[k : k + 2]) for k in range(0, len(words), 2)]
