"""Reads cases as a session of the gate would: with the catalog or without one."""

from __future__ import annotations

import inspect

from corpus_cases import Case

from holdpoint import sql
from holdpoint.cli.judging import session_after
from holdpoint.model.effects import Dialect, Effect, Reading, SessionView

# What one effect of the reader says beyond another of the corpus.
COVERS: dict[Effect, frozenset[Effect]] = {
    Effect.WRITE: frozenset({Effect.WRITE, Effect.BULK_WRITE}),
}


def covered(truth: frozenset[Effect], said: frozenset[Effect]) -> bool:
    """Whether nothing harmful of the truth is missing from what the reader said."""
    return all(said & COVERS.get(effect, frozenset({effect})) for effect in truth - {Effect.READ})


def takes_a_catalog() -> bool:
    """Whether this reader can use a catalog at all."""
    return "catalog" in inspect.signature(sql.read).parameters


def read_text(case: Case) -> Reading:
    """What the reader makes of a case from its text and the session alone."""
    view = SessionView()
    for text in case.before:
        view = session_after(view, sql.read(text, Dialect.POSTGRES, view))
    return sql.read(case.sql, Dialect.POSTGRES, view)
