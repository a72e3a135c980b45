-- Proven devices whose registrations fail one after the other: how often, why, and since when they are paused.
CREATE TABLE setbacks (
  registration_key TEXT NOT NULL PRIMARY KEY,
  registration TEXT NOT NULL,
  enrollment_kind TEXT NOT NULL,
  enrollment_key TEXT NOT NULL,
  enrollment_etag TEXT NOT NULL,
  failures INTEGER NOT NULL,
  rule TEXT NOT NULL,
  reason TEXT NOT NULL,
  tracking_id TEXT NOT NULL,
  first_at INTEGER NOT NULL,
  last_at INTEGER NOT NULL,
  paused_at INTEGER
);
CREATE INDEX setbacks_counted ON setbacks (last_at) WHERE paused_at IS NULL;

-- Which registration ids may prove a group that takes no others.
CREATE TABLE allowed_registrations (
  group_key TEXT NOT NULL,
  registration_key TEXT NOT NULL,
  registration TEXT NOT NULL,
  PRIMARY KEY (group_key, registration_key)
) WITHOUT ROWID;
