-- What a device reports of itself in its twin; `reported_version` counts its changes.
ALTER TABLE hub_devices ADD COLUMN reported TEXT NOT NULL DEFAULT '{}';
ALTER TABLE hub_devices ADD COLUMN reported_version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE hub_devices ADD COLUMN reported_at INTEGER NOT NULL DEFAULT 0;
