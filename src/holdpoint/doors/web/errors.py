"""Refusals of the web door: one exception, one JSON envelope, one page."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from holdpoint.doors.web.render import page


class Refused(Exception):
    """A request that is not served: an HTTP status, what is wrong, and what to do next."""

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.hint = hint


def wants_json(request: Request) -> bool:
    """Whether the answer is read by a program: a ``.json`` twin, the API, or a bearer token."""
    path = request.url.path
    for_programs = path.endswith(".json") or path.startswith(("/api/", "/agent/"))
    return for_programs or "authorization" in request.headers


def refusal_response(request: Request, refused: Refused) -> Response:
    """A refusal in the form in which the client asked."""
    if wants_json(request):
        body = {"ok": False, "error": refused.message, "hint": refused.hint}
        response: Response = JSONResponse(body, status_code=refused.status)
    else:
        response = page(
            "refused.html",
            status=refused.status,
            code=refused.status,
            message=refused.message,
            hint=refused.hint,
            title="Not done",
        )
    if refused.status == 401 and wants_json(request):
        agents = request.url.path.startswith("/agent/")
        response.headers["www-authenticate"] = 'Basic realm="agents"' if agents else "Bearer"
    return response
