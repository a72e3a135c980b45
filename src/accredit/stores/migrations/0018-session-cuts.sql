-- Devices whose connections every process must end; read by their age, and deleted soon.
CREATE TABLE session_cuts (
  id INTEGER PRIMARY KEY,
  hub TEXT NOT NULL,
  device_id TEXT NOT NULL,
  reason TEXT NOT NULL,
  cut_at INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER))
);
CREATE INDEX session_cuts_by_age ON session_cuts (cut_at);
