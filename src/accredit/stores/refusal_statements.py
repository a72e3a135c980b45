"""The SQL texts about refused devices: traces, setbacks, and which devices a group takes. As in `statements.py`."""

from __future__ import annotations

TRACE = "SELECT id, document FROM decision_traces WHERE tracking_id = ?"
TRACES = "SELECT id, document FROM decision_traces WHERE id > ? ORDER BY id LIMIT ?"
TRACES_OF_REGISTRATION = """
SELECT id, document FROM decision_traces WHERE registration_key = ? AND id > ? ORDER BY id LIMIT ?"""
SAVE_TRACE = """
INSERT INTO decision_traces (tracking_id, registration_key, traced_at, document) VALUES (?, ?, ?, ?)
ON CONFLICT (tracking_id) DO UPDATE SET
  registration_key = excluded.registration_key, traced_at = excluded.traced_at, document = excluded.document"""
TRIM_TRACES = """
DELETE FROM decision_traces WHERE registration_key = ? AND id <=
  (SELECT id FROM decision_traces WHERE registration_key = ? ORDER BY id DESC LIMIT 1 OFFSET ?)"""
OLD_TRACE = "SELECT 1 FROM decision_traces WHERE traced_at < ? LIMIT 1"
FORGET_OLD_TRACES = """
DELETE FROM decision_traces WHERE id IN
  (SELECT id FROM decision_traces WHERE traced_at < ? ORDER BY traced_at LIMIT ?)"""
SURPLUS_TRACE = "SELECT id FROM decision_traces WHERE id > 0 ORDER BY id DESC LIMIT 1 OFFSET ?"
FORGET_SURPLUS_TRACES = """
DELETE FROM decision_traces WHERE id IN
  (SELECT id FROM decision_traces WHERE id > 0 AND id <= ? ORDER BY id LIMIT ?)"""

ANY_SETBACKS = "SELECT 1 FROM setbacks WHERE registration_key > '' LIMIT 1"
SETBACKS = """
SELECT
  registration_key, registration, enrollment_kind, enrollment_key, enrollment_etag, failures, rule, reason,
  tracking_id, first_at, last_at, paused_at
FROM setbacks WHERE registration_key = ?"""
SAVE_SETBACKS = """
INSERT INTO setbacks (
  registration_key, registration, enrollment_kind, enrollment_key, enrollment_etag, failures, rule, reason,
  tracking_id, first_at, last_at, paused_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (registration_key) DO UPDATE SET
  enrollment_kind = excluded.enrollment_kind, enrollment_key = excluded.enrollment_key,
  enrollment_etag = excluded.enrollment_etag, failures = excluded.failures, rule = excluded.rule,
  reason = excluded.reason, tracking_id = excluded.tracking_id, first_at = excluded.first_at,
  last_at = excluded.last_at, paused_at = excluded.paused_at"""
END_SETBACKS = "DELETE FROM setbacks WHERE registration_key = ?"
FORGET_SETBACKS = "DELETE FROM setbacks WHERE paused_at IS NULL AND last_at < ?"

LAST_ALLOWED_MEMBER = """
SELECT 1 FROM registrations WHERE enrollment_kind = 'group' AND enrollment_key = ? LIMIT 1 OFFSET ?"""
ALLOWS = "SELECT 1 FROM allowed_registrations WHERE group_key = ? AND registration_key = ?"
ALLOWED = """
SELECT registration_key, registration FROM allowed_registrations
WHERE group_key = ? AND registration_key > ? ORDER BY registration_key LIMIT ?"""
ALLOW = """
INSERT INTO allowed_registrations (group_key, registration_key, registration) VALUES (?, ?, ?)
ON CONFLICT DO NOTHING"""
DISALLOW = "DELETE FROM allowed_registrations WHERE group_key = ? AND registration_key = ?"
DISALLOW_ALL = "DELETE FROM allowed_registrations WHERE group_key = ?"
