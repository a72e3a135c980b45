"""An HTTP/1.1 server on loopback for the fakes of CAs: it reads calls whole, and can break off, hang or never stop.

Needs nothing but the standard library. A fake is a subclass that says what is answered; `Scripted` answers what it is told.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import deque
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qs, urlsplit

from support import passing_time


@dataclass
class Answer:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


def document(status: int, content: object, **headers: str) -> Answer:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, json.dumps(content).encode(), names)


@dataclass
class Call:
    """One HTTP request, read whole."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


class FakeHTTP:
    """`calls` is what the test looks at afterwards. While `answers` is cleared, it keeps them.

    What hangs lets `silent_s` pass at once, see `passing_time`.
    """

    def __init__(self, *, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self._port, self._tls = port, tls
        self.calls: list[Call] = []
        self.delay_s = 0.0
        self.answers = asyncio.Event()
        self.answers.set()
        self.silent_s = passing_time.SILENCE_S
        self._server: asyncio.Server | None = None
        self._hung: set[asyncio.Task[None]] = set()

    def answer(self, call: Call) -> tuple[str | None, Answer]:
        """What is answered, and how it is spoiled on its way: see `_respond`."""
        raise NotImplementedError

    def administered(self, call: Call) -> Answer:
        """What is answered under /_fake/."""
        return Answer(404, b"")

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://localhost:{self.port}"

    @property
    def port(self) -> int:
        assert self._server is not None
        return self._server.sockets[0].getsockname()[1]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, ssl=self._tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._hung):
            task.cancel()
        await asyncio.gather(*self._hung, return_exceptions=True)
        await self._server.wait_closed()

    # HTTP.

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._hung.add(task)
        try:
            while (call := await self._read(reader)) is not None and await self._respond(call, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ssl.SSLError):
            pass
        except asyncio.CancelledError:
            pass
        finally:
            self._hung.discard(task)
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Call | None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except asyncio.IncompleteReadError:
            return None
        method, target, _ = head[0].split(" ")
        headers = {}
        for line in head[1:]:
            if line:
                name, _, value = line.partition(":")
                headers[name.strip().lower()] = value.strip()
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        return Call(method, parts.path.rstrip("/"), query, headers, body)

    async def _respond(self, call: Call, writer: asyncio.StreamWriter) -> bool:
        """Answer one call; False when the connection is over."""
        if call.path.startswith("/_fake/"):
            await self._send(writer, self.administered(call))
            return True
        self.calls.append(call)
        fault, answer = self.answer(call)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        await self.answers.wait()
        match fault:
            case "drop-before" | "drop-after":
                writer.transport.abort()
                return False
            case "drop-mid-answer":
                await self._send(writer, answer, cut=len(answer.body) // 2)
                writer.transport.abort()
                return False
            case "not-http":
                writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
                await writer.drain()
                return False
            case "hang-after":
                await passing_time.silence(self.silent_s)
            case "huge":
                await self._send_huge(writer)
                return False
        await self._send(writer, answer)
        return True

    async def _send(self, writer: asyncio.StreamWriter, answer: Answer, cut: int | None = None) -> None:
        lines = [
            f"HTTP/1.1 {answer.status} Answer",
            f"Content-Type: {answer.content_type}",
            f"Content-Length: {len(answer.body)}",
            "Set-Cookie: session=1; Path=/",
            *(f"{name}: {value}" for name, value in answer.headers.items()),
        ]
        body = answer.body if cut is None else answer.body[:cut]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await writer.drain()

    async def _send_huge(self, writer: asyncio.StreamWriter) -> None:
        size = 100 * 1024 * 1024
        writer.write(
            f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n".encode()
        )
        for _ in range(size // 65_536):
            writer.write(b" " * 65_536)
            await writer.drain()


class Scripted(FakeHTTP):
    """Gives the answers in `script`, in turn; the last one stays. A text is a way to break off."""

    def __init__(self, *script: Answer | str) -> None:
        super().__init__()
        self.script = deque(script)

    def answer(self, call: Call) -> tuple[str | None, Answer]:
        told = self.script[0] if len(self.script) == 1 else self.script.popleft()
        return (told, Answer(200, b"{}")) if isinstance(told, str) else (None, told)
