-- An operation goes through phases; every one that was written before had an order to place. An empty `hub` is not
-- chosen yet, an empty `csr_field` means that no certificate was asked for.
ALTER TABLE operations ADD COLUMN phase TEXT NOT NULL DEFAULT 'order';
ALTER TABLE operations ADD COLUMN old_hub TEXT;
ALTER TABLE operations ADD COLUMN fate TEXT NOT NULL DEFAULT 'stays';
ALTER TABLE operations ADD COLUMN initial_twin TEXT;
ALTER TABLE operations ADD COLUMN answer BLOB;
ALTER TABLE operations ADD COLUMN data TEXT;

-- An open operation knows the hub that its device had, so that it can tell when that has changed.
UPDATE operations SET old_hub =
  (SELECT hub FROM registrations WHERE registrations.registration_key = operations.registration_key
     AND registrations.status = 'assigned')
WHERE state = 'open';

-- Secrets of an enrollment's webhooks, and whether it states a reprovision policy.
ALTER TABLE enrollments ADD COLUMN sealed_secrets BLOB;
ALTER TABLE enrollments ADD COLUMN reprovision_stated INTEGER NOT NULL DEFAULT 1;
