"""``ztfdb ingest``: measure images and store them."""

from __future__ import annotations

import glob
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

import ztfdb
from ztfdb.bits import CAVEAT_WORDS, Caveat
from ztfdb.cli.options import Command, Number, file_names, shared_options
from ztfdb.cli.output import make_output
from ztfdb.cli.progress import Bar, progress_bar
from ztfdb.cli.session import configuration, is_new_file, own_settings, wrong_usage
from ztfdb.errors import ZtfdbError

if TYPE_CHECKING:
    from ztfdb.ingest.report import ImageOutcome, IngestReport, IngestStep
    from ztfdb.options import IngestLimits


@click.command(
    cls=Command,
    examples=(
        "ztfdb ingest data/ --jobs 2",
        "ztfdb ingest 'data/2020*/*_sciimg.fits' --list",
        "ztfdb ingest image.fits --mask image_mask.fits",
        "ztfdb ingest --psfcat refpsfcats/",
        "ztfdb ingest data/ --jobs 2 --completeness",
        "ztfdb ingest data/ --scheduler tcp://head:8786",
        "find /archive -name '*sciimg.fits*' | ztfdb ingest - --report outcomes.csv",
    ),
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH…", shell_complete=file_names)
@click.option("-j", "--jobs", type=click.IntRange(min=1), help="Worker processes.  [default: 1]")
@click.option("--mask", type=click.Path(dir_okay=False), help="Mask of the only image given.")
@click.option("--psfcat", is_flag=True, help="PATHs are ZTF's PSF catalogues (psfcat, refpsfcat) of stored images.")
@click.option("--completeness", is_flag=True, help="Also add artificial stars to each image: 3 times as slow.")
@click.option("--force", is_flag=True, help="Also measure unchanged images again.")
@click.option("--timeout", "timeout_s", type=Number(min=0, min_open=True), help="Seconds per image.")
@click.option("--memory", "memory_mb", type=click.IntRange(min=1), help="Megabytes per image.")
@click.option("--scheduler", metavar="ADDRESS", help="Measure on a Dask cluster, tcp://HOST:PORT.")
@click.option("-l", "--list", "listed", is_flag=True, help="Print a line for every image.")
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="Write all outcomes (.csv, .json, …).")
@shared_options
@click.pass_context
def ingest(
    ctx: click.Context,
    /,
    paths: tuple[str, ...],
    jobs: int | None,
    mask: str | None,
    psfcat: bool,
    completeness: bool,
    force: bool,
    listed: bool,
    report: Path | None,
    timeout_s: float | None,
    memory_mb: int | None,
    scheduler: str | None,
) -> None:
    """Measure images and store them.

    A SQLite archive that does not exist is created.

    PATH is a file, a folder (searched recursively) or a glob; - reads paths from stdin, one per line. Masks and PSF
    catalogues are found by name in the image's folder. In folders every science or reference image of ZTF is taken,
    whatever its name; files of other products are skipped there, and refused if named as PATH. Unchanged images are
    not measured again; moved or renamed files are recognized. A bad file is reported and does not stop the others.
    The exit status is 1 if a file failed or nothing was found. --timeout and --memory apply to worker processes, that
    is with --jobs above 1. With --scheduler the workers of a Dask cluster measure; they must see the files under the
    same paths. --completeness also measures detection probabilities with artificial stars (see ztfdb completeness,
    which does this for stored images). With --psfcat no image is measured; a refpsfcat needs no reference image.
    """
    table = make_output(None, report, None, every=True) if report is not None else None
    config = configuration(ctx, jobs=jobs, timeout_s=timeout_s, memory_mb=memory_mb)
    limits: IngestLimits = {
        "timeout_s": config.timeout_s,
        "memory_mb": config.memory_mb,
        "places": config.roots,
        "scheduler": scheduler,
        "completeness": completeness,
    }
    words = given(paths)
    new = is_new_file(config.url)
    if new and not any(map(is_there, words)):
        raise NothingGivenError(f"{', '.join(words[:3]) or 'stdin'}: there is no such file; no archive was made")
    with (
        ztfdb.open(config.url, create=new, settings=own_settings(config)) as archive,
        wrong_usage(),
        progress_bar("images") as bar,
    ):
        if new:
            click.echo(f"made the archive {archive.url}", err=True)
        follower = Follower(bar, listed)
        if psfcat:
            if mask is not None:
                raise click.UsageError("--mask belongs to an image, --psfcat takes catalogues")
            if completeness:
                raise click.UsageError("--completeness belongs to images, --psfcat takes catalogues")
            result = archive.ingest_psfcat(words, force=force, progress=follower, places=config.roots)
        else:
            result = archive.ingest(words, jobs=config.jobs, mask=mask, force=force, progress=follower, **limits)
    if table is not None:
        table.write(result.to_pandas(), known=False)
    tell(result)
    if not result.found:
        where = ", ".join(words[:3]) + ", …" * (len(words) > 3) or "stdin"
        more = "" if psfcat else "; PSF catalogues are ingested with --psfcat"
        click.echo(f"no {'PSF catalogue' if psfcat else 'image'} of ZTF in {where}{more}", err=True)
    ctx.exit(1 if result.failed or result.psfcat_refusals or not result.found else 0)


