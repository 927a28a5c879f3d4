"""The corpus's database on a real server, and sessions in it that speak libpq directly.

Directly, because a message is sent exactly as it stands: several statements, COPY, anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

import psycopg
from corpus_cases import FOLDER, SCRIPTS
from psycopg import pq

from holdpoint.embedded import EmbeddedPostgres

ROLES = ("corpus_owner", "corpus_agent", "corpus_reader")
PASSWORD = "corpus"
_NUMBERS = count(1)


@dataclass(frozen=True, slots=True)
class Ran:
    """How a message ended: the SQLSTATE (empty: no error), its words, the rows that came back."""

    sqlstate: str
    words: str
    returned: int


class Session:
    """One connection. Messages go through the simple protocol unless they have parameters."""

    def __init__(self, url: str, options: str = "") -> None:
        self.connection = psycopg.connect(url, autocommit=True, options=options)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *error: object) -> None:
        self.connection.close()

    def run(self, text: str, parameters: tuple[str, ...] = (), copy_data: str = "") -> Ran:
        """Send one message and read all of its answer."""
        pgconn = self.connection.pgconn
        if parameters:
            pgconn.send_query_params(text.encode(), [each.encode() for each in parameters])
        else:
            pgconn.send_query(text.encode())
        ran = Ran("", "", 0)
        while (result := pgconn.get_result()) is not None:
            if result.status == pq.ExecStatus.COPY_IN:
                pgconn.put_copy_data(copy_data.encode())
                pgconn.put_copy_end()
            elif result.status == pq.ExecStatus.COPY_OUT:
                while pgconn.get_copy_data(0)[0] > 0:
                    pass
            elif result.status == pq.ExecStatus.FATAL_ERROR:
                state = result.error_field(pq.DiagnosticField.SQLSTATE) or b"?????"
                ran = Ran(state.decode(), result.error_message.decode(), ran.returned)
            else:
                ran = Ran(ran.sqlstate, ran.words, ran.returned + result.ntuples)
        return ran

    def do(self, text: str) -> None:
        """Run a message that must work."""
        ran = self.run(text)
        assert not ran.sqlstate, f"{ran.words}\n{text[:500]}"

    def rows(self, text: str) -> list[tuple[str | None, ...]]:
        """Every row that a message's one query returns, each value as text."""
        (found,) = self.results(text)
        return found

    def results(self, text: str) -> list[list[tuple[str | None, ...]]]:
        """The rows of each query of a message, in one round trip."""
        pgconn = self.connection.pgconn
        pgconn.send_query(text.encode())
        found: list[list[tuple[str | None, ...]]] = []
        words = ""
        while (result := pgconn.get_result()) is not None:
            if result.status == pq.ExecStatus.TUPLES_OK:
                found.append(_texts(result))
            elif result.status != pq.ExecStatus.COMMAND_OK:
                words = words or result.error_message.decode()
        assert not words, f"{words}\n{text[:500]}"
        return found


def _texts(result: pq.abc.PGresult) -> list[tuple[str | None, ...]]:
    values = (
        [result.get_value(row, column) for column in range(result.nfields)]
        for row in range(result.ntuples)
    )
    return [tuple(None if each is None else each.decode() for each in row) for row in values]


class CorpusDatabase:
    """A database as its scripts made it; sessions in it may change it only if they roll back."""

    def __init__(self, server: EmbeddedPostgres, name: str, scripts: tuple[str, ...] = ()) -> None:
        self.server = server
        self.name = name
        self.template = ""
        self._scripts = scripts

    def url(self, role: str) -> str:
        """Where a role of the corpus connects; ``superuser`` is the server's own."""
        if role == "superuser":
            return self.server.url(database=self.name)
        return self.server.url(f"corpus_{role}", PASSWORD, database=self.name)

    def session(self, role: str, options: str = "") -> Session:
        """A new session in the database itself."""
        return Session(self.url(role), options)

    @contextmanager
    def copy(self) -> Iterator[CorpusDatabase]:
        """A database that is the same, for one case that commits."""
        name = f"{self.name}_copy_{next(_NUMBERS)}"
        with psycopg.connect(self.server.url(), autocommit=True) as admin:
            if not self.template:
                self.template = f"{self.name}_template"  # nobody ever connects to it again
                self.make(self.template)
            _create(admin, name, self.template)
            try:
                yield CorpusDatabase(self.server, name)
            finally:
                admin.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def make(self, name: str) -> None:
        """Make a database of that name by the scripts."""
        with psycopg.connect(self.server.url(), autocommit=True) as admin:
            _create(admin, name, "template0")
        with Session(self.server.url(database=name)) as session:
            session.do("ALTER SCHEMA public OWNER TO corpus_owner")
            session.do("SET SESSION AUTHORIZATION corpus_owner")
            for script in self._scripts:
                session.do((FOLDER / script).read_text())
            # ANALYZE runs the expressions of indexes, and they write.
            session.do("RESET SESSION AUTHORIZATION; ANALYZE; DELETE FROM audit_log WHERE id > 0")


def _create(admin: psycopg.Connection[tuple[object, ...]], name: str, source: str) -> None:
    # FILE_COPY: half the time of a copy through the log (measured).
    admin.execute(f"CREATE DATABASE {name} TEMPLATE {source} OWNER corpus_owner STRATEGY file_copy")


Databases = dict[str, CorpusDatabase]


@contextmanager
def corpus_databases(server: EmbeddedPostgres) -> Iterator[Databases]:
    """Make the roles and the databases of the corpus, and remove them at the end."""
    made = {
        name: CorpusDatabase(server, f"corpus_{name}", scripts) for name, scripts in SCRIPTS.items()
    }
    with psycopg.connect(server.url(), autocommit=True) as admin:
        for role in ROLES:
            admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
        admin.execute("CREATE ROLE corpus_writers; GRANT corpus_writers TO corpus_agent")
        try:
            for database in made.values():
                database.make(database.name)
            yield made
        finally:
            for database in made.values():
                for name in (database.name, database.template or database.name):
                    admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            for role in (*ROLES, "corpus_writers"):
                admin.execute(f"DROP ROLE {role}")
