"""Holds over a real store and a real recorder."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from holdpoint.engine.holds import AnswerRefused, HoldBook, HoldRefused
from holdpoint.engine.quorum import satisfied
from holdpoint.engine.recorder import Recorder
from holdpoint.model import limits
from holdpoint.model.decision import ApprovalNeed, Quorum
from holdpoint.model.finding import Finding
from holdpoint.model.hold import Answer, Hold, HoldState
from holdpoint.store import Store

pytestmark = pytest.mark.anyio

NOBODY: frozenset[str] = frozenset()
DBA = frozenset({"dba"})


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = datetime(2030, 5, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


class House:
    """One server's worth of holds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = Clock()
        self.store = Store.open(path)
        self.recorder = Recorder(self.store)
        self.book = HoldBook(self.store, self.recorder, self.clock)

    async def start(self) -> House:
        await self.recorder.start()
        return self

    async def stop(self) -> None:
        await self.recorder.close()
        self.store.close()

    def kinds(self) -> list[tuple[str, str]]:
        """Kind and state of every record about holds, oldest first."""
        found = []
        for record in self.store.records.walk():
            body = orjson.loads(record.body)
            if record.kind in ("statement.held", "hold.answered", "hold.ended"):
                found.append((record.kind, str(body.get("state", "open"))))
        return found


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = await House(tmp_path / "h.db").start()
    house.store.agents.add("bot", "olga", "SCRAM-SHA-256$x", house.clock())
    for name in ("olga", "anna", "ben", "carl"):
        house.store.people.add(name, house.clock())
    yield house
    await house.stop()


def a_hold(clock: Clock, need: ApprovalNeed | None = None, **changes: str) -> Hold:
    return Hold(
        id="",
        digest=changes.get("digest", "d" * 64),
        agent=changes.get("agent", "bot"),
        task="",
        session="s-1",
        target="shop",
        tier="write",
        summary="DELETE on `orders`",
        case_json='{"text":"DELETE FROM orders"}',
        findings=(Finding(code="HP2204", message="too many rows"),),
        need=need or ApprovalNeed(),
        state=HoldState.OPEN,
        created_at=clock(),
        expires_at=clock() + timedelta(minutes=30),
    )


async def test_an_approved_hold_is_found_and_claimed_once(house: House) -> None:
    hold = await house.book.open(a_hold(house.clock))
    assert hold.id.startswith("h-")
    assert len(hold.id) == 8
    assert await house.book.find("bot", hold.digest) == hold

    approved = await house.book.answer(
        hold.id, "anna", Answer.APPROVE, "fine", approver_groups=NOBODY
    )
    assert approved.state is HoldState.APPROVED
    assert [given.note for given in approved.approvals] == ["fine"]

    assert await house.book.claim(hold.id) is True
    assert await house.book.claim(hold.id) is False
    assert await house.book.find("bot", hold.digest) is None
    assert house.kinds() == [
        ("statement.held", "open"),
        ("hold.answered", "approved"),
        ("hold.ended", "claimed"),
    ]


async def test_an_open_hold_cannot_be_claimed(house: House) -> None:
    hold = await house.book.open(a_hold(house.clock))
    assert await house.book.claim(hold.id) is False
    assert (await house.book.get(hold.id)).state is HoldState.OPEN


async def test_another_agent_does_not_find_the_hold(house: House) -> None:
    hold = await house.book.open(a_hold(house.clock))
    assert await house.book.find("other", hold.digest) is None
    assert await house.book.find("bot", "e" * 64) is None


async def test_a_hundred_claims_at_once_win_once(house: House) -> None:
    hold = await house.book.open(a_hold(house.clock))
    await house.book.answer(hold.id, "anna", Answer.APPROVE, "", approver_groups=NOBODY)
    wins = await asyncio.gather(*(house.book.claim(hold.id) for _ in range(100)))
    assert sum(wins) == 1
    assert [state for _, state in house.kinds()].count("claimed") == 1


CLAIM = """
import sys
from datetime import UTC, datetime
from holdpoint.model.hold import HoldState
from holdpoint.store import Store
from holdpoint.store.holds import move
store = Store.open(sys.argv[1])
sys.stdin.readline()
won = []
for hold_id in sys.argv[2:]:
    with store.database.writing() as connection:
        won.append(move(connection, hold_id, HoldState.CLAIMED))
print(" ".join(str(int(win)) for win in won))
"""


