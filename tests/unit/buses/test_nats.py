"""The bus over a real NATS server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from accredit.buses.nats import NatsBus, NatsLink
from accredit.domain.subjects import Subject
from support.logs import capture_logs
from support.nats_server import NatsServer
from support.ports import free_port


class Process:
    def __init__(self, link: NatsLink, bus: NatsBus) -> None:
        self.link, self.bus = link, bus
        self.heard: list[str] = []
        bus.hear(Subject.OPERATION, self.heard.append)

    async def hears(self, word: str, say: Callable[[], None]) -> None:
        """Have it said until it is heard: who has just connected may not listen yet."""
        while word not in self.heard:
            say()
            await asyncio.sleep(0.05)


@asynccontextmanager
async def process(
    url: str, owner: str, scope: str = "0ne1", patience_s: float = 10
) -> AsyncIterator[Process]:
    link = NatsLink(url)
    await link.start(patience_s)
    bus = NatsBus(link, scope, owner)
    made = Process(link, bus)
    bus.start()
    try:
        yield made
    finally:
        await bus.stop()
        await link.close()


async def test_every_other_process_of_the_service_hears(nats: NatsServer) -> None:
    async with (
        process(nats.url, "a") as a,
        process(nats.url, "b") as b,
        process(nats.url, "c") as c,
        process(nats.url, "d", scope="0ne2") as stranger,
    ):
        await b.hears("o1", lambda: a.bus.tell(Subject.OPERATION, "o1"))
        await c.hears("o1", lambda: a.bus.tell(Subject.OPERATION, "o1"))
        a.bus.tell(Subject.RELEASES)
        await c.hears("o2", lambda: b.bus.tell(Subject.OPERATION, "o2"))
        assert "o1" not in a.heard
        assert stranger.heard == []


async def test_a_listener_that_fails_does_not_end_the_listening(nats: NatsServer) -> None:
    async with process(nats.url, "a") as a, process(nats.url, "b") as b:
        b.bus.hear(Subject.RELEASES, lambda _: 1 / 0)
        with capture_logs() as lines:
            while not any(line["event"] == "bus-word-failed" for line in lines):
                a.bus.tell(Subject.RELEASES)
                await asyncio.sleep(0.05)
        await b.hears("o1", lambda: a.bus.tell(Subject.OPERATION, "o1"))


async def test_it_comes_back_by_itself(nats: NatsServer) -> None:
    async with process(nats.url, "a") as a, process(nats.url, "b") as b:
        await b.hears("o1", lambda: a.bus.tell(Subject.OPERATION, "o1"))
        with capture_logs() as lines:
            nats.kill()
            while a.link.is_up or b.link.is_up:
                await asyncio.sleep(0.05)
            a.bus.tell(Subject.OPERATION, "lost")
            nats.start()
            await b.hears("o2", lambda: a.bus.tell(Subject.OPERATION, "o2"))
        assert "lost" not in b.heard
        assert {"bus-lost", "bus-back"} <= {line["event"] for line in lines}


async def test_a_server_that_starts_late_is_found(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    server.kill()
    async with process(server.url, "a", patience_s=0.1) as a, process(server.url, "b", patience_s=0.1) as b:
        assert not a.link.is_up
        server.start()
        try:
            await b.hears("o1", lambda: a.bus.tell(Subject.OPERATION, "o1"))
        finally:
            server.kill()


async def test_a_server_that_is_not_there_yet_is_waited_for_behind_the_start() -> None:
    with capture_logs() as lines:
        async with process(f"nats://127.0.0.1:{free_port()}", "a", patience_s=0.2) as a:
            assert not a.link.is_up
            a.bus.tell(Subject.OPERATION, "o1")
    assert [line["event"] for line in lines] == ["bus-lost"]
    assert "refused" in lines[0]["reason"].lower() or "Connect call failed" in lines[0]["reason"]
