"""Holds, answers, agents, people and the trail's records, in SQLite."""

from holdpoint.store.errors import StoreError
from holdpoint.store.store import Store

__all__ = ["Store", "StoreError"]
