"""Who may answer a hold, how, and what they are told when it does not count."""

import json
from datetime import timedelta

import httpx2
import pytest

from holdpoint.model.decision import ApprovalNeed, Quorum
from holdpoint.model.hold import Hold, HoldState
from holdpoint.model.limits import NOTE_CHARS_MAX
from support.web import PASSWORD, Review, csrf_of

pytestmark = pytest.mark.anyio


async def by_form(
    client: httpx2.AsyncClient, hold: Hold, answer: str = "approve", **changes: str | None
) -> httpx2.Response:
    """Answer as the page's form does, with some fields changed or (None) left out."""
    page = await client.get(f"/h/{hold.id}")
    fields = {"csrf": csrf_of(page.text), "digest": hold.digest, "answer": answer, "note": ""}
    fields.update(changes)
    sent = {key: value for key, value in fields.items() if value is not None}
    return await client.post(f"/h/{hold.id}/answer", data=sent)


async def by_token(
    door: Review, hold: Hold, token: str, answer: str = "approve", **changes: object
) -> httpx2.Response:
    body = {"answer": answer, "note": "", "digest": hold.digest, **changes}
    async with httpx2.AsyncClient(base_url=door.url) as client:
        return await client.post(
            f"/api/holds/{hold.id}/answer",
            content=json.dumps(body),
            headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
        )


async def state_of(door: Review, hold: Hold) -> HoldState:
    now = await door.book.get(hold.id)
    assert now is not None
    return now.state


async def test_a_person_approves_from_the_page(door: Review):
    hold = await door.hold()
    async with door.signed_in("anna") as client:
        answer = await by_form(client, hold, note="backup checked\r\nand again")
        assert (answer.status_code, answer.headers["location"]) == (303, f"/h/{hold.id}")
        page = await client.get(f"/h/{hold.id}")
    now = await door.book.get(hold.id)
    assert now is not None
    assert now.state is HoldState.APPROVED
    assert [(given.approver, given.note) for given in now.approvals] == [
        ("anna", "backup checked\nand again")
    ]
    assert "it may run once" in page.text
    assert "backup checked" in page.text


async def test_a_person_rejects_with_a_token(door: Review):
    hold = await door.hold()
    answer = await by_token(door, hold, door.tokens["anna"], "reject", note="no")
    assert answer.status_code == 200
    assert answer.json()["hold"]["state"] == "rejected"
    assert await state_of(door, hold) is HoldState.REJECTED


async def test_two_people_of_a_group_are_needed(door: Review):
    dora = door.person("dora")
    need = ApprovalNeed(all_of=(Quorum(group="dba", count=2),))
    hold = await door.hold(need=need)
    outsider = await by_token(door, hold, door.tokens["bo"])
    assert (outsider.status_code, outsider.json()["ok"]) == (403, False)
    assert "group" in outsider.json()["error"]
    first = await by_token(door, hold, door.tokens["anna"])
    assert (first.status_code, first.json()["hold"]["state"]) == (200, "open")
    again = await by_token(door, hold, door.tokens["anna"])
    assert again.status_code == 403
    second = await by_token(door, hold, dora)
    assert second.json()["hold"]["state"] == "approved"


async def test_the_owner_of_the_agent_cannot_answer_and_is_told_why(door: Review):
    hold = await door.hold()
    async with door.signed_in("olga") as client:
        page = await client.get(f"/h/{hold.id}")
        assert 'value="approve"' not in page.text
        assert "somebody else must decide" in page.text
        other = await client.get(f"/h/{hold.id}")  # any page of theirs has the token
        fields = {"csrf": csrf_of(other.text), "digest": hold.digest, "answer": "approve"}
        answer = await client.post(f"/h/{hold.id}/answer", data=fields)
    assert answer.status_code == 403
    assert "answers for agent" in answer.text
    assert await state_of(door, hold) is HoldState.OPEN


