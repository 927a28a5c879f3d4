"""``[server]``: where the gate listens, with or without TLS, and where it keeps its things."""

from __future__ import annotations

import re
from pathlib import Path as FilePath
from typing import Final

from holdpoint.config.locate import Path
from holdpoint.config.problems import Notes
from holdpoint.config.schema import ServerTable, checked
from holdpoint.config.values import Address, ServerConfig, TlsMode
from holdpoint.policy.compile import nearest

_ADDRESS: Final = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9_.-]*)):(?P<port>\d{1,5})"
)
_WEB_URL: Final = re.compile(r"https?://[^\s/?#@]+")


def read_server(value: object, base: FilePath, notes: Notes) -> ServerConfig:
    """The server's settings; what cannot be read is noted and has its default."""
    path: Path = ("server",)
    table, _ = checked(ServerTable, value, path, notes)
    if table is None:
        return ServerConfig(store=str(base / "holdpoint.db"))
    usual = ServerConfig()
    listen = _read_address(table.listen, (*path, "listen"), notes) or usual.listen
    web = _read_address(table.web, (*path, "web"), notes) or usual.web
    if listen == web and listen.port:
        notes.problem((*path, "web"), f"`listen` and `web` are both `{listen}`")
    tls = _read_tls(table, (listen, web), path, notes)
    if not table.store.strip():
        notes.problem((*path, "store"), "`store` is empty", "name a file such as `holdpoint.db`")
    web_url = table.web_url.rstrip("/")
    if web_url and not _WEB_URL.fullmatch(web_url):
        words = f"`{table.web_url}` is no web address without a path"
        notes.problem((*path, "web_url"), words, "write `https://holdpoint.example`")
    if not web_url:
        shown = Address("127.0.0.1", web.port) if web.host in ("", "0.0.0.0", "::") else web  # noqa: S104 - compared, not bound
        web_url = f"{'http' if tls is TlsMode.OFF else 'https'}://{shown}"
    return ServerConfig(
        listen=listen,
        web=web,
        web_url=web_url,
        store=str(base / table.store),
        tls=tls,
        tls_cert=str(base / table.tls_cert) if table.tls_cert else "",
        tls_key=str(base / table.tls_key) if table.tls_key else "",
    )


def _read_address(text: str, path: Path, notes: Notes) -> Address | None:
    """``host:port``; port 0 lets the system choose."""
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found["port"]) > 65535:
        words = f"cannot read the address `{text}`"
        notes.problem(path, words, "write `127.0.0.1:6543` or `[::1]:6543`")
        return None
    return Address(found["six"] or found["host"], int(found["port"]))


def _read_tls(
    table: ServerTable, addresses: tuple[Address, ...], path: Path, notes: Notes
) -> TlsMode:
    """The TLS mode. Other machines are never served plain text by accident."""
    modes = [mode.value for mode in TlsMode]
    if table.tls and table.tls not in modes:
        notes.problem((*path, "tls"), f"unknown mode `{table.tls}`", nearest(table.tls, modes))
        return TlsMode.OFF
    if bool(table.tls_cert) != bool(table.tls_key):
        missing = "tls_key" if table.tls_cert else "tls_cert"
        notes.problem(path, f"`{missing}` is missing", "TLS needs `tls_cert` and `tls_key`")
    has_both = bool(table.tls_cert and table.tls_key)
    if table.tls and table.tls != TlsMode.OFF.value and not has_both and not table.tls_cert:
        words = f'`tls = "{table.tls}"` needs a certificate'
        notes.problem((*path, "tls"), words, "add `tls_cert` and `tls_key`")
    if not table.tls and not table.tls_cert:
        for key, address in zip(("listen", "web"), addresses, strict=True):
            if not address.is_loopback:
                words = f"`{address}` can be reached by other machines, without TLS"
                hint = 'add `tls_cert` and `tls_key`, or spell out `tls = "off"`'
                notes.problem((*path, key), words, hint)
    if table.tls:
        return TlsMode(table.tls)
    return TlsMode.REQUIRE if has_both else TlsMode.OFF
