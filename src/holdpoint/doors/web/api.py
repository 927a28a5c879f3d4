"""The interface of ``holdpoint hold``: the same holds and answers, with a person's token."""

from __future__ import annotations

import json

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from holdpoint.doors.web.answers import give_answer
from holdpoint.doors.web.door import Caller, caller_of, door_of
from holdpoint.doors.web.errors import Refused
from holdpoint.doors.web.views import hold_document, hold_view


async def token_caller(request: Request) -> Caller:
    """The person of the bearer token; a cookie is not enough here."""
    if "authorization" not in request.headers:
        raise Refused(
            401, "a person's token is needed", "make one with `holdpoint person add NAME --token`"
        )
    return await caller_of(request)


async def answer(request: Request) -> Response:
    """``{"answer", "note", "digest"}``: answer a hold. The digest is the one that was shown."""
    caller = await token_caller(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(415, "the answer must be sent as `application/json`")
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise Refused(400, "the answer cannot be read as JSON") from error
    fields = body if isinstance(body, dict) else {}
    values = {name: fields.get(name, "") for name in ("answer", "note", "digest")}
    if not all(isinstance(value, str) for value in values.values()):
        raise Refused(400, "`answer`, `note` and `digest` must be strings")
    hold = await give_answer(request, caller, **values)
    view = hold_view(hold, door_of(request).clock())
    return JSONResponse({"ok": True, "hold": hold_document(view)})
