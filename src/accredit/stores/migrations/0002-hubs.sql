-- Several embedded hubs in one database, and hubs elsewhere. `hub` and `hub_key` are a hub's name without regard to
-- case, and '' for the hub of the service's first host name: renaming the service must not lose its devices.

CREATE TABLE linked_hubs (
  hub_key TEXT NOT NULL PRIMARY KEY,
  hub TEXT NOT NULL,
  kind TEXT NOT NULL,
  location TEXT,
  weight INTEGER NOT NULL,
  apply_allocation_policy INTEGER NOT NULL,
  trust_anchors TEXT,
  sealed BLOB,
  etag TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
);

-- An identity made by hand belongs to no registration. `twin_etag` counts what the service side changed in the twin,
-- `twin_version` every change, `desired_version` those of the desired properties.
CREATE TABLE hub_identities (
  id INTEGER PRIMARY KEY,
  hub TEXT NOT NULL,
  device_id TEXT NOT NULL,
  registration_key TEXT,
  registration TEXT,
  generation_id TEXT NOT NULL,
  etag TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  enabled INTEGER NOT NULL,
  status_reason TEXT,
  sealed BLOB,
  thumbprint BLOB,
  secondary_thumbprint BLOB,
  iot_edge INTEGER NOT NULL,
  tags TEXT NOT NULL,
  desired TEXT NOT NULL,
  twin_etag INTEGER NOT NULL,
  twin_version INTEGER NOT NULL,
  desired_version INTEGER NOT NULL,
  twin_updated_at INTEGER NOT NULL
);

INSERT INTO hub_identities (
  id, hub, device_id, registration_key, registration, generation_id, etag, created_at, updated_at, enabled, sealed,
  thumbprint, iot_edge, tags, desired, twin_etag, twin_version, desired_version, twin_updated_at)
SELECT
  id, '', device_id, registration_key, registration, generation_id, etag, created_at, updated_at, enabled, sealed,
  thumbprint, iot_edge, COALESCE(json_extract(initial_twin, '$.tags'), '{}'),
  COALESCE(json_extract(initial_twin, '$.properties.desired'), '{}'), 1, 2, 1, updated_at
FROM hub_devices;

DROP TABLE hub_devices;
ALTER TABLE hub_identities RENAME TO hub_devices;
CREATE UNIQUE INDEX hub_devices_by_name ON hub_devices (hub, device_id);
