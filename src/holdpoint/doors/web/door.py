"""What the handlers of the web door share, and who is asking."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit

import anyio
from starlette.requests import Request
from starlette.responses import Response

from holdpoint.doors.web.credentials import CredentialClass, class_of, fingerprint
from holdpoint.doors.web.errors import Refused
from holdpoint.doors.web.guard import host_of
from holdpoint.doors.web.limiter import Limiter
from holdpoint.doors.web.live import Streams
from holdpoint.doors.web.people import Directory
from holdpoint.doors.web.visits import Visits
from holdpoint.engine.holds import HoldBook
from holdpoint.engine.standing import TargetStanding
from holdpoint.model import limits
from holdpoint.model.hold import Hold
from holdpoint.model.task import Task
from holdpoint.store.names import folded
from holdpoint.store.records import Records

AGENT_REFUSED: Final = "this is an agent's credential; agents cannot see or answer holds"
AGENT_HINT: Final = "a person answers, signed in or with a token made by `holdpoint person add`"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """How the door is reached. ``base_url`` has no path; ``hosts`` are further accepted names."""

    base_url: str
    hosts: frozenset[str] = frozenset()

    @property
    def secure(self) -> bool:
        """Whether people reach the door over TLS."""
        return self.base_url.startswith("https://")

    @property
    def all_hosts(self) -> frozenset[str]:
        """Every host name that a request may carry, in lower case."""
        own = urlsplit(self.base_url).hostname or ""
        return frozenset(name.lower() for name in (own, *self.hosts) if name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sent a request. ``cookie`` and ``csrf`` are empty for a bearer token."""

    person: str
    cookie: str = ""
    csrf: str = ""


class SignInFirst(Exception):
    """A page was asked for by nobody known; ``path`` is where to go after the sign-in."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


@dataclass(slots=True, kw_only=True)
class Door:
    """The parts behind the pages. ``clock`` gives the time, aware, UTC."""

    book: HoldBook
    people: Directory
    groups: Mapping[str, frozenset[str]]
    clock: Callable[[], datetime]
    settings: WebSettings
    trail: Records | None
    owner_of: Callable[[str], str] | None
    streams: Streams
    standing: Callable[[], Sequence[TargetStanding]] | None = None
    task_of: Callable[[str], Task | None] | None = None
    visits: Visits = field(default_factory=Visits)
    tries: Limiter = field(
        default_factory=lambda: Limiter(
            tries=limits.SIGN_IN_TRIES_MAX,
            window_s=limits.SIGN_IN_WINDOW_S,
            keys_max=limits.SIGN_IN_PEERS_MAX,
        )
    )
    hashing: anyio.CapacityLimiter = field(
        default_factory=lambda: anyio.CapacityLimiter(limits.PASSWORD_CHECKS_MAX)
    )

    def groups_of(self, person: str) -> frozenset[str]:
        """The groups a person is in; `Anna` in the configuration is `anna` in the store."""
        return frozenset(
            group
            for group, members in self.groups.items()
            if any(folded(member) == folded(person) for member in members)
        )

    @property
    def visit_cookie(self) -> str:
        """The name of the sign-in cookie; ``__Host-`` binds it to this host over TLS."""
        return "__Host-holdpoint" if self.settings.secure else "holdpoint"

    @property
    def form_cookie(self) -> str:
        """The name of the cookie that protects the sign-in form."""
        return self.visit_cookie + "-form"

    def set_cookie(self, response: Response, name: str, value: str) -> None:
        """Set one of the door's cookies: out of reach for scripts and for other sites."""
        response.set_cookie(
            name, value, path="/", secure=self.settings.secure, httponly=True, samesite="strict"
        )


def door_of(request: Request) -> Door:
    """The door that this request came through."""
    door = request.app.state.door
    assert isinstance(door, Door)
    return door


