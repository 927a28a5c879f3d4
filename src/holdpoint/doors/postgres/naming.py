"""What a session's names may mean and as whom it acts, followed through the statements it runs.

Servers before 18 do not report search_path, and none reports the role. A setting that a statement
may have changed has several possible values from then on: each counts until the server, or a lone
statement that succeeded outside a transaction, says which one it is. So a rollback, a SET LOCAL or
a function that sets something never gives the gate a wrong answer, only a wider one.
"""

from __future__ import annotations

import re
from typing import Final

from holdpoint.model import limits
from holdpoint.model.effects import Mark, MarkKind, Reading, Statement
from holdpoint.sql.settings import ROLE_SETTINGS, paths_of

# Settings for the whole session; SET LOCAL outside a transaction does nothing.
_FOR_SESSION: Final = re.compile(r"\s*(?:set\s+(?!local\b|transaction\b)|reset\s|discard\s)", re.I)
_ALL: Final = "*"  # what RESET ALL and DISCARD ALL set


class Naming:
    """The possible search paths and roles of one session that began as ``role``.

    ``path`` is the search path it began with where that may not be the one of whoever reads the
    catalog: a role of the session's or the agent's own is another ``$user``.
    """

    def __init__(self, role: str, path: tuple[str, ...] | None = None) -> None:
        self._login: Final = role
        self._own: Final = path
        self._roles: tuple[str, ...] = (role,)
        self.paths: tuple[tuple[str, ...], ...] = (path,) if path is not None else ()
        """Possible search paths; empty for the one a fresh session of the tier's role has."""
        self.any_path = False

    @property
    def role(self) -> str:
        """Whom the session acts as; the one it began as where that is not sure."""
        return self._roles[0]

    @property
    def doubts(self) -> tuple[Mark, ...]:
        """What is not sure, for the reading of later statements."""
        if len(self._roles) == 1:
            return ()
        names = " or ".join(f"`{name}`" if name else "somebody else" for name in self._roles)
        words = f"the session may act as {names}"
        return (Mark(MarkKind.ROLE_UNSURE, "role", words),)

    def may_become(self, reading: Reading, first: tuple[str, ...] | None) -> bool:
        """Widen to what the statements may set; tell whether anything did.

        ``first`` is the search path of a fresh session, None when it is not known.
        """
        first = first if self._own is None else self._own
        changed = False
        for statement in reading.statements:
            for name, values in statement.sets:
                if name in ("search_path", _ALL):
                    self._widen_path(values, first)
                    changed = True
                if name in ROLE_SETTINGS or name == _ALL:
                    self._widen_role(values)
                    changed = True
        return changed

    def _widen_path(self, values: tuple[str, ...] | None, first: tuple[str, ...] | None) -> None:
        if values is None or first is None:
            self.any_path = True
            return
        paths = dict.fromkeys(self.paths or (first,))
        paths.update(dict.fromkeys(paths_of(list(values), self.role) if values else (first,)))
        self.paths = tuple(paths)
        if len(self.paths) > limits.SEARCH_PATHS_MAX:
            self.any_path = True

    def _widen_role(self, values: tuple[str, ...] | None) -> None:
        role = "" if values is None else self._named(values)
        if role not in self._roles:
            self._roles = (*self._roles, role)
            self.any_path = True  # `$user` in the search path is another schema now

    def _named(self, values: tuple[str, ...]) -> str:
        value = values[0] if values else ""
        return self._login if value.lower() in ("", "none", "default") else value

    def became(self, reading: Reading) -> None:
        """Narrow to what a lone statement has set: it succeeded, and no transaction is open."""
        if len(reading.statements) != 1:
            return
        statement = reading.statements[0]
        if _FOR_SESSION.match(statement.text) is None:
            return
        for name, values in statement.sets:
            if name in ("search_path", _ALL) and values is not None:
                self._narrow_path(values, statement)
            if name in ROLE_SETTINGS or name == _ALL:
                self._roles = ("",) if values is None else (self._named(values),)
                self.any_path = self._roles != (self._login,)

    def _narrow_path(self, values: tuple[str, ...], statement: Statement) -> None:
        if statement.reached or len(self._roles) > 1:
            return
        fresh = (self._own,) if self._own is not None else ()
        self.paths = paths_of(list(values), self.role) if values else fresh
        self.any_path = self.role != self._login and not values

    def reported(self, value: str) -> None:
        """Take the search path that the server reports (PostgreSQL 18 and later)."""
        self.paths = paths_of([value], self.role)
        self.any_path = len(self._roles) > 1
