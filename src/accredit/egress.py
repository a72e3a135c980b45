"""Outbound HTTP: where the service may connect to, and an exchange that knows whether anything was sent.

A host name is resolved once, every address is judged by the rules, and the connection goes to a judged address while
TLS and the `Host` header keep the name: a second, different DNS answer can't redirect it. No redirects, cookies,
content codings or proxy environment exist on this path, and answers are cut at a size limit.

Whether a failed call has left bytes at the peer decides what may be done next: `NotSent` says that the peer can't
have acted, `AnswerLost` that it may have. Nothing here knows what is being asked, retries, or logs.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import certifi
import httpcore

from accredit.domain.secret import Secret
from accredit.policy.destinations import BadDestination, Destination, EgressRules, destination

__all__ = [
    "AnswerLost",
    "ClientIdentity",
    "Egress",
    "EgressRules",
    "HTTPAnswer",
    "NotSent",
    "resolved",
    "tls_context",
]

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

MAX_ANSWER_BYTES = 1_048_576
MAX_CONNECTIONS = 16
KEEP_ALIVE_S = 15.0
_MAX_ADDRESSES = 4

_HEADER_VALUE = re.compile(rb"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


class NotSent(Exception):
    """Nothing of the request left this process; `refused` when our own rules forbid it, so that a retry is vain."""

    def __init__(self, reason: str, *, refused: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.refused = refused


class AnswerLost(Exception):
    """The request was sent, at least in part, and no usable answer came: the peer may have acted on it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """What is shown to a peer that asks for a client certificate: PEM, leaf first, and the leaf's unencrypted key."""

    certificate_pem: str
    key_pem: Secret


@dataclass(frozen=True, slots=True)
class HTTPAnswer:
    """A complete answer. `retry_after` is the header as sent; `headers` are all of them, by their names in lower case."""

    status: int
    content_type: str
    retry_after: str | None
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


async def resolved(host: str, port: int) -> Sequence[str]:
    """The system's addresses of a host, in its order."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class _Stream(httpcore.AsyncNetworkStream):
    """A connection that is closed when its handshake is given up: the library leaves it open where it is cancelled."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's signature
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's signature
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
    ) -> httpcore.AsyncNetworkStream:
        try:
            return await self._stream.start_tls(ssl_context, server_hostname, timeout)
        except BaseException:
            await self._stream.aclose()
            raise


class _Pinned(httpcore.AsyncNetworkBackend):
    """Connects to addresses that the rules allow, and to nothing else."""

    def __init__(self, rules: EgressRules, resolve: Resolve, *, plain: bool) -> None:
        self._rules = rules
        self._resolve = resolve
        self._plain = plain
        self._sockets = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        async with asyncio.timeout(timeout):
            *others, last = await self._addresses(host, port)
            # Each address gets its share, so that one that swallows packets does not starve the next.
            share = None if timeout is None else timeout / (len(others) + 1)
            for address in others:
                with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                    return _Stream(
                        await self._sockets.connect_tcp(address, port, share, local_address, socket_options)
                    )
            return _Stream(await self._sockets.connect_tcp(last, port, share, local_address, socket_options))

    async def _addresses(self, host: str, port: int) -> list[str]:
        name = host.lower().rstrip(".")
        try:
            found = [ipaddress.ip_address(text) for text in await self._resolve(name, port)]
        except (OSError, ValueError):
            raise NotSent(f"{name} does not resolve to an address") from None
        judged = [
            (address, self._rules.objection(plain=self._plain, host=name, port=port, address=address))
            for address in found
        ]
        allowed = [str(address) for address, objection in judged if objection is None]
        if allowed:
            return allowed[:_MAX_ADDRESSES]
        if judged:
            raise NotSent(f"{name}:{port} is {judged[0][1]}", refused=True)
        raise NotSent(f"{name} does not resolve to an address")


