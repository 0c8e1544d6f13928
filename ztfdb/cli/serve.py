"""``ztfdb serve``: serve the archive over HTTP."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from ipaddress import ip_network
from pathlib import Path

import click

from ztfdb.cli.options import Command, shared, shared_options
from ztfdb.cli.session import configuration
from ztfdb.errors import MissingExtraError

IMPORTED_LATER = ("fastapi", "orjson", "python_multipart", "sqlglot")
"""Packages of the extra that the service imports only with the first request that needs them."""

ROOT_PATH = re.compile(r"(/[\w.~%-]+)*/?")


@click.command(
    cls=Command,
    examples=(
        "ztfdb serve",
        "ztfdb serve --port 0 --db sqlite:///night.db",
        "ztfdb serve --host 0.0.0.0 --public --workers 4",
    ),
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: any free port.")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Server processes.")
@click.option("--public", is_flag=True, help="Allow an address that other machines can reach.")
@click.option("--tokens", is_flag=True, help="Accept only requests with a token: ztfdb token add.")
@click.option("--root-path", default="", metavar="PATH", help="Public prefix of the service behind a proxy.")
@click.option("--proxies", default="", metavar="IP,…", help="Proxies whose X-Forwarded-… headers are trusted.")
@click.option(
    "--state",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Folder of asynchronous jobs and results.  [default: $XDG_STATE_HOME/ztfdb/serve]",
)
@click.option("--log-format", type=click.Choice(("text", "json")), help="json: one object per line.")
@shared_options
@click.pass_context
def serve(
    ctx: click.Context,
    host: str,
    port: int,
    workers: int,
    public: bool,
    tokens: bool,
    root_path: str,
    proxies: str,
    state: str | None,
    log_format: str | None,
) -> None:
    """Serve the archive over HTTP, read-only.

    Runs until SIGTERM or Ctrl-C. When it is ready it prints one line, listening on http://HOST:PORT/; the access log
    goes to stderr. The limits are in the table [serve] of the configuration.
    """
    shared(ctx).verbose = max(shared(ctx).verbose, 1)  # always show the access log
    config = configuration(ctx, log_format=log_format)
    try:
        for later in IMPORTED_LATER:
            if find_spec(later) is None:
                raise ModuleNotFoundError(name=later)
        from ztfdb.serve.app import Settings
        from ztfdb.serve.limits import load_limits
        from ztfdb.serve.run import Listening
        from ztfdb.serve.run import serve as run
    except ImportError as exc:
        if (exc.name or "").startswith("ztfdb"):
            raise
        raise MissingExtraError("ztfdb serve", "serve") from exc
    if not ROOT_PATH.fullmatch(root_path):
        raise click.UsageError(f"--root-path {root_path}: expected a path such as /ztf")
    for proxy in map(str.strip, proxies.split(",") if proxies else ()):
        if not is_proxy(proxy):
            raise click.UsageError(
                f"--proxies {proxy}: expected addresses such as 127.0.0.1 or 10.0.0.0/8, with commas"
            )
    limits = load_limits(config.serve)
    settings = Settings(config.url, limits, state_folder(state), root_path.rstrip("/"), config.roots, tokens)
    run(
        settings,
        Listening(host, port, workers, public, proxies, config.log_level, config.log_format),
    )


def is_proxy(text: str) -> bool:
    """Whether uvicorn recognizes requests by this word; it takes others, such as names of hosts, and ignores them."""
    if text == "*":
        return True
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


def state_folder(given: str | None) -> Path:
    """Return the folder of a service's jobs: the given one, else the default in the user's state folder."""
    if given is not None:
        return Path(given)
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "ztfdb" / "serve"
