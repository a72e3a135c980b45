-- A leaf is looked up by what it is about where it gets its place, beside the registrations' path: an index on the leaves
-- themselves would cost each registration a page.

ALTER TABLE log_sequence ADD COLUMN sha256 BLOB;
UPDATE log_sequence SET sha256 = (SELECT sha256 FROM log_leaves WHERE log_leaves.id = log_sequence.leaf_id);
CREATE INDEX log_places ON log_sequence (sha256);
