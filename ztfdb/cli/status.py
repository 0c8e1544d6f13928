"""``ztfdb status``: what an archive holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from ztfdb.cli.options import Command, shared_options
from ztfdb.cli.session import opened


@click.command(cls=Command, examples=("ztfdb status", "ztfdb status --format json"))
@click.option("--format", "format_", type=click.Choice(("table", "json")), default="table", show_default=True)
@shared_options
@click.pass_context
def status(ctx: click.Context, format_: str) -> None:
    """Say what the archive holds.

    Images and sources by filter, where the files lie, and with which settings and software they were measured.
    """
    with opened(ctx, read_only=True) as archive:
        facts = archive.status()
    if format_ == "json":
        click.echo(json.dumps(facts, indent=1, allow_nan=False, default=str))
        return
    for line in status_lines(facts):
        click.echo(line)


def status_lines(facts: dict[str, Any]) -> Iterator[str]:
    """Yield the facts of `Archive.status` as lines to read."""
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in facts["images"].items()) or "none yet"
    yield f"archive   {facts['url']}"
    yield f"images    {facts['n_image']:,} ({kinds}; {facts['n_simulated']:,} simulated); fields: {facts['n_field']:,}"
    yield f"sources   {facts['n_source']:,}"
    yield from _queue(facts["queue"])
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
    for one in queue["last_errors"]:
        yield f"          {one['state']}: {one['path']}: {one['error']}: {one['reason']}"


def _tables(facts: dict[str, Any]) -> Iterator[str]:
    import pandas as pd  # a second that --help need not wait for

    from ztfdb.cli.table import text_table

    configs = [
        {"config": one["config_hash"][:12], "n_image": one["n_image"], "software": _versions(one["versions"])}
        for one in facts["configs"]
    ]
    for rows in (facts["filters"], facts["roots"], configs):
        if rows:
            yield ""
            yield from text_table(pd.DataFrame(rows), {"first_mjd": "d", "last_mjd": "d"})


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
