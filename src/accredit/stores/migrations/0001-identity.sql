-- Instants are whole Unix seconds. A *_key column is the name beside it without regard to case; where nothing is
-- searched by it, only the name as first given is kept. What is sealed stands in a column named `sealed`.
-- Every index here costs each registration one page at a random place: add none without a query that needs it.

CREATE TABLE states (
  name TEXT NOT NULL PRIMARY KEY,
  sealed BLOB NOT NULL
);

CREATE TABLE policies (
  realm TEXT NOT NULL,
  name TEXT NOT NULL,
  rights TEXT NOT NULL,
  sealed BLOB NOT NULL,
  PRIMARY KEY (realm, name)
);

CREATE TABLE authorities (
  authority_key TEXT NOT NULL PRIMARY KEY,
  authority TEXT NOT NULL,
  type TEXT NOT NULL,
  settings TEXT NOT NULL,
  sealed BLOB NOT NULL,
  version TEXT NOT NULL,
  etag TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
);

CREATE TABLE enrollments (
  id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  enrollment_key TEXT NOT NULL,
  enrollment TEXT NOT NULL,
  attestation TEXT NOT NULL,
  sealed BLOB,
  primary_certificate BLOB,
  secondary_certificate BLOB,
  primary_subject BLOB,
  secondary_subject BLOB,
  generation TEXT NOT NULL,
  etag TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  enabled INTEGER NOT NULL,
  device_id TEXT,
  authority_key TEXT,
  authority TEXT,
  allocation_policy TEXT NOT NULL,
  hubs TEXT NOT NULL,
  update_hub_assignment INTEGER NOT NULL,
  migrate_device_data INTEGER NOT NULL,
  iot_edge INTEGER NOT NULL,
  initial_twin TEXT,
  settings TEXT NOT NULL
);
CREATE UNIQUE INDEX enrollments_by_name ON enrollments (kind, enrollment_key);
CREATE INDEX enrollments_by_authority ON enrollments (authority_key) WHERE authority_key IS NOT NULL;
CREATE INDEX groups_by_primary_subject ON enrollments (primary_subject) WHERE primary_subject IS NOT NULL;
CREATE INDEX groups_by_secondary_subject ON enrollments (secondary_subject) WHERE secondary_subject IS NOT NULL;

CREATE TABLE registrations (
  id INTEGER PRIMARY KEY,
  registration_key TEXT NOT NULL UNIQUE,
  registration TEXT NOT NULL,
  enrollment_kind TEXT NOT NULL,
  enrollment_key TEXT NOT NULL,
  device_id TEXT NOT NULL,
  hub TEXT,
  status TEXT NOT NULL,
  substatus TEXT,
  operation_id TEXT NOT NULL,
  etag TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  payload BLOB,
  certificate_sha256 BLOB,
  csr_field TEXT,
  error_code INTEGER,
  error_message TEXT
);
CREATE INDEX registrations_of_group ON registrations (enrollment_key) WHERE enrollment_kind = 'group';

CREATE TABLE operations (
  id TEXT NOT NULL PRIMARY KEY,
  registration_key TEXT NOT NULL,
  registration TEXT NOT NULL,
  enrollment_kind TEXT NOT NULL,
  enrollment_key TEXT NOT NULL,
  enrollment_etag TEXT NOT NULL,
  enrollment_generation TEXT NOT NULL,
  authority TEXT,
  authority_version TEXT NOT NULL,
  profile TEXT NOT NULL,
  device_id TEXT NOT NULL,
  hub TEXT NOT NULL,
  substatus TEXT NOT NULL,
  csr BLOB NOT NULL,
  csr_field TEXT NOT NULL,
  spki_sha256 BLOB NOT NULL,
  payload BLOB,
  bootstrap_certificate BLOB,
  tracking_id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  deadline_at INTEGER NOT NULL,
  state TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  submitted INTEGER NOT NULL,
  handle TEXT,
  lease_owner TEXT NOT NULL,
  lease_expires_at INTEGER NOT NULL,
  fence INTEGER NOT NULL,
  certificate_sha256 BLOB,
  error_code INTEGER,
  error_message TEXT,
  key_spelling TEXT
);
CREATE UNIQUE INDEX operations_open ON operations (registration_key) WHERE state = 'open';
CREATE INDEX operations_unsettled ON operations (id) WHERE state = 'superseded' AND submitted = 1;
CREATE INDEX operations_ended ON operations (created_at) WHERE state <> 'open';

-- What stands above a leaf, once per distinct chain: certificates as length-prefixed DER, under their SHA-256.
CREATE TABLE chains (
  sha256 BLOB NOT NULL PRIMARY KEY,
  certificates BLOB NOT NULL
);

-- A certificate is bound to the device that it was issued for, or to none: `binding` and its instants say so.
-- `binding_number` counts the bindings of one registration's certificates; instants may be equal, numbers are not.
CREATE TABLE certificates (
  id INTEGER PRIMARY KEY,
  sha256 BLOB NOT NULL UNIQUE,
  spki_sha256 BLOB NOT NULL,
  serial BLOB NOT NULL,
  authority_key TEXT NOT NULL,
  authority TEXT NOT NULL,
  authority_version TEXT NOT NULL,
  profile TEXT NOT NULL,
  registration_key TEXT NOT NULL,
  registration TEXT NOT NULL,
  device_id TEXT NOT NULL,
  enrollment_generation TEXT NOT NULL,
  csr_sha256 BLOB NOT NULL,
  operation_id TEXT NOT NULL,
  ca_reference TEXT,
  not_before INTEGER NOT NULL,
  not_after INTEGER NOT NULL,
  issued_at INTEGER NOT NULL,
  leaf BLOB NOT NULL,
  chain_sha256 BLOB,
  binding TEXT,
  binding_number INTEGER,
  bound_at INTEGER,
  used_at INTEGER,
  revoked_at INTEGER
);
CREATE UNIQUE INDEX certificates_by_serial ON certificates (serial, authority_key);
CREATE INDEX certificates_by_key ON certificates (spki_sha256);
CREATE INDEX certificates_by_registration ON certificates (registration_key, binding_number);

CREATE TABLE log_leaves (
  id INTEGER PRIMARY KEY,
  kind INTEGER NOT NULL,
  authority TEXT NOT NULL,
  sha256 BLOB NOT NULL,
  logged_at INTEGER NOT NULL,
  leaf_hash BLOB NOT NULL
);

CREATE TABLE hub_devices (
  id INTEGER PRIMARY KEY,
  device_id TEXT NOT NULL UNIQUE,
  registration_key TEXT NOT NULL,
  registration TEXT NOT NULL,
  generation_id TEXT NOT NULL,
  etag TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  enabled INTEGER NOT NULL,
  sealed BLOB,
  thumbprint BLOB,
  initial_twin TEXT,
  iot_edge INTEGER NOT NULL
);
