"""Text to statements and effects, with the database's own grammar.

``read`` is the door; ``reader`` orders the statements of a text, ``grammar`` parses, ``walk`` goes
through the tree, and ``expressions``, ``queries``, ``session``, ``utility`` and ``commands`` say
what each kind of node does. What none of them knows is ``unknown``.

What a text alone cannot show, and a catalog will: a view, rule or trigger behind a table's name; a
user's function that overloads a built-in's name, or that is called as a column (``t.f``, where
only built-ins are seen); functions behind casts to users' types. All of these take a definition
first, which the gate decides on.
"""

from holdpoint.sql.reader import DEFAULT_VIEW, POSTGRES, read

__all__ = ["DEFAULT_VIEW", "POSTGRES", "read"]
