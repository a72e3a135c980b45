"""Every SQL text of the store, by name; `migrations/` has the tables.

Plain SQL with `?` for each value, in the order of the tuples that `rows.py` and `units.py` make. PostgreSQL takes the
same texts with its own placeholder; what only one of them knows stays out of this file. A SELECT names its columns.
"""

from __future__ import annotations

# The service's own secrets, policies and authorities.

STATE = "SELECT sealed FROM states WHERE name = ?"
INSERT_STATE = "INSERT INTO states (name, sealed) VALUES (?, ?) ON CONFLICT DO NOTHING"
UPDATE_STATE = "UPDATE states SET sealed = ? WHERE name = ?"

POLICY = """
SELECT realm, name, rights, sealed, etag, created_at, updated_at FROM policies WHERE realm = ? AND name = ?"""
POLICIES = """
SELECT realm, name, rights, sealed, etag, created_at, updated_at FROM policies WHERE realm = ? ORDER BY name"""
POLICIES_PAGE = """
SELECT realm, name, rights, sealed, etag, created_at, updated_at
FROM policies WHERE realm = ? AND name > ? ORDER BY name LIMIT ?"""
INSERT_POLICY = """
INSERT INTO policies (rights, sealed, etag, created_at, updated_at, realm, name)
VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"""
UPDATE_POLICY = """
UPDATE policies SET rights = ?, sealed = ?, etag = ?, created_at = ?, updated_at = ?
WHERE realm = ? AND name = ? AND etag = ?"""
DELETE_POLICY = "DELETE FROM policies WHERE realm = ? AND name = ? AND etag = ?"
A_CONFIGURING_POLICY = """
SELECT 1 FROM policies WHERE realm = 'provisioning' AND ' ' || rights || ' ' LIKE '% ServiceConfig %' LIMIT 1"""

AUTHORITY = """
SELECT authority, type, settings, sealed, version, etag, created_at, updated_at
FROM authorities WHERE authority_key = ?"""
AUTHORITIES = """
SELECT authority, type, settings, sealed, version, etag, created_at, updated_at
FROM authorities WHERE authority_key > ? ORDER BY authority_key LIMIT ?"""
INSERT_AUTHORITY = """
INSERT INTO authorities
  (authority, type, settings, sealed, version, etag, created_at, updated_at, authority_key)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"""
UPDATE_AUTHORITY = """
UPDATE authorities SET
  authority = ?, type = ?, settings = ?, sealed = ?, version = ?, etag = ?, created_at = ?, updated_at = ?
WHERE authority_key = ? AND etag = ?"""
DELETE_AUTHORITY = """
DELETE FROM authorities WHERE authority_key = ? AND etag = ?
  AND NOT EXISTS (SELECT 1 FROM enrollments WHERE authority_key = ?)
  AND NOT EXISTS (SELECT 1 FROM enrollment_names WHERE member = ? AND named_key = ?)"""
ASSERT_AUTHORITY = "SELECT 1 FROM authorities WHERE authority_key = ? AND version = ?"

# Enrollments.

ENROLLMENT = """
SELECT
  kind, enrollment_key, enrollment, attestation, sealed, primary_certificate, secondary_certificate, generation,
  etag, created_at, updated_at, enabled, device_id, authority, allocation_policy, hubs, update_hub_assignment,
  migrate_device_data, iot_edge, initial_twin, settings, endorsement_key, storage_root_key, sealed_secrets,
  reprovision_stated
FROM enrollments WHERE kind = ? AND enrollment_key = ?"""
ENROLLMENTS = """
SELECT
  kind, enrollment_key, enrollment, attestation, sealed, primary_certificate, secondary_certificate, generation,
  etag, created_at, updated_at, enabled, device_id, authority, allocation_policy, hubs, update_hub_assignment,
  migrate_device_data, iot_edge, initial_twin, settings, endorsement_key, storage_root_key, sealed_secrets,
  reprovision_stated
FROM enrollments
WHERE kind = ? AND enrollment_key >= ? AND enrollment_key <= ?
ORDER BY enrollment_key LIMIT ?"""
SYMMETRIC_GROUPS = """
SELECT
  kind, enrollment_key, enrollment, attestation, sealed, primary_certificate, secondary_certificate, generation,
  etag, created_at, updated_at, enabled, device_id, authority, allocation_policy, hubs, update_hub_assignment,
  migrate_device_data, iot_edge, initial_twin, settings, endorsement_key, storage_root_key, sealed_secrets,
  reprovision_stated
FROM enrollments WHERE kind = 'group' AND attestation = 'symmetric' ORDER BY enrollment_key"""
GROUPS_NAMED = """
SELECT
  kind, enrollment_key, enrollment, attestation, sealed, primary_certificate, secondary_certificate, generation,
  etag, created_at, updated_at, enabled, device_id, authority, allocation_policy, hubs, update_hub_assignment,
  migrate_device_data, iot_edge, initial_twin, settings, endorsement_key, storage_root_key, sealed_secrets,
  reprovision_stated
FROM enrollments WHERE primary_subject = ? OR secondary_subject = ?
  OR (kind = 'group' AND enrollment_key IN
    (SELECT enrollment_key FROM ca_certificates CROSS JOIN enrollment_names
     WHERE subject = ? AND member = 'caCertificateName' AND named_key = name_key
       AND enrollment_kind <> 'individual'))"""
