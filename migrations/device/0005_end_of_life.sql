-- The end of a configuration, of everything, and of a manual configuration (D21, [W §14]).
-- Highest counter of a retire statement ever used.
ALTER TABLE device_state ADD COLUMN retire_counter INTEGER NOT NULL DEFAULT 0
  CHECK (retire_counter >= 0);
-- A factory reset has begun and not ended: the next start finishes it.
ALTER TABLE device_state ADD COLUMN erasing INTEGER NOT NULL DEFAULT 0 CHECK (erasing IN (0, 1));
-- An operator has begun to migrate a manual configuration.
ALTER TABLE device_state ADD COLUMN migrating INTEGER NOT NULL DEFAULT 0 CHECK (migrating IN (0, 1));

-- Statements that wait for their station, and how to reach it: nonce(12) ‖ AES-256-GCM under a key
-- derived from the root secret. Nothing in them is secret, but after a wipe nobody needs to read
-- where the device belonged. They outlive every wipe.
CREATE TABLE retire_queue (
  counter INTEGER PRIMARY KEY CHECK (counter >= 1),
  sealed BLOB NOT NULL CHECK (length(sealed) > 28)
) STRICT;

PRAGMA user_version = 5;
