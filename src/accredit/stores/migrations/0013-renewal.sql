-- A renewal is proven by the certificate that the device holds; one that was asked for over a hub has the device's name for it.
ALTER TABLE operations ADD COLUMN held_certificate BLOB;
ALTER TABLE operations ADD COLUMN request_id TEXT;
CREATE INDEX operations_by_request ON operations (registration_key, created_at) WHERE request_id IS NOT NULL;