def may_see(person: str, hold: Hold) -> bool:
    """Whether a person may see a hold. Every page, twin and live event asks this one function.

    Today everybody who can sign in sees all holds: whoever is on call must be able to judge. An
    empty name is nobody.
    """
    return bool(person) and bool(hold.id)


async def caller_of(request: Request) -> Caller:
    """Who is asking: by bearer token, else by cookie.

    Raises ``Refused`` for a credential that is wrong or of the wrong class, ``SignInFirst`` when
    there is none.
    """
    header = request.headers.get("authorization")
    if header is not None:
        return await _bearer(request, header)
    door = door_of(request)
    cookie = request.cookies.get(door.visit_cookie, "")
    visit = door.visits.find(cookie, door.clock())
    person = await door.people.find(visit.person) if visit else None
    if visit is None or person is None or person.password_hash != visit.password_hash:
        door.visits.end(cookie)
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        raise SignInFirst(path if request.method == "GET" else "/")
    return Caller(person=person.name, cookie=cookie, csrf=door.visits.csrf(cookie))


async def _bearer(request: Request, header: str) -> Caller:
    scheme, _, token = header.partition(" ")
    token = token.strip()
    kind = class_of(token)
    if scheme.lower() != "bearer":
        raise Refused(401, "the credential must be a bearer token")
    if kind is CredentialClass.AGENT:
        raise Refused(403, AGENT_REFUSED, AGENT_HINT)
    hint = "make a token with `holdpoint person add NAME --token`"
    if kind is not CredentialClass.PERSON:
        raise Refused(401, "this is not a person's token", hint)
    person = await door_of(request).people.by_token(fingerprint(token))
    if person is None:
        raise Refused(401, "this person token is unknown or was withdrawn", hint)
    return Caller(person=person.name)


def peer_of(request: Request) -> str:
    """The address that the request came from."""
    return request.client.host if request.client else "unknown"


def check_origin(request: Request) -> None:
    """Refuse a form that was not sent from one of our own pages.

    Browsers say where a form comes from in ``Origin`` and, on trustworthy connections, in
    ``Sec-Fetch-Site``. Neither may contradict, and one must agree.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    foreign = Refused(
        403,
        "this form was not sent from the gate's own page",
        "open the page anew and answer there",
    )
    if site is not None and site != "same-origin":
        raise foreign
    if origin is not None and origin != "null":
        parts = urlsplit(origin)
        same = parts.netloc.lower() == request.headers.get("host", "").lower()
        scheme = urlsplit(door_of(request).settings.base_url).scheme
        if not same or parts.scheme != scheme or not host_of(parts.netloc):
            raise foreign
    elif site is None:
        raise foreign


async def form_of(request: Request, cookie: str) -> dict[str, str]:
    """The fields of a form, after the checks that every form must pass."""
    check_origin(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Refused(415, "the form must be sent as `application/x-www-form-urlencoded`")
    try:
        fields = parse_qsl(
            (await request.body()).decode("utf-8"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=limits.WEB_FORM_FIELDS_MAX,
        )
    except ValueError as error:
        raise Refused(400, "the form cannot be read") from error
    form = dict(fields)
    if len(form) != len(fields):
        raise Refused(400, "a field of the form was sent twice")
    if not door_of(request).visits.csrf_fits(cookie, form.get("csrf", "")):
        raise Refused(
            403, "the form's token is missing or old", "open the page anew and answer there"
        )
    return form


def after_sign_in(path: str) -> str:
    """Where to go after the sign-in: a path of our own, never another site."""
    fine = path.startswith("/") and not path.startswith(("//", "/\\", "/sign-in", "/live"))
    if not fine or any(ord(char) < 32 for char in path) or "\\" in path:
        return "/"
    return path


def sign_in_path(path: str) -> str:
    """The address of the sign-in page that leads back to ``path``."""
    back = after_sign_in(path)
    return "/sign-in" if back == "/" else "/sign-in?next=" + quote(back, safe="/")
