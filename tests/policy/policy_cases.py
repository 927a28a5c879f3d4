"""Cases for the tests of policy: everything a decision rests on, with usual values."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from holdpoint.model.case import Case
from holdpoint.model.effects import Access, Effect, ObjectUse, Reading, Statement
from holdpoint.model.impact import Basis, Figure, Impact
from holdpoint.model.target import AccessLevel, Target, Tier
from holdpoint.model.verdict import Verdict
from holdpoint.policy.calendar import read_business_hours
from holdpoint.policy.compile import compile_policy
from holdpoint.policy.rules import Condition, Glob, Policy, Rule

TIERS = tuple(Tier(name=level.value, access=level, url_source="env:URL") for level in AccessLevel)
# A Tuesday, 10:00 in Berlin.
WORKING = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
# The Sunday before it.
QUIET = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)

SHOP = Target(
    name="shop",
    environment="production",
    timezone="Europe/Berlin",
    business_hours=read_business_hours("Mon-Fri 08:00-18:00"),
    tiers=TIERS,
)
CAREFUL = compile_policy((), (SHOP,))


def exact(rows: int) -> Figure:
    return Figure(rows, Basis.EXACT)


def estimate(rows: int) -> Figure:
    return Figure(rows, Basis.ESTIMATE)


NO_ANSWER = Figure(basis=Basis.UNKNOWN, why="the probe ran out of time")
NOT_ASKED = Figure()
WHEN_RUN = Figure(basis=Basis.WHEN_RUN, why="its rows come from the client while it runs")


def statement(
    tag: str, *effects: Effect, writes: str = "", reads: str = "", **more: Any
) -> Statement:
    """A statement by its tag and effects, with the objects it writes (or defines) and reads."""
    how = Access.DEFINE if Effect.DDL in effects else Access.WRITE
    uses = [_use(label, how) for label in writes.split()]
    uses += [_use(label, Access.READ) for label in reads.split()]
    more.setdefault("objects", tuple(uses))
    return Statement(tag=tag, text=tag, effects=frozenset(effects), **more)


def _use(label: str, how: Access) -> ObjectUse:
    schema, _, name = label.rpartition(".")
    return ObjectUse(name, schema, access=how)


def reading(*statements: Statement, **more: Any) -> Reading:
    """The reading of a message with these statements."""
    return Reading(
        text="; ".join(each.text for each in statements),
        statements=statements,
        effects=frozenset(effect for each in statements for effect in each.effects),
        objects=tuple(use for each in statements for use in each.objects),
        functions=tuple(name for each in statements for name in each.functions),
        unknowns=tuple(words for each in statements for words in each.unknowns),
        **more,
    )


def case(
    read: Reading | Statement,
    level: AccessLevel = AccessLevel.READ_WRITE,
    *,
    target: Target = SHOP,
    rows: Figure = NOT_ASKED,
    table_rows: Figure = NOT_ASKED,
    at: datetime = QUIET,
    **more: Any,
) -> Case:
    """A case on the tier of that access level."""
    values: dict[str, Any] = {
        "agent": "helper", "task": "", "session": "s-1", "role": "shop_rw", "peer": "127.0.0.1",
        "parameters": None, "findings": (), "policy_digest": "",
    }  # fmt: skip
    tier = target.tier(level.value)
    assert tier is not None
    return Case(
        target=target,
        tier=tier,
        reading=read if isinstance(read, Reading) else reading(read),
        impact=Impact(rows=rows, table_rows=table_rows),
        at=at,
        **(values | more),
    )


def rule(then: Verdict, id: str = "mine", reason: str = "we said so", **when: Any) -> Rule:
    """A rule; words become patterns."""
    for name, value in when.items():
        if name in ("objects", "functions", "tags", "targets", "tiers", "environments", "agents",
                    "tasks"):  # fmt: skip
            when[name] = tuple(Glob(each) for each in value.split())
        elif name in ("effects", "access"):
            when[name] = frozenset(value)
    return Rule(id=id, when=Condition(**when), then=then, reason=reason)


def policy(*rules: Rule, targets: Iterable[Target] = (SHOP,), **more: Any) -> Policy:
    return compile_policy(rules, targets, **more)


SELECT = statement("SELECT", Effect.READ, reads="orders")
UPDATE = statement("UPDATE", Effect.WRITE, writes="orders")
COPY = statement("COPY", Effect.WRITE, writes="orders", reads_data=True)
UPDATE_ALL = statement("UPDATE", Effect.BULK_WRITE, writes="orders")
ALTER = statement("ALTER TABLE", Effect.DDL, writes="orders")
CREATE = statement("CREATE TABLE", Effect.DDL, writes="notes")
DROP = statement("DROP TABLE", Effect.DDL, Effect.DESTRUCTIVE, writes="orders")
GRANT = statement("GRANT", Effect.PRIVILEGE)
COPY_PROGRAM = statement("COPY", Effect.SERVER_SIDE, Effect.READ)
ESCAPE = statement("SET", Effect.SESSION_ESCAPE)
SLEEP = statement("SELECT", Effect.EXHAUSTION, Effect.READ, functions=("pg_sleep",))
PUZZLE = statement("DO", Effect.UNKNOWN, unknowns=("dynamic SQL",))
