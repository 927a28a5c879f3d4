"""``holdpoint task``: pieces of work of agents, each with a secret that ends by itself.

``start``, ``list``, ``show`` and ``end`` are people's and work on the store's file; ``request`` is
for agents and asks the running server (``task_request``).
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from holdpoint.cli import credentials
from holdpoint.cli.hold import EXIT_REFUSED, EXIT_USAGE, fail, visible
from holdpoint.cli.person import on_store, opened, said
from holdpoint.cli.task_request import request
from holdpoint.model import limits

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from holdpoint.model.task import Task
    from holdpoint.store import Store


@click.group()
def task() -> None:
    """Pieces of work of agents, with secrets and tiers for a time.

    `request` is for agents, the others need access to the store's file.
    """


task.add_command(request)


@task.command()
@click.option("--agent", "agent_name", required=True, help="The agent that does it.")
@click.option("--description", required=True, help="What it was asked to do.")
@click.option("--tier", "tiers", multiple=True, help="A tier it gets, as target/tier; repeatable.")
@click.option("--expires", default="8h", show_default=True, help="When it ends by itself.")
@click.option("--ticket", default="", help="Where the work is written down.")
@click.option("--budget", "limits_", multiple=True, help="A limit, as rows=1000; repeatable.")
@click.option("--by", "person", default="", help="Who gives it; else the agent's owner.")
@click.option("--gate", default=None, help="Host and port for the printed string.")
@click.option("--target", default="", help="Target, or target/tier, for the printed string.")
@on_store
def start(
    agent_name: str,
    description: str,
    tiers: tuple[str, ...],
    expires: str,
    ticket: str,
    limits_: tuple[str, ...],
    person: str,
    gate: str | None,
    target: str,
    store_path: Path,
    as_json: bool,
) -> None:
    """Start a task and print its id and secret, once.

    The agent signs in with the task's id in place of its name. It may use what the agent may, and
    the tiers given here, until the task expires or is ended.
    """
    from holdpoint.model.task import Task

    _check_text("description", description, limits.DESCRIPTION_CHARS_MAX)
    if ticket:
        _check_text("ticket", ticket, limits.TICKET_CHARS_MAX)
    now = datetime.now(UTC)
    config = Path(os.environ.get("HOLDPOINT_CONFIG") or "holdpoint.toml")
    asked = Task(
        id="",
        agent=agent_name,
        description=description,
        created_by=person,
        created_at=now,
        expires_at=now
        + timedelta(seconds=credentials.seconds(expires, limits.TASK_MAX_S, "--expires")),
        ticket=ticket,
        tiers=credentials.checked_tiers(tiers, config),
        budget=credentials.budget_of(limits_),
    )
    issued = credentials.issue()
    with opened(store_path) as store:
        made = _started(store, asked, issued.verifier)
    where = target or (made.tiers[0] if made.tiers else "TARGET")
    place = gate or credentials.gate_place()
    string = credentials.connection_string(made.id, issued.secret, place, where)
    said(
        as_json,
        {**document(made, now), "secret": issued.secret, "connection": string},
        f"started {made.id} for {visible(made.agent)}, until {_time(made.expires_at)}",
        "",
        f"secret: {issued.secret}",
        f"connect with: {string}",
        f"the secret is shown only now; `holdpoint task end {made.id}` ends it early",
    )


def _check_text(what: str, text: str, chars_max: int) -> None:
    plain = " ".join(text.split())
    if not plain or not plain.isprintable():
        fail(EXIT_USAGE, f"the {what} must be words that can be shown")
    if len(text) > chars_max:
        fail(EXIT_USAGE, f"the {what} has {len(text):,} characters; {chars_max:,} fit")


def _started(store: Store, asked: Task, verifier: str) -> Task:
    """Store the task with its record, given by a person who exists."""
    from dataclasses import replace

    from holdpoint.engine import tasks
    from holdpoint.engine.journal import change
    from holdpoint.model.record import RecordKind

    owner = store.agents.find(asked.agent)
    known = store.people.find(asked.created_by) if asked.created_by else None
    if asked.created_by and known is None:
        fail(EXIT_REFUSED, f"there is no person `{visible(asked.created_by)}`")
    giver = known.name if known else owner.owner if owner else ""
    kept: list[Task] = []

    def work(connection: Connection) -> dict[str, Any]:
        kept.append(tasks.start(connection, replace(asked, created_by=giver), verifier))
        return tasks.started_body(kept[-1])

    change(store, RecordKind.TASK_STARTED, work)
    return kept[-1]


@task.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that are over.")
@click.option("--agent", "agent_name", default="", help="Of this agent only.")
@on_store
def list_tasks(everything: bool, agent_name: str, store_path: Path, as_json: bool) -> None:
    """List the tasks, newest first."""
    now = datetime.now(UTC)
    with opened(store_path) as store:
        found = store.tasks.all(agent_name)
    shown = [each for each in found if everything or state_of(each, now) == "open"]
    lines: list[str] = []
    for each in shown:
        tiers = f"  {', '.join(each.tiers)}" if each.tiers else ""
        head = f"{each.id}  {each.agent}  {_standing(each, now)}"
        lines += [visible(head + tiers), visible(f"    {' '.join(each.description.split())}")]
    said(
        as_json,
        {"tasks": [document(each, now) for each in shown]},
        *(lines or ["no tasks: `holdpoint task start` makes one"]),
    )


@task.command()
@click.argument("task_id", metavar="ID")
@on_store
def show(task_id: str, store_path: Path, as_json: bool) -> None:
    """Show one task."""
    now = datetime.now(UTC)
    with opened(store_path) as store:
        found = store.tasks.get(task_id)
    if found is None:
        fail(EXIT_REFUSED, f"there is no task `{visible(task_id)}`", "see `holdpoint task list`")
    shown = document(found, now)
    budget = ", ".join(f"{name} {value}" for name, value in shown["budget"].items())
    facts = {
        **{key: shown[key] for key in ("agent", "state", "description", "ticket")},
        "tiers": ", ".join(found.tiers),
        "budget": budget,
        "given by": f"{found.created_by} at {_time(found.created_at)}",
        "expires": _time(found.expires_at),
        "ended": _time(found.ended_at) if found.ended_at else "",
    }
    lines = [f"  {name:<12}  {' '.join(str(value).split())}" for name, value in facts.items()]
    said(as_json, shown, found.id, *(visible(line) for line in lines if line.strip()))


@task.command()
@click.argument("task_id", metavar="ID")
@on_store
def end(task_id: str, store_path: Path, as_json: bool) -> None:
    """End a task now, with all that it asked for and collected. Secrets are dead at once.

    A running server ends its sessions within a few seconds, and what they run is cancelled.
    """
    from holdpoint.engine import tasks
    from holdpoint.engine.journal import change
    from holdpoint.model.record import RecordKind

    with opened(store_path) as store:
        body = change(
            store,
            RecordKind.TASK_ENDED,
            lambda connection: tasks.end(connection, task_id, datetime.now(UTC)),
        )
    collected = body["collected"]
    with_it = f" and {', '.join(collected)}, which it collected" if collected else ""
    said(
        as_json,
        {"id": task_id, "collected": collected},
        f"ended {visible(task_id)}{with_it}; the sessions end",
    )


def state_of(task: Task, now: datetime) -> str:
    """``open``, ``ended`` or ``expired``."""
    if task.ended_at is not None:
        return "ended"
    return "open" if now < task.expires_at else "expired"


def _standing(task: Task, now: datetime) -> str:
    if task.ended_at is not None:
        return f"ended at {_time(task.ended_at)}"
    return f"{'until' if now < task.expires_at else 'expired at'} {_time(task.expires_at)}"


def document(task: Task, now: datetime) -> dict[str, Any]:
    """A task as JSON."""
    from holdpoint.store.tasks import budget_document

    return {
        "id": task.id,
        "agent": task.agent,
        "state": state_of(task, now),
        "description": task.description,
        "ticket": task.ticket,
        "tiers": list(task.tiers),
        "budget": budget_document(task.budget),
        "created_by": task.created_by,
        "created_at": task.created_at.isoformat(timespec="seconds"),
        "expires_at": task.expires_at.isoformat(timespec="seconds"),
        "ended_at": task.ended_at.isoformat(timespec="seconds") if task.ended_at else None,
    }


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
