"""What every page carries, what it shows, and who gets to see it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import text

from holdpoint.audit.record import ChainedRecord
from holdpoint.doors.web.app import create_web
from holdpoint.doors.web.door import WebSettings
from holdpoint.doors.web.records import record_view
from holdpoint.engine.holds import HoldBook
from holdpoint.engine.recorder import Recorder
from holdpoint.model import limits
from holdpoint.model.hold import HoldState
from holdpoint.store import Store
from support.web import PASSWORD, Review, csrf_of

pytestmark = pytest.mark.anyio

SCRIPT = "<script>alert(1)</script>"


async def test_every_response_carries_the_security_headers(door: Review):
    hold = await door.hold()
    paths = ["/", "/holds", "/trail", f"/h/{hold.id}", f"/h/{hold.id}.json", "/h/none", "/nowhere"]
    paths += ["/sign-in", "/sign-in/hpl_x", "/static/page.css", "/static/none", "/api/holds"]
    paths += [f"/h/{hold.id}/statement.txt", "/index.json", "/%2e%2e/etc/passwd"]
    async with door.signed_in("anna") as client, door.client() as nobody:
        answers = [await each.get(path) for path in paths for each in (client, nobody)]
        answers.append(await client.post("/sign-out", data={"csrf": "x"}))
        answers.append(await client.put("/"))
        answers.append(await client.get("/", headers={"host": "evil.example"}))
        answers.append(await client.post("/sign-in", content=b"x" * 70_000))
    assert {answer.status_code for answer in answers} >= {200, 303, 401, 403, 404, 405, 413, 421}
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        allowed = {"no-store"} | ({"no-cache"} if "/static/" in str(answer.url) else set())
        assert answer.headers["cache-control"] in allowed


async def test_a_failure_inside_is_told_without_its_details(door: Review):
    hold = await door.hold()
    with door.store.database.writing() as connection:
        connection.execute(text("UPDATE holds SET need = '{'"))
    async with door.signed_in("anna") as client:
        page = await client.get(f"/h/{hold.id}")
        twin = await client.get(f"/h/{hold.id}.json")
    assert (page.status_code, twin.status_code) == (500, 500)
    assert "nothing was approved" in page.text
    assert "Traceback" not in page.text + twin.text
    assert twin.json()["ok"] is False
    for answer in (page, twin):
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"


async def test_no_page_has_inline_script_or_style(door: Review):
    hold = await door.hold()
    async with door.signed_in("anna") as client:
        for path in ("/", f"/h/{hold.id}", "/trail", "/sign-in"):
            page = (await client.get(path)).text
            assert "<style" not in page
            assert " style=" not in page
            assert "<script>" not in page
            assert " onclick" not in page


async def test_what_an_agent_writes_is_never_markup(door: Review):
    door.store.agents.add(SCRIPT, "olga", "SCRAM-SHA-256$4096:c2FsdA==$AA==:AA==", door.now())
    hold = await door.hold(
        f"SELECT '{SCRIPT}' -- {SCRIPT}",
        agent=SCRIPT,
        task=SCRIPT,
        role=SCRIPT,
        peer=SCRIPT,
        environment=SCRIPT,
        parameters=[{"text": SCRIPT}],
        effects=[SCRIPT],
        rules=[SCRIPT],
        statements=[
            {
                "tag": SCRIPT,
                "objects": [{"name": SCRIPT, "kind": "relation", "access": SCRIPT}],
                "unknowns": [SCRIPT],
            }
        ],
        impact={"rows": {"value": None, "basis": SCRIPT, "why": SCRIPT}},
    )
    async with door.signed_in("anna") as client:
        page = await client.get(f"/h/{hold.id}")
        fields = {"csrf": csrf_of(page.text), "digest": hold.digest, "answer": "reject"}
        await client.post(f"/h/{hold.id}/answer", data={**fields, "note": SCRIPT})
        pages = [await client.get(path) for path in ("/", f"/h/{hold.id}", "/trail")]
        whole = await client.get(f"/h/{hold.id}/statement.txt")
    for shown in (page, *pages):
        assert shown.status_code == 200
        assert SCRIPT not in shown.text
        assert "&lt;script&gt;" in shown.text
    assert whole.headers["content-type"].startswith("text/plain")


async def test_a_name_in_the_sign_in_form_is_never_markup(door: Review):
    async with door.client() as client:
        csrf = csrf_of((await client.get("/sign-in")).text)
        fields = {"csrf": csrf, "name": f'">{SCRIPT}', "password": "x", "next": f'/">{SCRIPT}'}
        answer = await client.post("/sign-in", data=fields)
    assert answer.status_code == 403
    assert SCRIPT not in answer.text


async def test_a_foreign_host_name_is_refused(door: Review):
    """A page whose name was pointed at this address (DNS rebinding) sends its own name."""
    async with door.signed_in("anna") as client:
        for host in ("evil.example", "127.0.0.1.evil.example", "", "a@127.0.0.1"):
            answer = await client.get("/", headers={"host": host})
            assert answer.status_code in (400, 421), host
            assert "Nothing waits" not in answer.text


async def test_nobody_sees_anything_without_signing_in(door: Review):
    hold = await door.hold()
    async with door.client() as client:
        for path in ("/", f"/h/{hold.id}", "/trail", "/holds", f"/h/{hold.id}/statement.txt"):
            answer = await client.get(path)
            assert answer.status_code == 303
            assert answer.headers["location"].startswith("/sign-in")
        for path in ("/index.json", f"/h/{hold.id}.json", "/trail.json", "/api/holds", "/live"):
            answer = await client.get(path)
            assert answer.status_code == 401
            assert "orders" not in answer.text


async def test_a_link_followed_from_a_chat_finds_the_cookie_again(door: Review):
    """Browsers keep a strict cookie back on such a request; a page of ours then asks once more."""
    hold = await door.hold()
    async with door.client() as client:
        away = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
        page = await client.get(f"/h/{hold.id}", headers=away)
    assert f'content="0; url=/h/{hold.id}"' in page.text
    assert "orders" not in page.text


async def test_the_case_page_shows_what_the_answer_rests_on(door: Review):
    hold = await door.hold(
        "UPDATE orders SET note = $1",
        parameters=[{"text": "hello"}, {"null": True}, {"hex": "00ff", "type_oid": 17}],
        impact={"rows": {"value": None, "basis": "unknown", "why": "the probe timed out"}},
    )
    async with door.signed_in("anna") as client:
        page = (await client.get(f"/h/{hold.id}")).text
    for words in (
        "bot",
        "olga",
        "tidy up",
        "10.0.0.7:5000",
        "production",
        "shop",
        "write",
        "HP2204",
    ):
        assert words in page
    assert "it may be any number (the probe timed out)" in page
    for value in ("hello", "NULL", "00ff"):
        assert value in page
    assert hold.expires_at.strftime("%H:%M UTC") in page
    assert "If it changes more than 60,264 rows, all of it is rolled back" in page


async def test_more_than_the_first_statement_is_announced(door: Review):
    """The summary speaks of one finding; a second statement must not hide behind it."""
    parts = [{"tag": tag, "objects": [], "unknowns": []} for tag in ("UPDATE", "DROP TABLE")]
    hold = await door.hold("UPDATE a SET b = 1; DROP TABLE c", statements=parts)
    async with door.signed_in("anna") as client:
        for path in ("/", f"/h/{hold.id}"):
            assert "2 statements" in (await client.get(path)).text


async def test_a_case_that_cannot_be_read_is_shown_as_it_is(door: Review):
    """It may come from another version, or from a damaged store: a person can still reject it."""
    hold = await door.hold()
    for document in (f"not JSON {SCRIPT}", "[]", '{"text": 1, "impact": null, "statements": 2}'):
        with door.store.database.writing() as connection:
            connection.execute(text("UPDATE holds SET case_json = :it"), {"it": document})
        async with door.signed_in("anna") as client:
            assert (await client.get("/")).status_code == 200
            page = await client.get(f"/h/{hold.id}")
        assert page.status_code == 200
        assert SCRIPT not in page.text
        assert 'value="reject"' in page.text


async def test_each_end_has_its_own_words(door: Review):
    ends = [HoldState.ABANDONED, HoldState.CANCELLED, HoldState.EXPIRED]
    holds = [await door.hold(f"DELETE FROM t{number}") for number in range(3)]
    for hold, end in zip(holds, ends, strict=True):
        await door.book.end(hold.id, end)
    async with door.signed_in("anna") as client:
        page = (await client.get("/")).text
        twins = (await client.get("/index.json")).json()["holds"]
    assert "Nothing waits" in page
    for end in ends:
        assert f'<span class="badge gone">{end.value}</span>' in page
    assert {twin["state"] for twin in twins} == {end.value for end in ends}


async def test_the_twin_says_what_the_page_says(door: Review):
    hold = await door.hold()
    async with door.signed_in("anna") as client:
        twin = (await client.get(f"/h/{hold.id}.json")).json()
        listed = (await client.get("/index.json")).json()
    assert twin["ok"] is True
    assert twin["hold"]["digest"] == hold.digest
    assert twin["hold"]["owner"] == "olga"
    assert twin["hold"]["case"] == json.loads(hold.case_json)
    assert [each["id"] for each in listed["holds"]] == [hold.id]


async def test_the_trail_shows_the_hold_and_its_answer(door: Review):
    hold = await door.hold()
    async with door.signed_in("anna") as client:
        page = await client.get(f"/h/{hold.id}")
        fields = {"csrf": csrf_of(page.text), "digest": hold.digest, "answer": "approve"}
        await client.post(f"/h/{hold.id}/answer", data={**fields, "note": "fine"})
        records = (await client.get("/trail.json")).json()["records"]
        trail = (await client.get("/trail")).text
    kinds = [record["kind"] for record in records]
    assert kinds == ["hold.answered", "statement.held", "trail.opened"]
    assert (records[0]["who"], records[0]["said"]) == ("anna", "approve: fine")
    assert f'href="/h/{hold.id}"' in trail


def test_a_group_of_plain_reads_is_a_line_of_its_own():
    body = b'{"started":[[1,5,"s-1",1]],"finished":[],"texts":{"1":"SELECT 1"},"run":1}'
    record = ChainedRecord(seq=7, at_us=0, kind="reads", body=body, prev_hash="", hash="")
    assert record_view(record).said == "1 plain read: SELECT 1"


def test_a_session_s_line_names_its_tier():
    body = b'{"agent":"robin","database":"10.0.0.5/shop","target":"shop","tier":"replica"}'
    record = ChainedRecord(seq=7, at_us=0, kind="session.opened", body=body, prev_hash="", hash="")
    assert record_view(record).said == "target shop, tier replica"


async def test_a_sign_in_link_works_once_and_only_by_pressing(door: Review):
    path = door.link("anna")
    async with door.client() as preview:
        for _ in range(3):
            assert (await preview.get(path)).status_code == 200
        assert (await preview.get("/")).status_code == 303, "looking signs nobody in"
    async with door.client() as client:
        csrf = csrf_of((await client.get(path)).text)
        assert (await client.post(path)).status_code != 303 or csrf, "no token, no sign-in"
        assert (await client.post(path, data={"csrf": csrf})).headers["location"] == "/"
        assert "Nothing waits" in (await client.get("/")).text
    async with door.client() as late:
        csrf = csrf_of((await late.get("/sign-in")).text)
        again = await late.post(path, data={"csrf": csrf})
        assert again.status_code == 404
        assert (await late.get(path)).status_code == 404
        assert (await late.get("/")).status_code == 303


async def test_pressing_without_the_forms_token_does_not_use_the_link_up(door: Review):
    path = door.link("anna")
    async with door.client() as client:
        await client.get(path)
        assert (await client.post(path, data={"csrf": "x"})).status_code == 403
        assert (await client.get(path)).status_code == 200


async def test_an_expired_link_is_dead(door: Review):
    path = door.link("anna")
    door.ahead = timedelta(minutes=16)
    async with door.client() as client:
        assert (await client.get(path)).status_code == 404


async def test_passwords_cannot_be_tried_for_ever(door: Review):
    async with door.client() as client:
        csrf = csrf_of((await client.get("/sign-in")).text)
        wrong = {"csrf": csrf, "name": "nobody", "password": "wrong wrong wrong"}
        answers = [
            (await client.post("/sign-in", data=wrong)).status_code
            for _ in range(limits.SIGN_IN_TRIES_MAX + 1)
        ]
        assert answers == [403] * limits.SIGN_IN_TRIES_MAX + [429]
        right = {"csrf": csrf, "name": "anna", "password": PASSWORD}
        assert (await client.post("/sign-in", data=right)).status_code == 429
        door.ahead = timedelta(seconds=limits.SIGN_IN_WINDOW_S)
        assert (await client.post("/sign-in", data=right)).status_code == 303


async def test_signing_in_gives_a_new_cookie_and_signing_out_ends_it(door: Review):
    async with door.client() as client:
        csrf = csrf_of((await client.get("/sign-in")).text)
        client.cookies.set("holdpoint", "chosen-by-somebody-else", domain="127.0.0.1")
        fields = {"csrf": csrf, "name": "Anna", "password": PASSWORD}
        answer = await client.post("/sign-in", data=fields)
        cookie = answer.headers["set-cookie"]
        assert "chosen-by-somebody-else" not in cookie
        assert "httponly" in cookie.lower()
        assert "samesite=strict" in cookie.lower()
        value = answer.cookies["holdpoint"]
    async with httpx2.AsyncClient(
        base_url=door.url, headers={"origin": door.url}, cookies={"holdpoint": value}
    ) as client:
        csrf = csrf_of((await client.get("/")).text)
        assert (await client.post("/sign-out", data={"csrf": csrf})).status_code == 303
    async with httpx2.AsyncClient(base_url=door.url, cookies={"holdpoint": value}) as client:
        assert (await client.get("/")).status_code == 303, "the old cookie is worth nothing"


async def test_over_tls_cookies_never_travel_in_the_clear(door: Review):
    """Behind a proxy the gate itself speaks plain text; what counts is how people reach it."""
    web = create_web(
        book=door.book,
        people=door.store.people,
        groups={},
        clock=door.now,
        settings=WebSettings(base_url="https://gate.example"),
    )
    transport = httpx2.ASGITransport(app=web)
    async with httpx2.AsyncClient(
        transport=transport,
        base_url="https://gate.example",
        headers={"origin": "https://gate.example"},
    ) as client:
        page = await client.get("/sign-in")
        fields = {"csrf": csrf_of(page.text), "name": "anna", "password": PASSWORD}
        done = await client.post("/sign-in", data=fields)
        assert (await client.get("/")).status_code == 200
    assert done.status_code == 303
    for answer in (page, done):
        assert answer.headers["set-cookie"].startswith("__Host-holdpoint")
        assert "; secure" in answer.headers["set-cookie"].lower()
        assert "max-age=" in answer.headers["strict-transport-security"]


def test_an_address_with_a_path_is_refused_at_the_start(tmp_path: Path):
    """Every link of the pages starts at the root of the host."""
    with Store.open(tmp_path / "holdpoint.db") as store, pytest.raises(ValueError, match="path"):
        create_web(
            book=HoldBook(store, Recorder(store), lambda: datetime.now(UTC)),
            people=store.people,
            groups={},
            clock=lambda: datetime.now(UTC),
            settings=WebSettings(base_url="https://tools.example/holdpoint"),
        )


async def test_a_new_password_signs_browsers_out(door: Review):
    async with door.signed_in("anna") as client:
        assert (await client.get("/")).status_code == 200
        door.store.people.set_password("anna", "$argon2id$other")
        assert (await client.get("/")).status_code == 303


async def test_a_body_without_a_length_is_bounded_too(door: Review):
    async def endless():
        for _ in range(100):
            yield b"x" * 4096

    async with door.client() as client:
        answer = await client.post(
            "/sign-in",
            content=endless(),
            headers={"content-type": "application/x-www-form-urlencoded"},
        )
    assert answer.status_code == 413


async def test_a_field_sent_twice_is_refused(door: Review):
    hold = await door.hold()
    async with door.signed_in("anna") as client:
        csrf = csrf_of((await client.get("/")).text)
        answer = await client.post(
            f"/h/{hold.id}/answer",
            content=f"csrf={csrf}&digest={hold.digest}&answer=reject&answer=approve",
            headers={"content-type": "application/x-www-form-urlencoded"},
        )
    assert answer.status_code == 400
