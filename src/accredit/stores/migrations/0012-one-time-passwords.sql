-- One password of an individual enrollment at a time, by its hash; its first use binds it to one request.
CREATE TABLE one_time_passwords (
  registration_key TEXT NOT NULL PRIMARY KEY,
  registration TEXT NOT NULL,
  generation TEXT NOT NULL,
  sha256 BLOB NOT NULL,
  expires_at INTEGER NOT NULL,
  request_sha256 BLOB,
  first_used_at INTEGER
) WITHOUT ROWID;