ENROLLMENTS_USING = "SELECT COUNT(*) FROM enrollments WHERE authority_key = ?"
INSERT_ENROLLMENT = """
INSERT INTO enrollments (
  enrollment, attestation, sealed, primary_certificate, secondary_certificate, primary_subject, secondary_subject,
  generation, etag, created_at, updated_at, enabled, device_id, authority_key, authority, allocation_policy, hubs,
  update_hub_assignment, migrate_device_data, iot_edge, initial_twin, settings, endorsement_key, storage_root_key,
  sealed_secrets, reprovision_stated, kind, enrollment_key)
VALUES (
  ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"""
UPDATE_ENROLLMENT = """
UPDATE enrollments SET
  enrollment = ?, attestation = ?, sealed = ?, primary_certificate = ?, secondary_certificate = ?,
  primary_subject = ?, secondary_subject = ?, generation = ?, etag = ?, created_at = ?, updated_at = ?,
  enabled = ?, device_id = ?, authority_key = ?, authority = ?,
  allocation_policy = ?, hubs = ?, update_hub_assignment = ?, migrate_device_data = ?, iot_edge = ?,
  initial_twin = ?, settings = ?, endorsement_key = ?, storage_root_key = ?, sealed_secrets = ?,
  reprovision_stated = ?
WHERE kind = ? AND enrollment_key = ? AND etag = ?"""
DELETE_ENROLLMENT = "DELETE FROM enrollments WHERE kind = ? AND enrollment_key = ? AND etag = ?"
ASSERT_ENROLLMENT = "SELECT 1 FROM enrollments WHERE kind = ? AND enrollment_key = ? AND etag = ?"

# Registrations.

REGISTRATION = """
SELECT
  id, registration_key, registration, enrollment_kind, enrollment_key, device_id, hub, status, substatus,
  operation_id, etag, created_at, updated_at, payload, certificate_sha256, csr_field, error_code, error_message
FROM registrations WHERE registration_key = ?"""
REGISTRATIONS = """
SELECT
  id, registration_key, registration, enrollment_kind, enrollment_key, device_id, hub, status, substatus,
  operation_id, etag, created_at, updated_at, payload, certificate_sha256, csr_field, error_code, error_message
FROM registrations WHERE id > ? ORDER BY id LIMIT ?"""
REGISTRATIONS_OF_GROUP = """
SELECT
  id, registration_key, registration, enrollment_kind, enrollment_key, device_id, hub, status, substatus,
  operation_id, etag, created_at, updated_at, payload, certificate_sha256, csr_field, error_code, error_message
FROM registrations WHERE enrollment_kind = 'group' AND enrollment_key = ? AND id > ? ORDER BY id LIMIT ?"""
REGISTRATIONS_OF_INDIVIDUAL = """
SELECT
  id, registration_key, registration, enrollment_kind, enrollment_key, device_id, hub, status, substatus,
  operation_id, etag, created_at, updated_at, payload, certificate_sha256, csr_field, error_code, error_message
FROM registrations
WHERE registration_key = ? AND enrollment_kind = 'individual' AND id > ? ORDER BY id LIMIT ?"""
REGISTRATIONS_BETWEEN = """
SELECT
  id, registration_key, registration, enrollment_kind, enrollment_key, device_id, hub, status, substatus,
  operation_id, etag, created_at, updated_at, payload, certificate_sha256, csr_field, error_code, error_message
FROM registrations
WHERE registration_key >= ? AND registration_key <= ?
ORDER BY registration_key LIMIT ?"""
INSERT_REGISTRATION = """
INSERT INTO registrations (
  registration, enrollment_kind, enrollment_key, device_id, hub, status, substatus, operation_id, etag, created_at,
  updated_at, payload, certificate_sha256, csr_field, error_code, error_message, registration_key)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"""
