"""The addresses of the service API: each row is one, with the call that it is and what its description says.

A new address is a row here, a right in `policy/access.py`, an example in `tests/support/api_examples.py` and a line in
`docs/service-api.md`; tests miss whichever is not there.
"""

from __future__ import annotations

from starlette.routing import Route

from accredit.administration.access import Access
from accredit.administration.administration import Administration
from accredit.domain.access import Realm
from accredit.domain.enrollment import EnrollmentKind
from accredit.fronts.service_api.authorities import AuthorityCalls
from accredit.fronts.service_api.authority_keys import AuthorityKeyCalls, authority_key_endpoints
from accredit.fronts.service_api.ca_certificates import CaCertificateCalls
from accredit.fronts.service_api.certificate_profiles import (
    CertificateProfileCalls,
    certificate_profile_endpoints,
)
from accredit.fronts.service_api.endpoints import Endpoint, routes_of
from accredit.fronts.service_api.enrollments import EnrollmentCalls
from accredit.fronts.service_api.gate import Counts, Gate
from accredit.fronts.service_api.issuance_log import LogCalls
from accredit.fronts.service_api.linked_hubs import LinkedHubCalls
from accredit.fronts.service_api.listings import ListingCalls
from accredit.fronts.service_api.mass_revocations import MassRevocationCalls, mass_revocation_endpoints
from accredit.fronts.service_api.one_time_passwords import OneTimePasswordCalls
from accredit.fronts.service_api.policies import PolicyCalls
from accredit.fronts.service_api.refusals import RefusalCalls, refusal_endpoints
from accredit.fronts.service_api.registrations import RegistrationCalls
from accredit.fronts.service_api.revocation import RevocationCalls
from accredit.fronts.service_api.trust_bundles import TrustBundleCalls
from accredit.interfaces import Clock, Entropy
from accredit.policy.access import Call
from accredit.wire.service_api.ca_certificates import CaCertificateDocument, VerificationDocument
from accredit.wire.service_api.enrollments import EnrollmentDocument
from accredit.wire.service_api.linked_hubs import LinkedHubDocument
from accredit.wire.service_api.openapi import IF_MATCH, Described, Parameter
from accredit.wire.service_api.policies import PolicyDocument, RotationDocument
from accredit.wire.service_api.queries import QueryDocument
from accredit.wire.service_api.registrations import MoveDocument
from accredit.wire.service_api.revocation import ReceiptShown, RevokeDocument
from accredit.wire.service_api.schemas import (
    AttestationShown,
    AuthorityShown,
    AuthorityTaken,
    BulkShown,
    BulkTaken,
    CaCertificateShown,
    CertificateShown,
    EnrollmentGroupShown,
    ForecastShown,
    IndividualEnrollmentShown,
    LeafShown,
    LinkedHubShown,
    OneTimePasswordShown,
    OrphanShown,
    PolicyShown,
    RegistrationShown,
    TrustBundleShown,
    VerificationCodeShown,
)
from accredit.wire.service_api.tree import (
    ConsistencyShown,
    ExportedShown,
    HeadDocument,
    InclusionShown,
    WitnessShown,
)
from accredit.wire.service_api.trust_bundles import TrustBundleDocument


def routes(
    administration: Administration,
    access: Access,
    clock: Clock,
    entropy: Entropy,
    counts: Counts | None = None,
) -> list[Route]:
    """The endpoints behind their gate."""
    return routes_of(endpoints(administration, clock), Gate(access, clock, entropy, counts=counts))


def endpoints(administration: Administration, clock: Clock) -> tuple[Endpoint, ...]:
    """The table. `query` comes before `{id}`: it is no id."""
    return (
        *_authorities(AuthorityCalls(administration.authorities)),
        *authority_key_endpoints(AuthorityKeyCalls(administration.authority_keys)),
        *_trust_bundles(TrustBundleCalls(administration.trust_bundles)),
        *certificate_profile_endpoints(CertificateProfileCalls(administration.certificate_profiles)),
        *_ca_certificates(CaCertificateCalls(administration.ca_certificates)),
        *_enrollments("/enrollments", EnrollmentCalls(administration.enrollments, EnrollmentKind.INDIVIDUAL)),
        *_enrollments("/enrollmentGroups", EnrollmentCalls(administration.enrollments, EnrollmentKind.GROUP)),
        *_one_time_passwords(OneTimePasswordCalls(administration.one_time_passwords)),
        *_registrations(RegistrationCalls(administration.registrations)),
        *_revocation(RevocationCalls(administration.revocation)),
        *mass_revocation_endpoints(MassRevocationCalls(administration.mass_revocations)),
        *_listings(ListingCalls(administration.listings, clock)),
        *_issuance_log(LogCalls(administration.issuance_log)),
        *refusal_endpoints(RefusalCalls(administration.traces, administration.allowed)),
        *_linked_hubs(LinkedHubCalls(administration.linked_hubs)),
        *_policies("/policies", PolicyCalls(administration.policies, Realm.PROVISIONING)),
        *_policies("/hubPolicies", PolicyCalls(administration.policies, Realm.HUB)),
    )


