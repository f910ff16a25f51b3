-- user_version 8, application_id 0x5a4d4456
CREATE INDEX security_audit_log_by_device ON security_audit_log (device_id, id);
CREATE INDEX security_audit_log_by_session ON security_audit_log (session_id, id);
CREATE TABLE audit_checkpoints (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  timestamp INTEGER NOT NULL,
  row_count INTEGER NOT NULL CHECK (row_count >= 0),
  jws TEXT NOT NULL
) STRICT;
CREATE TABLE device_state (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  generation INTEGER NOT NULL CHECK (generation >= 0),
  slot_a INTEGER NULL,
  slot_b INTEGER NULL,
  commit_sent INTEGER NOT NULL CHECK (commit_sent IN (0, 1)),
  window_id BLOB NULL CHECK (window_id IS NULL OR length(window_id) = 16),
  window_session BLOB NULL CHECK (window_session IS NULL OR length(window_session) = 16),
  deprovisioned INTEGER NOT NULL CHECK (deprovisioned IN (0, 1)),
  floor INTEGER NULL,
  mac BLOB NOT NULL CHECK (length(mac) = 32)
, window_tries INTEGER NOT NULL DEFAULT 0
  CHECK (window_tries BETWEEN 0 AND 10), recovery_counter INTEGER NOT NULL DEFAULT 0
  CHECK (recovery_counter >= 0), retire_counter INTEGER NOT NULL DEFAULT 0
  CHECK (retire_counter >= 0), erasing INTEGER NOT NULL DEFAULT 0 CHECK (erasing IN (0, 1)), migrating INTEGER NOT NULL DEFAULT 0 CHECK (migrating IN (0, 1)), new_identity INTEGER NOT NULL DEFAULT 0
  CHECK (new_identity IN (0, 1))) STRICT;
CREATE TABLE loose_secrets (
  generation INTEGER PRIMARY KEY CHECK (generation >= 1)
) STRICT;
CREATE TABLE retire_queue (
  counter INTEGER PRIMARY KEY CHECK (counter >= 1),
  sealed BLOB NOT NULL CHECK (length(sealed) > 28)
) STRICT;
CREATE TABLE security_audit_log (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  lane TEXT NOT NULL CHECK (typeof(lane) = 'text' AND length(lane) BETWEEN 1 AND 128),
  seq INTEGER NOT NULL CHECK (typeof(seq) = 'integer' AND seq >= 1),
  timestamp INTEGER NOT NULL CHECK (typeof(timestamp) = 'integer'),
  record BLOB NOT NULL CHECK (typeof(record) = 'blob'),
  prev BLOB NOT NULL CHECK (typeof(prev) = 'blob' AND length(prev) = 32),
  hash BLOB NOT NULL CHECK (typeof(hash) = 'blob' AND length(hash) = 32),
  event_type TEXT NOT NULL CHECK (typeof(event_type) = 'text'),
  device_id TEXT NULL CHECK (typeof(device_id) IN ('text', 'null')),
  session_id TEXT NULL CHECK (typeof(session_id) IN ('text', 'null')),
  actor TEXT NOT NULL CHECK (typeof(actor) = 'text'),
  role TEXT NULL CHECK (typeof(role) IN ('text', 'null')),
  pairing_code TEXT NULL CHECK (typeof(pairing_code) IN ('text', 'null')),
  success BOOLEAN NOT NULL CHECK (success IN (0, 1)),
  error_code TEXT NULL CHECK (typeof(error_code) IN ('text', 'null')),
  error_message TEXT NULL CHECK (typeof(error_message) IN ('text', 'null')),
  configuration_hash TEXT NULL CHECK (typeof(configuration_hash) IN ('text', 'null')),
  UNIQUE (lane, seq),
  CONSTRAINT provisioning_event_names_a_device CHECK (
    device_id IS NOT NULL OR event_type NOT IN (
      'provisioning_mode_entered', 'pairing_code_generated', 'pairing_code_validated',
      'configuration_received', 'configuration_applied', 'connection_tested',
      'provisioning_completed', 'provisioning_failed', 'reprovisioning_started'))
);
CREATE TABLE settings (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  device_label TEXT NULL,
  bed_id TEXT NULL,
  measurement_unit TEXT NOT NULL,
  language TEXT NOT NULL,
  sync_interval INTEGER NOT NULL
) STRICT;
CREATE TABLE site_floors (
  site_id TEXT PRIMARY KEY,
  not_before INTEGER NOT NULL
) STRICT;
CREATE TABLE slots (
  slot TEXT PRIMARY KEY CHECK (slot IN ('A', 'B')),
  generation INTEGER NOT NULL UNIQUE CHECK (generation >= 1),
  sealed BLOB NOT NULL CHECK (length(sealed) > 28)
) STRICT;
CREATE TRIGGER audit_checkpoints_are_not_cut BEFORE DELETE ON audit_checkpoints
BEGIN SELECT RAISE(ABORT, 'audit_checkpoints: rows are never deleted'); END;
CREATE TRIGGER audit_checkpoints_are_not_edited BEFORE UPDATE ON audit_checkpoints
BEGIN SELECT RAISE(ABORT, 'audit_checkpoints: rows are never changed'); END;
CREATE TRIGGER security_audit_log_extends_its_lane BEFORE INSERT ON security_audit_log
WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM security_audit_log WHERE lane = NEW.lane)
  OR NEW.prev IS NOT coalesce(
    (SELECT hash FROM security_audit_log WHERE lane = NEW.lane ORDER BY seq DESC LIMIT 1),
    zeroblob(32))
BEGIN SELECT RAISE(ABORT, 'security_audit_log: a row must extend its lane'); END;
CREATE TRIGGER security_audit_log_is_not_cut BEFORE DELETE ON security_audit_log
BEGIN SELECT RAISE(ABORT, 'security_audit_log: rows are never deleted'); END;
CREATE TRIGGER security_audit_log_is_not_edited BEFORE UPDATE ON security_audit_log
BEGIN SELECT RAISE(ABORT, 'security_audit_log: rows are never changed'); END;
CREATE VIEW provisioning_events AS
SELECT id, timestamp, event_type, device_id, pairing_code, success, error_message,
       configuration_hash
FROM security_audit_log
WHERE event_type IN (
  'provisioning_mode_entered', 'pairing_code_generated', 'pairing_code_validated',
  'configuration_received', 'configuration_applied', 'connection_tested',
  'provisioning_completed', 'provisioning_failed', 'reprovisioning_started')
