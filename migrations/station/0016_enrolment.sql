-- By what right a device enrolled, where the certificate of a session was fetched by EST (RFC 7030).
ALTER TABLE sessions ADD COLUMN enrolment TEXT NULL CHECK (enrolment IN ('credential', 'certificate'));

-- What lets a device enrol once: one credential a device, by its SHA-256.
CREATE TABLE enrolment_credentials (
  device_id TEXT PRIMARY KEY REFERENCES devices (id),
  hash BLOB NOT NULL CHECK (length(hash) = 32),
  expires_at INTEGER NOT NULL,
  spent_by BLOB NULL CHECK (length(spent_by) = 16)
) STRICT;
-- What was spent stays spent; only another credential takes its place.
CREATE TRIGGER enrolment_credentials_stay_spent BEFORE UPDATE ON enrolment_credentials
WHEN OLD.spent_by IS NOT NULL AND NEW.hash = OLD.hash
BEGIN SELECT RAISE(ABORT, 'enrolment_credentials: what was spent stays spent'); END;

PRAGMA user_version = 16;
