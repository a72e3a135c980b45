-- Policies can be changed: each has an etag, and the instants of its making and of its last change.
ALTER TABLE policies ADD COLUMN etag TEXT NOT NULL DEFAULT '';
ALTER TABLE policies ADD COLUMN created_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE policies ADD COLUMN updated_at INTEGER NOT NULL DEFAULT 0;
UPDATE policies SET etag = lower(hex(randomblob(8))),
  created_at = CAST(strftime('%s', 'now') AS INTEGER), updated_at = CAST(strftime('%s', 'now') AS INTEGER);
