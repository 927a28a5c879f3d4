"""The pages about holds, their fragments for live updates, and their JSON twins."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from holdpoint.doors.web.answers import give_answer, hold_of
from holdpoint.doors.web.door import Caller, caller_of, door_of, form_of, may_see
from holdpoint.doors.web.errors import Refused
from holdpoint.doors.web.live import live_response
from holdpoint.doors.web.records import RecordView, record_view
from holdpoint.doors.web.render import page
from holdpoint.doors.web.views import HoldView, bar_to_answer, hold_document, hold_view
from holdpoint.model import limits
from holdpoint.model.hold import Hold, HoldState

_ENDED = frozenset(HoldState) - {HoldState.OPEN}


async def _views(request: Request, caller: Caller) -> tuple[list[HoldView], list[HoldView]]:
    """What waits, soonest to expire first, and what was answered or ended of late."""
    door = door_of(request)
    now = door.clock()
    waiting = await door.book.list({HoldState.OPEN}, limits.HOLDS_OPEN_MAX)
    ended = await door.book.list(_ENDED, limits.WEB_ENDED_SHOWN_MAX)
    seen = [hold_view(hold, now) for hold in (*waiting, *ended) if may_see(caller.person, hold)]
    open_views = sorted((view for view in seen if view.open), key=lambda view: view.hold.expires_at)
    return open_views, [view for view in seen if not view.open]


def _page(request: Request, caller: Caller, template: str, **values: Any) -> Response:
    return page(template, person=caller.person, csrf=caller.csrf, **values)


async def index(request: Request) -> Response:
    """The live list of holds."""
    caller = await caller_of(request)
    waiting, ended = await _views(request, caller)
    return _page(
        request, caller, "index.html", title="Holds", nav="holds", waiting=waiting, ended=ended
    )


async def index_part(request: Request) -> Response:
    """The list alone, to be swapped into the page when something changes."""
    caller = await caller_of(request)
    waiting, ended = await _views(request, caller)
    return _page(request, caller, "_holds.html", waiting=waiting, ended=ended)


async def index_json(request: Request) -> Response:
    """The twin of the list."""
    caller = await caller_of(request)
    waiting, ended = await _views(request, caller)
    documents = [hold_document(view, whole=False) for view in (*waiting, *ended)]
    return JSONResponse({"ok": True, "holds": documents})


async def _case(request: Request) -> tuple[Caller, HoldView]:
    caller = await caller_of(request)
    return caller, await _view(request, caller)


async def _view(request: Request, caller: Caller) -> HoldView:
    """The hold of the path as this person sees it, with the reason if they cannot answer it."""
    door = door_of(request)
    hold = await hold_of(request, caller)
    owner = await to_thread.run_sync(door.owner_of, hold.agent) if door.owner_of else ""
    bar = bar_to_answer(hold, caller.person, door.groups_of(caller.person), owner)
    task = None
    if door.task_of is not None and hold.task:
        task = await to_thread.run_sync(door.task_of, hold.task)
    return hold_view(hold, door.clock(), owner=owner, bar=bar, task=task)


async def case(request: Request) -> Response:
    """One hold with everything that the answer rests on."""
    caller, view = await _case(request)
    return _case_page(request, caller, view)


def _case_page(request: Request, caller: Caller, view: HoldView, error: str = "") -> Response:
    title = f"Hold {view.hold.id}"
    return _page(request, caller, "case.html", title=title, view=view, error=error)


async def case_part(request: Request) -> Response:
    """How the hold stands now, without the form if it can no longer be answered."""
    caller, view = await _case(request)
    return _page(request, caller, "_standing_part.html", view=view)


async def case_json(request: Request) -> Response:
    """The twin of the case page."""
    _, view = await _case(request)
    return JSONResponse({"ok": True, "hold": hold_document(view)})


async def case_text(request: Request) -> Response:
    """The whole statement as plain text, for those too long for the page."""
    _, view = await _case(request)
    return PlainTextResponse(view.fact("text") or view.fact("unreadable"))


async def answer_form(request: Request) -> Response:
    """Answer a hold from its page; a refusal shows the hold as it stands, and why."""
    caller = await caller_of(request)
    if not caller.cookie:
        raise Refused(400, "a token answers through `/api/holds/ID/answer`")
    form = await form_of(request, caller.cookie)
    try:
        hold = await give_answer(
            request,
            caller,
            answer=form.get("answer", ""),
            note=form.get("note", ""),
            digest=form.get("digest", ""),
        )
    except Refused as refused:
        if refused.status == 404:
            raise
        response = _case_page(request, caller, await _view(request, caller), refused.message)
        response.status_code = refused.status
        return response
    return RedirectResponse(f"/h/{hold.id}", status_code=303)


async def trail(request: Request) -> Response:
    """Recent records, newest first."""
    caller = await caller_of(request)
    records = await _records(request)
    return _page(request, caller, "trail.html", title="Trail", nav="trail", records=records)


async def trail_json(request: Request) -> Response:
    """The twin of the trail page."""
    await caller_of(request)
    documents = [asdict(record) for record in await _records(request)]
    return JSONResponse({"ok": True, "records": documents})


async def _records(request: Request) -> list[RecordView]:
    source = door_of(request).trail
    if source is None:
        return []
    found = await to_thread.run_sync(source.recent, limits.WEB_TRAIL_SHOWN_MAX)
    return [record_view(record) for record in found]


async def live(request: Request) -> Response:
    """Changes of holds as they happen."""
    caller = await caller_of(request)
    door = door_of(request)

    async def allowed(hold: Hold | None) -> bool:
        still = await _still(request, caller)
        return still and (hold is None or may_see(caller.person, hold))

    return live_response(door.book.subscribe, door.streams, caller.person, allowed)


async def _still(request: Request, caller: Caller) -> bool:
    """Whether the browser of a live page is still signed in."""
    door = door_of(request)
    if await door.people.find(caller.person) is None:
        return False
    return not caller.cookie or door.visits.holds(caller.cookie, caller.person)