class Egress:
    """One pool of connections under the rules: each authority has its own, so that none can exhaust another's."""

    def __init__(
        self,
        rules: EgressRules,
        *,
        tls: ssl.SSLContext | None = None,
        resolve: Resolve = resolved,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        context = tls if tls is not None else tls_context()
        self._max_answer_bytes = max_answer_bytes
        self._pools = {
            scheme: httpcore.AsyncConnectionPool(
                ssl_context=context,
                max_connections=MAX_CONNECTIONS,
                keepalive_expiry=KEEP_ALIVE_S,
                http1=True,
                http2=False,
                network_backend=_Pinned(rules, resolve, plain=scheme == "http"),
            )
            for scheme in ("https", "http")
        }

    async def exchange(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str | Secret],
        body: bytes = b"",
        deadline_s: float,
        connect_s: float,
    ) -> HTTPAnswer:
        """One request, one answer, whatever its status. Raises NotSent or AnswerLost."""
        target = _target(url)
        fields = _fields(headers)
        sent = False

        async def trace(event: str, _: dict[str, Any]) -> None:
            nonlocal sent
            sent = sent or event.startswith("http11.send_request")

        timeouts = {
            "connect": min(connect_s, deadline_s),
            "pool": deadline_s,
            "read": deadline_s,
            "write": deadline_s,
        }
        extensions = {"timeout": timeouts, "trace": trace}
        try:
            async with (
                asyncio.timeout(deadline_s),
                self._pools[target.scheme].stream(
                    method, url, headers=fields, content=body or None, extensions=extensions
                ) as response,
            ):
                return await self._collected(response)
        except (httpcore.TimeoutException, TimeoutError):
            failure = f"no answer within {deadline_s:g} s" if sent else "no connection in time"
        except httpcore.ProtocolError:
            # The library's text may quote what it choked on, a header with a key in it included.
            failure = "the connection ended early or what came is not HTTP" if sent else "no HTTP connection"
        except (httpcore.NetworkError, OSError) as error:
            failure = f"the connection failed ({_cause(error)})"
        raise AnswerLost(failure) if sent else NotSent(failure)

    async def close(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()

    async def _collected(self, response: httpcore.Response) -> HTTPAnswer:
        headers = {name.lower(): value.decode("latin-1") for name, value in response.headers}
        if headers.get(b"content-encoding", "identity").lower() != "identity":
            raise AnswerLost("the answer has a content coding that was not asked for")
        parts: list[bytes] = []
        size = 0
        async for part in response.aiter_stream():
            size += len(part)
            if size > self._max_answer_bytes:
                raise AnswerLost(f"the answer is longer than {self._max_answer_bytes} bytes")
            parts.append(part)
        content_type = headers.get(b"content-type", "").partition(";")[0].strip().lower()
        named = {name.decode("latin-1"): value for name, value in headers.items()}
        return HTTPAnswer(response.status, content_type, named.get("retry-after"), b"".join(parts), named)


def _target(url: str) -> Destination:
    try:
        return destination(url)
    except BadDestination as error:
        raise NotSent(str(error), refused=True) from None


def _fields(headers: Mapping[str, str | Secret]) -> list[tuple[bytes, bytes]]:
    """Header fields as bytes; raises NotSent, which names the field and never its value."""
    fields = [(b"Accept-Encoding", b"identity")]
    for name, value in headers.items():
        raw = value.reveal() if isinstance(value, Secret) else value.encode("latin-1", "replace")
        if not _HEADER_VALUE.fullmatch(raw):
            raise NotSent(f"the value of {name} can't be sent in an HTTP header", refused=True)
        fields.append((name.encode("ascii"), raw))
    return fields


def _cause(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:200]


def tls_context(extra_trust_pem: str = "", identity: ClientIdentity | None = None) -> ssl.SSLContext:
    """TLS for a client: the system's trust (certifi's where it has none), what is given beside it, and who we are.

    Raises ValueError when the identity's certificate and key can't be used together.
    """
    # Not ssl.create_default_context(): that one obeys SSLKEYLOGFILE.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    paths = ssl.get_default_verify_paths()
    if paths.cafile or (paths.capath and any(Path(paths.capath).iterdir())):
        context.load_default_certs()
    else:
        context.load_verify_locations(certifi.where())
    if extra_trust_pem:
        # An anchor may be an issuing CA: what the operator trusts is trusted as it is.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=extra_trust_pem)
    if identity is not None:
        _show(context, identity)
    return context


def _show(context: ssl.SSLContext, identity: ClientIdentity) -> None:
    # The library takes a file only: one of this user alone, gone as soon as it is read.
    with NamedTemporaryFile() as file:
        file.write(identity.certificate_pem.encode() + b"\n" + identity.key_pem.reveal())
        file.flush()
        try:
            context.load_cert_chain(file.name)
        except (ssl.SSLError, OSError):
            raise ValueError("the client certificate and its key can't be used together") from None
