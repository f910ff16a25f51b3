-- Everything the migrations 0002 to 0010 of migrations/station make; there was no database before.

-- The registry (D9): an id, a serial number and an identity key belong to one device each.
CREATE TABLE devices (
  id TEXT COLLATE "C" PRIMARY KEY,
  serial TEXT COLLATE "C" NOT NULL UNIQUE,
  identity BYTEA NOT NULL UNIQUE CHECK (length(identity) = 32),
  status TEXT NOT NULL CHECK (status IN ('active', 'decommissioned')),
  bed TEXT COLLATE "C" NULL,
  label TEXT NULL,
  unit TEXT NULL,
  language TEXT NULL,
  sync_interval BIGINT NULL,
  registered_at BIGINT NOT NULL,
  -- Where a registered device listens for a typed code, if it has a fixed address (D2, D18).
  ip_address TEXT NULL,
  port BIGINT NULL CHECK (port BETWEEN 1 AND 65535),
  model TEXT NULL
);

-- The latest audit checkpoint each device has sent (D16).
CREATE TABLE peer_checkpoints (
  device_id TEXT COLLATE "C" PRIMARY KEY,
  checkpoint TEXT NOT NULL
);

CREATE TABLE operators (
  id TEXT COLLATE "C" PRIMARY KEY,
  role TEXT NOT NULL CHECK (role IN ('technician', 'administrator', 'auditor')),
  password_hash TEXT NOT NULL,
  disabled BIGINT NOT NULL CHECK (disabled IN (0, 1)),
  created_at BIGINT NOT NULL,
  -- A password that a program made and showed once opens nothing but its own change (D22).
  one_time BIGINT NOT NULL DEFAULT 0 CHECK (one_time IN (0, 1))
);

-- Bearer tokens by their SHA-256.
CREATE TABLE logins (
  token_hash BYTEA PRIMARY KEY CHECK (length(token_hash) = 32),
  operator TEXT COLLATE "C" NOT NULL REFERENCES operators (id),
  role TEXT NOT NULL CHECK (role IN ('technician', 'administrator', 'auditor')),
  expires_at BIGINT NOT NULL
);
CREATE INDEX logins_by_end ON logins (expires_at);
CREATE INDEX logins_by_operator ON logins (operator);

-- A session that a device began by itself has the empty text as its operator, which is nobody's name.
CREATE TABLE sessions (
  id BYTEA PRIMARY KEY CHECK (length(id) = 16),
  device_id TEXT COLLATE "C" NOT NULL,
  operator TEXT COLLATE "C" NOT NULL,
  phase TEXT NOT NULL CHECK (phase IN (
    'dialling', 'identified', 'issuing', 'delivering', 'awaiting_commit',
    'paired', 'failed', 'released')),
  reserved BIGINT NOT NULL CHECK (reserved IN (0, 1)),
  token_id BYTEA NOT NULL CHECK (length(token_id) = 16),
  opened_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  error TEXT NULL,
  answer BYTEA NULL
);
-- One operator works on a device at a time (D11).
CREATE UNIQUE INDEX sessions_one_reservation ON sessions (device_id) WHERE reserved = 1;
CREATE INDEX sessions_open ON sessions (phase)
  WHERE phase NOT IN ('paired', 'failed', 'released');

-- A token claimed once is claimed for ever: rows are never removed (D11).
CREATE TABLE claimed_tokens (
  token_id BYTEA PRIMARY KEY CHECK (length(token_id) = 16),
  session_id BYTEA NOT NULL CHECK (length(session_id) = 16)
);
CREATE TRIGGER claimed_tokens_are_kept BEFORE DELETE OR TRUNCATE ON claimed_tokens
FOR EACH STATEMENT EXECUTE FUNCTION refuse('a token stays claimed');
CREATE TRIGGER claimed_tokens_do_not_move BEFORE UPDATE ON claimed_tokens
FOR EACH STATEMENT EXECUTE FUNCTION refuse('a token stays claimed');

