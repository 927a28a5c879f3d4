"""An agent asks people for a tier: a hold like any other, which becomes a task when collected.

Quorum, expiry, who may answer, inbox and notifications are those of holds. What is approved is one
task with one tier for a time; it is made once, by the agent that asked, with the credential that it
asked with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from sqlalchemy import Connection

from holdpoint.audit.bodies import finding_document
from holdpoint.audit.record import canonical_bytes
from holdpoint.engine import tasks
from holdpoint.engine.holds import HoldBook
from holdpoint.model import limits
from holdpoint.model.budget import least
from holdpoint.model.decision import ApprovalNeed
from holdpoint.model.finding import Finding
from holdpoint.model.hold import Answer, Hold, HoldState
from holdpoint.model.record import RecordKind
from holdpoint.model.target import AccessLevel, Target, Tier
from holdpoint.model.task import Login, Task
from holdpoint.policy.rules import Policy
from holdpoint.policy.tier_words import budget_words
from holdpoint.policy.tiers import may_use
from holdpoint.policy.words import clipped, quoted
from holdpoint.store import credentials
from holdpoint.store.tasks import HOLD_TICKET

REQUEST: Final = "HP8019"
KIND: Final = "tier"  # what `kind` says in the case of a request; statements have none
DIGEST_DOMAIN: Final = b"holdpoint request v1\n"
GRANTS_SHOWN: Final = 8  # chosen: what one line of the page holds; the configuration has all

ACCESS_WORDS: Final[Mapping[AccessLevel, str]] = {
    AccessLevel.READ_ONLY: "it reads",
    AccessLevel.READ_WRITE: "it reads and changes rows, and defines nothing",
    AccessLevel.FULL_NO_DROP: "it reads, changes rows and changes the schema, and drops nothing",
    AccessLevel.OWNER: "it does whatever the tier's role may, DROP included",
}


class RequestRefused(Exception):
    """A request that makes no sense, or cannot be collected; ``hint`` says what to do next."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class NoSuchRequest(RequestRefused):
    """There is none of that id that this credential asked for."""


class NotNow(RequestRefused):
    """It is not approved, or no longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that makes sense."""

    login: Login
    target: Target
    tier: Tier
    reason: str
    for_s: int
    digest: str

    @property
    def path(self) -> str:
        """``target/tier``."""
        return f"{self.target.name}/{self.tier.name}"


