"""Who may call what on the service side: the rights table, and the judgement of a service token.

Bearer tokens and policy management are not here, and neither is the device side: a device's token is judged by
`policy/symmetric_keys.py`. Source: Azure, *Control access to DPS with shared access signatures*; the rights are
those of IoT Hub and DPS by their names.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection, Mapping
from enum import StrEnum

from accredit.domain.access import Policy, Realm, Right
from accredit.domain.errors import Unauthenticated
from accredit.domain.evidence import SasToken

MAX_LIFETIME_S = 365 * 86_400
"""A token that lives longer than this is worth a warning, or a refusal where the operator says so."""


class Call(StrEnum):
    """Every call of the service side that needs a right."""

    READ_AUTHORITY = "authority.read"
    WRITE_AUTHORITY = "authority.write"
    DELETE_AUTHORITY = "authority.delete"
    LIST_AUTHORITIES = "authority.list"
    CHANGE_AUTHORITY_KEYS = "authority.change-keys"
    READ_TRUST_BUNDLE = "trust-bundle.read"
    WRITE_TRUST_BUNDLE = "trust-bundle.write"
    DELETE_TRUST_BUNDLE = "trust-bundle.delete"
    LIST_TRUST_BUNDLES = "trust-bundle.list"
    READ_CERTIFICATE_PROFILE = "certificate-profile.read"
    WRITE_CERTIFICATE_PROFILE = "certificate-profile.write"
    DELETE_CERTIFICATE_PROFILE = "certificate-profile.delete"
    LIST_CERTIFICATE_PROFILES = "certificate-profile.list"
    READ_CA_CERTIFICATE = "ca-certificate.read"
    WRITE_CA_CERTIFICATE = "ca-certificate.write"
    DELETE_CA_CERTIFICATE = "ca-certificate.delete"
    LIST_CA_CERTIFICATES = "ca-certificate.list"
    VERIFY_CA_CERTIFICATE = "ca-certificate.verify"
    READ_ENROLLMENT = "enrollment.read"
    WRITE_ENROLLMENT = "enrollment.write"
    DEFINE_WEBHOOK = "enrollment.define-webhook"
    DELETE_ENROLLMENT = "enrollment.delete"
    QUERY_ENROLLMENTS = "enrollment.query"
    BULK_ENROLLMENTS = "enrollment.bulk"
    REVEAL_ATTESTATION = "enrollment.attestation"
    MAKE_ONE_TIME_PASSWORD = "enrollment.one-time-password"  # noqa: S105 - the name of a call
    READ_REGISTRATION = "registration.read"
    DELETE_REGISTRATION = "registration.delete"
    MOVE_REGISTRATION = "registration.move"
    REVOKE_DEVICE = "registration.revoke"
    READMIT_DEVICE = "registration.readmit"
    REVOKE_GROUP = "enrollment.revoke-group"
    REVOKE_AUTHORITY = "authority.revoke"
    LIST_REVOCATIONS = "revocation.list"
    READ_REVOCATION = "revocation.read"
    QUERY_REGISTRATIONS = "registration.query"
    RESUME_REGISTRATION = "registration.resume"
    READ_ALLOWED = "allowed-registrations.read"
    CHANGE_ALLOWED = "allowed-registrations.change"
    READ_TRACE = "trace.read"
    LIST_TRACES = "trace.list"
    LIST_CERTIFICATES = "certificate.list"
    READ_CERTIFICATE = "certificate.read"
    READ_ISSUANCE_LOG = "issuance-log.read"
    LIST_POLICIES = "policy.list"
    READ_POLICY = "policy.read"
    WRITE_POLICY = "policy.write"
    DELETE_POLICY = "policy.delete"
    ROTATE_POLICY = "policy.rotate"
    READ_LINKED_HUB = "linked-hub.read"
    WRITE_LINKED_HUB = "linked-hub.write"
    DELETE_LINKED_HUB = "linked-hub.delete"
    LIST_LINKED_HUBS = "linked-hub.list"
    READ_TELEMETRY = "telemetry.read"
    READ_DEVICE = "device.read"
    WRITE_DEVICE = "device.write"
    DELETE_DEVICE = "device.delete"
    LIST_DEVICES = "device.list"
    READ_STATISTICS = "device.statistics"
    READ_TWIN = "twin.read"
    WRITE_TWIN = "twin.write"


NEEDED: Mapping[Call, Right] = {
    Call.READ_AUTHORITY: Right.ENROLLMENT_READ,
    Call.WRITE_AUTHORITY: Right.SERVICE_CONFIG,
    Call.DELETE_AUTHORITY: Right.SERVICE_CONFIG,
    Call.LIST_AUTHORITIES: Right.ENROLLMENT_READ,
    Call.CHANGE_AUTHORITY_KEYS: Right.SERVICE_CONFIG,
    Call.READ_TRUST_BUNDLE: Right.ENROLLMENT_READ,
    Call.WRITE_TRUST_BUNDLE: Right.SERVICE_CONFIG,
    Call.DELETE_TRUST_BUNDLE: Right.SERVICE_CONFIG,
    Call.LIST_TRUST_BUNDLES: Right.ENROLLMENT_READ,
    Call.READ_CERTIFICATE_PROFILE: Right.ENROLLMENT_READ,
    Call.WRITE_CERTIFICATE_PROFILE: Right.SERVICE_CONFIG,
    Call.DELETE_CERTIFICATE_PROFILE: Right.SERVICE_CONFIG,
    Call.LIST_CERTIFICATE_PROFILES: Right.ENROLLMENT_READ,
    Call.READ_CA_CERTIFICATE: Right.ENROLLMENT_READ,
    Call.WRITE_CA_CERTIFICATE: Right.SERVICE_CONFIG,
    Call.DELETE_CA_CERTIFICATE: Right.SERVICE_CONFIG,
    Call.LIST_CA_CERTIFICATES: Right.ENROLLMENT_READ,
    Call.VERIFY_CA_CERTIFICATE: Right.SERVICE_CONFIG,
    Call.READ_ENROLLMENT: Right.ENROLLMENT_READ,
    Call.DEFINE_WEBHOOK: Right.SERVICE_CONFIG,
    Call.WRITE_ENROLLMENT: Right.ENROLLMENT_WRITE,
    Call.DELETE_ENROLLMENT: Right.ENROLLMENT_WRITE,
    Call.QUERY_ENROLLMENTS: Right.ENROLLMENT_READ,
    Call.BULK_ENROLLMENTS: Right.ENROLLMENT_WRITE,
    Call.REVEAL_ATTESTATION: Right.ENROLLMENT_WRITE,
    Call.MAKE_ONE_TIME_PASSWORD: Right.ENROLLMENT_WRITE,
    Call.READ_REGISTRATION: Right.REGISTRATION_STATUS_READ,
    Call.DELETE_REGISTRATION: Right.REGISTRATION_STATUS_WRITE,
    Call.MOVE_REGISTRATION: Right.REGISTRATION_STATUS_WRITE,
    Call.REVOKE_DEVICE: Right.REGISTRATION_STATUS_WRITE,
    Call.READMIT_DEVICE: Right.REGISTRATION_STATUS_WRITE,
    Call.REVOKE_GROUP: Right.REGISTRATION_STATUS_WRITE,
    Call.REVOKE_AUTHORITY: Right.SERVICE_CONFIG,
    Call.LIST_REVOCATIONS: Right.REGISTRATION_STATUS_READ,
    Call.READ_REVOCATION: Right.REGISTRATION_STATUS_READ,
    Call.QUERY_REGISTRATIONS: Right.REGISTRATION_STATUS_READ,
    Call.RESUME_REGISTRATION: Right.REGISTRATION_STATUS_WRITE,
    Call.READ_ALLOWED: Right.ENROLLMENT_READ,
    Call.CHANGE_ALLOWED: Right.ENROLLMENT_WRITE,
    Call.READ_TRACE: Right.REGISTRATION_STATUS_READ,
    Call.LIST_TRACES: Right.REGISTRATION_STATUS_READ,
    Call.LIST_CERTIFICATES: Right.REGISTRATION_STATUS_READ,
    Call.READ_CERTIFICATE: Right.REGISTRATION_STATUS_READ,
    Call.READ_ISSUANCE_LOG: Right.REGISTRATION_STATUS_READ,
    Call.LIST_POLICIES: Right.SERVICE_CONFIG,
    Call.READ_POLICY: Right.SERVICE_CONFIG,
    Call.WRITE_POLICY: Right.SERVICE_CONFIG,
    Call.DELETE_POLICY: Right.SERVICE_CONFIG,
    Call.ROTATE_POLICY: Right.SERVICE_CONFIG,
    Call.READ_LINKED_HUB: Right.ENROLLMENT_READ,
    Call.WRITE_LINKED_HUB: Right.SERVICE_CONFIG,
    Call.DELETE_LINKED_HUB: Right.SERVICE_CONFIG,
    Call.LIST_LINKED_HUBS: Right.ENROLLMENT_READ,
    Call.READ_TELEMETRY: Right.SERVICE_CONNECT,
    Call.READ_DEVICE: Right.REGISTRY_READ,
    Call.WRITE_DEVICE: Right.REGISTRY_WRITE,
    Call.DELETE_DEVICE: Right.REGISTRY_WRITE,
    Call.LIST_DEVICES: Right.REGISTRY_READ,
    Call.READ_STATISTICS: Right.REGISTRY_READ,
    Call.READ_TWIN: Right.SERVICE_CONNECT,
    Call.WRITE_TWIN: Right.SERVICE_CONNECT,
}

_SCHEME = re.compile(r"[a-z][a-z0-9+.\-]*://")
_PORT = re.compile(r":[0-9]{1,5}\Z")
_NO_KEY = b"\x00" * 32


def refusal(rule: str, evidence: str) -> Unauthenticated:
    """What every failure looks like from outside; `rule` and `evidence` are for the operator's log."""
    return Unauthenticated("Unauthorized", rule=rule, evidence=evidence)


