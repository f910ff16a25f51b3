-- A factory reset was asked for a new identity (D21): once the erasure has ended, the next start makes
-- identity key and root secret anew, seals the retire queue again, and clears this.
ALTER TABLE device_state ADD COLUMN new_identity INTEGER NOT NULL DEFAULT 0
  CHECK (new_identity IN (0, 1));

PRAGMA user_version = 8;