def _authorities(calls: AuthorityCalls) -> tuple[Endpoint, ...]:
    collection, one = "/certificateAuthorities", "/certificateAuthorities/{name}"
    return (
        Endpoint(
            "GET", collection, Call.LIST_AUTHORITIES, calls.listing,
            Described("List the certificate authorities.", answers=AuthorityShown, rows=True),
        ),
        Endpoint(
            "GET", one, Call.READ_AUTHORITY, calls.read,
            Described("Show one, without its secrets.", answers=AuthorityShown),
        ),
        Endpoint(
            "PUT", one, Call.WRITE_AUTHORITY, calls.put,
            Described("Create or replace one.", answers=AuthorityShown, takes=AuthorityTaken),
        ),
        Endpoint(
            "DELETE", one, Call.DELETE_AUTHORITY, calls.delete,
            Described("Remove one that no enrollment names."),
        ),
    )  # fmt: skip


def _trust_bundles(calls: TrustBundleCalls) -> tuple[Endpoint, ...]:
    collection, one = "/trustBundles", "/trustBundles/{name}"
    return (
        Endpoint(
            "GET", collection, Call.LIST_TRUST_BUNDLES, calls.listing,
            Described("List the trust bundles.", answers=TrustBundleShown, rows=True),
        ),
        Endpoint(
            "GET", one, Call.READ_TRUST_BUNDLE, calls.read,
            Described("Show one, as devices get it.", answers=TrustBundleShown),
        ),
        Endpoint(
            "PUT", one, Call.WRITE_TRUST_BUNDLE, calls.put,
            Described("Create or replace one.", answers=TrustBundleShown, takes=TrustBundleDocument),
        ),
        Endpoint(
            "DELETE", one, Call.DELETE_TRUST_BUNDLE, calls.delete,
            Described("Remove one that no enrollment names."),
        ),
    )  # fmt: skip


def _ca_certificates(calls: CaCertificateCalls) -> tuple[Endpoint, ...]:
    """A code is made by its own name, and by the one that Azure's API has for it."""
    collection, one = "/caCertificates", "/caCertificates/{name}"
    code = Described(
        "Make a verification code, which ends the one before.",
        answers=VerificationCodeShown, parameters=(IF_MATCH,),
    )  # fmt: skip
    return (
        Endpoint(
            "GET", collection, Call.LIST_CA_CERTIFICATES, calls.listing,
            Described("List the uploaded CA certificates.", answers=CaCertificateShown, rows=True),
        ),
        Endpoint(
            "GET", one, Call.READ_CA_CERTIFICATE, calls.read,
            Described("Show one uploaded CA certificate.", answers=CaCertificateShown),
        ),
        Endpoint(
            "PUT", one, Call.WRITE_CA_CERTIFICATE, calls.put,
            Described("Upload or replace one.", answers=CaCertificateShown, takes=CaCertificateDocument),
        ),
        Endpoint(
            "DELETE", one, Call.DELETE_CA_CERTIFICATE, calls.delete,
            Described("Remove one that no enrollment refers to."),
        ),
        Endpoint("POST", f"{one}/verificationCode", Call.VERIFY_CA_CERTIFICATE, calls.make_code, code),
        Endpoint("POST", f"{one}/generateVerificationCode", Call.VERIFY_CA_CERTIFICATE, calls.make_code, code),
        Endpoint(
            "POST", f"{one}/verify", Call.VERIFY_CA_CERTIFICATE, calls.verify,
            Described(
                "Prove possession of its key by a certificate that it signed for the code.",
                answers=CaCertificateShown, takes=VerificationDocument, parameters=(IF_MATCH,),
            ),
        ),
    )  # fmt: skip


