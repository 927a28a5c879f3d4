"""Roles minted for one session each, by a role that is no superuser, on real servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg import sql

from holdpoint.access import minting
from holdpoint.access.minting import MARK, MintedRoles, name_for
from holdpoint.embedded import EmbeddedPostgres
from holdpoint.engine.probes import conninfo_of
from holdpoint.engine.upstreams import NoWay, OwnRoles, Way
from holdpoint.model.target import AccessLevel, Mint, Target, Tier
from holdpoint.model.task import Login
from holdpoint.model.upstream import UpstreamUrl
from support.servers import fresh_database

MEMBER_OF = 'tier "of" shop'
ROLE = sql.Identifier(MEMBER_OF).as_string(None)
SETUP = f"""
CREATE ROLE {ROLE} LOGIN PASSWORD 'pw';
CREATE ROLE minter LOGIN CREATEROLE PASSWORD 'pw';
GRANT {ROLE} TO minter WITH ADMIN OPTION;
CREATE ROLE other_minter LOGIN CREATEROLE PASSWORD 'pw';
CREATE SCHEMA app;
CREATE TABLE app.orders (id int);
INSERT INTO app.orders VALUES (1), (2);
GRANT USAGE ON SCHEMA app TO {ROLE};
GRANT SELECT ON app.orders TO {ROLE};
"""
TAKEN_BACK = f"DROP SCHEMA app CASCADE; DROP ROLE {ROLE}, minter, other_minter"
LOGIN = Login(name="claude", agent="claude", scram_verifier="")


class Direct:
    """One way, by one URL."""

    def __init__(self, url: UpstreamUrl) -> None:
        self._url = url

    async def ways(self, target: Target, tier: Tier, login: Login) -> Sequence[Way]:
        return [Way(url=self._url)]


class Server:
    """One server with a role that mints, and what is looked at past the gate."""

    def __init__(self, server: EmbeddedPostgres, database: str) -> None:
        self.database = database
        self.admin = server.url(database=database)
        base = psycopg.conninfo.conninfo_to_dict(self.admin)
        self._base = UpstreamUrl(
            host=str(base["host"]), port=int(base.get("port") or 5432), dbname=database
        )
        self.tier = Tier(
            name="read",
            access=AccessLevel.READ_ONLY,
            url_source="",
            mint=Mint(url_source="", valid_s=8 * 3600),
        )
        self.target = Target(name="shop", tiers=(self.tier,))

    def url(self, user: str) -> UpstreamUrl:
        return replace(self._base, user=user, password="pw")

    def roles(self, gate: str = "g1", minter: str = "minter") -> MintedRoles:
        inner = Direct(self.url(MEMBER_OF))
        return MintedRoles(inner, lambda _: self.url(minter), gate)

    def ask(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.admin, autocommit=True) as connection:
            done = connection.execute(query.encode(), values or None)
            return done.fetchall() if done.description else []

    def minted(self) -> list[str]:
        names = self.ask("SELECT rolname FROM pg_roles WHERE rolname LIKE 'hp\\_%' ORDER BY 1")
        return [name for (name,) in names]


@pytest.fixture(scope="module")
def cluster(postgres: EmbeddedPostgres) -> Iterator[tuple[EmbeddedPostgres, str]]:
    with fresh_database(postgres, SETUP) as database:
        yield postgres, database
        with psycopg.connect(postgres.url(database=database), autocommit=True) as connection:
            connection.execute(TAKEN_BACK.encode())


@pytest.fixture
def server(cluster: tuple[EmbeddedPostgres, str]) -> Iterator[Server]:
    found = Server(*cluster)
    yield found
    for name in found.minted():
        with psycopg.connect(found.admin, autocommit=True) as connection:
            for words in ("DROP OWNED BY {}", "DROP ROLE {}"):
                connection.execute(sql.SQL(words).format(sql.Identifier(name)))


@asynccontextmanager
async def signed_in(way: Way) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A session by one way, opened and closed as the door does."""
    way.opened()
    try:
        async with await psycopg.AsyncConnection.connect(
            conninfo_of(way.url), autocommit=True
        ) as connection:
            yield connection
    finally:
        way.closed()


async def dropped(roles: MintedRoles) -> None:
    """Let the roles of sessions that have just ended be dropped."""
    await asyncio.sleep(0)
    await asyncio.gather(*roles._drops)


