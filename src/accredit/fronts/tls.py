"""TLS for every front: the transport between a socket and whatever is spoken over it.

The transport is an asyncio protocol towards the socket and an asyncio transport towards the front above it. It works
on pyOpenSSL memory BIOs because the standard library's `ssl` ends the handshake of a client whose certificate it
does not know, and here each enrollment judges for itself. TLS shows the client's chain, leaf first, and proves that
the client holds the leaf's key; it decides nothing about trust.

Versions, ciphers and the rest of the context are `fronts/tls_context.py`'s. This file knows nothing of what is spoken above it, and neither binds nor accepts.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Any, cast

from OpenSSL import SSL, crypto

from accredit.fronts.handshakes import Handshakes
from accredit.observe import log
from accredit.values import dataclass

_READ_BYTES = 16_384
"""A TLS record's largest content: one SSL_read never returns more."""

_HEADER_BYTES = 5
"""Of a TLS record: type, version, length."""

_FLUSH_BYTES = 65_536
"""While bytes are being delivered upwards, answers are gathered up to this many before they go to the socket."""


@dataclass(frozen=True, slots=True)
class TLSLimits:
    """Deadlines in seconds and sizes in bytes. `stall_s`: how long a peer may leave our answers unread."""

    handshake_s: float = 10.0
    handshake_bytes: int = 128 * 1024
    chain_certificates: int = 10
    chain_bytes: int = 64 * 1024
    stall_s: float = 60.0
    linger_s: float = 2.0
    linger_bytes: int = 4 * 1024 * 1024


