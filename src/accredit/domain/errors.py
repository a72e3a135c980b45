"""The closed hierarchy of refusals. What each becomes on a wire is decided in `wire/refusals.py` alone."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class Fault(StrEnum):
    """Whose fault it is: decides log level, reply and blame."""

    PEER = "peer"
    OURS = "ours"
    UPSTREAM = "upstream"


class AccreditError(Exception):
    """Abstract. One sentence in `message` for the peer; `hint` is what the operator should do next.

    `rule` is the stable short name of the rule that failed (`csr-too-large`, `sas-expired`): it names the row
    in `docs/errors.md`, the field of a log line and, where the wire has a number for it, that number.
    `evidence` says what was seen, for the operator's log only. Neither `hint` nor `evidence` reaches a device.
    """

    fault: ClassVar[Fault] = Fault.PEER

    def __init__(self, message: str, *, rule: str, hint: str = "", evidence: str = "") -> None:
        if type(self) is AccreditError:
            raise TypeError("AccreditError is abstract; raise one of its kinds")
        super().__init__(message)
        self.message = message
        self.rule = rule
        self.hint = hint
        self.evidence = evidence


class Malformed(AccreditError):
    """What was sent can't be accepted as it stands: form, size, or a rule about its content."""


class Unauthenticated(AccreditError):
    """No proof, a wrong proof, or a proof that does not carry the right that the call needs."""


class Refused(AccreditError):
    """Understood and proven, but against this service's policy."""


class NotFound(AccreditError):
    """There is no such thing."""


class Conflict(AccreditError):
    """It exists already, or somebody else holds it."""


class PreconditionFailed(AccreditError):
    """The etag named in the request is not the present one."""


class Disabled(AccreditError):
    """The enrollment is there and proven, and switched off."""


class Throttled(AccreditError):
    """Too much; `retry_after_s` is when to come back."""

    def __init__(
        self, message: str, *, rule: str, retry_after_s: int, hint: str = "", evidence: str = ""
    ) -> None:
        super().__init__(message, rule=rule, hint=hint, evidence=evidence)
        self.retry_after_s = retry_after_s


class UpstreamRejected(AccreditError):
    """A certificate authority or hub refused us, or answered with what was not ordered."""

    fault = Fault.UPSTREAM


class UpstreamUnavailable(AccreditError):
    """A certificate authority or hub, or our own storage, can't answer now; `retry_after_s` is when to come back."""

    fault = Fault.UPSTREAM

    def __init__(
        self, message: str, *, rule: str, retry_after_s: int, hint: str = "", evidence: str = ""
    ) -> None:
        super().__init__(message, rule=rule, hint=hint, evidence=evidence)
        self.retry_after_s = retry_after_s


KINDS: tuple[type[AccreditError], ...] = (
    Malformed,
    Unauthenticated,
    Refused,
    NotFound,
    Conflict,
    PreconditionFailed,
    Disabled,
    Throttled,
    UpstreamRejected,
    UpstreamUnavailable,
)
