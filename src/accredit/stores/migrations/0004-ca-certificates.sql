-- CA certificates that the operator uploaded: DER, and the SHA-256 of the subject's name to find one by.
-- An enrollment that refers to them keeps their names in primary_certificate and secondary_certificate
-- (its `attestation` is 'references'), and in enrollment_names.
CREATE TABLE ca_certificates (
  name_key TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  certificate BLOB NOT NULL,
  subject BLOB NOT NULL,
  purpose TEXT NOT NULL,
  verified INTEGER NOT NULL,
  etag TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  code TEXT,
  code_ends_at INTEGER
);
CREATE INDEX ca_certificates_by_subject ON ca_certificates (subject);
