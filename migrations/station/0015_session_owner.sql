-- Who runs a session, as which of its owners, and until when others leave it alone (D11). The empty text is
-- nobody: nothing is kept from which anybody could go on with it.
ALTER TABLE sessions ADD COLUMN owner TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0 CHECK (epoch >= 0);
ALTER TABLE sessions ADD COLUMN lease_until INTEGER NOT NULL DEFAULT 0;

-- Each owner has an epoch of its own.
CREATE TRIGGER sessions_change_owner_by_epoch BEFORE UPDATE OF owner, epoch ON sessions
WHEN NEW.epoch < OLD.epoch OR (NEW.epoch = OLD.epoch AND NEW.owner IS NOT OLD.owner)
BEGIN SELECT RAISE(ABORT, 'sessions: each owner has an epoch of its own'); END;

-- What the machine of a running session needs to go on, sealed under a key that is not in the database.
CREATE TABLE session_states (
  session_id BLOB PRIMARY KEY REFERENCES sessions (id),
  sealed BLOB NOT NULL
) STRICT;

-- A session that has ended keeps no secrets.
CREATE TRIGGER sessions_forget_at_their_end AFTER UPDATE OF phase ON sessions
WHEN NEW.phase IN ('paired', 'failed', 'released')
BEGIN DELETE FROM session_states WHERE session_id = NEW.id; END;

PRAGMA user_version = 15;
