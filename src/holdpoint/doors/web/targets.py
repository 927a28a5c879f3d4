"""The page about targets: tiers, the servers behind them and how far behind, and who is in."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from holdpoint.doors.web.door import caller_of, door_of
from holdpoint.doors.web.render import iso, page
from holdpoint.engine.standing import ServerStanding, TargetStanding


def lag_words(server: ServerStanding) -> str:
    """How a server stands, in a few words: what it is, and how far behind."""
    if server.state == "unknown":
        return "not looked at"
    if server.state != "replica":
        return server.state
    if server.lag_s is None:
        return "replica, lag unknown"
    return "replica, up to date" if server.lag_s < 1 else f"replica, {server.lag_s:,.0f} s behind"


def _standing(request: Request) -> tuple[TargetStanding, ...]:
    source = door_of(request).standing
    return tuple(source()) if source is not None else ()


async def targets(request: Request) -> Response:
    """Every target with its tiers, from the least access to the most."""
    caller = await caller_of(request)
    return page(
        "targets.html",
        title="Targets",
        nav="targets",
        person=caller.person,
        csrf=caller.csrf,
        targets=_standing(request),
        lag_words=lag_words,
    )


async def targets_json(request: Request) -> Response:
    """The twin of the targets page."""
    await caller_of(request)
    documents = [_document(target) for target in _standing(request)]
    return JSONResponse({"ok": True, "targets": documents})


def _document(target: TargetStanding) -> dict[str, Any]:
    document = asdict(target)
    for tier in document["tiers"]:
        for session in tier["sessions"]:
            session["since"] = iso(session["since"])
    return document
