"""Who may do how much: what one process remembers of sources, devices and groups, and what it decides by it.

Before the proof only the source counts, and only its failures: a search through groups that take any device waits its
turn where the source has failed too often, and a failure is answered with when to come back. A proof that is right is
evaluated all the same; who is known here by an enrollment or registration of its own does not even wait
(`docs/explanation/limits.md`). After the proof device and group count. The arithmetic is `policy/limits.py`'s.
"""

from __future__ import annotations

from accredit.domain.enrollment import EnrollmentRef
from accredit.domain.errors import AccreditError, Throttled
from accredit.domain.evidence import Attested
from accredit.domain.ids import RegistrationId
from accredit.domain.quota import quota_of
from accredit.interfaces import Clock
from accredit.policy import limits
from accredit.policy.limits import SECOND, Ledger, Rate, source_of, whole_seconds
from accredit.values import dataclass

MAX_SOURCES = 16_384
MAX_DEVICES = 65_536
ALL_SOURCES = 20
"""How many sources may use up their budgets before every source that has failed at all is slowed."""

PATIENCE_S = 3
"""How long a search may wait for its turn; who would wait longer is told when to come back. SDKs wait 30 s for an answer."""

WRITTEN = Rate(1_000, 60, 1_000)
"""Refusals of one enrollment that are written down: a stolen group key must not fill the disk with them."""

_EVERYBODY = "everybody"
# Azure DPS, *quotas and limits*.
_AZURE_REGISTRATIONS = Rate(1_000, 60, 1_000)
_AZURE_SERVICE_CALLS = Rate(1_000, 60, 1_000)
_AZURE_POLLS = Rate(5, 10, 5)


@dataclass(frozen=True, slots=True)
class Terms:
    """The settings of these limits; 0 is no limit. `azure` are those of Azure's service on top."""

    failed_proofs_per_minute: int = 6_000
    device_registrations_per_minute: int = 0
    azure: bool = False


class Limits:
    """Bounded, and of this process: a restart forgets them, another process counts by itself."""

    def __init__(self, clock: Clock, terms: Terms | None = None) -> None:
        terms = terms if terms is not None else Terms()
        self._clock = clock
        failures, devices = terms.failed_proofs_per_minute, terms.device_registrations_per_minute
        self._failures = _per_minute(failures, MAX_SOURCES)
        self._all_failures = _per_minute(failures * ALL_SOURCES, 1)
        self._devices = _per_minute(devices, MAX_DEVICES)
        self._registrations = Ledger(_AZURE_REGISTRATIONS, 1) if terms.azure else None
        self._service_calls = Ledger(_AZURE_SERVICE_CALLS, 1) if terms.azure else None
        self._polls = Ledger(_AZURE_POLLS, MAX_DEVICES) if terms.azure else None
        self._written = Ledger(WRITTEN, MAX_SOURCES)
        self._groups: dict[tuple[str, int], int] = {}

    # Before the proof.

    def turn(self, source: str) -> float:
        """Seconds that a search for this source's proof has to wait. Raises Throttled where that is too long."""
        if self._failures is None:
            return 0.0
        key, now = source_of(source), self._now()
        delay = self._owed(key, now)
        if not delay:
            return 0.0
        if delay > PATIENCE_S * SECOND:
            raise self._throttled(
                "source-throttled",
                delay - PATIENCE_S * SECOND,
                f"{key} has failed too often; searches of more than {PATIENCE_S} s are waiting for it already",
            )
        self._failures.charge(key, now)
        return delay / SECOND

    def failed(self, refusal: AccreditError, source: str, trials: int = 1) -> AccreditError:
        """Charge the source for a failed proof or malformed input; return what the peer is told: mostly what is wrong."""
        if self._failures is None or self._all_failures is None:
            return refusal
        key, now = source_of(source), self._now()
        delay = self._owed(key, now)
        self._failures.charge(key, now, trials)
        self._all_failures.charge(_EVERYBODY, now, trials)
        if not delay:
            return refusal
        return self._throttled(
            "source-throttled", delay, f"{refusal.rule}: {refusal.evidence or refusal.message}"
        )

    def _owed(self, key: str, now: int) -> int:
        """Microseconds until the source is within its budget; the budget of all binds only who has failed himself."""
        assert self._failures is not None
        assert self._all_failures is not None
        delay = self._failures.wait(key, now)
        if self._failures.owes(key, now):
            delay = max(delay, self._all_failures.wait(_EVERYBODY, now))
        return delay

    # After the proof.

    def registering(self, attested: Attested) -> None:
        """Count one register call of a proven device. Raises Throttled, and then counts nothing."""
        now = self._now()
        device, enrollment = attested.registration_id.key, attested.enrollment
        ledgers = ((self._devices, device), (self._registrations, _EVERYBODY))
        due = [(ledger, key) for ledger, key in ledgers if ledger is not None]
        for ledger, key in due:
            if delay := ledger.wait(key, now):
                rule = "device-throttled" if ledger is self._devices else "registrations-throttled"
                raise self._throttled(
                    rule, delay, f"more than {ledger.rate.amount} in {ledger.rate.period_s} s"
                )
        per_minute = quota_of(enrollment).registrations_per_minute
        if per_minute is not None:
            self._count_group(enrollment.id.key, per_minute, now)
        for ledger, key in due:
            ledger.charge(key, now)

    def _count_group(self, group: str, per_minute: int, now: int) -> None:
        rate, place = Rate(per_minute, 60, per_minute), (group, per_minute)
        owed = self._groups.get(place, 0)
        if delay := limits.wait(rate, owed, now):
            raise self._throttled("group-throttled", delay, f"group {group} allows {per_minute} in a minute")
        if place not in self._groups:
            # Only as many places as there are groups with a quota: what a group's former quota left is dropped.
            self._groups = {other: until for other, until in self._groups.items() if until > now}
        self._groups[place] = limits.taken(rate, owed, now)

    def may_write(self, enrollment: EnrollmentRef) -> bool:
        """Whether one more refusal of a device of this enrollment is kept on disk, and counted against the device."""
        return not self._written.take(enrollment, self._now())

    def polling(self, registration_id: RegistrationId) -> None:
        """Count one question of a proven device. Raises Throttled."""
        if self._polls is not None and (delay := self._polls.take(registration_id.key, self._now())):
            raise self._throttled("device-throttled", delay, "more than 5 polls in 10 s")

    def service_call(self) -> None:
        """Count one call of the service API. Raises Throttled."""
        if self._service_calls is not None and (delay := self._service_calls.take(_EVERYBODY, self._now())):
            raise self._throttled("service-throttled", delay, "more than 1000 calls in 60 s")

    def _throttled(self, rule: str, delay: int, evidence: str) -> Throttled:
        seconds = whole_seconds(delay)
        return Throttled(
            f"Too many requests; come back in {seconds} s.",
            rule=rule,
            retry_after_s=seconds,
            evidence=evidence,
            hint=_HINTS[rule],
        )

    def _now(self) -> int:
        return int(self._clock.monotonic() * SECOND)


_HINTS = {
    "source-throttled": "find the devices at this address whose proofs fail, or raise failed_proofs_per_minute",
    "device-throttled": "the device asks too often; wait as it is told, or raise the limit",
    "registrations-throttled": "azure_limits is on: 1000 registrations a minute",
    "group-throttled": "raise quota.registrationsPerMinute of the group",
    "service-throttled": "azure_limits is on: 1000 calls of the service API a minute",
}


def _per_minute(amount: int, max_keys: int) -> Ledger | None:
    return Ledger(Rate(amount, 60, amount), max_keys) if amount else None
