-- Renewal and recovery (D23). A session that a device began by itself has the empty text as its
-- operator, which is nobody's name.

-- The counter of each device's latest recovery; it only rises.
CREATE TABLE recovery_counters (
  device_id TEXT PRIMARY KEY,
  counter INTEGER NOT NULL CHECK (counter >= 1)
) STRICT;
CREATE TRIGGER recovery_counters_only_rise BEFORE UPDATE ON recovery_counters
WHEN NEW.counter <= OLD.counter OR NEW.device_id IS NOT OLD.device_id
BEGIN SELECT RAISE(ABORT, 'recovery_counters: a counter only rises'); END;
CREATE TRIGGER recovery_counters_are_kept BEFORE DELETE ON recovery_counters
BEGIN SELECT RAISE(ABORT, 'recovery_counters: a counter stays'); END;

PRAGMA user_version = 4;
