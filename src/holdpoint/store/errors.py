"""What the store says when it cannot serve."""


class StoreError(Exception):
    """The store cannot be used; the message says what happened and what to do next."""
