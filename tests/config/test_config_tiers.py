"""Keys of a tier: where it leads, who may use it and when, what every session starts with."""

from __future__ import annotations

from datetime import UTC, datetime, time
from pathlib import Path

import pytest
from tier_texts import HEAD, config_of, problem_of, problems_of, target_of, tier_of

from holdpoint.config import parse
from holdpoint.model.limits import ROLE_MINTED_VALID_S
from holdpoint.model.target import Allowance, BusinessHours, Mint, WhenLagging

SERVERS = HEAD.format(access="read-only").replace('"env:SHOP_URL"', '["env:ONE", "file:two"]')


# --- where it leads -------------------------------------------------------------------------------


def test_a_tier_that_says_nothing_more() -> None:
    tier = tier_of("")
    assert (tier.url_source, tier.more_sources, tier.password_source) == ("env:SHOP_URL", (), "")
    assert (tier.replica, tier.lag_max_s, tier.when_lagging) == (None, None, WhenLagging.WAIT)
    assert (tier.allowances, tier.settings, tier.mint, tier.role) == ((), (), None, "")
    assert tier.grants is None
    assert tier.environment == ""


def test_several_servers_are_replicas() -> None:
    (tier,) = parse(SERVERS, base=Path("/srv")).targets[0].tiers
    assert (tier.url_source, tier.more_sources) == ("env:ONE", ("file:/srv/two",))
    assert tier.replica is True
    said = parse(SERVERS + "replica = false\n", base=Path("/srv")).targets[0].tiers[0]
    assert said.replica is False, "unless it is said otherwise"


def test_how_far_a_replica_may_be_behind() -> None:
    tier = tier_of('lag_over = "1min30s"\nwhen_lagging = "refuse"\n')
    assert (tier.lag_max_s, tier.when_lagging) == (90.0, WhenLagging.REFUSE)
    assert tier.replica is True


def test_where_secrets_come_from() -> None:
    for source in ("env:PW", "command:pass show shop"):
        assert tier_of(f"password = '{source}'").password_source == source
    assert tier_of("password = 'file:pw'").password_source == "file:/srv/pw"
    assert target_of("[targets.shop]\nadmin_url = 'file:a'").admin_source == "file:/srv/a"


def test_a_password_itself_is_refused_and_never_repeated() -> None:
    for literal in ("hunter2", "postgres://u:hunter2@h/d", "ENV:hunter2", ""):
        assert "a password comes from `env:NAME`" in (found := problem_of(f"password='{literal}'"))
        assert "hunter2" not in found
    both = HEAD.replace("env:SHOP_URL", "postgres://u:hunter2@h/d").format(access="owner")
    with pytest.raises(Exception, match="holds a password as well") as caught:
        parse(both + "password = 'env:PW'", base=Path("/srv"))
    assert "hunter2" not in str(caught.value)


def test_minted_roles() -> None:
    tier = tier_of('mint = { url = "file:mint", valid = "30min" }')
    assert tier.mint == Mint(url_source="file:/srv/mint", valid_s=1800.0)
    usual = tier_of('mint = { url = "env:MINT" }')
    assert usual.mint == Mint(url_source="env:MINT", valid_s=ROLE_MINTED_VALID_S)


def test_a_tier_of_another_environment() -> None:
    target = target_of('environment = "sandbox"')
    assert target.environment_of(target.tiers[0]) == "sandbox"
    assert target.environment == "production"


def test_secrets_and_urls_are_not_shown_by_a_tier() -> None:
    tier = tier_of('password = "env:PW"\nprobe_url = "env:PROBE"\nmint = { url = "env:MINT" }')
    assert "env:" not in repr(tier)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("replica = false\nlag_over = '5s'", "`replica = false` and `lag_over` contradict"),
        ("when_lagging = 'say'", "`when_lagging` needs `lag_over`"),
        ("lag_over = '5s'\nwhen_lagging = 'wiat'", "did you mean `wait`?"),
        ("lag_over = '0s'", "cannot read the duration `0s`"),
        ("lag_over = '-5s'", "cannot read the duration `-5s`"),
        ("lag_over = ''", "cannot read the duration ``"),
        ("lag_over = '5'", "cannot read the duration `5`"),
        ("lag_over = '٣s'", "cannot read the duration"),
        ("lag_over = 5", "`lag_over` must be text"),
        ("replica = 'yes'", "`replica` must be true or false"),
        ("environment = ' '", "the environment is empty"),
        ("password = 'env:1'", "the name of an environment variable"),
        ("password = 3", "`password` must be text"),
        ("mint = 3", "this must be a table"),
        ("mint = {}", "`url` is missing"),
        ("mint = { url = 'env:M', vald = '1h' }", "did you mean `valid`?"),
        ("mint = { url = 'env:M', valid = '0h' }", "cannot read the duration `0h`"),
        ("mint = { url = 'mysql://x' }", "a URL starts with"),
        ("role = ''", "`` cannot name a role"),
        (f"role = '{'ä' * 32}'", "names have 1 to 63 bytes"),
        ('role = "a\\u0000"', "cannot name a role"),
        ("role = 'pg_monitor'", "is the server's own"),
        ("role = 'public'", "is the server's own"),
        ("role = 3", "`role` must be text"),
        ("role = 'app_{agent}'", "each agent has a role of its own"),
    ],
)  # fmt: skip
def test_what_does_not_fit(lines: str, words: str) -> None:
    found = problem_of(lines)
    assert words in found
    assert f"line {3 + len(lines.splitlines())}" in found


