-- A CRL is one of 16, by the low bits of the serial number: so its entries are read alone, however many there are.
ALTER TABLE certificates ADD COLUMN revoked_shard INTEGER;
UPDATE certificates SET revoked_shard = instr('0123456789ABCDEF', substr(hex(serial), -1)) - 1
WHERE revoked_number IS NOT NULL;
CREATE INDEX certificates_by_crl ON certificates (authority_key, revoked_shard, revoked_number)
WHERE revoked_number IS NOT NULL;