-- Runs of typed codes by operator and window. One whose session has claimed its window was no guess
-- and does not count for the hour; rows are dropped after it.
CREATE TABLE typed_tries (
  session_id BYTEA PRIMARY KEY CHECK (length(session_id) = 16),
  operator TEXT COLLATE "C" NOT NULL,
  window_id BYTEA NOT NULL CHECK (length(window_id) = 16),
  at BIGINT NOT NULL
);
CREATE INDEX typed_tries_by_operator ON typed_tries (operator, at);

-- One certificate per session, for ever: a retry never mints a second (D11, D13).
CREATE TABLE certificates (
  serial BYTEA PRIMARY KEY CHECK (length(serial) BETWEEN 1 AND 20),
  session BYTEA NOT NULL UNIQUE CHECK (length(session) = 16),
  device_id TEXT COLLATE "C" NOT NULL,
  identity_key BYTEA NOT NULL,
  config_version BIGINT NOT NULL CHECK (config_version >= 1),
  state TEXT NOT NULL CHECK (state IN ('pending', 'current', 'superseded', 'revoked')),
  der BYTEA NOT NULL,
  not_before BIGINT NOT NULL,
  not_after BIGINT NOT NULL,
  issued_at BIGINT NOT NULL,
  committed_at BIGINT NULL,
  revoked_at BIGINT NULL,
  reason TEXT NULL CHECK (reason IN (
    'aborted', 'superseded', 'administrator', 'key_compromise', 'decommissioned')),
  CONSTRAINT revoked_says_when_and_why CHECK (
    (state = 'revoked') = (revoked_at IS NOT NULL) AND (state = 'revoked') = (reason IS NOT NULL)),
  CONSTRAINT current_was_committed CHECK (
    state NOT IN ('current', 'superseded') OR committed_at IS NOT NULL)
);
-- Exactly one certificate of a device is current (D13).
CREATE UNIQUE INDEX certificates_one_current ON certificates (device_id) WHERE state = 'current';
CREATE INDEX certificates_by_device ON certificates (device_id, state, issued_at);
CREATE INDEX certificates_pending ON certificates (issued_at) WHERE state = 'pending';
CREATE INDEX certificates_revoked ON certificates (not_after) WHERE state = 'revoked';
CREATE INDEX certificates_versions ON certificates (device_id, config_version);
-- Revoked is for ever.
CREATE TRIGGER certificates_stay_revoked BEFORE UPDATE OF state ON certificates
FOR EACH ROW WHEN (OLD.state = 'revoked' AND NEW.state <> 'revoked')
EXECUTE FUNCTION refuse('a revoked certificate stays revoked');
CREATE TRIGGER certificates_are_kept BEFORE DELETE OR TRUNCATE ON certificates
FOR EACH STATEMENT EXECUTE FUNCTION refuse('rows are never deleted');

CREATE TABLE crls (
  number BIGINT PRIMARY KEY CHECK (number >= 1),
  this_update BIGINT NOT NULL,
  next_update BIGINT NOT NULL,
  der BYTEA NOT NULL
);

-- The counter of each device's latest recovery; it only rises (D23).
CREATE TABLE recovery_counters (
  device_id TEXT COLLATE "C" PRIMARY KEY,
  counter BIGINT NOT NULL CHECK (counter >= 1)
);
CREATE TRIGGER recovery_counters_only_rise BEFORE UPDATE ON recovery_counters
FOR EACH ROW WHEN (NEW.counter <= OLD.counter OR NEW.device_id IS DISTINCT FROM OLD.device_id)
EXECUTE FUNCTION refuse('a counter only rises');
CREATE TRIGGER recovery_counters_are_kept BEFORE DELETE OR TRUNCATE ON recovery_counters
FOR EACH STATEMENT EXECUTE FUNCTION refuse('a counter stays');
