"""Whether a SAS token proves a device's symmetric key, its own or one derived from its group's.

Azure DPS, *symmetric key attestation*: a group's device key is HMAC-SHA256 of the registration id under the group's
master key. The caller says which enrollments are tried, and in which order; reading a token is `wire/sas.py`'s,
and which usual mistake a wrong one shows is `policy/wrong_keys.py`'s. A device is told `Unauthorized` and no more.
"""

from __future__ import annotations

import hmac

from accredit.domain.enrollment import Enrollment, EnrollmentKind, SymmetricKeys
from accredit.domain.errors import Unauthenticated
from accredit.domain.evidence import DeviceKeys, SasToken
from accredit.domain.ids import RegistrationId
from accredit.domain.secret import Secret

MAX_LIFETIME_S = 365 * 86_400
"""A token that is valid for longer is worth a line in the log."""


def derive(master: Secret, registration_id: str) -> Secret:
    """The key of one device of a group. The id is hashed as it is spelled here."""
    return Secret(hmac.digest(master.reveal(), registration_id.encode(), "sha256"))


def signed_by(token: SasToken, key: Secret) -> bool:
    """Whether this key made the signature; takes as long for a wrong one as for the right one."""
    return hmac.compare_digest(hmac.digest(key.reveal(), token.signed_text, "sha256"), token.signature)


def check_terms(
    token: SasToken,
    id_scope: str,
    registration_id: RegistrationId,
    now: float,
    max_lifetime_s: int = MAX_LIFETIME_S,
) -> bool:
    """Raise Unauthenticated unless the token is for this registration and not expired.

    Returns whether it is valid for longer than `max_lifetime_s`: to be logged.
    """
    if token.expires_at <= now:
        raise Unauthenticated(
            "Unauthorized",
            rule="sas-expired",
            hint="check the device's clock, and that it makes a new token for each connection",
            evidence=f"the token expired {int(now - token.expires_at)} s ago: the device's clock differs "
            "by that much and the token's lifetime, or it showed an old token",
        )
    if not _covers(token.resource, id_scope, registration_id):
        raise Unauthenticated(
            "Unauthorized",
            rule="sas-scope",
            hint=f"the token must be signed for {id_scope}/registrations/{registration_id}",
            evidence=f"the token is for {token.resource[:200]!r}: {_astray(token.resource, id_scope)}",
        )
    return token.expires_at - now > max_lifetime_s


def _covers(resource: str, id_scope: str, registration_id: RegistrationId) -> bool:
    """`{idScope}/registrations/{registrationId}`; of the three only the id compares without regard to case."""
    parts = resource.split("/")
    return (
        len(parts) == 3
        and parts[0] == id_scope
        and parts[1] == "registrations"
        and parts[2].lower() == registration_id.key
    )


def _astray(resource: str, id_scope: str) -> str:
    """Which part of a resource is not as it should be."""
    parts = resource.split("/")
    if len(parts) != 3 or parts[1].lower() != "registrations":
        return "it is not of the form idScope/registrations/registrationId"
    if parts[0] != id_scope:
        case = parts[0].lower() == id_scope.lower()
        return "its id scope is spelled in another case" if case else "its id scope is another"
    if parts[1] != "registrations":
        return "`registrations` is spelled in another case"
    return "its registration id is another than the one that the call names"


def matching_keys(
    token: SasToken, enrollment: Enrollment, registration_id: RegistrationId
) -> DeviceKeys | None:
    """The device's two keys if one of them signed the token; None when neither did.

    None too for an enrollment without symmetric keys. Does not ask whether the enrollment is enabled.
    """
    if not isinstance(enrollment.attestation, SymmetricKeys):
        return None
    if enrollment.kind is EnrollmentKind.INDIVIDUAL:
        return _own(token, enrollment.attestation)
    return _derived(token, enrollment.attestation, registration_id)


def _own(token: SasToken, keys: SymmetricKeys) -> DeviceKeys | None:
    if signed_by(token, keys.primary) or signed_by(token, keys.secondary):
        return DeviceKeys(keys.primary, keys.secondary)
    return None


def _derived(token: SasToken, masters: SymmetricKeys, registration_id: RegistrationId) -> DeviceKeys | None:
    """Azure: tools derive from the id as typed, the docs say from its lower-case form; either is taken."""
    for spelling in spellings(registration_id):
        primary = derive(masters.primary, spelling)
        if signed_by(token, primary):
            return DeviceKeys(primary, derive(masters.secondary, spelling), spelling)
        secondary = derive(masters.secondary, spelling)
        if signed_by(token, secondary):
            return DeviceKeys(primary, secondary, spelling)
    return None


def device_keys(keys: SymmetricKeys, spelling: str | None) -> DeviceKeys:
    """The keys of a device that proved itself: those that a group's derive for this spelling, else its own."""
    if spelling is None:
        return DeviceKeys(keys.primary, keys.secondary)
    return DeviceKeys(derive(keys.primary, spelling), derive(keys.secondary, spelling), spelling)


def spellings(registration_id: RegistrationId) -> tuple[str, ...]:
    if registration_id.text == registration_id.key:
        return (registration_id.key,)
    return registration_id.text, registration_id.key
