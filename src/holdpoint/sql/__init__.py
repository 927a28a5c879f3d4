"""Text to statements and effects, with the database's own grammar.

``read`` is the door; ``reader`` orders the statements of a text, ``grammar`` parses, ``walk`` goes
through the tree, and ``expressions``, ``queries``, ``session``, ``utility`` and ``commands`` say
what each kind of node does. What none of them knows is ``unknown``.

With a catalog (``names``), ``consequences`` follows what the names in a statement set off; what one
object does by itself stands in ``objects``. Without one a table's name stands for a table, and
every function that is not built in is unknown.
"""

from holdpoint.sql.consequences import is_built_in
from holdpoint.sql.defining import defines
from holdpoint.sql.reader import DEFAULT_VIEW, POSTGRES, read

__all__ = ["DEFAULT_VIEW", "POSTGRES", "defines", "is_built_in", "read"]
