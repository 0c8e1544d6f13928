"""``ztfdb catalog``: reference catalogues in the archive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ztfdb.cli.options import Command, CommandGroup, number_value, shared_options
from ztfdb.cli.output import Output, output_options
from ztfdb.cli.progress import progress_bar
from ztfdb.cli.session import opened, wrong_usage

if TYPE_CHECKING:
    from ztfdb.ingest.catalogue_import import FileImport

USUAL = ("catalogue", "n_row", "coverage_deg2", "file_rows", "n_bad", "imported", "file")


@click.group(
    cls=CommandGroup,
    examples=("ztfdb catalog import ps1 ps1_field655.csv", "ztfdb catalog list"),
)
def catalog() -> None:
    """Hold reference catalogues: PS1, Gaia, and any other."""


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
@click.option("-c", "--column", "columns", multiple=True, metavar="OURS=THEIRS", help="The file's name of a column.")
@click.option("--extra", metavar="A,B,…", help="Further columns of the file to keep.")
@click.option("--epoch", callback=number_value, help="Year of the positions where the file does not say, as 2016.0.")
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

    NAME is ps1, gaia, or any other. CSV (also with tabs, semicolons or bars), FITS, VOTable, Parquet, and the HDF5
    calibrator files. Tables of MAST, VizieR and the Gaia archive are recognised by their columns; of others -c names
    id, ra, dec, mag, mag_err, epoch, pmra, pmdec. -999 and masked values are no values. A file that was imported adds
    nothing; rows that cannot be read are reported with their line, and a file of which none can is refused.
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
    "-c", "--column", "columns", multiple=True, metavar="OURS=THEIRS", help="The catalogue's name of a column."
)
@click.option("--epoch", callback=number_value, help="Year of the positions where the catalogue does not say.")
@shared_options
@click.pass_context
def add(ctx: click.Context, name: str, location: str, columns: tuple[str, ...], epoch: float | None) -> None:
    """Read a HATS catalogue in place, as the catalogue NAME.

    Nothing is imported: a match reads the partitions under an image. NAME and -c are as for `catalog import`. Add it
    again when it has changed, and images are matched anew.
    """
    with opened(ctx) as archive, wrong_usage():
        done = archive.add_catalogue(name, location, columns=_pairs(columns) or None, epoch=epoch)
    what = "added before, and has not changed" if done.known else f"added ({done.layout})"
    click.echo(f"{done.name}: {done.n_row:,} rows on {done.area:,.4g} deg2 in {done.location}, {what}", err=True)


@catalog.command("list", cls=Command, examples=("ztfdb catalog list", "ztfdb catalog list --format json"))
@output_options
@shared_options
@click.pass_context
def list_(ctx: click.Context, output: Output) -> None:
    """List what is held, a row per imported file: rows, sky coverage, file, date."""
    with opened(ctx, read_only=True) as archive:
        frame = archive.catalogues()
    output.write(frame, usual=USUAL)


@catalog.command("recipe", cls=Command, examples=("ztfdb catalog recipe ps1", "ztfdb catalog recipe gaia --all"))
@click.argument("name", type=click.Choice(("ps1", "gaia")))
@click.option("--service", type=click.Choice(("mast", "vizier")), help="Only this service's queries.")
@click.option("--all", "everything", is_flag=True, help="Also where the catalogue has rows already.")
@shared_options
@click.pass_context
def recipe(ctx: click.Context, name: str, service: str | None, everything: bool) -> None:
    """Print the queries that bring the catalogue NAME for the archive's sky.

    One per patch of sky that images cover and the catalogue does not yet: addresses for MAST (PS1), ADQL for VizieR.
    What they answer, `ztfdb catalog import` understands.
    """
    services = [service] if service else ["mast", "vizier"] if name == "ps1" else ["vizier"]
    with opened(ctx, read_only=True) as archive, wrong_usage():
        for one in services:
            address, queries = archive.catalogue_recipe(name, one, everything=everything)
            click.echo(f"# {one}: {address}")
            for query in queries:
                click.echo(query)
            if not queries:
                click.echo("nothing to ask for: no images, or their sky is held", err=True)


@catalog.command("fetch", cls=Command, examples=("ztfdb catalog fetch gaia", "ztfdb catalog fetch ps1 --keep answers/"))
@click.argument("name", type=click.Choice(("ps1", "gaia")))
@click.option("--url", help="TAP service with VizieR's tables.  [default: VizieR's own]")
@click.option("--keep", type=click.Path(file_okay=False), help="Keep the answers in this folder.")
@click.option("--all", "everything", is_flag=True, help="Also where the catalogue has rows already.")
@shared_options
@click.pass_context
def fetch(ctx: click.Context, name: str, url: str | None, keep: str | None, everything: bool) -> None:
    """Ask VizieR for the catalogue NAME on the archive's sky, and import it."""
    with opened(ctx) as archive, progress_bar("queries") as bar:

        def follow(done: int, total: int) -> None:
            if done == 1:
                bar.begin("fetch", total)
            bar.step()

        files = archive.fetch_catalogue(name, url=url, folder=keep, everything=everything, progress=follow)
    for one in files:
        _tell(one)
    click.echo(f"{len(files)} queries, {sum(one.n_row for one in files):,} rows added", err=True)


@catalog.command(
    "remove", cls=Command, examples=("ztfdb catalog remove variables --dry-run", "ztfdb catalog remove variables")
)
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Say what would go, and leave it.")
@shared_options
@click.pass_context
def remove(ctx: click.Context, name: str, dry_run: bool) -> None:
    """Remove the catalogue NAME with its rows, its matches and the calibrations made from it."""
    with opened(ctx, read_only=dry_run) as archive:
        n_row = archive.remove_catalogue(name, dry_run=dry_run)
    stays = "" if n_row else "; files of a catalogue that is read in place stay"
    click.echo(f"{'would remove' if dry_run else 'removed'} {name}: {n_row:,} rows{stays}", err=True)


def _pairs(words: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for word in words:
        ours, mark, theirs = word.partition("=")
        if not (mark and ours and theirs):
            raise click.UsageError(f"-c wants OURS=THEIRS, as ra=RAJ2000, not {word!r}")
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
    click.echo(f"{done.path}: {done.n_row:,} rows added{rest} ({done.layout}, {done.seconds:.1f} s)", err=True)
