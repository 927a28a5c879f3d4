"""The one error of the embedded server."""


class EmbeddedError(Exception):
    """The embedded PostgreSQL cannot be found, prepared, started or stopped.

    The text says what happened and what to do next; where the server itself said something, its
    last words are part of it.
    """
