"""Which usual mistake a token shows that no enrollment's key has signed: for the operator, once it is refused.

A device that signs with a key that is nearly right can be told from a stranger: each kind of mistake is one more signature
to try, in a bounded number of enrollments. Nothing here lets anybody in, and nothing of it reaches the device.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from urllib.parse import quote

from accredit.domain.enrollment import Enrollment, EnrollmentKind, SymmetricKeys
from accredit.domain.errors import Unauthenticated
from accredit.domain.evidence import SasToken
from accredit.domain.ids import RegistrationId
from accredit.domain.secret import Secret
from accredit.policy.symmetric_keys import derive, matching_keys, signed_by, spellings
from accredit.values import dataclass, replace

MOST_DIAGNOSED = 8
"""In how many enrollments a usual mistake is looked for: a stranger's token must not cost more than it has to."""


@dataclass(frozen=True, slots=True)
class _Mistake:
    evidence: str
    hint: str


def unproven(
    token: SasToken,
    tried: Sequence[Enrollment],
    registration_id: RegistrationId,
    others: Sequence[Enrollment] = (),
) -> Unauthenticated:
    """The refusal once no enrollment's key matched; names the usual mistake when the signature shows which it was.

    `others` are groups that were not tried: they do not take this id, or an individual enrollment stands before them.
    """
    found = next(_mistakes(token, tried, registration_id, others), None)
    if found is None:
        number = len(tried)
        noun = "enrollment" if number == 1 else "enrollments"
        found = _Mistake(
            f"none of {number} {noun} with symmetric keys has the key that signed the token",
            "compare the device's key with the enrollment's; a group's device uses a derived key",
        )
    return Unauthenticated("Unauthorized", rule="sas-signature", hint=found.hint, evidence=found.evidence)


def _mistakes(
    token: SasToken,
    tried: Sequence[Enrollment],
    registration_id: RegistrationId,
    others: Sequence[Enrollment],
) -> Iterator[_Mistake]:
    for enrollment in tried[:MOST_DIAGNOSED]:
        if isinstance(enrollment.attestation, SymmetricKeys):
            yield from _with_its_keys(token, enrollment, enrollment.attestation, registration_id)
            yield from _over_another_text(token, enrollment, registration_id)
    for enrollment in [other for other in others if other not in tried][:MOST_DIAGNOSED]:
        if matching_keys(token, enrollment, registration_id) is not None:
            yield _not_open(enrollment, tried, registration_id)


def _with_its_keys(
    token: SasToken, enrollment: Enrollment, keys: SymmetricKeys, registration_id: RegistrationId
) -> Iterator[_Mistake]:
    """Keys that are nearly right."""
    group = enrollment.kind is EnrollmentKind.GROUP
    for name, key in (("primary", keys.primary), ("secondary", keys.secondary)):
        whose = f"the {name} key of {_named(enrollment)}"
        if group and signed_by(token, key):
            yield _Mistake(
                f"the token is signed with the {name} master key of {_named(enrollment)} itself",
                "derive the device's key from the master key; the master key stays off devices",
            )
        for spelling in spellings(registration_id):
            device_key = derive(key, spelling)
            if not group and signed_by(token, device_key):
                yield _Mistake(
                    f"the token is signed with a key derived from {whose}",
                    "an individual enrollment's key is used as it is",
                )
            if group and signed_by(token, _text_of(device_key)):
                yield _undecoded(f"the key derived from {whose}")
            if group and signed_by(token, derive(_text_of(key), spelling)):
                yield _undecoded(f"{whose}, when the device's key was derived")
        for spelling in _other_spellings(token, registration_id) if group else ():
            if signed_by(token, derive(key, spelling)):
                yield _Mistake(
                    f"the token is signed with the key that {_named(enrollment)} has for {spelling[:130]!r}",
                    f"derive the device's key from {registration_id.key!r}, or from the id as the device sends it",
                )
        if signed_by(token, _text_of(key)):
            yield _undecoded(whose)


def _other_spellings(token: SasToken, registration_id: RegistrationId) -> tuple[str, ...]:
    """Forms of the id that tools derive from by mistake."""
    text = registration_id.text
    sent = token.resource.rpartition("/")[2]
    right = spellings(registration_id)
    return tuple(
        form for form in dict.fromkeys((text.upper(), sent, f"{text}\n", token.resource)) if form not in right
    )


def _over_another_text(
    token: SasToken, enrollment: Enrollment, registration_id: RegistrationId
) -> Iterator[_Mistake]:
    """The right key, over another text than the one that was sent."""
    expiry = str(token.expires_at)
    encoded = quote(token.resource, safe="")
    for resource, what in (
        (token.resource, "decoded"),
        (encoded, "encoded"),
        (encoded.lower(), "in lower case"),
    ):
        other = replace(token, signed_text=f"{resource}\n{expiry}".encode())
        if other.signed_text != token.signed_text and matching_keys(other, enrollment, registration_id):
            yield _Mistake(
                f"the right key of {_named(enrollment)} signed the resource {what}, and it was sent otherwise",
                "sign `sr` exactly as it stands in the token",
            )
    without = replace(token, signed_text=token.signed_text.replace(b"\n", b""))
    if matching_keys(without, enrollment, registration_id):
        yield _Mistake(
            f"the right key of {_named(enrollment)} signed `sr` and `se` without the line feed between them",
            "sign the resource, a line feed, and the expiry",
        )


def _not_open(other: Enrollment, tried: Sequence[Enrollment], registration_id: RegistrationId) -> _Mistake:
    individual = next((one for one in tried if one.kind is EnrollmentKind.INDIVIDUAL), None)
    if individual is not None:
        return _Mistake(
            f"the token proves {_named(other)}, but an individual enrollment of {registration_id} stands before it",
            "remove the individual enrollment, or give the device its key",
        )
    return _Mistake(
        f"the token proves {_named(other)}, whose idPattern does not match {registration_id}",
        "widen the group's idPattern, or correct the registration id",
    )


def _named(enrollment: Enrollment) -> str:
    noun = "group" if enrollment.kind is EnrollmentKind.GROUP else "individual enrollment"
    return f"{noun} {enrollment.id}"


def _text_of(key: Secret) -> Secret:
    return Secret(b64encode(key.reveal()))


def _undecoded(which: str) -> _Mistake:
    return _Mistake(
        f"the token is signed with the base64 text of {which}",
        "decode the key from base64 before signing with it",
    )
