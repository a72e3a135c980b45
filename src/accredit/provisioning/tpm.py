"""TPM attestation: what is sent into a device's TPM, and whether what comes back proves it.

A device is challenged with a key that only its TPM can take in, and signs its token with it. Nothing is stored between
the two, and nothing is sealed for a device before an enrollment with its endorsement key is found: RSA is work. Once
assigned, it is sent its hub's key the same way. Which key is derived from what is in `policy/tpm_challenge.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from accredit.domain.changes import SaveTpmProof
from accredit.domain.enrollment import Enrollment, TpmKeys
from accredit.domain.errors import Malformed, NotFound, Unauthenticated
from accredit.domain.evidence import Attested, ProvenTpm, SasToken, TpmEndorsement
from accredit.domain.ids import RegistrationId
from accredit.domain.secret import Secret
from accredit.domain.tpm import TpmKey, TpmProof
from accredit.interfaces import Entropy
from accredit.policy import symmetric_keys, tpm_activation, tpm_challenge
from accredit.values import dataclass
from accredit.wire import tpm

Derive = Callable[[str, bytes], Secret]
"""A key for a purpose and a context, from the master key (`Sealer.derive`)."""

TPM_UNKNOWN = "tpm-unknown"
"""The rule by which a TPM is refused that is not enrolled: a device hears of it as of a registration that failed."""

_SEED_BYTES = 32


@dataclass(frozen=True, slots=True)
class Challenges:
    """Everything that is sent into TPMs is made and judged here."""

    id_scope: str
    derive: Derive
    entropy: Entropy

    def blob(self, registration_id: RegistrationId, shown: TpmEndorsement, now: float) -> bytes:
        """A challenge for the TPM that has both keys; its device's enrollment must be known."""
        key = self._key(registration_id, shown.endorsement, shown.storage_root, tpm_challenge.epoch(now))
        return self._sealed(registration_id, shown.endorsement, shown.storage_root, key)

    def proof(
        self, registration_id: RegistrationId, shown: TpmEndorsement, now: float, again: TpmProof | None
    ) -> ProvenTpm:
        """What the token proves. `again` is what was proven before, where the device may still sign with that key.

        Raises Unauthenticated.
        """
        if shown.token is None:
            raise Unauthenticated(
                "Unauthorized",
                rule="nothing-shown",
                evidence="the device named its TPM, but has not proven it yet",
            )
        same = again is not None and again.storage_root == shown.storage_root
        epochs = tpm_challenge.polled(now, again.epoch) if again and same else tpm_challenge.standing(now)
        return self._proven(registration_id, shown.endorsement, shown.storage_root, shown.token, epochs)

    def proof_again(
        self,
        registration_id: RegistrationId,
        endorsement: TpmKey,
        token: SasToken,
        now: float,
        before: TpmProof | None,
    ) -> ProvenTpm:
        """What a token by itself proves, of a TPM that has proven itself `before`. Raises Unauthenticated."""
        if before is None:
            raise Unauthenticated(
                "Unauthorized",
                rule="tpm-signature",
                evidence="a token was shown, but this registration's TPM has proven nothing yet",
            )
        epochs = tpm_challenge.polled(now, before.epoch)
        return self._proven(registration_id, endorsement, before.storage_root, token, epochs)

    def proven(self, registration_id: RegistrationId, endorsement: TpmKey, proof: TpmProof) -> ProvenTpm:
        """As it was proven before."""
        context = tpm_challenge.hub_context(self.id_scope, registration_id, endorsement)
        return ProvenTpm(endorsement, proof, self.derive(tpm_challenge.HUB, context))

    def activation(self, registration_id: RegistrationId, proven: ProvenTpm, operation_id: str) -> bytes:
        """The blob with the key that the hub has for the device since this operation."""
        key = tpm_challenge.hub_keys(proven.hub_secret, operation_id).primary
        return self._sealed(registration_id, proven.endorsement, proven.proof.storage_root, key)

    def _proven(
        self,
        registration_id: RegistrationId,
        endorsement: TpmKey,
        storage_root: TpmKey,
        token: SasToken,
        epochs: Iterable[int],
    ) -> ProvenTpm:
        for epoch in epochs:
            if symmetric_keys.signed_by(token, self._key(registration_id, endorsement, storage_root, epoch)):
                return self.proven(registration_id, endorsement, TpmProof(storage_root, epoch))
        raise Unauthenticated(
            "Unauthorized",
            rule="tpm-signature",
            hint=f"a challenge must be answered within {tpm_challenge.EPOCH_S} s, with the same keys",
            evidence="the token is not signed with the key of a challenge of this TPM that still stands",
        )

    def _key(
        self, registration_id: RegistrationId, endorsement: TpmKey, storage_root: TpmKey, epoch: int
    ) -> Secret:
        context = tpm_challenge.challenge_context(
            self.id_scope, registration_id, endorsement, storage_root, epoch
        )
        return self.derive(tpm_challenge.CHALLENGE, context)

    def _sealed(
        self, registration_id: RegistrationId, endorsement: TpmKey, storage_root: TpmKey, key: Secret
    ) -> bytes:
        identity = tpm.identity_key(key, self.entropy.token(_SEED_BYTES))
        random = self.entropy.token(tpm_activation.RANDOM_BYTES)
        # The note is free-form: SDKs log it, or pass over it.
        note = registration_id.text.encode()
        return tpm.blob(tpm_activation.activate(endorsement, storage_root, identity, note, random))


def enrolled(
    individual: Enrollment | None, registration_id: RegistrationId, shown: TpmEndorsement
) -> Enrollment:
    """The enrollment that has the shown endorsement key. Raises NotFound, of one kind whatever is there instead."""
    evidence = _missing(individual, shown)
    if evidence is None:
        if shown.storage_root.modulus == shown.endorsement.modulus:
            raise Malformed("storageRootKey is the endorsement key.", rule="tpm-keys-equal")
        assert individual is not None
        return individual
    raise NotFound(
        "There is no such registration.",
        rule=TPM_UNKNOWN,
        hint=f"enroll {registration_id} with this endorsement key: {tpm.text_of(shown.endorsement)}",
        evidence=evidence,
    )


def _missing(individual: Enrollment | None, shown: TpmEndorsement) -> str | None:
    if individual is None:
        return "there is no individual enrollment of this id"
    if not isinstance(individual.attestation, TpmKeys):
        return "the individual enrollment of this id does not attest by TPM"
    if individual.attestation.endorsement.modulus != shown.endorsement.modulus:
        return "the enrollment of this id has another endorsement key"
    return None


def remembered(attested: Attested) -> tuple[SaveTpmProof, ...]:
    """What a poll will need to know of a TPM's proof; nothing for any other."""
    if not isinstance(attested.proof, ProvenTpm):
        return ()
    return (SaveTpmProof(attested.registration_id, attested.proof.proof),)
