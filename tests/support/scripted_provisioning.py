"""What the device-facing fronts see of provisioning, with its answers laid out beforehand."""

from __future__ import annotations

import asyncio

from accredit.domain.enrollment import Enrollment, EnrollmentKind, EnrollmentRef, SymmetricKeys
from accredit.domain.errors import AccreditError, Throttled
from accredit.domain.evidence import Attested, DeviceKeys
from accredit.domain.ids import DeviceId, RegistrationId
from accredit.domain.registration import (
    Answer,
    Assigned,
    Assigning,
    Challenged,
    Ended,
    Registration,
    Request,
    Status,
    Substatus,
)
from accredit.domain.secret import Secret

ID_SCOPE = "0ne00AB12CD"
OPERATION = "4.00112233445566aa.0f0e0d0c-0b0a-4908-8706-050403020100"


def assigned(registration_id: str = "dev-1") -> Assigned:
    name = RegistrationId.parse(registration_id)
    secret = Secret(b"k" * 32)
    enrollment = Enrollment(name, SymmetricKeys(secret, secret), "g1", "e1", 1_700_000_000, 1_700_000_000)
    registration = Registration(
        registration_id=name,
        enrollment=EnrollmentRef(EnrollmentKind.INDIVIDUAL, name.key),
        device_id=DeviceId.parse(registration_id),
        hub="hub.example",
        status=Status.ASSIGNED,
        substatus=Substatus.INITIAL_ASSIGNMENT,
        operation_id=OPERATION,
        etag="aa11",
        created_at=1_700_000_000,
        updated_at=1_700_000_000,
    )
    return Assigned(registration, Attested(name, enrollment, DeviceKeys(secret, secret)), None, None)


def assigning(registration_id: str = "dev-1", retry_after_s: int = 3) -> Assigning:
    return Assigning(OPERATION, RegistrationId.parse(registration_id), retry_after_s)


def disabled(registration_id: str = "dev-1") -> Ended:
    name = RegistrationId.parse(registration_id)
    return Ended(OPERATION, name, Status.DISABLED, None, None, None, 1_700_000_000, 1_700_000_000, "aa11")


def failed(registration_id: str = "dev-1") -> Ended:
    name = RegistrationId.parse(registration_id)
    instant = 1_700_000_000
    return Ended(OPERATION, name, Status.FAILED, 400037, "The CA refused.", None, instant, instant, "aa11")


class ScriptedProvisioning:
    """Answers (or raises) what stands next in `script`, and keeps what it was asked.

    While `gate` is cleared, every call waits for it.
    """

    def __init__(self, *script: Answer | Exception) -> None:
        self.id_scope = ID_SCOPE
        self.script = list(script)
        self.registers: list[Request] = []
        self.queries: list[tuple[Request, str]] = []
        self.unreads: list[tuple[str, str, str, str]] = []
        self.throttles: Throttled | None = None
        self.challenges: list[Challenged | Ended | Exception] = []
        self.challenged: list[Request] = []
        self.proven: list[Request] = []
        self.unproven: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def register(self, request: Request) -> Answer:
        self.registers.append(request)
        return await self._next()

    async def status(self, request: Request, operation_id: str) -> Answer:
        self.queries.append((request, operation_id))
        return await self._next()

    async def lookup(self, request: Request) -> Assigned | Ended:
        self.queries.append((request, ""))
        answer = await self._next()
        assert not isinstance(answer, Assigning)
        return answer

    async def challenge(self, request: Request) -> Challenged | Ended:
        """A TPM gets the blob that stands next in `challenges`; a stranger's is refused."""
        self.challenged.append(request)
        answer = self.challenges.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def prove(self, request: Request) -> None:
        self.proven.append(request)
        if self.unproven is not None:
            raise self.unproven

    def unread(
        self, refusal: AccreditError, *, registration_id: str, source: str, tracking_id: str
    ) -> AccreditError:
        """`throttles` stands for a source that has failed too often."""
        self.unreads.append((refusal.rule, registration_id, source, tracking_id))
        return refusal if self.throttles is None else self.throttles

    async def _next(self) -> Answer:
        await self.gate.wait()
        answer = self.script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer
