-- Certificates that devices are told to trust: length-prefixed DER, as in `chains`.
CREATE TABLE trust_bundles (
  bundle_key TEXT NOT NULL PRIMARY KEY,
  bundle TEXT NOT NULL,
  certificates BLOB NOT NULL,
  etag TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
);

-- What enrollments and groups name beside an authority, so that it is not deleted under them. `member` is the member of
-- the document that does, such as trustBundleId.
CREATE TABLE enrollment_names (
  enrollment_kind TEXT NOT NULL,
  enrollment_key TEXT NOT NULL,
  member TEXT NOT NULL,
  named_key TEXT NOT NULL,
  PRIMARY KEY (enrollment_kind, enrollment_key, member, named_key)
);
CREATE INDEX enrollment_names_by_name ON enrollment_names (member, named_key);
