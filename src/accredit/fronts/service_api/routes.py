"""The addresses of the service API, each with the call that it is."""

from __future__ import annotations

from starlette.routing import Route

from accredit.administration.access import Access
from accredit.administration.administration import Administration
from accredit.domain.enrollment import EnrollmentKind
from accredit.fronts.service_api.authorities import AuthorityCalls
from accredit.fronts.service_api.enrollments import EnrollmentCalls
from accredit.fronts.service_api.gate import Gate, Handler
from accredit.fronts.service_api.listings import ListingCalls
from accredit.fronts.service_api.registrations import RegistrationCalls
from accredit.interfaces import Clock, Entropy
from accredit.policy.access import Call


def routes(administration: Administration, access: Access, clock: Clock, entropy: Entropy) -> list[Route]:
    """`query` comes before `{id}`: it is no id."""
    gate = Gate(access, clock, entropy)
    table = (
        *_authorities(AuthorityCalls(administration.authorities)),
        *_enrollments("/enrollments", EnrollmentCalls(administration.enrollments, EnrollmentKind.INDIVIDUAL)),
        *_enrollments("/enrollmentGroups", EnrollmentCalls(administration.enrollments, EnrollmentKind.GROUP)),
        *_registrations(RegistrationCalls(administration.registrations)),
        *_listings(ListingCalls(administration.listings, clock)),
    )
    return [
        Route(path, gate.behind(call, handler), methods=[method]) for method, path, call, handler in table
    ]


Row = tuple[str, str, Call, Handler]


def _authorities(calls: AuthorityCalls) -> tuple[Row, ...]:
    return (
        ("GET", "/certificateAuthorities", Call.LIST_AUTHORITIES, calls.listing),
        ("GET", "/certificateAuthorities/{name}", Call.READ_AUTHORITY, calls.read),
        ("PUT", "/certificateAuthorities/{name}", Call.WRITE_AUTHORITY, calls.put),
        ("DELETE", "/certificateAuthorities/{name}", Call.DELETE_AUTHORITY, calls.delete),
    )


def _enrollments(base: str, calls: EnrollmentCalls) -> tuple[Row, ...]:
    return (
        ("POST", base, Call.BULK_ENROLLMENTS, calls.bulk),
        ("POST", f"{base}/query", Call.QUERY_ENROLLMENTS, calls.query),
        ("GET", f"{base}/{{id}}", Call.READ_ENROLLMENT, calls.read),
        ("PUT", f"{base}/{{id}}", Call.WRITE_ENROLLMENT, calls.put),
        ("DELETE", f"{base}/{{id}}", Call.DELETE_ENROLLMENT, calls.delete),
        ("POST", f"{base}/{{id}}/attestationmechanism", Call.REVEAL_ATTESTATION, calls.reveal),
    )


def _registrations(calls: RegistrationCalls) -> tuple[Row, ...]:
    return (
        ("POST", "/registrations/query", Call.QUERY_REGISTRATIONS, calls.query_all),
        ("POST", "/registrations/{id}/query", Call.QUERY_REGISTRATIONS, calls.query_group),
        ("POST", "/registrations/{id}/move", Call.MOVE_REGISTRATION, calls.move),
        ("GET", "/registrations/{id}", Call.READ_REGISTRATION, calls.read),
        ("DELETE", "/registrations/{id}", Call.DELETE_REGISTRATION, calls.delete),
    )


def _listings(calls: ListingCalls) -> tuple[Row, ...]:
    return (
        ("GET", "/certificates", Call.LIST_CERTIFICATES, calls.certificates),
        ("GET", "/certificates/{serial}", Call.READ_CERTIFICATE, calls.certificate),
        ("GET", "/issuanceLog/leaves", Call.READ_ISSUANCE_LOG, calls.leaves),
    )
