"""``holdpoint explain``: what would happen to one statement, and why; or what a code means."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from holdpoint.cli.check import open_judge
from holdpoint.cli.hold import EXIT_REFUSED, EXIT_USAGE, fail, visible

if TYPE_CHECKING:
    from holdpoint.cli.judging import Judgement

_CODE: Final = re.compile(r"HP\d{4}", re.IGNORECASE)
_COLOURS: Final = {"ALLOW": "green", "HOLD": "yellow", "DENY": "red"}


@click.command(
    epilog="Exit codes: 0 allowed, 1 held or denied, 2 usage, 3 configuration, 4 unreachable."
)
@click.argument("statement", metavar="SQL|CODE")
@click.option("--tier", default="", metavar="TIER", help="An access level, tier or target/tier.")
@click.option(
    "--config",
    "config_path",
    envvar="HOLDPOINT_CONFIG",
    metavar="FILE",
    help="Judge by this configuration; also from HOLDPOINT_CONFIG.",
)
@click.option("--url", default="", metavar="URL", help="A database to ask: URL, env: or file:.")
@click.option("--agent", default="", metavar="NAME", help="Judge as this agent.")
@click.option("--task", default="", metavar="NAME", help="Judge as part of this task.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of words.")
def explain(
    statement: str,
    tier: str,
    config_path: str | None,
    url: str,
    agent: str,
    task: str,
    as_json: bool,
) -> None:
    """Say what would happen to a statement, and why. No database is needed.

    With --url a database tells how much would change, too; nothing is run or touched.
    `holdpoint explain HP2101` shows what a finding's code means.
    """
    if _CODE.fullmatch(statement):
        _explain_code(statement.upper(), as_json)
        return
    judge = open_judge(config_path, tier, url, agent, task)
    judgement = judge.judge(statement, tier, thorough=True)
    if as_json:
        import orjson

        document = {"id": None, **judgement.document()}
        click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    else:
        _print(judgement)
    raise SystemExit(EXIT_REFUSED if judgement.decision.verdict else 0)


def _print(judgement: Judgement) -> None:
    """A judgement in words."""
    verdict, tier = judgement.decision.verdict.name, judgement.place.tier
    where = f"{judgement.place.target.engine} · tier {tier.name}"
    if tier.name != tier.access.value:
        where += f" ({tier.access.value})"
    where += f" · {judgement.place.target.environment_of(tier)}"
    click.echo(click.style(verdict, fg=_COLOURS[verdict], bold=True) + f"  {where}")
    for sentence in judgement.impact.words if judgement.impact is not None else ():
        click.echo(f"  - {visible(sentence)}")
    for finding in judgement.decision.findings:
        click.echo(f"  {finding.code}  {visible(finding.message)}")
        for name, text in (("why", finding.detail), ("hint", finding.hint)):
            if text:
                click.echo(f"          {name:<5} {visible(text)}")
    reading = judgement.reading
    if judgement.decision.verdict == 0 and not judgement.decision.findings:
        click.echo("  nothing speaks against it")
    uses: dict[str, list[str]] = {}
    for use in reading.objects:
        uses.setdefault(use.label, []).append(use.access.value)
    objects = [f"{label} ({', '.join(dict.fromkeys(how))})" for label, how in uses.items()]
    for name, words in (
        ("effects", sorted(effect.value for effect in reading.effects)),
        ("objects", objects),
        ("functions", list(reading.functions)),
        ("unknown", list(reading.unknowns)),
    ):
        if words:
            click.echo(f"  {name:<10}{visible(', '.join(words))}")


def _explain_code(code: str, as_json: bool) -> None:
    """Print the page of a finding's code."""
    page = page_of(code)
    if page is None:
        from holdpoint.policy.compile import nearest

        hint = nearest(code, known_codes())
        fail(EXIT_USAGE, f"there is no page for `{code}`", hint)
    if as_json:
        import orjson

        document = {"code": code, "page": page}
        click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    else:
        click.echo(page.rstrip())


def _page_folders() -> list[Path]:
    """Where pages can be: in the installed package, or in the repository it runs from."""
    package = Path(str(resources.files("holdpoint")))
    return [
        package / "impact" / "hazards" / "pages",
        package / "pages",
        package.parent.parent / "docs" / "hazards",
    ]


def page_of(code: str) -> str | None:
    """The page of a code, in Markdown."""
    for folder in _page_folders():
        path = folder / f"{code}.md"
        if path.is_file():
            return path.read_text("utf-8")
    return None


def known_codes() -> list[str]:
    """Every code that has a page."""
    found = {path.stem for folder in _page_folders() for path in folder.glob("HP*.md")}
    return sorted(found)
