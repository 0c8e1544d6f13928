"""``ztfdb status``: contents and state of an archive."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from ztfdb.bits import Caveat
from ztfdb.cli.ingest import caveat_line
from ztfdb.cli.options import Command, shared_options
from ztfdb.cli.session import opened
from ztfdb.cli.terminal import say
from ztfdb.texts import without_secrets


@click.command(cls=Command, examples=("ztfdb status", "ztfdb status --format json"))
@click.option("--format", "format_", type=click.Choice(("table", "json")), default="table", show_default=True)
@shared_options
@click.pass_context
def status(ctx: click.Context, format_: str) -> None:
    """Show the contents and the state of the archive.

    Prints images and sources by filter, the folders of the files, the settings and software that measured them, the
    queue, and the images that differ most from their PSF catalogues.
    """
    with opened(ctx, read_only=True) as archive:
        facts = archive.status()
    if format_ == "json":
        click.echo(json.dumps(without_secrets(facts), indent=1, allow_nan=False, default=str))
        return
    for line in status_lines(facts):
        say(line)


def status_lines(facts: dict[str, Any]) -> Iterator[str]:
    """Yield the facts of `Archive.status` as lines of text."""
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in facts["images"].items()) or "none yet"
    yield f"archive   {facts['url']}"
    yield f"images    {facts['n_image']:,} ({kinds}; {facts['n_simulated']:,} simulated); fields: {facts['n_field']:,}"
    yield f"sources   {facts['n_source']:,}"
    for one in facts["caveats"]:
        yield f"lacking   {caveat_line(Caveat(one['caveat']), one['n_image'], one['path'])}"
    yield from _queue(facts["queue"])
    yield from _psf_check(facts["psf_check"])
    yield from _tables(facts)
    made = {key: value for key, value in facts["archive"].items() if key != "settings"}
    yield ""
    yield from (f"{key}: {value}" for key, value in made.items())


def _queue(queue: dict[str, Any]) -> Iterator[str]:
    if not any(queue["jobs"].values()):
        return
    yield "queue     " + ", ".join(f"{n:,} {state}" for state, n in queue["jobs"].items() if n)
    waits = queue["oldest_waiting_s"]
    oldest = "nothing is due" if waits is None else f"the oldest due waits since {waits:,.0f} s"
    yield f"          {queue['rate_per_hour']:,.0f} done in the last hour; {oldest}"
    if queue["n_waiting"]:
        yield f"          {queue['n_waiting']:,} wait for what is missing"
    for one in queue["waiting"]:
        yield f"          waits {one['due_in_s']:,.0f} s more: {one['path']}: {one['reason']}"
    for one in queue["last_errors"]:
        yield f"          {one['state']}: {one['path']}: {one['error']}: {one['reason']}"


def _psf_check(checks: dict[str, Any]) -> Iterator[str]:
    if not checks["n_image"]:
        return
    levels = f"{checks['n_look']:,} deserve a look, {checks['n_wrong']:,} are wrong"
    yield f"psfcat    {checks['n_image']:,} images have one, {checks['n_checked']:,} were checked against it: {levels}"
    for one in checks["worst"]:
        where = f"{one['field']:06d} {one['filtercode']} c{one['ccdid']:02d} q{one['qid']}"
        yield f"          warning {one['warning']}: image {one['image_id']} ({where}): {_difference(one)}"


def _difference(one: dict[str, Any]) -> str:
    """Return the difference of an image in words, or the reason why there is none."""
    if one["median"] is None:
        return str(one["failure"])
    told = f"ours - psf {one['median']:+.3f} mag, scatter {one['scatter']:.3f} ({one['n_star']:,} stars)"
    if one["slope"] is None:
        return told
    return f"{told}, {one['slope']:+.3f} a mag, {one['x_gradient']:+.3f} along x, {one['y_gradient']:+.3f} along y"


def _tables(facts: dict[str, Any]) -> Iterator[str]:
    from ztfdb.cli.table import text_table  # imports numpy, which --help does not need
    from ztfdb.query.answer import answer_of

    configs = [
        {"config": one["config_hash"][:12], "n_image": one["n_image"], "software": _versions(one["versions"])}
        for one in facts["configs"]
    ]
    for rows in (facts["filters"], facts["roots"], configs):
        if rows:
            yield ""
            yield from text_table(answer_of(rows), {"first_mjd": "d", "last_mjd": "d"})


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
