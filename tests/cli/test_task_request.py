"""An agent asks for a tier from a terminal, against a running server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from click.testing import CliRunner, Result

from holdpoint.cli import task_request
from holdpoint.cli.task import task
from holdpoint.model.hold import Answer, HoldState
from support.agents import SECRET, agent_door
from support.web import Review, review

pytestmark = pytest.mark.anyio

ASK = ("request", "shop/write", "--reason", "mend the totals")
AGENT = {"HOLDPOINT_AGENT": "robin", "HOLDPOINT_SECRET": SECRET}


@pytest.fixture(scope="module")
async def house(
    tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[Review]:
    """A review server with a door for agents."""
    async with review(tmp_path_factory.mktemp("house"), agents=agent_door) as running:
        yield running


async def run(house: Review, *words: str, **environment: str) -> Result:
    """Run `holdpoint task` as an agent does."""
    known = {"HOLDPOINT_URL": house.url, **AGENT, **environment}
    return await asyncio.to_thread(
        CliRunner().invoke, task, words, env={key: value or None for key, value in known.items()}
    )


async def opened(house: Review) -> str:
    """The id of the request that waits."""
    async with asyncio.timeout(30):
        while not (found := await house.book.list({HoldState.OPEN})):
            await asyncio.sleep(0.01)
    return found[0].id


async def test_the_same_command_asks_and_then_collects(house: Review) -> None:
    first = await run(house, *ASK)
    request = await opened(house)
    assert (first.exit_code, request in first.stdout, "hpa_" in first.stdout) == (1, True, False)
    await house.book.answer(request, "anna", Answer.APPROVE, "", approver_groups=frozenset())
    second = await run(house, *ASK, "--json")
    assert second.exit_code == 0, second.stderr
    got = json.loads(second.stdout)
    assert got["connection"].startswith(f"postgresql://{got['task']['id']}:{got['secret']}@")
    made = house.store.tasks.get(got["task"]["id"])
    assert made is not None
    assert made.tiers == ("shop/write",)


async def test_an_agent_waits_for_people(house: Review, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_request, "POLL_S", 0.05)
    ask = ("request", "shop/owner", "--reason", "drop the old column", "--for", "15min", "--wait")
    waiting = asyncio.create_task(run(house, *ask))
    request = await opened(house)
    await house.book.answer(request, "anna", Answer.APPROVE, "", approver_groups=frozenset())
    done = await waiting
    assert (done.exit_code, "shop%2Fowner" in done.stdout) == (0, True), done.stderr


async def test_a_refusal_is_told_with_its_note(
    house: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_request, "POLL_S", 0.05)
    ask = ("request", "shop/owner", "--reason", "why not", "--wait")
    waiting = asyncio.create_task(run(house, *ask))
    request = await opened(house)
    note = "no\x1b[2J reason"
    await house.book.answer(request, "anna", Answer.REJECT, note, approver_groups=frozenset())
    done = await waiting
    assert (done.exit_code, done.stdout) == (1, "")
    assert "rejected: no<U+001B>[2J reason" in done.stderr


@pytest.mark.parametrize(
    ("words", "environment", "code", "said"),
    [
        (ASK, {"HOLDPOINT_SECRET": "hpa_" + "x" * 43}, 1, "is not right"),
        (ASK, {"HOLDPOINT_SECRET": ""}, 2, "who asks is not known"),
        (ASK, {"HOLDPOINT_SECRET": "hpp_x"}, 2, "a person's token"),
        (ASK, {"HOLDPOINT_URL": "http://gate.example:7433"}, 2, "unprotected"),
        (ASK, {"HOLDPOINT_URL": "http://127.0.0.1:1"}, 4, "cannot be reached"),
        ((*ASK, "--for", "9d"), {}, 2, "at most 1 days"),
        (("request", "shop/wirte", "--reason", "x"), {}, 1, "no tier `shop/wirte`"),
    ],
    ids=["wrong", "none", "person", "clear", "down", "long", "typo"],
)
async def test_what_cannot_be_asked_says_why(
    house: Review, words: tuple[str, ...], environment: dict[str, str], code: int, said: str
) -> None:
    done = await run(house, *words, **environment)
    assert (done.exit_code, said in done.stderr) == (code, True), done.stderr
    assert SECRET not in done.stdout + done.stderr
