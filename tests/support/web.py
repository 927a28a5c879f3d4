"""A real review server: store, trail, hold book and web door, served on a free port."""

import asyncio
import json
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from argon2 import PasswordHasher
from starlette.applications import Starlette

from holdpoint.doors.web.agent_api import AgentDoor
from holdpoint.doors.web.app import close_streams, create_web
from holdpoint.doors.web.credentials import (
    CredentialClass,
    fingerprint,
    hash_password,
    new_secret,
)
from holdpoint.doors.web.door import WebSettings
from holdpoint.engine.holds import HoldBook
from holdpoint.engine.recorder import Recorder
from holdpoint.engine.standing import TargetStanding
from holdpoint.model.decision import ApprovalNeed
from holdpoint.model.finding import Finding
from holdpoint.model.hold import Hold, HoldState
from holdpoint.store import Store

PASSWORD = "correct horse battery"
VERIFIER = "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2Fs$" + "A" * 43 + "=:" + "A" * 43 + "="


@dataclass
class Review:
    """Everything behind the pages, and ways to make holds and people."""

    store: Store
    recorder: Recorder
    book: HoldBook
    web: Starlette
    url: str
    ahead: timedelta = timedelta()
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """The server's host and port."""
        return self.url.partition("://")[2]

    def now(self) -> datetime:
        """The clock of the server; tests turn it with ``ahead``."""
        return datetime.now(UTC) + self.ahead

    def person(self, name: str) -> str:
        """Add a person with ``PASSWORD``; their token."""
        token = new_secret(CredentialClass.PERSON, secrets.token_bytes)
        self.store.people.add(
            name,
            self.now(),
            password_hash=_HASHES.get(name, _CHEAP),
            token_sha256=fingerprint(token),
        )
        return token

    def link(self, name: str) -> str:
        """A sign-in link's path."""
        token = new_secret(CredentialClass.SIGN_IN_LINK, secrets.token_bytes)
        self.store.people.add_link(fingerprint(token), name, self.now() + timedelta(minutes=15))
        return f"/sign-in/{token}"

    async def hold(
        self,
        sql: str = "DELETE FROM orders",
        *,
        agent: str = "bot",
        task: str = "tidy up",
        need: ApprovalNeed | None = None,
        **case: Any,
    ) -> Hold:
        """Open a hold as the gate does."""
        now = self.now()
        document = {
            "agent": agent,
            "peer": "10.0.0.7:5000",
            "environment": "production",
            "access": "read-write",
            "role": "app",
            "text": sql,
            "parameters": None,
            "statements": [],
            "effects": ["bulk_write"],
            "impact": {"rows": {"value": 48211, "basis": "estimate", "why": ""}},
            "rules": ["bulk-change"],
            "row_bound": 60264,
            **case,
        }
        return await self.book.open(
            Hold(
                id="",
                digest=secrets.token_hex(32),
                agent=agent,
                task=task,
                session="s-1",
                target="shop",
                tier="write",
                summary="DELETE on `orders` affects 48,211 rows",
                case_json=json.dumps(document),
                findings=(Finding(code="HP2204", message="`DELETE` changes 48,211 rows"),),
                need=need or ApprovalNeed(),
                state=HoldState.OPEN,
                created_at=now,
                expires_at=now + timedelta(minutes=30),
            )
        )

    def client(self, **options: Any) -> httpx2.AsyncClient:
        """A browser without cookies yet; it says where its forms come from, as browsers do."""
        options.setdefault("timeout", 30.0)  # busy machines are slow, not broken
        return httpx2.AsyncClient(base_url=self.url, headers={"origin": self.url}, **options)

    @asynccontextmanager
    async def signed_in(self, name: str) -> AsyncIterator[httpx2.AsyncClient]:
        """A browser that is signed in."""
        async with self.client() as client:
            page = await client.get("/sign-in")
            fields = {"csrf": csrf_of(page.text), "name": name, "password": PASSWORD}
            answer = await client.post("/sign-in", data=fields)
            assert answer.status_code == 303, answer.text
            yield client


# What a password costs is not what pages are about: `bo` has a real hash, all others a cheap one.
_CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
_HASHES = {"bo": hash_password(PASSWORD)}


def csrf_of(page: str) -> str:
    """The token in a page's form."""
    return page.partition('name="csrf" value="')[2].partition('"')[0]


@asynccontextmanager
async def review(
    directory: Path,
    standing: Callable[[], Sequence[TargetStanding]] | None = None,
    agents: Callable[[Store, HoldBook, Callable[[], datetime], str], AgentDoor] | None = None,
    **settings: Any,
) -> AsyncIterator[Review]:
    """Serve the review pages over HTTP, with agent ``bot``, owned by ``olga``.

    ``agents`` makes the agents' door from the store, the book, the clock and the address.
    """
    with Store.open(directory / "holdpoint.db") as store, socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        recorder = Recorder(store)
        await recorder.start()
        holder: list[Review] = []
        book = HoldBook(store, recorder, lambda: holder[0].now())
        web = create_web(
            book=book,
            people=store.people,
            groups={"dba": frozenset({"Anna", "dora"})},
            clock=lambda: holder[0].now(),
            settings=WebSettings(base_url=url, **settings),
            trail=store.records,
            standing=standing,
            owner_of=lambda name: getattr(store.agents.find(name), "owner", ""),
            task_of=store.tasks.get,
            agents=agents(store, book, lambda: holder[0].now(), url) if agents else None,
        )
        holder.append(Review(store, recorder, book, web, url))
        for name in ("anna", "bo", "olga"):
            holder[0].tokens[name] = holder[0].person(name)
        store.agents.add("bot", "olga", VERIFIER, datetime.now(UTC))
        config = uvicorn.Config(
            web, log_level="warning", lifespan="off", timeout_graceful_shutdown=2
        )
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            while not server.started:
                await asyncio.sleep(0.005)
            yield holder[0]
        finally:
            close_streams(web)
            server.should_exit = True
            await task
            await recorder.close()
