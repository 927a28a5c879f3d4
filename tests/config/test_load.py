"""The configuration: what is right becomes frozen values, what is wrong is said all at once."""

from datetime import UTC, datetime, time
from pathlib import Path

import pytest

from holdpoint.config import Address, Config, ConfigError, TlsMode, load, parse
from holdpoint.model.decision import ApprovalNeed, Quorum
from holdpoint.model.effects import Access, Effect
from holdpoint.model.grants import Grant, GrantedPrivilege
from holdpoint.model.limits import HOLD_WAIT_S, WRITE_ROWS_MAX
from holdpoint.model.target import AccessLevel, Allowance, BusinessHours
from holdpoint.model.verdict import Verdict

SMALLEST = """\
[targets.shop.tiers.replica]
access = "read-only"
url = "env:SHOP_URL"
"""

WHOLE = """\
[server]
listen = "0.0.0.0:6543"
web = "[::1]:7433"
web_url = "https://holdpoint.example.org/"
store = "state/trail.db"
tls = "require"
tls_cert = "tls/cert.pem"
tls_key = "/etc/tls/key.pem"

[groups]
dba = ["anna", "ben"]
lead = ["cleo"]

[holds]
wait = "90s"
approve = { all = [{ group = "dba" }], expires = "45 min" }

[policy]
write_rows_max = 10
big_table_rows = 5000

[targets.shop]
environment = "production"
timezone = "Europe/Berlin"
business_hours = "Mon-Fri 08:00-18:00"

[[targets.shop.freezes]]
name = "a whole day by the clock of the target"
start = 2026-12-24
end = 2026-12-24

[[targets.shop.freezes]]
name = "moments"
start = 2026-12-31T12:00:00
end = 2026-12-31T18:00:00Z

[targets.shop.tiers.replica]
access = "read-only"
url = "file:secrets/url"
replica = true

[targets.shop.tiers.write]
access = "read-write"
url = "postgresql://shop@db.example.org/shop?sslmode=verify-full"
agents = ["billing-bot"]
grants = { "orders" = ["select", "insert", "update"], "users" = ["select"] }

[[rules]]
id = "bulk-change"
when = { effect = ["bulk_write", "write"], rows_over = 1000 }
then = "hold"
approve = { all = [{ group = "dba", count = 2 }], any = [{ group = "lead" }], expires = "2h" }
reason = "more than 1,000 rows change"
[rules.examples]
hold = ["UPDATE orders SET status = 'x'", { sql = "DELETE FROM orders WHERE old", rows = 1001 }]
allow = ["UPDATE orders SET status = 'x' WHERE id = 1"]

[[rules]]
id = "cache"
when = { effect = "bulk_write", objects = "cache.*", access = "write", agents = "cache-*" }
then = "allow"
reason = "the cache can be made again"
"""


def read(text: str) -> Config:
    return parse(text, base=Path("/srv/holdpoint"))


def line_of(start: str) -> int:
    lines = WHOLE.splitlines()
    return next(at for at, line in enumerate(lines, start=1) if line.startswith(start))


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(text)
    return [str(problem) for problem in caught.value.problems]


def test_one_target_with_one_tier_is_enough() -> None:
    config = read(SMALLEST)
    (target,) = config.targets
    assert target.environment == "production"
    assert target.tiers[0].access is AccessLevel.READ_ONLY
    assert config.server.listen == Address("127.0.0.1", 6543)
    assert config.server.web == Address("127.0.0.1", 7433)
    assert config.server.web_url == "http://127.0.0.1:7433"
    assert config.server.store == "/srv/holdpoint/holdpoint.db"
    assert config.server.tls is TlsMode.OFF
    assert config.holds.wait_s == HOLD_WAIT_S
    assert config.policy.thresholds.write_rows_max == WRITE_ROWS_MAX
    assert config.target("") is target
    assert config.target("elsewhere") is None


def test_server_holds_and_groups() -> None:
    config = read(WHOLE)
    assert config.server.listen == Address("0.0.0.0", 6543)
    assert config.server.web == Address("::1", 7433)
    assert config.server.web_url == "https://holdpoint.example.org"
    assert config.server.store == "/srv/holdpoint/state/trail.db"
    assert config.server.tls is TlsMode.REQUIRE
    assert config.server.tls_cert == "/srv/holdpoint/tls/cert.pem"
    assert config.server.tls_key == "/etc/tls/key.pem"
    assert config.groups["dba"] == {"anna", "ben"}
    assert config.holds.wait_s == 90.0
    usual = ApprovalNeed(all_of=(Quorum(group="dba"),), expires_s=2700.0)
    assert config.holds.need == usual
    assert config.policy.need == usual
    assert config.policy.thresholds.big_table_rows == 5000