def authorize(
    token: SasToken,
    policy: Policy | None,
    host_names: Collection[str],
    needed: Right,
    now: float,
    *,
    realm: Realm = Realm.PROVISIONING,
    path: str = "/",
    max_lifetime_s: int | None = None,
) -> None:
    """Return when this token opens `path` to a call that needs this right; raise Unauthenticated otherwise.

    `policy` is the one that the token names, None when there is none of that name; `path` is the request's, decoded.
    `max_lifetime_s` is set where longer-lived tokens are refused. The signature is judged first, so that nothing
    about a policy can be learned without one of its keys.
    """
    if token.policy is None or not token.policy:
        raise refusal("sas-policy-missing", "the token has no skn")
    if not _signed(token, policy) or policy is None:
        rule = "sas-policy-unknown" if policy is None else "sas-signature"
        raise refusal(rule, f"policy {token.policy!r}, sr {token.resource!r}")
    if policy.realm is not realm:
        raise refusal("sas-realm", f"policy {policy.name!r} is of the {policy.realm} realm, not {realm}")
    if token.expires_at < now:
        raise refusal("sas-expired", f"policy {policy.name!r}, se {token.expires_at}")
    if max_lifetime_s is not None and token.expires_at - now > max_lifetime_s:
        raise refusal("sas-lifetime", f"policy {policy.name!r}, se {token.expires_at}")
    if not covers(token.resource, host_names, path):
        raise refusal("sas-scope", f"policy {policy.name!r}, sr {token.resource!r}")
    if needed not in policy.rights:
        raise refusal("right-missing", f"policy {policy.name!r} does not carry {needed}")


