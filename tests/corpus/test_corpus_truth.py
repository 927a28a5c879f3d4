"""Every case does what it claims: on real servers, observed, not believed."""

from __future__ import annotations

import pytest
from corpus_cases import HARMLESS, Case, cases
from corpus_observe import READ_ONLY, REFUSED, TIMED_OUT, Observed, Watcher, committed
from corpus_server import CorpusDatabase, Databases, Session

from holdpoint.model.effects import Effect

CASES = cases()
READ = frozenset({Effect.READ})

# Which claims account for what was observed.
ACCOUNTS: dict[Effect, frozenset[Effect]] = {
    Effect.WRITE: frozenset({Effect.WRITE, Effect.BULK_WRITE, Effect.DDL, Effect.DESTRUCTIVE}),
    Effect.BULK_WRITE: frozenset({Effect.BULK_WRITE, Effect.DDL, Effect.DESTRUCTIVE}),
    Effect.DDL: frozenset({Effect.DDL, Effect.DESTRUCTIVE, Effect.PRIVILEGE, Effect.SERVER_SIDE}),
    Effect.DESTRUCTIVE: frozenset({Effect.DESTRUCTIVE}),
    Effect.PRIVILEGE: frozenset({Effect.PRIVILEGE}),
    Effect.SESSION_ESCAPE: frozenset({Effect.SESSION_ESCAPE}),
    Effect.EXHAUSTION: frozenset(
        {Effect.EXHAUSTION, Effect.DDL, Effect.DESTRUCTIVE, Effect.PRIVILEGE}
    ),
}


def database_of(case: Case, databases: Databases) -> CorpusDatabase:
    database = databases[case.database]
    if case.since > database.server.version:
        pytest.skip(f"its syntax is newer: PostgreSQL {case.since}")
    return database


def observe(database: CorpusDatabase, watcher: Watcher, case: Case) -> Observed:
    if case.alone or case.setup:
        return committed(database, case)
    return watcher.rolled_back(case)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_it_does_what_it_claims(
    case: Case,
    databases: Databases,
    watchers: dict[str, Watcher],
    readers: dict[str, Session],
) -> None:
    database = database_of(case, databases)
    observed = observe(database, watchers[case.database], case)
    if case.refused:
        assert observed.ran.sqlstate == case.refused, observed.ran.words
        return
    if case.effects == READ and not case.setup:
        runs_where_nothing_may_be_written(readers[case.database], case)
    proven = set(observed.effects())
    if Effect.EXHAUSTION in case.effects:
        if observed.ran.sqlstate == TIMED_OUT:
            return  # and so it showed nothing else
        if observed.ran.returned > 1000:
            proven.add(Effect.EXHAUSTION)
    assert not observed.ran.sqlstate, observed.ran.words
    for effect in proven:
        if effect is Effect.BULK_WRITE and case.rows is not None:
            continue  # a filter that happens to match every row of the small tables here
        assert case.effects & ACCOUNTS[effect], f"{effect} was observed: {observed}"
    if Effect.SERVER_SIDE in case.effects and not case.unobservable:
        proven |= refused_to_the_agent(database, case)
    if Effect.WRITE in case.effects - proven:
        proven |= refused_when_read_only(database, case)
    unproven = case.harmful - proven
    if Effect.WRITE in unproven and Effect.BULK_WRITE in proven:
        unproven -= {Effect.WRITE}
    if not case.unobservable:
        assert not unproven, f"{sorted(unproven)} was not observed: {observed}"
    if case.rows is not None:
        assert observed.rows == case.rows, observed.changed


def refused_to_the_agent(database: CorpusDatabase, case: Case) -> set[Effect]:
    """What acts on the server is refused to who is no superuser."""
    assert case.role == "superuser", "as a superuser it runs, as the agent it must be refused"
    with database.session("agent") as session:
        session.do("BEGIN")
        ran = session.run(case.sql, case.parameters, case.copy_data)
        session.do("ROLLBACK")
    assert ran.sqlstate == REFUSED, ran
    return {Effect.SERVER_SIDE}


def refused_when_read_only(database: CorpusDatabase, case: Case) -> set[Effect]:
    """Row locks, and writes that found nothing to do, are writes to a read-only transaction."""
    with database.session(case.role) as session:
        for text in case.before:
            session.do(text)
        session.do("BEGIN READ ONLY")
        ran = session.run(case.sql, case.parameters, case.copy_data)
        session.do("ROLLBACK")
    return {Effect.WRITE} if ran.sqlstate == READ_ONLY else set()


def runs_where_nothing_may_be_written(reader: Session, case: Case) -> None:
    """A read runs unchanged in a read-only transaction of a role that may only read."""
    try:
        if not case.alone:
            reader.do("BEGIN READ ONLY")
        for text in case.before:
            reader.do(text)
        ran = reader.run(case.sql, case.parameters, case.copy_data)
        assert not ran.sqlstate, ran.words
    finally:
        reader.do("ROLLBACK; DEALLOCATE ALL; UNLISTEN *; RESET ALL; CLOSE ALL")


def test_the_corpus_is_what_it_promises() -> None:
    """At least 400 cases, 120 of them harmless, every effect of the closed set among them."""
    assert len({case.id for case in CASES}) == len(CASES) >= 400
    assert len({case.sql for case in CASES if not case.before and not case.setup}) >= 400
    assert sum(case.effects <= HARMLESS for case in CASES) >= 120
    true = frozenset().union(*(case.effects for case in CASES))
    assert true == frozenset(Effect) - {Effect.UNKNOWN}, "nothing is truly unknown"
    assert sum(bool(case.unobservable) for case in CASES) <= len(CASES) // 20
