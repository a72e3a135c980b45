"""Who calls: a pool of connections under the rules. What speaks HTTP is loaded by the first call."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from accredit.domain.secret import Secret
from accredit.egress.answers import HTTPAnswer
from accredit.policy.destinations import EgressRules

if TYPE_CHECKING:
    from accredit.egress.pools import Pools

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

MAX_ANSWER_BYTES = 1_048_576
MAX_CONNECTIONS = 16


async def resolved(host: str, port: int) -> Sequence[str]:
    """The system's addresses of a host, in its order."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


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
        self._rules = rules
        self._tls = tls
        self._resolve = resolve
        self._max_answer_bytes = max_answer_bytes

    @cached_property
    def _pools(self) -> Pools:
        from accredit.egress.pools import Pools  # noqa: PLC0415 - a service that calls nobody starts without

        return Pools(self._rules, self._tls, self._resolve, MAX_CONNECTIONS, self._max_answer_bytes)

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
        return await self._pools.exchange(method, url, headers, body, deadline_s, connect_s)

    async def close(self) -> None:
        if "_pools" in self.__dict__:
            await self._pools.close()
