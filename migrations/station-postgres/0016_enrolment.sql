-- By what right a device enrolled, where the certificate of a session was fetched by EST (RFC 7030).
ALTER TABLE sessions ADD COLUMN enrolment TEXT COLLATE "C" NULL
  CHECK (enrolment IN ('credential', 'certificate'));

-- What lets a device enrol once: one credential a device, by its SHA-256.
CREATE TABLE enrolment_credentials (
  device_id TEXT COLLATE "C" PRIMARY KEY REFERENCES devices (id),
  hash BYTEA NOT NULL CHECK (length(hash) = 32),
  expires_at BIGINT NOT NULL,
  spent_by BYTEA NULL CHECK (length(spent_by) = 16)
);
-- What was spent stays spent; only another credential takes its place.
CREATE TRIGGER enrolment_credentials_stay_spent BEFORE UPDATE ON enrolment_credentials
FOR EACH ROW WHEN (OLD.spent_by IS NOT NULL AND NEW.hash = OLD.hash)
EXECUTE FUNCTION refuse('what was spent stays spent');
