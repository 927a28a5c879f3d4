"""Connect and sign in to a tier's database, as the role of its URL."""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from holdpoint.doors.postgres.channel import Channel, ChannelClosed
from holdpoint.doors.postgres.direct import connect as connect_protocol
from holdpoint.model import limits
from holdpoint.model.upstream import ChannelBinding, SslMode, UpstreamUrl
from holdpoint.wire.postgres import frames, messages, scram, startup
from holdpoint.wire.postgres.errors import ProtocolError

if TYPE_CHECKING:
    from holdpoint.doors.postgres.opening import Opening

NONCE_BYTES: Final = 18

# Modes that give up when the server has no TLS.
TLS_REQUIRED: Final = frozenset({SslMode.REQUIRE, SslMode.VERIFY_CA, SslMode.VERIFY_FULL})


class UpstreamError(Exception):
    """The database cannot be reached or does not let us in; the text says which and why.

    ``fields`` are those of the server's own ErrorResponse, if it sent one.
    """

    def __init__(self, message: str, fields: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.fields = fields or {}


@dataclass(slots=True, kw_only=True)
class Upstream:
    """A connection that is ready for queries; ``parameters`` as the server reported them.

    ``opening`` is how its session began, once ``opening.open_session`` has asked.
    """

    channel: Channel
    url: UpstreamUrl
    pid: int = 0
    key: bytes = b""
    parameters: dict[str, str] = field(default_factory=dict)
    opening: Opening | None = None


async def connect(
    url: UpstreamUrl, settings: dict[str, str], cache: scram.KeyCache | None = None
) -> Upstream:
    """Open a session with ``settings``. Raises ``UpstreamError``."""
    try:
        async with asyncio.timeout(limits.UPSTREAM_CONNECT_TIMEOUT_S):
            channel = await open_channel(url)
            try:
                return await _sign_in(channel, url, settings, cache)
            except BaseException:
                channel.open_transport.abort()
                raise
    except TimeoutError as error:
        raise UpstreamError(
            f"no answer from {url.place} within {limits.UPSTREAM_CONNECT_TIMEOUT_S:g} s"
        ) from error
    except ChannelClosed as error:
        raise UpstreamError(f"{url.place} closed the connection") from error
    except ssl.SSLError as error:
        raise UpstreamError(f"TLS with {url.place} failed: {error.reason or error}") from error
    except OSError as error:
        raise UpstreamError(f"cannot connect to {url.place}: {error}") from error
    except ProtocolError as error:
        raise UpstreamError(f"{url.place}: {error.message}") from error


async def open_channel(url: UpstreamUrl) -> Channel:
    """Connect, inside TLS if the URL asks for it or the server offers it and it is preferred."""
    channel = Channel()
    connect_protocol(await _connected(url), channel)
    if url.is_socket or url.sslmode in (SslMode.DISABLE, SslMode.ALLOW):
        return channel
    channel.write(startup.ssl_request())
    answer = await channel.read(1)
    if answer == b"S":
        await channel.start_tls(tls_context(url), server_side=False, name=url.host)
    elif answer != b"N":
        raise UpstreamError(f"{url.place} is no PostgreSQL server: it answered {answer!r}")
    elif url.sslmode in TLS_REQUIRED:
        channel.open_transport.abort()
        raise UpstreamError(f"{url.place} has no TLS, and the URL asks for `{url.sslmode}`")
    return channel


async def _connected(url: UpstreamUrl) -> socket.socket:
    """Return a socket that is connected to the first address that answers."""
    loop = asyncio.get_running_loop()
    if url.is_socket:
        places: list[tuple[int, Any]] = [(socket.AF_UNIX, url.socket_path)]
    else:
        found = await loop.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
        places = [(family, address) for family, _, _, _, address in found]
    problem: OSError = OSError(f"`{url.host}` has no address")
    for family, address in places:
        connection = socket.socket(family, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            await loop.sock_connect(connection, address)
        except OSError as error:
            problem = error
            connection.close()
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise problem


def tls_context(url: UpstreamUrl) -> ssl.SSLContext:
    """Return the TLS settings that libpq would use (manual, section 34.19.1)."""
    context = ssl.create_default_context(cafile=url.sslrootcert or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    verified = url.sslmode in (SslMode.VERIFY_CA, SslMode.VERIFY_FULL) or (
        url.sslmode is SslMode.REQUIRE and bool(url.sslrootcert)
    )
    context.check_hostname = url.sslmode is SslMode.VERIFY_FULL
    context.verify_mode = ssl.CERT_REQUIRED if verified else ssl.CERT_NONE
    if url.sslcert:
        context.load_cert_chain(url.sslcert, url.sslkey or None)
    return context


async def _sign_in(
    channel: Channel, url: UpstreamUrl, settings: dict[str, str], cache: scram.KeyCache | None
) -> Upstream:
    parameters = {"user": url.user, "database": url.dbname or url.user, **settings}
    channel.write(startup.startup_message(parameters))
    await _authenticate(channel, url, cache)
    upstream = Upstream(channel=channel, url=url)
    while True:
        kind, payload = await channel.read_frame(limits.MESSAGE_BYTES_MAX)
        if kind == frames.PARAMETER_STATUS:
            status = messages.parse_parameter_status(payload)
            upstream.parameters[status.name] = status.value
        elif kind == frames.BACKEND_KEY_DATA:
            upstream.pid, upstream.key = messages.parse_backend_key_data(payload)
        elif kind == frames.READY_FOR_QUERY:
            return upstream
        elif kind == frames.ERROR_RESPONSE:
            raise _server_error(url, payload)
        elif kind != frames.NOTICE_RESPONSE:
            raise ProtocolError(f"unexpected message 0x{kind:02x} while a session starts")


async def _authenticate(channel: Channel, url: UpstreamUrl, cache: scram.KeyCache | None) -> None:
    client: scram.ScramClient | None = None
    verified = False
    while True:
        kind, payload = await channel.read_frame()
        if kind == frames.ERROR_RESPONSE:
            raise _server_error(url, payload)
        if kind == frames.NEGOTIATE_PROTOCOL_VERSION or kind == frames.NOTICE_RESPONSE:
            continue
        if kind != frames.AUTHENTICATION:
            raise ProtocolError(f"unexpected message 0x{kind:02x} while signing in")
        request = messages.parse_authentication(payload)
        if request.code == messages.AUTH_OK:
            if client is not None and not verified:
                raise ProtocolError("the server did not prove that it knows the password")
            _check_binding(url, client)
            return
        if request.code == messages.AUTH_SASL:
            client = _scram_client(channel, url, cache)
            required = url.channel_binding is ChannelBinding.REQUIRE
            mechanism = client.choose(request.mechanisms, required)
            channel.write(messages.sasl_initial_response(mechanism, client.first()))
        elif request.code == messages.AUTH_SASL_CONTINUE and client is not None:
            channel.write(messages.sasl_response(client.final(request.data)))
        elif request.code == messages.AUTH_SASL_FINAL and client is not None:
            client.verify(request.data)
            verified = True
        else:
            channel.write(_password(channel, url, request))


def _scram_client(
    channel: Channel, url: UpstreamUrl, cache: scram.KeyCache | None
) -> scram.ScramClient:
    if not url.password:
        raise ProtocolError("the server asks for a password, and the tier's URL has none")
    binding = None
    tls = channel.open_transport.get_extra_info("ssl_object")
    if tls is not None and url.channel_binding is not ChannelBinding.DISABLE:
        certificate = tls.getpeercert(binary_form=True)
        binding = scram.server_end_point(certificate) if certificate else None
    nonce = secrets.token_urlsafe(NONCE_BYTES)
    return scram.ScramClient("", url.password, nonce, binding, cache)


def _check_binding(url: UpstreamUrl, client: scram.ScramClient | None) -> None:
    if url.channel_binding is ChannelBinding.REQUIRE and client is None:
        raise ProtocolError("channel binding is required, and the server asked for no SCRAM")


def _password(channel: Channel, url: UpstreamUrl, request: messages.Authentication) -> bytes:
    if url.channel_binding is ChannelBinding.REQUIRE:
        raise ProtocolError("channel binding is required, and the server asked for no SCRAM")
    if request.code == messages.AUTH_MD5_PASSWORD:
        response = scram.md5_response(url.user, url.password, request.data)
        return messages.password_message(
            response.encode() if isinstance(response, str) else response
        )
    if request.code == messages.AUTH_CLEARTEXT_PASSWORD:
        encrypted = channel.open_transport.get_extra_info("ssl_object") is not None
        if not encrypted and not url.is_socket:
            raise ProtocolError(
                "the server asks for the password in clear text over an unencrypted connection",
                hint="use scram-sha-256 in pg_hba.conf, or TLS",
            )
        return messages.password_message(url.password.encode())
    raise ProtocolError(f"the server asks for authentication method {request.code}, not known here")


def _server_error(url: UpstreamUrl, payload: bytes) -> UpstreamError:
    fields = messages.parse_fields(payload)
    return UpstreamError(f"{url.place}: {fields.get('M', 'unknown error')}", fields)


async def cancel(url: UpstreamUrl, pid: int, key: bytes) -> None:
    """Ask the server to cancel what a session runs, and wait until it has been told to.

    There is no answer; the server closes the connection when it has sent the signal (manual,
    "Canceling Requests in Progress"). Raises ``OSError`` or ``UpstreamError`` when it could not be
    asked, ``TimeoutError`` when it may have been.
    """
    async with asyncio.timeout(limits.CANCEL_TIMEOUT_S):
        try:
            channel = await open_channel(url)
        except (ChannelClosed, ssl.SSLError, ProtocolError) as problem:
            raise UpstreamError(str(problem)) from problem
        try:
            channel.write(startup.cancel_request(pid, key))
            await channel.read(1)
        except ChannelClosed:
            pass
        finally:
            channel.open_transport.close()