def test_targets() -> None:
    config = read(WHOLE)
    (target,) = config.targets
    hours = BusinessHours(days=frozenset(range(5)), start=time(8), end=time(18))
    assert target.business_hours == hours
    day, moments = target.freezes
    assert day.start == datetime(2026, 12, 23, 23, tzinfo=UTC)
    assert day.end == datetime(2026, 12, 24, 23, tzinfo=UTC)
    assert moments.start == datetime(2026, 12, 31, 11, tzinfo=UTC)
    assert moments.end == datetime(2026, 12, 31, 18, tzinfo=UTC)
    assert [tier.name for tier in target.tiers] == ["replica", "write"]
    assert target.tiers[0].url_source == "file:/srv/holdpoint/secrets/url"
    assert target.tiers[1].allowances == (Allowance(agents=("billing-bot",)),)
    select, insert, update = map(GrantedPrivilege, ("select", "insert", "update"))
    assert target.tiers[1].grants == (
        Grant("public", "orders", (select, insert, update)),
        Grant("public", "users", (select,)),
    )
    assert config.advice == ()


def test_figures_of_a_target() -> None:
    text = (
        "[targets.shop]\nexact_rows = '2s'\nread_cost_over = 100000\n"
        "[targets.shop.tiers.write]\naccess = 'read-write'\nurl = 'env:X'\n"
        "probe_url = 'file:probe'\n"
    )
    (target,) = read(text).targets
    assert (target.exact_rows_s, target.read_cost_over) == (2.0, 100_000)
    assert target.tiers[0].probe_source.endswith("/probe")
    (usual,) = read(SMALLEST).targets
    assert (usual.exact_rows_s, usual.read_cost_over) == (None, None)
    assert usual.tiers[0].probe_source == ""


def test_rules() -> None:
    bulk, cache = read(WHOLE).policy.rules
    assert bulk.then is Verdict.HOLD
    assert bulk.when.effects == {Effect.WRITE, Effect.BULK_WRITE}
    assert bulk.when.rows_over == 1000
    assert bulk.need == ApprovalNeed(
        all_of=(Quorum(group="dba", count=2),), any_of=(Quorum(group="lead"),), expires_s=7200.0
    )
    assert len(bulk.examples) == 3
    assert cache.then is Verdict.ALLOW
    assert cache.when.access == {Access.WRITE}
    assert cache.when.objects[0].pattern == "cache.*"
    assert cache.need is None


def test_everything_wrong_is_said_at_once_with_line_and_nearest_name() -> None:
    found = problems("""\
lissten = "x"
[server]
lissten = "127.0.0.1:1"
[groups]
dba = ["anna"]
[targets.shop]
engine = "postgress"
timezone = "Europe/Berln"
business_hours = "Mon-Fry 08:00-18:00"
[targets.shop.tiers.replica]
access = "read-onyl"
url = "env:"
[[rules]]
id = "one"
when = { effect = [
  "write",
  "bulk_wrte",
], tiers = "replca" }
then = "hodl"
reason = "r"
approve = { all = [{ group = "dbas" }] }
[[rules]]
id = "two"
when = { effect = "write", tiers = ["replca"], rows_over = -1 }
then = "hold"
""")
    assert found == [
        "lissten, line 1: unknown key `lissten`; "
        "valid here: `budgets`, `groups`, `holds`, `policy`, `rules`, `server`, `targets`",
        "server.lissten, line 3: unknown key `lissten`; did you mean `listen`?",
        "targets.shop.engine, line 7: unknown engine `postgress`; did you mean `postgres`?",
        "targets.shop.timezone, line 8: unknown time zone `Europe/Berln`; "
        "did you mean `Europe/Berlin`?",
        "targets.shop.business_hours, line 9: cannot read `Mon-Fry 08:00-18:00`; "
        "`fry` is no day; days are Mon, Tue, Wed, Thu, Fri, Sat, Sun",
        "targets.shop.tiers.replica.access, line 11: unknown access level `read-onyl`; "
        "did you mean `read-only`?",
        "targets.shop.tiers.replica.url, line 12: "
        "write `env:` and the name of an environment variable",
        "rules[1].when.effect[2], line 17: unknown effect `bulk_wrte`; did you mean `bulk_write`?",
        "rules[1].then, line 19: unknown verdict `hodl`; did you mean `hold`?",
        "rules[1].approve.all[1], line 21: unknown group `dbas`; did you mean `dba`?",
        "rules[2], line 22: `reason` is missing",
        "rules[2].when.rows_over, line 24: `rows_over` must be at least 0",
    ]


