"""``holdpoint policy``: begin a configuration and check it, without starting anything."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from holdpoint.cli.hold import EXIT_USAGE, fail
from holdpoint.cli.policy_replay import replay_command

if TYPE_CHECKING:
    from holdpoint.config import Config, ConfigError
    from holdpoint.model.budget import BudgetRule

EXIT_CONFIGURATION: Final = 3
DEFAULT_FILE: Final = "holdpoint.toml"


@click.group()
def policy() -> None:
    """Create and check the configuration."""


policy.add_command(replay_command)


@policy.command("check", epilog="Exit codes: 0 valid, 2 usage, 3 not valid.")
@click.argument("file", default=DEFAULT_FILE, metavar="[FILE]")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of words.")
def check_command(file: str, as_json: bool) -> None:
    """Re-read FILE and say everything that is wrong with it."""
    from holdpoint.config import ConfigError, load

    try:
        config = load(file)
    except ConfigError as error:
        if as_json:
            _print_json({"valid": False, "problems": _problems(error), "advice": []})
        else:
            click.echo(f"error: {error.report()}", err=True)
        raise SystemExit(EXIT_CONFIGURATION) from error
    if as_json:
        _print_json(_document(config))
    else:
        _print(config)


@policy.command("init")
@click.argument("file", default=DEFAULT_FILE, metavar="[FILE]")
def init_command(file: str) -> None:
    """Write a commented starting FILE; one that is there is left alone."""
    text = resources.files("holdpoint.config").joinpath("starting.toml").read_text("utf-8")
    try:
        with Path(file).open("x", encoding="utf-8") as created:
            created.write(text)
    except FileExistsError:
        fail(EXIT_USAGE, f"`{file}` is already there", "name another file, or move it away")
    except OSError as error:
        words = (error.strerror or "it cannot be written").lower()
        fail(EXIT_USAGE, f"cannot write `{file}`: {words}")
    click.echo(f"wrote {file}")
    click.echo(f"next: put your database into it, then `holdpoint policy check {file}`")


def _problems(error: ConfigError) -> list[dict[str, Any]]:
    """Problems as JSON values."""
    return [
        {
            "file": problem.file,
            "line": problem.line,
            "place": problem.place,
            "message": problem.message,
            "hint": problem.hint,
        }
        for problem in error.problems
    ]


def _document(config: Config) -> dict[str, Any]:
    """A valid configuration in short, as JSON values."""
    from holdpoint.policy.tier_words import budget_words, who_words

    return {
        "valid": True,
        "problems": [],
        "advice": [str(each) for each in config.advice],
        "digest": config.policy.digest,
        "targets": [
            {
                "name": target.name,
                "environment": target.environment,
                "tiers": [
                    {
                        "name": tier.name,
                        "access": tier.access.value,
                        "default": tier == target.by_access()[0],
                        "agents": who_words(target, tier),
                        "budget": budget_words(tier.budget),
                    }
                    for tier in target.tiers
                ],
            }
            for target in config.targets
        ],
        "budgets": [
            {**_named(each), "budget": budget_words(each.budget)} for each in config.budgets
        ],
        "rules": [
            {
                "id": rule.id,
                "then": rule.then.name.lower(),
                "reason": rule.reason,
                "examples": len(rule.examples),
            }
            for rule in config.policy.rules
        ],
    }


def _named(rule: BudgetRule) -> dict[str, tuple[str, ...]]:
    """Whom a budget is for."""
    return {key: getattr(rule, key) for key in ("agents", "tasks", "targets", "tiers")}


def _print_json(document: dict[str, Any]) -> None:
    """One JSON document on standard output."""
    import orjson

    click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())


def _print(config: Config) -> None:
    """A valid configuration in words."""
    from holdpoint.policy.tier_words import budget_words, who_words

    click.echo(f"ok: {config.file}")
    for target in config.targets:
        click.echo(f"  target {target.name} · {target.engine} · {target.environment}")
        for tier in target.tiers:
            usual = "  (default)" if tier == target.by_access()[0] else ""
            click.echo(f"    tier {tier.name}: {tier.access.value}{usual}")
            limits = budget_words(tier.budget)
            click.echo(f"      for {who_words(target, tier)}{f'; {limits}' if limits else ''}")
    for nth, each in enumerate(config.budgets, start=1):
        named = [f"{key} {', '.join(names)}" for key, names in _named(each).items() if names]
        whom = "; ".join(named) or "everyone"
        click.echo(f"  budget {nth} ({whom}): {budget_words(each.budget)}")
    for rule in config.policy.rules:
        shown = f"{len(rule.examples)} example{'' if len(rule.examples) == 1 else 's'} hold"
        shown += "s" if len(rule.examples) == 1 else ""
        words = shown if rule.examples else "no examples"
        click.echo(f"  rule {rule.id}: {rule.then.name.lower()}, {rule.reason} ({words})")
    click.echo(f"  built-in policy `careful` under {len(config.policy.rules):,} rules of yours")
    for advice in config.advice:
        click.echo(f"advice: {advice}")
