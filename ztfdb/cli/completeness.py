"""``ztfdb completeness``: detection probabilities of stars on images, from artificial stars."""

from __future__ import annotations

import click

from ztfdb.cli.options import PositionCommand, position_of, shared, shared_options
from ztfdb.cli.output import Output, output_options
from ztfdb.cli.progress import progress_bar
from ztfdb.cli.session import opened, wrong_usage
from ztfdb.texts import counted

USUAL = ("image_id", "limit50", "limit90", "psf", "n_star", "n_found", "n_false", "n_source", "failure")
USUAL_AT = ("mjd", "filtercode", "limit50", "limit90", "p_detect", "bias", "scatter", "image_id")


@click.command(
    cls=PositionCommand,
    examples=(
        "ztfdb completeness --jobs 2",
        "ztfdb completeness --image 1362431795015 --again --passes 4",
        "ztfdb completeness --at 58.0029 35.7365 --mag 20.5",
    ),
)
@click.option("--image", "image_ids", multiple=True, type=int, metavar="ID", help="Only this image; may be repeated.")
@click.option("--again", is_flag=True, help="Also repeat earlier measurements.")
@click.option("--passes", type=click.IntRange(1), default=1, help="Extractions per image, each with other stars.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Seed of the stars' positions and magnitudes.")
@click.option("-j", "--jobs", type=click.IntRange(1), default=1, help="Processes.")
@click.option("--at", nargs=2, metavar="RA DEC", help="Print the stored limits at this position.")
@click.option("--mag", type=float, help="With --at: magnitude of the star.")
@output_options
@shared_options
@click.pass_context
def completeness(
    ctx: click.Context,
    image_ids: tuple[int, ...],
    again: bool,
    passes: int,
    seed: int,
    jobs: int,
    at: tuple[str, str] | None,
    mag: float | None,
    output: Output,
) -> None:
    """Measure the detection probability of stars with artificial stars.

    The stars are added to the real pixels with the exposure's own PSF (its sciimgdao.psf, else one built from the
    image's stars), and extracted as at ingest. Images without a result are processed. Prints the magnitudes at which
    50 % and 90 % of the stars are found; with --at those at a position, on each image that covers it.
    """
    if mag is not None and at is None:
        raise click.UsageError("--mag goes with --at")
    if at is not None and (image_ids or again or passes > 1 or seed or jobs > 1):
        raise click.UsageError(
            "--at prints stored limits: it goes with neither --image, --again, --passes, --seed nor --jobs"
        )
    if at is not None:
        with opened(ctx, read_only=True) as archive, wrong_usage():
            output.write(archive.completeness(*position_of(at), mag=mag), usual=USUAL_AT)
        return
    with opened(ctx) as archive, wrong_usage(), progress_bar("images") as bar:

        def follow(done: int, total: int) -> None:
            if done == 1:
                bar.begin("completeness", total)
            bar.step()

        report = archive.measure_completeness(
            image_ids=list(image_ids) or None,
            again=again,
            passes=passes,
            seed=seed,
            jobs=jobs,
            places=shared(ctx).places,
            progress=follow,
        )
    output.write(report.to_pandas(), usual=USUAL)
    done = f"{counted(report.n_image - report.n_failed, 'image')} measured"
    failed = f", {report.n_failed:,} could not be (the column failure says why)" if report.n_failed else ""
    click.echo(f"{done}{failed}, {report.n_skipped:,} were already", err=True)
