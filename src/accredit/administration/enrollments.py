"""Individual enrollments and enrollment groups: put, read, delete, list.

Not here: what a document may look like (`wire/service_api/enrollments.py`), and what an enrollment does to a device
(`provisioning`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from accredit.administration import names
from accredit.administration.attestations import settled
from accredit.administration.preconditions import check_present, check_put, repeated
from accredit.administration.selections import selected
from accredit.administration.tpm_vendors import check_vendor_of
from accredit.domain import allocation as stated
from accredit.domain.authority import AuthorityRecord
from accredit.domain.ca_certificate import Purpose
from accredit.domain.changes import AssertAuthority, AssertHub, Change, DeleteEnrollment, SaveEnrollment
from accredit.domain.enrollment import Enrollment, EnrollmentKind, EnrollmentRef
from accredit.domain.errors import Conflict, Malformed, NotFound
from accredit.domain.ids import MAX_COMMON_NAME_CHARS, AuthorityName
from accredit.domain.linked_hub import LinkedHub
from accredit.domain.registration import Registration
from accredit.domain.secret import Secret
from accredit.interfaces import Clock, Entropy, Hubs, Page, Store
from accredit.observe import log
from accredit.policy import anchors
from accredit.policy.destinations import BadDestination, destination
from accredit.values import dataclass
from accredit.wire.service_api.attestations import KeysSent
from accredit.wire.service_api.enrollments import EnrollmentSent
from accredit.wire.service_api.etags import IfMatch
from accredit.wire.service_api.queries import Paging
from accredit.wire.service_api.query_language import Condition
from accredit.wire.service_api.selectable import keys_of

MAX_UNPATTERNED_GROUPS = 100
"""A wrong key costs one derivation for each of these, so their number is bounded (Azure: 100 symmetric groups)."""

_ID_PATTERN = "idPattern"

MayDefine = Callable[[], Awaitable[None]]
"""Raises Unauthenticated when the caller has no right to define webhooks."""


@dataclass(frozen=True, slots=True)
class Enrollments:
    store: Store
    clock: Clock
    entropy: Entropy
    hubs: Hubs

    async def put(
        self,
        sent: EnrollmentSent,
        condition: IfMatch,
        by: str,
        *,
        must_exist: bool = False,
        may_define: MayDefine | None = None,
    ) -> Enrollment:
        """Create or replace, as `condition` allows; with `must_exist` nothing is created.

        `may_define` is asked when a webhook would be another than before: it makes this service call somebody, and
        decides over every device.
        """
        return await repeated(lambda: self._put(sent, condition, by, must_exist, may_define))

    async def read(self, ref: EnrollmentRef) -> Enrollment:
        """Raises NotFound."""
        enrollment = await self.store.enrollment(ref)
        if enrollment is None:
            raise NotFound(f"There is no such {_noun(ref)}.", rule="enrollment-unknown")
        return enrollment

    async def registration_of(self, enrollment: Enrollment) -> Registration | None:
        """The state of an individual enrollment's own registration; a group's does not count, even by the same id."""
        if enrollment.kind is EnrollmentKind.GROUP:
            return None
        registration = await self.store.registration(enrollment.id)  # type: ignore[arg-type]
        return (
            registration if registration is not None and registration.enrollment == enrollment.ref else None
        )

    async def delete(self, ref: EnrollmentRef, condition: IfMatch, by: str) -> None:
        """Delete, as `condition` allows."""
        await repeated(lambda: self._delete(ref, condition))
        log.info("enrollment-deleted", by=by, enrollment=f"{ref.kind}/{ref.key}")

    async def page(
        self, kind: EnrollmentKind, condition: Condition | None, paging: Paging
    ) -> Page[Enrollment]:
        """What the condition selects, by id."""
        name = "registrationId" if kind is EnrollmentKind.INDIVIDUAL else "enrollmentGroupId"
        keys = keys_of(condition, name)

        async def listing(cursor: str | None, limit: int) -> Page[Enrollment]:
            return await self.store.enrollments(kind, cursor, limit, keys.low, keys.high)

        return await selected(listing, condition, paging)

    async def _put(
        self,
        sent: EnrollmentSent,
        condition: IfMatch,
        by: str,
        must_exist: bool,  # noqa: FBT001 - as `put` says it
        may_define: MayDefine | None,
    ) -> Enrollment:
        present = await (self.read(sent.ref) if must_exist else self.store.enrollment(sent.ref))
        check_put(condition, present.etag if present else None, _noun(sent.ref))
        if may_define is not None and _defines_webhook(sent, present):
            await may_define()
        authority = await self._authority(sent)
        await self._check_capacity(sent)
        await check_vendor_of(self.store, sent.attestation, int(self.clock.now()))
        linked = await self.hubs.linked()
        enrollment = self._built(sent, present, linked)
        await self._check_named(enrollment)
        unit: list[Change] = [SaveEnrollment(enrollment, replaces=present.etag if present else None)]
        named = {*enrollment.hubs, *(clause.hub for clause in stated.rule(enrollment))}
        unit += [AssertHub(hub.key) for hub in linked if hub.name in named and not hub.first]
        if authority is not None:
            unit.append(AssertAuthority(authority.name, authority.version))
        await self.store.commit(unit)
        outcome = "replaced" if present else "created"
        log.info(
            "enrollment-saved",
            by=by,
            enrollment=f"{sent.kind}/{enrollment.id}",
            outcome=outcome,
            warning=warning_about(enrollment),
        )
        return enrollment

    async def _delete(self, ref: EnrollmentRef, condition: IfMatch) -> None:
        present = await self.store.enrollment(ref)
        check_present(condition, present.etag if present else None, _noun(ref), "enrollment-unknown")
        assert present is not None
        await self.store.commit([DeleteEnrollment(ref, present.etag)])

    async def _authority(self, sent: EnrollmentSent) -> AuthorityRecord | None:
        if sent.authority is None:
            return None
        authority = await self.store.authority(sent.authority)
        if authority is None:
            policy = "credentialPolicyName"
            member = policy if policy in sent.settings else "clientCertificateIssuancePolicy"
            raise Malformed(
                f"{member} names {sent.authority.text!r}, which is no certificate authority.",
                rule="authority-unknown",
                hint="PUT /certificateAuthorities/{name} makes one",
            )
        for text in sent.settings.get("certificateAuthorityNames", ()):
            if await self.store.authority(AuthorityName.parse(text)) is None:
                raise Malformed(
                    f"certificateAuthorityNames names {text!r}, which is no certificate authority.",
                    rule="authority-unknown",
                    hint="PUT /certificateAuthorities/{name} makes one",
                )
        return authority

    async def _check_named(self, enrollment: Enrollment) -> None:
        bundle = enrollment.trust_bundle
        if bundle is not None and await self.store.trust_bundle(bundle) is None:
            raise Malformed(
                f"trustBundleId names {bundle.text!r}, which is no trust bundle.",
                rule="trust-bundle-unknown",
                hint="PUT /trustBundles/{name} makes one",
            )
        profile = enrollment.profile
        if profile is not None and await self.store.certificate_profile(profile) is None:
            raise Malformed(
                f"certificateProfileName names {profile.text!r}, which is no certificate profile.",
                rule="certificate-profile-unknown",
                hint="PUT /certificateProfiles/{name} makes one",
            )
        for name in anchors.referred((enrollment,)):
            record = await self.store.ca_certificate(name)
            if record is None:
                raise Malformed(
                    f"x509.caReferences names {name.text!r}, which is no uploaded CA certificate.",
                    rule="ca-certificate-unknown",
                    hint="PUT /caCertificates/{name} uploads one",
                )
            if record.purpose is not Purpose.X509:
                raise Malformed(
                    f"x509.caReferences names {name.text!r}, whose purpose is {record.purpose}.",
                    rule="ca-certificate-purpose",
                )

    async def _check_capacity(self, sent: EnrollmentSent) -> None:
        # Two creations at the same instant may both pass: the bound keeps refusals cheap, it is not a quota.
        unpatterned = sent.kind is EnrollmentKind.GROUP and _ID_PATTERN not in sent.settings
        if not unpatterned or not isinstance(sent.attestation, KeysSent):
            return
        others = [
            group
            for group in await self.store.symmetric_groups()
            if group.ref != sent.ref and _ID_PATTERN not in group.settings
        ]
        if len(others) >= MAX_UNPATTERNED_GROUPS:
            raise Conflict(
                f"There are {len(others)} symmetric-key groups without idPattern already, the most there can be.",
                rule="group-capacity",
                hint="give the group an idPattern, a regular expression that its registration ids match",
            )

    def _built(
        self, sent: EnrollmentSent, present: Enrollment | None, linked: Sequence[LinkedHub]
    ) -> Enrollment:
        now = int(self.clock.now())
        settings = dict(sent.settings)
        if "iotHubHostName" in settings:
            settings["iotHubHostName"] = _linked(settings["iotHubHostName"], linked)
        if stated.RULE in settings:
            settings[stated.RULE] = [
                {**clause, "hub": _linked(clause["hub"], linked, stated.RULE)}
                for clause in settings[stated.RULE]
            ]
        for member in stated.WEBHOOKS:
            if member in settings:
                _check_webhook(settings[member]["webhookUrl"], member)
        return Enrollment(
            id=present.id if present else sent.id,
            attestation=settled(sent.attestation, present.attestation if present else None, self.entropy),
            generation=present.generation if present else names.generation(self.entropy),
            etag=names.etag(self.entropy),
            created_at=present.created_at if present else now,
            updated_at=now,
            enabled=sent.enabled,
            device_id=sent.device_id,
            authority=sent.authority,
            allocation_policy=sent.allocation_policy,
            hubs=tuple(_linked(hub, linked) for hub in sent.hubs),
            reprovision=sent.reprovision,
            iot_edge=sent.iot_edge,
            initial_twin=sent.initial_twin,
            settings=settings,
            secrets=_secrets(sent, present),
        )


def _linked(name: str, linked: Sequence[LinkedHub], member: str = "iotHubs") -> str:
    """The hub's name as assignments spell it."""
    for hub in linked:
        if hub.name.lower() == name.lower():
            return hub.name
    raise Malformed(
        f"{member} names {name!r}, which is not linked.",
        rule="hub-unknown",
        hint=f"linked: {', '.join(hub.name for hub in linked)}",
    )


