"""The list of registration ids that a group is open to (an extension: `/enrollmentGroups/{id}/allowedRegistrationIds`)."""

from __future__ import annotations

from typing import Any

import msgspec

from accredit.domain.ids import RegistrationId
from accredit.wire.service_api.documents import read


class AllowedDocument(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """The body of a change: ids to put on the list, and ids to take off it."""

    add: list[str] = []
    remove: list[str] = []


def read_allowed(body: bytes) -> tuple[tuple[RegistrationId, ...], tuple[RegistrationId, ...]]:
    """The ids to add and to remove. Raises Malformed, naming the first that is none."""
    document = read(body, AllowedDocument)
    return tuple(map(RegistrationId.parse, document.add)), tuple(map(RegistrationId.parse, document.remove))


def allowed_document(registration_id: RegistrationId) -> dict[str, Any]:
    """One row of the list."""
    return {"registrationId": registration_id.text}
