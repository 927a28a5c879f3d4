"""Text to statements and effects, with the database's own grammar.

``read`` is the door; ``reader`` orders the statements of a text, ``grammar`` parses, ``walk`` goes
through the tree, and ``expressions``, ``queries``, ``session``, ``utility`` and ``commands`` say
what each kind of node does. What none of them knows is ``unknown``.
"""

from holdpoint.sql.reader import DEFAULT_VIEW, POSTGRES, read

__all__ = ["DEFAULT_VIEW", "POSTGRES", "read"]
