"""The SQL texts about what enrollments name: trust bundles, certificate profiles, uploaded CA certificates. As `statements.py`."""

from __future__ import annotations

FORGET_NAMED = "DELETE FROM enrollment_names WHERE enrollment_kind = ? AND enrollment_key = ?"
NAME_AUTHORITY = """
INSERT INTO enrollment_names (enrollment_kind, enrollment_key, member, named_key)
SELECT ?, ?, ?, authority_key FROM authorities WHERE authority_key = ?"""
NAME_TRUST_BUNDLE = """
INSERT INTO enrollment_names (enrollment_kind, enrollment_key, member, named_key)
SELECT ?, ?, ?, bundle_key FROM trust_bundles WHERE bundle_key = ?"""
NAME_CA_CERTIFICATE = """
INSERT INTO enrollment_names (enrollment_kind, enrollment_key, member, named_key)
SELECT ?, ?, ?, name_key FROM ca_certificates WHERE name_key = ?"""
NAME_CERTIFICATE_PROFILE = """
INSERT INTO enrollment_names (enrollment_kind, enrollment_key, member, named_key)
SELECT ?, ?, ?, profile_key FROM certificate_profiles WHERE profile_key = ?"""
ENROLLMENTS_NAMING = "SELECT COUNT(*) FROM enrollment_names WHERE member = ? AND named_key = ?"

TRUST_BUNDLE = """
SELECT bundle, certificates, etag, created_at, updated_at FROM trust_bundles WHERE bundle_key = ?"""
TRUST_BUNDLES = """
SELECT bundle, certificates, etag, created_at, updated_at
FROM trust_bundles WHERE bundle_key > ? ORDER BY bundle_key LIMIT ?"""
INSERT_TRUST_BUNDLE = """
INSERT INTO trust_bundles (bundle, certificates, etag, created_at, updated_at, bundle_key)
VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"""
UPDATE_TRUST_BUNDLE = """
UPDATE trust_bundles SET bundle = ?, certificates = ?, etag = ?, created_at = ?, updated_at = ?
WHERE bundle_key = ? AND etag = ?"""
DELETE_TRUST_BUNDLE = """
DELETE FROM trust_bundles WHERE bundle_key = ? AND etag = ?
  AND NOT EXISTS (SELECT 1 FROM enrollment_names WHERE member = ? AND named_key = ?)"""

CERTIFICATE_PROFILE = """
SELECT profile, document, etag, created_at, updated_at FROM certificate_profiles WHERE profile_key = ?"""
CERTIFICATE_PROFILES = """
SELECT profile, document, etag, created_at, updated_at
FROM certificate_profiles WHERE profile_key > ? ORDER BY profile_key LIMIT ?"""
INSERT_CERTIFICATE_PROFILE = """
INSERT INTO certificate_profiles (profile, document, etag, created_at, updated_at, profile_key)
VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"""
UPDATE_CERTIFICATE_PROFILE = """
UPDATE certificate_profiles SET profile = ?, document = ?, etag = ?, created_at = ?, updated_at = ?
WHERE profile_key = ? AND etag = ?"""
DELETE_CERTIFICATE_PROFILE = """
DELETE FROM certificate_profiles WHERE profile_key = ? AND etag = ?
  AND NOT EXISTS (SELECT 1 FROM enrollment_names WHERE member = ? AND named_key = ?)"""

CA_CERTIFICATE = """
SELECT name, certificate, purpose, verified, etag, created_at, updated_at, code, code_ends_at
FROM ca_certificates WHERE name_key = ?"""
CA_CERTIFICATES = """
SELECT name, certificate, purpose, verified, etag, created_at, updated_at, code, code_ends_at
FROM ca_certificates WHERE name_key > ? ORDER BY name_key LIMIT ?"""
CA_CERTIFICATES_NAMED = """
SELECT name, certificate, purpose, verified, etag, created_at, updated_at, code, code_ends_at
FROM ca_certificates WHERE subject = ? AND purpose = ? ORDER BY name_key"""
INSERT_CA_CERTIFICATE = """
INSERT INTO ca_certificates (
  name, certificate, subject, purpose, verified, etag, created_at, updated_at, code, code_ends_at, name_key)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"""
UPDATE_CA_CERTIFICATE = """
UPDATE ca_certificates SET
  name = ?, certificate = ?, subject = ?, purpose = ?, verified = ?, etag = ?, created_at = ?, updated_at = ?,
  code = ?, code_ends_at = ?
WHERE name_key = ? AND etag = ?"""
DELETE_CA_CERTIFICATE = """
DELETE FROM ca_certificates WHERE name_key = ? AND etag = ?
  AND NOT EXISTS (SELECT 1 FROM enrollment_names WHERE member = ? AND named_key = ?)"""
ASSERT_CA_CERTIFICATE = "SELECT 1 FROM ca_certificates WHERE name_key = ? AND etag = ?"