def _enrollments(base: str, calls: EnrollmentCalls) -> tuple[Endpoint, ...]:
    individual = calls.kind is EnrollmentKind.INDIVIDUAL
    shown = IndividualEnrollmentShown if individual else EnrollmentGroupShown
    noun = "individual enrollment" if individual else "enrollment group"
    return (
        Endpoint(
            "POST", base, Call.BULK_ENROLLMENTS, calls.bulk,
            Described(f"Create, update or delete up to 10 {noun}s.", answers=BulkShown, takes=BulkTaken),
        ),
        Endpoint(
            "POST", f"{base}/query", Call.QUERY_ENROLLMENTS, calls.query,
            Described(f"List {noun}s.", answers=shown, takes=QueryDocument, rows=True),
        ),
        Endpoint(
            "GET", f"{base}/{{id}}", Call.READ_ENROLLMENT, calls.read,
            Described(f"Show one {noun}, without keys.", answers=shown),
        ),
        Endpoint(
            "PUT", f"{base}/{{id}}", Call.WRITE_ENROLLMENT, calls.put,
            Described(f"Create or replace one {noun}.", answers=shown, takes=EnrollmentDocument),
        ),
        Endpoint(
            "DELETE", f"{base}/{{id}}", Call.DELETE_ENROLLMENT, calls.delete,
            Described(f"Remove one {noun}."),
        ),
        Endpoint(
            "POST", f"{base}/{{id}}/attestationmechanism", Call.REVEAL_ATTESTATION, calls.reveal,
            Described("Show the attestation with its keys.", answers=AttestationShown),
        ),
    )  # fmt: skip


def _one_time_passwords(calls: OneTimePasswordCalls) -> tuple[Endpoint, ...]:
    return (
        Endpoint(
            "POST", "/enrollments/{id}/oneTimePassword", Call.MAKE_ONE_TIME_PASSWORD, calls.make,
            Described("Make a password for one EST enrollment of the device.", answers=OneTimePasswordShown),
        ),
    )  # fmt: skip


def _registrations(calls: RegistrationCalls) -> tuple[Endpoint, ...]:
    one = "/registrations/{id}"
    return (
        Endpoint(
            "POST", "/registrations/query", Call.QUERY_REGISTRATIONS, calls.query_all,
            Described("List the registrations.", answers=RegistrationShown, takes=QueryDocument, rows=True),
        ),
        Endpoint(
            "POST", f"{one}/query", Call.QUERY_REGISTRATIONS, calls.query_group,
            Described("List a group's registrations.", answers=RegistrationShown, takes=QueryDocument, rows=True),
        ),
        Endpoint(
            "POST", f"{one}/move", Call.MOVE_REGISTRATION, calls.move,
            Described(
                "Hand a registration to another enrollment.",
                answers=RegistrationShown, takes=MoveDocument, parameters=(IF_MATCH,),
            ),
        ),
        Endpoint(
            "POST", f"{one}/resume", Call.RESUME_REGISTRATION, calls.resume,
            Described("Let a paused device try again.", answers=RegistrationShown),
        ),
        Endpoint(
            "GET", one, Call.READ_REGISTRATION, calls.read,
            Described("Show one registration.", answers=RegistrationShown),
        ),
        Endpoint(
            "DELETE", one, Call.DELETE_REGISTRATION, calls.delete,
            Described("Forget a registration; the device registers as a new one."),
        ),
    )  # fmt: skip


def _revocation(calls: RevocationCalls) -> tuple[Endpoint, ...]:
    return (
        Endpoint(
            "POST", "/registrations/{id}/revoke", Call.REVOKE_DEVICE, calls.revoke,
            Described(
                "Revoke a device: enrollment, certificates, hub identity and connection in one act.",
                answers=ReceiptShown, takes=RevokeDocument,
            ),
        ),
        Endpoint(
            "POST", "/registrations/{id}/readmit", Call.READMIT_DEVICE, calls.readmit,
            Described("Let a revoked device register anew."),
        ),
    )  # fmt: skip


def _listings(calls: ListingCalls) -> tuple[Endpoint, ...]:
    registration_id = Parameter("registrationId", "query", "Only this registration's.")
    authority = Parameter("authority", "query", "Where authorities share the serial number: whose it is.")
    return (
        Endpoint(
            "GET", "/certificates", Call.LIST_CERTIFICATES, calls.certificates,
            Described(
                "List the certificates that were issued.",
                answers=CertificateShown, rows=True, parameters=(registration_id,),
            ),
        ),
        Endpoint(
            "GET", "/certificates/{serial}", Call.READ_CERTIFICATE, calls.certificate,
            Described(
                "Show one by its serial number or SHA-256.",
                answers=CertificateShown, parameters=(authority,),
            ),
        ),
        Endpoint(
            "GET", "/certificateForecast", Call.LIST_CERTIFICATES, calls.forecast,
            Described(
                "Tell how many certificates are renewed and end on each day to come.",
                answers=ForecastShown, rows=True,
                parameters=(Parameter("days", "query", "How many days, from today; 30 by default."),),
            ),
        ),
        Endpoint(
            "GET", "/certificateOrphans", Call.LIST_CERTIFICATES, calls.orphans,
            Described("List the signatures that serve nobody.", answers=OrphanShown, rows=True),
        ),
        Endpoint(
            "GET", "/issuanceLog/leaves", Call.READ_ISSUANCE_LOG, calls.leaves,
            Described("List the leaves of the issuance log.", answers=LeafShown, rows=True),
        ),
    )  # fmt: skip


