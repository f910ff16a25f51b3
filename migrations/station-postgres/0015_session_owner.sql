-- Who runs a session, as which of its owners, and until when others leave it alone (D11). The empty text is
-- nobody: nothing is kept from which anybody could go on with it.
ALTER TABLE sessions ADD COLUMN owner TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0 CHECK (epoch >= 0);
ALTER TABLE sessions ADD COLUMN lease_until BIGINT NOT NULL DEFAULT 0;

-- Each owner has an epoch of its own.
CREATE TRIGGER sessions_change_owner_by_epoch BEFORE UPDATE OF owner, epoch ON sessions
FOR EACH ROW WHEN (NEW.epoch < OLD.epoch OR (NEW.epoch = OLD.epoch AND NEW.owner <> OLD.owner))
EXECUTE FUNCTION refuse('each owner has an epoch of its own');

-- What the machine of a running session needs to go on, sealed under a key that is not in the database.
CREATE TABLE session_states (
  session_id BYTEA PRIMARY KEY REFERENCES sessions (id),
  sealed BYTEA NOT NULL
);

-- A session that has ended keeps no secrets.
CREATE FUNCTION forget_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM session_states WHERE session_id = NEW.id;
  RETURN NULL;
END
$$;
CREATE TRIGGER sessions_forget_at_their_end AFTER UPDATE OF phase ON sessions
FOR EACH ROW WHEN (NEW.phase IN ('paired', 'failed', 'released'))
EXECUTE FUNCTION forget_session();
