"""Passwords of roles that sign in: as verifiers, never in the clear.

A plan must read the same each time it is made, for an approval binds to its text; so the salt of a
verifier cannot be random. It is made of names alone, and so differs for each role, target and
server. It must not be made of the password: a server tells a role's salt to whoever asks to sign
in (RFC 5802, section 5), who could then try passwords on it. What is lost against a random salt:
somebody who knows the names could compute a table of guesses before stealing the verifier, which
helps against passwords that can be guessed. Let a machine make them.
"""

from __future__ import annotations

import hashlib
from typing import Final

import psycopg

from holdpoint.access.desired import Desired, DesiredRole
from holdpoint.access.plan.granted import Granted
from holdpoint.model.limits import UPSTREAM_CONNECT_TIMEOUT_S
from holdpoint.wire.postgres import scram

DOMAIN: Final = "holdpoint access verifier v1"
_FULL: Final = "too many connections"  # errmsg of SQLSTATE 53300


def verifier_of(target: str, role: DesiredRole) -> str:
    """Return the SCRAM verifier of the password that a role signs in with; empty for none."""
    if role.url is None or not role.url.password:
        return ""
    parts = (DOMAIN, target, role.url.place, role.name)
    salt = hashlib.sha256("\0".join(parts).encode()).digest()[: scram.SALT_BYTES]
    return scram.make_verifier(role.url.password, salt)


def refused_logins(desired: Desired, state: Granted, admin: str) -> frozenset[str]:
    """Return the roles that exist and cannot sign in with the password of their URL.

    They are tried where ``admin`` (a connection string) leads, whichever server their own URL
    names: a replica may not know yet. Nobody but a superuser can read what the server keeps.
    """
    refused: set[str] = set()
    for role in desired.roles:
        now = state.roles.get(role.name)
        if now is None or not now.login or role.url is None or not role.url.password:
            continue
        if not _signs_in(admin, role.name, role.url.password):
            refused.add(role.name)
    return frozenset(refused)


def _signs_in(admin: str, user: str, password: str) -> bool:
    """Tell whether the server takes the password: False only when it asked for one and said no.

    Where it lets the role in without one, or not at all, the password has no say.
    """
    try:
        connection = psycopg.connect(
            admin,
            user=user,
            password=password,
            connect_timeout=int(UPSTREAM_CONNECT_TIMEOUT_S),
            application_name="holdpoint access",
        )
    except psycopg.OperationalError as error:
        asked = error.pgconn is not None and error.pgconn.used_password
        return not asked or _FULL in str(error)
    connection.close()
    return True
