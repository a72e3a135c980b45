"""The ceremony: attest, admit, allocate, settle, issue, record, bind, complete, answer; an operation, if others are asked.

One register call of one device, whatever its wire. Which questions a device may ask, and what becomes of what goes
wrong in here, is told in `questions.py`. The answer is built from what is committed.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from hashlib import sha256
from weakref import WeakValueDictionary

from accredit.domain.changes import AssertRoom, SaveHubDevice, UseCertificate
from accredit.domain.credential import Certified
from accredit.domain.errors import UpstreamUnavailable
from accredit.domain.evidence import ProvenHeld
from accredit.domain.ids import RegistrationId
from accredit.domain.registration import Assigned, Registration, Request
from accredit.interfaces import Stale
from accredit.observe import log
from accredit.policy.allocation import AskWebhook
from accredit.provisioning import answer, names
from accredit.provisioning.allocate import admit, allocate
from accredit.provisioning.attest import attest
from accredit.provisioning.bind import bind, cut
from accredit.provisioning.complete import ROUNDS, complete, lasting_refusal
from accredit.provisioning.explain import Trail
from accredit.provisioning.issue import Wanted, settle, sign, unsigned
from accredit.provisioning.means import Means
from accredit.provisioning.orders import Orders, Placed, at_once
from accredit.provisioning.record import record
from accredit.provisioning.refusals import Refusals
from accredit.provisioning.tpm import remembered
from accredit.wire.service_api.certificates import serial_hex


class Registering:
    """Takes register calls through the ceremony."""

    def __init__(self, means: Means, orders: Orders, refusals: Refusals) -> None:
        self._means = means
        self._orders = orders
        self._refusals = refusals
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def register(self, request: Request, trail: Trail) -> Assigned | Placed:
        """The ceremony, until nothing that it read was changed under it; raises AccreditError or StoreUnavailable.

        Who was overtaken goes on in turn, so that of many calls for one registration each comes through. `trail` is what a
        refusal is explained by.
        """
        for overtaken in range(ROUNDS):
            async with self._turn(request.registration_id) if overtaken else nullcontext():
                try:
                    return await self._ceremony(request, trail)
                except Stale as stale:
                    if isinstance(stale.change, SaveHubDevice | AssertRoom) and (
                        refusal := lasting_refusal(stale.change)
                    ):
                        raise refusal from stale
        raise UpstreamUnavailable(
            "The registration is being changed by other requests.", rule="busy", retry_after_s=1
        )

    def _turn(self, registration_id: RegistrationId) -> asyncio.Lock:
        return self._turns.setdefault(registration_id.key, asyncio.Lock())

    async def _ceremony(self, request: Request, trail: Trail) -> Assigned | Placed:
        means, now = self._means, self._means.now()
        trail.attested = trail.allocated = None
        previous = trail.previous = await means.store.registration(request.registration_id)
        turn, grace_s = self._refusals.turn, means.renewal_grace_s
        attested = trail.attested = await attest(
            means.store, request, trail, means.challenges, now, turn, grace_s=grace_s
        )
        trail.through("attest")
        linked = await means.hubs.linked()
        admitted = admit(attested, previous, linked)
        await self._refusals.let_pass(attested, trail)
        trail.through("admit")
        allocated = allocate(admitted, request, linked)
        trail.allocated = None if isinstance(allocated, AskWebhook) else allocated
        if isinstance(attested.proof, ProvenHeld) and request.request_id is None:
            # A connection by it, like any at the hub: from here on it is the one that must not be pushed out.
            shown = sha256(attested.proof.certificate).digest()
            await means.store.commit([UseCertificate(admitted.device_id, shown, now)])
        trail.through("allocate")
        settled, csr_field = await settle(
            admitted, request, means.store, means.authorities, now, means.key_reuse
        )
        trail.through("settle")
        asked_over_hub = request.request_id is not None
        if isinstance(allocated, AskWebhook) or asked_over_hub or not at_once(allocated, settled, linked):
            placed = await self._orders.place(admitted, allocated, settled, csr_field, request)
            trail.through("place")
            return placed
        operation_id = names.operation_id(means.entropy)
        if isinstance(settled, Wanted):
            issued = await sign(allocated, settled, operation_id, now)
            means.tallies.orders.add(str(settled.authority.name), "delivered")
        else:
            issued = unsigned(allocated, settled, operation_id)
        trail.through("issue")
        recorded = record(issued, shared_key=means.shared_key)
        bound = await bind(recorded, means.hubs, now, names.etag(means.entropy))
        trail.through("bind")
        closing = [
            *(await self._orders.superseding(allocated) if csr_field else ()),
            *self._refusals.passed(trail),
            *remembered(attested),
        ]
        etag = names.etag(means.entropy)
        registration = await complete(means.store, bound, csr_field, now, etag, closing)
        trail.through("complete")
        if allocated.leaves is not None:
            await cut(means.hubs, allocated.leaves)
        certified = issued.credential if isinstance(issued.credential, Certified) else None
        self._log_assigned(request, registration, certified)
        answered = await answer.assigned(means.store, registration, attested, certified, csr_field)
        trail.through("answer")
        return answered

    def _log_assigned(
        self, request: Request, registration: Registration, certified: Certified | None
    ) -> None:
        log.info(
            "registration",
            trackingId=request.tracking_id,
            registrationId=registration.registration_id.text,
            enrollment=f"{registration.enrollment.kind}/{registration.enrollment.key}",
            outcome="assigned",
            hub=registration.hub,
            certificate=None if certified is None else serial_hex(certified.record.issued.serial),
            fresh=certified is not None and certified.fresh,
            source=request.source,
        )
