-- The registry (D9): an id, a serial number and an identity key belong to one device each.
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
) STRICT;

-- The latest audit checkpoint each device has sent (D16).
CREATE TABLE peer_checkpoints (
  device_id TEXT PRIMARY KEY,
  checkpoint TEXT NOT NULL
) STRICT;

CREATE TABLE operators (
  id TEXT PRIMARY KEY,
  role TEXT NOT NULL CHECK (role IN ('technician', 'administrator', 'auditor')),
  password_hash TEXT NOT NULL,
  disabled INTEGER NOT NULL CHECK (disabled IN (0, 1)),
  created_at INTEGER NOT NULL
) STRICT;

-- Bearer tokens by their SHA-256.
CREATE TABLE logins (
  token_hash BLOB PRIMARY KEY CHECK (length(token_hash) = 32),
  operator TEXT NOT NULL REFERENCES operators (id),
  role TEXT NOT NULL CHECK (role IN ('technician', 'administrator', 'auditor')),
  expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX logins_by_end ON logins (expires_at);
CREATE INDEX logins_by_operator ON logins (operator);

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
) STRICT;
-- One operator works on a device at a time (D11).
CREATE UNIQUE INDEX sessions_one_reservation ON sessions (device_id) WHERE reserved = 1;
CREATE INDEX sessions_open ON sessions (phase)
  WHERE phase NOT IN ('paired', 'failed', 'released');

-- A token claimed once is claimed for ever: rows are never removed (D11).
CREATE TABLE claimed_tokens (
  token_id BLOB PRIMARY KEY CHECK (length(token_id) = 16),
  session_id BLOB NOT NULL CHECK (length(session_id) = 16)
) STRICT;
CREATE TRIGGER claimed_tokens_are_kept BEFORE DELETE ON claimed_tokens
BEGIN SELECT RAISE(ABORT, 'claimed_tokens: a token stays claimed'); END;
CREATE TRIGGER claimed_tokens_do_not_move BEFORE UPDATE ON claimed_tokens
BEGIN SELECT RAISE(ABORT, 'claimed_tokens: a token stays claimed'); END;

-- One certificate per session, for ever: a retry never mints a second (D11, D13).
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
-- Exactly one certificate of a device is current (D13).
CREATE UNIQUE INDEX certificates_one_current ON certificates (device_id) WHERE state = 'current';
CREATE INDEX certificates_by_device ON certificates (device_id, state, issued_at);
CREATE INDEX certificates_pending ON certificates (issued_at) WHERE state = 'pending';
CREATE INDEX certificates_revoked ON certificates (not_after) WHERE state = 'revoked';
CREATE INDEX certificates_versions ON certificates (device_id, config_version);
-- Revoked is for ever.
CREATE TRIGGER certificates_stay_revoked BEFORE UPDATE OF state ON certificates
WHEN OLD.state = 'revoked' AND NEW.state <> 'revoked'
BEGIN SELECT RAISE(ABORT, 'certificates: a revoked certificate stays revoked'); END;
CREATE TRIGGER certificates_are_kept BEFORE DELETE ON certificates
BEGIN SELECT RAISE(ABORT, 'certificates: rows are never deleted'); END;

CREATE TABLE crls (
  number INTEGER PRIMARY KEY CHECK (number >= 1),
  this_update INTEGER NOT NULL,
  next_update INTEGER NOT NULL,
  der BLOB NOT NULL
) STRICT;

PRAGMA application_id = 0x5A4D4353; -- "ZMCS"
PRAGMA user_version = 2;