async def test_a_second_answer_shows_what_happened(door: Review):
    hold = await door.hold()
    async with door.signed_in("anna") as anna, door.signed_in("bo") as bo:
        await bo.get(f"/h/{hold.id}")
        await by_form(anna, hold, "reject", note="not tonight")
        late = await by_form(bo, hold)
    assert late.status_code == 409
    assert "rejected, no longer open" in late.text
    assert "not tonight" in late.text
    assert await state_of(door, hold) is HoldState.REJECTED


async def test_an_expired_hold_cannot_be_answered(door: Review):
    hold = await door.hold()
    async with door.signed_in("anna") as client:
        token = csrf_of((await client.get("/")).text)
        door.ahead = timedelta(minutes=31)
        page = await client.get(f"/h/{hold.id}")
        assert "expired" in page.text
        assert 'value="approve"' not in page.text
        answer = await by_form(client, hold, csrf=token)
        # The book may not have moved it yet: the clock decides, not the state.
        assert answer.status_code in (403, 409)
        assert "expired" in answer.text
    assert await state_of(door, hold) is not HoldState.APPROVED


@pytest.mark.parametrize("end", [HoldState.ABANDONED, HoldState.CANCELLED])
async def test_a_hold_whose_client_is_gone_cannot_be_answered(door: Review, end: HoldState):
    hold = await door.hold()
    await door.book.end(hold.id, end)
    answer = await by_token(door, hold, door.tokens["anna"])
    assert answer.status_code == 409
    assert end.value in answer.json()["error"]
    assert await state_of(door, hold) is end


async def test_a_form_without_its_token_is_refused(door: Review):
    hold = await door.hold()
    async with door.signed_in("anna") as client:
        for csrf in (None, "", "0" * 64):
            answer = await by_form(client, hold, csrf=csrf)
            assert answer.status_code == 403, csrf
    assert await state_of(door, hold) is HoldState.OPEN


async def test_another_browsers_token_is_refused(door: Review):
    hold = await door.hold()
    async with door.signed_in("bo") as bo, door.signed_in("anna") as anna:
        theirs = csrf_of((await bo.get("/")).text)
        answer = await by_form(anna, hold, csrf=theirs)
    assert answer.status_code == 403
    assert await state_of(door, hold) is HoldState.OPEN