UPDATE_REGISTRATION = """
UPDATE registrations SET
  registration = ?, enrollment_kind = ?, enrollment_key = ?, device_id = ?, hub = ?, status = ?, substatus = ?,
  operation_id = ?, etag = ?, created_at = ?, updated_at = ?, payload = ?, certificate_sha256 = ?, csr_field = ?,
  error_code = ?, error_message = ?
WHERE registration_key = ? AND etag = ?"""
DELETE_REGISTRATION = "DELETE FROM registrations WHERE registration_key = ? AND etag = ?"
DELETE_INDIVIDUAL_REGISTRATION = (
    "DELETE FROM registrations WHERE registration_key = ? AND enrollment_kind = 'individual'"
)

TPM_PROOF = "SELECT storage_root_key, epoch FROM tpm_proofs WHERE registration_key = ?"
SAVE_TPM_PROOF = """
INSERT INTO tpm_proofs (registration_key, storage_root_key, epoch) VALUES (?, ?, ?)
ON CONFLICT (registration_key) DO UPDATE SET storage_root_key = excluded.storage_root_key, epoch = excluded.epoch"""
DELETE_TPM_PROOF = """
DELETE FROM tpm_proofs WHERE registration_key = ?
  AND NOT EXISTS (SELECT 1 FROM registrations WHERE registration_key = ?)"""

# Operations.

OPERATION_COLUMNS = """
SELECT
  id, registration_key, registration, enrollment_kind, enrollment_key, enrollment_etag, enrollment_generation,
  authority, authority_version, profile, device_id, hub, substatus, csr, csr_field, spki_sha256, payload,
  bootstrap_certificate, tracking_id, created_at, deadline_at, state, attempt, submitted, handle, lease_owner,
  lease_expires_at, fence, certificate_sha256, error_code, error_message, key_spelling, phase, old_hub, fate,
  initial_twin, answer, data, held_certificate, request_id
FROM operations"""
OPERATION = f"{OPERATION_COLUMNS} WHERE id = ?"
OPEN_OPERATION = """
SELECT
  id, registration_key, registration, enrollment_kind, enrollment_key, enrollment_etag, enrollment_generation,
  authority, authority_version, profile, device_id, hub, substatus, csr, csr_field, spki_sha256, payload,
  bootstrap_certificate, tracking_id, created_at, deadline_at, state, attempt, submitted, handle, lease_owner,
  lease_expires_at, fence, certificate_sha256, error_code, error_message, key_spelling, phase, old_hub, fate,
  initial_twin, answer, data, held_certificate, request_id
FROM operations WHERE registration_key = ? AND state = 'open'"""
NEWEST_OPERATION = """
SELECT
  id, registration_key, registration, enrollment_kind, enrollment_key, enrollment_etag, enrollment_generation,
  authority, authority_version, profile, device_id, hub, substatus, csr, csr_field, spki_sha256, payload,
  bootstrap_certificate, tracking_id, created_at, deadline_at, state, attempt, submitted, handle, lease_owner,
  lease_expires_at, fence, certificate_sha256, error_code, error_message, key_spelling, phase, old_hub, fate,
  initial_twin, answer, data, held_certificate, request_id
FROM operations WHERE registration_key = ? ORDER BY created_at DESC, rowid DESC LIMIT 1"""
OPEN_OPERATIONS = """
SELECT
  id, registration_key, registration, enrollment_kind, enrollment_key, enrollment_etag, enrollment_generation,
  authority, authority_version, profile, device_id, hub, substatus, csr, csr_field, spki_sha256, payload,
  bootstrap_certificate, tracking_id, created_at, deadline_at, state, attempt, submitted, handle, lease_owner,
  lease_expires_at, fence, certificate_sha256, error_code, error_message, key_spelling, phase, old_hub, fate,
  initial_twin, answer, data, held_certificate, request_id
FROM operations WHERE state = 'open' ORDER BY registration_key"""
UNSETTLED_OPERATIONS = """
SELECT
  id, registration_key, registration, enrollment_kind, enrollment_key, enrollment_etag, enrollment_generation,
  authority, authority_version, profile, device_id, hub, substatus, csr, csr_field, spki_sha256, payload,
  bootstrap_certificate, tracking_id, created_at, deadline_at, state, attempt, submitted, handle, lease_owner,
  lease_expires_at, fence, certificate_sha256, error_code, error_message, key_spelling, phase, old_hub, fate,
  initial_twin, answer, data, held_certificate, request_id
FROM operations WHERE state = 'superseded' AND submitted = 1 ORDER BY id"""
RENEWALS = """
SELECT
  id, registration_key, registration, enrollment_kind, enrollment_key, enrollment_etag, enrollment_generation,
  authority, authority_version, profile, device_id, hub, substatus, csr, csr_field, spki_sha256, payload,
  bootstrap_certificate, tracking_id, created_at, deadline_at, state, attempt, submitted, handle, lease_owner,
  lease_expires_at, fence, certificate_sha256, error_code, error_message, key_spelling, phase, old_hub, fate,
  initial_twin, answer, data, held_certificate, request_id
FROM operations WHERE registration_key = ? AND request_id IS NOT NULL
ORDER BY created_at DESC, state = 'open' DESC LIMIT 8"""
INSERT_OPERATION = """
INSERT INTO operations (
  registration_key, registration, enrollment_kind, enrollment_key, enrollment_etag, enrollment_generation,
  authority, authority_version, profile, device_id, hub, substatus, csr, csr_field, spki_sha256, payload,
  bootstrap_certificate, tracking_id, created_at, deadline_at, state, attempt, submitted, handle, lease_owner,
  lease_expires_at, fence, certificate_sha256, error_code, error_message, key_spelling, phase, old_hub, fate,
  initial_twin, answer, data, held_certificate, request_id, id)
VALUES (
  ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING"""
