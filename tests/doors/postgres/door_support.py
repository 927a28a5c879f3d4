"""A real gate for the door's tests, in a thread of its own, and clients that speak to it."""

from __future__ import annotations

import asyncio
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
import psycopg
import uvloop
from wire_client import DEADLINE_S, Wire

from holdpoint import app
from holdpoint.audit.export import head_from_line
from holdpoint.audit.heads import public_from_text
from holdpoint.audit.outcomes import Outcomes
from holdpoint.audit.verify import Report, verify
from holdpoint.config import Config, load
from holdpoint.engine.catalogs import CatalogUnavailable, read_mark
from holdpoint.engine.holds import HoldBook
from holdpoint.model.hold import Answer, Hold, HoldState
from holdpoint.sql.names import Catalog
from holdpoint.store import Store
from holdpoint.store import records as rows
from holdpoint.wire.postgres import scram

SECRET = "a secret of the agent"
AGENTS = ("claude", "gpt")

QUIET = "-- all is quiet"

TIERS = {"replica": "read-only", "write": "read-write", "owner": "owner"}

TABLES = """
DROP TABLE IF EXISTS orders, payments, markers, big;
CREATE TABLE orders (id int PRIMARY KEY, status text NOT NULL);
INSERT INTO orders SELECT g, 'new' FROM generate_series(1, 5000) AS g;
CREATE TABLE payments (id serial PRIMARY KEY, order_id int REFERENCES orders, cents bigint);
CREATE TABLE markers (name text);
CREATE TABLE big (id int, body text);
ANALYZE orders, payments, markers, big;
"""
# The same rows in the same tables: no definition changes, so that pictures of the catalog hold.
ROWS = """
TRUNCATE orders, payments, markers, big RESTART IDENTITY;
INSERT INTO orders SELECT g, 'new' FROM generate_series(1, 5000) AS g;
ANALYZE orders, payments, markers, big;
"""


def eventually(holds: Callable[[], Any], what: str) -> Any:
    """Wait for something that must come; the bound only ends a failing test."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        found = holds()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"{what} did not come within {DEADLINE_S:g} s")


def free_port() -> int:
    """Return a port that was free a moment ago, for a gate in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_config(
    folder: Path,
    url: str,
    *,
    wait: str = "20s",
    server: str = "",
    more: str = "",
    listen: int = 0,
) -> Path:
    """Write a configuration with one target `shop` in three tiers, all at ``url``."""
    (folder / "upstream.url").write_text(url)
    tiers = "".join(
        f'[targets.shop.tiers.{name}]\naccess = "{access}"\nurl = "file:{folder}/upstream.url"\n'
        for name, access in TIERS.items()
    )
    path = folder / "holdpoint.toml"
    path.write_text(
        f'[server]\nlisten = "127.0.0.1:{listen}"\nweb = "127.0.0.1:0"\n{server}\n'
        f'[holds]\nwait = "{wait}"\n[targets.shop]\nenvironment = "production"\n{tiers}{more}'
    )
    return path


