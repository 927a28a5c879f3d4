"""Connection URLs and passwords: where they come from, and what they say.

A source is ``env:NAME``, ``file:PATH``, ``command:WORDS`` or the URL itself; a password is never
written into the configuration. Sources are resolved late, when a connection is needed, so that a
secret can change without a restart. No message repeats a URL, a password or a command's arguments.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from holdpoint.engine.secrets_command import SecretCommands, SecretError, words_of
from holdpoint.model.limits import URL_BYTES_MAX
from holdpoint.model.upstream import ChannelBinding, SslMode, UpstreamUrl

SCHEMES: Final = ("postgres://", "postgresql://")
PARAMETERS: Final = (
    "channel_binding",
    "dbname",
    "host",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
)
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HOST: Final = re.compile(r"\[(?P<six>[0-9A-Fa-f:.%]+)\]|(?P<name>[^\[\]:/@,]*)")


class UrlError(ValueError):
    """A source or a URL that cannot be used; the text says why and what to do."""


def check_source(source: str) -> None:
    """Check the form of a URL's source without resolving it. Raises ``UrlError``."""
    if source.startswith(SCHEMES):
        parse_url(source)
    elif not _is_indirect(source):
        raise UrlError(
            "a URL starts with `postgres://`, or comes from `env:NAME`, `file:PATH` or "
            "`command:WORDS`"
        )


def check_password_source(source: str) -> None:
    """Check the form of a password's source without resolving it. Raises ``UrlError``."""
    if not _is_indirect(source):
        raise UrlError("a password comes from `env:NAME`, `file:PATH` or `command:WORDS`")


def _is_indirect(source: str) -> bool:
    """Tell whether the source says where to find it; raises ``UrlError`` if it does so badly."""
    if source.startswith("env:"):
        if not _VARIABLE.fullmatch(source[4:]):
            raise UrlError("write `env:` and the name of an environment variable")
    elif source.startswith("file:"):
        if not source[5:]:
            raise UrlError("write `file:` and a path")
    elif source.startswith("command:"):
        try:
            words_of(source[8:])
        except SecretError as error:
            raise UrlError(str(error)) from None
    else:
        return False
    return True


def exposed(source: str) -> str:
    """Say which file of a source other users of the machine may read; empty if they may not."""
    if not source.startswith("file:"):
        return ""
    try:
        mode = Path(source[5:]).stat().st_mode
    except OSError:
        return ""  # resolving it says so
    if not mode & (stat.S_IRGRP | stat.S_IROTH):
        return ""
    who = "everybody on this machine" if mode & stat.S_IROTH else "its group"
    return f"`{source[5:]}` holds a secret and can be read by {who}; `chmod 600` takes that away"


def resolve_url(
    source: str, environ: Mapping[str, str], run: Callable[[str], str] | None = None
) -> str:
    """The URL itself. Raises ``UrlError`` when what it comes from does not give it.

    ``run`` gives what a command prints; without it the command is run here, which takes its time.
    """
    check_source(source)
    return source if source.startswith(SCHEMES) else _resolved(source, environ, run, "URL").strip()


def resolve_password(
    source: str, environ: Mapping[str, str], run: Callable[[str], str] | None = None
) -> str:
    """The password itself, as it is: nothing is percent-decoded. Raises ``UrlError``."""
    check_password_source(source)
    password = _resolved(source, environ, run, "password")
    if "\0" in password or "\n" in password:
        raise UrlError(f"`{_shown(source)}` gives more than one line, or a zero byte")
    return password


def _resolved(
    source: str, environ: Mapping[str, str], run: Callable[[str], str] | None, what: str
) -> str:
    """What a source that is no URL gives, without the end of its line."""
    if source.startswith("command:"):
        try:
            return (run or SecretCommands(environ))(source[8:])
        except SecretError as error:
            raise UrlError(f"no {what}: {error}") from error
    if source.startswith("file:"):
        return _read_file(source[5:], what)
    name = source[4:]
    text = environ.get(name, "").rstrip("\r\n")
    if not text.strip():
        raise UrlError(f"the environment variable `{name}` is not set; set it to the {what}")
    return text


def _read_file(path: str, what: str) -> str:
    """The text in a file, without the end of its line."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(URL_BYTES_MAX + 1)
    except OSError as error:
        words = (error.strerror or "it cannot be read").lower()
        raise UrlError(f"cannot read the {what} from `{path}`: {words}") from error
    if len(content) > URL_BYTES_MAX:
        raise UrlError(f"`{path}` holds over {URL_BYTES_MAX:,} bytes, too many for a {what}")
    try:
        text = content.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise UrlError(f"`{path}` does not hold UTF-8 text") from error
    if not text.strip():
        raise UrlError(f"`{path}` is empty; write the {what} into it")
    return text


def resolve_upstream(
    source: str,
    environ: Mapping[str, str],
    run: Callable[[str], str] | None = None,
    password_source: str = "",
) -> UpstreamUrl:
    """Resolve a source and read the URL; a password that it lacks comes from its own source.

    Raises ``UrlError``. ``run`` is as for ``resolve_url``.
    """
    try:
        url = parse_url(resolve_url(source, environ, run))
    except UrlError as error:
        if not source.startswith(SCHEMES) and str(error).startswith("the URL"):
            raise UrlError(f"`{_shown(source)}`: {error}") from None
        raise
    if password_source and not url.password:
        return replace(url, password=resolve_password(password_source, environ, run))
    return url


def _shown(source: str) -> str:
    """A source as messages name it: a command's arguments may be secret."""
    if source.startswith("command:"):
        return f"command:{words_of(source[8:])[0]}"
    return source