@pytest.mark.anyio
async def test_a_session_has_a_role_of_its_own_that_goes_with_it(server: Server) -> None:
    server.ask(f"GRANT TEMPORARY ON DATABASE {server.database} TO PUBLIC")
    roles = server.roles()
    (way,) = await roles.ways(server.target, server.tier, LOGIN)
    name = way.url.user
    assert name.startswith("hp_claude_")
    assert way.url.password not in repr(way)
    async with signed_in(way) as session:
        for query, answer in (
            ("current_user, session_user FROM app.orders", (name, name)),  # what the tier's may
            (
                "rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls, "
                "rolvaliduntil BETWEEN now() + interval '7h 50 min' AND now() + interval '8h', "
                "rolconnlimit FROM pg_roles WHERE rolname = current_user",
                (False, True, 2),
            ),
        ):
            assert await (await session.execute(f"SELECT {query}".encode())).fetchone() == answer
        forbidden = ["INSERT INTO app.orders VALUES (3)"]
        if session.info.server_version >= 160_000:
            forbidden.append(f"SET ROLE {ROLE}")
        for statement in forbidden:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await session.execute(statement.encode())
        ((stored,),) = server.ask("SELECT rolpassword FROM pg_authid WHERE rolname = %s", name)
        assert stored.startswith("SCRAM-SHA-256$4096:")
        # The role's own as long as the session lasts: they do not keep it from being dropped.
        await session.execute("CREATE TEMPORARY TABLE t (id int)")
    await dropped(roles)
    assert server.minted() == []


@pytest.mark.anyio
async def test_sessions_have_nothing_in_common(server: Server) -> None:
    roles = server.roles()
    found = await asyncio.gather(
        *[roles.ways(server.target, server.tier, LOGIN) for _ in range(12)]
    )
    ways = [ways[0] for ways in found]
    assert len({way.url.user for way in ways}) == len({way.url.password for way in ways}) == 12
    async with signed_in(ways[0]):
        async with signed_in(ways[1]):
            pass
        await dropped(roles)
        assert ways[0].url.user in server.minted()
        assert ways[1].url.user not in server.minted()


@pytest.mark.parametrize(
    ("agent", "start"),
    [
        ("claude", "hp_claude_"),
        ('Bob\'s "agent"; DROP ROLE x', "hp_bob_s_agent_drop_role_x_"),
        ("агент", "hp_agent_"),
        ("a" * 200, "hp_" + "a" * 24 + "_"),
        ("", "hp_agent_"),
        ("%s {} $1 \\", "hp_s_1_"),
    ],
)
def test_names_tell_whose_they_are(agent: str, start: str) -> None:
    name = name_for(agent)
    assert name.startswith(start)
    assert len(name) <= 40
    assert name.isascii()
    assert name != name_for(agent)


@pytest.mark.anyio
async def test_settings_of_the_tiers_role_are_carried_over(server: Server) -> None:
    server.ask(f"ALTER ROLE {ROLE} SET statement_timeout = '31s'")
    server.ask(f'ALTER ROLE {ROLE} SET search_path = app, "odd, ""name"')
    server.ask(f"ALTER ROLE {ROLE} SET lock_timeout = '1s'")
    server.ask(f"ALTER ROLE {ROLE} IN DATABASE {server.database} SET lock_timeout = '2s'")
    server.ask(f"ALTER ROLE {ROLE} SET role = 'minter'")
    try:
        roles = server.roles()
        (way,) = await roles.ways(server.target, server.tier, LOGIN)
        async with signed_in(way) as session:
            shown = await session.execute(
                "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'), "
                "current_setting('search_path'), current_user"
            )
            path = 'app, "odd, ""name"'
            assert await shown.fetchone() == ("31s", "2s", path, way.url.user)
        await dropped(roles)
        # One that only a superuser may give: the session would be without it.
        server.ask(f"ALTER ROLE {ROLE} SET log_statement = 'all'")
        with pytest.raises(NoWay, match=r"permission denied to set parameter .*\(HP8016\)"):
            await roles.ways(server.target, server.tier, LOGIN)
    finally:
        server.ask(f"ALTER ROLE {ROLE} RESET ALL")
        server.ask(f"ALTER ROLE {ROLE} IN DATABASE {server.database} RESET ALL")
    assert server.minted() == []


@pytest.mark.anyio
async def test_a_role_that_cannot_be_made_ends_in_words(server: Server) -> None:
    tier = server.tier
    for roles, role, words in (
        (server.roles(minter="other_minter"), "", "permission denied|must have admin option"),
        (server.roles(), "nobody at all", "there is no role `nobody at all`"),
        (server.roles(minter="no such minter"), "", "no such minter"),
        (server.roles(minter=MEMBER_OF), "", "permission denied"),  # no CREATEROLE
    ):
        with pytest.raises(NoWay, match=words) as caught:
            await roles.ways(server.target, replace(tier, role=role), LOGIN)
        assert caught.value.finding.code == "HP8016"
    inner = Direct(server.url(MEMBER_OF))
    gone = MintedRoles(inner, lambda _: replace(server.url("m"), port=1), "g")
    with pytest.raises(NoWay, match="no role could be made"):
        await gone.ways(server.target, tier, LOGIN)
    await gone.sweep(server.target, tier)  # is logged, and stops nothing
    assert server.minted() == []


