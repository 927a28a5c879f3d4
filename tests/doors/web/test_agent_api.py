"""Agents ask for tiers over HTTP; people answer as ever; neither can do the other's part."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import delete

from holdpoint.doors.web import agent_api
from holdpoint.doors.web.limiter import Limiter
from holdpoint.model import limits
from holdpoint.model.budget import Budget
from holdpoint.model.decision import ApprovalNeed, Quorum
from holdpoint.model.hold import Answer, HoldState
from holdpoint.model.task import Login, Task
from holdpoint.store import credentials, tasks
from holdpoint.store.tables import APPROVALS, CREDENTIALS, HOLDS, TASKS
from holdpoint.wire.postgres.scram import make_verifier
from support.agents import SECRET, SHOP, agent_door, basic
from support.web import Review, csrf_of, review

pytestmark = pytest.mark.anyio

ASK = {"tier": "shop/write", "reason": "mend the totals of October", "for_s": 7200}


@pytest.fixture(scope="module")
async def same_house(
    tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[Review]:
    """A review server with a door for agents."""
    async with review(tmp_path_factory.mktemp("house"), agents=agent_door) as running:
        yield running


@pytest.fixture
async def house(same_house: Review) -> AsyncIterator[Review]:
    """The server as it was at first: nothing waits, no task is open, nobody has tried anything."""
    agents = same_house.web.state.agents
    policy, tries, requests = agents.desk._policy, agents.tries, agents.requests
    yield same_house
    same_house.ahead = timedelta()
    agents.desk._policy = policy
    agents.tries, agents.requests = tries, requests
    tries._seen.clear()
    requests._seen.clear()
    with same_house.store.database.writing() as connection:
        connection.execute(delete(CREDENTIALS).where(CREDENTIALS.c.task.is_not(None)))
        for table in (TASKS, APPROVALS, HOLDS):
            connection.execute(delete(table))


async def send(
    house: Review,
    path: str = "/agent/requests",
    body: Any = None,
    *,
    method: str = "POST",
    who: dict[str, str] | None = None,
    **more: Any,
) -> httpx2.Response:
    async with house.client() as client:
        headers = basic() if who is None else who
        if method == "GET":
            return await client.get(path, headers=headers)
        return await client.post(
            path, headers=headers, json=body if body is not None else {}, **more
        )


async def asked(house: Review, **changes: Any) -> dict[str, Any]:
    answer = await send(house, body={**ASK, **changes})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["request"]
    return found


async def approve(house: Review, request_id: str, person: str = "anna") -> None:
    await house.book.answer(
        request_id, person, Answer.APPROVE, "", approver_groups=frozenset({"dba"})
    )


def collect_path(request_id: str) -> str:
    return f"/agent/requests/{request_id}/collect"


def bodies(house: Review, since: int, *kinds: str) -> list[tuple[str, dict[str, Any]]]:
    return [
        (record.kind, json.loads(record.body))
        for record in house.store.records.walk(since + 1)
        if record.kind in kinds
    ]


# --- the way of a request -------------------------------------------------------------------------


async def test_what_people_approve_is_collected_once(house: Review) -> None:
    request = await asked(house)
    assert (request["state"], request["tier"]) == ("open", "shop/write")
    assert request["page"] == f"{house.url}/h/{request['id']}"
    early = await send(house, collect_path(request["id"]))
    assert (early.status_code, "is open" in early.json()["error"]) == (409, True)
    await approve(house, request["id"])
    assert (await asked(house))["state"] == "approved", "the same again finds the first one"
    got = (await send(house, collect_path(request["id"]))).json()
    task = house.store.tasks.get(got["task"]["id"])
    assert task is not None
    assert (task.agent, task.tiers, task.created_by) == ("robin", ("shop/write",), "anna")
    assert task.description == ASK["reason"]
    assert task.expires_at - task.created_at == timedelta(hours=2)
    assert got["connection"] == (
        f"postgresql://{task.id}:{got['secret']}@gate.example:6543/shop%2Fwrite"
    )
    again = await send(house, collect_path(request["id"]))
    assert (again.status_code, "secret" in again.json()) == (409, False)
    assert len(house.store.tasks.all()) == 1
    login = house.store.credentials.standing([task.id], house.now())[task.id]
    assert isinstance(login, Login)
    salt = base64.b64decode(login.scram_verifier.split(":")[1].split("$")[0])
    assert make_verifier(got["secret"], salt) == login.scram_verifier


async def test_the_trail_tells_the_request_the_answer_and_the_task(house: Review) -> None:
    since = house.store.records.tail().seq
    request = await asked(house)
    await approve(house, request["id"])
    got = (await send(house, collect_path(request["id"]))).json()
    told = bodies(house, since, "tier.requested", "hold.answered", "task.started", "hold.ended")
    assert [kind for kind, _ in told] == ["tier.requested", "hold.answered", "task.started"]
    assert all(body["hold"] == request["id"] for _, body in told)
    assert told[0][1]["case"]["reason"] == ASK["reason"]
    assert (told[2][1]["task"], told[2][1]["state"]) == (got["task"]["id"], "claimed")
    assert got["secret"].encode() not in b"".join(
        each.read_bytes() for each in house.store.path.parent.iterdir()
    )


async def test_two_who_collect_at_once_get_one_task(house: Review) -> None:
    import anyio

    request = await asked(house)
    await approve(house, request["id"])
    codes: list[int] = []

    async def take() -> None:
        codes.append((await send(house, collect_path(request["id"]))).status_code)

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(take)
    assert sorted(codes) == [200, 409, 409, 409]
    assert len(house.store.tasks.all()) == 1


async def test_a_rejection_is_told_with_its_note(house: Review) -> None:
    request = await asked(house)
    await house.book.answer(
        request["id"], "anna", Answer.REJECT, "use the replica", approver_groups=frozenset()
    )
    answer = await send(house, f"/agent/requests/{request['id']}", method="GET")
    found = answer.json()["request"]
    assert (found["state"], found["note"]) == ("rejected", "use the replica")
    assert (await send(house, collect_path(request["id"]))).status_code == 409
    assert (await asked(house))["id"] == request["id"], "asking again is no way around it"


async def test_an_approval_that_is_not_collected_expires(house: Review) -> None:
    request = await asked(house)
    await approve(house, request["id"])
    house.ahead = timedelta(minutes=31)
    late = await send(house, collect_path(request["id"]))
    assert late.status_code == 409
    assert house.store.tasks.all() == []


@pytest.mark.parametrize("change", [{}, {"budget": Budget(rows=10**9)}, {"role": "postgres"}])
async def test_an_approval_under_another_configuration_does_not_count(
    house: Review, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    request = await asked(house)
    await approve(house, request["id"])
    desk = house.web.state.agents.desk
    other = replace(SHOP, tiers=tuple(replace(each, **change) for each in SHOP.tiers))
    monkeypatch.setitem(desk._targets, "shop", other)
    if not change:
        desk._policy = replace(desk._policy, digest="another")
    answer = await send(house, collect_path(request["id"]))
    assert (answer.status_code, "another configuration" in answer.json()["error"]) == (409, True)
    hold = await house.book.get(request["id"])
    assert hold is not None
    assert hold.state is HoldState.SUPERSEDED


async def test_the_owner_of_the_agent_cannot_give_it_a_tier(house: Review) -> None:
    request = await asked(house)
    async with house.signed_in("olga") as client:
        page = (await client.get(f"/h/{request['id']}")).text
        assert "you answer for" in page
        hold = await house.book.get(request["id"])
        assert hold is not None
        anonymous = (await client.get("/")).text
        fields = {"csrf": csrf_of(anonymous), "answer": "approve", "digest": hold.digest}
        answer = await client.post(f"/h/{request['id']}/answer", data=fields)
        assert (answer.status_code, "answers for agent" in answer.text) == (403, True)
    hold = await house.book.get(request["id"])
    assert hold is not None
    assert hold.state is HoldState.OPEN


async def test_the_policys_own_need_counts(house: Review) -> None:
    desk = house.web.state.agents.desk
    need = ApprovalNeed(all_of=(Quorum(group="dba", count=2),), expires_s=600)
    desk._policy = replace(desk._policy, need=need)
    request = await asked(house)
    assert request["wanted"] == 2
    await approve(house, request["id"])
    assert (await send(house, collect_path(request["id"]))).status_code == 409
    await approve(house, request["id"], "dora")
    assert (await send(house, collect_path(request["id"]))).status_code == 200


async def test_a_tier_with_a_need_of_its_own_asks_for_it(house: Review) -> None:
    need = ApprovalNeed(all_of=(Quorum(group="dba"),), expires_s=600)
    targets, tiers = house.web.state.agents.desk._targets, SHOP.tiers
    targets["shop"] = replace(SHOP, tiers=(*tiers[:2], replace(tiers[2], need=need)))
    request = await asked(house, tier="shop/owner")
    hold = await house.book.get(request["id"])
    assert hold is not None
    assert hold.need == need
    await approve(house, request["id"])
    targets["shop"] = SHOP
    answer = await send(house, collect_path(request["id"]))
    assert (answer.status_code, "another configuration" in answer.json()["error"]) == (409, True)


# --- with a task's credential ---------------------------------------------------------------------


def give(house: Review, task_id: str, *tiers: str, agent: str = "robin") -> None:
    now = house.now()
    task = Task(
        id=task_id, agent=agent, description="x", created_by="olga", created_at=now,
        expires_at=now + timedelta(hours=1), tiers=tiers, budget=Budget(rows=10),
    )  # fmt: skip
    with house.store.database.writing() as connection:
        tasks.insert_task(connection, task)
        credentials.issue(
            connection, task_id, make_verifier(SECRET, b"salt" * 4), now, agent=agent, task=task_id,
            expires_at=task.expires_at,
        )  # fmt: skip


async def test_a_task_asks_for_itself_and_takes_its_budget_along(house: Review) -> None:
    give(house, "t-AAAAAA")
    answer = await send(house, body=ASK, who=basic("t-AAAAAA"))
    request = answer.json()["request"]
    await approve(house, request["id"])
    for name in ("robin", "gpt"):
        for path in (f"/agent/requests/{request['id']}", collect_path(request["id"])):
            method = "POST" if path.endswith("collect") else "GET"
            foreign = await send(house, path, method=method, who=basic(name))
            assert foreign.status_code == 404, name
    got = (await send(house, collect_path(request["id"]), who=basic("t-AAAAAA"))).json()
    task = house.store.tasks.get(got["task"]["id"])
    assert task is not None
    assert task.budget == Budget(rows=10)


async def test_a_task_that_ended_neither_asks_nor_collects(house: Review) -> None:
    give(house, "t-AAAAAA")
    request = (await send(house, body=ASK, who=basic("t-AAAAAA"))).json()["request"]
    await approve(house, request["id"])
    with house.store.database.writing() as connection:
        tasks.end(connection, "t-AAAAAA", house.now())
    answer = await send(house, collect_path(request["id"]), who=basic("t-AAAAAA"))
    assert answer.status_code == 401
    assert house.store.tasks.all("robin")[0].id == "t-AAAAAA", "no other was made"


async def test_a_tier_that_is_open_already_is_not_asked_for(house: Review) -> None:
    give(house, "t-AAAAAA", "shop/write")
    for who, tier in (("robin", "shop/replica"), ("t-AAAAAA", "shop/write")):
        answer = await send(house, body={**ASK, "tier": tier}, who=basic(who))
        assert (answer.status_code, "may use" in answer.json()["error"]) == (400, True)


# --- what makes no sense --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tier": "shop/wirte"}, "no tier `shop/wirte`"),
        ({"tier": "shop"}, "no tier"),
        ({"tier": "shop/"}, "no tier"),
        ({"tier": "bank/write"}, "no target `bank`"),
        ({"tier": "shop/write/x"}, "no tier"),
        ({"tier": "`x`\u202e\n" * 500}, "no target"),
        ({"tier": 5}, "must be strings"),
        ({"reason": "   "}, "needs a reason"),
        ({"reason": "a\x1b[2Jb"}, "cannot be shown"),
        ({"reason": "turned \u202e round"}, "cannot be shown"),
        ({"reason": "half \ud800 a character"}, "cannot be shown"),
        ({"reason": "x" * 501}, "500 fit"),
        ({"reason": None}, "must be strings"),
        ({"for_s": 59}, "1 min to 24 h"),
        ({"for_s": 86_401}, "1 min to 24 h"),
        ({"for_s": -1}, "1 min to 24 h"),
        ({"for_s": 10**400}, "1 min to 24 h"),
        ({"for_s": True}, "whole number"),
        ({"for_s": 90.5}, "whole number"),
        ({"for_s": "7200"}, "whole number"),
        ({"agent": "gpt"}, "mean nothing"),
        ({"task": "t-AAAAAA"}, "mean nothing"),
    ],
)
async def test_what_makes_no_sense_is_not_put_before_people(
    house: Review, changes: dict[str, Any], words: str
) -> None:
    body = json.dumps({**ASK, **changes})
    async with house.client() as client:
        headers = {**basic(), "content-type": "application/json"}
        answer = await client.post("/agent/requests", headers=headers, content=body)
    assert (answer.status_code, words in answer.json()["error"]) == (400, True), answer.text
    assert len(answer.content) < 1000
    assert await house.book.list() == []


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("text/plain", json.dumps(ASK), 415),
        ("application/x-www-form-urlencoded", "tier=shop/write", 415),
        ("application/json", "[1]", 400),
        ("application/json", "{", 400),
        ("application/json", '{"for_s": NaN, "tier": "shop/write", "reason": "x"}', 400),
        ("application/json", "[" * 30_000, 400),
        ("application/json", json.dumps({**ASK, "reason": "x" * 70_000}), 413),
    ],
)
async def test_a_request_in_another_form_is_refused(
    house: Review, kind: str, body: str, status: int
) -> None:
    async with house.client() as client:
        headers = {**basic(), "content-type": kind}
        answer = await client.post("/agent/requests", headers=headers, content=body)
    assert (answer.status_code, answer.json()["ok"]) == (status, False)
    assert await house.book.list() == []


async def test_a_flood_of_requests_ends(house: Review) -> None:
    house.web.state.agents.requests = Limiter(tries=3, window_s=60, keys_max=10)
    codes = [
        (await send(house, body={**ASK, "reason": f"reason {number}"})).status_code
        for number in range(4)
    ]
    assert codes == [200, 200, 200, 429]
    assert (await send(house, body=ASK, who=basic("gpt"))).status_code == 200, "others go on"
    again = await send(house, body={**ASK, "reason": "reason 0"})
    assert again.status_code == 200, "what was asked before is still found"


# --- who is asking --------------------------------------------------------------------------------


async def test_every_wrong_credential_looks_the_same(house: Review) -> None:
    give(house, "t-AAAAAA")
    with house.store.database.writing() as connection:
        tasks.end(connection, "t-AAAAAA", house.now())
    since = house.store.records.tail().seq
    told = set()
    for name, secret in (
        ("robin", "hpa_" + "x" * 43),
        ("t-AAAAAA", SECRET),
        ("t-000000", SECRET),
        ("ROBIN", SECRET),
        ("robin", "not even of the class"),
        ("robin", "hpa_" + "s" * 5000),
        ("", SECRET),
        ("r" * 5000, SECRET),
    ):
        answer = await send(house, body=ASK, who=basic(name, secret))
        told.add((answer.status_code, answer.text, answer.headers["www-authenticate"]))
    assert len(told) == 1
    assert told.pop()[0] == 401
    reasons = [body["reason"] for _, body in bodies(house, since, "session.refused")]
    assert reasons[0] == "the secret was wrong"
    assert "task `t-AAAAAA` was ended" in reasons[1]
    assert "no agent or task has this name" in reasons[2]


async def test_secrets_cannot_be_tried_for_ever(house: Review) -> None:
    wrong = basic("robin", "hpa_" + "x" * 43)
    codes = [
        (await send(house, body=ASK, who=wrong)).status_code
        for _ in range(limits.AGENT_TRIES_MAX + 1)
    ]
    assert codes == [401] * limits.AGENT_TRIES_MAX + [429]
    assert (await send(house, body=ASK, who=basic("gpt"))).status_code == 200
    async with house.signed_in("anna"):
        pass  # people on the same machine sign in as before


@pytest.mark.parametrize("header", ["", "Basic", "Basic !!!", "Basic cm9iaW4=", "Bearer x", "x"])
async def test_what_is_no_credential_is_none(house: Review, header: str) -> None:
    answer = await send(house, body=ASK, who={"authorization": header} if header else {"x": "y"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic")


async def test_people_cannot_act_as_agents(house: Review) -> None:
    token = house.tokens["anna"]
    paths = ["/agent/requests", "/agent/requests/h-1/collect"]
    for who in ({"authorization": f"Bearer {token}"}, basic("robin", token), basic("anna", token)):
        for path in paths:
            answer = await send(house, path, ASK, who=who)
            assert (answer.status_code, "only agents" in answer.json()["error"]) == (403, True)
    async with house.signed_in("anna") as client:
        answer = await client.post("/agent/requests", json=ASK)
        assert answer.status_code == 401, "a cookie is nothing here"


async def test_agents_cannot_answer_anything(house: Review) -> None:
    request = await asked(house)
    digest = (await house.book.get(request["id"])).digest  # type: ignore[union-attr]
    body = {"answer": "approve", "note": "", "digest": digest}
    bearer = {"authorization": f"Bearer {SECRET}"}
    for who in (basic(), bearer):
        for path in (
            f"/api/holds/{request['id']}/answer",
            f"/h/{request['id']}/answer",
            f"/agent/requests/{request['id']}/answer",
            f"/agent/requests/{request['id']}",
        ):
            answer = await send(house, path, body, who=who)
            assert answer.status_code in (401, 403, 404, 405), path
        for path in ("/", "/index.json", f"/h/{request['id']}.json", "/trail.json", "/api/holds"):
            answer = await send(house, path, method="GET", who=who)
            assert answer.status_code in (401, 403), path
    hold = await house.book.get(request["id"])
    assert hold is not None
    assert (hold.state, hold.approvals) == (HoldState.OPEN, ())
    assert {route.path for route in agent_api.routes()} == {
        "/agent/requests",
        "/agent/requests/{request_id}",
        "/agent/requests/{request_id}/collect",
    }


async def test_a_statements_hold_is_not_collected(house: Review) -> None:
    hold = await house.hold(agent="robin", task="", kind="statement")
    await house.book.answer(hold.id, "anna", Answer.APPROVE, "", approver_groups=frozenset())
    answer = await send(house, collect_path(hold.id))
    assert (answer.status_code, "for a statement" in answer.json()["error"]) == (404, True)
    assert (await send(house, collect_path("h-000000"))).status_code == 404
    now = await house.book.get(hold.id)
    assert now is not None
    assert now.state is HoldState.APPROVED, "it stays for the statement"


# --- the page -------------------------------------------------------------------------------------


async def test_the_page_shows_a_request_and_no_statement(house: Review) -> None:
    give(house, "t-AAAAAA")
    reason = "<script>x</script> `SELECT 1` **bold** " + "y" * 300
    answer = await send(house, body={**ASK, "reason": reason}, who=basic("t-AAAAAA"))
    request = answer.json()["request"]
    async with house.signed_in("anna") as client:
        listed = (await client.get("/")).text
        page = (await client.get(f"/h/{request['id']}")).text
        twin = (await client.get(f"/h/{request['id']}.json")).json()["hold"]
    assert "One request for access waits" in listed
    assert "asks for access" in listed
    for words in ("No statement waits here", "for 2 h", "The reason it gives", "given by olga"):
        assert words in page, words
    for words in ("What would run", "How much", "run once", "<script>x"):
        assert words not in page, words
    assert "&lt;script&gt;x" in page
    assert twin["kind"] == twin["case"]["kind"] == "tier"
    assert twin["findings"][0]["code"] == "HP8019"


async def test_the_words_of_each_end_are_those_of_a_request(house: Review) -> None:
    request = await asked(house)
    await approve(house, request["id"])
    async with house.signed_in("anna") as client:
        assert "not collected its credential" in (await client.get(f"/h/{request['id']}")).text
        await send(house, collect_path(request["id"]))
        assert "approved and collected" in (await client.get(f"/h/{request['id']}")).text
        assert "One statement" not in (await client.get("/")).text
