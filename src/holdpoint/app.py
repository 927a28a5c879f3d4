"""The composition root: the only place that wires the rooms together."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import structlog
import uvicorn

from holdpoint import __version__
from holdpoint.access.minting import MintedRoles
from holdpoint.config import Config, TlsMode, resolve_upstream
from holdpoint.doors.postgres.door import PostgresDoor
from holdpoint.doors.postgres.handshake import Gatekeeper, Tls
from holdpoint.doors.postgres.revoking import Revoking
from holdpoint.doors.postgres.shares import Shares
from holdpoint.doors.web.agent_api import AgentDoor
from holdpoint.doors.web.app import close_streams, create_web
from holdpoint.doors.web.door import WebSettings
from holdpoint.engine.catalog_keeper import CatalogKeeper
from holdpoint.engine.driver import Engine
from holdpoint.engine.holds import HoldBook
from holdpoint.engine.probes import DatabaseProber
from holdpoint.engine.recorder import Recorder
from holdpoint.engine.replicas import ReplicaSets
from holdpoint.engine.requests import RequestDesk
from holdpoint.engine.secrets_command import SecretCommands
from holdpoint.engine.standing import TargetStanding, TierStanding
from holdpoint.engine.upstreams import AGENT, OwnRoles
from holdpoint.model import limits
from holdpoint.model.target import AccessLevel, Target, Tier
from holdpoint.model.task import Barred, Login
from holdpoint.model.upstream import UpstreamUrl
from holdpoint.policy.budgets import budget_for
from holdpoint.policy.tier_words import budget_words, who_words
from holdpoint.sql.names import Catalog
from holdpoint.store import Store
from holdpoint.wire.postgres.scram import server_end_point

log = structlog.get_logger(__name__)

MOCK_PURPOSE: Final = "verifiers of names that nobody has"
M_ARENA_MAX: Final = -8  # glibc, malloc.h
_COMMANDS: Final = SecretCommands(os.environ)  # what secret managers have just answered
GC_ALLOCATIONS: Final = 100_000  # measured: 100 kB of SQL take a fifth less than with 50,000


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A gate that is up: where agents connect, where people look, which key signs the trail."""

    host: str
    port: int
    web_url: str
    public_key: str
    door: PostgresDoor
    recorder: Recorder
    replicas: ReplicaSets


def _now() -> datetime:
    return datetime.now(UTC)


def url_of(tier: Tier, source: str = "") -> UpstreamUrl:
    """Resolve a URL of a tier now, so that a secret can change without a restart.

    It may wait for a command: call it off the event loop (``engine.secrets_command.apart``).
    """
    source = source or tier.url_source
    return resolve_upstream(source, os.environ, _COMMANDS, tier.password_source)


def look_url_of(tier: Tier, source: str) -> UpstreamUrl:
    """Resolve a URL of a tier with the role that asks questions, if it has one."""
    url = url_of(tier, source)
    if not tier.probe_source:
        return url
    role = resolve_upstream(tier.probe_source, os.environ, _COMMANDS)
    return replace(url, user=role.user, password=role.password)


def probe_url_of(replicas: ReplicaSets, target: Target, tier: Tier) -> UpstreamUrl:
    """Resolve the URL that probes of a tier use: their own, or that of a server that works."""
    if tier.probe_source and not tier.more_sources:
        return resolve_upstream(tier.probe_source, os.environ, _COMMANDS)
    return look_url_of(tier, replicas.source_now(target, tier))


def catalog_url_of(replicas: ReplicaSets, target: Target, tier: Tier) -> UpstreamUrl:
    """Resolve the URL of whoever looks at a tier's catalog.

    Where each agent has a role of its own there is none that stands for the tier: the role that
    asks questions looks then.
    """
    url = replicas.url_now(target, tier)
    return probe_url_of(replicas, target, tier) if AGENT in url.user else url


def replica_of(target: Target) -> Tier | None:
    """The tier of a target where rows are counted first: its first read-only one."""
    return next((tier for tier in target.tiers if tier.access is AccessLevel.READ_ONLY), None)


@asynccontextmanager
async def running(config: Config, store_path: Path | None = None) -> AsyncIterator[Running]:
    """Run the gate and the review page until the block ends.

    Raises ``StoreError`` and ``TrailUnavailable`` when store or trail do not serve, ``OSError``
    when an address cannot be listened on.
    """
    with Store.open(store_path or Path(config.server.store)) as store:
        recorder = Recorder(store)
        await recorder.start({"version": __version__, "policy": config.policy.digest})
        try:
            book = HoldBook(store, recorder, _now)
            replicas = ReplicaSets(url_of, look_url_of)
            standing = _Standing(config, replicas)
            agents = _agent_door(config, store, recorder, book)
            expiry = asyncio.create_task(book.run_expiry())
            try:
                async with (
                    _web(config, store, book, standing, agents),
                    _postgres(config, store, recorder, book, replicas) as (
                        door,
                        port,
                    ),
                ):
                    standing.door = door
                    agents.desk.gate = _gate_place(config, port)
                    yield Running(
                        host=config.server.listen.host,
                        port=port,
                        web_url=config.server.web_url,
                        public_key=recorder.public_key,
                        door=door,
                        recorder=recorder,
                        replicas=replicas,
                    )
            finally:
                expiry.cancel()
        finally:
            await recorder.close()


