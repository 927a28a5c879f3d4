"""Signing in and out: with a name and a password, or with a one-time link."""

from __future__ import annotations

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from holdpoint.doors.web.credentials import (
    CredentialClass,
    class_of,
    fingerprint,
    password_matches,
)
from holdpoint.doors.web.door import (
    AGENT_HINT,
    AGENT_REFUSED,
    Door,
    after_sign_in,
    door_of,
    form_of,
    peer_of,
)
from holdpoint.doors.web.errors import Refused
from holdpoint.doors.web.render import page
from holdpoint.model.limits import SIGN_IN_WINDOW_S
from holdpoint.store.people import Person

_LINK_DEAD = "this sign-in link was used before, has expired, or never existed"
_LINK_HINT = "make a new one with `holdpoint person link NAME`"


def _form_cookie(request: Request) -> tuple[str, bool]:
    """The cookie that protects the sign-in form, and whether it is new."""
    door = door_of(request)
    cookie = request.cookies.get(door.form_cookie, "")
    return (cookie, False) if cookie else (door.visits.new_anonymous(), True)


def _form_page(
    request: Request, *, status: int = 200, error: str = "", name: str = "", back: str = "/"
) -> Response:
    door = door_of(request)
    cookie, new = _form_cookie(request)
    response = page(
        "sign_in.html",
        status=status,
        csrf=door.visits.csrf(cookie),
        title="Sign in",
        error=error,
        name=name,
        back=back,
    )
    if new:
        door.set_cookie(response, door.form_cookie, cookie)
    return response


async def show(request: Request) -> Response:
    """The sign-in form."""
    return _form_page(request, back=after_sign_in(request.query_params.get("next", "/")))


async def _checked(door: Door, name: str, password: str) -> Person | None:
    """The person, if name and password fit; takes the same time for an unknown name."""
    person = await door.people.find(name)
    stored = person.password_hash if person else ""
    fits = await to_thread.run_sync(password_matches, stored, password, limiter=door.hashing)
    return person if fits else None


def _take_try(request: Request) -> None:
    door = door_of(request)
    if not door.tries.take(peer_of(request), door.clock()):
        raise Refused(
            429,
            "too many sign-ins from this address",
            f"wait {SIGN_IN_WINDOW_S / 60:.0f} minutes, or use a link made by "
            "`holdpoint person link NAME`",
        )


async def enter(request: Request) -> Response:
    """Check a name and a password and sign the browser in."""
    door = door_of(request)
    form = await form_of(request, request.cookies.get(door.form_cookie, ""))
    name, password = form.get("name", "").strip(), form.get("password", "")
    back = after_sign_in(form.get("next", "/"))
    if class_of(password) is CredentialClass.AGENT:
        raise Refused(403, AGENT_REFUSED, AGENT_HINT)
    _take_try(request)
    person = await _checked(door, name, password)
    if person is None:
        error = "the name or the password is not right"
        return _form_page(request, status=403, error=error, name=name, back=back)
    door.tries.forgive(peer_of(request))
    return _signed_in(request, person, back)


def _signed_in(request: Request, person: Person, back: str) -> Response:
    door = door_of(request)
    door.visits.end(request.cookies.get(door.visit_cookie, ""))
    response = RedirectResponse(back, status_code=303)
    cookie = door.visits.start(person.name, person.password_hash, door.clock())
    door.set_cookie(response, door.visit_cookie, cookie)
    return response


def _link_hash(request: Request) -> str:
    token = request.path_params["token"]
    if class_of(token) is CredentialClass.AGENT:
        raise Refused(403, AGENT_REFUSED, AGENT_HINT)
    if class_of(token) is not CredentialClass.SIGN_IN_LINK:
        raise Refused(404, _LINK_DEAD, _LINK_HINT)
    return fingerprint(token)


async def show_link(request: Request) -> Response:
    """A button. The link is used up by pressing it, not by looking: chats preview links."""
    door = door_of(request)
    if not await door.people.link_stands(_link_hash(request), door.clock()):
        raise Refused(404, _LINK_DEAD, _LINK_HINT)
    cookie, new = _form_cookie(request)
    response = page("sign_in_link.html", csrf=door.visits.csrf(cookie), title="Sign in")
    if new:
        door.set_cookie(response, door.form_cookie, cookie)
    return response


async def enter_by_link(request: Request) -> Response:
    """Use a sign-in link up."""
    door = door_of(request)
    await form_of(request, request.cookies.get(door.form_cookie, ""))
    person = await door.people.use_link(_link_hash(request), door.clock())
    if person is None:
        raise Refused(404, _LINK_DEAD, _LINK_HINT)
    return _signed_in(request, person, "/")


async def leave(request: Request) -> Response:
    """Sign the browser out."""
    door = door_of(request)
    cookie = request.cookies.get(door.visit_cookie, "")
    await form_of(request, cookie)
    door.visits.end(cookie)
    response = RedirectResponse("/sign-in", status_code=303)
    response.delete_cookie(door.visit_cookie, path="/", secure=door.settings.secure)
    return response
