"""The demo from curtain to curtain: the gate runs, the agent acts, a person answers.

``demo`` does not know how the gate is put together: the command line hands in ``serve``.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import psycopg

from holdpoint.demo.agent import Ending, Played, play
from holdpoint.demo.person import Given, answer_holds
from holdpoint.demo.shop import Shop
from holdpoint.demo.show import Show
from holdpoint.demo.stage import Stage
from holdpoint.model.hold import Answer

Serve = Callable[[Stage, Callable[[], None]], Coroutine[Any, Any, None]]
"""Runs the gate of a stage until cancelled; calls the function once clients can connect."""

Result = TypeVar("Result")

READY_TIMEOUT_S: Final = 60.0
CANCELLED_ORDERS: Final = 9_408  # shop.sql
DISCONTINUED_PRODUCTS: Final = 24  # shop.sql

EXPECTED: Final = {
    "read": (Ending.AT_ONCE, 6),
    "scoped write": (Ending.AT_ONCE, 1),
    "broad delete": (Ending.AFTER_ANSWER, CANCELLED_ORDERS),
    "bulk update": (Ending.REJECTED, -1),
    "narrower update": (Ending.AT_ONCE, DISCONTINUED_PRODUCTS),
    "drop": (Ending.REFUSED, -1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """What the agent did and what the person answered."""

    played: tuple[Played, ...] = ()
    given: tuple[Given, ...] = ()


class GateFailed(Exception):
    """The gate did not come up, or ended while the demo ran; the text says why."""


async def perform(
    stage: Stage, shop: Shop, serve: Serve, show: Show, *, agent: bool, auto: bool
) -> Performance:
    """Run the gate and, if wanted, play on it; without ``auto`` it runs until it is cancelled.

    Raises ``GateFailed``, and ``psycopg.Error`` or ``httpx2.HTTPError`` of the players.
    """
    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    ready = asyncio.Event()
    gate = asyncio.create_task(serve(stage, ready.set))
    try:
        await until_ready(gate, ready)
        show.addresses(stage, shop.orders)
        performance = Performance()
        if agent or auto:
            performance = await unless_gate_ends(gate, on_stage(stage, show, auto=auto))
        else:
            show.invitation(stage)
        if not auto:
            if agent:
                show.line("The agent is done; the gate stays open. Ctrl-C ends the demo.")
            await unless_gate_ends(gate, asyncio.Event().wait())
        return performance
    finally:
        gate.cancel()
        await asyncio.wait({gate})


async def until_ready(gate: asyncio.Task[None], ready: asyncio.Event) -> None:
    """Wait until clients can connect."""
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            await unless_gate_ends(gate, ready.wait())
    except TimeoutError as error:
        raise GateFailed(f"the gate was not ready within {READY_TIMEOUT_S:.0f} s") from error


async def unless_gate_ends(gate: asyncio.Task[None], work: Coroutine[Any, Any, Result]) -> Result:
    """Do ``work``; raise ``GateFailed`` as soon as the gate ends before it."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({gate, task}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        failure = gate.exception()
        raise GateFailed(f"the gate ended: {failure or 'it gave no reason'}") from failure
    finally:
        task.cancel()


async def on_stage(stage: Stage, show: Show, *, auto: bool) -> Performance:
    """Play the agent and, with ``auto``, the person beside it."""
    stop = threading.Event()
    person = asyncio.create_task(
        asyncio.to_thread(answer_holds, stage.base_url, stage.person_token, stop, show.answered)
        if auto
        else nobody()
    )
    agent = asyncio.create_task(asyncio.to_thread(play, stage.agent_url(), show.narrate))
    try:
        # A person who fails would leave the agent waiting for its answer.
        await asyncio.wait({agent, person} if auto else {agent}, return_when="FIRST_COMPLETED")
        if person.done() and not agent.done():
            person.result()
        played = await agent
    finally:
        stop.set()
    return Performance(played=played, given=await person)


async def nobody() -> tuple[Given, ...]:
    """No person is played: the one at the page answers."""
    return ()


def surprises(performance: Performance, shop: Shop) -> tuple[str, ...]:
    """What ended otherwise than the demo promises, in words; asks the database itself, too."""
    found = []
    endings = {played.act.name: played for played in performance.played}
    for name, (ending, rows) in EXPECTED.items():
        played = endings.get(name)
        if played is None:
            found.append(f"the act `{name}` was not played")
        elif (played.ending, played.rows) != (ending, rows):
            told = f": {played.message}" if played.message else ""
            found.append(
                f"the act `{name}` {played.ending} with {played.rows} rows, "
                f"expected: {ending} with {rows}{told}"
            )
    for played in performance.played:
        if played.ending is Ending.AT_ONCE and played.replica is not (not played.act.tier):
            found.append(f"the act `{played.act.name}` ran on the wrong server")
    answers = [given.answer for given in performance.given]
    if answers != [Answer.APPROVE, Answer.REJECT]:
        found.append(f"expected one approval and one rejection, saw {len(answers)} answers")
    with psycopg.connect(shop.owner) as connection:
        for question, expected in TRUTHS.items():
            row = connection.execute(question).fetchone()
            if row != (expected,):
                found.append(f"`{question}` gives {row}, expected {expected:,}")
    return tuple(found)


# What the database itself must say when the demo is over.
TRUTHS: Final = {
    "SELECT count(*) FROM orders WHERE status = 'cancelled'": 0,
    "SELECT count(*) FROM orders": 120_000 - CANCELLED_ORDERS,
    "SELECT count(*) FROM audit_log WHERE table_name = 'products'": DISCONTINUED_PRODUCTS,
    "SELECT count(*) FROM audit_log WHERE action = 'DELETE'": CANCELLED_ORDERS,
}
