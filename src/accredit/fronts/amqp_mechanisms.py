"""The ways to say who one is before AMQP: the SASL mechanisms that are offered, in the order in which they are.

PLAIN carries a token: of a registration, judged later, or of a hub's device, judged here. TPM is a conversation that ends
in a token signed by the device's TPM, judged here. EXTERNAL points to the client's certificate. ANONYMOUS and MSSBCBS say
nothing: who uses them proves himself with a token on `$cbs`, or with a certificate that he has shown anyway. The dialog
itself is `amqp_login.py`'s, the words of TPM are `wire/amqp_tpm.py`'s.

RFC 4616 (PLAIN), RFC 4422 appendix A (EXTERNAL), RFC 4505 (ANONYMOUS); MSSBCBS: azure-uamqp, C.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from accredit.domain.errors import AccreditError, Unauthenticated
from accredit.domain.evidence import Evidence, PresentedChain, SasToken, TpmEndorsement
from accredit.domain.ids import RegistrationId
from accredit.domain.registration import Ended, Request
from accredit.fronts.amqp_dps import AmqpDps
from accredit.fronts.amqp_links import Peer
from accredit.fronts.amqp_login import Ask, Mechanism, Unwelcome
from accredit.hub.identities import Admission
from accredit.values import replace
from accredit.wire import amqp_addresses, amqp_sasl, amqp_tpm, sas, tpm
from accredit.wire.amqp_addresses import HubUser, Registration
from accredit.wire.amqp_types import AmqpError

_SHOWN_CHARS = 64


class AdmitsDevices(Protocol):
    """The part of `amqp_hub.AmqpHub` that PLAIN needs."""

    async def login(self, user: HubUser, password: str, peer: Peer) -> Admission: ...


def mechanisms(dps: AmqpDps, hub: AdmitsDevices) -> Mapping[str, Mechanism]:
    """Azure: Java's SDK gives up where TPM is not offered."""
    return {
        "PLAIN": _Plain(dps, hub),
        amqp_tpm.NAME: _Tpm(dps),
        "EXTERNAL": _external,
        "ANONYMOUS": _anonymous,
        "MSSBCBS": _anonymous,
    }


async def _first_response(init: amqp_sasl.Init, ask: Ask) -> bytes:
    # RFC 4422, 5.1: a client that sends no response with its choice is challenged for it.
    return init.initial_response if init.initial_response is not None else await ask(b"")


class _Plain:
    def __init__(self, dps: AmqpDps, hub: AdmitsDevices) -> None:
        self._dps = dps
        self._hub = hub

    async def __call__(self, init: amqp_sasl.Init, ask: Ask, peer: Peer) -> Peer:
        name, password = amqp_sasl.parse_plain(await _first_response(init, ask))
        match amqp_addresses.parse_user(name):
            case Registration() as user:
                return replace(peer, user=user, evidence=self._token(user, password, peer.source))
            case HubUser() as user:
                admission = await self._hub.login(user, password, peer)
                return replace(peer, user=user, admission=admission)
            case None:
                shown = f"the user name is {name[:_SHOWN_CHARS]!r}"
                raise Unauthenticated("Unauthorized", rule="amqp-user-name", evidence=shown)

    def _token(self, user: Registration, password: str, source: str) -> SasToken:
        try:
            self._dps.check_scope(user.id_scope)
            RegistrationId.parse(user.registration_id)
            return sas.parse(password)
        except AccreditError as refusal:
            raise Unwelcome(self._dps.unread(refusal, user.registration_id, source)) from refusal


class _Tpm:
    def __init__(self, dps: AmqpDps) -> None:
        self._dps = dps

    async def __call__(self, init: amqp_sasl.Init, ask: Ask, peer: Peer) -> Peer:
        opening = amqp_tpm.parse_opening(await _first_response(init, ask))
        storage_root = amqp_tpm.parse_word(await ask(amqp_tpm.NEXT))
        try:
            self._dps.check_scope(opening.id_scope)
            registration_id = RegistrationId.parse(opening.registration_id)
            shown = TpmEndorsement(
                tpm.read_key(opening.endorsement_key, "endorsementKey"),
                tpm.read_key(storage_root, "storageRootKey"),
                None,
            )
        except AccreditError as refusal:
            told = self._dps.unread(refusal, opening.registration_id, peer.source)
            raise Unwelcome(told) from refusal
        token = await self._challenged(self._request(registration_id, shown, peer), ask)
        proof = replace(shown, token=token)
        try:
            await self._dps.provisioning.prove(self._request(registration_id, proof, peer))
        except AccreditError as refusal:
            raise Unwelcome(refusal) from refusal
        user = Registration(opening.id_scope, opening.registration_id)
        return replace(peer, user=user, evidence=proof)

    async def _challenged(self, request: Request, ask: Ask) -> SasToken:
        """The token that the device signs with what the blob held."""
        try:
            challenge = await self._dps.provisioning.challenge(request)
        except AccreditError as refusal:
            raise Unwelcome(refusal) from refusal
        if isinstance(challenge, Ended):
            raise Unwelcome
        first, rest = amqp_tpm.parts(challenge.blob)
        if await ask(first) != amqp_tpm.NEXT:
            raise AmqpError("a TPM response that does not call for the rest of the blob")
        word = amqp_tpm.parse_word(await ask(rest))
        try:
            return sas.parse(word.decode())
        except UnicodeDecodeError:
            raise AmqpError("a TPM's token that is not UTF-8") from None
        except AccreditError as refusal:
            told = self._dps.unread(
                refusal, request.registration_id.text, request.source, request.tracking_id
            )
            raise Unwelcome(told) from refusal

    def _request(self, registration_id: RegistrationId, evidence: Evidence, peer: Peer) -> Request:
        """The question that a login is: it says nothing yet but who asks, and with what."""
        return Request(registration_id, evidence, (), None, "", peer.source, self._dps.tracking_id())


async def _external(init: amqp_sasl.Init, ask: Ask, peer: Peer) -> Peer:  # noqa: ARG001 - a Mechanism
    if not peer.chain:
        raise Unauthenticated(
            "Unauthorized", rule="nothing-shown", evidence="EXTERNAL without a client certificate"
        )
    return replace(peer, evidence=PresentedChain(peer.chain))


async def _anonymous(init: amqp_sasl.Init, ask: Ask, peer: Peer) -> Peer:  # noqa: ARG001 - a Mechanism
    return replace(peer, evidence=PresentedChain(peer.chain)) if peer.chain else peer
