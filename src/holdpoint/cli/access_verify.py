"""``holdpoint access verify``: prove what the database gives each tier, and report drift."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from holdpoint.cli.access_plan import load_config, resolved
from holdpoint.cli.hold import EXIT_USAGE, fail, visible
from holdpoint.cli.options import config_option

if TYPE_CHECKING:
    from holdpoint.access.verify.verify import Verified
    from holdpoint.config import Config
    from holdpoint.model.target import Target


@click.command(
    "verify",
    epilog="Exit codes: 0 as configured, 1 drift, 2 usage, 3 configuration, 4 unreachable.",
)
@click.argument("target", default="")
@click.option(
    "--tier", "tiers", multiple=True, metavar="TIER", help="Only this tier; may stand again."
)
@click.option("--no-try", is_flag=True, help="Only read privileges; try no statement.")
@click.option("--quiet", "-q", is_flag=True, help="Print nothing when all is well: for cron.")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify_command(
    target: str,
    tiers: tuple[str, ...],
    no_try: bool,
    quiet: bool,
    config_path: Path,
    as_json: bool,
) -> None:
    """Prove that the database gives each tier what the configuration says, no more and no less.

    Reads the effective privileges from the server itself, then tries as the tier's own role what
    must fail and what must work, in transactions that are rolled back. Changes nothing.
    """
    from holdpoint.access.verify import report
    from holdpoint.access.verify.verify import verify_target

    targets = _targets(load_config(config_path), target, tiers)
    results: list[Verified] = []
    with _progress(sum(len(each.tiers) for each in targets), quiet or as_json) as step:
        for each in targets:
            for result in verify_target(each, resolved, tiers, attempts=not no_try, on_role=step):
                results.append(result)
    code = report.exit_code(results)
    if as_json:
        click.echo(json.dumps(report.document(results), indent=2))
    elif code or not quiet:
        for result in results:
            if not quiet or report.exit_code([result]):
                for line in report.lines(result):
                    click.echo(visible(line))
        click.echo(report.summary(results))
    sys.exit(code)


def _targets(config: Config, name: str, tiers: tuple[str, ...]) -> list[Target]:
    """The targets to verify: the one that is named, or all; ends with words for unknown names."""
    from holdpoint.policy.compile import nearest

    found = [each for each in config.targets if not name or each.name == name]
    if not found:
        names = [each.name for each in config.targets]
        fail(EXIT_USAGE, f"there is no target `{visible(name)}`", nearest(name, names))
    known = [tier.name for each in found for tier in each.tiers]
    for tier in tiers:
        if tier not in known:
            fail(EXIT_USAGE, f"there is no tier `{visible(tier)}`", nearest(tier, known))
    return found


@contextmanager
def _progress(tiers: int, hidden: bool) -> Iterator[Callable[[str, str], None]]:
    """A bar that says which role is looked at; only where somebody sees it."""
    if hidden or not sys.stderr.isatty():
        yield lambda tier, role: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    seen: set[str] = set()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("verifying", total=tiers)

        def step(tier: str, role: str) -> None:
            seen.add(tier)
            bar.update(task, completed=len(seen) - 1, description=f"{tier} · {role}")

        yield step
