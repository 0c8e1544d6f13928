"""``ztfdb catalog``: reference catalogues in the archive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ztfdb.cli.options import Command, CommandGroup, number_value, shared_options
from ztfdb.cli.output import Output, output_options
from ztfdb.cli.progress import progress_bar
from ztfdb.cli.session import opened, wrong_usage
from ztfdb.texts import counted

if TYPE_CHECKING:
    from ztfdb.ingest.catalogue_import import FileImport
    from ztfdb.options import Service

USUAL = ("catalogue", "n_row", "coverage_deg2", "file_rows", "n_bad", "imported", "file")


@click.group(
    cls=CommandGroup,
    examples=("ztfdb catalog import ps1 ps1_field655.csv", "ztfdb catalog list"),
)
def catalog() -> None:
    """Manage reference catalogues: PS1, Gaia, and others."""


@catalog.command(
    "import",
    cls=Command,
    examples=(
        "ztfdb catalog import ps1 mast_*.csv",
        "ztfdb catalog import gaia gaia.vot",
        "ztfdb catalog import variables mine.csv -c id=star -c ra=lon -c dec=lat -c mag=V --extra kind,period",
    ),
)
@click.argument("name")
@click.argument("files", nargs=-1, required=True, type=click.Path(), metavar="FILE…")
@click.option("-c", "--column", "columns", multiple=True, metavar="OURS=THEIRS", help="Name of a column in the file.")
@click.option("--extra", metavar="A,B,…", help="Further columns of the file to keep.")
@click.option("--epoch", callback=number_value, help="Year of the positions if the file has none, as 2016.0.")
@shared_options
@click.pass_context
def import_(
    ctx: click.Context,
    name: str,
    files: tuple[str, ...],
    columns: tuple[str, ...],
    extra: str | None,
    epoch: float | None,
) -> None:
    """Import FILEs into the catalogue NAME.

    NAME is ps1, gaia, or any other name. FILEs are CSV (also with tabs, semicolons or bars), FITS, VOTable, Parquet,
    or HDF5 calibrator files. Tables of MAST, VizieR and the Gaia archive are recognised by their columns; for others
    use -c to name id, ra, dec, mag, mag_err, epoch, pmra, pmdec. -999 and masked values become NULL. A file that was
    imported before adds nothing. Unreadable rows are reported with their line; a file without a readable row is
    refused.
    """
    given = _pairs(columns)
    kept = [word.strip() for word in extra.split(",") if word.strip()] if extra else []
    with opened(ctx) as archive, wrong_usage(), progress_bar("files") as bar:
        bar.begin("import", len(files))
        for file in files:
            (done,) = archive.import_catalogue(name, [file], columns=given or None, extra=kept, epoch=epoch)
            _tell(done)
            bar.step(file)


@catalog.command(
    "add",
    cls=Command,
    examples=(
        "ztfdb catalog add gaia hats:/data/gaia_dr3",
        "ztfdb catalog add variables hats:/data/variables -c id=star -c mag=V",
    ),
)
@click.argument("name")
@click.argument("location", metavar="hats:PATH|URL")
@click.option(
    "-c", "--column", "columns", multiple=True, metavar="OURS=THEIRS", help="Name of a column in the catalogue."
)
@click.option("--epoch", callback=number_value, help="Year of the positions if the catalogue has none.")
@shared_options
@click.pass_context
def add(ctx: click.Context, name: str, location: str, columns: tuple[str, ...], epoch: float | None) -> None:
    """Read a HATS catalogue in place, as the catalogue NAME.

    Nothing is imported: a match reads the partitions under an image. NAME and -c are as for `catalog import`. Add it
    again when it has changed; images are then matched again.
    """
    with opened(ctx) as archive, wrong_usage():
        done = archive.add_catalogue(name, location, columns=_pairs(columns) or None, epoch=epoch)
    what = "added before, and has not changed" if done.known else f"added ({done.layout})"
    click.echo(
        f"{done.name}: {counted(done.n_row, 'row')} on {done.area:,.4g} deg2 in {done.location}, {what}", err=True
    )


@catalog.command("list", cls=Command, examples=("ztfdb catalog list", "ztfdb catalog list --format json"))
@output_options
@shared_options
@click.pass_context
def list_(ctx: click.Context, output: Output) -> None:
    """List the catalogues, one row per imported file: rows, sky coverage, file, date."""
    with opened(ctx, read_only=True) as archive:
        frame = archive.catalogues()
    output.write(frame, usual=USUAL)


@catalog.command("recipe", cls=Command, examples=("ztfdb catalog recipe ps1", "ztfdb catalog recipe gaia --all"))
@click.argument("name", type=click.Choice(("ps1", "gaia")))
@click.option("--service", type=click.Choice(("mast", "vizier")), help="Only this service's queries.")
@click.option("--all", "everything", is_flag=True, help="Also where the catalogue has rows already.")
@shared_options
@click.pass_context
def recipe(ctx: click.Context, name: str, service: Service | None, everything: bool) -> None:
    """Print queries for the catalogue NAME around the archive's images.

    Prints one query per patch of sky that has images but no catalogue rows yet: URLs for MAST (PS1), ADQL for VizieR.
    `ztfdb catalog import` reads their results.
    """
    both: tuple[Service, ...] = ("mast", "vizier") if name == "ps1" else ("vizier",)
    with opened(ctx, read_only=True) as archive, wrong_usage():
        for one in (service,) if service else both:
            address, queries = archive.catalogue_recipe(name, one, everything=everything)
            click.echo(f"# {one}: {address}")
            for query in queries:
                click.echo(query)
            if not queries:
                click.echo("no queries: the archive has no images, or the catalogue covers them all", err=True)


@catalog.command("fetch", cls=Command, examples=("ztfdb catalog fetch gaia", "ztfdb catalog fetch ps1 --keep answers/"))
@click.argument("name", type=click.Choice(("ps1", "gaia")))
@click.option("--url", help="TAP service with VizieR's tables.  [default: VizieR's own]")
@click.option("--keep", type=click.Path(file_okay=False), help="Keep the downloaded tables in this folder.")
@click.option("--all", "everything", is_flag=True, help="Also where the catalogue has rows already.")
@shared_options
@click.pass_context
def fetch(ctx: click.Context, name: str, url: str | None, keep: str | None, everything: bool) -> None:
    """Query VizieR for the catalogue NAME around the archive's images, and import it."""
    with opened(ctx) as archive, wrong_usage(), progress_bar("queries") as bar:

        def follow(done: int, total: int) -> None:
            if done == 1:
                bar.begin("fetch", total)
            bar.step()

        files = archive.fetch_catalogue(name, url=url, folder=keep, everything=everything, progress=follow)
    for one in files:
        _tell(one)
    click.echo(
        f"{counted(len(files), 'query', 'queries')}, {counted(sum(one.n_row for one in files), 'row')} added", err=True
    )