UPDATE_OPERATION = """
UPDATE operations SET
  registration_key = ?, registration = ?, enrollment_kind = ?, enrollment_key = ?, enrollment_etag = ?,
  enrollment_generation = ?, authority = ?, authority_version = ?, profile = ?, device_id = ?, hub = ?,
  substatus = ?, csr = ?, csr_field = ?, spki_sha256 = ?, payload = ?, bootstrap_certificate = ?, tracking_id = ?,
  created_at = ?, deadline_at = ?, state = ?, attempt = ?, submitted = ?, handle = ?, lease_owner = ?,
  lease_expires_at = ?, fence = ?, certificate_sha256 = ?, error_code = ?, error_message = ?, key_spelling = ?,
  phase = ?, old_hub = ?, fate = ?, initial_twin = ?, answer = ?, data = ?,
  held_certificate = ?, request_id = ?
WHERE id = ? AND state = 'open' AND fence = ?"""
SUPERSEDE_OPERATION = (
    "UPDATE operations SET state = 'superseded' WHERE id = ? AND registration_key = ? AND state = 'open'"
)
SUPERSEDE_OPERATIONS = (
    "UPDATE operations SET state = 'superseded' WHERE registration_key = ? AND state = 'open'"
)
SUPERSEDE_INDIVIDUAL_OPERATIONS = """
UPDATE operations SET state = 'superseded'
WHERE registration_key = ? AND state = 'open' AND enrollment_kind = 'individual'"""
SETTLE_OPERATION = """
UPDATE operations SET submitted = 0 WHERE id = ? AND fence = ? AND state = 'superseded' AND submitted = 1"""
FORGETTABLE_OPERATION = """
SELECT 1 FROM operations
WHERE state <> 'open' AND created_at < ? AND NOT (state = 'superseded' AND submitted = 1)
  AND NOT EXISTS (SELECT 1 FROM lost_orders WHERE operation_id = operations.id AND next_look_at IS NOT NULL)
LIMIT 1"""
FORGET_OPERATIONS = """
DELETE FROM operations WHERE id IN
  (SELECT id FROM operations
   WHERE state <> 'open' AND created_at < ? AND NOT (state = 'superseded' AND submitted = 1)
     AND NOT EXISTS (SELECT 1 FROM lost_orders WHERE operation_id = operations.id AND next_look_at IS NOT NULL)
   ORDER BY created_at LIMIT ?)"""

