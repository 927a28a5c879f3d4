"""``holdpoint policy replay``: what a configuration would have decided over the trail."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from holdpoint.cli.access_suggest_words import one_line
from holdpoint.cli.hold import EXIT_REFUSED, EXIT_USAGE, fail, visible
from holdpoint.cli.options import config_option
from holdpoint.cli.person import EXIT_CONFIGURATION

if TYPE_CHECKING:
    from holdpoint.access.replay.replay import Outcome
    from holdpoint.access.replay.totals import Totals
    from holdpoint.access.suggest.workload import Evidence, Example
    from holdpoint.config import Config
    from holdpoint.sql.names import Catalog

EXIT_TRAIL: Final = 5
SINCE_DEFAULT: Final = "7d"
SHOWN_CHARS_MAX: Final = 110
SHOWN_REASONS_MAX: Final = 10
SHOWN_EXAMPLES_MAX: Final = 3
SHOWN_DAYS_MAX: Final = 31


@click.command(
    "replay",
    epilog="Exit codes: 0 no change, 1 something would be decided differently, 2 usage, "
    "3 configuration, 5 the trail is broken.",
)
@click.option("--since", default=SINCE_DEFAULT, show_default=True, metavar="TIME|SPAN")
@click.option("--target", default="", metavar="NAME", help="Only statements on this target.")
@click.option("--tier", default="", metavar="TIER", help="Only statements in this tier.")
@click.option("--agent", default="", metavar="NAME", help="Only this agent's statements.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.svg",
    help="Write a picture of it, too.",
)
@click.option("--offline", is_flag=True, help="Ask no database what names without a schema mean.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of words.")
@click.option(
    "--store",
    "store_path",
    envvar="HOLDPOINT_STORE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The store's file [HOLDPOINT_STORE]; else the configuration's.",
)
@config_option
def replay_command(
    since: str,
    target: str,
    tier: str,
    agent: str,
    plot: Path | None,
    offline: bool,
    as_json: bool,
    store_path: Path | None,
    config_path: Path,
) -> None:
    """Decide the trail's statements again, as this configuration would.

    Changes nothing. Figures that were not recorded are said to be unknown, never assumed.
    """
    from holdpoint.access.replay.replay import Replay
    from holdpoint.cli.access_plan import load_config
    from holdpoint.cli.audit import since_us

    config = load_config(config_path)
    _check_names(config, target, tier)
    first = since_us(since)
    notes: list[str] = []
    catalogs = {} if offline else _catalogs(config, target, tier, notes)
    replay = Replay(config.policy, config.targets, catalogs)
    only = {"target": target, "tier": tier, "agent": agent}
    totals, broken = _read(replay, first, store_path or Path(config.server.store), only, notes)
    if not totals.count:
        notes.append("no statement ran in that time for the target, tier and agent asked about")
    if plot is not None:
        _write(plot, totals, since)
    if as_json:
        click.echo(json.dumps(document(totals, notes)))
    else:
        _print(totals, notes)
    raise SystemExit(EXIT_TRAIL if broken else EXIT_REFUSED if totals.changed else 0)


def _check_names(config: Config, target: str, tier: str) -> None:
    """End with words for names that the configuration has not."""
    from holdpoint.policy.compile import nearest

    found = config.target(target)
    names = [each.name for each in config.targets]
    if target and found is None:
        fail(EXIT_USAGE, f"there is no target `{visible(target)}`", nearest(target, names))
    tiers = [each.name for one in config.targets if target in ("", one.name) for each in one.tiers]
    if tier and tier not in tiers:
        fail(EXIT_USAGE, f"there is no tier `{visible(tier)}`", nearest(tier, tiers))


def _catalogs(
    config: Config, target: str, tier: str, notes: list[str]
) -> dict[tuple[str, str], Catalog]:
    """The catalogs of tiers whose grants decide; one that cannot be had is no obstacle."""
    import asyncio

    import psycopg

    from holdpoint.access.suggest.look import look_at_catalog
    from holdpoint.config import UrlError, resolve_upstream
    from holdpoint.engine.catalogs import CatalogUnavailable

    found: dict[tuple[str, str], Catalog] = {}
    for one in config.targets:
        for each in one.tiers:
            if each.grants is None or target not in ("", one.name) or tier not in ("", each.name):
                continue
            try:
                url = resolve_upstream(
                    each.url_source, os.environ, password_source=each.password_source
                )
                found[one.name, each.name] = asyncio.run(look_at_catalog(url, each.settings))
            except (UrlError, psycopg.Error, CatalogUnavailable, OSError) as error:
                words = " ".join(str(error).split())
                notes.append(
                    f"the database of `{one.name}/{each.name}` cannot be asked ({words}): names "
                    "without a schema are taken for ones in `public`"
                )
    return found


def _read(
    replay: Any, since: int, path: Path, only: dict[str, str], notes: list[str]
) -> tuple[Totals, bool]:
    """Replay the trail to its end; what it comes to, and whether the chain is broken."""
    from holdpoint.access.history import History
    from holdpoint.access.replay.totals import Totals
    from holdpoint.cli.access_suggest import words_of_flaws
    from holdpoint.cli.progress import shown
    from holdpoint.store.errors import StoreError
    from holdpoint.store.store import Store

    totals = Totals()
    agents: set[str] = set()
    try:
        with Store.open(path, read_only=True) as store:
            history = History(origin=store.records.origin(), since_us=since)
            records = shown(store.records.walk(), store.records.tail().seq, "replaying the trail")
            for said in history.read(records):
                agents.add(said.agent)
                if all(value in ("", getattr(said, name)) for name, value in only.items()):
                    replayed = replay.take(said)
                    if replayed is not None:
                        totals.take(replayed)
    except StoreError as error:
        fail(EXIT_CONFIGURATION, str(error))
    notes += words_of_flaws(history.flaws)
    if only["agent"] and only["agent"] not in agents:
        notes.append(f"the trail shows nothing of agent `{only['agent']}`")
    return totals, bool(history.flaws.broken_at)


def _write(path: Path, totals: Totals, since: str) -> None:
    from holdpoint.access.replay.plot import svg_of

    title = f"{totals.changed:,} of {totals.count:,} statements would be decided differently"
    try:
        path.write_text(svg_of(totals.days, f"{title} (since {since})"), encoding="utf-8")
    except OSError as error:
        words = (error.strerror or "it cannot be written").lower()
        fail(EXIT_USAGE, f"cannot write `{path}`: {words}")


# --- telling --------------------------------------------------------------------------------------


def _print(totals: Totals, notes: list[str]) -> None:
    from holdpoint.access.replay.plot import lines_of

    for note in notes:
        click.echo(f"note: {one_line(note)}")
    if not totals.count:
        return
    _print_matrix(totals)
    for (then, now), evidence in sorted(totals.changes.items(), key=lambda item: -item[1].count):
        click.echo(f"\n{then.value} → {now.value}: {evidence.count:,}")
        agents = {
            name: count for (name, change), count in totals.agents.items() if change == (then, now)
        }
        _print_counts("by agent", agents)
        rules = {
            rule: each.count for (change, rule), each in totals.rules.items()
            if change == (then, now)
        }  # fmt: skip
        _print_counts("by rule", rules)
        _print_examples(evidence)
    for title, reasons in (("cannot be told", totals.unsure), ("not replayed", totals.left_out)):
        for why, evidence in list(reasons.items())[:SHOWN_REASONS_MAX]:
            click.echo(f"\n{title}: {evidence.count:,}: {one_line(why)}")
            _print_examples(evidence)
    click.echo("")
    newest = sorted(totals.days)[-SHOWN_DAYS_MAX:]
    for line in lines_of({day: totals.days[day] for day in newest}):
        click.echo(line)
    if len(newest) < len(totals.days):
        click.echo(f"and {len(totals.days) - len(newest):,} days before: `--plot`, `--json`")
    click.echo(f"\n{totals.changed:,} of {totals.count:,} statements would be decided differently")


def _print_matrix(totals: Totals) -> None:
    from holdpoint.access.replay.replay import Outcome

    columns = [each for each in Outcome if any(now is each for _, now in totals.matrix)]
    rows: list[Outcome] = [each for each in Outcome if any(t is each for t, _ in totals.matrix)]
    width = max(12, *(len(each.value) + 2 for each in columns))
    click.echo("then \\ now".ljust(12) + "".join(each.value.rjust(width) for each in columns))
    for then in rows:
        cells = "".join(f"{totals.matrix[then, now]:,}".rjust(width) for now in columns)
        click.echo(then.value.ljust(12) + cells)


def _print_counts(title: str, counts: dict[str, int]) -> None:
    shown = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    words = ", ".join(f"{name} {count:,}" for name, count in shown[:SHOWN_REASONS_MAX])
    more = len(shown) - SHOWN_REASONS_MAX
    click.echo(f"  {title}: {one_line(words)}" + (f", and {more:,} more" if more > 0 else ""))


def _print_examples(evidence: Evidence) -> None:
    for example in evidence.examples[:SHOWN_EXAMPLES_MAX]:
        click.echo(f"  {_example(example)}")


def _example(example: Example) -> str:
    text = one_line(example.text)
    if len(text) > SHOWN_CHARS_MAX:
        text = text[: SHOWN_CHARS_MAX - 1] + "…"
    return f"record {example.seq:,}: {text}"


def document(totals: Totals, notes: list[str]) -> dict[str, Any]:
    """Return a replay as JSON values."""
    return {
        "statements": totals.count,
        "changed": totals.changed,
        "notes": notes,
        "matrix": [
            {"then": then.value, "now": now.value, "statements": count}
            for (then, now), count in sorted(totals.matrix.items())
        ],
        "changes": [
            {
                "then": then.value,
                "now": now.value,
                "statements": evidence.count,
                "agents": {
                    name: count
                    for (name, change), count in totals.agents.items()
                    if change == (then, now)
                },
                "rules": {
                    rule: each.count
                    for (change, rule), each in totals.rules.items()
                    if change == (then, now)
                },
                "examples": _examples(evidence),
            }
            for (then, now), evidence in sorted(totals.changes.items())
        ],
        "unsure": _reasons(totals.unsure),
        "left_out": _reasons(totals.left_out),
        "days": {
            day: {"then": _named(then), "now": _named(now)}
            for day, (then, now) in sorted(totals.days.items())
        },
    }


def _reasons(reasons: dict[str, Evidence]) -> list[dict[str, Any]]:
    return [
        {"why": why, "statements": each.count, "examples": _examples(each)}
        for why, each in reasons.items()
    ]


def _examples(evidence: Evidence) -> list[dict[str, Any]]:
    return [{"record": each.seq, "text": each.text} for each in evidence.examples]


def _named(counts: Any) -> dict[str, int]:
    return {outcome.value: count for outcome, count in sorted(counts.items())}
