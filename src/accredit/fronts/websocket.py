"""WebSocket (RFC 6455) as a transport: the bytes in its binary frames are the byte stream of the front above.

The subprotocol picks the front; its name is compared without regard to case and echoed exactly as offered, because
Azure's C SDK says `MQTT` and insists on getting that back. Any path will do: some SDKs ask for `/$iothub/websocket`,
others for `/`. A message is never put together: an MQTT packet may span frames (MQTT 3.1.1, 6.0), so each frame's
payload goes up as it comes. No extension is negotiated.

`fronts/http_connection.py` reads the request head and keeps its deadline; RFC 6455 itself is the websockets
library's, without its sockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from websockets.exceptions import NegotiationError
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from accredit.fronts.tls import TLSTransport
from accredit.values import dataclass

Subprotocols = Mapping[str, Callable[[], asyncio.BaseProtocol]]
"""Lower-case subprotocol name -> maker of the front that speaks it."""

_DATA = (Opcode.BINARY, Opcode.CONT)


@dataclass(frozen=True, slots=True)
class WebSocketLimits:
    """`close_s`: how long the peer has to answer our close frame."""

    message_bytes: int = 1024 * 1024
    close_s: float = 2.0


class WebSocketAdapter(asyncio.Protocol, asyncio.Transport):
    """One connection after its upgrade request: a protocol over the TLS transport, a transport under a front."""

    def __init__(self, subprotocols: Subprotocols, limits: WebSocketLimits) -> None:
        super().__init__()
        self._subprotocols = subprotocols
        self._limits = limits
        self._below: TLSTransport
        self._inner: asyncio.Protocol | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._frames = ServerProtocol(
            # The library binds what it is given to its own object, which does nothing to a bound method.
            select_subprotocol=lambda _, offered: self._select(offered),
            extensions=None,
            max_size=limits.message_bytes,
        )

    def _select(self, offered: Sequence[Subprotocol]) -> Subprotocol:
        for name in offered:
            if name.lower() in self._subprotocols:
                return name
        known = ", ".join(self._subprotocols)
        raise NegotiationError(f"Sec-WebSocket-Protocol must offer one of: {known}")

    def upgrade(self, transport: TLSTransport, head: bytes) -> None:
        """Answer the upgrade request (its whole head) with 101, or with a refusal and the end of the connection."""
        self._below = transport
        transport.set_protocol(self)
        self._frames.receive_data(head)
        for request in self._frames.events_received():
            self._frames.send_response(self._frames.accept(cast("Any", request)))
        self._send()
        if self._frames.state is not State.OPEN:
            self._closing = True
            transport.linger()
            return
        self._inner = cast("asyncio.Protocol", self._subprotocols[str(self._frames.subprotocol).lower()]())
        self._inner.connection_made(self)

    # The TLS transport's side.

    def data_received(self, data: bytes) -> None:
        frames = self._frames
        frames.receive_data(data)
        events = cast("list[Frame]", frames.events_received())
        payload = b"".join(event.data for event in events if event.opcode in _DATA)
        spoke_text = any(event.opcode is Opcode.TEXT for event in events)
        if payload and not spoke_text and not self._closing and self._inner is not None:
            self._inner.data_received(payload)
        if spoke_text and frames.state is State.OPEN:
            frames.fail(CloseCode.UNSUPPORTED_DATA, "binary frames only")
        self._send()
        if frames.state is not State.OPEN and frames.eof_sent:
            # Both close frames have been seen, or the peer broke the protocol and was told so.
            self._close_below()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._stop_timer()
        inner, self._inner = self._inner, None
        if inner is not None:
            inner.connection_lost(exc)

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()

    def drain(self) -> None:
        """Pass the wish to finish on; without a way to say so, close as going away."""
        drain = getattr(self._inner, "drain", None)
        if drain is not None:
            drain()
        else:
            self._close(CloseCode.GOING_AWAY)

    # The front's side: an asyncio transport.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """One binary frame; after either side's close frame, nothing."""
        if data and not self._closing and self._frames.state is State.OPEN:
            self._frames.send_binary(data)
            self._send()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        """Send a close frame; the connection ends when the peer answers it, or after `close_s` seconds."""
        self._close(CloseCode.NORMAL_CLOSURE)

    def _close(self, code: CloseCode) -> None:
        if self._closing:
            return
        self._closing = True
        if self._frames.state is State.OPEN:
            self._frames.send_close(code)
            self._send()
            self._timer = asyncio.get_running_loop().call_later(self._limits.close_s, self._close_below)
            self._below.resume_reading()
        else:
            self._close_below()

    def abort(self) -> None:
        self._closing = True
        self._stop_timer()
        self._below.abort()

    def is_closing(self) -> bool:
        return self._closing or self._below.is_closing()

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        if not self._closing:
            self._below.pause_reading()

    def resume_reading(self) -> None:
        self._below.resume_reading()

    def is_reading(self) -> bool:
        return self._below.is_reading()

    def get_write_buffer_size(self) -> int:
        return self._below.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._below.set_write_buffer_limits(high, low)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._inner = cast("asyncio.Protocol", protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self if self._inner is None else self._inner

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._below.get_extra_info(name, default)

    def _send(self) -> None:
        # The empty chunk marks the end of the stream; `_close_below` takes care of that.
        chunk = b"".join(self._frames.data_to_send())
        if chunk:
            self._below.write(chunk)

    def _close_below(self) -> None:
        self._closing = True
        self._stop_timer()
        self._below.linger()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
