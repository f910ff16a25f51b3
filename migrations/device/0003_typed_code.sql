-- How many runs of the typed code were started in the window (D2); covered by `mac` once there is one.
ALTER TABLE device_state ADD COLUMN window_tries INTEGER NOT NULL DEFAULT 0
  CHECK (window_tries BETWEEN 0 AND 10);

PRAGMA user_version = 3;