@pytest.mark.parametrize(
    ("lines", "access", "words"),
    [
        ("replica = true", "read-write", "a replica cannot be written"),
        ("lag_over = '5s'", "owner", "is a primary, which is never behind"),
        ("mint = { url = 'env:M' }", "owner", "minted roles are not for tiers that create"),
        ("mint = { url = 'env:M' }", "full-no-drop", "minted roles are not for tiers that create"),
    ],
)
def test_what_does_not_fit_the_access(lines: str, access: str, words: str) -> None:
    assert words in problem_of(lines, access)


@pytest.mark.parametrize(
    ("url", "access", "words"),
    [
        ("[]", "read-only", "`url` is an empty list"),
        ("['env:A', 'env:A']", "read-only", "t.url[2], line 3: the same URL stands twice"),
        ("['env:A', 'env:']", "read-only", "t.url[2], line 3: write `env:`"),
        ("['env:A', 'env:B']", "read-write", "what is written goes to one server"),
        ("[3]", "read-only", "must be text"),
    ],
)
def test_urls_that_do_not_fit(url: str, access: str, words: str) -> None:
    text = HEAD.replace('"env:SHOP_URL"', url).format(access=access)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the words are compared
        parse(text, base=Path("/srv"))
    assert words in str(caught.value)


@pytest.mark.parametrize("role", ['o"brien', "Shop Read", "a'b", "ä" * 31, "--", "$1", "pgadmin"])
def test_a_role_may_have_any_name_that_the_server_takes(role: str) -> None:
    assert tier_of(f"role = '''{role}'''").role == role


# --- who may use it -------------------------------------------------------------------------------


def test_agents_are_short_for_one_allowance_beside_others() -> None:
    tier = tier_of(
        'agents = ["robin", "ci-*"]\n'
        'allow = [{ agents = "mia", tasks = ["t-*"], hours = "Mon-Fri 08:00-18:00" }]\n'
    )
    hours = BusinessHours(days=frozenset(range(5)), start=time(8), end=time(18))
    assert tier.allowances == (
        Allowance(agents=("robin", "ci-*")),
        Allowance(agents=("mia",), tasks=("t-*",), hours=hours),
    )


def test_moments_are_by_the_targets_clock_and_a_date_is_its_whole_day() -> None:
    (days, moments) = target_of(
        "allow = [{ from = 2026-11-01, until = 2026-11-30 },"
        " { from = 2026-07-01T08:00:00, until = 2026-07-01T08:00:00Z }]\n"
        "[targets.shop]\ntimezone = 'Europe/Berlin'\n"
    ).tiers[0].allowances  # fmt: skip
    assert days.start == datetime(2026, 10, 31, 23, tzinfo=UTC)
    assert days.end == datetime(2026, 11, 30, 23, tzinfo=UTC)
    assert moments.start == datetime(2026, 7, 1, 6, tzinfo=UTC)
    assert moments.end == datetime(2026, 7, 1, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("agents = []", "`agents` is an empty list; leave it out to mean all"),
        ("agents = ['robin', ' ']", "agents[2], line 4: the pattern is empty"),
        ("allow = []", "must be a list of tables"),
        ("allow = 'robin'", "must be a list of tables"),
        ("allow = ['robin']", "allow[1], line 4: this must be a table"),
        ("allow = [{}]", "would allow every agent at any time"),
        ("allow = [{ agents = ['x'] }, { hours = '' }]", "allow[2], line 4: says nothing"),
        ("allow = [{ agents = 'x', tasks = [] }]", "`tasks` is an empty list"),
        ("allow = [{ agent = 'x' }]", "unknown key `agent`; did you mean `agents`?"),
        ("allow = [{ frm = 2026-11-01 }]", "unknown key `frm`; did you mean `from`?"),
        ("allow = [{ from = '2026-11-01' }]", "`from` must be a date or a date and time"),
        ("allow = [{ from = 2026-11-02, until = 2026-11-01 }]", "nobody could ever use it"),
        ("allow = [{ hours = 'Mon-Fry 8:00-9:00' }]", "`fry` is no day"),
    ],
)
def test_allowances_that_do_not_fit(lines: str, words: str) -> None:
    """Above all those that would quietly let everybody in."""
    assert any(words in each for each in problems_of(lines)), problems_of(lines)


