"""``holdpoint serve``: the gate and the review page, until it is told to stop."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from holdpoint.cli.options import config_option

if TYPE_CHECKING:
    from holdpoint.app import Running
    from holdpoint.config import Config

EXIT_CONFIGURATION = 3
EXIT_UNREACHABLE = 4
EXIT_TRAIL = 5


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print the addresses and the log as JSON.")
def serve(config_path: Path, as_json: bool) -> None:
    """Start the gate and the review page; Ctrl-C stops them."""
    import uvloop

    from holdpoint import app
    from holdpoint.config import ConfigError, load
    from holdpoint.engine.recorder import TrailUnavailable
    from holdpoint.store import StoreError

    _configure_log(as_json)
    try:
        config = load(config_path)
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_CONFIGURATION)
    try:
        uvloop.run(app.serve(config, ready=lambda gate: _say(gate, config, as_json)))
    except OSError as error:
        click.echo(f"error: cannot start: {error}", err=True)
        sys.exit(EXIT_UNREACHABLE)
    except (StoreError, TrailUnavailable) as error:
        click.echo(f"error: the trail cannot be used: {error}", err=True)
        click.echo("\nhint: `holdpoint doctor` checks every part", err=True)
        sys.exit(EXIT_TRAIL)


def _say(gate: Running, config: Config, as_json: bool) -> None:
    """Print where everything is, in the order in which it is needed."""
    targets = [f"{target.name}/{tier.name}" for target in config.targets for tier in target.tiers]
    if as_json:
        address = {"host": gate.host, "port": gate.port, "web": gate.web_url}
        click.echo(json.dumps({**address, "targets": targets, "public_key": gate.public_key}))
        return
    first = config.targets[0].name if config.targets else "TARGET"
    host = gate.host or "127.0.0.1"
    click.echo(f"Gate       postgresql://AGENT@{host}:{gate.port}/{first}")
    click.echo(f"Approvals  {gate.web_url}/")
    click.echo(f"Trail      {config.server.store}   check it with `holdpoint audit verify`")
    click.echo(f"Targets    {', '.join(targets)}")
    for advice in config.advice:
        click.echo(f"Advice     {advice.message}")
    click.echo("Waiting for the first statement. `holdpoint agent add NAME` makes a login.")


def _configure_log(as_json: bool) -> None:
    """Log to standard error, warnings and worse; data stays on standard output."""
    import structlog

    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    # Plain tracebacks: the ones with local variables would put secrets into the log.
    plain = structlog.dev.plain_traceback
    renderer = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(exception_formatter=plain)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
