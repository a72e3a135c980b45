"""Pools of connections to addresses that the rules allow, and an exchange over one of them."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import httpcore

from accredit.domain.secret import Secret
from accredit.egress.answers import AnswerLost, HTTPAnswer, NotSent
from accredit.egress.tls import tls_context
from accredit.policy.destinations import BadDestination, Destination, EgressRules, destination

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

KEEP_ALIVE_S = 15.0
_MAX_ADDRESSES = 4

_HEADER_VALUE = re.compile(rb"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


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


class Pools:
    """One pool for https, and one for http where the rules allow that."""

    def __init__(
        self,
        rules: EgressRules,
        tls: ssl.SSLContext | None,
        resolve: Resolve,
        max_connections: int,
        max_answer_bytes: int,
    ) -> None:
        context = tls if tls is not None else tls_context()
        self._max_answer_bytes = max_answer_bytes
        self._pools = {
            scheme: httpcore.AsyncConnectionPool(
                ssl_context=context,
                max_connections=max_connections,
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
        headers: Mapping[str, str | Secret],
        body: bytes,
        deadline_s: float,
        connect_s: float,
    ) -> HTTPAnswer:
        """As `Egress.exchange`."""
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