async def serve(
    config: Config, store_path: Path | None = None, *, ready: Callable[[Running], None]
) -> None:
    """Run until SIGINT or SIGTERM; ``ready`` is called once both doors are open."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError, ValueError):  # not on the main thread: the caller stops
            loop.add_signal_handler(number, stop.set)
    async with running(config, store_path) as gate:
        _settle_memory()
        ready(gate)
        await stop.wait()


def _settle_memory() -> None:
    """Keep the garbage collector from looking at what never goes away.

    Syntax trees are many small dictionaries without cycles: with the usual threshold of 700 a
    collection runs every few statements, and every tenth one visits whatever has survived.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 20, 50)
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):  # few threads share few heaps (glibc; nothing elsewhere)
        library.mallopt(M_ARENA_MAX, 2)
    _give_back()


def _give_back() -> None:
    """Give the system what reading a configuration or a catalog took (glibc; nothing elsewhere).

    Measured: 6 to 10 MB less resident memory.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)


@asynccontextmanager
async def _postgres(
    config: Config, store: Store, recorder: Recorder, book: HoldBook, replicas: ReplicaSets
) -> AsyncIterator[tuple[PostgresDoor, int]]:
    engine = Engine(
        config.policy,
        recorder,
        book,
        _now,
        f"{config.server.web_url}/h/",
        config.holds.wait_s,
    )
    keeper = Gatekeeper(
        targets={target.name: target for target in config.targets},
        login=lambda name: _login(store, name),
        clock=_now,
        mock_secret=recorder.secret_for(MOCK_PURPOSE),
        tls=client_tls(config),
    )
    probers: dict[tuple[str, str], DatabaseProber] = {}

    by_name = {target.name: target for target in config.targets}

    def prober_of(target: str, tier: Tier) -> DatabaseProber:
        prober = probers.get((target, tier.name))
        if prober is None:
            exact_s, replica = by_name[target].exact_rows_s, replica_of(by_name[target])
            counter = None
            if exact_s is not None and replica is not None and replica.name != tier.name:
                counter = prober_of(target, replica)
            prober = DatabaseProber(
                lambda: probe_url_of(replicas, by_name[target], tier),
                exact_s=exact_s,
                counter=counter,
                settings=tier.settings,
                source_of=partial(replicas.source_now, by_name[target], tier),
            )
            probers[target, tier.name] = prober
        return prober

    catalogs: dict[tuple[str, str], CatalogKeeper] = {}

    def catalogs_of(target: str, tier: Tier) -> CatalogKeeper:
        found = catalogs.get((target, tier.name))
        if found is None:
            url_now = partial(catalog_url_of, replicas, by_name[target], tier)
            source_now = partial(replicas.source_now, by_name[target], tier)
            found = CatalogKeeper(url_now, settings=tier.settings, source_of=source_now)
            catalogs[target, tier.name] = found
            found.subscribe(_set_apart)
        return found

    shares = Shares(
        lambda target, tier, login: budget_for(config.budgets, tier, login, target),
        store.rows_written,
    )
    roles = MintedRoles(OwnRoles(replicas), _mint_url_of, recorder.public_key)
    door = PostgresDoor(engine, keeper, roles, prober_of, catalogs_of, shares)
    revoking = Revoking(door, store.credentials.standing, _now)
    door.watch(revoking.check)
    port = await door.listen(config.server.listen.host, config.server.listen.port)
    try:
        async with _open(door, roles, config.targets):
            yield door, port
    finally:
        await revoking.close()
        for prober in probers.values():
            await prober.close()
        for each in catalogs.values():
            await each.close()
        await replicas.close()


@asynccontextmanager
async def _open(
    door: PostgresDoor, roles: MintedRoles, targets: tuple[Target, ...]
) -> AsyncIterator[None]:
    """Close the door when the block ends, and drop the roles that its sessions had."""
    sweeping = asyncio.create_task(roles.run(targets))
    try:
        yield
    finally:
        await door.close()
        sweeping.cancel()
        await roles.close()


def _mint_url_of(tier: Tier) -> UpstreamUrl:
    """Resolve the URL of the role that makes a tier's roles."""
    assert tier.mint is not None, "only tiers with a mint are asked for"
    return resolve_upstream(tier.mint.url_source, os.environ, _COMMANDS)


