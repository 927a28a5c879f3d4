"""``holdpoint access apply``: a plan sent through the gate, where people approve it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from holdpoint.cli.access_plan import (
    EXIT_CONFIGURATION,
    adopt_option,
    document,
    load_config,
    mend_option,
    plan_of,
    print_plan,
    print_steps,
    target_of,
    tier_option,
)
from holdpoint.cli.hold import EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_USAGE, fail, visible
from holdpoint.cli.options import config_option

if TYPE_CHECKING:
    import psycopg

    from holdpoint.access.plan.apply import Applied, Notice
    from holdpoint.access.plan.plan import Plan
    from holdpoint.config import Config
    from holdpoint.model.target import Target

SECRET_VARIABLE: Final = "HOLDPOINT_SECRET"  # noqa: S105 - its name
_ANY_ADDRESS: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared, not bound

WORDS: Final = {
    "done": "done, in one transaction",
    "held": "held; nothing was done yet: run the same command again when it is approved",
    "rejected": "rejected; nothing was done",
    "expired": "not answered in time, or already used; nothing was done: run it again to ask anew",
    "superseded": "the facts have changed since it was approved; nothing was done: run it again "
    "to ask anew",
    "refused": "refused; nothing was done",
    "stale": "the database has changed since the plan was made; nothing was done: run it again "
    "for a new plan",
    "failed": "a statement failed; everything was rolled back, nothing was done",
    "cancelled": "cancelled; nothing was done",
    "lost": "the connection to the gate was lost; it is one transaction, so all of it was done or "
    "nothing: `holdpoint access plan` tells which",
}


@click.command(
    "apply",
    epilog="Exit codes: 0 done or nothing to do, 1 held, refused or failed, 2 usage, "
    "3 configuration, 4 unreachable.",
)
@click.argument("target", default="")
@click.option(
    "--agent",
    envvar="HOLDPOINT_AGENT",
    required=True,
    help="The agent to ask as [HOLDPOINT_AGENT]; its secret is in HOLDPOINT_SECRET.",
)
@tier_option
@click.option(
    "--through", default="", metavar="TIER", help="The tier to send it into; the owner's if empty."
)
@click.option("--gate", "gate_address", default="", help="Host and port of the gate.")
@mend_option
@adopt_option
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def apply_command(
    target: str,
    agent: str,
    tiers: tuple[str, ...],
    through: str,
    gate_address: str,
    mend: bool,
    adopt: bool,
    config_path: Path,
    as_json: bool,
) -> None:
    """Bring roles and grants to the configuration, in one transaction through the gate.

    The gate holds it, people see every statement, and their approval is for exactly these. Nothing
    is done before, and nothing by half.
    """
    from holdpoint.access.plan.apply import Result

    config = load_config(config_path)
    place = target_of(config, target)
    secret = os.environ.get(SECRET_VARIABLE, "")
    if not secret:
        fail(EXIT_USAGE, f"`{SECRET_VARIABLE}` is not set", "set it to the agent's secret")
    path = _path(place, through)
    address = _address(config, gate_address)
    plan = plan_of(config, place, tiers, mend=mend, adopt=adopt)
    if plan.problems or not plan.steps:
        _nothing_to_send(plan, config, as_json)
    if not as_json:
        print_steps(plan)
        click.echo("")
    with _gate(address, config, path, agent, secret) as connection:
        _check(plan, connection, path)
        applied = _send(plan, connection, as_json)
    left = None
    if applied.result is Result.DONE:
        left = plan_of(config, place, tiers, mend=mend, adopt=adopt)
    _tell(plan, applied, left, config, as_json)


def _nothing_to_send(plan: Plan, config: Config, as_json: bool) -> NoReturn:
    result = "nothing" if plan.settled else "blocked"
    if as_json:
        click.echo(json.dumps({"result": result, "plan": document(plan)}))
    else:
        print_plan(plan, config)
    raise SystemExit(0 if plan.settled else EXIT_REFUSED)


def _path(target: Target, through: str) -> str:
    """The tier to send it into, as ``target/tier``."""
    from holdpoint.model.target import AccessLevel

    if through:
        tier = target.tier(through)
        if tier is None:
            fail(EXIT_USAGE, f"target `{target.name}` has no tier `{visible(through)}`")
    else:
        owners = [each for each in target.tiers if each.access is AccessLevel.OWNER]
        if not owners:
            fail(
                EXIT_CONFIGURATION,
                f"target `{target.name}` has no tier with access `owner` to send it through",
                'add one whose URL is `admin_url`, for this alone: `access = "owner"` and `agents`',
            )
        tier = owners[0]
    return f"{target.name}/{tier.name}"


def _address(config: Config, text: str) -> tuple[str, int]:
    """Where the gate is: as asked, or where the configuration has it listen."""
    if text:
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdecimal() or not 0 < int(port) < 65536:
            fail(EXIT_USAGE, f"`{visible(text)}` is no address like `127.0.0.1:6543`")
        return host.strip("[]") or "127.0.0.1", int(port)
    listen = config.server.listen
    if not listen.port:
        fail(EXIT_USAGE, "the gate listens on a port that the system chose", "name it: `--gate`")
    return "127.0.0.1" if listen.host in _ANY_ADDRESS else listen.host, listen.port


def _gate(
    address: tuple[str, int], config: Config, path: str, agent: str, secret: str
) -> psycopg.Connection[tuple[Any, ...]]:
    """Connect to the gate as an agent, or end with words."""
    import psycopg

    from holdpoint.config import TlsMode
    from holdpoint.model.limits import STARTUP_TIMEOUT_S

    try:
        return psycopg.connect(
            host=address[0],
            port=address[1],
            user=agent,
            password=secret,
            dbname=path,
            sslmode="require" if config.server.tls is TlsMode.REQUIRE else "prefer",
            connect_timeout=int(STARTUP_TIMEOUT_S),
            application_name="holdpoint access apply",
            autocommit=True,
        )
    except psycopg.Error as error:
        words = visible(" ".join(str(error).split()))
        fail(
            EXIT_UNREACHABLE,
            f"the gate at {address[0]}:{address[1]} does not let `{visible(agent)}` into "
            f"`{path}`: {words}",
            "is `holdpoint serve` running, and may the agent use that tier?",
        )


def _check(plan: Plan, connection: psycopg.Connection[tuple[Any, ...]], path: str) -> None:
    """Stop unless the gate leads to the role and the server that the plan was made with."""
    import psycopg

    from holdpoint.access.plan.apply import too_large, where

    too_much = too_large(plan.steps, plan.sql)
    if too_much:
        fail(EXIT_REFUSED, f"the plan has {too_much}", "apply it tier by tier: `--tier`")
    try:
        role, database, started = where(connection)
    except psycopg.Error as error:
        words = visible(" ".join(str(error).split()))
        fail(EXIT_REFUSED, f"`{path}` cannot be asked where it leads: {words}")
    if (role, database, started) != (plan.admin, plan.database, plan.server):
        same = "another server" if (role, database) == (plan.admin, plan.database) else ""
        there = same or f"`{visible(role)}` in `{visible(database)}`"
        fail(
            EXIT_CONFIGURATION,
            f"tier `{path}` leads to {there}, and the plan was made as `{plan.admin}` in "
            f"`{plan.database}`: whose statements these are decides what they do",
            "give that tier the URL of `admin_url`",
        )


def _send(plan: Plan, connection: psycopg.Connection[tuple[Any, ...]], as_json: bool) -> Applied:
    """Send it, and show that it waits."""
    from holdpoint.access.plan.apply import send

    shows = not as_json and sys.stderr.isatty()
    held = False

    def told(notice: Notice) -> None:
        nonlocal held
        held = held or notice.held
        for line in (notice.message, notice.detail, notice.hint):
            if line:
                click.echo(visible(line), err=True)

    def tick(seconds: float) -> None:
        if shows:
            click.echo(
                f"\r{'waiting for a person' if held else 'running'}: {seconds:.0f} s",
                nl=False,
                err=True,
            )

    applied = send(connection, plan.sql, plan.steps, told=told, tick=tick)
    if shows:
        click.echo("\r\033[K", nl=False, err=True)
    return applied


def _tell(
    plan: Plan, applied: Applied, left: Plan | None, config: Config, as_json: bool
) -> NoReturn:
    """Say how it ended, and what is left."""
    result = applied.result.value
    settled = left is not None and left.settled
    if as_json:
        click.echo(
            json.dumps(
                {
                    "result": result,
                    "message": applied.message,
                    "detail": applied.detail,
                    "hint": applied.hint,
                    "failed": applied.failed.shown if applied.failed else None,
                    "plan": document(plan),
                    "left": document(left) if left is not None else None,
                }
            )
        )
        raise SystemExit(0 if settled else EXIT_REFUSED)
    if applied.failed is not None:
        click.echo(f"failed: {visible(applied.failed.shown)}", err=True)
    for name in ("message", "detail", "hint"):
        line: str = getattr(applied, name)
        if line:
            click.echo(f"{'' if name == 'message' else name + ': '}{visible(line)}", err=True)
    click.echo(WORDS[result], err=left is None)
    if left is not None:
        print_plan(left, config)
    raise SystemExit(0 if settled else EXIT_REFUSED)