class RequestDesk:
    """Takes requests for tiers and hands out what people gave. It can answer nothing.

    ``gate`` is where agents connect, as ``host:port``; known when the gate's door is open.
    """

    def __init__(
        self,
        book: HoldBook,
        policy: Policy,
        targets: Mapping[str, Target],
        clock: Callable[[], datetime],
    ) -> None:
        self._book = book
        self._policy = policy
        self._targets = targets
        self._clock = clock
        self.gate = ""

    def check(self, login: Login, path: str, reason: str, for_s: int) -> Asked:
        """Return what is asked for. Raises ``RequestRefused``."""
        target, tier = self._place(path)
        words = " ".join(reason.split())
        if not words:
            raise RequestRefused("a request needs a reason", "say what the tier is needed for")
        if len(words) > limits.REASON_CHARS_MAX:
            raise RequestRefused(
                f"the reason has {len(words):,} characters; {limits.REASON_CHARS_MAX:,} fit"
            )
        if not words.isprintable():
            raise RequestRefused("the reason has characters that cannot be shown")
        if not limits.REQUEST_MIN_S <= for_s <= limits.REQUEST_MAX_S:
            raise RequestRefused(
                f"a tier is given for {duration(limits.REQUEST_MIN_S)} to "
                f"{duration(limits.REQUEST_MAX_S)}"
            )
        if may_use(target, tier, login.agent, login.task, login.tiers, self._clock()):
            raise RequestRefused(
                f"{whom(login)} may use `{target.name}/{tier.name}` now",
                f"connect to `{target.name}/{tier.name}`",
            )
        digest = self._digest(login.agent, login.task, target, tier, words, for_s)
        return Asked(
            login=login, target=target, tier=tier, reason=words, for_s=for_s, digest=digest
        )

    async def find(self, asked: Asked) -> Hold | None:
        """Return the same request from before, if it was not used and has not expired."""
        return await self._book.find(asked.login.agent, asked.digest)

    async def open(self, asked: Asked, peer: str) -> Hold:
        """Put a request before people. Raises ``HoldRefused``, ``TrailUnavailable``."""
        now, need, login = self._clock(), self._need(asked.tier), asked.login
        finding = _finding(asked)
        return await self._book.open(
            Hold(
                id="",
                digest=asked.digest,
                agent=login.agent,
                task=login.task,
                session="",
                target=asked.target.name,
                tier=asked.tier.name,
                summary=f"{finding.message}: {clipped(asked.reason.replace('`', chr(39)))}",
                case_json=orjson.dumps(self._case(asked, finding, peer)).decode(),
                findings=(finding,),
                need=need,
                state=HoldState.OPEN,
                created_at=now,
                expires_at=now + timedelta(seconds=need.expires_s),
            ),
            RecordKind.TIER_REQUESTED,
        )

    async def look(self, login: Login, hold_id: str) -> Hold:
        """Return a request of this credential's own. Raises ``NoSuchRequest``."""
        hold = await self._book.get(hold_id)
        if hold is None or (hold.agent, hold.task) != (login.agent, login.task):
            raise NoSuchRequest("there is no such request", "ask with `holdpoint task request`")
        if request_of(hold) is None:
            raise NoSuchRequest(
                f"`{hold_id}` is held for a statement",
                "when it is approved, send the statement again",
            )
        return hold

    async def collect(self, login: Login, hold_id: str, scram_verifier: str) -> Task:
        """Turn an approved request into a task, once. Raises ``RequestRefused``."""
        hold = await self.look(login, hold_id)
        await self._check_collectable(hold)
        made: list[Task] = []

        def work(connection: Connection, claimed: Hold) -> dict[str, Any]:
            now = self._clock()
            standing = credentials.standing(connection, [login.name], now)[login.name]
            if standing != login:  # ended or rotated since it signed in
                raise NotNow("the credential that asked is no longer good", "ask with a good one")
            made.append(tasks.start(connection, _task_of(claimed, login, now), scram_verifier))
            return tasks.started_body(made[-1])

        if not await self._book.claim_for(hold_id, RecordKind.TASK_STARTED, work):
            raise NotNow(f"`{hold_id}` was used or has expired", "ask again")
        return made[-1]

    async def _check_collectable(self, hold: Hold) -> None:
        case = request_of(hold)
        assert case is not None, "looked at before"
        if hold.state is not HoldState.APPROVED:
            raise NotNow(f"`{hold.id}` is {hold.state.value}", _NEXT.get(hold.state, "ask again"))
        if not self._stands(hold, case):
            await self._book.end(hold.id, HoldState.SUPERSEDED)
            raise NotNow(
                f"`{hold.id}` was approved under another configuration than the one that runs now",
                "ask again",
            )

    def _stands(self, hold: Hold, case: dict[str, Any]) -> bool:
        """Tell whether what people approved is what the configuration would give now."""
        target = self._targets.get(hold.target)
        tier = target.tier(hold.tier) if target is not None else None
        if target is None or tier is None or hold.need != self._need(tier):
            return False
        digest = self._digest(hold.agent, hold.task, target, tier, case["reason"], case["for_s"])
        return digest == hold.digest

    def _need(self, tier: Tier) -> ApprovalNeed:
        """Return who must approve a request for a tier."""
        return self._policy.need if tier.need is None else tier.need

    def _place(self, path: str) -> tuple[Target, Tier]:
        name, _, tier_name = path.partition("/")
        target = self._targets.get(name)
        if target is None:
            listed = ", ".join(f"`{each}`" for each in sorted(self._targets))
            raise RequestRefused(f"there is no target {quoted(name)}", f"there are {listed}")
        tier = target.tier(tier_name) if tier_name else None
        if tier is None:
            listed = ", ".join(f"`{name}/{each.name}`" for each in target.by_access())
            raise RequestRefused(f"there is no tier {quoted(path)}", f"there are {listed}")
        return target, tier

    def _digest(
        self, agent: str, task: str, target: Target, tier: Tier, reason: str, for_s: int
    ) -> str:
        """Return what an approval binds to; the policy's digest covers what else the tier is."""
        bound = {
            "agent": agent,
            "task": task,
            "target": target.name,
            "tier": tier.name,
            "role": tier.role,
            "limits": budget_words(tier.budget),
            "reason": reason,
            "for_s": for_s,
            "policy": self._policy.digest,
        }
        return hashlib.sha256(DIGEST_DOMAIN + canonical_bytes(bound)).hexdigest()

    def _case(self, asked: Asked, finding: Finding, peer: str) -> dict[str, Any]:
        """Return what people see of a request."""
        login, target, tier = asked.login, asked.target, asked.tier
        return {
            "version": 1,
            "kind": KIND,
            "agent": login.agent,
            "task": login.task,
            "session": "",
            "peer": peer,
            "target": target.name,
            "environment": tier.environment or target.environment,
            "tier": tier.name,
            "access": tier.access.value,
            "reason": asked.reason,
            "for_s": asked.for_s,
            "text": asked.reason,
            "impact": {"words": _sentences(asked)},
            "findings": [finding_document(finding)],
            "policy_digest": self._policy.digest,
            "digest": asked.digest,
        }


