"""``holdpoint access plan``: what would be done to roles and grants, in words and in SQL."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from holdpoint.cli.access_suggest_words import one_line
from holdpoint.cli.hold import EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_USAGE, fail, visible
from holdpoint.cli.options import config_option

if TYPE_CHECKING:
    import psycopg

    from holdpoint.access.desired import Desired
    from holdpoint.access.plan.plan import Plan
    from holdpoint.access.plan.statements import Step
    from holdpoint.config import Config
    from holdpoint.model.target import Target
    from holdpoint.model.upstream import UpstreamUrl

EXIT_CONFIGURATION: Final = 3
PRIVATE: Final = 0o600  # the SQL holds verifiers of passwords

tier_option = click.option(
    "--tier", "tiers", multiple=True, metavar="TIER", help="Only this tier; may stand again."
)
mend_option = click.option(
    "--mend", is_flag=True, help="Also take from everybody (PUBLIC) what the roles should not have."
)
adopt_option = click.option(
    "--adopt", is_flag=True, help="Take over roles that others are members of."
)


@click.command(
    "plan",
    epilog="Exit codes: 0 nothing to do, 1 something to do, 3 configuration, 4 unreachable.",
)
@click.argument("target", default="")
@tier_option
@mend_option
@adopt_option
@click.option(
    "--sql",
    "sql_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the statements here, with the verifiers of passwords.",
)
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plan_command(
    target: str,
    tiers: tuple[str, ...],
    mend: bool,
    adopt: bool,
    sql_path: Path | None,
    config_path: Path,
    as_json: bool,
) -> None:
    """Say what would bring the database's roles and grants to the configuration.

    Asks the database as the role of `admin_url`, and changes nothing.
    """
    config = load_config(config_path)
    plan = plan_of(config, target_of(config, target), tiers, mend=mend, adopt=adopt)
    if sql_path is not None and not plan.problems:
        write_private(sql_path, plan.sql)
    if as_json:
        click.echo(json.dumps(document(plan)))
    else:
        print_plan(plan, config, asked_for(tiers, mend=mend, adopt=adopt))
    raise SystemExit(0 if plan.settled else EXIT_REFUSED)


def asked_for(tiers: tuple[str, ...], *, mend: bool, adopt: bool) -> str:
    """Return the options that make the same plan again, each with a space before it."""
    options = [f"--tier {tier}" for tier in tiers]
    options += ["--mend"] * mend + ["--adopt"] * adopt
    return "".join(f" {option}" for option in options)


def load_config(path: Path) -> Config:
    """Load the configuration, or end with words."""
    from holdpoint.config import ConfigError, load

    try:
        return load(path)
    except ConfigError as error:
        click.echo(str(error), err=True)
        raise SystemExit(EXIT_CONFIGURATION) from error


def target_of(config: Config, name: str) -> Target:
    """Return the target of that name, the first without one; end with words if there is none."""
    from holdpoint.policy.compile import nearest

    found = config.target(name)
    if found is None:
        names = [target.name for target in config.targets]
        fail(EXIT_USAGE, f"there is no target `{visible(name)}`", nearest(name, names))
    if not found.admin_source:
        fail(
            EXIT_CONFIGURATION,
            f"target `{found.name}` has no `admin_url`",
            "give it the URL of a role that owns the objects or may grant, and has CREATEROLE",
        )
    return found


def resolved(source: str, password_source: str = "") -> UpstreamUrl:
    """Resolve a URL now. Raises ``UrlError``."""
    from holdpoint.config import resolve_upstream

    return resolve_upstream(source, os.environ, password_source=password_source)


def desired_of(config: Config, target: Target, tiers: tuple[str, ...]) -> Desired:
    """Return what the configuration asks, or end with what is wrong with it."""
    from holdpoint.access.desired import desired_roles, shared_roles

    desired = desired_roles(target, resolved, tiers)
    problems = list(desired.problems)
    for other in config.targets:
        if other.name != target.name and _on_one_server(target, other):
            problems += shared_roles(desired, desired_roles(other, resolved))
    if problems:
        for problem in problems:
            click.echo(f"error: {problem}", err=True)
        raise SystemExit(EXIT_CONFIGURATION)
    if not desired.roles:
        fail(
            EXIT_CONFIGURATION,
            f"no tier of target `{target.name}` has `grants`",
            "say in `[targets.X.tiers.Y]` what the tier's role may do, "
            '`grants = { "orders" = ["select"] }`',
        )
    return desired


def _on_one_server(target: Target, other: Target) -> bool:
    """Whether two targets have the same roles, as far as their URLs tell."""
    from holdpoint.config import UrlError

    try:
        here, there = resolved(target.admin_source), resolved(other.admin_source)
    except UrlError:  # of this target it is told when it is used; the other is not our business
        return False
    return (here.host, here.port) == (there.host, there.port)


def plan_of(
    config: Config, target: Target, tiers: tuple[str, ...], *, mend: bool, adopt: bool
) -> Plan:
    """Ask the database and return the plan, or end with words."""
    import psycopg

    from holdpoint.access.plan.logins import refused_logins
    from holdpoint.access.plan.plan import make_plan
    from holdpoint.access.plan.reading import read_granted
    from holdpoint.engine.probes import conninfo_of

    desired = desired_of(config, target, tiers)
    admin = admin_url(target)
    with connected(admin) as connection:
        try:
            state = read_granted(connection, desired)
        except psycopg.Error as error:
            fail(EXIT_UNREACHABLE, f"`{admin.place}` cannot be read: {_one_line(error)}")
    refused = refused_logins(desired, state, conninfo_of(admin))
    return make_plan(desired, state, refused=refused, adopt=adopt, mend=mend)


def admin_url(target: Target) -> UpstreamUrl:
    """Resolve ``admin_url``, or end with words."""
    from holdpoint.config import UrlError

    try:
        return resolved(target.admin_source)
    except UrlError as error:
        fail(EXIT_CONFIGURATION, f"`admin_url` of target `{target.name}`: {error}")


def connected(url: UpstreamUrl) -> psycopg.Connection[tuple[Any, ...]]:
    """Connect as the one who grants, or end with words."""
    import psycopg

    from holdpoint.engine.probes import conninfo_of
    from holdpoint.model.limits import UPSTREAM_CONNECT_TIMEOUT_S

    try:
        return psycopg.connect(
            conninfo_of(url),
            autocommit=True,
            connect_timeout=int(UPSTREAM_CONNECT_TIMEOUT_S),
            application_name="holdpoint access",
        )
    except psycopg.Error as error:
        fail(EXIT_UNREACHABLE, f"cannot reach `{url.place}`: {_one_line(error)}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE)
        with os.fdopen(number, "w", encoding="utf-8") as file:
            os.fchmod(number, PRIVATE)
            file.write(text)
    except OSError as error:
        words = (error.strerror or "it cannot be written").lower()
        fail(EXIT_USAGE, f"cannot write `{path}`: {words}")


def print_plan(plan: Plan, config: Config, options: str = "") -> None:
    """Print a plan for people; what is wrong comes last, where it is read.

    ``options`` are those of ``asked_for``: without them, `apply` would send another plan.
    """
    print_steps(plan)
    if plan.steps and not plan.problems:
        click.echo(f"\n{visible(plan.shown_sql)}")
    _print_list("everybody may, and so the roles too (`--mend` ends it):", _mends(plan))
    _print_list("good to know:", plan.notes)
    _print_list("cannot be done as things are:", plan.blocked)
    _print_list("stands in the way, so nothing is done:", plan.problems)
    if plan.settled:
        click.echo("nothing to do: the database gives what the configuration asks")
    elif plan.steps and not plan.problems:
        named = f" --config {config.file}" if config.file != "holdpoint.toml" else ""
        click.echo(
            f"{len(plan.steps)} statement{'s' if len(plan.steps) > 1 else ''}; "
            f"`holdpoint access apply {plan.target}{options}{named} --agent AGENT` "
            "sends all through the gate"
        )


def print_steps(plan: Plan) -> None:
    """Print what each role gets and loses."""
    about: str | None = None
    for step in plan.steps:
        if about is not None and about != step.role:
            click.echo("")
        about = step.role
        click.echo(_line(step))


def _line(step: Step) -> str:
    who = f"role `{step.role}` " if step.role else ""
    return one_line(f"{'+' if step.adds else '-'} {who}{step.words}")


def _mends(plan: Plan) -> list[str]:
    return [
        f"{each.words}; {each.obstacle}" if each.obstacle else each.words for each in plan.mends
    ]


def _print_list(title: str, lines: tuple[str, ...] | list[str]) -> None:
    if lines:
        click.echo(title)
        for line in lines:
            click.echo(f"  * {one_line(line)}")
        click.echo("")


def document(plan: Plan) -> dict[str, Any]:
    """Return a plan as JSON values, without verifiers."""
    return {
        "target": plan.target,
        "database": plan.database,
        "admin": plan.admin,
        "settled": plan.settled,
        "steps": [
            {
                "role": step.role or None,
                "adds": step.adds,
                "words": step.words,
                "sql": step.shown,
            }
            for step in plan.steps
        ],
        "problems": list(plan.problems),
        "blocked": list(plan.blocked),
        "notes": list(plan.notes),
        "everybody": [
            {
                "words": each.words,
                "obstacle": each.obstacle or None,
                "sql": [step.shown for step in each.steps],
            }
            for each in plan.mends
        ],
    }
