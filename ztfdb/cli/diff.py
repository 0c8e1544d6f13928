"""``ztfdb diff``: compare two archives of the same images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

import ztfdb
from ztfdb.cli.options import Command, configuration_options, radius_value, shared
from ztfdb.cli.output import Output, new_picture, output_options, save_figure
from ztfdb.cli.progress import progress_bar
from ztfdb.cli.session import configuration, wrong_usage
from ztfdb.texts import counted

if TYPE_CHECKING:
    from ztfdb.options import Calibration

USUAL = {
    "image": ("image_id", "severity", "n_matched", "n_lost", "n_gained", "mag_difference", "mag_scatter",
              "position_rms", "same_settings", "filtercode", "field"),
    "magnitude": ("mag", "n_matched", "n_lost", "n_gained", "mag_difference", "mag_scatter", "expected",
                  "position_rms"),
    "source": ("image_id", "kind", "ra", "dec", "mag", "mag_difference", "ra_offset", "dec_offset"),
}  # fmt: skip


@click.command(
    cls=Command,
    examples=(
        "ztfdb diff sqlite:///night.db sqlite:///night_box64.db",
        "ztfdb diff sqlite:///night.db sqlite:///night_box64.db --by magnitude --plot diff.png",
        "ztfdb diff sqlite:///night.db sqlite:///night.db --calibration header --calibration-b self",
        "ztfdb diff sqlite:///night.db sqlite:///night_box64.db --by source -o sources.parquet",
    ),
)
@click.argument("url_a", metavar="URL_A")
@click.argument("url_b", metavar="URL_B")
@click.option("--image", "image_ids", multiple=True, type=int, metavar="ID", help="Only this image; may be repeated.")
@click.option("--by", type=click.Choice(tuple(USUAL)), default="image", help="What a row is.")
@click.option("--aperture", type=click.IntRange(1, 6), default=4, help="1 to 6: 2, 3, 4, 6, 10, 14 px.")
@click.option("--calibration", type=click.Choice(("header", "ps1", "self")), default="header", help="Zero points of A.")
@click.option("--calibration-b", type=click.Choice(("header", "ps1", "self")), help="Zero points of B; default as A.")
@click.option(
    "-r",
    "--radius",
    default="1",
    show_default="1 arcsec",
    callback=radius_value,
    help="Largest separation of a match.",
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=new_picture,
    help="Draw a page of the differences.",
)
@output_options
@configuration_options
@click.pass_context
def diff(
    ctx: click.Context,
    url_a: str,
    url_b: str,
    image_ids: tuple[int, ...],
    by: str,
    aperture: int,
    calibration: Calibration,
    calibration_b: Calibration | None,
    radius: float,
    plot: Path | None,
    output: Output,
) -> None:
    """Compare the sources of the images that two archives have in common.

    Sources that are each other's nearest on the same image are matched; the others are lost (only in A) or gained
    (only in B). Prints a row per image, the worst first, or per bin of 0.5 mag, or per source. Differences are B minus
    A.
    """
    if shared(ctx).db is not None:
        raise click.UsageError("--db: the archives are URL_A and URL_B")
    configuration(ctx)
    with ztfdb.open(url_a, read_only=True) as a, ztfdb.open(url_b, read_only=True) as b, progress_bar("images") as bar:

        def follow(done: int, total: int) -> None:
            if done == 1:
                bar.begin("diff", total)
            bar.step()

        with wrong_usage():
            found = a.diff(
                b,
                image_ids=list(image_ids) or None,
                aperture=aperture,
                calibration=calibration,
                calibration_b=calibration_b,
                radius=radius,
                sources=by == "source" or plot is not None,
                progress=follow,
            )
    if plot is not None:
        from ztfdb.plot import draw_diff  # matplotlib is an extra

        title = f"A: {a.url}\nB: {b.url}"
        save_figure(draw_diff(found.sources, found.magnitudes, found.images, title), plot, dpi=120)
        click.echo(f"wrote {plot}", err=True)
    frame = {"image": found.images, "magnitude": found.magnitudes, "source": found.sources}[by]
    output.write(frame, usual=USUAL[by])
    n = found.images[["n_matched", "n_lost", "n_gained"]].sum()
    alone = f"{len(found.only_a):,} in A alone, {len(found.only_b):,} in B alone"
    click.echo(
        f"{counted(len(found.images), 'image')} in both ({alone}): "
        f"{counted(n['n_matched'], 'source')} matched, {n['n_lost']:,} lost, {n['n_gained']:,} gained",
        err=True,
    )
