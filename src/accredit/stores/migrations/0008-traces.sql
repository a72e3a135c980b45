-- Why proven devices were refused. A trace is read as a whole; what it is searched by stands beside it.

CREATE TABLE decision_traces (
  id INTEGER PRIMARY KEY,
  tracking_id TEXT NOT NULL UNIQUE,
  registration_key TEXT NOT NULL,
  traced_at INTEGER NOT NULL,
  document TEXT NOT NULL
);
CREATE INDEX decision_traces_of_registration ON decision_traces (registration_key, id);
CREATE INDEX decision_traces_by_age ON decision_traces (traced_at);
