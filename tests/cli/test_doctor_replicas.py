"""``holdpoint doctor`` and replicas: what each server of a tier is, and how far behind."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from holdpoint.cli.doctor import doctor
from holdpoint.embedded import EmbeddedPostgres
from support.servers import Replicated

LEAST = "doctor_least"


@pytest.fixture(scope="module")
def least(replicated: Replicated) -> Iterator[None]:
    """A role that may nothing but connect, on both servers."""
    with psycopg.connect(replicated.primary.url(), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {LEAST} LOGIN PASSWORD 'pw'".encode())
    replicated.replica.wait_caught_up()
    yield
    with psycopg.connect(replicated.primary.url(), autocommit=True) as connection:
        connection.execute(f"DROP ROLE {LEAST}".encode())


def hops(
    folder: Path, servers: list[EmbeddedPostgres], tier: str
) -> tuple[int, dict[str, dict[str, str]]]:
    """The exit code and the hops to a tier on these servers, by name."""
    for number, server in enumerate(servers):
        (folder / f"{number}.url").write_text(server.url(LEAST, "pw"))
    urls = ", ".join(f'"file:{folder}/{number}.url"' for number in range(len(servers)))
    path = folder / "holdpoint.toml"
    path.write_text(
        f'[server]\nlisten = "127.0.0.1:1"\nstore = "{folder}/h.db"\n[targets.shop]\n'
        f'[targets.shop.tiers.reads]\naccess = "read-only"\nurl = [{urls}]\n{tier}\n'
    )
    done = CliRunner().invoke(doctor, ["--config", str(path), "--json"], catch_exceptions=False)
    document: dict[str, Any] = json.loads(done.stdout)
    return done.exit_code, {hop["name"]: hop for hop in document["hops"]}


def test_every_server_of_a_tier_is_looked_at(
    tmp_path: Path, replicated: Replicated, least: None
) -> None:
    end = time.monotonic() + 60
    while True:  # what was written just before may still be on its way to the replica
        _, found = hops(tmp_path, [replicated.replica, replicated.primary], "replica = true")
        good, wrong = found["shop/reads replica"], found["shop/reads server 2 replica"]
        assert good["health"] == "ok"
        if "it may still be receiving" not in good["detail"] or time.monotonic() > end:
            break
    assert good["detail"].startswith("a replica, up to date (the role sees little: ")
    assert wrong["health"] == "broken"
    assert wrong["detail"].startswith("a primary, and the tier demands a replica")
    assert "`replica = false`" in wrong["mend"]


def test_a_primary_is_demanded(tmp_path: Path, replicated: Replicated, least: None) -> None:
    code, found = hops(tmp_path, [replicated.replica], "replica = false")
    assert (code, found["shop/reads replica"]["health"]) == (1, "broken")
    assert found["shop/reads replica"]["detail"].startswith("a replica, and the tier demands")


def test_a_lag_over_the_limit_is_broken_and_says_what_keeps_it(
    tmp_path: Path, replicated: Replicated, least: None
) -> None:
    replicated.replica.pause_replay()
    try:
        with psycopg.connect(replicated.primary.url(), autocommit=True) as connection:
            connection.execute("SET synchronous_commit = local")
            connection.execute("SELECT pg_logical_emit_message(true, 'test', '')")
        while True:  # until it has arrived there
            code, found = hops(tmp_path, [replicated.replica], 'lag_over = "1ms"')
            hop = found["shop/reads replica"]
            if hop["health"] != "ok":
                break
    finally:
        replicated.replica.resume_replay()
    assert (code, hop["health"]) == (1, "broken")
    assert " behind: its replay is paused" in hop["detail"]
    assert hop["detail"].endswith("; the tier's limit is 0.0 s")
    assert "pg_wal_replay_resume()" in hop["mend"]