# --- settings -------------------------------------------------------------------------------------


def test_settings_become_texts() -> None:
    lines = "settings = { work_mem = '64MB', JIT = false, geqo_threshold = 5, 'a.b' = 'x y', search_path = 'sales' }"  # noqa: E501
    assert tier_of(lines).settings == (
        ("work_mem", "64MB"),
        ("jit", "off"),
        ("geqo_threshold", "5"),
        ("a.b", "x y"),
        ("search_path", "sales"),
    )


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("statement_timeout = '5s'", "write `statement_time` in the tier's `budget`"),
        ("Lock_Timeout = '5s'", "write `lock_time` in the tier's `budget`"),
        ("idle_in_transaction_session_timeout = 5", "write `idle_in_transaction`"),
        ("default_transaction_read_only = false", "`access` says whether a session may write"),
        ("role = 'x'", "the URL's user is whom sessions act as"),
        ("session_authorization = 'x'", "the URL's user"),
        ("session_replication_role = 'replica'", "triggers and foreign keys stay on"),
        ("client_encoding = 'SJIS'", "the gate reads statements as it stands"),
        ("standard_conforming_strings = 'off'", "the gate reads statements as it stands"),
        ("'holdpoint.tier' = 'x'", "is the gate's own"),
        ("'HoldPoint.tier' = 'x'", "is the gate's own"),
        ("'_pq_.made_up' = 'x'", "is the gate's own"),
        ("'plpgsql.variable_conflict' = 'use_column'", "the gate reads statements as it stands"),
        ("search_path = 'app, pg_catalog'", "could hide names of `pg_catalog`"),
        ("search_path = 'pg_temp, app'", "could hide names of `pg_catalog`"),
        ("'work mem' = 'x'", "cannot name a setting"),
        ("work_mem = '1MB', WORK_MEM = '2MB'", "`WORK_MEM` stands twice"),
        ('work_mem = "1MB\\u0000"', "control characters"),
        (f"work_mem = '{'1' * 1001}'", "is too long"),
        ("work_mem = ['1MB']", "must be text, a number, true or false"),
    ],
)
def test_settings_that_are_not_set_here(setting: str, words: str) -> None:
    assert words in problem_of(f"settings = {{ {setting} }}")


# --- advice ---------------------------------------------------------------------------------------


def advice_of(lines: str, access: str = "read-only") -> list[str]:
    return [str(each) for each in config_of(lines, access).advice]


def test_a_tier_that_says_whom_and_what_it_is_for_needs_no_advice() -> None:
    assert advice_of("replica = true") == []
    assert advice_of("replica = false") == [], "somebody has thought of it"
    assert advice_of("agents = ['robin']", "owner") == []


def test_advice_on_a_tier_that_writes_and_is_open_to_all() -> None:
    (found,) = advice_of("", "read-write")
    assert "targets.shop.tiers.t, line 1: every agent may use it" in found


def test_advice_on_a_window_beside_an_open_door() -> None:
    window = "allow = [{ agents = ['robin'], hours = 'Mon-Fri 08:00-18:00' }]\n"
    for agents in ("['robin']", "['ro*', 'mia']"):
        (found,) = advice_of(f"agents = {agents}\n{window}", "read-write")
        assert "t.allow, line 5: `robin` may use it at any time anyway" in found
    assert advice_of(f"agents = ['mia']\n{window}", "read-write") == []
    assert advice_of(window, "read-write") == []


def test_advice_on_a_replica_that_is_not_demanded() -> None:
    (found,) = advice_of("")
    assert "nothing says whether this is a replica" in found


def test_advice_on_tiers_that_only_the_gate_keeps_apart() -> None:
    second = "[targets.shop.tiers.w]\naccess = 'read-write'\nurl = 'env:SHOP_URL'\nagents = 'x'\n"
    (found,) = advice_of(f"replica = true\n{second}")
    assert "tiers.w.url, line 7: the URL is that of tier `t`, with access `read-only`" in found
    assert advice_of(f"replica = true\n{second.replace('SHOP_URL', 'OTHER')}") == []


def test_advice_on_a_tier_that_has_the_admins_role() -> None:
    admin = "[targets.shop]\nadmin_url = 'env:SHOP_URL'\n"
    (found,) = advice_of(f"replica = true\n{admin}")
    assert "the URL is `admin_url`, whose role may grant anything" in found
    assert advice_of(f"agents = ['x']\n{admin}", "owner") == []


def test_an_admin_url_that_does_not_fit() -> None:
    assert "a URL starts with" in problem_of("[targets.shop]\nadmin_url = 'mysql://x'")
