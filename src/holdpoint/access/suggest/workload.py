"""What a run of statements needed: each privilege with how often, when, and an example.

Sessions are followed as far as that decides what names mean: their search path, and relations of
their own making. What a text needs is read once and remembered; a text is told apart by the session
only where that can matter.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Final

from holdpoint import sql
from holdpoint.access.history import Ending, Said
from holdpoint.model.effects import Dialect, SessionView
from holdpoint.model.grants import ObjectClass
from holdpoint.model.limits import (
    HISTORY_OPEN_MAX,
    REASONS_MAX,
    WORKLOAD_EXAMPLES_MAX,
    WORKLOAD_TEXT_CHARS_MAX,
    WORKLOAD_TEXTS_MAX,
)
from holdpoint.model.needs import Need, Needs
from holdpoint.sql.names import Catalog
from holdpoint.sql.privileges import needs_of
from holdpoint.sql.settings import paths_of

# Words without which a text leaves names alone; looked for first, as most texts have none.
_PATH_WORDS: Final = ("search_path", "set_config", "reset", "discard")


@dataclass(frozen=True, slots=True)
class Example:
    """A statement: the record it stands in (0 for one that is in no trail), and its text."""

    seq: int
    text: str


@dataclass(slots=True)
class Evidence:
    """How often something was needed: by how many runs of statements, from when to when.

    Moments are in microseconds since 1970, 0 where the source does not tell.
    """

    count: int = 0
    first_us: int = 0
    last_us: int = 0
    examples: list[Example] = field(default_factory=list)

    def take(self, said: Said, times: int = 1) -> None:
        """Count a statement."""
        self.count += times
        if said.at_us:
            self.first_us = min(self.first_us or said.at_us, said.at_us)
            self.last_us = max(self.last_us, said.at_us)
        text = said.text[:WORKLOAD_TEXT_CHARS_MAX]
        if len(self.examples) < WORKLOAD_EXAMPLES_MAX and all(
            each.text != text for each in self.examples
        ):
            self.examples.append(Example(said.seq, text))


_USUAL: Final = SessionView()

Place = tuple[ObjectClass, str, str, str, int]
"""A privilege on an object, whichever columns: class, schema, name, privilege, oid."""


def place_of(need: Need) -> Place:
    """Return a need without its column."""
    return (need.kind, need.schema, need.name, need.privilege, need.oid)


def places_of(needs: Needs) -> set[Place]:
    """Return what a statement needs, each privilege on an object once."""
    options = [one for choice in needs.choices for one in choice]
    return {place_of(each) for each in (*needs.needs, *needs.any_column, *options)}


@dataclass(frozen=True, slots=True)
class _Session:
    """What the names in a session mean."""

    view: SessionView = _USUAL
    made: frozenset[str] = frozenset()
    prepared: frozenset[str] = frozenset()


_FRESH: Final = _Session()


@dataclass(slots=True)
class Workload:
    """Collects what statements need. ``drops`` are needs that are looked at as if taken away.

    ``needed`` has the evidence of each need, ``places`` that of each privilege on an object;
    ``combined`` is what needs one of several. ``unsure`` maps words
    on what cannot be told to the statements that it is about; so do ``beyond``, ``missing`` and
    ``system``. ``early`` counts statements of sessions of which the beginning was not read.
    ``refused`` are the statements that ``drops`` would have refused.
    """

    catalog: Catalog
    drops: frozenset[Need] = frozenset()
    ran: int = 0
    failed: Evidence = field(default_factory=Evidence)
    denied: Evidence = field(default_factory=Evidence)
    open: Evidence = field(default_factory=Evidence)
    needed: dict[Need, Evidence] = field(default_factory=dict)
    combined: dict[Needs, None] = field(default_factory=dict)
    places: dict[Place, Evidence] = field(default_factory=dict)
    unsure: dict[str, Evidence] = field(default_factory=dict)
    beyond: dict[str, Evidence] = field(default_factory=dict)
    missing: dict[str, Evidence] = field(default_factory=dict)
    system: dict[str, Evidence] = field(default_factory=dict)
    built_ins: dict[str, Evidence] = field(default_factory=dict)
    early: int = 0
    refused: dict[Need, Evidence] = field(default_factory=dict)
    period: Evidence = field(default_factory=Evidence)
    roles: dict[str, int] = field(default_factory=dict)
    _known: OrderedDict[tuple[str, _Session], Needs] = field(default_factory=OrderedDict)
    _sessions: OrderedDict[str, _Session] = field(default_factory=OrderedDict)

    def take(self, said: Said, times: int = 1) -> None:
        """Count one statement, or ``times`` runs of it."""
        self.period.take(said, times)
        if said.role:
            self.roles[said.role] = self.roles.get(said.role, 0) + times
        if said.ending is Ending.DENIED:
            self.denied.take(said, times)
        elif said.ending is Ending.FAILED:
            self.failed.take(said, times)
        elif said.ending is Ending.UNKNOWN:
            self.open.take(said, times)
        if said.ending is Ending.RAN:
            self.ran += times
            self._count(said, times)

    def _count(self, said: Said, times: int) -> None:
        session = self._sessions.get(said.session, _FRESH)
        self.early += times if said.is_early else 0
        needs = self._needs(said.text, self._within(said.text, session))
        self._follow(said, session, needs)
        for need in needs.needs:
            self.needed.setdefault(need, Evidence()).take(said, times)
        if needs.choices or needs.any_column:
            part = Needs(choices=needs.choices, any_column=needs.any_column)
            self.combined[part] = None
        for place in places_of(needs):
            self.places.setdefault(place, Evidence()).take(said, times)
        for words, found in (
            (needs.unknowns, self.unsure),
            (needs.beyond, self.beyond),
            (needs.missing, self.missing),
        ):
            for each in words:
                evidence_of(found, each).take(said, times)
        # As many as the server has, since what ran was there.
        for name in needs.system:
            self.system.setdefault(name, Evidence()).take(said, times)
        for name in needs.built_ins:
            self.built_ins.setdefault(name, Evidence()).take(said, times)
        for need in self.drops:
            if takes_away(need, needs):
                self.refused.setdefault(need, Evidence()).take(said, times)

    def _within(self, text: str, session: _Session) -> _Session:
        """The session as any statement of a text may find it: one before may have set the path."""
        lower = text.lower()
        if ";" not in text or not any(word in lower for word in _PATH_WORDS):
            return session
        usual = session.view.search_paths or (self.catalog.rows.search_path,)
        after = self._view_after(text, session.view)
        paths = tuple(dict.fromkeys((*usual, *after.search_paths)))
        return replace(session, view=replace(after, search_paths=paths))

    def _needs(self, text: str, session: _Session) -> Needs:
        key = (text, session)
        known = self._known.get(key)
        if known is None:
            known = needs_of(text, self.catalog, session.view, session.made, session.prepared)
            self._known[key] = known
            if len(self._known) > WORKLOAD_TEXTS_MAX:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        return known

    def _follow(self, said: Said, session: _Session, needs: Needs) -> None:
        """The session after the statement: its path, and what it has made."""
        after = session
        if (needs.made, needs.prepared) != (session.made, session.prepared):
            after = replace(after, made=needs.made, prepared=needs.prepared)
        lower = said.text.lower()
        if any(word in lower for word in _PATH_WORDS):
            after = replace(after, view=self._view_after(said.text, session.view))
        if after is not session and said.session:
            self._sessions[said.session] = after
            if len(self._sessions) > HISTORY_OPEN_MAX:
                self._sessions.popitem(last=False)

    def _view_after(self, text: str, view: SessionView) -> SessionView:
        """The paths that the session may have; with LOCAL also the one it goes back to."""
        reading = sql.read(text, Dialect.POSTGRES, view, self.catalog)
        rows = self.catalog.rows
        for statement in reading.statements:
            for name, values in statement.sets:
                if name not in ("search_path", "*"):
                    continue
                usual = view.search_paths or (rows.search_path,)
                paths = paths_of(list(values), rows.role) if values else (rows.search_path,)
                if "local" in text.lower():
                    paths = tuple(dict.fromkeys((*usual, *paths)))
                any_path = values is None
                view = replace(view, search_paths=paths, any_path=any_path)
        return view


def evidence_of(reasons: dict[str, Evidence], words: str) -> Evidence:
    """Return the evidence of a reason; past the limit all others are one: agents choose names."""
    if words not in reasons and len(reasons) >= REASONS_MAX:
        words = "other reasons"
    return reasons.setdefault(words, Evidence())


def takes_away(need: Need, needs: Needs) -> bool:
    """Tell whether a statement with these needs is refused once ``need`` is taken away.

    One without a column is the privilege on the whole object, its columns included.
    """

    def is_it(one: Need) -> bool:
        same = (one.kind, one.schema, one.name, one.privilege)
        wanted = (need.kind, need.schema, need.name, need.privilege)
        return same == wanted and need.column in ("", one.column)

    if any(is_it(one) for one in needs.needs):
        return True
    if not need.column and any(is_it(one) for one in needs.any_column):
        return True
    return any(all(is_it(one) for one in choice) for choice in needs.choices)
