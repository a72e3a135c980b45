-- Devices to be removed from a hub elsewhere, which a later assignment moved away from it. `hub` as in linked_hubs.hub_key.

CREATE TABLE outbox (
  id INTEGER PRIMARY KEY,
  hub TEXT NOT NULL,
  device_id TEXT NOT NULL,
  created_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX outbox_by_device ON outbox (hub, device_id);
