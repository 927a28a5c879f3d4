"""Which privileges a text needs: what the server checks before it runs, column by column.

A column counts when it is named anywhere: in a list, a condition, an order, RETURNING; ``*`` and
whole rows name them all (manual, GRANT, and the notes on privileges of each statement's page; the
rest was seen on servers of 16 and 18). What runs behind the statement with the rights of who sent
it is in ``privileges_behind``: functions, triggers, security invoker views.

Doubt asks for more: a name that could mean several relations means all of them, and what cannot
be told is said in words.
"""

from __future__ import annotations

from holdpoint.model.effects import SessionView
from holdpoint.model.needs import Needs
from holdpoint.sql.names import Catalog, Paths
from holdpoint.sql.needed import Asking, Needed
from holdpoint.sql.privileges_behind import follow
from holdpoint.sql.privileges_statements import read_text


def needs_of(
    text: str,
    catalog: Catalog,
    view: SessionView,
    made: frozenset[str] = frozenset(),
    prepared: frozenset[str] = frozenset(),
) -> Needs:
    """Return what running ``text`` in a session needs. Never raises.

    ``view`` says which search paths the session may have. ``made`` are names of relations that the
    session has made itself: it owns them. ``prepared`` are names of statements that it has
    prepared: what they need was found then.
    """
    needed = Needed(made, prepared)
    paths = Paths(view.search_paths, view.any_path) if view.search_paths else catalog.paths
    read_text(text, Asking(catalog, paths, needed))
    follow(needed, catalog, paths)
    return needed.needs()
