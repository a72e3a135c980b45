"""Whether a password proves a device's symmetric key: base64 of HMAC-SHA256 under the key, of `est:` and a label.

A password is sent as it is, at every call, so it is not the key: who learns one may enroll under this label and nothing
more, and changing the enrollment's keys ends it. The label is the id of the enrollment, in the spelling of the call or of
the enrollment. One-time passwords are `policy/one_time.py`'s.
"""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode

from accredit.domain.enrollment import Enrollment, EnrollmentKind, SymmetricKeys
from accredit.domain.evidence import DeviceKeys
from accredit.domain.ids import RegistrationId
from accredit.domain.secret import Secret
from accredit.policy.symmetric_keys import device_keys, spellings

PURPOSE = "est:"
MAX_CHARS = 128
"""A password is 44 characters; what is longer than this is none."""


def made_with(key: Secret, label: str) -> str:
    """The password of a device with this key."""
    return b64encode(_digest(key, label)).decode()


def _digest(key: Secret, label: str) -> bytes:
    return hmac.digest(key.reveal(), (PURPOSE + label).encode(), "sha256")


def matching_keys(
    password: Secret, enrollment: Enrollment, registration_id: RegistrationId, label: str
) -> DeviceKeys | None:
    """The device's two keys if one of them made the password for this enrollment; None when neither did.

    `label` is as the call spelled it. None too for an enrollment without symmetric keys. Azure derives a group's keys from the id as typed
    or in lower case; either is taken.
    """
    masters = enrollment.attestation
    shown = _decoded(password)
    if not isinstance(masters, SymmetricKeys) or shown is None:
        return None
    forms: tuple[str | None, ...] = (None,)
    if enrollment.kind is EnrollmentKind.GROUP:
        forms = spellings(registration_id)
    labels = dict.fromkeys((enrollment.id.text, label, enrollment.id.key))
    for spelling in forms:
        keys = device_keys(masters, spelling)
        for key in (keys.primary, keys.secondary):
            if any([hmac.compare_digest(_digest(key, each), shown) for each in labels]):  # noqa: C419 - each is compared
                return keys
    return None


def _decoded(password: Secret) -> bytes | None:
    text = password.reveal()
    if len(text) > MAX_CHARS:
        return None
    try:
        return b64decode(text, validate=True)
    except ValueError:
        return None