def test_a_mistake_in_one_place_does_not_hide_another_in_the_rules() -> None:
    found = problems(WHOLE.replace('"0.0.0.0:6543"', "5").replace("rows = 1001", "rows = 999"))
    assert len(found) == 2
    assert found[0].startswith("server.listen, line 2: `listen` must be text")
    assert f"rules[1].examples.hold[2], line {line_of('hold = [')}" in found[1]
    assert "does not match its example of hold" in found[1]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('listen = "6543"', "cannot read the address"),
        ('listen = "127.0.0.1:65536"', "cannot read the address"),
        ('listen = "0.0.0.0:6543"', "can be reached by other machines, without TLS"),
        ('listen = ":6543"', "can be reached by other machines"),
        ('listen = "127.evil.example:1"', "can be reached by other machines"),
        ('web = "[::]:7433"', "can be reached by other machines"),
        ('web = "127.0.0.1:6543"', "`listen` and `web` are both"),
        ('tls = "on"', "unknown mode `on`"),
        ('tls = "require"', "needs a certificate"),
        ('tls_cert = "x.pem"', "`tls_key` is missing"),
        ('web_url = "ftp://x"', "is no web address"),
        ('store = ""', "`store` is empty"),
        ("tls = false", "`tls` must be text"),
    ],
)
def test_server_mistakes(line: str, words: str) -> None:
    found = problems(f"[server]\n{line}\n{SMALLEST}")
    assert len(found) == 1
    assert words in found[0]
    assert "line 2" in found[0] or "line 1" in found[0]


