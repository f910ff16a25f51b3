-- user_version 17, application_id 0x5a4d4353
CREATE INDEX batch_items_at_work ON batch_items (batch_id) WHERE state = 'pairing';
CREATE INDEX batch_items_by_device ON batch_items (device_id);
CREATE INDEX batch_items_by_serial ON batch_items (serial);
CREATE INDEX batches_by_opening ON batches (opened_at, id);
CREATE INDEX certificates_by_device ON certificates (device_id, state, issued_at);
CREATE UNIQUE INDEX certificates_one_current ON certificates (device_id) WHERE state = 'current';
CREATE INDEX certificates_pending ON certificates (issued_at) WHERE state = 'pending';
CREATE INDEX certificates_revoked ON certificates (not_after) WHERE state = 'revoked';
CREATE INDEX certificates_versions ON certificates (device_id, config_version);
CREATE INDEX logins_by_end ON logins (expires_at);
CREATE INDEX logins_by_operator ON logins (operator);
CREATE INDEX security_audit_log_by_device ON security_audit_log (device_id, id);
CREATE INDEX security_audit_log_by_session ON security_audit_log (session_id, id);
CREATE UNIQUE INDEX sessions_one_reservation ON sessions (device_id) WHERE reserved = 1;
CREATE INDEX sessions_open ON sessions (phase)
  WHERE phase NOT IN ('paired', 'failed', 'released');
