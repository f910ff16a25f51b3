-- The counter of recoveries as it was last sent (D23).
ALTER TABLE device_state ADD COLUMN recovery_counter INTEGER NOT NULL DEFAULT 0
  CHECK (recovery_counter >= 0);

PRAGMA user_version = 4;
