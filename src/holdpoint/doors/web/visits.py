"""Signed-in browsers: random cookies, kept in memory, bounded, ended by age.

A restart of the gate signs everybody out; holds survive it, so nothing is lost but a click. Only
hashes of the cookies are kept.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from holdpoint.model.limits import WEB_VISIT_AGE_S, WEB_VISIT_IDLE_S, WEB_VISITS_MAX


@dataclass(slots=True, kw_only=True)
class Visit:
    """One signed-in browser."""

    person: str
    password_hash: str  # as it was at sign-in: a changed password ends the visit
    since: datetime
    seen: datetime


class Visits:
    """The table of visits, and the CSRF tokens that belong to their cookies."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._visits: OrderedDict[str, Visit] = OrderedDict()

    def start(self, person: str, password_hash: str, now: datetime) -> str:
        """Sign a browser in; the value of its cookie, which is always a new one."""
        cookie = secrets.token_urlsafe(32)
        visit = Visit(person=person, password_hash=password_hash, since=now, seen=now)
        self._visits[self._index(cookie)] = visit
        while len(self._visits) > WEB_VISITS_MAX:
            self._visits.popitem(last=False)
        return cookie

    def find(self, cookie: str, now: datetime) -> Visit | None:
        """The visit of a cookie, unless it was idle too long or is too old."""
        visit = self._visits.get(self._index(cookie)) if cookie else None
        if visit is None:
            return None
        idle, age = timedelta(seconds=WEB_VISIT_IDLE_S), timedelta(seconds=WEB_VISIT_AGE_S)
        if now - visit.seen >= idle or now - visit.since >= age:
            self.end(cookie)
            return None
        visit.seen = now
        self._visits.move_to_end(self._index(cookie))
        return visit

    def holds(self, cookie: str, person: str) -> bool:
        """Whether this cookie is signed in as this person, without counting as use."""
        visit = self._visits.get(self._index(cookie))
        return visit is not None and visit.person == person

    def end(self, cookie: str) -> None:
        """Sign a browser out."""
        self._visits.pop(self._index(cookie), None)

    def csrf(self, cookie: str) -> str:
        """The token that a form must carry to be sent with this cookie."""
        return hmac.new(self._key, cookie.encode(), hashlib.sha256).hexdigest()

    def csrf_fits(self, cookie: str, token: str) -> bool:
        """Whether a form's token belongs to the cookie; an empty cookie has no valid token."""
        given = token.encode("utf-8", "surrogatepass")
        return bool(cookie) and hmac.compare_digest(self.csrf(cookie).encode(), given)

    def new_anonymous(self) -> str:
        """A cookie for the sign-in form, so that this form is protected as well."""
        return secrets.token_urlsafe(32)

    @staticmethod
    def _index(cookie: str) -> str:
        return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).hexdigest()