async def test_two_processes_never_claim_the_same_hold(house: House) -> None:
    ids = []
    for number in range(20):
        hold = await house.book.open(a_hold(house.clock, digest=f"{number:064x}"))
        await house.book.answer(hold.id, "anna", Answer.APPROVE, "", approver_groups=NOBODY)
        ids.append(hold.id)

    def race() -> list[list[int]]:
        children = [
            subprocess.Popen(
                [sys.executable, "-c", CLAIM, str(house.path), *ids],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        for child in children:
            child.stdin.write("go\n")
            child.stdin.flush()
        return [[int(word) for word in child.communicate()[0].split()] for child in children]

    first, second = await asyncio.to_thread(race)
    assert [one + two for one, two in zip(first, second, strict=True)] == [1] * 20


@pytest.mark.parametrize(
    ("approver", "words"),
    [
        ("bot", "is an agent"),
        ("BOT", "is an agent"),
        ("Bot", "is an agent"),
        ("olga", "answers for agent"),
        ("Olga", "answers for agent"),
        ("ｏｌｇａ", "answers for agent"),
    ],
)
async def test_the_requester_and_the_owner_never_answer(
    house: House, approver: str, words: str
) -> None:
    hold = await house.book.open(a_hold(house.clock))
    for answer in Answer:
        with pytest.raises(AnswerRefused, match=words):
            await house.book.answer(
                hold.id, approver, answer, "", approver_groups=frozenset({"admin", "dba"})
            )
    assert (await house.book.get(hold.id)).approvals == ()
    assert house.kinds() == [("statement.held", "open")]


async def test_another_agent_does_not_answer_either(house: House) -> None:
    house.store.agents.add("helper", "anna", "v", house.clock())
    hold = await house.book.open(a_hold(house.clock))
    with pytest.raises(AnswerRefused, match="agents never answer"):
        await house.book.answer(hold.id, "helper", Answer.APPROVE, "", approver_groups=DBA)


async def test_nobody_approves_for_an_agent_without_a_known_owner(house: House) -> None:
    hold = await house.book.open(a_hold(house.clock, agent="ghost"))
    with pytest.raises(AnswerRefused, match="unknown or revoked"):
        await house.book.answer(hold.id, "anna", Answer.APPROVE, "", approver_groups=NOBODY)
    rejected = await house.book.answer(
        hold.id, "anna", Answer.REJECT, "who is this?", approver_groups=NOBODY
    )
    assert rejected.state is HoldState.REJECTED


async def test_a_revoked_person_does_not_answer(house: House) -> None:
    house.store.people.revoke("anna", house.clock())
    hold = await house.book.open(a_hold(house.clock))
    with pytest.raises(AnswerRefused, match="was revoked"):
        await house.book.answer(hold.id, "anna", Answer.APPROVE, "", approver_groups=NOBODY)


async def test_one_answer_per_person_in_every_spelling(house: House) -> None:
    need = ApprovalNeed(all_of=(Quorum(count=2),))
    hold = await house.book.open(a_hold(house.clock, need))
    await house.book.answer(hold.id, "anna", Answer.APPROVE, "", approver_groups=NOBODY)
    for again in ("anna", "ANNA", "Anna"):
        with pytest.raises(AnswerRefused, match=r"answered hold .* already"):
            await house.book.answer(hold.id, again, Answer.APPROVE, "", approver_groups=NOBODY)
    assert (await house.book.get(hold.id)).state is HoldState.OPEN


async def test_one_rejection_ends_it(house: House) -> None:
    need = ApprovalNeed(all_of=(Quorum(count=3),))
    hold = await house.book.open(a_hold(house.clock, need))
    await house.book.answer(hold.id, "anna", Answer.APPROVE, "", approver_groups=NOBODY)
    ended = await house.book.answer(hold.id, "ben", Answer.REJECT, "no", approver_groups=NOBODY)
    assert ended.state is HoldState.REJECTED
    with pytest.raises(AnswerRefused, match="is rejected, no longer open"):
        await house.book.answer(hold.id, "carl", Answer.APPROVE, "", approver_groups=NOBODY)
    assert await house.book.claim(hold.id) is False


async def test_people_outside_the_groups_have_no_say(house: House) -> None:
    need = ApprovalNeed(all_of=(Quorum(group="dba"),))
    hold = await house.book.open(a_hold(house.clock, need))
    for answer in Answer:
        with pytest.raises(AnswerRefused, match="in no group that counts"):
            await house.book.answer(
                hold.id, "anna", answer, "", approver_groups=frozenset({"sales"})
            )


async def test_the_groups_at_the_time_of_the_answer_count(house: House) -> None:
    need = ApprovalNeed(all_of=(Quorum(group="dba"), Quorum(group="legal")))
    hold = await house.book.open(a_hold(house.clock, need))
    both = frozenset({"dba", "legal"})
    one = await house.book.answer(hold.id, "anna", Answer.APPROVE, "", approver_groups=both)
    assert one.state is HoldState.OPEN, "one human fills one seat"
    two = await house.book.answer(hold.id, "ben", Answer.APPROVE, "", approver_groups=DBA)
    assert two.state is HoldState.APPROVED, "anna takes the other seat"


@pytest.mark.parametrize(
    ("need", "approvers", "enough"),
    [
        (ApprovalNeed(), {}, False),
        (ApprovalNeed(), {"a": set()}, True),
        (ApprovalNeed(all_of=()), {}, False),
        (ApprovalNeed(all_of=()), {"a": set()}, True),
        (ApprovalNeed(all_of=(Quorum(count=0),)), {}, False),
        (ApprovalNeed(all_of=(Quorum(count=-5),)), {"a": set()}, True),
        (ApprovalNeed(all_of=(Quorum(group="dba", count=2),)), {"a": {"dba"}, "b": set()}, False),
        (ApprovalNeed(all_of=(Quorum(group="dba", count=2),)), {"a": {"dba"}, "b": {"dba"}}, True),
        (ApprovalNeed(all_of=(Quorum(group="dba"), Quorum())), {"a": {"dba"}}, False),
        (ApprovalNeed(all_of=(Quorum(), Quorum(group="dba"))), {"a": {"dba"}, "b": set()}, True),
        (
            ApprovalNeed(all_of=(Quorum(group="x"), Quorum(group="y"), Quorum(group="z"))),
            {"a": {"x", "y"}, "b": {"x"}, "c": {"y", "z"}},
            True,
        ),
        (
            ApprovalNeed(all_of=(Quorum(group="x"), Quorum(group="y"), Quorum(group="z"))),
            {"a": {"x", "y"}, "b": {"x"}, "c": {"y"}},
            False,
        ),
        (
            ApprovalNeed(all_of=(), any_of=(Quorum(group="dba"), Quorum(group="lead", count=2))),
            {"a": {"lead"}},
            False,
        ),
        (
            ApprovalNeed(all_of=(), any_of=(Quorum(group="dba"), Quorum(group="lead", count=2))),
            {"a": {"lead"}, "b": {"lead"}},
            True,
        ),
        (
            ApprovalNeed(
                all_of=(Quorum(group="dba"),), any_of=(Quorum(group="lead"), Quorum(group="dba"))
            ),
            {"a": {"dba", "lead"}},
            False,
        ),
    ],
)
def test_quorums_count_distinct_humans(
    need: ApprovalNeed, approvers: dict[str, set[str]], enough: bool
) -> None:
    given = {name: frozenset(groups) for name, groups in approvers.items()}
    assert satisfied(need, given) is enough


async def test_an_expired_hold_serves_nothing(house: House) -> None:
    approved = await house.book.open(a_hold(house.clock))
    waiting = await house.book.open(a_hold(house.clock, digest="e" * 64))
    await house.book.answer(approved.id, "anna", Answer.APPROVE, "", approver_groups=NOBODY)
    house.clock.now += timedelta(minutes=30)

    assert await house.book.find("bot", approved.digest) is None
    assert await house.book.claim(approved.id) is False
    with pytest.raises(AnswerRefused, match="expired at 12:30:00 UTC"):
        await house.book.answer(waiting.id, "anna", Answer.APPROVE, "", approver_groups=NOBODY)

    assert await house.book.expire_due() == 2
    assert await house.book.expire_due() == 0
    for hold in (approved, waiting):
        assert (await house.book.get(hold.id)).state is HoldState.EXPIRED


async def test_waiting_ends_with_the_answer(house: House) -> None:
    hold = await house.book.open(a_hold(house.clock))
    waiter = asyncio.create_task(house.book.wait(hold.id, 30))
    await asyncio.sleep(0)
    await house.book.answer(hold.id, "anna", Answer.REJECT, "no", approver_groups=NOBODY)
    assert (await waiter).state is HoldState.REJECTED


async def test_waiting_ends_open_when_the_time_is_over(house: House) -> None:
    hold = await house.book.open(a_hold(house.clock))
    assert (await house.book.wait(hold.id, 0.01)).state is HoldState.OPEN


async def test_waiting_notices_expiry_by_itself(house: House) -> None:
    hold = await house.book.open(a_hold(house.clock))
    house.clock.now += timedelta(hours=1)
    assert (await house.book.wait(hold.id, 30)).state is HoldState.EXPIRED


@pytest.mark.parametrize("state", [HoldState.ABANDONED, HoldState.CANCELLED])
async def test_a_client_that_goes_away_has_its_own_end(house: House, state: HoldState) -> None:
    hold = await house.book.open(a_hold(house.clock))
    assert await house.book.end(hold.id, state) is True
    assert await house.book.end(hold.id, HoldState.CANCELLED) is False
    assert (await house.book.get(hold.id)).state is state
    with pytest.raises(AnswerRefused, match=f"is {state.value}"):
        await house.book.answer(hold.id, "anna", Answer.APPROVE, "", approver_groups=NOBODY)


async def test_an_approved_hold_can_be_superseded_but_not_abandoned(house: House) -> None:
    hold = await house.book.open(a_hold(house.clock))
    await house.book.answer(hold.id, "anna", Answer.APPROVE, "", approver_groups=NOBODY)
    assert await house.book.end(hold.id, HoldState.ABANDONED) is False
    assert await house.book.end(hold.id, HoldState.SUPERSEDED) is True
    assert await house.book.claim(hold.id) is False


async def test_an_agent_holds_a_bounded_number_of_statements(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HOLDS_OPEN_PER_AGENT_MAX", 2)
    for _ in range(2):
        await house.book.open(a_hold(house.clock))
    with pytest.raises(HoldRefused, match="agent `bot` has 2 statements held"):
        await house.book.open(a_hold(house.clock))
    await house.book.open(a_hold(house.clock, agent="other"))
    assert len(house.kinds()) == 3, "a refused hold leaves no record"


async def test_answers_and_holds_survive_a_restart(house: House, tmp_path: Path) -> None:
    need = ApprovalNeed(all_of=(Quorum(count=2),))
    hold = await house.book.open(a_hold(house.clock, need))
    await house.book.answer(hold.id, "anna", Answer.APPROVE, "one", approver_groups=NOBODY)
    await house.recorder.close()
    house.store.close()

    again = await House(house.path).start()
    try:
        found = await again.book.find("bot", hold.digest)
        assert found is not None
        assert found.state is HoldState.OPEN
        assert [given.approver for given in found.approvals] == ["anna"]
        after = await again.book.answer(
            hold.id, "ben", Answer.APPROVE, "two", approver_groups=NOBODY
        )
        assert after.state is HoldState.APPROVED
        assert await again.book.claim(hold.id) is True
    finally:
        await again.stop()


async def test_a_slow_reader_gets_the_newest_state_and_no_open_hold_is_lost(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SUBSCRIBER_HOLDS_MAX", 2)
    with house.book.subscribe() as news:
        ended = await house.book.open(a_hold(house.clock))
        await house.book.end(ended.id, HoldState.CANCELLED)
        first = await house.book.open(a_hold(house.clock, digest="1" * 64))
        second = await house.book.open(a_hold(house.clock, digest="2" * 64))
        await house.book.answer(first.id, "anna", Answer.APPROVE, "", approver_groups=NOBODY)
        got = [await anext(news), await anext(news)]
    assert [(hold.id, hold.state) for hold in got] == [
        (second.id, HoldState.OPEN),
        (first.id, HoldState.APPROVED),
    ]
    with pytest.raises(StopAsyncIteration):
        await anext(news)
