"""``holdpoint doctor``: every hop in order, and the mend of the first that is broken."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from holdpoint.cli.options import config_option

if TYPE_CHECKING:
    from holdpoint.config import Config
    from holdpoint.engine.checkup import Hop
    from holdpoint.store import Store

EXIT_FINDINGS: Final = 1
EXIT_CONFIGURATION: Final = 3
EXIT_UNREACHABLE: Final = 4
EXIT_TRAIL: Final = 5
GATE_TIMEOUT_S: Final = 2.0


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(config_path: Path, as_json: bool) -> None:
    """Check every hop: configuration, store and trail, gate, and each tier's database.

    For a read-only tier it proves that the database itself refuses a write.
    """
    from holdpoint.config import ConfigError, load

    try:
        config = load(config_path)
    except ConfigError as error:
        if as_json:
            problem = {"name": "configuration", "health": "broken", "detail": str(error)}
            click.echo(
                json.dumps({"ok": False, "first_broken": "configuration", "hops": [problem]})
            )
        else:
            click.echo(str(error), err=True)
        sys.exit(EXIT_CONFIGURATION)
    hops = asyncio.run(_all(config, as_json))
    broken = [hop for hop in hops if hop.health.value == "broken"]
    if as_json:
        click.echo(
            json.dumps(
                {
                    "ok": not broken,
                    "first_broken": broken[0].name if broken else None,
                    "hops": [_document(hop) for hop in hops],
                }
            )
        )
    elif broken:
        click.echo(f"\nfirst broken: {broken[0].name}\nmend: {broken[0].mend}")
    else:
        click.echo("\neverything works")
    sys.exit(_exit_code(broken[0]) if broken else 0)


def _exit_code(hop: Hop) -> int:
    if hop.name.startswith(("store", "trail")):
        return EXIT_TRAIL
    return EXIT_UNREACHABLE if hop.unreachable else EXIT_FINDINGS


async def _all(config: Config, as_json: bool) -> list[Hop]:
    hops: list[Hop] = []
    async for hop in _hops(config):
        hops.append(hop)
        if not as_json:
            mark = {"ok": "ok    ", "note": "note  ", "broken": "BROKEN"}[hop.health.value]
            click.echo(f"{mark}  {hop.name:<28} {hop.detail}")
    return hops


async def _hops(config: Config) -> AsyncIterator[Hop]:
    from holdpoint.config import UrlError, resolve_upstream
    from holdpoint.config.urls import exposed
    from holdpoint.engine.checkup import Health, Hop, tier_hops

    count = sum(len(target.tiers) for target in config.targets)
    yield Hop(
        name="configuration",
        health=Health.OK,
        detail=f"{config.file}: targets: {len(config.targets)}, tiers: {count}",
    )
    for advice in config.advice:
        yield Hop(name="configuration", health=Health.NOTE, detail=str(advice))
    for hop in _store(Path(config.server.store)):
        yield hop
    yield _gate(config)
    for target in config.targets:
        for tier in target.tiers:
            for source in (tier.url_source, *tier.more_sources, tier.password_source):
                if words := exposed(source):
                    name = f"{target.name}/{tier.name} secret"
                    yield Hop(name=name, health=Health.NOTE, detail=words)
            for server, where in enumerate((tier.url_source, *tier.more_sources), start=1):
                try:
                    url = resolve_upstream(where, os.environ, password_source=tier.password_source)
                except UrlError as error:
                    yield Hop(
                        name=f"{target.name}/{tier.name} url"
                        + (f" {server}" if server > 1 else ""),
                        health=Health.BROKEN,
                        detail=str(error),
                        mend="give the tier its URL where the configuration says it comes from",
                        unreachable=True,
                    )
                    continue
                async for hop in tier_hops(target, tier, url, server):
                    yield hop


def _store(path: Path) -> list[Hop]:
    """Open the store and verify the trail in it."""
    from holdpoint.engine.checkup import Health, Hop
    from holdpoint.store import Store, StoreError

    if not path.exists():
        mend = "`holdpoint serve` and `holdpoint agent add` create it"
        return [Hop(name="store", health=Health.NOTE, detail=f"{path}: not there yet; {mend}")]
    try:
        with Store.open(path, read_only=True) as store:
            hops = [Hop(name="store", health=Health.OK, detail=str(path))]
            hops.append(_trail(store))
            return hops
    except StoreError as error:
        mend = "restore the file from a backup; nothing runs while the store does not serve"
        return [Hop(name="store", health=Health.BROKEN, detail=str(error), mend=mend)]


def _trail(store: Store) -> Hop:
    """Verify the chain and the signed heads of the trail."""
    from holdpoint.audit.verify import How
    from holdpoint.cli.audit import verify_store
    from holdpoint.engine.checkup import Health, Hop

    report = verify_store(store)
    if report.ok:
        return Hop(name="trail", health=Health.OK, detail=report.summary)
    if all(each.how is How.UNSIGNED for each in report.breaks) and _never_served(store):
        words = "not signed yet: the first `holdpoint serve` makes the key"
        return Hop(name="trail", health=Health.NOTE, detail=words)
    return Hop(
        name="trail",
        health=Health.BROKEN,
        detail=report.summary,
        mend="`holdpoint audit verify` names the record; keep the file as evidence",
    )


def _never_served(store: Store) -> bool:
    """Tell whether no server has used the store: nothing of one is in it or beside it."""
    from holdpoint.store import records as rows

    if any(store.beside(suffix).exists() for suffix in (".key", ".pub", ".heads")):
        return False
    with store.database.reading() as connection:
        if any(True for _ in rows.heads(connection)):
            return False
        return all(record.kind != "trail.opened" for record in rows.walk(connection))


def _gate(config: Config) -> Hop:
    """Ask the gate's port for TLS: whatever it answers, somebody listens."""
    from holdpoint.engine.checkup import Health, Hop

    address = config.server.listen
    try:
        with socket.create_connection(
            (address.host or "127.0.0.1", address.port), timeout=GATE_TIMEOUT_S
        ) as connection:
            connection.sendall(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")
            answer = connection.recv(1)
    except OSError:
        return Hop(name="gate", health=Health.NOTE, detail=f"not running at {address}")
    if answer not in (b"S", b"N"):
        return Hop(
            name="gate",
            health=Health.BROKEN,
            detail=f"something else than Holdpoint listens at {address}",
            mend="free the port, or set another `listen` under [server]",
        )
    tls = "with TLS" if answer == b"S" else "without TLS"
    return Hop(name="gate", health=Health.OK, detail=f"listening at {address} {tls}")


def _document(hop: Hop) -> dict[str, str]:
    return {
        "name": hop.name,
        "health": hop.health.value,
        "detail": hop.detail,
        "mend": hop.mend,
    }
