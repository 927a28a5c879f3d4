"""Connection URLs and where they come from. No message ever repeats a password."""

import os
import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdpoint.config.urls import (
    UrlError,
    check_password_source,
    check_source,
    exposed,
    parse_url,
    resolve_password,
    resolve_upstream,
    resolve_url,
)
from holdpoint.model.upstream import ChannelBinding, SslMode, UpstreamUrl


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("postgres://", UpstreamUrl()),
        ("postgresql://db/shop", UpstreamUrl(host="db", dbname="shop")),
        (
            "postgres://anna:p%40ss%2Fw@db.example.org:6000/shop?sslmode=require",
            UpstreamUrl(
                host="db.example.org", port=6000, user="anna", password="p@ss/w", dbname="shop",
                sslmode=SslMode.REQUIRE,
            ),
        ),
        ("postgres://[::1]:5433/x", UpstreamUrl(host="::1", port=5433, dbname="x")),
        ("postgres:///x?host=/run/pg&port=6", UpstreamUrl(host="/run/pg", port=6, dbname="x")),
        ("postgres://%2Frun%2Fpg/x", UpstreamUrl(host="/run/pg", dbname="x")),
        ("postgres://h?user=u&password=p", UpstreamUrl(host="h", user="u", password="p")),
        (
            "postgres://h/d?sslrootcert=/ca.pem",
            UpstreamUrl(host="h", dbname="d", sslmode=SslMode.VERIFY_FULL, sslrootcert="/ca.pem"),
        ),
        ("postgres://h/d?ssl=true", UpstreamUrl(host="h", dbname="d", sslmode=SslMode.VERIFY_FULL)),
        (
            "postgres://h/d?sslrootcert=x&sslmode=verify-ca&channel_binding=require",
            UpstreamUrl(
                host="h", dbname="d", sslmode=SslMode.VERIFY_CA, sslrootcert="x",
                channel_binding=ChannelBinding.REQUIRE,
            ),
        ),
    ],
)  # fmt: skip
def test_what_a_url_says(text: str, url: UpstreamUrl) -> None:
    assert parse_url(text) == url


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mysql://h/d", "must start with"),
        ("postgres://h:0/d", "not a number from 1 to 65535"),
        ("postgres://h:65536/d", "not a number"),
        ("postgres://h:٣/d", "not a number"),
        ("postgres://h:5432x/d", "not a number"),
        ("postgres://h1,h2/d", "several hosts"),
        ("postgres://h/d?host=h1,h2", "several hosts"),
        ("postgres://[::1/d", "an IPv6 address stands in"),
        ("postgres://[::1]x/d", "an IPv6 address stands in"),
        ("postgres://h/d?sslmod=require", "did you mean `sslmode`?"),
        ("postgres://h/d?options=-cx%3D1", "`options`, which is not known"),
        ("postgres://h/d?sslmode=on", "none of `disable`"),
        ("postgres://h/d?channel_binding=yes", "none of `disable`, `prefer`, `require`"),
        ("postgres://h/d?sslmode=require&sslmode=disable", "gives `sslmode` twice"),
        ("postgres://h/d?sslmode", "needs a `=`"),
        ("postgres://h/d%", "not an escape"),
        ("postgres://h/%ff", "is not UTF-8"),
        ("postgres://h/%00", "zero byte"),
        ("postgres://h/d#x", "`%23`"),
        ("postgres://h/d d", "white space"),
        ("postgres://h/d\n", "white space or control"),
    ],
)
def test_what_a_url_must_not_say(text: str, words: str) -> None:
    with pytest.raises(UrlError) as caught:
        parse_url(text)
    assert words in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    with suppress(UrlError):
        url = parse_url("postgres://" + text)
        assert 1 <= url.port <= 65535
        assert url.host


def test_secrets_stay_out_of_sight() -> None:
    url = parse_url("postgres://u:hunter2@db/shop")
    assert "hunter2" not in repr(url)
    assert url.place == "db:5432/shop"
    for bad in ("postgres://u:hunter2@db:x/shop", "postgres://u:hunter2@db/d?hunter2=1&x=y#"):
        with pytest.raises(UrlError) as caught:
            parse_url(bad.replace("hunter2=1", "bad=hunter2"))
        assert "hunter2" not in str(caught.value)


def test_sockets() -> None:
    url = parse_url("postgres:///shop?host=/run/pg&port=6000")
    assert url.is_socket
    assert url.socket_path == "/run/pg/.s.PGSQL.6000"
    assert parse_url("postgres://[::1]/d").place == "[::1]:5432/d"
    assert parse_url("postgres://h/d").socket_path == ""


