"""What is described is what is shown: each document, read strictly by the struct that describes it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from accredit.domain.errors import NotFound
from accredit.domain.issuance_log import unknown_leaf
from accredit.domain.linked_hub import HubKind, LinkedHub
from accredit.domain.trace import Asked, DecisionTrace, Step
from accredit.wire.service_api import schemas
from accredit.wire.service_api.allowed import allowed_document
from accredit.wire.service_api.authorities import authority_document
from accredit.wire.service_api.bulk import BulkItem, bulk_document
from accredit.wire.service_api.ca_certificates import ca_certificate_document
from accredit.wire.service_api.certificates import certificate_info
from accredit.wire.service_api.documents import write
from accredit.wire.service_api.enrollments import enrollment_document
from accredit.wire.service_api.etags import NO_CONDITION
from accredit.wire.service_api.issuance_log import certificate_document, leaf_document
from accredit.wire.service_api.linked_hubs import linked_hub_document
from accredit.wire.service_api.policies import policy_document
from accredit.wire.service_api.registrations import registration_document
from accredit.wire.service_api.traces import trace_document
from accredit.wire.service_api.trust_bundles import trust_bundle_document
from support import pki
from support import stored_values as some

ROOT = pki.root("root")
DEVICE = some.registration()
TRACE = DecisionTrace("t", "a", 7, Asked.REGISTER, "", None, (Step("x", "y"),), "r", "w", "e", "h", 401002)
FAILED = BulkItem(DEVICE.registration_id, NO_CONDITION, b"")
NONE = NotFound("There is none.", rule="enrollment-unknown")

DOCUMENTS: list[tuple[type, Any]] = [
    (schemas.CertificateInfoShown, certificate_info(ROOT.der)),
    (schemas.IndividualEnrollmentShown, enrollment_document(some.enrollment(), registration=DEVICE)),
    (schemas.EnrollmentGroupShown, enrollment_document(some.group(), keys_shown=True)),
    (schemas.RegistrationShown, registration_document(DEVICE)),
    (schemas.BulkShown, bulk_document([(FAILED, NONE)])),
    (schemas.AuthorityShown, authority_document(some.authority())),
    (schemas.CaCertificateShown, ca_certificate_document(some.ca_certificate())),
    (schemas.TrustBundleShown, trust_bundle_document(some.trust_bundle(certificates=(ROOT.der,)))),
    (schemas.CertificateShown, certificate_document(some.certificate(), some.NOW)),
    (schemas.LeafShown, leaf_document(unknown_leaf(some.BUILTIN, b"c" * 32, 7))),
    (schemas.PolicyShown, policy_document(some.policy(), keys_shown=True)),
    (schemas.LinkedHubShown, linked_hub_document(LinkedHub("a", HubKind.EMBEDDED, "e", 1, 1))),
    (schemas.TraceShown, trace_document(TRACE)),
    (schemas.AllowedShown, allowed_document(DEVICE.registration_id)),
]


SETTINGS = {schemas.AuthorityShown: {"profileName"}}
"""Members that depend on a record's type, which the description speaks of in words."""


@pytest.mark.parametrize(("struct", "document"), DOCUMENTS, ids=[each.__name__ for each, _ in DOCUMENTS])
def test_a_document_is_as_it_is_described(struct: type[msgspec.Struct], document: Any) -> None:
    """It has every member that is promised, of its type, and none that is not described."""
    body = write(document)
    msgspec.json.decode(body, type=struct)
    described = {member.encode_name for member in msgspec.structs.fields(struct)}
    assert msgspec.json.decode(body).keys() - described == SETTINGS.get(struct, set())
