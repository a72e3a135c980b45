"""The TLS transport against the standard library's client, on asyncio's own loop and on uvloop."""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from accredit.fronts.handshakes import Handshakes
from accredit.fronts.tls import TLSLimits
from support import pki
from support.logs import capture_logs
from support.tls_service import (
    TLS12,
    TLS13,
    Fronts,
    Recorder,
    client_context,
    closed,
    connected,
    credential_file,
    echoed,
    serving,
)
from support.waiting import LIMIT_S, until

both_versions = pytest.mark.parametrize("version", [TLS12, TLS13], ids=["1.2", "1.3"])


class TestChannelBindings:
    """What only the two ends know; that OpenSSL's client knows the same is seen in tests/e2e/test_est.py."""

    @both_versions
    async def test_each_connection_has_its_own(self, version: ssl.TLSVersion) -> None:
        fronts = Fronts()
        seen: list[tuple[bytes, ...]] = []
        async with serving(fronts) as listener:
            for number in range(2):
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", listener.port, ssl=client_context(version), server_hostname="localhost"
                )
                writer.write(b"ping")
                await reader.readexactly(4)
                transport = fronts.made[number].transport
                seen.append(transport.get_extra_info("channel_bindings"))
                if version is TLS12:
                    assert writer.get_extra_info("ssl_object").get_channel_binding("tls-unique") in seen[-1]
                writer.close()
                await writer.wait_closed()
                assert transport.get_extra_info("channel_bindings", "gone") == "gone"
        assert set(seen[0]).isdisjoint(seen[1])
        assert all(len(each) >= 32 or len(each) == 12 for each in (*seen[0], *seen[1]))


class TestClientCertificate:
    """Asked for, never demanded, never judged: what was sent is what is shown, leaf first."""

    @both_versions
    async def test_none_is_fine(self, version: ssl.TLSVersion) -> None:
        fronts = Fronts()
        async with serving(fronts) as listener:
            await echoed(listener.port, client_context(version))
            assert fronts.made[0].transport.get_extra_info("peer_chain") == ()

    @both_versions
    async def test_an_unknown_self_signed_one_is_shown(self, version: ssl.TLSVersion, tmp_path: Path) -> None:
        device = pki.root("device-1", ca=False)
        fronts = Fronts()
        async with serving(fronts) as listener:
            await echoed(listener.port, client_context(version, credential_file(tmp_path, device)))
            assert fronts.made[0].transport.get_extra_info("peer_chain") == (device.der,)

    @both_versions
    async def test_a_chain_of_three_is_shown_whole_and_once(
        self, version: ssl.TLSVersion, tmp_path: Path
    ) -> None:
        authority = pki.root("maker")
        line = authority.intermediate("line")
        device = line.issue("device-1")
        fronts = Fronts()
        async with serving(fronts) as listener:
            credential = credential_file(tmp_path, device, line, authority)
            await echoed(listener.port, client_context(version, credential))
            assert fronts.made[0].transport.get_extra_info("peer_chain") == (
                device.der,
                line.der,
                authority.der,
            )

    @pytest.mark.parametrize("flaw", ["expired", "not-yet", "server-only", "a-ca", "wrong-issuer"])
    async def test_even_a_bad_one_reaches_the_judge(self, flaw: str, tmp_path: Path) -> None:
        authority = pki.root("maker")
        device = {
            "expired": lambda: authority.issue("d", not_before=1_000_000_000, not_after=1_100_000_000),
            "not-yet": lambda: authority.issue("d", not_before=4_000_000_000, not_after=4_100_000_000),
            "server-only": lambda: authority.issue("d", purposes=[pki.ExtendedKeyUsageOID.SERVER_AUTH]),
            "a-ca": lambda: authority.issue("d", ca=True),
            "wrong-issuer": lambda: pki.root("maker").issue("d"),
        }[flaw]()
        fronts = Fronts()
        async with serving(fronts) as listener:
            await echoed(listener.port, client_context(TLS12, credential_file(tmp_path, device, authority)))
            chain = fronts.made[0].transport.get_extra_info("peer_chain")
            assert chain == (device.der, authority.der)

    @pytest.mark.parametrize(
        "limits", [TLSLimits(chain_certificates=2), TLSLimits(chain_bytes=500)], ids=["count", "bytes"]
    )
    async def test_a_chain_beyond_the_limit_reaches_nobody(self, limits: TLSLimits, tmp_path: Path) -> None:
        authority = pki.root("maker")
        line = authority.intermediate("line")
        credential = credential_file(tmp_path, line.issue("d"), line, authority)
        fronts = Fronts()
        with capture_logs() as logs:
            async with serving(fronts, limits) as listener:
                with pytest.raises((OSError, asyncio.IncompleteReadError)):
                    await echoed(listener.port, client_context(TLS13, credential))
        assert fronts.made == []
        assert logs[0]["reason"] == "the client's certificate chain is too long"


