-- Where a registered device listens for a typed code, if it has a fixed address (D2, D18).
ALTER TABLE devices ADD COLUMN ip_address TEXT NULL;
ALTER TABLE devices ADD COLUMN port INTEGER NULL CHECK (port BETWEEN 1 AND 65535);

-- Runs of typed codes by operator and window. One whose session has claimed its window was no guess
-- and does not count for the hour; rows are dropped after it.
CREATE TABLE typed_tries (
  session_id BLOB PRIMARY KEY CHECK (length(session_id) = 16),
  operator TEXT NOT NULL,
  window_id BLOB NOT NULL CHECK (length(window_id) = 16),
  at INTEGER NOT NULL
) STRICT;
CREATE INDEX typed_tries_by_operator ON typed_tries (operator, at);

PRAGMA user_version = 3;
