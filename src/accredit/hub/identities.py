"""Is this connection the device that it says it is, and until when?

In order: an issued certificate that is bound to the device and good now opens the hub, and its first use retires what
was bound before it. While any such certificate is good, the device's symmetric key and the certificate that it was
enrolled with do not open it, unless the operator allows both. The hub's own policies with DeviceConnect always do.
TLS has proven possession of the shown certificate's key; no chain is built, because a certificate counts here by
being bound, not by who signed it (Azure's self-signed thumbprint rule, with SHA-256 alone).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from enum import StrEnum

from cryptography import x509

from accredit.domain.access import Realm, Right
from accredit.domain.changes import UseCertificate
from accredit.domain.credential import CertificateStatus
from accredit.domain.device import Binding, BindingState, HubDevice
from accredit.domain.errors import Unauthenticated
from accredit.domain.evidence import SasToken
from accredit.domain.ids import AuthorityName, DeviceId, RegistrationId
from accredit.domain.linked_hub import HubAddress
from accredit.interfaces import Clock, HubAddresses, Stale, Store, StoreUnavailable
from accredit.policy import access, symmetric_keys
from accredit.values import dataclass

_ATTEMPTS = 3


class AuthMethod(StrEnum):
    """How a connection was authenticated, as messages carry it (IoT Hub's `iothub-connection-auth-method`)."""

    ISSUED_CERTIFICATE = (
        '{"scope":"device","type":"x509CertificateAuthority","issuer":"iothub","acceptingIpFilterRule":null}'
    )
    BOOTSTRAP_CERTIFICATE = (
        '{"scope":"device","type":"x509Thumbprint","issuer":"external","acceptingIpFilterRule":null}'
    )
    DEVICE_KEY = '{"scope":"device","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}'
    HUB_POLICY = '{"scope":"hub","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}'


@dataclass(frozen=True, slots=True)
class Admission:
    """The receipt: this connection is the device, at this hub. From `ends_at` (Unix seconds) on it no longer is.

    `registration_id` is None for an identity that was made by hand.
    """

    device_id: DeviceId
    generation_id: str
    method: AuthMethod
    ends_at: int
    hub: HubAddress
    registration_id: RegistrationId | None = None


class Identities:
    """Judges connections by what the store holds at that moment."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        addresses: HubAddresses,
        *,
        allow_bootstrap_with_certificate: bool = False,
    ) -> None:
        self._store = store
        self._clock = clock
        self._addresses = addresses
        self._allow_both = allow_bootstrap_with_certificate

    async def authenticate(
        self,
        device_id: DeviceId,
        peer_chain: Sequence[bytes],
        token: SasToken | None,
        host: str | None = None,
    ) -> Admission:
        """Raise Unauthenticated, or StoreUnavailable when it can't be told now.

        `host` is the host name that the device named its hub by; None, where a wire does not say, means the first hub.
        The first use of a pending certificate is durable when this returns.
        """
        for _ in range(_ATTEMPTS):
            hub = await self._addresses.at(host)
            if hub is None:
                raise _refusal(
                    "hub-host-name", device_id, f"no hub of this service is {(host or '')[:200]!r}"
                )
            try:
                return await self._judge(hub, device_id, peer_chain, token)
            except Stale:
                # Between reading and committing the certificate's state changed: judge the new one.
                continue
        raise StoreUnavailable(f"the certificates of {device_id} change faster than they can be judged")

    async def _judge(
        self, hub: HubAddress, device_id: DeviceId, peer_chain: Sequence[bytes], token: SasToken | None
    ) -> Admission:
        now = int(self._clock.now())
        device = await self._store.hub_device(hub.key, device_id)
        if device is None:
            raise _refusal("hub-device-unknown", device_id, "no such device at this hub")
        if not device.enabled:
            raise _refusal("hub-device-disabled", device_id, "the device is disabled")
        owner = device.registration_id
        if owner is not None:
            await self._check_not_being_revoked(device_id, owner, peer_chain)
        bindings = () if owner is None else await self._store.bindings(owner, device_id)
        shown = hashlib.sha256(peer_chain[0]).digest() if peer_chain else None
        bound = next((binding for binding in bindings if binding.sha256 == shown), None)
        if bound is not None and bound.good(now):
            return await self._by_issued_certificate(hub, device, bound, now)
        certified = any(binding.good(now) for binding in bindings)
        if token is not None:
            return await self._by_token(hub, device, token, now, certified=certified)
        if not peer_chain:
            raise _refusal("hub-no-credential", device_id, "neither a client certificate nor a token")
        return await self._by_bootstrap_certificate(
            hub, device, peer_chain[0], bound, now, certified=certified
        )

    async def _check_not_being_revoked(
        self, device_id: DeviceId, owner: RegistrationId, peer_chain: Sequence[bytes]
    ) -> None:
        """A group or authority that is being revoked is shut at once, however many devices it has."""
        for each in await self._store.open_mass_revocations():
            if not await self._store.covered(each, (owner,)):
                continue
            if isinstance(each.target, AuthorityName) and peer_chain:
                shown = await self._store.certificate(hashlib.sha256(peer_chain[0]).digest())
                if shown is not None and not each.covers(shown.authority, shown.issued.chain[1:]):
                    continue
            raise _refusal("hub-device-being-revoked", device_id, f"{each.target} is being revoked")

    async def _by_issued_certificate(
        self, hub: HubAddress, device: HubDevice, bound: Binding, now: int
    ) -> Admission:
        if bound.state is BindingState.PENDING:
            await self._store.commit([UseCertificate(device.device_id, bound.sha256, now)])
        # notAfter is the last second in which the certificate is good (RFC 5280 4.1.2.5).
        return _admission(hub, device, AuthMethod.ISSUED_CERTIFICATE, bound.not_after + 1)

    async def _by_token(
        self, hub: HubAddress, device: HubDevice, token: SasToken, now: int, *, certified: bool
    ) -> Admission:
        if token.policy:
            return await self._by_hub_policy(hub, device, token, now)
        keys = device.keys
        if keys is None:
            raise _refusal("hub-no-key", device.device_id, "a token, but the device has no symmetric key")
        if not any(symmetric_keys.signed_by(token, key) for key in (keys.primary, keys.secondary)):
            raise _refusal("sas-signature", device.device_id, "neither key of the device signed the token")
        if token.expires_at <= now:
            raise _refusal("sas-expired", device.device_id, f"se {token.expires_at}, now {now}")
        if not (_scoped(token, hub, device.device_id) and _ends_in(token.resource, device.device_id)):
            raise _refusal("sas-scope", device.device_id, f"sr {token.resource[:200]!r}")
        if certified and not self._allow_both:
            raise _refusal(
                "hub-sas-superseded", device.device_id, "a key was shown while an issued certificate is good"
            )
        return _admission(hub, device, AuthMethod.DEVICE_KEY, token.expires_at)

    async def _by_hub_policy(
        self, hub: HubAddress, device: HubDevice, token: SasToken, now: int
    ) -> Admission:
        policy = await self._store.policy(Realm.HUB, token.policy or "")
        path = f"/devices/{device.device_id}"
        access.authorize(token, policy, hub.host_names, Right.DEVICE_CONNECT, now, realm=Realm.HUB, path=path)
        # A scope that names a device names it exactly: device ids differ by case.
        if "/devices/" in token.resource.lower() and not _ends_in(token.resource, device.device_id):
            raise _refusal("sas-scope", device.device_id, f"sr {token.resource[:200]!r}")
        return _admission(hub, device, AuthMethod.HUB_POLICY, token.expires_at)

    async def _by_bootstrap_certificate(
        self,
        hub: HubAddress,
        device: HubDevice,
        leaf: bytes,
        bound: Binding | None,
        now: int,
        *,
        certified: bool,
    ) -> Admission:
        if bound is not None:
            raise _not_good(bound, now)
        if not _is_enrolled(device, leaf):
            raise await self._stranger(device, leaf)
        if certified and not self._allow_both:
            raise _refusal(
                "hub-bootstrap-certificate-superseded",
                device.device_id,
                "the enrolled certificate was shown while an issued one is good",
            )
        certificate = x509.load_der_x509_certificate(leaf)
        first = int(certificate.not_valid_before_utc.timestamp())
        last = int(certificate.not_valid_after_utc.timestamp())
        if not first <= now <= last:
            raise _refusal(
                "hub-bootstrap-certificate-expired",
                device.device_id,
                f"good from {first} to {last}, now {now}",
            )
        return _admission(hub, device, AuthMethod.BOOTSTRAP_CERTIFICATE, last + 1)

    async def _stranger(self, device: HubDevice, leaf: bytes) -> Unauthenticated:
        """Why a certificate that is neither bound here nor enrolled opens nothing."""
        device_id, sha256 = device.device_id, hashlib.sha256(leaf).digest()
        record = await self._store.certificate(sha256)
        if record is None:
            seen = f"subject {_subject(leaf)!r}, SHA-256 {sha256.hex()}, never issued here"
            return _refusal("hub-certificate-not-bound", device_id, seen)
        seen = (
            f"SHA-256 {sha256.hex()}, issued to {record.device_id} of the registration {record.registration_id}, "
            f"status {record.status}"
        )
        if (record.device_id, record.registration_id) != (device_id, device.registration_id):
            return _refusal("hub-certificate-of-another-device", device_id, seen)
        if record.status is CertificateStatus.UNBOUND:
            return _refusal("hub-certificate-not-bound", device_id, seen)
        retired = record.status is CertificateStatus.RETIRED
        return _refusal(
            "hub-certificate-retired" if retired else "hub-certificate-superseded", device_id, seen
        )


def _is_enrolled(device: HubDevice, leaf: bytes) -> bool:
    """Whether this is one of the certificates that the identity itself names (Azure: by SHA-256, or by SHA-1)."""
    # SHA-1 names here what an operator wrote down: a second certificate of that digest, for a device's own, is out of reach.
    digests = (hashlib.sha256(leaf).digest(), hashlib.sha1(leaf, usedforsecurity=False).digest())
    return device.thumbprint in digests or device.secondary_thumbprint in digests


def _scoped(token: SasToken, hub: HubAddress, device_id: DeviceId) -> bool:
    return access.covers(token.resource, hub.host_names, f"/devices/{device_id}")


def _ends_in(resource: str, device_id: DeviceId) -> bool:
    head, _, tail = resource.rstrip("/").rpartition("/")
    return head.lower().endswith("/devices") and tail == device_id.text


def _not_good(bound: Binding, now: int) -> Unauthenticated:
    seen = f"SHA-256 {bound.sha256.hex()}"
    match bound.state:
        case BindingState.RETIRED:
            return _refusal("hub-certificate-retired", bound.device_id, f"{seen}; a newer one was used")
        case BindingState.SUPERSEDED:
            return _refusal("hub-certificate-superseded", bound.device_id, f"{seen}; newer ones were issued")
        case BindingState.PENDING | BindingState.ACTIVE:
            rule = "hub-certificate-expired" if now > bound.not_after else "hub-certificate-not-yet-valid"
            seen = f"{seen}; good from {bound.not_before} to {bound.not_after}, now {now}"
            return _refusal(rule, bound.device_id, seen)


def _admission(hub: HubAddress, device: HubDevice, method: AuthMethod, ends_at: int) -> Admission:
    return Admission(device.device_id, device.generation_id, method, ends_at, hub, device.registration_id)


def _refusal(rule: str, device_id: DeviceId, evidence: str) -> Unauthenticated:
    """To the device every refusal looks the same; the operator's log has the rule and what was seen."""
    return Unauthenticated("Unauthorized", rule=rule, evidence=f"device {device_id}: {evidence}")


def _subject(leaf: bytes) -> str:
    try:
        return x509.load_der_x509_certificate(leaf).subject.rfc4514_string()[:200]
    except (ValueError, TypeError, x509.InvalidVersion):
        return "unreadable"
