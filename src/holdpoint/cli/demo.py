"""``holdpoint demo``: a shop database behind the gate, with an agent and a person if wanted."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from holdpoint.cli.hold import EXIT_REFUSED, EXIT_UNREACHABLE, fail

if TYPE_CHECKING:
    from holdpoint.demo.performance import Performance
    from holdpoint.demo.shop import Shop
    from holdpoint.demo.show import Show
    from holdpoint.demo.stage import Stage

VERIFY_TIMEOUT_S: Final = 60.0


@click.command("demo")
@click.option("--agent", is_flag=True, help="Play an agent that reads, writes and is held.")
@click.option("--auto", is_flag=True, help="Play the agent and the person, check all, and end.")
@click.option("--port", default=0, show_default="a free one", help="The gate's port.")
@click.option("--web-port", default=0, show_default="a free one", help="The review page's port.")
@click.option("--keep", is_flag=True, help="Keep the directory with configuration and trail.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def demo(agent: bool, auto: bool, port: int, web_port: int, keep: bool, as_json: bool) -> None:
    """Start a shop database, the gate and the review page, to try things out."""
    from holdpoint.demo.show import Show

    show = Show(to_stderr=as_json)
    # A kill must clean up like Ctrl-C does: the directory holds secrets.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ExitStack() as stack:
        directory = stack.enter_context(working_directory(keep=keep, say=show.line))
        shop, stage = prepare(stack, directory, port or free_port(), web_port or free_port(), show)
        performance = run(stage, shop, show, agent=agent, auto=auto)
        if performance is None:
            show.line("the demo is over")
            return
        report = check(performance, shop, stage)
    show.report(report["lines"], tuple(report["surprises"]))
    if as_json:
        click.echo(json.dumps({"ok": not report["surprises"], **report}))
    sys.exit(EXIT_REFUSED if report["surprises"] else 0)


def prepare(
    stack: ExitStack, directory: Path, port: int, web_port: int, show: Show
) -> tuple[Shop, Stage]:
    """Start PostgreSQL, make the shop, and set the stage; ``stack`` takes it all down again."""
    from holdpoint.demo.shop import create_shop
    from holdpoint.demo.stage import set_stage
    from holdpoint.embedded import EmbeddedError, EmbeddedPostgres, EmbeddedReplica

    show.line("preparing PostgreSQL, the shop and the gate; this takes up to half a minute")
    show.step("PostgreSQL")
    try:
        server = stack.enter_context(EmbeddedPostgres())
    except EmbeddedError as error:
        fail(EXIT_UNREACHABLE, str(error))
    shop = create_shop(server.url(), show.step)
    show.step("a replica")
    try:
        replica = stack.enter_context(EmbeddedReplica(server))
    except EmbeddedError as error:
        fail(EXIT_UNREACHABLE, str(error))
    shop = shop.read_from(replica.url())
    return shop, set_stage(directory, shop, postgres_port=port, web_port=web_port)


def run(stage: Stage, shop: Shop, show: Show, *, agent: bool, auto: bool) -> Performance | None:
    """Run the gate until the play or the user ends it; None when the user did."""
    import httpx2
    import psycopg
    import uvloop

    from holdpoint.demo.performance import GateFailed, perform

    try:
        return uvloop.run(perform(stage, shop, serve, show, agent=agent, auto=auto))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return None
    except (GateFailed, httpx2.HTTPError, psycopg.Error) as error:
        fail(EXIT_UNREACHABLE, f"the demo broke off: {error}")


async def serve(stage: Stage, ready: Callable[[], None]) -> None:
    """Run the gate of a stage: the one place where the demo meets ``app``."""
    from holdpoint import app, config

    async with app.running(config.load(stage.configuration), stage.store):
        ready()
        await asyncio.Event().wait()


def check(performance: Performance, shop: Shop, stage: Stage) -> dict[str, Any]:
    """The report: what was played and answered, and everything that was not as promised."""
    from holdpoint.demo.performance import surprises

    found = list(surprises(performance, shop))
    if broken := verify_trail(stage):
        found.append(f"the trail does not verify: {broken}")
    acts = [
        {"name": played.act.name, "ending": played.ending.value, "rows": played.rows}
        for played in performance.played
    ]
    lines = [f"{act['name']:<16} {act['ending']}" for act in acts]
    return {"acts": acts, "lines": lines, "surprises": found}


def verify_trail(stage: Stage) -> str:
    """What ``holdpoint audit verify`` says to the stage's trail; empty when it says ok."""
    command = [sys.executable, "-m", "holdpoint", "audit", "verify", "--store", str(stage.store)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=VERIFY_TIMEOUT_S)  # noqa: S603 - our own words
    return "" if done.returncode == 0 else (done.stderr or done.stdout).strip()


@contextmanager
def working_directory(*, keep: bool, say: Callable[[str], None]) -> Iterator[Path]:
    """A private directory for configuration, store and secrets; removed unless ``keep``."""
    directory = Path(tempfile.mkdtemp(prefix="holdpoint-demo-"))
    try:
        yield directory
    finally:
        if keep:
            say(f"kept: {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)


def free_port() -> int:
    """A TCP port on this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
