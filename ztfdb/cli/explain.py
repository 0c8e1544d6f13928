"""``ztfdb explain``: the provenance of a source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from ztfdb.cli.options import Command, shared, shared_options
from ztfdb.cli.session import opened, wrong_usage
from ztfdb.cli.terminal import say

if TYPE_CHECKING:
    from ztfdb.query.explain import Explanation


def _source_id(_ctx: click.Context, _param: click.Parameter, words: tuple[str, ...]) -> int:
    """Convert the id, which the word ``source`` may precede (click callback)."""
    if words[:-1] not in ((), ("source",)) or not (words[-1].isascii() and words[-1].isdecimal()):
        raise click.BadParameter(f"expected the id of a source, found {' '.join(words)}")
    return int(words[-1])


@click.command(cls=Command, examples=("ztfdb explain 22270038017541471",))
@click.argument("source_id", nargs=-1, required=True, callback=_source_id, metavar="[source] ID")
@click.option("--no-measure", is_flag=True, help="Do not measure the source again.")
@shared_options
@click.pass_context
def explain(ctx: click.Context, source_id: int, no_measure: bool) -> None:
    """Show where the numbers of a source come from.

    Prints the file and its sha256, header values, settings, software and calibrations. Then measures the source again
    from the file and prints stored and new values side by side. The same software reproduces every bit. The exit
    status is 1 if it does not, or if the file is not the one that was ingested.
    """
    with opened(ctx, read_only=True) as archive, wrong_usage():
        told = archive.explain(source_id, measure=not no_measure, places=shared(ctx).places)
    for line in explanation_lines(told):
        say(line)
    if not no_measure and (told.problem is not None or (told.same_software and not told.identical)):
        ctx.exit(1)


def explanation_lines(told: Explanation) -> Iterator[str]:
    """Yield an explanation as lines of text."""
    from ztfdb.cli.table import text_table  # imports pandas

    image = told.image
    yield f"source    {told.source_id}"
    yield f"image     {image['image_id']} ({image['kind']}{', simulated' if image['simulated'] else ''})"
    yield from (f"lacking   {words}" for words in told.caveats)
    for row in told.files.itertuples():
        yield f"{row.role:<9} {row.path} ({row.size:,} bytes, {row.status})"
        yield f"          sha256 {row.sha256}"
    yield f"header    {_pairs(told.cards)}"
    yield f"settings  {_pairs(told.settings)}"
    yield f"software  {_pairs(told.versions)}{'' if told.same_software else ' (not what is installed here)'}"
    if len(told.calibrations):
        columns = ["method", "aperture", "catalogue", "zeropoint", "zeropoint_err", "color_term", "n_star"]
        yield ""
        yield from text_table(told.calibrations[columns], {"zeropoint": "mag", "zeropoint_err": "mag"})
        yield from _solutions(told)
    yield ""
    if told.identical is None:
        yield f"not measured again: {told.problem or 'there is no such source now'}"
        return
    for row in told.values.itertuples():
        yield f"{row.column:<16} {row.stored!r:>24} {row.measured!r:>24}{'' if row.identical else '  differs'}"
    yield "measured again: " + ("identical to the last bit" if told.identical else "not identical")


def _solutions(told: Explanation) -> Iterator[str]:
    """Yield a line for each solution behind the zero points from the stars that images share."""
    rows = told.calibrations
    if "solution_id" not in rows:
        return
    for row in rows[rows["solution_id"].notna()].to_dict("records"):
        yield (
            f"solution {int(row['solution_id'])}, aperture {row['aperture']}: {int(row['solution_n_star'])} stars in "
            f"{int(row['solution_n_epoch'])} detections on {int(row['solution_n_image'])} images, level of "
            f"{row['solution_tied_to']} ({int(row['solution_n_tied'])}), gradients {row['x_gradient']:+.4f} "
            f"{row['y_gradient']:+.4f} mag, floor {row['scatter']:.4f} mag; {row['solution_solved']} by "
            f"{_pairs(row['solution_versions'])}"
        )


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
