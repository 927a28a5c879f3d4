"""What a policy is made of: rules and their conditions, thresholds, and the compiled policy.

Every field of a condition must hold (AND); a list holds when one of its members does (OR). How a
condition is read depends on what the rule does, always to the stricter side:

* a **hold** or **deny** rule matches when *one* statement of the message meets it;
* an **allow** rule covers a statement only when *everything* the statement does is listed: every
  effect besides plain reading, every object, every function. Else an agent would hide what is not
  allowed behind something that is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import translate

from holdpoint.model.decision import ApprovalNeed, Decision
from holdpoint.model.effects import Access, Effect
from holdpoint.model.limits import BIG_TABLE_ROWS, WRITE_ROWS_MAX
from holdpoint.model.target import Target, Tier
from holdpoint.model.verdict import Verdict
from holdpoint.policy.grants import Granted


@dataclass(frozen=True, slots=True)
class Glob:
    """A name pattern with ``*``, ``?`` and ``[...]``; a dot splits schema and name.

    ``name`` and ``schema`` tell a name apart from the schema before it; a pattern without a dot
    speaks of that name in every schema. ``exact`` patterns distinguish case, ``loose`` ones do not.
    """

    pattern: str
    schema: str = field(init=False, default="", compare=False)
    name: str = field(init=False, default="", compare=False)
    exact: re.Pattern[str] = field(init=False, repr=False, compare=False)
    loose: re.Pattern[str] = field(init=False, repr=False, compare=False)
    exact_schema: re.Pattern[str] = field(init=False, repr=False, compare=False)
    loose_schema: re.Pattern[str] = field(init=False, repr=False, compare=False)
    exact_name: re.Pattern[str] = field(init=False, repr=False, compare=False)
    loose_name: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        before, dot, after = self.pattern.partition(".")
        schema, name = (before, after) if dot else ("*", before)
        object.__setattr__(self, "schema", schema if dot else "")
        object.__setattr__(self, "name", name)
        for slot, text in (("", self.pattern), ("_schema", schema), ("_name", name)):
            object.__setattr__(self, f"exact{slot}", re.compile(translate(text)))
            object.__setattr__(self, f"loose{slot}", re.compile(translate(text), re.IGNORECASE))

    def matches(self, text: str) -> bool:
        """Whether the whole text fits the pattern, case and all."""
        return self.exact.match(text) is not None

    def matches_loosely(self, text: str) -> bool:
        """Whether the whole text fits the pattern, whatever its case."""
        return self.loose.match(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """When a rule speaks. Empty and None mean "says nothing about it".

    ``rows_*`` are rows changed, ``table_rows_*`` the size of the largest table altered; ``*_over``
    belong in hold and deny rules, ``*_up_to`` (inclusive) in allow rules. ``access`` narrows
    ``objects`` to uses of that kind. ``tags`` are command tags such as ``DELETE``. ``tasks`` is
    what the agent says of itself, so it can make a rule stricter but proves nothing.
    """

    effects: frozenset[Effect] = frozenset()
    rows_over: int | None = None
    rows_up_to: int | None = None
    table_rows_over: int | None = None
    table_rows_up_to: int | None = None
    objects: tuple[Glob, ...] = ()
    access: frozenset[Access] = frozenset()
    functions: tuple[Glob, ...] = ()
    tags: tuple[Glob, ...] = ()
    targets: tuple[Glob, ...] = ()
    tiers: tuple[Glob, ...] = ()
    environments: tuple[Glob, ...] = ()
    agents: tuple[Glob, ...] = ()
    tasks: tuple[Glob, ...] = ()
    business_hours: bool | None = None
    freeze: bool | None = None

    @property
    def about_rows(self) -> bool:
        """Whether the condition needs to know how many rows change."""
        return self.rows_over is not None or self.rows_up_to is not None

    @property
    def about_table_rows(self) -> bool:
        """Whether the condition needs to know how large a table is."""
        return self.table_rows_over is not None or self.table_rows_up_to is not None

    @property
    def circumstantial(self) -> bool:
        """Whether anything but text, target and tier decides: agent, task, clock or a figure."""
        return bool(
            self.agents
            or self.tasks
            or self.business_hours is not None
            or self.freeze is not None
            or self.about_rows
            or self.about_table_rows
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A statement that shows what a rule is for.

    When ``expect`` is the rule's own verdict the rule must match, else it must not. What an example
    does not say (agent, task, target, time) is taken as met. ``rows`` and ``table_rows`` give the
    figures a database would; None means no database.
    """

    sql: str
    expect: Verdict
    rows: int | None = None
    table_rows: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of a team. ``need`` None means the policy's own need."""

    id: str
    when: Condition
    then: Verdict
    reason: str
    need: ApprovalNeed | None = None
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The two numbers of ``careful``: above them a write or a schema change is held."""

    write_rows_max: int = WRITE_ROWS_MAX
    big_table_rows: int = BIG_TABLE_ROWS


@dataclass(frozen=True, slots=True)
class Settled:
    """An ALLOW that needs no weighing: once to be remembered by its text, once not."""

    remembered: Decision
    once: Decision


@dataclass(frozen=True, slots=True, eq=False)
class TierTable:
    """What of a policy can matter on one tier of one target.

    ``refusing`` are hold and deny rules, ``allowing`` the allow rules, each with the bit mask of
    the effects it can match (see ``careful.BITS``). ``settled`` maps effect sets that nothing in
    the policy objects to. ``granted`` are the tables that the tier gives, None for all.
    """

    target: Target
    tier: Tier
    refusing: tuple[tuple[int, Rule], ...]
    allowing: tuple[tuple[int, Rule], ...]
    settled: Mapping[frozenset[Effect], Settled]
    granted: Granted | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Policy:
    """Compiled rules. ``digest`` is the SHA-256, in hex, of everything that decides."""

    rules: tuple[Rule, ...]
    thresholds: Thresholds
    need: ApprovalNeed
    digest: str
    tables: Mapping[tuple[str, str], TierTable] = field(repr=False)