_NEXT: Final[Mapping[HoldState, str]] = {
    HoldState.OPEN: "wait for people to answer",
    HoldState.REJECTED: "do without it, or give a better reason",
    HoldState.EXPIRED: "nobody answered in time, which is no refusal: ask again",
    HoldState.CLAIMED: "its credential was shown once; ask again",
}


def request_of(hold: Hold) -> dict[str, Any] | None:
    """Return the case of a request for a tier; None for a statement's hold."""
    case = orjson.loads(hold.case_json)
    return case if isinstance(case, dict) and case.get("kind") == KIND else None


def duration(seconds: float) -> str:
    """Return a time as people say it: ``2 h``, ``1 h 30 min``, ``90 s``."""
    minutes, rest = divmod(int(seconds), 60)
    if rest or not minutes:
        return f"{int(seconds)} s"
    hours, minutes = divmod(minutes, 60)
    parts = [f"{hours} h" if hours else "", f"{minutes} min" if minutes else ""]
    return " ".join(part for part in parts if part)


def whom(login: Login) -> str:
    """Say who asks."""
    if login.task:
        return f"agent {quoted(login.agent)} (task `{login.task}`)"
    return f"agent {quoted(login.agent)}"


def _finding(asked: Asked) -> Finding:
    return Finding(
        code=REQUEST,
        message=f"{whom(asked.login)} asks for tier `{asked.path}` for {duration(asked.for_s)}",
        detail=f"access `{asked.tier.access.value}`: {ACCESS_WORDS[asked.tier.access]}",
        hint="approve it if the work needs that access; reject it with a note if it does not",
    )


def _sentences(asked: Asked) -> list[str]:
    """Say what an approval would bring about."""
    tier = asked.tier
    words = [
        f"Agent {quoted(asked.login.agent)} gets a credential for `{asked.path}` that ends by "
        f"itself {duration(asked.for_s)} after it is collected.",
        f"Its access is `{tier.access.value}`: {ACCESS_WORDS[tier.access]}.",
        "Each statement goes through the gate as before: what is held or refused in this tier "
        "stays so.",
    ]
    if tier.grants is not None:
        listed = [f"`{each.label}`" for each in tier.grants[:GRANTS_SHOWN]]
        more = f" and {len(tier.grants) - GRANTS_SHOWN} more" if tier.grants[GRANTS_SHOWN:] else ""
        words.append(f"What the tier grants: {', '.join(listed) or 'nothing'}{more}.")
    bounds = budget_words(least(tier.budget, asked.login.budget))
    if bounds:
        words.append(f"Its limits: {bounds}.")
    words.append("`holdpoint task end` takes it away earlier, with its open sessions.")
    return words


def _task_of(hold: Hold, login: Login, now: datetime) -> Task:
    """Return the task that an approved request becomes, without its id."""
    case = request_of(hold)
    assert case is not None, "looked at before"
    approvers = [each.approver for each in hold.approvals if each.answer is Answer.APPROVE]
    return Task(
        id="",
        agent=hold.agent,
        description=case["reason"],
        created_by=", ".join(approvers),
        created_at=now,
        expires_at=now + timedelta(seconds=case["for_s"]),
        ticket=f"{HOLD_TICKET}{hold.id}",
        tiers=(f"{hold.target}/{hold.tier}",),
        budget=login.budget,
    )
