"""``holdpoint access suggest``: the least grants that would have covered what was done."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from holdpoint.cli.hold import EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_USAGE, fail, visible
from holdpoint.cli.options import config_option
from holdpoint.cli.person import EXIT_CONFIGURATION

if TYPE_CHECKING:
    from holdpoint.access.history import Flaws, Said
    from holdpoint.access.suggest.suggest import Suggestion
    from holdpoint.access.suggest.workload import Workload
    from holdpoint.config import Config
    from holdpoint.model.needs import Need
    from holdpoint.model.target import Target, Tier
    from holdpoint.model.upstream import UpstreamUrl

TRAIL: Final = "trail"
EXIT_TRAIL: Final = 5
STATISTICS: Final = "pg_stat_statements"
SINCE_DEFAULT: Final = "30d"


@click.command(
    "suggest",
    epilog="Exit codes: 0 nothing to change, 1 something to grant or to drop, 2 usage, "
    "3 configuration, 4 database not reachable, 5 the trail is broken.",
)
@click.argument("target", default="")
@click.option("--agent", default="", metavar="NAME", help="Only what this agent did.")
@click.option("--tier", default="", metavar="TIER", help="Only what was done in this tier.")
@click.option("--since", default=SINCE_DEFAULT, show_default=True, metavar="TIME|SPAN")
@click.option(
    "--from",
    "sources",
    multiple=True,
    metavar="SOURCE",
    help="trail (the default), pg_stat_statements or a server's log; may be repeated.",
)
@click.option("--role", default="", metavar="ROLE", help="Only this database role, in logs.")
@click.option(
    "--log-prefix", metavar="TEXT", help="The log's log_line_prefix; else the server is asked."
)
@click.option(
    "--without",
    "without",
    multiple=True,
    metavar="TABLE:PRIVILEGE",
    help="Tell which statements would be refused without this; may be repeated.",
)
@click.option("--toml", "as_toml", is_flag=True, help="Print tables for holdpoint.toml.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of words.")
@click.option(
    "--store",
    "store_path",
    envvar="HOLDPOINT_STORE",
    default=None,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The store's file [HOLDPOINT_STORE]; else the configuration's.",
)
@config_option
def suggest_command(
    target: str,
    agent: str,
    tier: str,
    since: str,
    sources: tuple[str, ...],
    role: str,
    log_prefix: str | None,
    without: tuple[str, ...],
    as_toml: bool,
    as_json: bool,
    store_path: Path | None,
    config_path: Path,
) -> None:
    """Suggest the least grants for what was done on TARGET, the first one unless named.

    Reads the trail and the database's catalog, and changes nothing.
    """
    from holdpoint.cli.access_plan import load_config
    from holdpoint.cli.access_suggest_words import document, print_toml, print_words
    from holdpoint.cli.audit import since_us

    config = load_config(config_path)
    place = _target_of(config, target)
    tiers = _tiers_of(place, tier)
    drops = frozenset(_drop_of(each) for each in without)
    gathering = _Gathering(place, tiers, agent, role, drops, log_prefix)
    kinds = sources or (TRAIL,)
    for source in kinds:
        gathering.take_all(source, since_us(since), store_path or Path(config.server.store))
    suggestions = [gathering.suggestion(each) for each in gathering.seen()]
    if as_toml:
        print_toml(suggestions, gathering.notes)
    elif as_json:
        click.echo(json.dumps(document(suggestions, gathering.notes, place.name)))
    else:
        print_words(suggestions, gathering.notes, place.name)
    raise SystemExit(gathering.exit_code(suggestions))


def _target_of(config: Config, name: str) -> Target:
    from holdpoint.policy.compile import nearest

    found = config.target(name)
    if found is None:
        names = [each.name for each in config.targets]
        fail(EXIT_USAGE, f"there is no target `{visible(name)}`", nearest(name, names))
    return found


def _tiers_of(target: Target, name: str) -> tuple[Tier, ...]:
    """The tiers whose statements count."""
    from holdpoint.policy.compile import nearest

    if not name:
        return target.tiers
    found = target.tier(name)
    if found is None:
        names = [each.name for each in target.tiers]
        words = f"target `{target.name}` has no tier `{visible(name)}`"
        fail(EXIT_USAGE, words, nearest(name, names))
    return (found,)


def _drop_of(text: str) -> Need:
    """``orders:delete`` or ``orders:select(email)`` as a need; ends with words on anything else."""
    from holdpoint.config.grants import COLUMN_PRIVILEGES, PRIVILEGES
    from holdpoint.config.names import Unreadable, read_columns, read_object
    from holdpoint.model.grants import ObjectClass
    from holdpoint.model.needs import Need
    from holdpoint.model.target import AccessLevel

    name, colon, rest = text.rpartition(":")
    privilege, opened, columns = rest.partition("(")
    privilege = privilege.strip().lower()
    hint = "write `orders:delete` or `orders:select(email)`"
    try:
        if not colon or privilege not in PRIVILEGES[ObjectClass.TABLE][AccessLevel.OWNER]:
            raise Unreadable(f"`{text}` names no table and privilege", hint)
        schema, bare = read_object(ObjectClass.TABLE, name)
        named = read_columns(columns.removesuffix(")")) if opened else ("",)
        if len(named) > 1 or (opened and privilege not in COLUMN_PRIVILEGES):
            raise Unreadable(f"`{text}` names no single column", hint)
    except Unreadable as problem:
        fail(EXIT_USAGE, f"`--without`: {visible(str(problem))}", problem.hint or hint)
    return Need(ObjectClass.TABLE, schema, bare, privilege, named[0])


class _Gathering:
    """Collects statements by tier; each tier's catalog is read when its first statement comes."""

    def __init__(
        self,
        target: Target,
        tiers: tuple[Tier, ...],
        agent: str,
        role: str,
        drops: frozenset[Need],
        log_prefix: str | None,
    ) -> None:
        self.log_prefix = log_prefix
        self.target = target
        self.tiers = {each.name: each for each in tiers}
        self.agent = agent
        self.role = role
        self.drops = drops
        self.workloads: dict[str, Workload] = {}
        self.notes: list[str] = []
        self.broken = False
        self.agents: set[str] = set()
        self.gone: dict[str, int] = {}

    def take_all(self, source: str, since_us: int, store: Path) -> None:
        """Read one source to its end."""
        if source == TRAIL:
            self._trail(since_us, store)
            return
        only = next(iter(self.tiers.values())) if len(self.tiers) == 1 else None
        if only is None:
            names = ", ".join(f"`{each}`" for each in self.tiers)
            fail(EXIT_USAGE, f"`--from {visible(source)}` needs `--tier`: {names}")
        if source == STATISTICS:
            from holdpoint.cli.access_sources import from_statistics

            said = from_statistics(_url_of(only), self.role, self.notes)
        else:
            from holdpoint.cli.access_sources import from_log

            said = from_log(
                Path(source), _url_of(only), self.role, since_us, self.log_prefix, self.notes
            )
        for each, times in said:
            self._workload(only).take(each, times)

    def _trail(self, since_us: int, path: Path) -> None:
        from holdpoint.access.history import History
        from holdpoint.cli.progress import shown
        from holdpoint.store.errors import StoreError
        from holdpoint.store.store import Store

        try:
            with Store.open(path, read_only=True) as store:
                history = History(origin=store.records.origin(), since_us=since_us)
                total = store.records.tail().seq
                for said in history.read(shown(store.records.walk(), total, "reading the trail")):
                    self._take(said)
        except StoreError as error:
            fail(EXIT_CONFIGURATION, str(error))
        self.notes += words_of_flaws(history.flaws)
        self.broken = self.broken or bool(history.flaws.broken_at)
        self._check_agent()

    def _take(self, said: Said) -> None:
        if said.target != self.target.name:
            return
        self.agents.add(said.agent)
        if self.agent and said.agent != self.agent:
            return
        tier = self.tiers.get(said.tier)
        if tier is not None:
            self._workload(tier).take(said)
        elif self.target.tier(said.tier) is None:
            self.gone[said.tier] = self.gone.get(said.tier, 0) + 1

    def _check_agent(self) -> None:
        from holdpoint.policy.compile import nearest

        early = sum(each.early for each in self.workloads.values())
        if early:
            what = "1 statement" if early == 1 else f"{early:,} statements"
            self.notes.append(
                f"{what} ran in sessions that began before: if one had set another search_path, "
                "names without a schema are taken for the usual ones; `--since` earlier reads it"
            )
        for name, count in self.gone.items():
            what = "1 statement" if count == 1 else f"{count:,} statements"
            words = f"{what} ran in tier `{name}`, which the configuration has not: left out"
            self.notes.append(words)
        if self.agent and self.agent not in self.agents:
            words = f"the trail shows nothing of agent `{self.agent}` on `{self.target.name}`"
            hint = nearest(self.agent, sorted(self.agents))
            self.notes.append(f"{words}; {hint}" if hint else words)

    def _workload(self, tier: Tier) -> Workload:
        from holdpoint.access.suggest.workload import Workload

        found = self.workloads.get(tier.name)
        if found is None:
            catalog = _asked(tier, _look_at_catalog(tier))
            found = self.workloads[tier.name] = Workload(catalog, self.drops)
        return found

    def seen(self) -> list[Tier]:
        """The tiers in which something was done, and the one that was asked for."""
        return [
            tier
            for name, tier in self.tiers.items()
            if name in self.workloads or len(self.tiers) == 1
        ]

    def suggestion(self, tier: Tier) -> Suggestion:
        """Compare a tier's workload with what its role holds."""
        from holdpoint.access.suggest.look import look_at_rights
        from holdpoint.access.suggest.suggest import suggest as suggested

        workload = self._workload(tier)
        url = _url_of(tier)
        rights, signatures = _asked(
            tier,
            look_at_rights(
                url,
                self._role_of(tier, url),
                workload.system,
                workload.built_ins,
                [each.oid for each in workload.needed],
            ),
        )
        return suggested(self.target.name, tier.name, workload, rights, signatures, tier.grants)

    def _role_of(self, tier: Tier, url: UpstreamUrl) -> str:
        """Whose rights count: the tier's role, one agent's own, or the URL's user."""
        role = tier.role.replace("{agent}", self.agent) if self.agent else tier.role
        return role if role and "{" not in role else url.user

    def exit_code(self, suggestions: Iterable[Suggestion]) -> int:
        """1 when the tier's grants are not the least ones; 5 when the trail cannot be trusted."""
        if self.broken:
            return EXIT_TRAIL
        return EXIT_REFUSED if any(_differs(each, self) for each in suggestions) else 0


