"""``ztfdb calibrate``: zero points and colour terms from PS1, or from the stars that images share."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from ztfdb.cli.options import Command, shared_options
from ztfdb.cli.output import Output, new_picture, output_options, save_figure
from ztfdb.cli.progress import progress_bar
from ztfdb.cli.session import opened, wrong_usage
from ztfdb.texts import counted

USUAL = (
    "image_id", "aperture", "zeropoint", "zeropoint_err", "color_term", "color_term_err", "scatter", "n_star",
    "n_clipped", "apcor", "x_gradient", "y_gradient", "magerr_sys", "failure",
)  # fmt: skip


@click.command(
    cls=Command,
    examples=(
        "ztfdb calibrate",
        "ztfdb calibrate --method self",
        "ztfdb calibrate --image 1362431795015 --again --plot residuals.png",
        "ztfdb calibrate --aperture 4 -o zeropoints.csv",
    ),
)
@click.option("--method", type=click.Choice(("ps1", "self")), default="ps1", help="Stars of PS1, or of the images.")
@click.option("--image", "image_ids", multiple=True, type=int, metavar="ID", help="Only this image; may be repeated.")
@click.option("--again", is_flag=True, help="Also repeat existing calibrations.")
@click.option("--aperture", type=click.IntRange(1, 6), help="Print this aperture only (1 to 6: 2, 3, 4, 6, 10, 14 px).")
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=new_picture,
    help="Draw the residuals of the one --image, or of all (self).",
)
@output_options
@shared_options
@click.pass_context
def calibrate(
    ctx: click.Context,
    method: Literal["ps1", "self"],
    image_ids: tuple[int, ...],
    again: bool,
    aperture: int | None,
    plot: Path | None,
    output: Output,
) -> None:
    """Fit the zero point and colour term of each image and aperture.

    The default uses PS1 stars, which must be imported first (ztfdb catalog import), on images that were not
    calibrated since they were matched. --method self uses the stars that images share, with gradients over the
    quadrant: new images are fitted to the stars of earlier solutions, the others are solved together; --again solves
    everything again. The header's calibration is kept: when reading, you choose one, and the answer names it. Prints
    a row per image and aperture.
    """
    if plot is not None and method == "ps1" and len(image_ids) != 1:
        raise click.UsageError("--plot draws one image: name it with --image")
    with opened(ctx) as archive, wrong_usage(), progress_bar("images") as bar:

        def follow(done: int, total: int) -> None:
            if done == 1:
                bar.begin("calibrate", total)
            bar.step()

        report = archive.calibrate(method=method, image_ids=list(image_ids) or None, again=again, progress=follow)
        if plot is not None:
            if method == "self":
                panel = archive.plot_self_calibration(list(image_ids) or None, aperture=aperture or 4)
            else:
                panel = archive.plot_calibration(image_ids[0], aperture=aperture or 4)
            save_figure(panel.figure, plot, dpi=120)
            click.echo(f"wrote {plot}", err=True)
    frame = report.to_pandas()
    output.write(frame if aperture is None else frame[frame.aperture == aperture], usual=USUAL)
    done = f"{counted(report.n_image - report.n_failed, 'image')} calibrated"
    failed = f", {report.n_failed:,} could not be (the column failure says why)" if report.n_failed else ""
    click.echo(f"{done}{failed}, {report.n_skipped:,} were calibrated already", err=True)