class TestStrangers:
    """What is no TLS client gets no front, and its bytes and silence are bounded."""

    @pytest.mark.parametrize(
        "noise",
        [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x10\x0c\x00\x04MQTT\x04\x02\x00<\x00\x00", b"\x00" * 5000],
    )
    async def test_garbage_ends_the_connection(self, noise: bytes) -> None:
        fronts = Fronts()
        with capture_logs() as logs:
            async with serving(fronts) as listener:
                reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
                writer.write(noise)
                await rest(reader)
                await closed(writer)
        assert fronts.made == []
        assert [each["event"] for each in logs] == ["tls-handshake-failed"]

    @pytest.mark.parametrize("begun", [b"", b"\x16\x03\x01\x02\x00\x01"])
    async def test_silence_ends_the_connection(self, begun: bytes) -> None:
        fronts = Fronts()
        async with serving(fronts, TLSLimits(handshake_s=0.01)) as listener:
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            writer.write(begun)
            await rest(reader)
            await closed(writer)
        assert fronts.made == []

    async def test_a_handshake_without_end_is_cut(self) -> None:
        fronts = Fronts()
        with capture_logs() as logs:
            async with serving(fronts, TLSLimits(handshake_bytes=4096)) as listener:
                reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
                # A ClientHello that claims 16 MB, in record after record.
                record = b"\x16\x03\x01\x10\x00"
                writer.write(record + b"\x01\xff\xff\xff" + b"\x00" * 4092)
                await rest(reader)
                await closed(writer)
        assert fronts.made == []
        assert len(logs) == 1

    async def test_a_client_that_leaves_in_the_handshake_is_forgotten(self) -> None:
        fronts = Fronts()
        async with serving(fronts) as listener:
            _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            writer.write(b"\x16\x03\x01\x02\x00\x01")
            await closed(writer)
        assert fronts.made == []
        assert listener.connections == 0

    async def test_a_record_that_was_tampered_with_ends_the_connection(self) -> None:
        fronts = Fronts()
        with capture_logs() as logs:
            async with serving(fronts) as listener:
                reader, writer = await connected(listener.port)
                writer.write(b"x")
                await reader.readexactly(1)
                raw = writer.get_extra_info("socket")
                raw = socket.socket(fileno=socket.dup(raw.fileno()))
                raw.setblocking(True)
                raw.sendall(b"\x17\x03\x03\x00\x20" + b"\x00" * 32)
                await asyncio.wait_for(fronts.made[0].ended.wait(), 30)
                raw.close()
                await closed(writer)
        assert logs[0]["event"] == "tls-connection-failed"


async def rest(reader: asyncio.StreamReader) -> bytes:
    """What still comes until the server ends the connection, by whatever means."""
    received = bytearray()
    try:
        while chunk := await reader.read(65_536):
            received += chunk
    except OSError:
        pass
    return bytes(received)


class TestBytes:
    """Bytes up and down, and who waits for whom."""

    @both_versions
    async def test_eight_megabytes_come_back(self, version: ssl.TLSVersion) -> None:
        sent = bytes(range(256)) * 32_768
        fronts = Fronts()
        async with serving(fronts) as listener:
            reader, writer = await connected(listener.port, client_context(version))

            async def send() -> None:
                writer.write(sent)
                await writer.drain()

            sending = asyncio.create_task(send())
            assert await reader.readexactly(len(sent)) == sent
            await sending
            await closed(writer)

    async def test_a_slow_reader_pauses_the_front_and_resumes_it(self) -> None:
        class Sender(Recorder):
            def data_received(self, data: bytes) -> None:
                self.transport.write(b"x" * 8_000_000)

            def pause_writing(self) -> None:
                self.told.append("pause")
                self.heard.set()

            def resume_writing(self) -> None:
                self.told.append("resume")

        fronts = Fronts(Sender)
        async with serving(fronts) as listener:
            reader, writer = await connected(listener.port)
            writer.transport.pause_reading()
            writer.write(b"go")
            while not fronts.made:
                await asyncio.sleep(0)
            await fronts.made[0].heard.wait()
            assert fronts.made[0].transport.get_write_buffer_size() > 0
            writer.transport.resume_reading()
            assert len(await reader.readexactly(8_000_000)) == 8_000_000
            assert fronts.made[0].told == ["made", "pause", "resume"]
            await closed(writer)

    async def test_a_reader_that_stalls_is_cut(self) -> None:
        class Sender(Recorder):
            def data_received(self, data: bytes) -> None:
                self.transport.write(b"x" * 8_000_000)

        fronts = Fronts(Sender)
        async with serving(fronts, TLSLimits(stall_s=0.01)) as listener:
            _, writer = await connected(listener.port)
            writer.transport.pause_reading()
            writer.write(b"go")
            while not fronts.made:
                await asyncio.sleep(0)
            await asyncio.wait_for(fronts.made[0].ended.wait(), 30)
            await closed(writer)

    async def test_a_stalling_reader_does_not_hold_a_closed_connection(self) -> None:
        class SayAndClose(Recorder):
            def data_received(self, data: bytes) -> None:
                self.transport.write(b"x" * 8_000_000)
                self.transport.close()

        fronts = Fronts(SayAndClose)
        async with serving(fronts, TLSLimits(stall_s=0.01)) as listener:
            _, writer = await connected(listener.port)
            writer.transport.pause_reading()
            writer.write(b"go")
            while not fronts.made:
                await asyncio.sleep(0)
            await asyncio.wait_for(fronts.made[0].ended.wait(), 30)
            await closed(writer)

    async def test_what_was_written_before_close_arrives_and_ends_in_order(self) -> None:
        class SayAndClose(Recorder):
            def data_received(self, data: bytes) -> None:
                self.transport.write(b"y" * 3_000_000)
                self.transport.close()
                self.transport.write(b"too late")
                assert self.transport.is_closing()

        async with serving(Fronts(SayAndClose)) as listener:

            def all_of_it(port: int) -> bytes:
                with (
                    socket.create_connection(("127.0.0.1", port)) as raw,
                    # Without a close_notify this client raises instead of returning b"".
                    client_context().wrap_socket(
                        raw, server_hostname="localhost", suppress_ragged_eofs=False
                    ) as tls,
                ):
                    tls.sendall(b"go")
                    received = bytearray()
                    while chunk := tls.recv(65_536):
                        received += chunk
                    return bytes(received)

            assert await asyncio.to_thread(all_of_it, listener.port) == b"y" * 3_000_000

    async def test_nothing_is_delivered_while_the_front_pauses(self) -> None:
        class Sip(Recorder):
            """Takes one record, then pauses until told."""

            def data_received(self, data: bytes) -> None:
                self.received += data
                self.transport.pause_reading()
                self.heard.set()

        fronts = Fronts(Sip)
        async with serving(fronts) as listener:
            _, writer = await connected(listener.port)
            tls = writer.transport
            for _ in range(3):
                tls.write(b"a" * 100)  # three records, most likely in one segment
            while not fronts.made:
                await asyncio.sleep(0)
            front = fronts.made[0]
            for expected in (100, 200, 300):
                await front.heard.wait()
                front.heard.clear()
                assert len(front.received) == expected
                assert not front.transport.is_reading()
                front.transport.resume_reading()
            await closed(writer)

    @both_versions
    @pytest.mark.parametrize("pieces", [(1,), (3, 4, 1), (7, 100), (29, 30, 31), (4_000,)])
    async def test_records_may_come_in_any_pieces(
        self, version: ssl.TLSVersion, pieces: tuple[int, ...]
    ) -> None:
        """Some, all or part of several records in one segment: nothing waits for a segment that never comes."""
        fronts = Fronts()
        async with serving(fronts) as listener:
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = client_context(version).wrap_bio(incoming, outgoing, server_hostname="localhost")
            sizes = itertools.cycle(pieces)

            async def send() -> None:
                waiting = outgoing.read()
                while waiting:
                    size = next(sizes)
                    writer.write(waiting[:size])
                    await writer.drain()
                    waiting = waiting[size:]

            async def until(step: Callable[[], bytes | None]) -> bytes | None:
                while True:
                    try:
                        return step()
                    except ssl.SSLWantReadError:
                        await send()
                        incoming.write(await reader.read(65_536))

            await until(client.do_handshake)
            for number in range(20):
                client.write(b"%d," % number * (number + 1))
            expected = b"".join(b"%d," % number * (number + 1) for number in range(20))
            await send()
            echoed_back = b""
            while len(echoed_back) < len(expected):
                echoed_back += await until(lambda: client.read(65_536)) or b""
            assert echoed_back == expected
            await closed(writer)

    async def test_answers_to_one_segment_leave_together(self) -> None:
        class Chatty(Recorder):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                self.transport.write(b"welcome,")

            def data_received(self, data: bytes) -> None:
                self.transport.writelines([b"one,", bytearray(b"two,"), memoryview(b"three")])

        async with serving(Fronts(Chatty)) as listener:
            reader, writer = await connected(listener.port)
            writer.write(b"go")
            assert await reader.readexactly(21) == b"welcome,one,two,three"
            await closed(writer)


class TestEnds:
    """Close_notify, TCP's FIN, and the two of them apart."""

    @both_versions
    @pytest.mark.parametrize("goes_on", [False, True])
    async def test_a_client_that_half_closes_can_still_be_answered(
        self, version: ssl.TLSVersion, goes_on: bool
    ) -> None:
        class Later(Recorder):
            def data_received(self, data: bytes) -> None:
                self.received += data

            def eof_received(self) -> bool:
                self.told.append("eof")
                if goes_on:
                    asyncio.get_running_loop().call_soon(self.answer)
                return goes_on

            def answer(self) -> None:
                self.transport.write(b"your answer")
                self.transport.close()

        def half_closed(port: int) -> bytes:
            with socket.create_connection(("127.0.0.1", port)) as raw:
                tls = client_context(version).wrap_socket(raw, server_hostname="localhost")
                tls.sendall(b"question")
                socket.socket.shutdown(tls, socket.SHUT_WR)
                received = bytearray()
                while chunk := tls.recv(1000):
                    received += chunk
                tls.close()
                return bytes(received)

        fronts = Fronts(Later)
        async with serving(fronts) as listener:
            answer = await asyncio.to_thread(half_closed, listener.port)
            await asyncio.wait_for(fronts.made[0].ended.wait(), 30)
        assert answer == (b"your answer" if goes_on else b"")
        assert fronts.made[0].told == ["made", "eof", "lost"]

    async def test_close_notify_is_the_end_for_a_front_that_does_not_go_on(self) -> None:
        def unwrapped(port: int) -> None:
            with (
                socket.create_connection(("127.0.0.1", port)) as raw,
                client_context().wrap_socket(raw, server_hostname="localhost") as tls,
            ):
                tls.sendall(b"x")
                assert tls.recv(1) == b"x"
                tls.unwrap()  # returns only when the server's close_notify came

        fronts = Fronts()
        async with serving(fronts) as listener:
            await asyncio.to_thread(unwrapped, listener.port)
            await asyncio.wait_for(fronts.made[0].ended.wait(), 30)
        assert fronts.made[0].told == ["made", "eof", "lost"]

    async def test_an_aborted_connection_is_lost_once(self) -> None:
        fronts = Fronts()
        async with serving(fronts) as listener:
            reader, writer = await connected(listener.port)
            writer.write(b"x")
            await reader.readexactly(1)
            fronts.made[0].transport.abort()
            await fronts.made[0].ended.wait()
            fronts.made[0].transport.write(b"nobody reads this")
            fronts.made[0].transport.close()
            await closed(writer)
        assert fronts.made[0].told == ["made", "lost"]

    async def test_an_answer_before_the_end_of_the_question_is_read(self) -> None:
        class Impatient(Recorder):
            def data_received(self, data: bytes) -> None:
                if not self.transport.is_closing():
                    self.transport.write(b"enough")
                    self.transport.linger()

        def long_winded(port: int) -> bytes:
            with (
                socket.create_connection(("127.0.0.1", port)) as raw,
                client_context().wrap_socket(raw, server_hostname="localhost") as tls,
            ):
                tls.sendall(b"z" * 2_000_000)
                return tls.recv(100)

        fronts = Fronts(Impatient)
        async with serving(fronts) as listener:
            assert await asyncio.to_thread(long_winded, listener.port) == b"enough"
            await asyncio.wait_for(fronts.made[0].ended.wait(), 30)

    @pytest.mark.parametrize(
        "limits", [TLSLimits(linger_s=0.01), TLSLimits(linger_bytes=10_000)], ids=["time", "bytes"]
    )
    async def test_lingering_has_an_end(self, limits: TLSLimits) -> None:
        class Impatient(Recorder):
            def data_received(self, data: bytes) -> None:
                self.transport.linger()

        fronts = Fronts(Impatient)
        async with serving(fronts, limits) as listener:
            _, writer = await connected(listener.port)
            writer.write(b"z" * 100_000)
            while not fronts.made:
                await asyncio.sleep(0)
            writer.write(b"z" * 1_000_000)
            await asyncio.wait_for(fronts.made[0].ended.wait(), 30)
            await closed(writer)

    async def test_a_front_that_fails_takes_only_its_connection_down(self) -> None:
        class Faulty(Recorder):
            def data_received(self, data: bytes) -> None:
                raise RuntimeError("a defect")

        told: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        fronts = Fronts(Faulty)
        async with serving(fronts) as listener:
            reader, writer = await connected(listener.port)
            writer.write(b"x")
            assert await rest(reader) == b""
            await closed(writer)
            assert fronts.made[0].told == ["made", "lost"]
            assert str(told[0]["exception"]) == "a defect"


class TestTurns:
    """Where many come at once, handshakes wait for each other (`fronts/handshakes.py`)."""

    async def test_who_waits_is_served_when_another_is_done_and_loses_nothing(self) -> None:
        fronts, handshakes = Fronts(), Handshakes(1, turn_s=3_600)
        async with serving(fronts, handshakes=handshakes) as listener:
            stalled = await _said_hello(listener.port)
            await until(lambda: handshakes.going_on == 1)
            waiting = [asyncio.create_task(echoed(listener.port, client_context())) for _ in range(5)]
            await until(lambda: handshakes.waiting == 5)
            assert fronts.made == []
            stalled.close()
            await asyncio.wait_for(asyncio.gather(*waiting), 30)
            await until(lambda: handshakes.going_on == 0)
            assert len(fronts.made) == 5

    async def test_a_handshake_that_fails_gives_its_turn_away(self) -> None:
        fronts, handshakes = Fronts(), Handshakes(1, turn_s=3_600)
        async with serving(fronts, handshakes=handshakes) as listener:
            for _ in range(3):
                _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
                writer.write(b"GET / HTTP/1.0\r\n\r\n")
                await echoed(listener.port, client_context())
                await closed(writer)
            await until(lambda: handshakes.going_on == handshakes.waiting == 0)

    async def test_who_stalls_in_its_turn_is_cut_and_the_next_goes_on(self) -> None:
        fronts, handshakes = Fronts(), Handshakes(1, turn_s=3_600)
        async with serving(fronts, limits=TLSLimits(handshake_s=0.3), handshakes=handshakes) as listener:
            stalled = [await _said_hello(listener.port) for _ in range(3)]
            while not fronts.made:
                # On a busy machine a good handshake takes too long as well.
                with suppress(OSError, EOFError):
                    await asyncio.wait_for(echoed(listener.port, client_context()), LIMIT_S)
            for writer in stalled:
                await closed(writer)

    async def test_who_stalls_keeps_others_waiting_for_a_turn_at_most(self) -> None:
        fronts, handshakes = Fronts(), Handshakes(1, turn_s=0.1)
        async with serving(fronts, limits=TLSLimits(handshake_s=3_600), handshakes=handshakes) as listener:
            stalled = [await _said_hello(listener.port) for _ in range(3)]
            await asyncio.wait_for(echoed(listener.port, client_context()), 30)
            for writer in stalled:
                await closed(writer)

    async def test_who_says_nothing_takes_no_turn(self) -> None:
        fronts, handshakes = Fronts(), Handshakes(1, turn_s=3_600)
        async with serving(fronts, handshakes=handshakes) as listener:
            silent = [await asyncio.open_connection("127.0.0.1", listener.port) for _ in range(5)]
            await echoed(listener.port, client_context())
            assert handshakes.waiting == 0
            for _, writer in silent:
                await closed(writer)

    async def test_who_leaves_while_waiting_or_says_too_much_is_forgotten(self) -> None:
        fronts, handshakes = Fronts(), Handshakes(1, turn_s=3_600)
        limits = TLSLimits(handshake_bytes=4_096)
        async with serving(fronts, limits=limits, handshakes=handshakes) as listener:
            stalled = await _said_hello(listener.port)
            await until(lambda: handshakes.going_on == 1)
            leaves, talks = await _said_hello(listener.port), await _said_hello(listener.port)
            await until(lambda: handshakes.waiting == 2)
            leaves.close()
            talks.write(bytes(5_000))
            await until(lambda: handshakes.waiting == 0)
            await closed(talks)
            await closed(stalled)


async def _said_hello(port: int) -> asyncio.StreamWriter:
    """A client that says the first word of its handshake, and nothing more."""
    outgoing = ssl.MemoryBIO()
    tls = client_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(outgoing.read())
    return writer
