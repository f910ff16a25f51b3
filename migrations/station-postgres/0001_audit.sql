-- One append-only log per database, hash-chained per lane (D16). The statements are those of
-- migrations/station where PostgreSQL has the same; sqlx asks both with the same text.
-- The columns after `hash` are projections of `record`: verification recomputes and compares them.
-- Names are compared byte by byte (COLLATE "C"), as SQLite and the program do. Flags are 0 or 1, but for
-- `success`, which [W §12.1] declares BOOLEAN.
CREATE TABLE security_audit_log (
  -- Rises in the order of writing; a transaction that is rolled back leaves a gap.
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  lane TEXT COLLATE "C" NOT NULL CHECK (length(lane) BETWEEN 1 AND 128),
  seq BIGINT NOT NULL CHECK (seq >= 1),
  timestamp BIGINT NOT NULL,
  record BYTEA NOT NULL,
  prev BYTEA NOT NULL CHECK (length(prev) = 32),
  hash BYTEA NOT NULL CHECK (length(hash) = 32),
  event_type TEXT NOT NULL,
  device_id TEXT COLLATE "C" NULL,
  session_id TEXT COLLATE "C" NULL,
  actor TEXT NOT NULL,
  role TEXT NULL,
  pairing_code TEXT NULL,
  success BOOLEAN NOT NULL,
  error_code TEXT NULL,
  error_message TEXT NULL,
  configuration_hash TEXT NULL,
  UNIQUE (lane, seq),
  CONSTRAINT provisioning_event_names_a_device CHECK (
    device_id IS NOT NULL OR event_type NOT IN (
      'provisioning_mode_entered', 'pairing_code_generated', 'pairing_code_validated',
      'configuration_received', 'configuration_applied', 'connection_tested',
      'provisioning_completed', 'provisioning_failed', 'reprovisioning_started'))
);

CREATE INDEX security_audit_log_by_device ON security_audit_log (device_id, id);
CREATE INDEX security_audit_log_by_session ON security_audit_log (session_id, id);

-- Where each lane ends, and the number of the last checkpoint (lane 'checkpoints'). It remembers how
-- many rows there were after rows were cut away, as SQLite's AUTOINCREMENT does; and its row is the lock
-- of the lane.
CREATE TABLE audit_lanes (
  lane TEXT COLLATE "C" PRIMARY KEY,
  seq BIGINT NOT NULL CHECK (seq >= 1),
  hash BYTEA NOT NULL CHECK (length(hash) = 32)
);

CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '%: %', TG_TABLE_NAME, TG_ARGV[0];
END
$$;

CREATE FUNCTION extend_lane() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE audit_lanes SET seq = NEW.seq, hash = NEW.hash
    WHERE lane = NEW.lane AND seq = NEW.seq - 1 AND hash = NEW.prev;
  IF FOUND THEN
    RETURN NEW;
  END IF;
  IF NEW.seq = 1 AND NEW.prev = decode(repeat('00', 32), 'hex') THEN
    INSERT INTO audit_lanes (lane, seq, hash) VALUES (NEW.lane, 1, NEW.hash);
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'security_audit_log: a row must extend its lane';
END
$$;

CREATE TRIGGER security_audit_log_extends_its_lane BEFORE INSERT ON security_audit_log
FOR EACH ROW EXECUTE FUNCTION extend_lane();

CREATE TRIGGER security_audit_log_is_not_edited BEFORE UPDATE ON security_audit_log
FOR EACH STATEMENT EXECUTE FUNCTION refuse('rows are never changed');

CREATE TRIGGER security_audit_log_is_not_cut BEFORE DELETE OR TRUNCATE ON security_audit_log
FOR EACH STATEMENT EXECUTE FUNCTION refuse('rows are never deleted');

CREATE TRIGGER audit_lanes_only_grow BEFORE UPDATE ON audit_lanes
FOR EACH ROW WHEN (NEW.lane <> OLD.lane OR NEW.seq <> OLD.seq + 1)
EXECUTE FUNCTION refuse('a lane grows by one row at a time');

CREATE TRIGGER audit_lanes_are_kept BEFORE DELETE OR TRUNCATE ON audit_lanes
FOR EACH STATEMENT EXECUTE FUNCTION refuse('rows are never deleted');

-- Signed statements about the heads of all lanes; the peer keeps copies. They are numbered without gaps.
CREATE TABLE audit_checkpoints (
  id BIGINT PRIMARY KEY,
  timestamp BIGINT NOT NULL,
  row_count BIGINT NOT NULL CHECK (row_count >= 0),
  jws TEXT NOT NULL
);

CREATE FUNCTION number_checkpoint() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO audit_lanes AS l (lane, seq, hash)
    VALUES ('checkpoints', 1, sha256(convert_to(NEW.jws, 'UTF8')))
    ON CONFLICT (lane) DO UPDATE SET seq = l.seq + 1, hash = excluded.hash
    RETURNING seq INTO NEW.id;
  RETURN NEW;
END
$$;

CREATE TRIGGER audit_checkpoints_are_numbered BEFORE INSERT ON audit_checkpoints
FOR EACH ROW EXECUTE FUNCTION number_checkpoint();

CREATE TRIGGER audit_checkpoints_are_not_edited BEFORE UPDATE ON audit_checkpoints
FOR EACH STATEMENT EXECUTE FUNCTION refuse('rows are never changed');

CREATE TRIGGER audit_checkpoints_are_not_cut BEFORE DELETE OR TRUNCATE ON audit_checkpoints
FOR EACH STATEMENT EXECUTE FUNCTION refuse('rows are never deleted');

-- [W §12.1]: exactly these columns, in this order; `timestamp` is Unix milliseconds UTC,
-- `pairing_code` a keyed hash in hex, `configuration_hash` SHA-256 of the signed bytes in hex.
CREATE VIEW provisioning_events AS
SELECT id, timestamp, event_type, device_id, pairing_code, success, error_message,
       configuration_hash
FROM security_audit_log
WHERE event_type IN (
  'provisioning_mode_entered', 'pairing_code_generated', 'pairing_code_validated',
  'configuration_received', 'configuration_applied', 'connection_tested',
  'provisioning_completed', 'provisioning_failed', 'reprovisioning_started');
