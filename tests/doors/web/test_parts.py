"""The small parts of the web door: tries, visits, credentials."""

from datetime import UTC, datetime, timedelta

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from holdpoint.doors.web import credentials
from holdpoint.doors.web.credentials import CredentialClass, class_of, new_secret
from holdpoint.doors.web.door import after_sign_in, sign_in_path
from holdpoint.doors.web.guard import host_of
from holdpoint.doors.web.limiter import Limiter
from holdpoint.doors.web.visits import Visits
from holdpoint.model import limits

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_tries_run_out_and_come_back():
    limiter = Limiter(tries=2, window_s=10, keys_max=10)
    assert [limiter.take("a", NOW) for _ in range(3)] == [True, True, False]
    assert limiter.take("b", NOW), "another peer has its own"
    assert limiter.take("a", NOW + timedelta(seconds=10))


def test_the_table_of_tries_does_not_grow():
    limiter = Limiter(tries=1, window_s=10, keys_max=3)
    for number in range(100):
        limiter.take(str(number), NOW)
    assert not limiter.take("99", NOW), "the newest are remembered"
    assert limiter.take("0", NOW), "the oldest are not"


def test_a_visit_ends_by_idleness_and_by_age():
    visits = Visits()
    cookie = visits.start("anna", "", NOW)
    assert visits.find(cookie, NOW + timedelta(seconds=limits.WEB_VISIT_IDLE_S - 1))
    assert visits.find(cookie, NOW + timedelta(seconds=2 * limits.WEB_VISIT_IDLE_S)) is None
    cookie = visits.start("anna", "", NOW)
    step = timedelta(seconds=limits.WEB_VISIT_IDLE_S / 2)
    moment = NOW
    while moment - NOW < timedelta(seconds=limits.WEB_VISIT_AGE_S) - step:
        moment += step
        assert visits.find(cookie, moment)
    assert visits.find(cookie, moment + step) is None


def test_visits_are_bounded():
    visits = Visits()
    first = visits.start("anna", "", NOW)
    for _ in range(limits.WEB_VISITS_MAX):
        visits.start("bo", "", NOW)
    assert visits.find(first, NOW) is None


def test_a_csrf_token_belongs_to_one_cookie():
    visits = Visits()
    token = visits.csrf("one")
    assert visits.csrf_fits("one", token)
    assert not visits.csrf_fits("two", token)
    assert not visits.csrf_fits("", visits.csrf(""))
    assert not Visits().csrf_fits("one", token), "nor to another server"


def test_each_class_of_secret_has_its_own_prefix():
    secrets = {kind: new_secret(kind, lambda count: b"x" * count) for kind in CredentialClass}
    assert {class_of(secret) for secret in secrets.values()} == set(CredentialClass)
    assert class_of("hunter2") is None


def test_an_unknown_person_costs_as_much_as_a_known_one():
    """The stand-in hash must be checked in full: were it malformed, the check would end at once."""
    with pytest.raises(VerifyMismatchError):
        PasswordHasher().verify(credentials._NOBODY, "any password")
    assert not PasswordHasher().check_needs_rehash(credentials._NOBODY), "same cost as new hashes"
    assert not credentials.password_matches("", "any password")
    assert not credentials.password_matches("not a hash", "any password")


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "",
        "/a\nb",
        "/sign-in/x",
        "/\t/e",
    ],
)
def test_the_sign_in_leads_nowhere_else(path: str):
    assert after_sign_in(path) == "/"


def test_the_sign_in_leads_back():
    assert after_sign_in("/h/h-1?x=1") == "/h/h-1?x=1"
    assert sign_in_path("/h/h-1") == "/sign-in?next=/h/h-1"


@pytest.mark.parametrize(
    ("header", "host"),
    [
        ("127.0.0.1:7433", "127.0.0.1"),
        ("LOCALHOST", "localhost"),
        ("[::1]:7433", "::1"),
        ("a@127.0.0.1", ""),
        ("127.0.0.1/x", ""),
        ("[::1", ""),
        ("", ""),
    ],
)
def test_hosts_are_read_strictly(header: str, host: str):
    assert host_of(header) == host