@dataclass
class Gate:
    """A gate on free ports that runs until the block ends; it may be started again.

    ``config`` names its upstream and its store, in which two agents are registered.
    """

    config: Config
    direct: str = ""
    port: int = 0
    running: app.Running | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _stop: asyncio.Event | None = None
    _thread: threading.Thread | None = None
    _problem: list[BaseException] = field(default_factory=list)
    _quiet: int = 0
    _quiet_at: int = 0
    _pictures: list[Catalog] = field(default_factory=list)
    _mark: str = ""

    @classmethod
    def at(cls, folder: Path, url: str, **settings: Any) -> Self:
        """Make a gate in ``folder`` with a new store."""
        return cls.of(write_config(folder, url, **settings), url)

    @classmethod
    def of(cls, file: Path, url: str = "") -> Self:
        """Make a gate with a configuration and a new store."""
        config = load(file)
        with Store.open(config.server.store) as store:
            for agent in AGENTS:
                verifier = scram.make_verifier(SECRET, secrets.token_bytes(16), 4096)
                store.agents.add(agent, "sam", verifier, datetime.now(UTC))
        return cls(config, url)

    def __enter__(self) -> Self:
        up = threading.Event()

        async def main() -> None:
            async with app.running(self.config) as self.running:
                self._loop = asyncio.get_running_loop()
                self._stop = asyncio.Event()
                self.port = self.running.port
                up.set()
                await self._stop.wait()

        def thread() -> None:
            try:
                uvloop.run(main())
            except BaseException as error:
                self._problem.append(error)
                raise
            finally:
                up.set()

        self._thread = threading.Thread(target=thread, name="gate")
        self._thread.start()
        up.wait(DEADLINE_S)
        assert not self._problem, self._problem
        self._quiet_at = self.length()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._loop is not None
        assert self._stop is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive(), "the gate did not stop"

    def look_again(self, *tiers: str) -> list[Catalog]:
        """Have the catalog read anew, as it is every few seconds: it was changed past the gate.

        Afterwards plain reads pass at once. Of those ``tiers``, or of all. Returns the pictures:
        the same objects as before where nothing has been defined and none has grown old.
        """

        async def look() -> list[Catalog]:
            assert self.running is not None
            now = time.monotonic()
            found = []
            for target in self.config.targets:
                for tier in target.tiers:
                    if tiers and tier.name not in tiers:
                        continue
                    keeper = self.running.door._keeper_of(target.name, tier)
                    assert keeper is not None
                    while True:  # DDL of the test before may still be on its way
                        try:
                            found.append(await keeper.get(now))
                            break
                        except CatalogUnavailable:
                            await asyncio.sleep(0.05)
            return found

        pictures: list[Catalog] = self.on_loop(look())
        return pictures

    def fresh_tables(self) -> None:
        """Have the tables as they are at first, and the catalog seen with them.

        They are made anew only where something was defined since (the keeper's mark tells), or
        where a picture was taken meanwhile: it may count the rows of the test before.
        """
        same = bool(self._mark) and self.on_loop(self._marked()) == self._mark
        with psycopg.connect(self.direct, autocommit=True) as connection:
            connection.execute((ROWS if same else TABLES).encode())
        self._pictures = self.look_again()
        if not same:
            self._mark = self.on_loop(self._marked())

    async def _marked(self) -> str:
        """The catalog's mark; empty where a keeper has another picture than at the last look."""
        assert self.running is not None
        held = [keeper._catalog for keeper in self.running.door._keepers.values()]
        if any(all(one is not two for two in self._pictures) for one in held):
            return ""
        async with await psycopg.AsyncConnection.connect(self.direct, autocommit=True) as own:
            return await read_mark(own)

    def forget_catalog(self) -> None:
        """Have every picture of the catalog given up until the next look."""

        async def forget() -> None:
            assert self.running is not None
            for target in self.config.targets:
                self.running.door._defined(target.name)

        self.on_loop(forget())

    # --- people -----------------------------------------------------------------------------------

    def on_loop(self, work: Any) -> Any:
        """Run a coroutine where the gate runs."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(DEADLINE_S)

    @property
    def book(self) -> HoldBook:
        """The hold book, as the review page has it."""
        assert self.running is not None
        return self.running.door._engine.book

    @contextmanager
    def waiting(self, seconds: float) -> Iterator[None]:
        """Let clients wait that long in place."""
        assert self.running is not None
        engine = self.running.door._engine
        before, engine.wait_s = engine.wait_s, seconds
        try:
            yield
        finally:
            engine.wait_s = before

    def holds(self, *states: HoldState) -> list[Hold]:
        """Return holds, newest first."""
        return list(self.on_loop(self.book.list(states or None)))

    def hold(self, hold_id: str) -> Hold:
        """Return one hold."""
        found: Hold | None = self.on_loop(self.book.get(hold_id))
        assert found is not None
        return found

    def opened(self, containing: str = "") -> Hold:
        """Wait for an open hold over a statement."""

        def find() -> Hold | None:
            for hold in self.holds(HoldState.OPEN):
                if containing in orjson.loads(hold.case_json)["text"]:
                    return hold
            return None

        found: Hold = eventually(find, f"a hold over `{containing}`")
        return found

    def answer(self, hold: Hold, answer: Answer = Answer.APPROVE, note: str = "") -> Hold:
        """Answer as a person."""
        answered: Hold = self.on_loop(
            self.book.answer(hold.id, "anna", answer, note, approver_groups=frozenset())
        )
        return answered

    @contextmanager
    def person(
        self, answer: Answer = Answer.APPROVE, containing: str = "", note: str = ""
    ) -> Iterator[list[Hold]]:
        """Answer the next hold while the block runs; yields where it will be."""
        seen: list[Hold] = []

        def work() -> None:
            seen.append(self.opened(containing))
            seen.append(self.answer(seen[0], answer, note))

        thread = threading.Thread(target=work)
        thread.start()
        yield seen
        thread.join(DEADLINE_S)
        assert len(seen) == 2, "nothing was held"

    # --- clients ----------------------------------------------------------------------------------

    def url(self, tier: str = "", agent: str = AGENTS[0]) -> str:
        """The connection string of an agent."""
        target = f"shop/{tier}" if tier else "shop"
        return f"postgresql://{agent}:{SECRET}@127.0.0.1:{self.port}/{target}".replace(" ", "%20")

    def connect(self, tier: str = "", agent: str = AGENTS[0], **more: Any) -> psycopg.Connection:
        """Connect an agent's psycopg; autocommit unless told otherwise."""
        more.setdefault("autocommit", True)
        return psycopg.connect(self.url(tier, agent), **more)

    @contextmanager
    def raw(self, tier: str = "", agent: str = AGENTS[0], **more: Any) -> Iterator[Wire]:
        """Connect a client that sends exactly the frames that it is told."""
        with Wire.connect(self.port, agent, SECRET, f"shop/{tier}", **more) as wire:
            yield wire

    # --- the trail --------------------------------------------------------------------------------

    def quiet(self) -> None:
        """Wait until no session is open and what they did has reached the trail."""
        assert self.running is not None
        door = self.running.door
        eventually(lambda: not door.session_count, "the end of every session")
        opened, closed = "session.opened", "session.closed"

        def balanced() -> bool:
            kinds = [kind for kind, _ in self.trail(self._quiet_at)]
            return kinds.count(opened) == kinds.count(closed)

        eventually(balanced, "the last record of every session")
        # A read of our own reaches the trail after all reads before it.
        self._quiet += 1
        text = f"{QUIET} {self._quiet}"
        self.on_loop(self._read(text))
        since = self._quiet_at
        eventually(lambda: text in read_texts(self.trail(since), QUIET), "the last group of reads")
        self._quiet_at = self.length()

    async def _read(self, text: str) -> None:
        assert self.running is not None
        recorder = self.running.recorder
        recorder.read_finished(recorder.read_started("test", text, None), 0, "")

    def trail(self, since: int = 0) -> list[tuple[str, Any]]:
        """Return every record with its body, in order."""
        with Store.open(self.config.server.store, read_only=True) as store:
            return [
                (record.kind, orjson.loads(record.body)) for record in store.records.walk(since + 1)
            ]

    def outcome_of(self, text: str, since: int = 0) -> dict[str, Any]:
        """Return the record of how a statement that went through the whole gate has ended."""
        number = next(
            seq
            for seq, (kind, body) in enumerate(self.trail(since), start=since + 1)
            if kind == "statement.started" and body["text"] == text
        )
        for _, body in self.trail(since):
            if body.get("started") == number:
                found: dict[str, Any] = body
                return found
        raise AssertionError(f"`{text}` has no end in the trail")

    def length(self) -> int:
        """Return the number of the last record."""
        with Store.open(self.config.server.store, read_only=True) as store:
            return next((record.seq for record in store.records.recent(1)), 0)

    def report(self) -> Report:
        """Verify the trail as ``holdpoint audit verify`` does."""
        with Store.open(self.config.server.store, read_only=True) as store:
            key = public_from_text(store.beside(".pub").read_text())
            side = [
                head_from_line(line) for line in store.beside(".heads").read_bytes().splitlines()
            ]
            with store.database.reading() as connection:
                heads = [*rows.heads(connection), *side]
                return verify(rows.origin(connection), rows.walk(connection), heads, [key])

    def check_trail(self, since: int = 0) -> None:
        """Everything that began has an end, and the chain holds."""
        self.quiet()
        outcomes = Outcomes()
        with Store.open(self.config.server.store, read_only=True) as store:
            for record in store.records.walk(since + 1):
                outcomes.take(record)
        assert list(outcomes.open()) == [], "begun, never ended"
        report = self.report()
        assert report.ok, report.breaks


def read_texts(trail: list[tuple[str, Any]], containing: str = "") -> list[str]:
    """Return the texts of plain reads in the order in which they began, without our own."""
    found: list[str] = []
    for kind, body in trail:
        if kind == "reads":
            # A text that hardly comes again stands in place of its id.
            texts = body["texts"]
            found += [texts.get(str(entry[3]), entry[3]) for entry in body["started"]]
    return [text for text in found if (QUIET in text) is (containing == QUIET)]


def statements(trail: list[tuple[str, Any]], since: int = 0) -> list[tuple[str, str]]:
    """Return what became of statements that went through the whole gate: (kind, text)."""
    texts: dict[int, str] = {}
    found: list[tuple[str, str]] = []
    for number, (kind, body) in enumerate(trail, start=since + 1):
        if kind in ("statement.started", "statement.denied"):
            texts[number] = body["text"]
            found.append((kind.removeprefix("statement."), body["text"]))
        elif kind == "statement.held":
            found.append(("held", body["case"]["text"]))
        elif kind.startswith("statement."):
            found.append((kind.removeprefix("statement."), texts.get(body["started"], "?")))
    return found