def _issuance_log(calls: LogCalls) -> tuple[Endpoint, ...]:
    size = Parameter("size", "query", "The head of this many leaves; the newest by default.")
    sha256 = Parameter("sha256", "query", "The SHA-256 of a certificate, in hex.")
    kind = Parameter(
        "kind", "query", "certificate, unknown or revocation; the first leaf about it by default."
    )
    first = Parameter("first", "query", "The size of the earlier tree.")
    second = Parameter("second", "query", "The size of the later tree; the newest head's by default.")
    start = Parameter("start", "query", "The place in the tree to begin at; 0 by default.")
    limit = Parameter("limit", "query", "At most so many leaves, up to 1000.")
    return (
        Endpoint(
            "GET", "/issuanceLog/head", Call.READ_ISSUANCE_LOG, calls.head,
            Described("Show a signed tree head.", answers=HeadDocument, parameters=(size,)),
        ),
        Endpoint(
            "GET", "/issuanceLog/witness", Call.READ_ISSUANCE_LOG, calls.witness,
            Described("Show which heads the log's witness has taken, and what waits for it.", answers=WitnessShown),
        ),
        Endpoint(
            "GET", "/issuanceLog/inclusion", Call.READ_ISSUANCE_LOG, calls.inclusion,
            Described(
                "Prove that a head covers a certificate.",
                answers=InclusionShown, parameters=(sha256, size, kind),
            ),
        ),
        Endpoint(
            "GET", "/issuanceLog/consistency", Call.READ_ISSUANCE_LOG, calls.consistency,
            Described(
                "Prove that a head covers all that an earlier one did.",
                answers=ConsistencyShown, parameters=(first, second),
            ),
        ),
        Endpoint(
            "GET", "/issuanceLog/entries", Call.READ_ISSUANCE_LOG, calls.entries,
            Described(
                "List the leaves in the order of the tree, with the certificates that they cover.",
                answers=ExportedShown, rows=True, parameters=(start, limit),
            ),
        ),
    )  # fmt: skip


def _linked_hubs(calls: LinkedHubCalls) -> tuple[Endpoint, ...]:
    collection, one = "/linkedHubs", "/linkedHubs/{name}"
    return (
        Endpoint(
            "GET", collection, Call.LIST_LINKED_HUBS, calls.listing,
            Described("List the linked hubs.", answers=LinkedHubShown, rows=True),
        ),
        Endpoint(
            "GET", one, Call.READ_LINKED_HUB, calls.read,
            Described("Show one, without its connection string.", answers=LinkedHubShown),
        ),
        Endpoint(
            "PUT", one, Call.WRITE_LINKED_HUB, calls.put,
            Described("Link a hub, or change how one is linked.", answers=LinkedHubShown, takes=LinkedHubDocument),
        ),
        Endpoint(
            "DELETE", one, Call.DELETE_LINKED_HUB, calls.delete,
            Described("Unlink one that nobody needs."),
        ),
    )  # fmt: skip


def _policies(base: str, calls: PolicyCalls) -> tuple[Endpoint, ...]:
    one, of = f"{base}/{{name}}", "the hub" if calls.realm is Realm.HUB else "the service API"
    return (
        Endpoint(
            "GET", base, Call.LIST_POLICIES, calls.listing,
            Described(f"List the policies of {of}, without keys.", answers=PolicyShown, rows=True),
        ),
        Endpoint(
            "GET", one, Call.READ_POLICY, calls.read,
            Described("Show one policy, without keys.", answers=PolicyShown),
        ),
        Endpoint(
            "PUT", one, Call.WRITE_POLICY, calls.put,
            Described("Create or replace one policy; shows its keys.", answers=PolicyShown, takes=PolicyDocument),
        ),
        Endpoint(
            "DELETE", one, Call.DELETE_POLICY, calls.delete,
            Described("Remove one policy; its tokens end at once."),
        ),
        Endpoint(
            "POST", f"{one}/rotate", Call.ROTATE_POLICY, calls.rotate,
            Described(
                "Make one of the two keys anew; shows both.",
                answers=PolicyShown, takes=RotationDocument, parameters=(IF_MATCH,),
            ),
        ),
    )  # fmt: skip