def _differs(suggestion: Suggestion, gathering: _Gathering) -> bool:
    from holdpoint.cli.access_suggest_words import is_lacking

    unsaid = gathering.tiers[suggestion.tier].grants is None and bool(suggestion.grants)
    lacking = any(is_lacking(each, suggestion) for each in suggestion.grants)
    return bool(suggestion.drops) or unsaid or lacking


async def _look_at_catalog(tier: Tier) -> Any:
    from holdpoint.access.suggest.look import look_at_catalog

    return await look_at_catalog(_url_of(tier), tier.settings)


def _url_of(tier: Tier) -> UpstreamUrl:
    from holdpoint.config import UrlError, resolve_upstream

    try:
        return resolve_upstream(tier.url_source, os.environ, password_source=tier.password_source)
    except UrlError as error:
        fail(EXIT_CONFIGURATION, f"the URL of tier `{tier.name}`: {error}")


def _asked(tier: Tier, question: Any) -> Any:
    """Run a question to a tier's database; end with words when it does not answer."""
    import psycopg

    from holdpoint.engine.catalogs import CatalogUnavailable

    try:
        return asyncio.run(question)
    except (psycopg.Error, CatalogUnavailable, OSError) as error:
        words = " ".join(str(error).split())
        fail(
            EXIT_UNREACHABLE,
            f"cannot ask the database of tier `{tier.name}`: {words}",
            "what statements need is read with the database's catalog; `holdpoint doctor` "
            "checks each hop",
        )


def words_of_flaws(flaws: Flaws) -> list[str]:
    """What is not as it should be in a trail, in words."""
    found: list[str] = []
    if flaws.broken_at:
        found.append(
            f"the trail is broken at record {flaws.broken_at:,}: what follows may have been "
            "edited; run `holdpoint audit verify`"
        )
    if flaws.unreadable:
        what = "1 record" if flaws.unreadable == 1 else f"{flaws.unreadable:,} records"
        found.append(f"{what} cannot be read: left out")
    if flaws.set_back:
        times = "once" if flaws.set_back == 1 else f"{flaws.set_back:,} times"
        found.append(f"the clock was set back {times}: each record counts by its own time")
    return found
