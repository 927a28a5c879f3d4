"""The people's table for the event loop: each call to the store runs in a thread."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from anyio import to_thread

from holdpoint.store.people import People, Person


class Directory:
    """Finds people. By its type it cannot find an agent."""

    def __init__(self, people: People) -> None:
        self._people = people

    async def find(self, name: str) -> Person | None:
        """The person of that name, in any spelling, unless shut out."""
        return await to_thread.run_sync(self._people.find, name)

    async def by_token(self, token_hash: str) -> Person | None:
        """The person whose token has this fingerprint, unless shut out."""
        return await to_thread.run_sync(self._people.by_token, token_hash)

    async def link_stands(self, link_hash: str, at: datetime) -> bool:
        """Whether a sign-in link could be used now; does not use it."""
        return await to_thread.run_sync(partial(self._people.link_stands, link_hash, at))

    async def use_link(self, link_hash: str, at: datetime) -> Person | None:
        """Use up a sign-in link; the person it was for, or None. Succeeds once."""
        return await to_thread.run_sync(partial(self._people.use_link, link_hash, at))
