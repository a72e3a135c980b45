-- The revocation of a whole group, or of an authority: how far it is (`position`, '' at its beginning), and what was done.
-- `issuers` is JSON. At most one is open for a target.
CREATE TABLE mass_revocations (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  target_key TEXT NOT NULL,
  target TEXT NOT NULL,
  reason TEXT NOT NULL,
  started_by TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  total INTEGER NOT NULL,
  issuers TEXT NOT NULL,
  keeps_devices INTEGER NOT NULL,
  position TEXT NOT NULL,
  seen INTEGER NOT NULL,
  devices INTEGER NOT NULL,
  identities INTEGER NOT NULL,
  operations INTEGER NOT NULL,
  connections INTEGER NOT NULL,
  certificates INTEGER NOT NULL,
  ended_at INTEGER
);
CREATE UNIQUE INDEX mass_revocations_open ON mass_revocations (kind, target_key) WHERE ended_at IS NULL;

-- Its certificates by authority: how many, and of how many the CA has said that it revoked them, or that it can't.
CREATE TABLE mass_revocation_authorities (
  mass_revocation TEXT NOT NULL,
  authority_key TEXT NOT NULL,
  authority TEXT NOT NULL,
  certificates INTEGER NOT NULL,
  revoked INTEGER NOT NULL,
  unable INTEGER NOT NULL,
  PRIMARY KEY (mass_revocation, authority_key)
);

-- `ca_unable`: the CA that issued a revoked certificate can't be told.
ALTER TABLE certificates ADD COLUMN mass_revocation TEXT;
ALTER TABLE certificates ADD COLUMN ca_unable INTEGER;
DROP INDEX certificates_to_revoke;
CREATE INDEX certificates_to_tell ON certificates (authority_key, id) WHERE revoked_at IS NOT NULL AND ca_told_at IS NULL;
CREATE INDEX certificates_of_mass_revocation ON certificates (mass_revocation, id) WHERE mass_revocation IS NOT NULL;
