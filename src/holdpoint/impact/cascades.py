"""Rows of other tables that foreign keys remove or change, level by level.

Source: the manual's section 5.5.5 (Foreign Keys) for the actions, and the page of TRUNCATE, whose
CASCADE empties every table that refers to an emptied one, whatever the key's action says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from holdpoint.impact.resolving import Touch, descendants, partitioned_ancestors
from holdpoint.model.catalog import Constraint, Relation
from holdpoint.model.effects import Verb
from holdpoint.model.impact import Cascade
from holdpoint.model.limits import CASCADE_LEVELS_MAX, IMPACT_LISTED_MAX
from holdpoint.sql.names import Catalog

_State = tuple[int, Verb, tuple[str, ...]]
_WORDS: Final = {"c": "update", "n": "set null", "d": "set default"}


@dataclass(frozen=True, slots=True)
class Cascades:
    """All that is set off, what it does to which relation, and whether the limits cut it."""

    listed: tuple[Cascade, ...] = ()
    touched: tuple[Touch, ...] = ()
    cut: bool = False


@dataclass(frozen=True, slots=True)
class _Step:
    """One foreign key that acts: on which table, through which constraint, with what action."""

    target: Relation
    constraint: Constraint
    action: str
    verb: Verb


def cascades_of(touched: Iterable[Touch], truncates_on: bool, catalog: Catalog) -> Cascades:
    """Follow the foreign keys from ``touched``; ``truncates_on`` when TRUNCATE says CASCADE.

    Each key is listed once, at the first level that reaches it: keys in a circle end there.
    """
    starts = tuple(touched)
    seen: set[_State] = set()
    listed: dict[tuple[int, str, str], Cascade] = {}
    reached: list[Touch] = []
    cut = False
    # What the reader follows on its way may be what the keys reach by themselves, in levels.
    for indirect in (False, True):
        wave = [
            each for each in starts if bool(each.through) is indirect and _state(each) not in seen
        ]
        seen.update(_state(each) for each in wave)
        for level in range(1, CASCADE_LEVELS_MAX + 1):
            following: list[Touch] = []
            for touch in wave:
                for step in _steps(touch, truncates_on, catalog):
                    name = (step.target.oid, step.constraint.name, step.action)
                    listed.setdefault(name, _cascade(level, step, touch))
                    columns = step.constraint.columns if step.verb is Verb.UPDATE else ()
                    way = (*touch.through, step.constraint.name)
                    next_touch = Touch(step.target, step.verb, columns, way)
                    if _state(next_touch) not in seen:
                        seen.add(_state(next_touch))
                        following.append(next_touch)
            reached.extend(following)
            wave = following
            if not wave or len(listed) > IMPACT_LISTED_MAX:
                break
        cut = cut or bool(wave)
    cut = cut or len(listed) > IMPACT_LISTED_MAX
    return Cascades(tuple(listed.values())[:IMPACT_LISTED_MAX], tuple(reached), cut)


def _state(touch: Touch) -> _State:
    return touch.relation.oid, touch.verb, touch.columns


def _cascade(level: int, step: _Step, touch: Touch) -> Cascade:
    return Cascade(
        level=level,
        table=step.target.label,
        constraint=step.constraint.name,
        action=step.action,
        through=touch.relation.label,
    )


def _steps(touch: Touch, truncates_on: bool, catalog: Catalog) -> list[_Step]:
    """The keys that act on what ``touch`` does, without the copies that partitions carry."""
    if touch.verb is Verb.INSERT or touch.verb is Verb.SELECT:
        return []
    relation = touch.relation
    family = [
        *reversed(partitioned_ancestors(relation, catalog)),
        relation,
        *descendants(relation, catalog),
    ]
    steps: dict[tuple[int, tuple[str, ...], str], _Step] = {}
    for member in family:
        for target, constraint in catalog.referencing(member.oid):
            step = _step(touch, target, constraint, truncates_on)
            if step is not None:
                steps.setdefault((target.oid, constraint.columns, step.action), step)
    return [
        step
        for (_, columns, action), step in steps.items()
        if not any(
            (ancestor.oid, columns, action) in steps
            for ancestor in partitioned_ancestors(step.target, catalog)
        )
    ]


def _step(
    touch: Touch, target: Relation, constraint: Constraint, truncates_on: bool
) -> _Step | None:
    if touch.verb is Verb.TRUNCATE:
        if not truncates_on:
            return None  # the server refuses: a table that refers to it is in the way
        return _Step(target, constraint, "truncate", Verb.TRUNCATE)
    if touch.verb is Verb.DELETE:
        if constraint.on_delete == "c":
            return _Step(target, constraint, "delete", Verb.DELETE)
        action = _WORDS.get(constraint.on_delete)
    else:
        changed = set(touch.columns)
        if changed and changed.isdisjoint(constraint.referenced_columns):
            return None
        action = _WORDS.get(constraint.on_update)
    return _Step(target, constraint, action, Verb.UPDATE) if action is not None else None
