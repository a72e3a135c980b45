"""The SQL texts about hubs: which are linked, and the identities and twins of the embedded ones. As `statements.py`."""

from __future__ import annotations

LINKED_HUBS = """
SELECT
  hub_key, hub, kind, location, weight, apply_allocation_policy, trust_anchors, sealed, etag, created_at, updated_at
FROM linked_hubs ORDER BY hub_key"""
INSERT_LINKED_HUB = """
INSERT INTO linked_hubs (
  hub, kind, location, weight, apply_allocation_policy, trust_anchors, sealed, etag, created_at, updated_at, hub_key)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"""
UPDATE_LINKED_HUB = """
UPDATE linked_hubs SET
  hub = ?, kind = ?, location = ?, weight = ?, apply_allocation_policy = ?, trust_anchors = ?, sealed = ?, etag = ?,
  created_at = ?, updated_at = ?
WHERE hub_key = ? AND etag = ?"""
RELEASES = "SELECT hub, device_id, created_at FROM outbox ORDER BY id LIMIT ?"
RELEASE_DUE = "SELECT 1 FROM outbox WHERE hub = ? AND device_id = ?"
RELEASE_LATER = "INSERT INTO outbox (hub, device_id, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
SETTLE_RELEASE = "DELETE FROM outbox WHERE hub = ? AND device_id = ?"
FORGET_RELEASES = "DELETE FROM outbox WHERE hub = ?"
ASSERT_HUB = "SELECT 1 FROM linked_hubs WHERE hub_key = ?"

# Whole tables are read by these; only unlinking a hub asks them.
HUB_REGISTRATIONS = "SELECT COUNT(*) FROM registrations WHERE LOWER(hub) = ?"
HUB_ENROLLMENTS = """
SELECT COUNT(*) FROM enrollments WHERE LOWER(hubs) LIKE ? ESCAPE '!' OR LOWER(settings) LIKE ? ESCAPE '!'"""
DELETE_LINKED_HUB = """
DELETE FROM linked_hubs WHERE hub_key = ? AND etag = ?
  AND NOT EXISTS (SELECT 1 FROM registrations WHERE LOWER(hub) = ?)
  AND NOT EXISTS
    (SELECT 1 FROM enrollments WHERE LOWER(hubs) LIKE ? ESCAPE '!' OR LOWER(settings) LIKE ? ESCAPE '!')
  AND NOT EXISTS (SELECT 1 FROM hub_devices WHERE hub = ?)"""

HUB_DEVICE = """
SELECT
  hub, device_id, registration_key, registration, generation_id, etag, created_at, updated_at, enabled, status_reason,
  sealed, thumbprint, secondary_thumbprint, iot_edge, tags, desired, twin_etag, twin_version, desired_version,
  twin_updated_at, reported, reported_version, reported_at
FROM hub_devices WHERE hub = ? AND device_id = ?"""
HUB_DEVICES = """
SELECT
  hub, device_id, registration_key, registration, generation_id, etag, created_at, updated_at, enabled, status_reason,
  sealed, thumbprint, secondary_thumbprint, iot_edge, tags, desired, twin_etag, twin_version, desired_version,
  twin_updated_at, reported, reported_version, reported_at
FROM hub_devices WHERE hub = ? ORDER BY device_id LIMIT ?"""
HUB_DEVICE_COUNTS = "SELECT COUNT(*), COUNT(CASE WHEN enabled = 1 THEN 1 END) FROM hub_devices WHERE hub = ?"

INSERT_HUB_DEVICE = """
INSERT INTO hub_devices (
  hub, device_id, registration_key, registration, generation_id, etag, created_at, updated_at, enabled, status_reason,
  sealed, thumbprint, secondary_thumbprint, iot_edge, tags, desired, twin_etag, twin_version, desired_version,
  twin_updated_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
CREATE_HUB_DEVICE = f"{INSERT_HUB_DEVICE} ON CONFLICT DO NOTHING"
SAVE_HUB_DEVICE = f"""{INSERT_HUB_DEVICE}
ON CONFLICT (hub, device_id) DO UPDATE SET
  registration_key = excluded.registration_key, registration = excluded.registration, etag = excluded.etag,
  updated_at = excluded.updated_at, sealed = excluded.sealed, thumbprint = excluded.thumbprint,
  secondary_thumbprint = excluded.secondary_thumbprint
WHERE hub_devices.registration_key = excluded.registration_key OR hub_devices.registration_key IS NULL"""
SAVE_HUB_DEVICE_WITH_DATA = f"""{INSERT_HUB_DEVICE}
ON CONFLICT (hub, device_id) DO UPDATE SET
  registration_key = excluded.registration_key, registration = excluded.registration, etag = excluded.etag,
  updated_at = excluded.updated_at, sealed = excluded.sealed, thumbprint = excluded.thumbprint,
  secondary_thumbprint = excluded.secondary_thumbprint, iot_edge = excluded.iot_edge, tags = excluded.tags,
  desired = excluded.desired, twin_etag = hub_devices.twin_etag + 1, twin_version = hub_devices.twin_version + 1,
  desired_version = hub_devices.desired_version + 1, twin_updated_at = excluded.twin_updated_at
WHERE hub_devices.registration_key = excluded.registration_key OR hub_devices.registration_key IS NULL"""
UPDATE_HUB_DEVICE = """
UPDATE hub_devices SET
  etag = ?, updated_at = ?, enabled = ?, status_reason = ?, sealed = ?, thumbprint = ?, secondary_thumbprint = ?,
  iot_edge = ?
WHERE hub = ? AND device_id = ? AND etag = ?"""
UPDATE_TWIN = """
UPDATE hub_devices SET
  tags = ?, desired = ?, twin_etag = ?, twin_version = twin_version + 1, desired_version = ?, twin_updated_at = ?
WHERE hub = ? AND device_id = ? AND twin_etag = ?"""
UPDATE_REPORTED = """
UPDATE hub_devices SET reported = ?, reported_version = ?, reported_at = ?, twin_version = twin_version + 1
WHERE hub = ? AND device_id = ? AND reported_version = ?"""
DELETE_HUB_DEVICE = "DELETE FROM hub_devices WHERE hub = ? AND device_id = ? AND etag = ?"
RELEASE_HUB_DEVICE = "DELETE FROM hub_devices WHERE hub = ? AND device_id = ? AND registration_key = ?"
