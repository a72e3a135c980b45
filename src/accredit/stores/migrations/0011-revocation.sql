-- A revoked certificate has `revoked_at`, why, and its place in the order of revocations. `ca_told_at` is when the CA that
-- issued it had it revoked too: ours at once, another when it has answered.

ALTER TABLE certificates ADD COLUMN revoked_reason TEXT;
ALTER TABLE certificates ADD COLUMN revoked_number INTEGER;
ALTER TABLE certificates ADD COLUMN ca_told_at INTEGER;
CREATE UNIQUE INDEX certificates_by_revocation ON certificates (revoked_number) WHERE revoked_number IS NOT NULL;
CREATE INDEX certificates_to_revoke ON certificates (id) WHERE revoked_at IS NOT NULL AND ca_told_at IS NULL;
