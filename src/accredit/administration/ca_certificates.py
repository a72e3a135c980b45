"""Uploaded CA certificates: put, read, delete, list, and the two steps that prove possession of the key."""

from __future__ import annotations

from accredit.administration import names
from accredit.administration.preconditions import check_present, check_put, repeated
from accredit.domain.ca_certificate import CaCertificate, Purpose, VerificationCode
from accredit.domain.changes import DeleteCaCertificate, SaveCaCertificate
from accredit.domain.errors import Conflict, NotFound
from accredit.domain.ids import CaCertificateName
from accredit.interfaces import Clock, Entropy, Page, Store
from accredit.observe import log
from accredit.policy.possession import CODE_BYTES, CODE_LIFE_S, check_possession
from accredit.values import dataclass, replace
from accredit.wire.service_api.ca_certificates import CaCertificateSent
from accredit.wire.service_api.etags import IfMatch
from accredit.wire.service_api.queries import Paging

_NOUN = "CA certificate"


@dataclass(frozen=True, slots=True)
class CaCertificates:
    store: Store
    clock: Clock
    entropy: Entropy

    async def put(
        self, name: CaCertificateName, sent: CaCertificateSent, condition: IfMatch, by: str
    ) -> CaCertificate:
        """Create or replace, as `condition` allows. Another certificate has to be verified anew."""
        return await repeated(lambda: self._put(name, sent, condition, by))

    async def read(self, name: CaCertificateName) -> CaCertificate:
        """Raises NotFound."""
        record = await self.store.ca_certificate(name)
        if record is None:
            raise NotFound("There is no such CA certificate.", rule="ca-certificate-unknown")
        return record

    async def delete(self, name: CaCertificateName, condition: IfMatch, by: str) -> None:
        """Delete, as `condition` allows, unless an enrollment refers to it."""
        await repeated(lambda: self._delete(name, condition))
        log.info("ca-certificate-deleted", by=by, caCertificate=name.text)

    async def page(self, paging: Paging) -> Page[CaCertificate]:
        return await self.store.ca_certificates(paging.cursor, paging.limit)

    async def make_code(self, name: CaCertificateName, condition: IfMatch, by: str) -> CaCertificate:
        """A new verification code; it ends the one before."""

        async def attempt() -> CaCertificate:
            present = await self._present(name, condition)
            code = VerificationCode(
                self.entropy.token(CODE_BYTES).hex().upper(), int(self.clock.now()) + CODE_LIFE_S
            )
            return await self._changed(present, replace(present, code=code))

        record = await repeated(attempt)
        log.info("ca-certificate-code-made", by=by, caCertificate=record.name.text)
        return record

    async def verify(
        self, name: CaCertificateName, shown: bytes, condition: IfMatch, by: str
    ) -> CaCertificate:
        """Proof of possession; the code is used up by it. Raises Malformed when it proves nothing."""

        async def attempt() -> CaCertificate:
            present = await self._present(name, condition)
            check_possession(present, shown, self.clock.now())
            return await self._changed(present, replace(present, verified=True, code=None))

        record = await repeated(attempt)
        log.info("ca-certificate-verified", by=by, caCertificate=record.name.text)
        return record

    async def _put(
        self, name: CaCertificateName, sent: CaCertificateSent, condition: IfMatch, by: str
    ) -> CaCertificate:
        present = await self.store.ca_certificate(name)
        check_put(condition, present.etag if present else None, _NOUN)
        if present is not None and present.purpose is not sent.purpose:
            raise Conflict(
                f"The CA certificate is for {present.purpose}, which a replace can't change.",
                rule="ca-certificate-purpose",
                hint="upload it by another name",
            )
        same = present is not None and present.certificate == sent.certificate
        now = int(self.clock.now())
        record = CaCertificate(
            name=present.name if present else name,
            certificate=sent.certificate,
            purpose=sent.purpose,
            verified=self._verified(sent, present if same else None),
            etag=names.etag(self.entropy),
            created_at=present.created_at if present else now,
            updated_at=now,
            code=present.code if present and same else None,
        )
        await self.store.commit([SaveCaCertificate(record, replaces=present.etag if present else None)])
        log.info(
            "ca-certificate-saved",
            by=by,
            caCertificate=record.name.text,
            purpose=record.purpose.value,
            verified=record.verified,
            outcome="replaced" if present else "created",
        )
        return record

    def _verified(self, sent: CaCertificateSent, same: CaCertificate | None) -> bool:
        # Nobody but its vendor has the key of a vendor's root: who may upload one is trusted.
        if sent.purpose is Purpose.TPM_VENDOR_ROOT:
            return True
        if sent.verified is None:
            return same is not None and same.verified
        return sent.verified

    async def _present(self, name: CaCertificateName, condition: IfMatch) -> CaCertificate:
        present = await self.store.ca_certificate(name)
        check_present(condition, present.etag if present else None, _NOUN, "ca-certificate-unknown")
        assert present is not None
        return present

    async def _changed(self, present: CaCertificate, changed: CaCertificate) -> CaCertificate:
        now = int(self.clock.now())
        saved = replace(changed, etag=names.etag(self.entropy), updated_at=now)
        await self.store.commit([SaveCaCertificate(saved, replaces=present.etag)])
        return saved

    async def _delete(self, name: CaCertificateName, condition: IfMatch) -> None:
        present = await self._present(name, condition)
        users = await self.store.enrollments_naming(name)
        if users:
            raise Conflict(
                f"The CA certificate is referred to by {users} enrollments and groups.",
                rule="ca-certificate-in-use",
                hint="let their caReferences name another one first",
            )
        await self.store.commit([DeleteCaCertificate(name, present.etag)])
