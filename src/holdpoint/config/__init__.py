"""Reads ``holdpoint.toml``, checks it all at once, gives frozen values.

``load(path)`` gives a ``Config`` or raises ``ConfigError`` with every problem of the file;
``resolve_upstream(tier.url_source, environ)`` gives a tier's connection when it is needed.
"""

from holdpoint.config.load import load, parse
from holdpoint.config.problems import ConfigError, Problem
from holdpoint.config.urls import (
    UrlError,
    check_source,
    parse_url,
    resolve_upstream,
    resolve_url,
)
from holdpoint.config.values import (
    Address,
    Config,
    HoldsConfig,
    ServerConfig,
    TlsMode,
)

__all__ = [
    "Address",
    "Config",
    "ConfigError",
    "HoldsConfig",
    "Problem",
    "ServerConfig",
    "TlsMode",
    "UrlError",
    "check_source",
    "load",
    "parse",
    "parse_url",
    "resolve_upstream",
    "resolve_url",
]