def _set_apart(_: Catalog) -> None:
    """Keep the collector off a new picture: up to a million objects without a cycle among them."""
    gc.collect(1)
    gc.freeze()
    _give_back()


async def _login(store: Store, name: str) -> Login | Barred:
    """Return who signs in by that name: an agent, or one of its tasks. A slow disk stops no one."""
    return (await asyncio.to_thread(store.credentials.standing, [name], _now()))[name]


def _owner(store: Store, name: str) -> str:
    agent = store.agents.find(name)
    return agent.owner if agent is not None else ""


def client_tls(config: Config) -> Tls | None:
    """The gate's TLS for clients, or None when it is off."""
    server = config.server
    if server.tls is TlsMode.OFF:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(server.tls_cert, server.tls_key)
    pem = Path(server.tls_cert).read_text(encoding="ascii")
    first = pem[: pem.index("-----END CERTIFICATE-----")] + "-----END CERTIFICATE-----\n"
    certificate = ssl.PEM_cert_to_DER_cert(first[first.index("-----BEGIN CERTIFICATE-----") :])
    return Tls(
        context=context,
        end_point=server_end_point(certificate),
        required=server.tls is TlsMode.REQUIRE,
    )


@asynccontextmanager
async def _web(
    config: Config, store: Store, book: HoldBook, standing: _Standing, agents: AgentDoor
) -> AsyncIterator[None]:
    server = config.server
    web = create_web(
        book=book,
        people=store.people,
        groups=config.groups,
        clock=_now,
        settings=WebSettings(base_url=server.web_url, hosts=frozenset({server.web.host} - {""})),
        trail=store.records,
        owner_of=lambda name: _owner(store, name),
        standing=standing,
        task_of=store.tasks.get,
        agents=agents,
    )
    uses_tls = server.tls is not TlsMode.OFF
    settings = uvicorn.Config(
        web,
        host=server.web.host or "0.0.0.0",  # noqa: S104 - an empty host means every address
        port=server.web.port,
        log_config=None,
        # Whoever sends X-Forwarded-For must not choose the address that sign-in limits count by.
        proxy_headers=False,
        limit_concurrency=limits.WEB_CONNECTIONS_MAX,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(limits.SHUTDOWN_GRACE_S),
        ssl_certfile=server.tls_cert if uses_tls else None,
        ssl_keyfile=server.tls_key if uses_tls else None,
    )
    pages = _Pages(settings)
    task = asyncio.create_task(pages.serve())
    try:
        await _until_started(pages, task)
        yield
    finally:
        close_streams(web)
        pages.should_exit = True
        await task


def _agent_door(config: Config, store: Store, recorder: Recorder, book: HoldBook) -> AgentDoor:
    """Where agents ask for tiers."""
    targets = {target.name: target for target in config.targets}
    return AgentDoor(
        desk=RequestDesk(book, config.policy, targets, _now),
        recorder=recorder,
        credentials=store.credentials,
        mock_secret=recorder.secret_for(MOCK_PURPOSE),
        clock=_now,
        page=f"{config.server.web_url}/h/",
    )


def _gate_place(config: Config, port: int) -> str:
    """Where agents connect: the address that is listened on, or the name of the review page."""
    host = config.server.listen.host
    if host in ("", "0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = urlsplit(config.server.web_url).hostname or "GATE_HOST"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Standing:
    """Tells how the targets stand; without a door nobody is in."""

    def __init__(self, config: Config, replicas: ReplicaSets) -> None:
        self._config = config
        self._replicas = replicas
        self.door: PostgresDoor | None = None

    def __call__(self) -> list[TargetStanding]:
        """Return every target with its tiers, servers and open sessions."""
        return [
            TargetStanding(
                name=target.name,
                environment=target.environment,
                tiers=tuple(self._tier(target, tier) for tier in target.by_access()),
            )
            for target in self._config.targets
        ]

    def _tier(self, target: Target, tier: Tier) -> TierStanding:
        door = self.door
        return TierStanding(
            name=tier.name,
            access=tier.access.value,
            who=who_words(target, tier),
            budget=budget_words(tier.budget),
            servers=self._replicas.standing(target, tier),
            sessions=door.sessions_of(target.name, tier.name) if door is not None else (),
        )


class _Pages(uvicorn.Server):
    """The review page's server; signals are the gate's business."""

    def install_signal_handlers(self) -> None:
        """Leave them alone."""


async def _until_started(pages: uvicorn.Server, task: asyncio.Task[None]) -> None:
    while not pages.started:
        if task.done():
            await task
            raise OSError("the review page did not start")
        await asyncio.sleep(0.01)