# Certificates, what stands above them, and their bindings.

CHAIN = "SELECT certificates FROM chains WHERE sha256 = ?"
INSERT_CHAIN = "INSERT INTO chains (sha256, certificates) VALUES (?, ?) ON CONFLICT DO NOTHING"

CERTIFICATE_COLUMNS = """
SELECT
  id, sha256, spki_sha256, serial, authority, authority_version, profile, registration_key, registration, device_id,
  enrollment_generation, csr_sha256, operation_id, ca_reference, not_before, not_after, issued_at, leaf,
  chain_sha256, binding, revoked_at, revoked_reason
FROM certificates"""
CERTIFICATE = f"{CERTIFICATE_COLUMNS} WHERE sha256 = ?"
CERTIFICATES_OF_KEY = f"{CERTIFICATE_COLUMNS} WHERE spki_sha256 = ? ORDER BY id DESC LIMIT 16"
CERTIFICATES_WITH_SERIAL = f"{CERTIFICATE_COLUMNS} WHERE serial = ? ORDER BY authority_key LIMIT 16"
CERTIFICATES = f"{CERTIFICATE_COLUMNS} WHERE id > ? ORDER BY id LIMIT ?"
CERTIFICATES_OF_REGISTRATION = (
    f"{CERTIFICATE_COLUMNS} WHERE registration_key = ? AND id > ? ORDER BY id LIMIT ?"
)
SERIAL_KNOWN = "SELECT 1 FROM certificates WHERE serial = ? AND authority_key = ?"
BINDINGS = """
SELECT sha256, device_id, binding, not_before, not_after, bound_at
FROM certificates
WHERE registration_key = ? AND device_id = ? AND binding IN ('pending', 'active', 'retired') AND revoked_at IS NULL
ORDER BY binding_number DESC LIMIT 64"""

KEY_ELSEWHERE = """
SELECT 1 FROM certificates WHERE spki_sha256 = ? AND registration_key <> ? AND profile <> 'stray' LIMIT 1"""
INSERT_CERTIFICATE = """
INSERT INTO certificates (
  sha256, spki_sha256, serial, authority_key, authority, authority_version, profile, registration_key, registration,
  device_id, enrollment_generation, csr_sha256, operation_id, ca_reference, not_before, not_after, issued_at, leaf,
  chain_sha256, binding, bound_at, binding_number)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
  (SELECT COALESCE(MAX(binding_number), 0) + 1 FROM certificates WHERE registration_key = ?))
ON CONFLICT DO NOTHING"""
ASSERT_CERTIFICATE = "SELECT 1 FROM certificates WHERE sha256 = ? AND device_id = ?"
BIND_CERTIFICATE = """
UPDATE certificates SET binding = 'pending', bound_at = ?, binding_number =
  (SELECT MAX(others.binding_number) + 1 FROM certificates AS others
   WHERE others.registration_key = certificates.registration_key)
WHERE sha256 = ? AND (binding IS NULL OR binding IN ('retired', 'superseded'))"""
SUPERSEDE_CERTIFICATES = """
UPDATE certificates SET binding = 'superseded' WHERE id IN
  (SELECT id FROM certificates
   WHERE registration_key = (SELECT registration_key FROM certificates WHERE sha256 = ?) AND device_id = ?
     AND binding = 'pending'
   ORDER BY binding_number DESC LIMIT 1000 OFFSET ?)"""
USE_CERTIFICATE = """
UPDATE certificates SET binding = 'active', used_at = COALESCE(used_at, ?)
WHERE sha256 = ? AND device_id = ? AND binding IN ('pending', 'active')"""
RETIRE_CERTIFICATES = """
UPDATE certificates SET binding = 'retired'
WHERE registration_key = (SELECT registration_key FROM certificates WHERE sha256 = ?) AND device_id = ?
  AND binding IN ('pending', 'active')
  AND binding_number < (SELECT binding_number FROM certificates WHERE sha256 = ?)"""

# The issuance log.

LEAVES = """
SELECT id, kind, authority, sha256, logged_at, leaf_hash FROM log_leaves WHERE id > ? ORDER BY id LIMIT ?"""
INSERT_LEAF = "INSERT INTO log_leaves (kind, authority, sha256, logged_at, leaf_hash) VALUES (?, ?, ?, ?, ?)"
