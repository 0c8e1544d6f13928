"""``ztfdb psfcheck``: compare our magnitudes with ZTF's PSF catalogues."""

from __future__ import annotations

from pathlib import Path

import click

from ztfdb.cli.options import Command, night_value, shared_options
from ztfdb.cli.output import Output, new_picture, output_options, save_figure
from ztfdb.cli.progress import progress_bar
from ztfdb.cli.session import opened, wrong_usage
from ztfdb.texts import counted

USUAL = (
    "image_id", "warning", "median", "scatter", "n_star", "slope", "slope_err", "x_gradient", "y_gradient", "failure",
    "filtercode", "field",
)  # fmt: skip


@click.command(
    cls=Command,
    examples=(
        "ztfdb psfcheck",
        "ztfdb psfcheck --night 20200924 --warned",
        "ztfdb psfcheck --image 1362431795015 --again --plot differences.png",
        "ztfdb psfcheck --remove --dry-run",
    ),
)
@click.option("--image", "image_ids", multiple=True, type=int, metavar="ID", help="Only this image; may be repeated.")
@click.option("--night", metavar="DATE", callback=night_value, help="Only the images of this UTC date.")
@click.option("--again", is_flag=True, help="Also repeat existing checks.")
@click.option("--warned", is_flag=True, help="Print only images with a warning.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=new_picture,
    help="Draw the stars of the one --image.",
)
@click.option("--remove", is_flag=True, help="Remove checks instead.")
@click.option("--dry-run", is_flag=True, help="With --remove: only count the checks.")
@output_options
@shared_options
@click.pass_context
def psfcheck(
    ctx: click.Context,
    image_ids: tuple[int, ...],
    night: int | None,
    again: bool,
    warned: bool,
    plot: Path | None,
    remove: bool,
    dry_run: bool,
    output: Output,
) -> None:
    """Compare our magnitudes with ZTF's PSF catalogues (psfcat), image by image.

    Images are checked when they or their catalogues are ingested. This command checks the remaining ones and prints
    all checks, the worst first: median of ours minus ZTF's, robust scatter, change with magnitude and from edge to
    edge of the image, and a warning of 1 (look at it) or 2 (wrong).
    """
    if dry_run and not remove:
        raise click.UsageError("--dry-run goes with --remove")
    if plot is not None and len(image_ids) != 1:
        raise click.UsageError("--plot draws one image: name it with --image")
    if image_ids and night is not None:
        raise click.UsageError("take --image or --night")
    with opened(ctx, read_only=dry_run) as archive, wrong_usage(), progress_bar("images") as bar:
        ids = list(image_ids) or (None if night is None else archive.images_of_night(night))
        if remove:
            n = archive.remove_psf_checks(image_ids=ids, dry_run=dry_run)
            click.echo(f"{'would remove' if dry_run else 'removed'} {counted(n, 'check')}", err=True)
            return

        def follow(done: int, total: int) -> None:
            if done == 1:
                bar.begin("psfcheck", total)
            bar.step()

        report = archive.check_psf(image_ids=ids, again=again, progress=follow)
        frame = archive.psf_checks(ids, warned=warned)
        if plot is not None:
            save_figure(archive.plot_psf_check(image_ids[0]).figure, plot, dpi=120)
            click.echo(f"wrote {plot}", err=True)
    output.write(frame, usual=USUAL)
    done = f"{counted(len(report.rows), 'image')} checked ({report.n_warned:,} deserve a look)"
    click.echo(f"{done}, {report.n_skipped:,} were already, {report.n_without:,} have no PSF catalogue", err=True)
