"""Which registration ids a group is open to: put on its list, taken off it, listed."""

from __future__ import annotations

from accredit.administration.preconditions import repeated
from accredit.domain.changes import AllowRegistrations, AssertEnrollment, DisallowRegistrations
from accredit.domain.enrollment import Enrollment, EnrollmentKind, EnrollmentRef
from accredit.domain.errors import NotFound
from accredit.domain.ids import GroupId, RegistrationId
from accredit.interfaces import Page, Store
from accredit.observe import log
from accredit.values import dataclass
from accredit.wire.service_api.queries import Paging


@dataclass(frozen=True, slots=True)
class AllowedRegistrations:
    """The list counts only where the group says `allowedRegistrationIdsOnly`; it may be made before that."""

    store: Store

    async def change(
        self,
        group: GroupId,
        add: tuple[RegistrationId, ...],
        remove: tuple[RegistrationId, ...],
        by: str,
    ) -> None:
        """Add, then remove; raises NotFound where there is no such group."""
        await repeated(lambda: self._change(group, add, remove))
        log.info(
            "allowed-registrations-changed", by=by, group=group.text, added=len(add), removed=len(remove)
        )

    async def page(self, group: GroupId, paging: Paging) -> Page[RegistrationId]:
        """Raises NotFound where there is no such group."""
        await self._group(group)
        return await self.store.allowed(group, paging.cursor, paging.limit)

    async def _change(
        self, group: GroupId, add: tuple[RegistrationId, ...], remove: tuple[RegistrationId, ...]
    ) -> None:
        present = await self._group(group)
        await self.store.commit(
            [
                AssertEnrollment(present.ref, present.etag),
                AllowRegistrations(group, add),
                DisallowRegistrations(group, remove),
            ]
        )

    async def _group(self, group: GroupId) -> Enrollment:
        present = await self.store.enrollment(EnrollmentRef(EnrollmentKind.GROUP, group.key))
        if present is None:
            raise NotFound("There is no such enrollment group.", rule="enrollment-unknown")
        return present
