"""``holdpoint agent``: who may connect to the gate. Works on the store's file.

Only a SCRAM verifier of an agent's secret is kept: a copy of the store lets nobody connect. Each
change is a record of the trail, whether a server runs or not.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from holdpoint.cli import credentials
from holdpoint.cli.hold import EXIT_REFUSED, fail, visible
from holdpoint.cli.person import on_store, opened, said
from holdpoint.model.limits import DURATION_MAX_S

if TYPE_CHECKING:
    from sqlalchemy import Connection

_EXPIRES = click.option("--expires", default="", help="End the secret after this time: `30d`.")


@click.group()
def agent() -> None:
    """Agents that may connect to the gate. Needs access to the store's file."""


def _until(expires: str, now: datetime) -> datetime | None:
    """When a new secret ends; None for never."""
    if not expires:
        return None
    return now + timedelta(seconds=credentials.seconds(expires, DURATION_MAX_S, "--expires"))


def _expiry_body(until: datetime | None) -> dict[str, Any]:
    from holdpoint.store.times import to_us

    return {} if until is None else {"expires_at_us": to_us(until)}


def _last_words(until: datetime | None) -> str:
    limit = f"; it ends at {until:%Y-%m-%d %H:%M} UTC" if until else ""
    return f"the secret is shown only now{limit}; it can connect, and can never answer a hold"


def _document(until: datetime | None) -> dict[str, str]:
    return {} if until is None else {"expires_at": until.isoformat(timespec="seconds")}


@agent.command()
@click.argument("name")
@click.option("--owner", required=True, help="The person who answers for it.")
@_EXPIRES
@click.option("--gate", default=None, help="Host and port for the printed string.")
@click.option("--target", default="TARGET", help="Target, or target/tier, for the printed string.")
@on_store
def add(
    name: str,
    owner: str,
    expires: str,
    gate: str | None,
    target: str,
    store_path: Path,
    as_json: bool,
) -> None:
    """Add an agent and print its secret, once.

    The owner must be a person: the gate never lets them answer their own agent's holds.
    """
    from holdpoint.engine.journal import change
    from holdpoint.model.record import RecordKind
    from holdpoint.store import agents

    now = datetime.now(UTC)
    until, issued = _until(expires, now), credentials.issue()
    with opened(store_path) as store:
        known = store.people.find(owner)
        if known is None:
            fail(
                EXIT_REFUSED,
                f"there is no person `{visible(owner)}` to own the agent",
                f"add them first: `holdpoint person add {visible(owner)}`",
            )
        person = known.name

        def work(connection: Connection) -> dict[str, Any]:
            agents.add(connection, name, person, issued.verifier, now, until)
            return {"agent": name, "owner": person, **_expiry_body(until)}

        change(store, RecordKind.AGENT_ADDED, work)
    place = gate or credentials.gate_place()
    string = credentials.connection_string(name, issued.secret, place, target)
    said(
        as_json,
        {
            "name": name,
            "owner": person,
            "secret": issued.secret,
            "connection": string,
            **_document(until),
        },
        f"added {visible(name)}, owned by {visible(person)}",
        "",
        f"secret: {issued.secret}",
        f"connect with: {string}",
        _last_words(until),
    )


@agent.command("list")
@on_store
def list_agents(store_path: Path, as_json: bool) -> None:
    """List the agents, their owners, and when their secrets end."""
    from holdpoint.store.credentials import expiry_of

    with opened(store_path) as store:
        agents = store.agents.all()
        with store.database.reading() as connection:
            ends = {each.name: expiry_of(connection, each.name) for each in agents}
    documents = [
        {
            "name": each.name,
            "owner": each.owner,
            "revoked": each.revoked_at is not None,
            **_document(ends[each.name]),
        }
        for each in agents
    ]
    lines = [
        f"{visible(each.name):<24}  owner {visible(each.owner)}"
        f"{f'  until {until:%Y-%m-%d %H:%M} UTC' if (until := ends[each.name]) else ''}"
        f"{'  revoked' if each.revoked_at else ''}"
        for each in agents
    ]
    said(as_json, {"agents": documents}, *(lines or ["no agents: `holdpoint agent add NAME`"]))


@agent.command()
@click.argument("name")
@_EXPIRES
@on_store
def rotate(name: str, expires: str, store_path: Path, as_json: bool) -> None:
    """Give an agent a new secret and print it, once.

    The old one is dead at once, and a running server ends the sessions that came in by it.
    """
    from holdpoint.engine.journal import change
    from holdpoint.model.record import RecordKind
    from holdpoint.store import StoreError, agents

    now = datetime.now(UTC)
    until, issued = _until(expires, now), credentials.issue()

    def work(connection: Connection) -> dict[str, Any]:
        if not agents.rotate(connection, name, issued.verifier, now, until):
            raise StoreError(f"there is no agent `{visible(name)}`")
        return {"agent": name, **_expiry_body(until)}

    with opened(store_path) as store:
        change(store, RecordKind.CREDENTIAL_ROTATED, work)
    said(
        as_json,
        {"name": name, "secret": issued.secret, **_document(until)},
        f"{visible(name)} has a new secret; the old one is dead, its sessions end",
        "",
        f"secret: {issued.secret}",
        _last_words(until),
    )


@agent.command()
@click.argument("name")
@on_store
def revoke(name: str, store_path: Path, as_json: bool) -> None:
    """Shut an agent out for good, with its tasks. The name is not used again.

    A running server ends its sessions within a few seconds.
    """
    from holdpoint.engine.journal import change
    from holdpoint.model.record import RecordKind
    from holdpoint.store import StoreError, agents

    def work(connection: Connection) -> dict[str, Any]:
        if not agents.revoke(connection, name, datetime.now(UTC)):
            raise StoreError(f"there is no agent `{visible(name)}`")
        return {"agent": name}

    with opened(store_path) as store:
        change(store, RecordKind.AGENT_REVOKED, work)
    said(
        as_json,
        {"name": name},
        f"revoked {visible(name)}; it cannot connect again, its sessions and tasks end",
    )
