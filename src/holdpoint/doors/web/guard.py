"""The outermost layer of the web door: what every request must be and every response must carry."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from holdpoint.doors.web.errors import Refused, refusal_response
from holdpoint.model.limits import WEB_BODY_BYTES_MAX

SECURITY_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not `no-referrer`: with it browsers send `Origin: null` with forms, and the origin of an
    # answer could not be checked. Nothing leaves to other sites with this value either.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
_TLS_HEADER: Final = ("strict-transport-security", "max-age=31536000")


def host_of(authority: str) -> str:
    """The host of a ``Host`` header or an origin in lower case, without port, or empty."""
    if any(char in authority for char in "@/\\?# \t"):
        return ""
    try:
        return urlsplit("//" + authority).hostname or ""
    except ValueError:
        return ""


class Guard:
    """Checks the host, bounds the body, and puts the security headers on every response.

    The host check stops DNS rebinding: a foreign page whose name was pointed at this address sends
    its own name in ``Host``. Bodies over the limit end the request, whatever their length header
    said.
    """

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str], secure: bool) -> None:
        self._app = app
        self._hosts = hosts
        self._secure = secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Guard one request; anything that is not HTTP passes to Starlette, which has no such."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refused = self._refusal(Headers(scope=scope))
        if refused is not None:
            response = refusal_response(Request(scope), refused)
            await response(scope, receive, self._with_headers(send))
            return
        await self._app(scope, _bounded(receive), self._with_headers(send))

    def _refusal(self, headers: Headers) -> Refused | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or host_of(hosts[0]) not in self._hosts:
            shown = ", ".join(f"`{host}`" for host in sorted(self._hosts))
            return Refused(421, "this host name is not one of the gate's", f"open it as {shown}")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:20]) > WEB_BODY_BYTES_MAX:
            return Refused(413, f"the request is over {WEB_BODY_BYTES_MAX:,} bytes")
        return None

    def _with_headers(self, send: Send) -> Send:
        async def sender(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    if name not in headers or name != "cache-control":
                        headers[name] = value
                if self._secure:
                    headers[_TLS_HEADER[0]] = _TLS_HEADER[1]
            await send(message)

        return sender


def _bounded(receive: Receive) -> Receive:
    taken = 0

    async def receiver() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > WEB_BODY_BYTES_MAX:
            raise Refused(413, f"the request is over {WEB_BODY_BYTES_MAX:,} bytes")
        return message

    return receiver
