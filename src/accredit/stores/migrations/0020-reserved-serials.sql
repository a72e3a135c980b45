-- Serial numbers that a CA whose key is in a token may sign. A row goes when its certificate is on record; what may have been
-- signed and never came to be on record stays, with `lost_at`, and is revoked from then on.
CREATE TABLE reserved_serials (
  id INTEGER PRIMARY KEY,
  authority_key TEXT NOT NULL,
  authority TEXT NOT NULL,
  serial BLOB NOT NULL,
  owner TEXT NOT NULL,
  reserved_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  not_after INTEGER NOT NULL,
  lost_at INTEGER
);
CREATE UNIQUE INDEX reserved_serials_by_serial ON reserved_serials (authority_key, serial);
CREATE INDEX reserved_serials_lost ON reserved_serials (authority_key) WHERE lost_at IS NOT NULL;

-- What nobody has seen. A certificate on record counts for more: what it is revoked by stands in its own row.
CREATE VIEW lost_serials AS
SELECT id, authority_key, authority, serial, reserved_at, not_after, lost_at
FROM reserved_serials
WHERE lost_at IS NOT NULL AND NOT EXISTS (
  SELECT 1 FROM certificates
  WHERE certificates.serial = reserved_serials.serial AND certificates.authority_key = reserved_serials.authority_key);
