"""Bulk operations on enrollments (BulkEnrollmentOperation of DPS): up to ten documents, one verdict for each.

Each document is read by itself when its turn comes, so that one that does not fit spoils no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import msgspec

from accredit.domain.enrollment import EnrollmentKind
from accredit.domain.errors import AccreditError, Malformed
from accredit.domain.ids import GroupId, RegistrationId
from accredit.values import dataclass
from accredit.wire.refusals import on_the_wire
from accredit.wire.service_api.documents import read
from accredit.wire.service_api.etags import IfMatch, if_match

MAX_ITEMS = 10
"""Azure: the most enrollments of one bulk operation."""


class BulkMode(StrEnum):
    """Without regard to case: Node's client spells the third `updateIfMatchEtag`."""

    CREATE = "create"
    UPDATE = "update"
    UPDATE_IF_MATCH = "updateifmatchetag"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class BulkItem:
    """One document as it was sent; `condition` is the etag in it, which one mode heeds."""

    id: RegistrationId | GroupId
    condition: IfMatch
    body: bytes


@dataclass(frozen=True, slots=True)
class BulkSent:
    mode: BulkMode
    items: tuple[BulkItem, ...]


class BulkDocument(msgspec.Struct, rename="camel"):
    """`enrollments` for individual ones, `enrollmentGroups` for groups."""

    mode: str
    enrollments: list[msgspec.Raw] | None = None
    enrollment_groups: list[msgspec.Raw] | None = None


class _Named(msgspec.Struct, rename="camel"):
    registration_id: str | None = None
    enrollment_group_id: str | None = None
    etag: str | None = None


def read_bulk(body: bytes, kind: EnrollmentKind) -> BulkSent:
    """Read the body of a bulk call."""
    document = read(body, BulkDocument)
    try:
        mode = BulkMode(document.mode.lower())
    except ValueError:
        raise Malformed(
            "mode is not create, update, updateIfMatchETag or delete.", rule="bulk-mode"
        ) from None
    individual = kind is EnrollmentKind.INDIVIDUAL
    member = "enrollments" if individual else "enrollmentGroups"
    listed = document.enrollments if individual else document.enrollment_groups
    if listed is None:
        raise Malformed(f"{member} is missing.", rule="bulk-items")
    if len(listed) > MAX_ITEMS:
        raise Malformed(
            f"{member} holds {len(listed)} documents; at most {MAX_ITEMS} are taken.", rule="bulk-items"
        )
    return BulkSent(mode, tuple(_item(bytes(each), kind, f"{member}[{n}]") for n, each in enumerate(listed)))


def bulk_document(failed: Sequence[tuple[BulkItem, AccreditError]]) -> dict[str, Any]:
    """BulkEnrollmentOperationResult: 200 whatever became of the items."""
    return {"isSuccessful": not failed, "errors": [_error(item, error) for item, error in failed]}


def _item(body: bytes, kind: EnrollmentKind, place: str) -> BulkItem:
    named = read(body, _Named)
    individual = kind is EnrollmentKind.INDIVIDUAL
    text = named.registration_id if individual else named.enrollment_group_id
    if text is None:
        noun = "registrationId" if individual else "enrollmentGroupId"
        raise Malformed(f"{place} has no {noun}.", rule="bulk-items")
    name = RegistrationId.parse(text) if individual else GroupId.parse(text)
    return BulkItem(name, if_match(named.etag), body)


def _error(item: BulkItem, error: AccreditError) -> dict[str, Any]:
    name = "registrationId" if isinstance(item.id, RegistrationId) else "enrollmentGroupId"
    said = f"{error.message.removesuffix('.')}: {error.hint}." if error.hint else error.message
    return {name: item.id.text, "errorCode": on_the_wire(error).code, "errorStatus": said}
