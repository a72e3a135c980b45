"""Units of work: each change becomes statements that say how many rows they must meet.

A unit is made before it is queued and knows nothing of connections, transactions or threads; `group_commit.py` runs it.
What is bound in the unit that records it is inserted as bound: one row written once is the cheapest registration.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from accredit.domain import changes as c
from accredit.domain.access import Realm
from accredit.domain.device import MAX_PENDING_CERTIFICATES
from accredit.domain.enrollment import EnrollmentKind
from accredit.seal import Sealer
from accredit.stores import (
    custody,
    leases,
    log_tree,
    mass_revocations,
    one_time_passwords,
    refusals,
    reserved_serials,
    revocations,
    rows,
    sealed_rows,
    session_cuts,
    trust,
)
from accredit.stores import statements as sql
from accredit.stores.hub_units import HubUnits
from accredit.stores.steps import UnitOfWork, absent, found, holds, saved

_MAX_CHAINS = 1024


class Units:
    """Makes units of work. It remembers which chains are on record, so that they are not sent again and again."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._chains: dict[tuple[bytes, ...], bytes] = {}
        self._makers: dict[type, Callable[[Any, UnitOfWork, Sequence[c.Change]], None]] = {
            c.SaveState: self._save_state,
            c.SavePolicy: self._save_policy,
            c.DeletePolicy: self._delete_policy,
            c.SaveAuthority: self._save_authority,
            c.DeleteAuthority: self._delete_authority,
            c.SaveEnrollment: self._save_enrollment,
            c.DeleteEnrollment: self._delete_enrollment,
            c.AssertEnrollment: self._assert_enrollment,
            c.AssertAuthority: self._assert_authority,
            c.SaveRegistration: self._save_registration,
            c.DeleteRegistration: self._delete_registration,
            c.SaveTpmProof: self._save_tpm_proof,
            c.RecordCertificate: self._record_certificate,
            c.AppendLeaf: self._append_leaf,
            c.BindCertificate: self._bind_certificate,
            c.UseCertificate: self._use_certificate,
            c.OpenOperation: self._open_operation,
            c.SaveOperation: self._save_operation,
            c.SupersedeOperation: self._supersede_operation,
            c.SettleOperation: self._settle_operation,
            **refusals.MAKERS,
            **log_tree.MAKERS,
            **custody.MAKERS,
            **leases.MAKERS,
            **session_cuts.MAKERS,
            **trust.MAKERS,
            **revocations.MAKERS,
            **mass_revocations.MAKERS,
            **reserved_serials.MAKERS,
            **one_time_passwords.MAKERS,
            **HubUnits(sealer).makers(),
        }

    def make(self, changes: Sequence[c.Change]) -> UnitOfWork:
        unit = UnitOfWork()
        for change in changes:
            self._makers[type(change)](change, unit, changes)
        return unit

    def committed(self, unit: UnitOfWork) -> None:
        """Told once the unit stands."""
        if unit.chains:
            if len(self._chains) >= _MAX_CHAINS:
                self._chains.clear()
            self._chains.update(unit.chains)

    def _save_state(self, change: c.SaveState, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
        name, expected = change.name, change.replaces
        sealed = sealed_rows.state_value(name, change.value, self._sealer)
        if expected is None:
            unit.steps.append((sql.INSERT_STATE, (name, sealed), 1, change))
            return

        # Two envelopes of one value differ, so it is opened for the comparison.
        def unchanged(row: rows.Row | None) -> bool:
            return row is not None and sealed_rows.state(name, row[0], self._sealer) == expected

        unit.steps.append((sql.STATE, (name,), unchanged, change))
        unit.steps.append((sql.UPDATE_STATE, (sealed, name), 1, change))

    def _save_policy(self, change: c.SavePolicy, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
        unit.touches_settings = unit.touches_copies = True
        values = sealed_rows.policy_values(change.policy, self._sealer)
        unit.steps.append(saved(sql.INSERT_POLICY, sql.UPDATE_POLICY, values, change.replaces, change))
        if change.replaces is not None and change.policy.realm is Realm.PROVISIONING:
            unit.steps.append((sql.A_CONFIGURING_POLICY, (), found, change))

    def _delete_policy(self, change: c.DeletePolicy, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
        unit.touches_settings = unit.touches_copies = True
        unit.steps.append((sql.DELETE_POLICY, (change.realm.value, change.name, change.etag), 1, change))
        if change.realm is Realm.PROVISIONING:
            unit.steps.append((sql.A_CONFIGURING_POLICY, (), found, change))

    def _save_authority(self, change: c.SaveAuthority, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
        unit.touches_settings = unit.touches_copies = True
        values = sealed_rows.authority_values(change.authority, self._sealer)
        unit.steps.append(saved(sql.INSERT_AUTHORITY, sql.UPDATE_AUTHORITY, values, change.replaces, change))

    def _delete_authority(self, change: c.DeleteAuthority, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
        unit.touches_settings = unit.touches_copies = True
        place = (change.name.key, change.etag, change.name.key, change.name.noun, change.name.key)
        unit.steps.append((sql.DELETE_AUTHORITY, place, 1, change))

    def _save_enrollment(self, change: c.SaveEnrollment, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
        unit.touches_settings = True
        unit.touches_copies |= change.enrollment.kind is EnrollmentKind.GROUP
        values = sealed_rows.enrollment_values(change.enrollment, self._sealer)
        unit.steps.append(
            saved(sql.INSERT_ENROLLMENT, sql.UPDATE_ENROLLMENT, values, change.replaces, change)
        )
        ref = change.enrollment.ref
        if change.replaces is not None:
            unit.steps.append(trust.forget_named(ref.kind.value, ref.key, change))
        unit.steps += trust.name_steps(change.enrollment, change)

    def _delete_enrollment(self, change: c.DeleteEnrollment, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
        kind, key = change.ref.kind, change.ref.key
        unit.touches_settings = True
        unit.touches_copies |= kind is EnrollmentKind.GROUP
        unit.steps.append((sql.DELETE_ENROLLMENT, (kind.value, key, change.etag), 1, change))
        if kind is EnrollmentKind.GROUP:
            unit.steps.append(refusals.disallow_all(key, change))
        unit.steps.append(trust.forget_named(kind.value, key, change))
        if kind is EnrollmentKind.INDIVIDUAL:
            unit.steps.append((sql.DELETE_INDIVIDUAL_REGISTRATION, (key,), None, change))
            unit.steps.append((sql.DELETE_TPM_PROOF, (key, key), None, change))
            unit.steps.append((sql.SUPERSEDE_INDIVIDUAL_OPERATIONS, (key,), None, change))

    def _assert_enrollment(self, change: c.AssertEnrollment, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
        place = (change.ref.kind.value, change.ref.key, change.etag)
        unit.steps.append((sql.ASSERT_ENROLLMENT, place, holds, change))

    def _assert_authority(self, change: c.AssertAuthority, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
        unit.steps.append((sql.ASSERT_AUTHORITY, (change.name.key, change.version), holds, change))

    def _save_registration(self, change: c.SaveRegistration, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
        values = rows.registration_values(change.registration)
        unit.steps.append(
            saved(sql.INSERT_REGISTRATION, sql.UPDATE_REGISTRATION, values, change.replaces, change)
        )

    def _delete_registration(
        self, change: c.DeleteRegistration, unit: UnitOfWork, _: Sequence[c.Change]
    ) -> None:
        key = change.registration_id.key
        unit.steps.append((sql.DELETE_REGISTRATION, (key, change.etag), 1, change))
        unit.steps.append((sql.DELETE_TPM_PROOF, (key, key), None, change))
        unit.steps.append((sql.SUPERSEDE_OPERATIONS, (key,), None, change))
        unit.steps.append(refusals.end_setbacks(key, change))

    def _save_tpm_proof(self, change: c.SaveTpmProof, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
        values = rows.tpm_proof_values(change.registration_id, change.proof)
        unit.steps.append((sql.SAVE_TPM_PROOF, values, 1, change))

    def _record_certificate(
        self, change: c.RecordCertificate, unit: UnitOfWork, changes: Sequence[c.Change]
    ) -> None:
        record = change.record
        chain_sha256 = self._chain(record.issued.chain[1:], unit, change)
        binding = _binding_of(change, changes)
        bound_at = None
        if binding is not None:
            bound_at = binding.bound_at
            unit.bound.append(binding)
        values = rows.certificate_values(record, chain_sha256, bound_at)
        if not change.shared_key:
            owner = (record.issued.spki_sha256, record.registration_id.key)
            unit.steps.append((sql.KEY_ELSEWHERE, owner, absent, change))
        unit.steps.append((sql.INSERT_CERTIFICATE, values, 1, change))

    def _chain(self, above: tuple[bytes, ...], unit: UnitOfWork, change: c.Change) -> bytes | None:
        known = self._chains.get(above)
        if known is not None:
            return known
        value = rows.chain_value(above)
        if value is None:
            return None
        unit.steps.append((sql.INSERT_CHAIN, value, None, change))
        unit.chains[above] = value[0]
        return value[0]

    def _append_leaf(self, change: c.AppendLeaf, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
        unit.steps.append((sql.INSERT_LEAF, rows.leaf_values(change.leaf), 1, change))

    def _bind_certificate(self, change: c.BindCertificate, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
        device_id, sha256 = change.device_id.text, change.sha256
        if not any(change is each for each in unit.bound):
            unit.steps.append((sql.ASSERT_CERTIFICATE, (sha256, device_id), found, change))
            unit.steps.append((sql.BIND_CERTIFICATE, (change.bound_at, sha256), None, change))
        unit.steps.append(
            (sql.SUPERSEDE_CERTIFICATES, (sha256, device_id, MAX_PENDING_CERTIFICATES), None, change)
        )

    def _use_certificate(self, change: c.UseCertificate, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
        device_id, sha256 = change.device_id.text, change.sha256
        unit.steps.append((sql.USE_CERTIFICATE, (change.used_at, sha256, device_id), 1, change))
        unit.steps.append((sql.RETIRE_CERTIFICATES, (sha256, device_id, sha256), None, change))

    def _open_operation(self, change: c.OpenOperation, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
        operation = change.operation
        if change.supersedes is not None:
            other = (change.supersedes, operation.registration_id.key)
            unit.steps.append((sql.SUPERSEDE_OPERATION, other, 1, change))
        unit.steps.append((sql.INSERT_OPERATION, rows.operation_values(operation), 1, change))

    def _save_operation(self, change: c.SaveOperation, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
        values = (*rows.operation_values(change.operation), change.fence)
        unit.steps.append((sql.UPDATE_OPERATION, values, 1, change))

    def _supersede_operation(
        self, change: c.SupersedeOperation, unit: UnitOfWork, _: Sequence[c.Change]
    ) -> None:
        place = (change.operation_id, change.registration_id.key)
        unit.steps.append((sql.SUPERSEDE_OPERATION, place, 1, change))

    def _settle_operation(self, change: c.SettleOperation, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
        unit.steps.append((sql.SETTLE_OPERATION, (change.operation_id, change.fence), 1, change))


def _binding_of(record: c.RecordCertificate, changes: Sequence[c.Change]) -> c.BindCertificate | None:
    """The first later change of the unit that binds what `record` puts on record."""
    issued_for = record.record.device_id
    sha256 = record.record.issued.sha256
    later = False
    for change in changes:
        if change is record:
            later = True
        elif (
            later
            and type(change) is c.BindCertificate
            and change.sha256 == sha256
            and change.device_id == issued_for
        ):
            return change
    return None
