"""``holdpoint agent``: who may connect to the gate. Works on the store's file.

Only a SCRAM verifier of an agent's secret is kept: a copy of the store lets nobody connect.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import click

from holdpoint.cli.hold import EXIT_REFUSED, fail, visible
from holdpoint.cli.person import on_store, opened, said


@click.group()
def agent() -> None:
    """Agents that may connect to the gate. Needs access to the store's file."""


@agent.command()
@click.argument("name")
@click.option("--owner", required=True, help="The person who answers for it.")
@click.option("--gate", default="GATE_HOST:GATE_PORT", help="Host and port for the printed string.")
@click.option("--target", default="TARGET", help="Target, or target/tier, for the printed string.")
@on_store
def add(name: str, owner: str, gate: str, target: str, store_path: Path, as_json: bool) -> None:
    """Add an agent and print its secret, once.

    The owner must be a person: the gate never lets them answer their own agent's holds.
    """
    from holdpoint.doors.web.credentials import CredentialClass, new_secret
    from holdpoint.wire.postgres.scram import SALT_BYTES, make_verifier

    secret = new_secret(CredentialClass.AGENT, secrets.token_bytes)
    verifier = make_verifier(secret, secrets.token_bytes(SALT_BYTES))
    with opened(store_path) as store:
        known = store.people.find(owner)
        if known is None:
            fail(
                EXIT_REFUSED,
                f"there is no person `{visible(owner)}` to own the agent",
                f"add them first: `holdpoint person add {visible(owner)}`",
            )
        store.agents.add(name, known.name, verifier, datetime.now(UTC))
    string = f"postgresql://{quote(name, safe='')}:{secret}@{gate}/{quote(target, safe='')}"
    said(
        as_json,
        {"name": name, "owner": known.name, "secret": secret, "connection": string},
        f"added {visible(name)}, owned by {visible(known.name)}",
        "",
        f"secret: {secret}",
        f"connect with: {string}",
        "the secret is shown only now; it can connect, and can never answer a hold",
    )


@agent.command("list")
@on_store
def list_agents(store_path: Path, as_json: bool) -> None:
    """List the agents and their owners."""
    with opened(store_path) as store:
        agents = store.agents.all()
    documents = [
        {"name": each.name, "owner": each.owner, "revoked": each.revoked_at is not None}
        for each in agents
    ]
    lines = [
        f"{visible(each.name):<24}  owner {visible(each.owner)}"
        f"{'  revoked' if each.revoked_at else ''}"
        for each in agents
    ]
    said(as_json, {"agents": documents}, *(lines or ["no agents: `holdpoint agent add NAME`"]))


@agent.command()
@click.argument("name")
@on_store
def revoke(name: str, store_path: Path, as_json: bool) -> None:
    """Shut an agent out for good. The name is not used again."""
    with opened(store_path) as store:
        if not store.agents.revoke(name, datetime.now(UTC)):
            fail(EXIT_REFUSED, f"there is no agent `{visible(name)}`")
    said(as_json, {"name": name}, f"revoked {visible(name)}; it cannot connect again")