class NothingGivenError(ZtfdbError):
    """None of the given paths exists."""


def is_there(word: str) -> bool:
    """Return whether a path exists or a glob matches a file."""
    if "\0" in word:
        return False
    path = os.path.expanduser(word)  # noqa: PTH111 (a glob is no Path)
    return os.path.lexists(path) or any(glob.iglob(path, recursive=True))  # noqa: PTH207


def given(paths: tuple[str, ...]) -> list[str]:
    """Return the paths, those of stdin in place of ``-``."""
    return [path for word in paths for path in (_lines() if word == "-" else [word])]


def _lines() -> list[str]:
    """Return the lines of stdin: file names are bytes, which need not be UTF-8; only a line feed ends one."""
    lines = sys.stdin.buffer.read().split(b"\n")
    return [os.fsdecode(line.removesuffix(b"\r")) for line in lines if line.strip()]


class Follower:
    """Progress callback: advances the bar for every image and prints its line with ``--list``."""

    def __init__(self, bar: Bar, listed: bool = False) -> None:
        self._bar = bar
        self._listed = listed

    def __call__(self, step: IngestStep, /) -> None:
        """Process one step."""
        if step.outcome is None:
            self._bar.begin("measure", step.found)
            return
        self._bar.step(Path(step.outcome.path).name)
        if self._listed:
            self._bar.line(outcome_line(step.outcome))


def outcome_line(one: ImageOutcome) -> str:
    """Return the outcome of one image as one line."""
    counted = one.n_psf if one.n_source is None else one.n_source
    sources = "" if counted is None else f"{counted} {'rows' if one.n_source is None else 'sources'}"
    reason = f": {one.reason or one.psfcat_reason}" if one.reason or one.psfcat_reason else ""
    return f"{one.outcome.value:10}  {sources:>14}  {one.seconds:6.2f} s  {one.path}{reason}"


def caveat_line(caveat: Caveat, n_image: int, example: str) -> str:
    """Return one line about a caveat and the images that have it."""
    which = example if n_image == 1 else f"{n_image:,} images, {example} the first"
    return f"{CAVEAT_WORDS[caveat]}: {which}"


def tell(result: IngestReport) -> None:
    """Print failures with their reasons, skipped files and the totals to stderr."""
    from ztfdb.ingest.folders import left_out_words  # imports astropy, which --help does not need

    for one in result.failures:
        click.echo(f"failed: {one.path}: {one.reason}", err=True)
    for one in result.psfcat_refusals:
        click.echo(f"PSF catalogue refused: {one.psfcat_reason}", err=True)
    for caveat, paths in result.caveats.items():
        click.echo(caveat_line(caveat, len(paths), paths[0]), err=True)
    if result.left_out:
        click.echo(left_out_words(result.left_out), err=True)
    psf = f" and {result.n_psf:,} rows of PSF catalogues" if result.n_psf else ""
    click.echo(f"{result}; {result.n_source:,} sources{psf} in {result.seconds:.1f} s", err=True)