FOREIGN = (
    {"origin": "https://evil.example"},
    {"origin": "http://127.0.0.1:1"},
    {"origin": "null"},
    {"origin": "null", "sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"origin": "http://"},
    {"origin": "https://HOST"},
)


async def test_a_form_from_elsewhere_is_refused(door: Review):
    hold = await door.hold()
    async with door.signed_in("anna") as client:
        token = csrf_of((await client.get("/")).text)
        fields = {"csrf": token, "digest": hold.digest, "answer": "approve"}
        for foreign in FOREIGN:
            headers = {key: words.replace("HOST", door.host) for key, words in foreign.items()}
            answer = await client.post(f"/h/{hold.id}/answer", data=fields, headers=headers)
            assert answer.status_code == 403, headers
    assert await state_of(door, hold) is HoldState.OPEN


async def test_a_form_that_does_not_say_where_it_comes_from_is_refused(door: Review):
    hold = await door.hold()
    async with door.signed_in("anna") as client:
        token = csrf_of((await client.get("/")).text)
        del client.headers["origin"]
        fields = {"csrf": token, "digest": hold.digest, "answer": "approve"}
        answer = await client.post(f"/h/{hold.id}/answer", data=fields)
    assert answer.status_code == 403
    assert await state_of(door, hold) is HoldState.OPEN


async def test_an_answer_to_another_case_is_refused(door: Review):
    shown, other = await door.hold(), await door.hold("DROP TABLE orders")
    for digest in (shown.digest, "", "é"):
        answer = await by_token(door, other, door.tokens["anna"], digest=digest)
        assert answer.status_code == 409
    assert await state_of(door, other) is HoldState.OPEN


NOT_A_PERSONS = (*(prefix + "A" * 43 for prefix in ("hpa_", "hpl_", "hpp_", "")), "hpp_é")


async def test_only_a_persons_known_token_answers(door: Review):
    hold = await door.hold()
    async with httpx2.AsyncClient(base_url=door.url) as client:
        for token in NOT_A_PERSONS:
            header = {"authorization": f"Bearer {token}".encode()}
            body = {"answer": "approve", "digest": hold.digest}
            answer = await client.post(f"/api/holds/{hold.id}/answer", json=body, headers=header)
            seen = await client.get(f"/h/{hold.id}.json", headers=header)
            for refused in (answer, seen):
                assert refused.status_code in (401, 403), token
                assert refused.json()["ok"] is False
                assert "48,211" not in refused.text
    assert await state_of(door, hold) is HoldState.OPEN


async def test_an_agents_credential_is_refused_in_words_everywhere(door: Review):
    """The agent's secret as a token, as a password, and as a link."""
    secret = "hpa_" + "A" * 43
    hold = await door.hold()
    as_token = await by_token(door, hold, secret)
    async with door.client() as client:
        csrf = csrf_of((await client.get("/sign-in")).text)
        fields = {"csrf": csrf, "name": "bot", "password": secret}
        as_password = await client.post("/sign-in", data=fields)
        as_link = await client.get(f"/sign-in/{secret}")
    for answer in (as_token, as_password, as_link):
        assert answer.status_code == 403
        assert "agents cannot see or answer holds" in answer.text.replace("&#39;", "'")
    assert await state_of(door, hold) is HoldState.OPEN


async def test_an_agents_name_does_not_sign_in(door: Review):
    async with door.client() as client:
        csrf = csrf_of((await client.get("/sign-in")).text)
        fields = {"csrf": csrf, "name": "bot", "password": PASSWORD}
        assert (await client.post("/sign-in", data=fields)).status_code == 403


async def test_a_cookie_is_not_enough_for_the_api(door: Review):
    """The API has no form token, so a browser's cookie must not work there."""
    hold = await door.hold()
    async with door.signed_in("anna") as client:
        body = {"answer": "approve", "note": "", "digest": hold.digest}
        answer = await client.post(f"/api/holds/{hold.id}/answer", json=body)
    assert answer.status_code == 401
    assert await state_of(door, hold) is HoldState.OPEN


MALFORMED: tuple[tuple[dict[str, object], int], ...] = (
    ({"answer": "yes"}, 400),
    ({"answer": None}, 400),
    ({"answer": ["approve"]}, 400),
    ({"note": "x" * (NOTE_CHARS_MAX + 1)}, 400),
    ({"note": "x" * 70_000}, 413),
    ({"note": "half a character: \ud800"}, 400),
)


async def test_a_malformed_answer_is_refused(door: Review):
    hold = await door.hold()
    for changes, status in MALFORMED:
        answer = await by_token(door, hold, door.tokens["anna"], **changes)
        assert answer.status_code == status, changes
        assert answer.json()["ok"] is False
    assert await state_of(door, hold) is HoldState.OPEN


async def test_a_removed_person_cannot_answer_with_an_open_page(door: Review):
    hold = await door.hold()
    async with door.signed_in("anna") as client:
        csrf = csrf_of((await client.get(f"/h/{hold.id}")).text)
        door.store.people.revoke("anna", door.now())
        fields = {"csrf": csrf, "digest": hold.digest, "answer": "approve"}
        answer = await client.post(f"/h/{hold.id}/answer", data=fields)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert await state_of(door, hold) is HoldState.OPEN


async def test_an_answer_that_cannot_be_recorded_is_none(door: Review):
    hold = await door.hold()
    await door.recorder.close()
    answer = await by_token(door, hold, door.tokens["anna"])
    assert answer.status_code == 503
    assert "nothing was answered" in answer.json()["hint"]
    assert await state_of(door, hold) is HoldState.OPEN