@pytest.mark.anyio
async def test_a_tier_without_mint_has_its_own_role(server: Server) -> None:
    tier = replace(server.tier, mint=None)
    (way,) = await server.roles().ways(server.target, tier, LOGIN)
    assert way.url.user == MEMBER_OF


@pytest.mark.anyio
async def test_one_role_serves_all_the_ways_of_a_session(server: Server) -> None:
    """The door closes the first way before it opens the second: the role must still be there."""

    class Two:
        async def ways(self, target: Target, tier: Tier, login: Login) -> list[Way]:
            return [Way(url=server.url(MEMBER_OF)), Way(url=server.url(MEMBER_OF))]

    roles = MintedRoles(Two(), lambda _: server.url("minter"), "g1")
    first, second = await roles.ways(server.target, server.tier, LOGIN)
    assert first.url == second.url
    first.opened()
    first.closed()
    first.closed()  # "perhaps more than once"
    async with signed_in(second):
        await dropped(roles)
        assert server.minted() == [second.url.user]
    await dropped(roles)
    assert server.minted() == []


# --- what is left over ----------------------------------------------------------------------------


async def left_over(server: Server, gate: str, valid_s: float = 3600) -> Way:
    """A role whose gate has died: nobody closes its way."""
    tier = replace(server.tier, mint=Mint(url_source="", valid_s=valid_s))
    (way,) = await server.roles(gate).ways(server.target, tier, LOGIN)
    return way


@pytest.mark.anyio
async def test_what_a_dead_gate_has_left_is_swept_and_nothing_else(server: Server) -> None:
    ours = await left_over(server, "g1")
    in_use = await left_over(server, "g1")
    others = await left_over(server, "g2")
    expired = await left_over(server, "g2", valid_s=-1)
    for name, comment in (
        ("hp_of_people", ""),
        ("hp_of_people2", f"{MARK}g1"),  # the mark alone does not do: it is no member
        ("hp_of_people3", "holdpoint is great"),
    ):
        server.ask(f"CREATE ROLE {name}; COMMENT ON ROLE {name} IS '{comment}'")
    server.ask(f"GRANT {ROLE} TO hp_of_people3")
    async with signed_in(in_use):
        roles = server.roles("g1")
        (fresh,) = await roles.ways(server.target, server.tier, LOGIN)
        await roles.sweep(server.target, server.tier)
        left = set(server.minted())
        assert {ours.url.user, expired.url.user}.isdisjoint(left)
        assert left == {
            fresh.url.user, in_use.url.user, others.url.user,
            "hp_of_people", "hp_of_people2", "hp_of_people3",
        }  # fmt: skip


@pytest.mark.anyio
async def test_where_each_agent_has_a_role_of_its_own(server: Server) -> None:
    """The minted role is a member of the agent's own, and what is left over of all is swept."""
    pattern = MEMBER_OF.replace("shop", "{agent}")
    agent = Login(name="shop", agent="shop", scram_verifier="")
    for tier, inner in (
        (replace(server.tier, role=pattern), Direct(server.url("somebody"))),
        (server.tier, OwnRoles(Direct(server.url(pattern)))),
    ):
        roles = MintedRoles(inner, lambda _: server.url("minter"), "g1")
        (way,) = await roles.ways(server.target, tier, agent)
        async with signed_in(way) as session:
            found = await session.execute("SELECT count(*) FROM app.orders")
            assert await found.fetchone() == (2,)
            other = MintedRoles(inner, lambda _: server.url("minter"), "g1")
            await other.sweep(server.target, tier)
            assert server.minted() == [way.url.user]
        roles._live.clear()
        await other.sweep(server.target, tier)
        assert server.minted() == []


@pytest.mark.anyio
async def test_a_role_that_owns_something_is_left_to_people(server: Server) -> None:
    name = (await left_over(server, "g1")).url.user
    server.ask(f"CREATE TABLE app.theirs (id int); ALTER TABLE app.theirs OWNER TO {name}")
    for _ in range(2):
        await server.roles("g1").sweep(server.target, server.tier)
        assert server.ask(
            "SELECT rolcanlogin, shobj_description(oid, 'pg_authid') FROM pg_roles "
            "WHERE rolname = %s",
            name,
        ) == [(False, minting.KEPT)]
    owners = server.ask("SELECT tableowner FROM pg_tables WHERE tablename = 'theirs'")
    assert owners == [(name,)]
