"""What a CMP server may answer, made by hand: right, wrong, and never seen from a real one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from accredit.domain.secret import Secret
from accredit.wire import cmp
from accredit.wire.der import BIT_STRING, SEQUENCE, UTF8_STRING, element, integer
from support.fake_http import Answer, Call, FakeHTTP

PASSWORD = cmp.Password(b"4787", Secret(b"a-shared-secret"))
Make = Callable[[cmp.Message], bytes]


def tagged(number: int, *content: bytes) -> bytes:
    return element(0xA0 | number, *content)


def status(code: int, text: str = "", failures: tuple[int, ...] = ()) -> bytes:
    parts = [integer(code)]
    if text:
        parts.append(element(SEQUENCE, element(UTF8_STRING, text.encode())))
    if failures:
        bits = bytearray(4)
        for bit in failures:
            bits[bit // 8] |= 0x80 >> bit % 8
        parts.append(element(BIT_STRING, b"\x00", bytes(bits)))
    return element(SEQUENCE, *parts)


def cp(
    told: bytes, certificate: bytes = b"", *, request_id: int = -1, capubs: tuple[bytes, ...] = ()
) -> bytes:
    pair = element(SEQUENCE, tagged(0, certificate)) if certificate else b""
    response = element(SEQUENCE, integer(request_id), told, pair)
    above = tagged(1, element(SEQUENCE, *capubs)) if capubs else b""
    return tagged(cmp.CP, element(SEQUENCE, above, element(SEQUENCE, response)))


def error(told: bytes) -> bytes:
    return tagged(cmp.ERROR, element(SEQUENCE, told))


def rp(told: bytes) -> bytes:
    return tagged(cmp.RP, element(SEQUENCE, element(SEQUENCE, told)))


def poll_rep(after_s: int, request_id: int = -1) -> bytes:
    return tagged(cmp.POLL_REP, element(SEQUENCE, element(SEQUENCE, integer(request_id), integer(after_s))))


PKICONF = tagged(cmp.PKICONF, element(5))


def answering(
    body: bytes, *, password: cmp.Password = PASSWORD, implicit: bool = False, **changes: bytes
) -> Make:
    """This body in answer to whatever is asked; `changes` replace members of the envelope."""

    def make(request: cmp.Message) -> bytes:
        facts = {"transaction": request.transaction, "answered": request.nonce, "nonce": b"n" * 16, **changes}
        envelope = cmp.Envelope(salt=b"s" * 16, now=1_800_000_000, implicit=implicit, **facts)
        return cmp.message(body, envelope, password)

    return make


def bare(body: bytes) -> Make:
    """The same without protection."""

    def make(request: cmp.Message) -> bytes:
        whole = answering(body)(request)
        from accredit.wire.der import only

        header, told, _ = only(whole, SEQUENCE).inside()
        return element(SEQUENCE, header.whole, told.whole)

    return make


class ScriptedCmp(FakeHTTP):
    """Gives the answers in turn; the last one stays."""

    def __init__(self, *script: Make | Answer | str) -> None:
        super().__init__()
        self.script = deque(script)

    @property
    def asked(self) -> list[cmp.Message]:
        return [cmp.parse(call.body) for call in self.calls]

    def answer(self, call: Call) -> tuple[str | None, Answer]:
        told = self.script[0] if len(self.script) == 1 else self.script.popleft()
        if isinstance(told, str):
            return told, Answer(200, b"")
        if isinstance(told, Answer):
            return None, told
        return None, Answer(200, told(cmp.parse(call.body)), content_type="application/pkixcmp")