def covers(resource: str, host_names: Collection[str], path: str) -> bool:
    """Whether the scope, read as host and path segments, is one of our hosts and a prefix of `path`.

    Scheme and port of the scope do not matter, nor does case (Azure: scopes compare without regard to case).
    """
    host, *inside = _SCHEME.sub("", resource.lower(), count=1).rstrip("/").split("/")
    wanted = path.lower().strip("/").split("/")
    ours = {_bare(name.lower()) for name in host_names}
    return _bare(_PORT.sub("", host) if _has_port(host) else host) in ours and wanted[: len(inside)] == inside


def _has_port(host: str) -> bool:
    # An IPv6 address has colons of its own: only behind its bracket does one begin a port.
    return "]:" in host if host.startswith("[") else host.count(":") == 1


def _bare(host: str) -> str:
    return host.removeprefix("[").removesuffix("]")


def _signed(token: SasToken, policy: Policy | None) -> bool:
    # An unknown policy costs the same two HMACs as a known one.
    keys = (policy.primary.reveal(), policy.secondary.reveal()) if policy else (_NO_KEY, _NO_KEY)
    made = [hmac.digest(key, token.signed_text, hashlib.sha256) for key in keys]
    matches = [hmac.compare_digest(digest, token.signature) for digest in made]
    return any(matches)