class TLSTransport(asyncio.Protocol, asyncio.Transport):
    """One connection. The front above is made when the handshake is done, so a failed one never reaches it."""

    def __init__(
        self,
        context: Callable[[], SSL.Context],
        front: Callable[[], asyncio.BaseProtocol],
        limits: TLSLimits,
        opened: Callable[[TLSTransport], bool] | None = None,
        closed: Callable[[TLSTransport], None] | None = None,
        handshakes: Handshakes | None = None,
    ) -> None:
        """`context` gives the present context; `opened` may turn the connection away; `closed` hears when it is gone.

        `handshakes` says when the handshake's turn is; without it, at once.
        """
        super().__init__()
        self._context = context
        self._front = front
        self._limits = limits
        self._opened = opened
        self._closed = closed
        self._handshakes = handshakes
        self._held: bytes | None = None
        self._loop = asyncio.get_running_loop()
        self._raw: asyncio.Transport
        self._tls: SSL.Connection | None = None
        self._inner: asyncio.Protocol | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._peer_chain: tuple[bytes, ...] = ()
        self._received = 0
        self._unsent = 0
        self._delivering = False
        self._paused = False
        self._eof = False
        self._half_open = False
        self._closing = False
        self._lingering = False
        self._aligned = True

    # The socket's side: asyncio calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw = cast("asyncio.Transport", transport)
        if self._opened is not None and not self._opened(self):
            self.abort()
            return
        self._timer = self._loop.call_later(self._limits.handshake_s, self.overdue)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            self._discard(len(data))
            return
        if self._held is not None:
            self._hold(data)
            return
        tls = self._tls
        if tls is None and self._handshakes and not self._handshakes.enter(self, self._source() or ""):
            # It waits for us: its own time begins with its turn.
            self._stop_timer()
            self._held = b""
            self._hold(data)
            return
        self._feed(data)

    def _hold(self, data: bytes) -> None:
        assert self._held is not None
        self._held += data
        if len(self._held) > self._limits.handshake_bytes:
            self.abort()

    def begin(self) -> None:
        """The handshake's turn has come."""
        self._loop.call_soon(self._feed_held)

    def _feed_held(self) -> None:
        held, self._held = self._held, None
        if held is not None and not self._closing:
            self._timer = self._loop.call_later(self._limits.handshake_s, self.overdue)
            self._feed(held)

    def _turn_is_over(self) -> None:
        if self._handshakes is not None:
            self._handshakes.leave(self)

    def _feed(self, data: bytes) -> None:
        tls = self._tls
        if tls is None:
            # Only a peer that says something is worth the tens of kilobytes of a TLS state.
            tls = self._tls = SSL.Connection(self._context(), None)
            tls.set_accept_state()
        tls.bio_write(data)
        records = self._whole_records(data)
        if self._inner is not None:
            self._deliver(tls, records)
        elif self._shake_hands(tls, len(data)):
            self._deliver(tls)

    def eof_received(self) -> bool:
        """The peer's TCP stream ended: with or without a close_notify, nothing more comes."""
        return not self._closing and self._end_of_stream()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._stop_timer()
        self._turn_is_over()
        inner, self._inner = self._inner, None
        self._tls = None
        if self._closed is not None:
            self._closed(self)
        if inner is not None:
            inner.connection_lost(exc)

    def pause_writing(self) -> None:
        if self._inner is None:
            return
        # A peer that reads nothing holds our memory: it gets `stall_s` to take what is waiting.
        if self._timer is None:
            self._timer = self._loop.call_later(self._limits.stall_s, self.overdue)
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is None:
            return
        if not self._closing:
            self._stop_timer()
        self._inner.resume_writing()

    # The handshake.

    def _shake_hands(self, tls: SSL.Connection, size: int) -> bool:
        self._received += size
        try:
            tls.do_handshake()
        except SSL.WantReadError:
            if self._received > self._limits.handshake_bytes:
                self._refuse("the handshake is too large")
            else:
                self._flush(tls)
            return False
        except SSL.Error as error:
            self._flush(tls)
            self._refuse(_reason(error))
            return False
        return self._established(tls)

    def _established(self, tls: SSL.Connection) -> bool:
        self._stop_timer()
        self._turn_is_over()
        self._peer_chain = _peer_chain(tls)
        limits = self._limits
        chain = self._peer_chain
        if len(chain) > limits.chain_certificates or sum(map(len, chain)) > limits.chain_bytes:
            self._refuse("the client's certificate chain is too long")
            return False
        inner = self._inner = cast("asyncio.Protocol", self._front())
        # What the front sends at once travels with the last handshake flight.
        self._delivering = True
        try:
            inner.connection_made(self)
        finally:
            self._delivering = False
        return True

    def _refuse(self, reason: str) -> None:
        log.info("tls-handshake-failed", source=self._source(), reason=reason)
        self._closing = True
        self._stop_timer()
        self._turn_is_over()
        self._close_raw()

    def overdue(self) -> None:
        """A deadline passed: the handshake's, a stalled peer's, or that of closing."""
        self._timer = None
        if self._inner is None and not self._closing:
            # Silence is what port scanners and half-open links leave: not worth a line.
            self._closing = True
        self._raw.abort()

    # Bytes upwards.

    def _whole_records(self, data: bytes) -> int | None:
        """How many records arrived, while everything so far came in whole ones (RFC 5246, 6.2.1); else None."""
        if not self._aligned:
            return None
        at, size, count = 0, len(data), 0
        while at + _HEADER_BYTES <= size:
            at += _HEADER_BYTES + (data[at + 3] << 8 | data[at + 4])
            count += 1
        if at == size:
            return count
        self._aligned = False
        return None

    def _deliver(self, tls: SSL.Connection, records: int | None = None) -> None:
        """Hand decrypted bytes to the front until there are none, or it pauses; answers leave together.

        A read yields one record at most: with their number known there is no need to ask until OpenSSL says no, which
        costs more than a read.
        """
        self._delivering = True
        answered = False
        try:
            while not self._paused and not self._closing and records != 0:
                assert self._inner is not None
                self._inner.data_received(tls.recv(_READ_BYTES))
                if records is not None:
                    records -= 1
        except SSL.WantReadError:
            # A record that was not for the front OpenSSL may have answered by itself.
            answered = True
        except SSL.ZeroReturnError:
            if not self._end_of_stream():
                self.close()
        except SSL.Error as error:
            self._broken(tls, error)
        finally:
            self._delivering = False
        if self._unsent or answered:
            self._flush(tls)

    def _end_of_stream(self) -> bool:
        """Tell the front once, be it by close_notify or by TCP; True when it wants to go on writing."""
        if not self._eof and self._inner is not None:
            self._eof = True
            self._half_open = bool(self._inner.eof_received())
        return self._half_open

    def _broken(self, tls: SSL.Connection, error: SSL.Error) -> None:
        log.info("tls-connection-failed", source=self._source(), reason=_reason(error))
        self._flush(tls)
        self._closing = True
        self._close_raw()

    def _discard(self, size: int) -> None:
        """After closing, what the peer still sends is dropped; within reason, so that it gets to read our last words."""
        self._received += size
        if not self._lingering or self._received > self._limits.linger_bytes:
            self._raw.abort()

    # The front's side: an asyncio transport.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        tls = self._tls
        if self._closing or tls is None or not data:
            return
        try:
            tls.sendall(data)
        except SSL.Error as error:
            self._broken(tls, error)
            return
        self._unsent += len(data)
        if not self._delivering or self._unsent > _FLUSH_BYTES:
            self._flush(tls)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def _flush(self, tls: SSL.Connection) -> None:
        self._unsent = 0
        size = _FLUSH_BYTES
        while size == _FLUSH_BYTES:
            try:
                flight = tls.bio_read(_FLUSH_BYTES)
            except SSL.WantReadError:
                return
            size = len(flight)
            self._raw.write(flight)

    def close(self) -> None:
        """Send what was written and a close_notify, then close. A peer that does not read delays it by `stall_s` at most."""
        if self._closing:
            return
        self._say_goodbye()
        self._close_raw()

    def linger(self) -> None:
        """Close, but let the peer finish sending for up to `linger_s`: for an answer that comes before the request's end.

        A socket closed with unread bytes resets the connection, and the peer loses the answer it was to read.
        """
        if self._closing:
            return
        self._say_goodbye()
        if self._eof or not self._raw.can_write_eof():
            self._close_raw()
            return
        self._lingering = True
        self._received = 0
        self._stop_timer()
        self._timer = self._loop.call_later(self._limits.linger_s, self.overdue)
        self._raw.write_eof()
        self._raw.resume_reading()

    def _say_goodbye(self) -> None:
        self._closing = True
        tls = self._tls
        if tls is not None:
            with contextlib.suppress(SSL.Error):  # it failed before; what was written still leaves
                tls.shutdown()
            self._flush(tls)

    def _close_raw(self) -> None:
        self._raw.close()
        if self._raw.get_write_buffer_size() and self._timer is None:
            self._timer = self._loop.call_later(self._limits.stall_s, self.overdue)

    def abort(self) -> None:
        """Close at once; what was not sent is lost."""
        self._closing = True
        self._stop_timer()
        self._raw.abort()

    def is_closing(self) -> bool:
        return self._closing

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        if not self._paused and not self._closing:
            self._paused = True
            self._raw.pause_reading()

    def resume_reading(self) -> None:
        if self._paused and not self._closing:
            self._paused = False
            self._raw.resume_reading()
            # Records that were read before the pause wait inside OpenSSL, where no event of the socket finds them.
            self._loop.call_soon(self._catch_up)

    def _catch_up(self) -> None:
        if self._tls is not None and not self._closing and not self._delivering:
            self._deliver(self._tls)

    def is_reading(self) -> bool:
        return not self._paused and not self._closing

    def get_write_buffer_size(self) -> int:
        return self._raw.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._raw.set_write_buffer_limits(high, low)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._inner = cast("asyncio.Protocol", protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self if self._inner is None else self._inner

    def drain(self) -> None:
        """Ask the front to finish; without a way to say so, or in the handshake, close."""
        drain = getattr(self._inner, "drain", None)
        if drain is not None:
            drain()
        else:
            self.close()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`peername` and `sockname` as (host, port); `peer_chain` (DER, leaf first), `sni`, `cipher`, `tls_version`, `channel_bindings`."""
        match name:
            case "peer_chain":
                return self._peer_chain
            case "peername" | "sockname":
                address = self._raw.get_extra_info(name)
                return default if address is None else tuple(address[:2])
            case "sslcontext":
                return self._tls.get_context() if self._tls else default
            case "sni":
                found = self._tls.get_servername() if self._tls else None
                return found.decode("ascii", "replace") if found else default
            case "cipher":
                return (self._tls.get_cipher_name() if self._tls else None) or default
            case "channel_bindings":
                return _channel_bindings(self._tls) if self._tls else default
            case "tls_version":
                return self._tls.get_protocol_version_name() if self._tls else default
            case _:
                return default

    def _source(self) -> str | None:
        address = self._raw.get_extra_info("peername")
        return address[0] if address else None

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _channel_bindings(tls: SSL.Connection) -> tuple[bytes, ...]:
    """What only the two ends know of this connection: tls-exporter (RFC 9266), and below TLS 1.3 tls-unique (RFC 5929)."""
    exported = tls.export_keying_material(b"EXPORTER-Channel-Binding", 32, b"")
    if tls.get_protocol_version_name() == "TLSv1.3":
        return (exported,)
    # Nothing is ever resumed, so that the client's Finished was the first.
    finished = tls.get_peer_finished()
    return (exported, finished) if finished else (exported,)


def _peer_chain(tls: SSL.Connection) -> tuple[bytes, ...]:
    """What the client sent, leaf first. OpenSSL's list leaves the leaf out at a server; a list that had it is not doubled."""
    leaf = tls.get_peer_certificate()
    if leaf is None:
        return ()
    first = crypto.dump_certificate(crypto.FILETYPE_ASN1, leaf)
    rest = [crypto.dump_certificate(crypto.FILETYPE_ASN1, each) for each in tls.get_peer_cert_chain() or ()]
    return tuple(rest) if rest and rest[0] == first else (first, *rest)


def _reason(error: SSL.Error) -> str:
    """OpenSSL's own words for what went wrong, the last of them."""
    if error.args and isinstance(error.args[0], list) and error.args[0]:
        return str(error.args[0][-1][-1])
    return str(error) or type(error).__name__
