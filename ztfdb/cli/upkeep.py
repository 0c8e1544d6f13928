"""``ztfdb relocate``, ``verify`` and ``remove``: maintenance of an archive and its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ztfdb.cli.options import Command, file_names, night_number, shared, shared_options
from ztfdb.cli.output import Output, output_options
from ztfdb.cli.progress import progress_bar
from ztfdb.cli.session import opened, wrong_usage
from ztfdb.cli.terminal import say
from ztfdb.texts import counted


@click.command(cls=Command, examples=("ztfdb relocate data /mnt/archive/data",))
@click.argument("name")
@click.argument("folder", shell_complete=file_names)
@shared_options
@click.pass_context
def relocate(ctx: click.Context, name: str, folder: str) -> None:
    """Record that a data root has moved.

    NAME is a root listed by `ztfdb status`, FOLDER its new location. No image is read; `ztfdb verify` checks that the
    files are there.
    """
    with opened(ctx) as archive, wrong_usage():
        before = archive.relocate(name, folder)
    say(f"{name}: {before} -> {folder if '://' in folder else Path(folder).absolute()}")


OF_FILES = (
    "files: `ztfdb relocate` records where a folder has moved, `ztfdb ingest` takes a moved or changed file; "
    "without its file an image keeps its rows, but no stamps"
)
OF_ROWS = "stored rows: `ztfdb ingest --force FILE` stores an image again; where there are many, take a backup"
"""What helps against the problems of each kind."""


@click.command(cls=Command, examples=("ztfdb verify", "ztfdb verify --hashes -o problems.csv"))
@click.option("--hashes", is_flag=True, help="Read every file and compare its sha256.")
@click.option(
    "--deep",
    is_flag=True,
    help="Also read every page of the database, and compare every image's rows with their checksum.",
)
@output_options
@shared_options
@click.pass_context
def verify(ctx: click.Context, hashes: bool, deep: bool, output: Output) -> None:
    """Check that the files are the ingested ones and that the tables are consistent.

    Prints one row per problem; the exit status is 1 if there is one.
    """
    with opened(ctx, read_only=True) as archive, progress_bar("images") as bar:
        at = 0

        def follow(done: int, total: int) -> None:
            nonlocal at
            if at == 0:
                bar.begin("verify", total)
            for _ in range(done - at):
                bar.step()
            at = done

        problems = archive.verify(hashes=hashes, deep=deep, places=shared(ctx).places, progress=follow)
    counts = problems.attrs
    click.echo(", ".join(counted(counts[f"n_{one}"], one) for one in ("image", "file", "source")), err=True)
    if n_unknown := counts["n_unknown"]:
        words = "have rows without a checksum, stored before there were any: these were not compared"
        click.echo(f"{n_unknown:,} images or PSF catalogues {words}", err=True)
    if problems.empty:
        click.echo("no problems", err=True)
        if not output.is_plain:
            output.write(problems)
        return
    output.write(problems)
    of_files = problems["role"].to_numpy() != ""
    for kind, remedy in ((of_files, OF_FILES), (~of_files, OF_ROWS)):
        if kind.any():
            click.echo(f"{counted(int(kind.sum()), 'problem')} of {remedy}", err=True)
    ctx.exit(1)


@click.command(
    cls=Command,
    examples=("ztfdb remove image 136243179501215 --dry-run", "ztfdb remove night 20200924"),
)
@click.argument("what", type=click.Choice(("image", "night")))
@click.argument("names", nargs=-1, required=True, metavar="ID… | DATE…")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@shared_options
@click.pass_context
def remove(ctx: click.Context, what: str, names: tuple[str, ...], dry_run: bool) -> None:
    """Remove images, or all images of a night, from the archive.

    Also removes their sources, matches, calibrations and forced measurements; the files stay. A night is a UTC date
    such as 20200924, 2020-09-24 or today.
    """
    read = _number if what == "image" else night_number
    wanted = list(dict.fromkeys(map(read, names)))
    with opened(ctx) as archive, wrong_usage(), progress_bar("images") as bar:

        def follow(done: int, total: int) -> None:
            if done == 1:
                bar.begin("remove", total)
            bar.step()

        how: dict[str, Any] = {"dry_run": dry_run, "progress": follow}
        removals = (
            [archive.remove(wanted, **how)]
            if what == "image"
            else [archive.remove(night=night, **how) for night in wanted]
        )
    n_image, n_source = sum(len(one.images) for one in removals), sum(one.n_source for one in removals)
    if dry_run:
        for one in removals:
            for image_id in one.images:
                click.echo(image_id)
    done = "would remove" if dry_run else "removed"
    click.echo(f"{done} {counted(n_image, 'image')} with {counted(n_source, 'source')}", err=True)
    if not n_image:
        click.echo(f"error: the archive has no image of {what} {', '.join(map(str, names))}", err=True)
        ctx.exit(1)


def _number(text: str) -> int:
    if not text.isdigit():
        raise click.BadParameter(f"{text!r} is not the id of an image")
    return int(text)
