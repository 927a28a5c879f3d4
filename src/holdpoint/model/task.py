"""Tasks: what an agent was asked to do, and the credentials that are issued for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from holdpoint.model.budget import NO_BUDGET, Budget


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One piece of work of one agent. Times are aware, UTC.

    ``tiers`` are those that people gave it beyond what the agent may use anyway, as
    ``target/tier``. ``created_by`` is a person. ``ended_at`` is set when it was ended early.
    """

    id: str
    agent: str
    description: str
    created_by: str
    created_at: datetime
    expires_at: datetime
    ticket: str = ""
    tiers: tuple[str, ...] = ()
    budget: Budget = NO_BUDGET
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Who signs in: an agent by its own secret, or by the secret of one of its tasks.

    ``name`` is what the client calls itself: the agent's name or the task's id. Past
    ``expires_at`` nobody gets in by it, and sessions that did are ended.
    """

    name: str
    agent: str
    scram_verifier: str
    task: str = ""
    expires_at: datetime | None = None
    tiers: tuple[str, ...] = ()
    budget: Budget = NO_BUDGET


@dataclass(frozen=True, slots=True, kw_only=True)
class Barred:
    """A name that lets nobody in. ``why`` is for the trail and never for the client.

    ``scram_verifier`` is the credential's, so that what has ended looks as it did when it was good;
    empty for a name that was never given to anybody.
    """

    why: str
    scram_verifier: str = ""


UNKNOWN_NAME = Barred(why="no agent or task has this name")
