-- As ../../migrations/0022-crl-shards.sql.
ALTER TABLE certificates ADD COLUMN revoked_shard BIGINT;
UPDATE certificates SET revoked_shard = get_byte(serial, octet_length(serial) - 1) % 16
WHERE revoked_number IS NOT NULL;
CREATE INDEX certificates_by_crl ON certificates (authority_key, revoked_shard, revoked_number)
WHERE revoked_number IS NOT NULL;
