-- TPM attestation. Keys are TPMT_PUBLIC structures: public, so not sealed.

ALTER TABLE enrollments ADD COLUMN endorsement_key BLOB;
ALTER TABLE enrollments ADD COLUMN storage_root_key BLOB;

-- What a TPM proved last, beside its registration: devices without one pay nothing for it.
CREATE TABLE tpm_proofs (
  registration_key TEXT NOT NULL PRIMARY KEY,
  storage_root_key BLOB NOT NULL,
  epoch INTEGER NOT NULL
);