def test_plain_text_for_other_machines_must_be_spelled_out() -> None:
    config = read(f'[server]\nlisten = "0.0.0.0:6543"\ntls = "off"\n{SMALLEST}')
    assert config.server.tls is TlsMode.OFF
    found = problems(f'[server]\nlisten = "0.0.0.0:6543"\ntls = "of"\n{SMALLEST}')
    assert "did you mean `off`?" in found[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "there is no target"),
        ("targets = 3", "must be tables"),
        ("[targets.shop]", "target `shop` has no tier"),
        ("[targets.shop]\ntiers = []", "must be tables"),
        ("[targets.'a/b'.tiers.x]\naccess='owner'\nurl='env:X'", "cannot name a target"),
        ("[targets.a.tiers.'x/y']\naccess='owner'\nurl='env:X'", "cannot name a tier"),
        ("[targets.a.tiers.x]\nurl='env:X'", "`access` is missing"),
        ("[targets.a.tiers.x]\naccess='owner'\nurl='mysql://h/d'", "a URL starts with"),
        ("[targets.a]\nfreezes=3\ntiers.x = {access='owner', url='env:X'}", "must be a list"),
        ("rules=3\n" + SMALLEST, "must be a list of tables"),
        ("groups=3\n" + SMALLEST, "must be a table of lists"),
        ("[groups]\ndba=[]\n" + SMALLEST, "group `dba` is empty"),
        ("[groups]\ndba='anna'\n" + SMALLEST, "must be a list of names"),
        ("holds=3\n" + SMALLEST, "this must be a table"),
        ("[holds]\nwait='soon'\n" + SMALLEST, "cannot read the duration `soon`"),
        ("[holds]\nwait='0s'\n" + SMALLEST, "cannot read the duration"),
        ("[holds]\nwait='9000000d'\n" + SMALLEST, "cannot read the duration"),
        ("[policy]\nwrite_rows_max=-1\n" + SMALLEST, "must be at least 0"),
        ("[policy]\nwrite_rows_max=true\n" + SMALLEST, "must be a whole number"),
        ("targets.shop.exact_rows='5min'\n" + SMALLEST, "keeps an agent waiting"),
        ("targets.shop.exact_rows='soon'\n" + SMALLEST, "cannot read the duration `soon`"),
        ("targets.shop.read_cost_over=-1\n" + SMALLEST, "must be at least 0"),
        ("x = [\n", "not TOML"),
        ("[targets]\n[targets]\n", "not TOML: cannot declare"),
    ],
)  # fmt: skip
def test_other_mistakes(text: str, words: str) -> None:
    assert words in problems(text)[0]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("grants = { orders = ['selct'] }", "did you mean `select`?"),
        ("grants = { orders = ['insert'] }", "`insert` is more than access `read-only` gives"),
        ("grants = 3", "`grants` must be a table"),
        ("probe_url = 'mysql://h/d'", "a URL starts with"),
        ("agents = [3]", "must be text"),
        ("acess = 'owner'", "did you mean `access`?"),
    ],
)
def test_tier_mistakes(line: str, words: str) -> None:
    (found,) = problems(SMALLEST + line)
    assert words in found
    assert "line 4" in found


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("when = {}", "matches every statement"),
        ("when = { effect = [] }", "`effect` is an empty list"),
        ("when = { objects = [''] }", "the pattern is empty"),
        ("when = { effect = 'write', effects = ['ddl'] }", "are the same; give one"),
        ("when = { business_hours = 'yes' }", "must be true or false"),
        ("when = { agent = 'x' }", "did you mean `agents`?"),
        ("when = 3", "`when` must be a table"),
        ("when = { effect = 'read' }\nexamples = { hold = 'SELECT 1' }", "must be a list"),
        ("when = { effect = 'read' }\nexamples = { hodl = ['SELECT 1'] }", "did you mean `hold`?"),
        ("when = { effect = 'read' }\nexamples = { hold = [{ rows = 3 }] }", "`sql` is missing"),
        ("when = { effect = 'read' }\napprove = { all = [{ grop = 'x' }] }", "mean `group`?"),
        ("when = { effect = 'read' }\napprove = { any = [{ count = 0 }] }", "must be at least 1"),
        ("when = { effect = 'read' }\nexamples = { hold = ['DROP TABLE x'] }", "does not match"),
    ],
)  # fmt: skip
def test_rule_mistakes(rule: str, words: str) -> None:
    (found,) = problems(f"{SMALLEST}\n[[rules]]\nid = 'r'\nthen = 'hold'\nreason = 'r'\n{rule}\n")
    assert words in found
    assert found.startswith("rules[1]")


def test_a_group_too_small_for_its_quorum_is_an_error() -> None:
    (found,) = problems(WHOLE.replace("count = 2", "count = 3"))
    assert "group `dba` has 2 people, 3 are asked for" in found


def test_two_rules_of_one_name() -> None:
    (found,) = problems(WHOLE.replace('id = "cache"', 'id = "bulk-change"'))
    line = line_of('id = "cache"')
    assert found.startswith(f"rules[2].id, line {line}: there is another rule")


def test_a_password_in_the_file_is_advice_and_never_repeated() -> None:
    config = read(SMALLEST.replace("env:SHOP_URL", "postgres://u:hunter2@localhost/shop"))
    assert "line 3: the URL holds a password" in str(config.advice[0])
    assert "hunter2" not in "".join(map(str, config.advice))
    found = problems(SMALLEST.replace("env:SHOP_URL", "postgres://u:hunter2@h:x/shop"))
    assert "hunter2" not in found[0]


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "holdpoint.toml"
    with pytest.raises(ConfigError, match="cannot be opened: no such file"):
        load(path)
    path.write_bytes(b"# caf\xe9\n" + SMALLEST.encode())
    with pytest.raises(ConfigError, match="line 1: the file is not UTF-8"):
        load(path)
    path.write_bytes(b"#" * (4 * 1024 * 1024 + 1))
    with pytest.raises(ConfigError, match="the file has over"):
        load(path)
    path.write_text(SMALLEST.replace("env:SHOP_URL", "file:url"))
    assert load(path).targets[0].tiers[0].url_source == f"file:{tmp_path}/url"
    with pytest.raises(ConfigError):
        load(tmp_path)


def test_the_starting_file_is_valid(tmp_path: Path) -> None:
    from importlib import resources

    text = resources.files("holdpoint.config").joinpath("starting.toml").read_text("utf-8")
    config = read(text)
    assert [tier.name for tier in config.targets[0].tiers] == ["replica", "write"]
    assert config.policy.rules[0].examples