def test_sources(tmp_path: Path) -> None:
    path = tmp_path / "url"
    path.write_text("postgres://h/d\n")
    assert resolve_url("env:URL", {"URL": " postgres://h/d\n"}) == "postgres://h/d"
    assert resolve_url(f"file:{path}", {}) == "postgres://h/d"
    assert resolve_url("postgres://h/d", {}) == "postgres://h/d"
    assert resolve_upstream("env:URL", {"URL": "postgres://h/d"}) == parse_url("postgres://h/d")


def test_a_source_that_gives_nothing_says_what_to_do(tmp_path: Path) -> None:
    for source, environ, words in (
        ("env:URL", {}, "the environment variable `URL` is not set"),
        ("env:URL", {"URL": " "}, "the environment variable `URL` is not set"),
        (f"file:{tmp_path}/none", {}, "no such file"),
        (f"file:{tmp_path}", {}, "cannot read the URL from"),
        ("env:URL", {"URL": "mysql://h"}, "`env:URL`: the URL must start with"),
        ("elsewhere", {}, "a URL starts with `postgres://`"),
        ("command:false --token hunter2", {}, "no URL: `false` ended with 1"),
        ("command:echo mysql://hunter2", {}, "`command:echo`: the URL must start with"),
    ):
        with pytest.raises(UrlError) as caught:
            resolve_upstream(source, environ or {"PATH": os.environ["PATH"]})
        assert words in str(caught.value)
        assert "hunter2" not in str(caught.value)
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(UrlError, match="is empty"):
        resolve_url(f"file:{tmp_path}/empty", {})
    (tmp_path / "large").write_bytes(b"x" * 20_000)
    with pytest.raises(UrlError, match="too many for a URL"):
        resolve_url(f"file:{tmp_path}/large", {})
    (tmp_path / "latin").write_bytes(b"\xff")
    with pytest.raises(UrlError, match="UTF-8"):
        resolve_url(f"file:{tmp_path}/latin", {})


def test_a_password_of_its_own(tmp_path: Path) -> None:
    """It is taken as it is: no escape, no white space is touched but the end of its line."""
    path = tmp_path / "password"
    path.write_text(" 100%25 @/:\n")
    for source, environ, password in (
        (f"file:{path}", {}, " 100%25 @/:"),
        ("env:PW", {"PW": "p@ss word"}, "p@ss word"),
        ("command:printf 'p%%40ss '", {"PATH": os.environ["PATH"]}, "p%40ss "),
    ):
        assert resolve_password(source, environ) == password
        url = resolve_upstream("postgres://u@h/d", environ, password_source=source)
        assert (url.user, url.password) == ("u", password)
        assert password not in repr(url)
    given = resolve_upstream("postgres://u:own@h/d", {}, password_source="env:NONE")
    assert given.password == "own", "the URL's own password needs no other"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("hunter2", "a password comes from"),
        ("postgres://h/d", "a password comes from"),
        ("env:NONE", "the environment variable `NONE` is not set; set it to the password"),
        ("file:/nowhere/at/all", "cannot read the password from `/nowhere/at/all`"),
        ("command:false hunter2", "no password: `false` ended with 1"),
        ("command:printf 'hunter2\\nhunter3'", "`command:printf` gives more than one line"),
        ("command:", "write `command:` and a program"),
    ],
)
def test_a_password_that_cannot_be_had(source: str, words: str) -> None:
    with pytest.raises(UrlError, match=re.escape(words)) as caught:
        resolve_password(source, {"PATH": os.environ["PATH"]})
    assert "hunter" not in str(caught.value)


def test_a_command_is_run_by_whoever_is_asked_to() -> None:
    asked: list[str] = []

    def run(command: str) -> str:
        asked.append(command)
        return "postgres://u@h/d" if command == "url" else "pw"

    url = resolve_upstream("command:url", {}, run, "command:pass word")
    assert (url.user, url.password, asked) == ("u", "pw", ["url", "pass word"])


def test_a_secret_that_others_may_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "url"
    path.write_text("postgres://h/d")
    for mode, words in ((0o600, ""), (0o640, "by its group"), (0o604, "by everybody")):
        path.chmod(mode)
        assert words in exposed(f"file:{path}")
        assert bool(exposed(f"file:{path}")) is bool(words)
    assert exposed("env:URL") == exposed("file:/nowhere/at/all") == ""


@pytest.mark.parametrize(
    "source",
    ["env:", "env:A B", "env:1", "file:", "", "postgres://h:x/d", "command:", "command:'open"],
)
def test_the_form_of_a_source_is_checked_at_load(source: str) -> None:
    with pytest.raises(UrlError):
        check_source(source)
    if not source.startswith("postgres"):
        with pytest.raises(UrlError):
            check_password_source(source)
