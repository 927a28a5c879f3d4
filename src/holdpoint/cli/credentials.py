"""What the commands share that give agents something to sign in with."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

import click

from holdpoint.cli.person import server_config

if TYPE_CHECKING:
    from holdpoint.model.budget import Budget

PLACEHOLDER: Final = "GATE_HOST:GATE_PORT"


class Issued(NamedTuple):
    """A new secret, and what is stored of it."""

    secret: str
    verifier: str


def issue() -> Issued:
    """Make a secret of an agent."""
    from holdpoint.doors.web.credentials import CredentialClass, new_secret
    from holdpoint.wire.postgres.scram import SALT_BYTES, make_verifier

    secret = new_secret(CredentialClass.AGENT, secrets.token_bytes)
    return Issued(secret, make_verifier(secret, secrets.token_bytes(SALT_BYTES)))


def connection_string(login: str, secret: str, gate: str, target: str) -> str:
    """The address that an agent's client connects to."""
    return f"postgresql://{quote(login, safe='')}:{secret}@{gate}/{quote(target, safe='')}"


def gate_place() -> str:
    """Where the configuration lets agents connect; a placeholder without one."""
    config = server_config()
    if config is None or not config.listen.host or not config.listen.port:
        return PLACEHOLDER
    return str(config.listen)


def seconds(text: str, most_s: float, option: str) -> float:
    """A duration such as `90s`, `30min`, `8h` or `2d`; ends the command when it is none."""
    from holdpoint.config.locate import Lines
    from holdpoint.config.problems import Notes
    from holdpoint.config.quantities import read_limit_s

    notes = Notes("", Lines(""))
    found = read_limit_s(text, (option,), notes, most_s)
    if found is None:
        raise click.UsageError(f"{option}: {notes.problems[0].message}; {notes.problems[0].hint}")
    return found


def budget_of(words: tuple[str, ...]) -> Budget:
    """A budget from `rows=1000`, `statement_time=30s`, ...: the keys of the configuration."""
    from holdpoint.config.budgets import read_budget
    from holdpoint.config.locate import Lines
    from holdpoint.config.problems import Notes

    table: dict[str, object] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key in table:
            raise click.UsageError(f"--budget {word}: write `rows=1000`, each limit once")
        table[key] = int(value) if value.isascii() and value.isdecimal() else value
    notes = Notes("", Lines(""))
    budget = read_budget(table or None, ("--budget",), notes)
    if notes.problems:
        problem = notes.problems[0]
        raise click.UsageError(f"--budget: {problem.message}; {problem.hint}".rstrip("; "))
    return budget


def checked_tiers(tiers: tuple[str, ...], config_path: Path) -> tuple[str, ...]:
    """Tiers as ``target/tier``; those of a configuration at hand must be in it."""
    import tomllib

    known: set[str] | None = None
    try:
        targets = tomllib.loads(config_path.read_text(encoding="utf-8")).get("targets", {})
        known = {f"{target}/{tier}" for target, body in targets.items() for tier in body["tiers"]}
    except FileNotFoundError:
        pass  # on another machine than the gate's: the gate itself looks at the name
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise click.UsageError(
            f"`{config_path}` cannot be read: {error}: run `holdpoint policy check`"
        ) from error
    for tier in tiers:
        target, slash, name = tier.partition("/")
        if not target or not slash or not name or "/" in name:
            raise click.UsageError(f"--tier {tier}: write `target/tier`")
        if known is not None and tier not in known:
            listed = ", ".join(f"`{each}`" for each in sorted(known))
            raise click.UsageError(f"--tier {tier}: there is no such tier; there are {listed}")
    return tuple(dict.fromkeys(tiers))