@catalog.command(
    "remove", cls=Command, examples=("ztfdb catalog remove variables --dry-run", "ztfdb catalog remove variables")
)
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Only count the rows, remove nothing.")
@shared_options
@click.pass_context
def remove(ctx: click.Context, name: str, dry_run: bool) -> None:
    """Remove the catalogue NAME with its rows, its matches and the calibrations made from it."""
    with opened(ctx, read_only=dry_run) as archive, wrong_usage():
        n_row = archive.remove_catalogue(name, dry_run=dry_run)
    stays = "" if n_row else "; files of a catalogue that is read in place stay"
    click.echo(f"{'would remove' if dry_run else 'removed'} {name}: {counted(n_row, 'row')}{stays}", err=True)


def _pairs(words: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for word in words:
        ours, mark, theirs = word.partition("=")
        if not (mark and ours and theirs):
            raise click.UsageError(f"-c takes OURS=THEIRS, as ra=RAJ2000, not {word!r}")
        pairs[ours] = theirs
    return pairs


def _tell(done: FileImport) -> None:
    for row in done.bad:
        click.echo(f"{done.path}: line {row.line}: {row.reason}", err=True)
    if done.n_bad > len(done.bad):
        click.echo(f"{done.path}: and {done.n_bad - len(done.bad):,} more", err=True)
    if done.known:
        click.echo(f"{done.path}: imported before, nothing added", err=True)
        return
    rest = "".join(
        f", {n:,} {what}" for n, what in ((done.n_known, "held already"), (done.n_bad, "could not be read")) if n
    )
    click.echo(f"{done.path}: {counted(done.n_row, 'row')} added{rest} ({done.layout}, {done.seconds:.1f} s)", err=True)