def parse_url(text: str) -> UpstreamUrl:
    """Read a libpq URL (manual, section 34.1.1.2): one host, and the parameters we know.

    A URL that asks for TLS without saying how (it names a certificate but no ``sslmode``) gets
    ``verify-full``. Raises ``UrlError``.
    """
    scheme = next((each for each in SCHEMES if text.startswith(each)), None)
    if scheme is None:
        raise UrlError("the URL must start with `postgres://` or `postgresql://`")
    if not text.isprintable() or " " in text:
        raise UrlError("the URL holds white space or control characters; percent-encode them")
    if "#" in text:
        raise UrlError("the URL holds a `#`; write it as `%23`")
    rest, _, query = text[len(scheme) :].partition("?")
    authority, _, path = rest.partition("/")
    login, at, address = authority.rpartition("@")
    user, _, password = login.partition(":") if at else ("", "", "")
    host, port = _read_address(address)
    values = {
        "user": _decoded(user, "user"),
        "password": _decoded(password, "password"),
        "host": host,
        "port": port,
        "dbname": _decoded(path, "database"),
    }
    values.update(_read_query(query))
    return _built(values)


def _read_address(address: str) -> tuple[str, str]:
    """Host and port as written; either may be empty."""
    if "," in address:
        raise UrlError("the URL names several hosts; name one")
    found = _HOST.match(address)
    tail = address[found.end() :] if found else address
    if found is None or (tail and not tail.startswith(":")):
        raise UrlError("the URL's host cannot be read; an IPv6 address stands in `[` and `]`")
    host = found["six"] if found["six"] is not None else _decoded(found["name"] or "", "host")
    return host, tail[1:]


def _read_query(query: str) -> dict[str, str]:
    """The parameters after ``?``, each known and given once."""
    values: dict[str, str] = {}
    for part in query.split("&") if query else ():
        name, equals, value = part.partition("=")
        if not equals:
            raise UrlError("each parameter of the URL needs a `=`")
        if name == "ssl" and value == "true":  # asks for TLS without saying how
            name, value = "sslmode", SslMode.VERIFY_FULL.value
        if name not in PARAMETERS:
            close = get_close_matches(name, PARAMETERS, n=1)
            shown = name if re.fullmatch(r"[A-Za-z0-9_.-]{1,40}", name) else "?"
            hint = f"; did you mean `{close[0]}`?" if close else ""
            raise UrlError(f"the URL has the parameter `{shown}`, which is not known{hint}")
        if name in values:
            raise UrlError(f"the URL gives `{name}` twice")
        values[name] = _decoded(value, name)
    return values


def _decoded(text: str, part: str) -> str:
    """Percent-decoded text."""
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise UrlError(f"the URL's {part} holds a `%` that is not an escape; write it as `%25`")
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        raise UrlError(f"the URL's {part} is not UTF-8") from error
    if "\0" in decoded:
        raise UrlError(f"the URL's {part} holds a zero byte")
    return decoded


def _built(values: dict[str, str]) -> UpstreamUrl:
    """Check the values and put the URL together."""
    port = values["port"] or "5432"
    if not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65535):
        raise UrlError("the URL's port is not a number from 1 to 65535")
    if "," in values["host"]:
        raise UrlError("the URL names several hosts; name one")
    modes = [mode.value for mode in SslMode]
    asks = any(values.get(name) for name in ("sslrootcert", "sslcert", "sslkey"))
    mode = values.get("sslmode") or ("verify-full" if asks else "prefer")
    if mode not in modes:
        raise UrlError(f"the URL's `sslmode` is none of {_listed(modes)}")
    bindings = [binding.value for binding in ChannelBinding]
    binding = values.get("channel_binding") or "prefer"
    if binding not in bindings:
        raise UrlError(f"the URL's `channel_binding` is none of {_listed(bindings)}")
    return UpstreamUrl(
        host=values["host"] or "localhost",
        port=int(port),
        user=values["user"],
        password=values["password"],
        dbname=values["dbname"],
        sslmode=SslMode(mode),
        sslrootcert=values.get("sslrootcert", ""),
        sslcert=values.get("sslcert", ""),
        sslkey=values.get("sslkey", ""),
        channel_binding=ChannelBinding(binding),
    )


def _listed(names: list[str]) -> str:
    """Names between backticks."""
    return ", ".join(f"`{name}`" for name in names)