def _secrets(sent: EnrollmentSent, present: Enrollment | None) -> dict[str, Secret]:
    """A replace that sends no secret keeps the stored one, because no GET shows it."""
    kept = present.secrets if present is not None else {}
    both = {**kept, **sent.secrets}
    return {member: secret for member, secret in both.items() if member in sent.settings}


def _defines_webhook(sent: EnrollmentSent, present: Enrollment | None) -> bool:
    """Whether a webhook is set, changed or taken away. What a read-modify-write sends back is none of these."""
    settings = present.settings if present is not None else {}
    secrets = present.secrets if present is not None else {}
    return any(
        sent.settings.get(member) != settings.get(member)
        or (member in sent.secrets and sent.secrets[member] != secrets.get(member))
        for member in stated.WEBHOOKS
    )


def _check_webhook(url: str, member: str) -> None:
    try:
        destination(url)
    except BadDestination as bad:
        raise Malformed(f"{member}.webhookUrl can't be called: {bad}.", rule="webhook-definition") from None


def warning_about(enrollment: Enrollment) -> str | None:
    """What the operator should know about an enrollment that was accepted."""
    if enrollment.authority is None or len(enrollment.id.text) <= MAX_COMMON_NAME_CHARS:
        return None
    if enrollment.kind is EnrollmentKind.GROUP:
        return None
    return (
        f"registrationId is longer than {MAX_COMMON_NAME_CHARS} characters, the most that a certificate's common name "
        "can hold: this device can't be issued a certificate"
    )


def _noun(ref: EnrollmentRef) -> str:
    return "enrollment group" if ref.kind is EnrollmentKind.GROUP else "enrollment"