CREATE INDEX typed_tries_by_operator ON typed_tries (operator, at);
CREATE TABLE audit_checkpoints (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  timestamp INTEGER NOT NULL,
  row_count INTEGER NOT NULL CHECK (row_count >= 0),
  jws TEXT NOT NULL
) STRICT;
CREATE TABLE batch_items (
  batch_id BLOB NOT NULL REFERENCES batches (id),
  number INTEGER NOT NULL CHECK (number >= 1),
  device_id TEXT NULL,
  serial TEXT NULL,
  identity BLOB NULL CHECK (length(identity) = 32),
  ip_address TEXT NULL,
  port INTEGER NULL CHECK (port BETWEEN 1 AND 65535),
  bed TEXT NULL,
  label TEXT NULL,
  unit TEXT NULL,
  language TEXT NULL,
  sync_interval INTEGER NULL,
  state TEXT NOT NULL CHECK (state IN ('waiting', 'pairing', 'paired', 'failed', 'skipped')),
  attempts INTEGER NOT NULL CHECK (attempts >= 0),
  operator TEXT NULL,
  session BLOB NULL CHECK (length(session) = 16),
  begun_at INTEGER NULL,
  ended_at INTEGER NULL,
  error TEXT NULL,
  field TEXT NULL,
  rule TEXT NULL,
  PRIMARY KEY (batch_id, number),
  CONSTRAINT failed_says_why CHECK ((state = 'failed') = (error IS NOT NULL)),
  CONSTRAINT a_field_has_its_rule CHECK ((field IS NULL) = (rule IS NULL))
) STRICT;
CREATE TABLE batches (
  id BLOB PRIMARY KEY CHECK (length(id) = 16),
  name TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('open', 'paused', 'closed')),
  operator TEXT NOT NULL,
  opened_at INTEGER NOT NULL
) STRICT;
CREATE TABLE certificates (
  serial BLOB PRIMARY KEY CHECK (length(serial) BETWEEN 1 AND 20),
  session BLOB NOT NULL UNIQUE CHECK (length(session) = 16),
  device_id TEXT NOT NULL,
  identity_key BLOB NOT NULL,
  config_version INTEGER NOT NULL CHECK (config_version >= 1),
  state TEXT NOT NULL CHECK (state IN ('pending', 'current', 'superseded', 'revoked')),
  der BLOB NOT NULL,
  not_before INTEGER NOT NULL,
  not_after INTEGER NOT NULL,
  issued_at INTEGER NOT NULL,
  committed_at INTEGER NULL,
  revoked_at INTEGER NULL,
  reason TEXT NULL CHECK (reason IN (
    'aborted', 'superseded', 'administrator', 'key_compromise', 'decommissioned')),
  CONSTRAINT revoked_says_when_and_why CHECK (
    (state = 'revoked') = (revoked_at IS NOT NULL) AND (state = 'revoked') = (reason IS NOT NULL)),
  CONSTRAINT current_was_committed CHECK (
    state NOT IN ('current', 'superseded') OR committed_at IS NOT NULL)
) STRICT;
CREATE TABLE claimed_tokens (
  token_id BLOB PRIMARY KEY CHECK (length(token_id) = 16),
  session_id BLOB NOT NULL CHECK (length(session_id) = 16)
) STRICT;
CREATE TABLE crls (
  number INTEGER PRIMARY KEY CHECK (number >= 1),
  this_update INTEGER NOT NULL,
  next_update INTEGER NOT NULL,
  der BLOB NOT NULL
) STRICT;
CREATE TABLE devices (
  id TEXT PRIMARY KEY,
  serial TEXT NOT NULL UNIQUE,
  identity BLOB NOT NULL UNIQUE CHECK (length(identity) = 32),
  status TEXT NOT NULL CHECK (status IN ('active', 'decommissioned')),
  bed TEXT NULL,
  label TEXT NULL,
  unit TEXT NULL,
  language TEXT NULL,
  sync_interval INTEGER NULL,
  registered_at INTEGER NOT NULL
, ip_address TEXT NULL, port INTEGER NULL CHECK (port BETWEEN 1 AND 65535), model TEXT NULL) STRICT;
CREATE TABLE enrolment_credentials (
  device_id TEXT PRIMARY KEY REFERENCES devices (id),
  hash BLOB NOT NULL CHECK (length(hash) = 32),
  expires_at INTEGER NOT NULL,
  spent_by BLOB NULL CHECK (length(spent_by) = 16)
) STRICT;
CREATE TABLE logins (
  token_hash BLOB PRIMARY KEY CHECK (length(token_hash) = 32),
  operator TEXT NOT NULL REFERENCES operators (id),
  role TEXT NOT NULL CHECK (role IN ('technician', 'administrator', 'auditor')),
  expires_at INTEGER NOT NULL
) STRICT;
CREATE TABLE operators (
  id TEXT PRIMARY KEY,
  role TEXT NOT NULL CHECK (role IN ('technician', 'administrator', 'auditor')),
  password_hash TEXT NOT NULL,
  disabled INTEGER NOT NULL CHECK (disabled IN (0, 1)),
  created_at INTEGER NOT NULL
, one_time INTEGER NOT NULL DEFAULT 0 CHECK (one_time IN (0, 1))) STRICT;
CREATE TABLE peer_checkpoints (
  device_id TEXT PRIMARY KEY,
  checkpoint TEXT NOT NULL
) STRICT;
CREATE TABLE recovery_counters (
  device_id TEXT PRIMARY KEY,
  counter INTEGER NOT NULL CHECK (counter >= 1)
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
CREATE TABLE session_states (
  session_id BLOB PRIMARY KEY REFERENCES sessions (id),
  sealed BLOB NOT NULL
) STRICT;
CREATE TABLE sessions (
  id BLOB PRIMARY KEY CHECK (length(id) = 16),
  device_id TEXT NOT NULL,
  operator TEXT NOT NULL,
  phase TEXT NOT NULL CHECK (phase IN (
    'dialling', 'identified', 'issuing', 'delivering', 'awaiting_commit',
    'paired', 'failed', 'released')),
  reserved INTEGER NOT NULL CHECK (reserved IN (0, 1)),
  token_id BLOB NOT NULL CHECK (length(token_id) = 16),
  opened_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  error TEXT NULL,
  answer BLOB NULL
, owner TEXT NOT NULL DEFAULT '', epoch INTEGER NOT NULL DEFAULT 0 CHECK (epoch >= 0), lease_until INTEGER NOT NULL DEFAULT 0, enrolment TEXT NULL CHECK (enrolment IN ('credential', 'certificate'))) STRICT;
CREATE TABLE set_backs (
  number INTEGER PRIMARY KEY CHECK (number >= 1),
  tag TEXT NOT NULL UNIQUE CHECK (length(tag) = 16),
  at INTEGER NOT NULL,
  crl_floor INTEGER NOT NULL CHECK (crl_floor >= 0),
  config_floor INTEGER NOT NULL CHECK (config_floor >= 0)
) STRICT;
CREATE TABLE typed_tries (
  session_id BLOB PRIMARY KEY CHECK (length(session_id) = 16),
  operator TEXT NOT NULL,
  window_id BLOB NOT NULL CHECK (length(window_id) = 16),
  at INTEGER NOT NULL
) STRICT;
CREATE TRIGGER audit_checkpoints_are_not_cut BEFORE DELETE ON audit_checkpoints
BEGIN SELECT RAISE(ABORT, 'audit_checkpoints: rows are never deleted'); END;
CREATE TRIGGER audit_checkpoints_are_not_edited BEFORE UPDATE ON audit_checkpoints
BEGIN SELECT RAISE(ABORT, 'audit_checkpoints: rows are never changed'); END;
CREATE TRIGGER batch_items_are_kept BEFORE DELETE ON batch_items
BEGIN SELECT RAISE(ABORT, 'batch_items: rows are never deleted'); END;
CREATE TRIGGER batch_items_stay_paired BEFORE UPDATE OF state ON batch_items
WHEN OLD.state = 'paired' AND NEW.state <> 'paired'
BEGIN SELECT RAISE(ABORT, 'batch_items: a paired item stays paired'); END;
CREATE TRIGGER batches_are_kept BEFORE DELETE ON batches
BEGIN SELECT RAISE(ABORT, 'batches: rows are never deleted'); END;
CREATE TRIGGER batches_stay_closed BEFORE UPDATE OF state ON batches
WHEN OLD.state = 'closed' AND NEW.state <> 'closed'
BEGIN SELECT RAISE(ABORT, 'batches: a closed batch stays closed'); END;
CREATE TRIGGER certificates_are_kept BEFORE DELETE ON certificates
BEGIN SELECT RAISE(ABORT, 'certificates: rows are never deleted'); END;
CREATE TRIGGER certificates_stay_revoked BEFORE UPDATE OF state ON certificates
WHEN OLD.state = 'revoked' AND NEW.state <> 'revoked'
BEGIN SELECT RAISE(ABORT, 'certificates: a revoked certificate stays revoked'); END;
CREATE TRIGGER claimed_tokens_are_kept BEFORE DELETE ON claimed_tokens
BEGIN SELECT RAISE(ABORT, 'claimed_tokens: a token stays claimed'); END;
CREATE TRIGGER claimed_tokens_do_not_move BEFORE UPDATE ON claimed_tokens
BEGIN SELECT RAISE(ABORT, 'claimed_tokens: a token stays claimed'); END;
CREATE TRIGGER enrolment_credentials_stay_spent BEFORE UPDATE ON enrolment_credentials
WHEN OLD.spent_by IS NOT NULL AND NEW.hash = OLD.hash
BEGIN SELECT RAISE(ABORT, 'enrolment_credentials: what was spent stays spent'); END;
CREATE TRIGGER recovery_counters_are_kept BEFORE DELETE ON recovery_counters
BEGIN SELECT RAISE(ABORT, 'recovery_counters: a counter stays'); END;
CREATE TRIGGER recovery_counters_only_rise BEFORE UPDATE ON recovery_counters
WHEN NEW.counter <= OLD.counter OR NEW.device_id IS NOT OLD.device_id
BEGIN SELECT RAISE(ABORT, 'recovery_counters: a counter only rises'); END;
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
CREATE TRIGGER sessions_change_owner_by_epoch BEFORE UPDATE OF owner, epoch ON sessions
WHEN NEW.epoch < OLD.epoch OR (NEW.epoch = OLD.epoch AND NEW.owner IS NOT OLD.owner)
BEGIN SELECT RAISE(ABORT, 'sessions: each owner has an epoch of its own'); END;
CREATE TRIGGER sessions_forget_at_their_end AFTER UPDATE OF phase ON sessions
WHEN NEW.phase IN ('paired', 'failed', 'released')
BEGIN DELETE FROM session_states WHERE session_id = NEW.id; END;
CREATE TRIGGER set_backs_are_kept BEFORE DELETE ON set_backs
BEGIN SELECT RAISE(ABORT, 'set_backs: rows are never deleted'); END;
CREATE TRIGGER set_backs_do_not_move BEFORE UPDATE ON set_backs
BEGIN SELECT RAISE(ABORT, 'set_backs: rows are never changed'); END;
CREATE VIEW provisioning_events AS
SELECT id, timestamp, event_type, device_id, pairing_code, success, error_message,
       configuration_hash
FROM security_audit_log
WHERE event_type IN (
  'provisioning_mode_entered', 'pairing_code_generated', 'pairing_code_validated',
  'configuration_received', 'configuration_applied', 'connection_tested',
  'provisioning_completed', 'provisioning_failed', 'reprovisioning_started')
