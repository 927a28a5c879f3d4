"""Puts the web door together: routes, the guard around them, and what errors become."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from holdpoint.doors.web import agent_api, api, pages, signin, targets
from holdpoint.doors.web.agent_api import AgentDoor
from holdpoint.doors.web.door import Door, SignInFirst, WebSettings, after_sign_in, sign_in_path
from holdpoint.doors.web.errors import Refused, refusal_response, wants_json
from holdpoint.doors.web.guard import SECURITY_HEADERS, Guard
from holdpoint.doors.web.live import Streams
from holdpoint.doors.web.people import Directory
from holdpoint.doors.web.render import page
from holdpoint.engine.holds import HoldBook
from holdpoint.engine.standing import TargetStanding
from holdpoint.engine.unavailable import TrailUnavailable
from holdpoint.model.task import Task
from holdpoint.store.errors import StoreError
from holdpoint.store.people import People
from holdpoint.store.records import Records

_STATIC: Final = Path(__file__).parent / "static"


class _Static(StaticFiles):
    """The door's own files; browsers may keep them but must ask whether they changed."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "no-cache"
        return response


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return refusal_response(request, error)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {404: "there is no such page", 405: "this page does not take that method"}
    message = words.get(error.status_code, str(error.detail).lower())
    return refusal_response(request, Refused(error.status_code, message))


async def _sign_in_first(request: Request, error: Exception) -> Response:
    """Send a browser to the sign-in, a program away with words.

    The cookie is not sent along when a link in a chat is followed (``SameSite=Strict``). Then a
    page of ours loads the same address again, now as our own, and the cookie comes.
    """
    assert isinstance(error, SignInFirst)
    if wants_json(request):
        hint = "send a person's token: `Authorization: Bearer hpp_...`"
        return refusal_response(request, Refused(401, "sign in first", hint))
    if "hx-request" in request.headers:
        return Response(status_code=401, headers={"hx-redirect": "/sign-in"})
    if request.url.path == "/live":
        return refusal_response(request, Refused(401, "sign in first"))
    if request.headers.get("sec-fetch-site") == "cross-site" and request.method == "GET":
        return page("again.html", title="One moment", path=after_sign_in(error.path))
    return RedirectResponse(sign_in_path(error.path), status_code=303)


async def _unavailable(request: Request, error: Exception) -> Response:
    """The store or the trail does not serve now; then nothing was answered."""
    assert isinstance(error, StoreError | TrailUnavailable)
    return refusal_response(request, Refused(503, str(error), "nothing was answered; try again"))


async def _broken(request: Request, error: Exception) -> Response:
    """Words for the person; Starlette raises the error again for the log."""
    refused = Refused(500, "the gate failed to answer; nothing was approved", "try again")
    response = refusal_response(request, refused)
    # This handler stands outside of the guard.
    response.headers.update(SECURITY_HEADERS)
    return response


def _routes(for_agents: bool) -> list[Route | Mount]:
    return [
        Route("/", pages.index),
        Route("/index.json", pages.index_json),
        Route("/holds", pages.index_part),
        Route("/h/{hold_id}.json", pages.case_json),
        Route("/h/{hold_id}/standing", pages.case_part),
        Route("/h/{hold_id}/statement.txt", pages.case_text),
        Route("/h/{hold_id}/answer", pages.answer_form, methods=["POST"]),
        Route("/h/{hold_id}", pages.case),
        Route("/trail", pages.trail),
        Route("/trail.json", pages.trail_json),
        Route("/targets", targets.targets),
        Route("/targets.json", targets.targets_json),
        Route("/live", pages.live),
        Route("/sign-in", signin.show),
        Route("/sign-in", signin.enter, methods=["POST"]),
        Route("/sign-in/{token}", signin.show_link),
        Route("/sign-in/{token}", signin.enter_by_link, methods=["POST"]),
        Route("/sign-out", signin.leave, methods=["POST"]),
        Route("/api/holds", pages.index_json),
        Route("/api/holds/{hold_id}", pages.case_json),
        Route("/api/holds/{hold_id}/answer", api.answer, methods=["POST"]),
        *(agent_api.routes() if for_agents else ()),
        Mount("/static", _Static(directory=_STATIC)),
    ]


def create_web(
    *,
    book: HoldBook,
    people: People,
    groups: Mapping[str, frozenset[str]],
    clock: Callable[[], datetime],
    settings: WebSettings,
    trail: Records | None = None,
    owner_of: Callable[[str], str] | None = None,
    standing: Callable[[], Sequence[TargetStanding]] | None = None,
    task_of: Callable[[str], Task | None] | None = None,
    agents: AgentDoor | None = None,
) -> Starlette:
    """The web door as an ASGI application.

    ``groups`` maps names of groups to people; ``clock`` gives the time, aware, UTC; ``owner_of``
    names the owner of an agent, to be shown, and ``task_of`` a task (both may block);
    ``standing`` tells how the targets stand, at once. ``agents`` takes their requests. Raises
    ValueError when ``settings.base_url`` is not an address without a path. On shutdown, call
    ``close_streams`` before the server waits for its clients.
    """
    if not re.fullmatch(r"https?://[^/?#@\s]+", settings.base_url):
        raise ValueError(
            f"`{settings.base_url}` is not an address without a path, such as `http://127.0.0.1:7433`"
        )
    guard = Middleware(Guard, hosts=settings.all_hosts, secure=settings.secure)
    web = Starlette(
        routes=_routes(agents is not None),
        middleware=[guard],
        exception_handlers={
            Refused: _refused,
            SignInFirst: _sign_in_first,
            HTTPException: _http,
            StoreError: _unavailable,
            TrailUnavailable: _unavailable,
            Exception: _broken,
        },
    )
    web.state.door = Door(
        book=book,
        people=Directory(people),
        groups=groups,
        clock=clock,
        settings=settings,
        trail=trail,
        owner_of=owner_of,
        streams=Streams(),
        standing=standing,
        task_of=task_of,
    )
    web.state.agents = agents
    return web


def close_streams(web: Starlette) -> None:
    """End all live pages of a web door; their browsers connect again when it is back."""
    web.state.door.streams.close()
